"""No code that comes with a model runs, whichever loader meets it."""

import builtins
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from medalign_utils.__main__ import main
from medalign_utils.errors import MedAlignError, ParamsError
from medalign_utils.generation.huggingface import huggingface
from medalign_utils.generation.system import check_system
from medalign_utils.metrics.bertscore import score_bertscore
from medalign_utils.metrics.bleurt import score_bleurt
from medalign_utils.metrics.comet import score_comet
from medalign_utils.metrics.lens import score_lens
from medalign_utils.metrics.unieval import score_unieval
from medalign_utils.prompts.templates import fill
from medalign_utils.prompts.tokenizers import load_tokenizer
from tests.builders.project import write_system
from tests.builders.tiny_models import (
    write_tiny_bleurt,
    write_tiny_lens,
    write_tiny_llama,
    write_tiny_unieval,
)
from tests.builders.tiny_release import write_release

CODE = """
from pathlib import Path
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
Path({ran!r}).touch()
class Config(LlamaConfig): model_type = "own"
class Model(LlamaForCausalLM): config_class = Config
class Words(PreTrainedTokenizerFast): pass
def generate(*args, **options): raise AssertionError
"""
MODEL_CODE = {"AutoConfig": "code.Config", "AutoModel": "code.Model"}
MODEL_CODE |= {"AutoModelForCausalLM": "code.Model", "AutoModelForSeq2SeqLM": "code.Model"}
MODEL_CODE |= {"AutoModelForSequenceClassification": "code.Model"}
TOKENIZER_CODE = {"AutoTokenizer": [None, "code.Words"]}


class RunsCode:
    """An object whose pickle creates a file when it is read."""

    def __init__(self, ran):
        self.ran = ran

    def __reduce__(self):
        return Path.touch, (self.ran,)


@pytest.fixture
def ran(tmp_path):
    """The file that code of a model would create."""
    return tmp_path / "ran"


@pytest.fixture(autouse=True)
def nobody_is_asked(monkeypatch):
    def ask(*_):
        raise AssertionError("a question on the terminal")

    monkeypatch.setattr(builtins, "input", ask)


def change(file, **values):
    content = json.loads(file.read_text()) if file.is_file() else {}
    file.write_text(json.dumps(content | values))


def with_code(folder, ran, kind):
    """Add code to a model's folder, and what leads to it."""
    # The name differs, since transformers keeps the modules of a folder of the same name.
    (folder / "code.py").write_text(CODE.format(ran=str(ran)))
    config, words = folder / "config.json", folder / "tokenizer_config.json"
    if kind == "model":
        change(config, model_type="own", auto_map=MODEL_CODE)
    elif kind == "tokenizer":
        change(words, tokenizer_class="Words", auto_map=TOKENIZER_CODE)
    elif kind == "tokenizer of another name":
        upstream = {"AutoTokenizer": [None, f"{folder}--code.Words"]}
        change(words, tokenizer_class="Words", auto_map=upstream)
    elif kind == "nested":  # CVE-2026-5241
        inner = folder / "inner"
        inner.mkdir()
        (inner / "code.py").write_text(CODE.format(ran=str(ran)))
        change(inner / "config.json", model_type="own", auto_map=MODEL_CODE)
        nested = {"model_type": "own", "_name_or_path": str(inner)}
        change(config, model_type="lightglue", trust_remote_code=True)
        change(config, keypoint_detector_config=nested)
        content = json.loads(words.read_text())
        content.pop("tokenizer_class")  # so that the tokenizer's class depends on config.json
        words.write_text(json.dumps(content))
    elif kind == "generate":
        (folder / "custom_generate").mkdir()
        (folder / "custom_generate" / "generate.py").write_text(CODE.format(ran=str(ran)))
    return folder


def system(folder, **more):
    return {
        "generator": "huggingface",
        "model": str(folder),
        "context_length": 2048,
        "format": "lines",
        "device": "cpu",
        "max_new_tokens": 2,
    } | more


def answer(folder, **options):
    tokenizer = load_tokenizer(str(folder), **options)
    [outcome] = huggingface(
        tokenizer, model=str(folder), device="cpu", max_new_tokens=2, **options
    ).answer([fill("Any pain?", "none")])
    return outcome


@pytest.mark.parametrize(
    "kind", ["model", "tokenizer", "tokenizer of another name", "nested", "generate"]
)
def test_a_language_model_runs_no_code_of_its_folder(tmp_path, ran, kind):
    folder = with_code(write_tiny_llama(tmp_path / "llama"), ran, kind)
    with pytest.raises(ParamsError) as caught:
        answer(folder)
    assert not ran.exists()
    if kind != "nested":  # which is no language model in any case
        assert f"{folder} comes with Python code, which is not run" in str(caught.value)


@pytest.mark.parametrize("kind", ["model", "tokenizer", "generate"])
def test_code_runs_if_the_systems_own_file_trusts_it(tmp_path, ran, kind):
    folder = with_code(write_tiny_llama(tmp_path / f"trusted_{kind}"), ran, kind)
    if kind == "generate":
        with pytest.raises(AssertionError):
            answer(folder, trust_remote_code=True)
    else:
        assert answer(folder, trust_remote_code=True).tokens
    assert ran.exists()
    ran.unlink()
    other = with_code(write_tiny_llama(tmp_path / "other"), ran, kind)
    with pytest.raises(ParamsError, match="comes with Python code"):
        answer(other)
    assert not ran.exists()


def test_checking_a_system_or_planning_runs_no_code(tmp_path, ran, capsys, monkeypatch):
    for kind in ("tokenizer", "nested"):
        folder = with_code(write_tiny_llama(tmp_path / kind), ran, kind)
        with pytest.raises(ParamsError):
            check_system(system(folder))
        served = system(tmp_path, generator="openai", base_url="http://127.0.0.1:1/v1")
        served |= {"tokenizer": str(folder)}
        served.pop("device")
        with pytest.raises(ParamsError):
            check_system(served)
    assert not ran.exists()
    with pytest.raises(ParamsError, match="trust_remote_code: found 'yes', expected true or false"):
        check_system(system(folder, trust_remote_code="yes"))
    check_system(system(tmp_path / "tokenizer", trust_remote_code=True))
    assert ran.exists()
    ran.unlink()

    (tmp_path / "Snakefile").touch()
    monkeypatch.chdir(tmp_path)
    write_release(tmp_path / "release")
    (tmp_path / "params/systems").mkdir(parents=True)
    write_system("evil", tmp_path, **system(tmp_path / "nested"))
    # Only a system's own file may allow it.
    experiment = {"release": "release", "systems": ["evil"], "trust_remote_code": True}
    (tmp_path / "params/mine.yaml").write_text(yaml.safe_dump(experiment))
    assert main(["plan", "params/mine.yaml"]) == 2
    assert "trust_remote_code" in capsys.readouterr().err
    assert not ran.exists()


@pytest.mark.parametrize("kind", ["model", "tokenizer", "nested"])
@pytest.mark.parametrize("metric", ["bleurt", "unieval", "bertscore", "lens"])
def test_a_metric_runs_no_code_of_its_model(tmp_path, ran, kind, metric):
    texts = ["One."], ["Two."]
    folder = tmp_path / metric
    if metric == "lens":
        write_tiny_lens(folder)
        with_code(folder / "encoder", ran, kind)
        score = lambda: score_lens(["Which?"], *texts, model=str(folder))  # noqa: E731
    elif metric == "unieval":
        with_code(write_tiny_unieval(folder), ran, kind)
        score = lambda: score_unieval(["Which?"], *texts, model=str(folder))  # noqa: E731
    else:
        with_code(write_tiny_bleurt(folder), ran, kind)
        if metric == "bleurt":
            score = lambda: score_bleurt(*texts, model=str(folder))  # noqa: E731
        else:
            score = lambda: score_bertscore(*texts, model=str(folder), layer=1)  # noqa: E731
    with pytest.raises(MedAlignError):
        score()
    assert not ran.exists()


def test_a_pickle_in_weights_is_not_read_even_if_the_environment_allows_it(
    tmp_path, ran, monkeypatch
):
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    monkeypatch.setenv("TRUST_REMOTE_CODE", "true")
    folder = write_tiny_bleurt(tmp_path / "bleurt")
    (folder / "model.safetensors").unlink()
    torch.save({"weights": RunsCode(ran)}, folder / "pytorch_model.bin")
    with pytest.raises(MedAlignError):
        score_bleurt(["One."], ["Two."], model=str(folder))
    comet = tmp_path / "comet"
    (comet / "checkpoints").mkdir(parents=True)
    torch.save({"state_dict": RunsCode(ran)}, comet / "checkpoints/model.ckpt")
    hparams = {"class_identifier": "regression_metric", "pretrained_model": str(folder)}
    (comet / "hparams.yaml").write_text(yaml.safe_dump(hparams))
    with pytest.raises(MedAlignError, match=r"model\.ckpt does not load"):
        score_comet(["Which?"], ["One."], ["Two."], checkpoint=str(comet))
    assert not ran.exists()
    llama = write_tiny_llama(tmp_path / "llama")  # a tokenizer whose vocabulary is a pickle
    (llama / "tokenizer.json").unlink()
    change(llama / "config.json", model_type="transfo-xl")
    change(llama / "tokenizer_config.json", tokenizer_class="TransfoXLTokenizer")
    (llama / "vocab.pkl").write_bytes(pickle.dumps(RunsCode(ran)))
    with pytest.raises(ParamsError):
        load_tokenizer(str(llama))
    assert not ran.exists()


def test_a_configuration_loads_no_kernel_of_the_hub(tmp_path, ran):
    """CVE-2026-4372, where the package kernels is installed."""
    folder = write_tiny_llama(tmp_path / "llama")
    change(folder / "config.json", _attn_implementation_internal="evil/kernel")
    (tmp_path / "packages").mkdir()
    fake = (
        "from pathlib import Path\n"
        "class Any:\n"
        "    def __init__(self, *a, **k): pass\n"
        "Device = LayerRepository = Any\n"
        "class Mode: INFERENCE = TRAINING = TORCH_COMPILE = 1\n"
        "def register_kernel_mapping(*a, **k): pass\n"
        "replace_kernel_forward_from_hub = register_kernel_mapping\n"
        "def use_kernel_forward_from_hub(name): return lambda layer: layer\n"
        f"def get_kernel(*a, **k): Path({str(ran)!r}).touch()\n"
    )
    (tmp_path / "packages/kernels.py").write_text(fake)
    program = f"""
from medalign_utils.generation.huggingface import huggingface
from medalign_utils.prompts.templates import fill
huggingface({str(folder)!r}, model={str(folder)!r}, device="cpu").answer([fill("Any?", "none")])
"""
    paths = os.pathsep.join([str(tmp_path / "packages"), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": paths},
        capture_output=True,
        text=True,
    )
    assert "comes with Python code, which is not run" in done.stderr, done.stderr[-800:]
    assert not ran.exists()
