"""The systems that come with the repository: what their files say, without fetching anything."""

import re
import socket
from pathlib import Path

import pytest
import yaml
from jinja2.sandbox import ImmutableSandboxedEnvironment

from medalign_utils.config import context_lengths, load_system
from medalign_utils.evaluation.paper import context_lengths as published_contexts
from medalign_utils.generation.terms import is_loopback

FILES = sorted((Path(__file__).parents[2] / "params" / "systems").glob("*.yaml"))
NAMES = [file.stem for file in FILES]
LANGUAGE_MODELS = [
    file
    for file in FILES
    if yaml.safe_load(file.read_text())["generator"] in ("huggingface", "openai")
]
SERVERS = [file for file in FILES if "base_url" in yaml.safe_load(file.read_text())]
ORDER = (
    "generator model base_url api_version api_key_env strategy retriever format context_length "
    "tokenizer chat_template seed request device dtype batch_size concurrency timeout_s attempts "
    "price_per_million tokens_per_second"
).split()
GATED = ("google/", "meta-llama/")
# An OpenAI key, a Hugging Face token, a JSON web token, or any long run of letters and digits.
KEY = re.compile(r"\bsk-\w|\bhf_\w{8}|\beyJ\w|[A-Za-z0-9_]{24,}")


def opening_comment(file):
    lines = file.read_text().splitlines()
    end = next(i for i, line in enumerate(lines) if not line.startswith("#"))
    return [line.removeprefix("# ") for line in lines[:end]]


def each(files):
    return pytest.mark.parametrize("file", files, ids=[file.stem for file in files])


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("something was to be fetched")

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


@each(FILES)
def test_a_system_loads_without_network(file, no_network):
    assert load_system(file.stem)["system"] == file.stem


def test_the_papers_six_have_the_published_context_lengths(no_network):
    published = published_contexts()
    assert len(published) == 6
    assert set(published) <= set(NAMES)
    assert context_lengths(published) == published
    assert all(load_system(name)["format"] == "markup" for name in published)


def test_one_model_at_two_lengths_shares_what_else_it_is():
    whole, short = map(load_system, ("gpt4-32k", "gpt4-32k-vicuna-context"))
    refined = load_system("gpt4-32k-multistep-refinement")
    for key in ("generator", "model", "base_url", "format", "price_per_million"):
        assert whole[key] == short[key] == refined[key]
    assert short["tokenizer"] == load_system("vicuna_13B")["tokenizer"]


def test_at_least_seven_others_use_a_language_model():
    others = {file.stem for file in LANGUAGE_MODELS} - set(published_contexts())
    assert len(others) >= 7


@each(FILES)
def test_a_file_is_short_and_in_one_order(file):
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{2,40}", file.stem)
    assert 1 <= len(opening_comment(file)) <= 5
    assert max(map(len, file.read_text().splitlines())) <= 100
    keys = list(yaml.safe_load(file.read_text()))
    assert keys == sorted(keys, key=ORDER.index)


@each(LANGUAGE_MODELS)
def test_the_comment_says_what_a_language_model_needs(file):
    comment = " ".join(opening_comment(file))
    system = load_system(file.stem)
    remote = "base_url" in system and not is_loopback(system["base_url"])
    assert ("key in OPENAI_API_KEY" if remote else " GB") in comment
    assert ("huggingface-cli login" in comment) == system["model"].startswith(GATED)
    if "base_url" in system and not remote:
        assert f"vllm serve {system['model']} --host 127.0.0.1" in comment
        length = re.search(r"--max-model-len (\d+)", comment)
        assert int(length[1]) == system["context_length"]


@each(FILES)
def test_no_file_holds_a_key(file):
    assert not KEY.search(file.read_text())


@each(SERVERS)
def test_no_file_states_an_agreement(file):
    """It is the user's to state; a file that came with one would let a real release out."""
    assert "covered_by" not in load_system(file.stem)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # FastChat's docs/vicuna_weights_version.md, and its separators: a blank between turns.
        (
            "vicuna_13B",
            "<s>A chat between a curious user and an artificial intelligence assistant. The "
            "assistant gives helpful, detailed, and polite answers to the user's questions. "
            "USER: Any cough? ASSISTANT:",
        ),
        # quick_pipeline.py of the makers' space mosaicml/mpt-7b-instruct.
        (
            "mpt_7B_instruct",
            "Below is an instruction that describes a task. Write a response that appropriately "
            "completes the request.\n### Instruction:\nAny cough?\n### Response:\n",
        ),
    ],
)
def test_a_chat_template_of_ours_is_its_makers(name, expected):
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(load_system(name)["chat_template"])
    message = {"role": "user", "content": "Any cough?"}
    assert template.render(messages=[message], bos_token="<s>") == expected


def test_both_vicunas_differ_in_their_model_alone():
    large, small = map(load_system, ("vicuna_13B", "vicuna_7B"))
    assert {key for key in large if large[key] != small[key]} == {"model", "system"}
