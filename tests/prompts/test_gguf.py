import importlib.util

import pytest
from transformers import AutoTokenizer, GenerationConfig

from medalign_utils.errors import ParamsError
from medalign_utils.generation.huggingface import huggingface
from medalign_utils.prompts.gguf import find_gguf, load_gguf_tokenizer
from medalign_utils.prompts.templates import fill
from medalign_utils.prompts.tokenizers import load_tokenizer
from tests.builders.tiny_models import TRAINING, write_tiny_gguf, write_tiny_llama

PROMPTS = [fill(f"Any {text[:5]}?", text) for text in [*TRAINING, "it's 20134 'x'", ""]]


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    folder = write_tiny_llama(tmp_path_factory.mktemp("llama"), seed=1)
    GenerationConfig(eos_token_id=4).save_pretrained(folder)  # a GGUF file has only one
    return folder


@pytest.fixture(scope="module")
def file(llama, tmp_path_factory):
    return str(write_tiny_gguf(llama, tmp_path_factory.mktemp("gguf") / "tiny.gguf"))


def test_a_gguf_file_answers_like_the_folder_it_was_written_from(llama, file, capfd):
    models = [
        huggingface(load_tokenizer(name), model=name, device="cpu", batch_size=2)
        for name in (str(llama), file)
    ]
    expected, found = [model.answer(PROMPTS) for model in models]
    assert [answer.text for answer in found] == [answer.text for answer in expected]
    assert len({answer.text for answer in found}) > 1
    assert capfd.readouterr() == ("", "")


def test_prompts_have_the_folders_tokens_and_each_special_token_once(llama, file):
    folder = load_tokenizer(str(llama))
    ours = load_tokenizer(file)
    for prompt in PROMPTS:
        assert ours.prompt_ids(prompt.text) == folder.prompt_ids(prompt.text)
    plain = load_tokenizer(file, chat_template=False)
    expected = AutoTokenizer.from_pretrained(llama)
    assert plain.prompt_ids("Any cough?") == expected("Any cough?")["input_ids"]
    assert plain.prompt_ids("Any cough?")[:2].count(expected.bos_token_id) == 1


def test_special_tokens_come_from_the_file(llama, tmp_path):
    changes = {"add_bos_token": False, "padding_token_id": 3, "unknown_token_id": 2}
    tokenizer = load_gguf_tokenizer(str(write_tiny_gguf(llama, tmp_path / "x.gguf", **changes)))
    assert tokenizer.special_tokens_map == {
        "bos_token": "<|begin_of_text|>",
        "eos_token": "<|eot_id|>",
        "unk_token": "<|start_header_id|>",
        "pad_token": "<|end_header_id|>",
    }
    assert 0 not in tokenizer("Any cough?")["input_ids"]
    changes = {"add_bos_token": True, "add_eos_token": True}
    tokenizer = load_gguf_tokenizer(str(write_tiny_gguf(llama, tmp_path / "y.gguf", **changes)))
    ids = tokenizer("Any cough?")["input_ids"]
    assert (ids[0], ids[-1], ids[1:-1].count(0)) == (0, 4, 0)
    tokenizer.save_pretrained(tmp_path)
    assert AutoTokenizer.from_pretrained(tmp_path)("Any cough?")["input_ids"] == ids


@pytest.mark.parametrize(
    ("pre", "pieces"),
    [
        ("gpt-2", ["x", "2013456", " y"]),
        ("smollm", ["x", *"2013456", " y"]),
        ("llama-bpe", ["x", "201", "345", "6", " y"]),
        ("qwen2", ["x", *"2013456", " y"]),
    ],
)
def test_text_is_split_as_in_training(llama, tmp_path, pre, pieces):
    file = write_tiny_gguf(llama, tmp_path / "x.gguf", pre=pre)
    splits = load_gguf_tokenizer(str(file)).backend_tokenizer.pre_tokenizer
    found = [piece.replace("Ġ", " ") for piece, _ in splits.pre_tokenize_str("x2013456 y")]
    assert found == pieces


def test_an_unknown_way_to_split_names_the_remedy(llama, tmp_path):
    file = write_tiny_gguf(llama, tmp_path / "x.gguf", pre="tekken")
    with pytest.raises(ParamsError, match=r"split text \(tekken\), known: .*`tokenizer:`"):
        load_tokenizer(str(file))


def test_a_file_a_folder_and_a_package_are_found(file, tmp_path, monkeypatch):
    assert find_gguf(file) == file
    assert find_gguf(file.rpartition("/")[0]) == file
    assert find_gguf(str(tmp_path)) is None
    assert find_gguf("minilm") is None
    package = tmp_path / "some_package"
    package.mkdir()
    (package / "__init__.py").write_text("raise ImportError")
    (package / "x.gguf").write_bytes(b"GGUF")
    monkeypatch.syspath_prepend(tmp_path)
    assert find_gguf("some_package/x.gguf") == str(package / "x.gguf")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "none.gguf",
            None,
            "no file .*none.gguf, either in the project or in an",
        ),
        ("no_such_package/x.gguf", None, "no file no_such_package/x.gguf"),
        ("x.gguf", b"PK..", "x.gguf is not a GGUF file"),
        ("x-00001-of-00002.gguf", b"GGUF", "one of several parts"),
    ],
)
def test_errors_name_what_is_not_a_gguf_file(tmp_path, name, content, message):
    if content:
        (tmp_path / name).write_bytes(content)
        name = str(tmp_path / name)
    with pytest.raises(ParamsError, match=message):
        find_gguf(name)


def test_a_file_without_the_package_to_read_it(file, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ParamsError, match=r"needs the package gguf \(`pip install gguf`\)"):
        find_gguf(file)
