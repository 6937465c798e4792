import re
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from medalign_utils import paths
from medalign_utils.errors import MedAlignError, NotAvailableError
from medalign_utils.metrics.comet import (
    PAPER_CHECKPOINT,
    find_comet,
    load_comet,
    name_comet,
    score_comet,
    signature_comet,
)
from medalign_utils.minilm import minilm_path

COMPACT = Path(__file__).parents[2] / "models/comet-compact"
QUESTIONS = ["What was the last creatinine?", "Any allergies?"]
RESPONSES = ["1.4 mg/dL", "", "Penicillin, with a rash. " * 20, "No known allergies", "1.4 mg/dL"]
REFERENCES = ["1.4 mg/dL in August 2014", "Penicillin"]
TRIPLES = [
    (question, response, reference)
    for question, reference in zip(QUESTIONS, REFERENCES, strict=True)
    for response in RESPONSES
]
SAMPLES = [dict(zip(("src", "mt", "ref"), triple, strict=True)) for triple in TRIPLES]


def score(triples=TRIPLES, checkpoint=COMPACT):
    return score_comet(*zip(*triples, strict=True), checkpoint=checkpoint)


def write_checkpoint(model, folder: Path) -> Path:
    """Write a checkpoint as the library does, with the encoder's weights."""
    hparams = dict(model.hparams) | {"pretrained_model": str(minilm_path())}
    path = folder / "checkpoints" / "model.ckpt"
    path.parent.mkdir(parents=True)
    content = {"hyper_parameters": hparams, "pytorch-lightning_version": "2.0.0"}
    torch.save({"state_dict": model.state_dict(), **content}, path)
    (folder / "hparams.yaml").write_text(yaml.safe_dump(hparams))
    return path


@pytest.fixture(scope="module")
def quality_estimation(tmp_path_factory):
    """Return a checkpoint of a class that reads no reference, and its model."""
    from comet.models import ReferencelessRegression

    torch.manual_seed(1)
    encoder = {"encoder_model": "BERT", "pretrained_model": str(minilm_path())}
    model = ReferencelessRegression(**encoder, hidden_sizes=[8], local_files_only=True)
    return write_checkpoint(model, tmp_path_factory.mktemp("models") / "quality-estimation"), model


def test_score_comet_equals_the_librarys_predict():
    model = load_comet(find_comet(COMPACT))
    expected = model.predict(SAMPLES, batch_size=4, gpus=0, progress_bar=False).scores
    scores = score()
    np.testing.assert_allclose(scores, expected, atol=1e-5)
    assert len(set(scores)) == 8  # each instruction has two equal answers
    np.testing.assert_array_equal(scores, scores.round(6))


def test_score_comet_encodes_each_distinct_text_once(monkeypatch):
    from comet.encoders.base import Encoder

    encoded = Counter()
    library = Encoder.prepare_sample

    def counting(self, texts, *args, **kwargs):
        encoded.update(texts)
        return library(self, texts, *args, **kwargs)

    monkeypatch.setattr(Encoder, "prepare_sample", counting)
    score()
    assert encoded == Counter({*QUESTIONS, *RESPONSES, *REFERENCES})


def test_score_comet_accepts_a_checkpoint_with_its_encoder(tmp_path):
    path = write_checkpoint(load_comet(find_comet(COMPACT)), tmp_path / "whole")
    for checkpoint in (path, tmp_path / "whole"):
        np.testing.assert_array_equal(score(checkpoint=checkpoint), score())
    assert signature_comet(checkpoint=path).count("sha256:") == 1


def test_score_comet_accepts_checkpoints_of_other_classes(quality_estimation, capsys):
    path, model = quality_estimation
    expected = model.predict(SAMPLES, batch_size=4, gpus=0, progress_bar=False).scores
    capsys.readouterr()
    np.testing.assert_allclose(score(checkpoint=path), expected, atol=1e-5)
    assert capsys.readouterr().err == ""


def test_score_comet_reads_as_much_as_the_encoder_allows():
    # The library truncates BERT's texts to 512 - 2 - 2 tokens including [CLS] and [SEP].
    texts = ["pain " * 10_000, "pain " * 506, "pain " * 505]
    long, cut, shorter = score([("q", text, "r") for text in texts])
    assert long == pytest.approx(cut, abs=1e-6) != pytest.approx(shorter, abs=1e-6)


@pytest.mark.parametrize("file", ["hparams.yaml", "model.safetensors"])
def test_a_signature_depends_on_settings_and_weights(tmp_path, file):
    folder = shutil.copytree(COMPACT, tmp_path / "comet-compact")
    before = signature_comet(checkpoint=folder)
    form = r"comet-compact|src:instruction|ref:yes|sha256:\w{12}|encoder:all-MiniLM-L6-v2"
    form += r"|sha256:53aa51172d14|v:2\..*|transformers:.*"
    assert re.fullmatch(form.replace("|", r"\|"), before)
    assert signature_comet(checkpoint=COMPACT) == before
    with (folder / file).open("ab") as opened:
        opened.write(b"\n")
    assert signature_comet(checkpoint=folder) != before


def test_a_signature_says_which_texts_the_checkpoints_class_reads(quality_estimation, tmp_path):
    folder = shutil.copytree(quality_estimation[0].parents[1], tmp_path / "quality-estimation")
    signature = signature_comet(checkpoint=folder)
    assert signature.startswith("quality-estimation|src:instruction|ref:no|sha256:")
    hparams = folder / "hparams.yaml"
    hparams.write_text("class_identifier: unified_metric\ninput_segments: [mt, ref]\n")
    assert "|src:no|ref:yes|" in signature_comet(checkpoint=folder)
    hparams.write_text("class_identifier: regression_metric_multi_ref\n")
    with pytest.raises(MedAlignError, match=r"_multi_ref in hparams\.yaml, expected one of"):
        signature_comet(checkpoint=folder)


def test_find_comet_names_the_file_that_is_missing(tmp_path):
    with pytest.raises(
        MedAlignError, match=r"contains no model\.safetensors or checkpoints/model\.c"
    ):
        find_comet(tmp_path)
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(MedAlignError, match=r"hparams\.yaml does not exist"):
        find_comet(tmp_path)


@pytest.mark.parametrize(
    "checkpoint", ["models/COMET", "someone/COMET", "models/Comet/checkpoints/model.ckpt"]
)
def test_only_the_papers_checkpoint_is_called_comet(checkpoint):
    with pytest.raises(MedAlignError, match=f"{checkpoint} would name its scores .*; rename its"):
        name_comet(checkpoint)
    assert name_comet(PAPER_CHECKPOINT) == "COMET"


def test_the_former_checkpoint_of_comet_compact_means_its_folder():
    with pytest.warns(UserWarning, match=r"model\.ckpt is now models/comet-compact"):
        found = paths.checkpoint("models/comet-compact/checkpoints/model.ckpt")
    assert found == paths.checkpoint("models/comet-compact") == str(COMPACT)


def test_an_unreachable_hub_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    with pytest.raises(NotAvailableError, match="Unbabel/wmt22-comet-da is not on this machine"):
        score_comet(["q"], ["p"], ["r"], checkpoint="Unbabel/wmt22-comet-da")

    def load_from_checkpoint(path):
        raise OSError("no network")

    monkeypatch.setattr("comet.load_from_checkpoint", load_from_checkpoint)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "model.ckpt").touch()
    (tmp_path / "hparams.yaml").write_text("pretrained_model: xlm-roberta-large\n")
    with pytest.raises(NotAvailableError, match="encoder: xlm-roberta-large is not on this mach"):
        load_comet(find_comet(tmp_path))
    # Other errors are not a reason to skip the metric.
    (tmp_path / "hparams.yaml").write_text(f"pretrained_model: {minilm_path()}\n")
    with pytest.raises(MedAlignError, match="does not load: OSError: no network") as caught:
        load_comet(find_comet(tmp_path))
    assert not isinstance(caught.value, NotAvailableError)


@pytest.mark.parametrize("kind", ["checkpoints/model.ckpt", "model.safetensors"])
@pytest.mark.parametrize("content", [b"", b"garbage", b"torn"])
def test_load_comet_names_a_file_that_is_broken(quality_estimation, tmp_path, kind, content):
    origin = quality_estimation[0].parents[1] if kind.endswith("ckpt") else COMPACT
    folder = shutil.copytree(origin, tmp_path / "broken")
    file = folder / kind
    file.write_bytes(file.read_bytes()[:10_000] if content == b"torn" else content)
    with pytest.raises(MedAlignError, match=r"/model\.\w+ does not load: ") as caught:
        load_comet(find_comet(folder))
    assert not isinstance(caught.value, NotAvailableError)


def test_load_comet_expects_all_weights_except_the_encoders_and_no_more(tmp_path):
    folder = shutil.copytree(COMPACT, tmp_path / "comet-compact")
    weights = load_file(COMPACT / "model.safetensors")
    gamma = "layerwise_attention.gamma"
    without = {name: weight for name, weight in weights.items() if name != gamma}
    for changed, message in (
        (without, f"missing weights: {gamma}; unexpected weights: none"),
        (weights | {"encoder.x": weights[gamma] + 1}, "missing weights: none; unex.*encoder.x"),
        (weights | {"estimator.ff.0.bias": weights[gamma] + 1}, "not load: RuntimeError: .*size"),
    ):
        save_file(changed, folder / "model.safetensors")
        with pytest.raises(MedAlignError, match=rf"model\.safetensors.* {message}"):
            load_comet(find_comet(folder))
    hparams = (folder / "hparams.yaml").read_text()
    (folder / "hparams.yaml").write_text(hparams.replace("sentence-transformers/", "mine/"))
    with pytest.raises(
        MedAlignError, match=r"contains no encoder, and hparams\.yaml names mine/al"
    ):
        load_comet(find_comet(folder))
