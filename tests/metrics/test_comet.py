import shutil
from collections import Counter
from importlib import metadata

import numpy as np
import pytest
import yaml

from medalign_utils.errors import MedAlignError, NotAvailableError
from medalign_utils.metrics.comet import (
    PAPER_CHECKPOINT,
    checkpoint_path,
    load_comet,
    name_comet,
    score_comet,
    signature_comet,
)
from medalign_utils.minilm import minilm_path
from tests.builders.tiny_pairs import tiny_pairs
from tools.comet_compact import train as comet_compact

SOURCES = ["What was the last creatinine?", "Any allergies?"]
PREDICTIONS = ["1.4 mg/dL", "", "Penicillin, with a rash. " * 20, "No known allergies", "1.4 mg/dL"]
REFERENCES = ["1.4 mg/dL in August 2014", "Penicillin"]
TRIPLES = [
    (source, prediction, reference)
    for source, reference in zip(SOURCES, REFERENCES, strict=True)
    for prediction in PREDICTIONS
]
SAMPLES = [dict(zip(("src", "mt", "ref"), triple, strict=True)) for triple in TRIPLES]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    out = tmp_path_factory.mktemp("models") / "comet-tiny"
    comet_compact.train(tiny_pairs(), out, seed=1, epochs=1, progress=False)
    return out


def test_score_comet_equals_the_librarys_predict(checkpoint):
    model = load_comet(checkpoint / "checkpoints" / "model.ckpt")
    expected = model.predict(SAMPLES, batch_size=4, gpus=0, progress_bar=False).scores
    scores = score_comet(*zip(*TRIPLES, strict=True), checkpoint=checkpoint)
    np.testing.assert_allclose(scores, expected, atol=1e-5)
    assert scores.dtype == np.float64
    assert len(set(scores)) == 8  # two answers are equal, under each instruction


def test_score_comet_is_the_same_to_the_last_bit_in_any_order(checkpoint):
    forth = score_comet(*zip(*TRIPLES, strict=True), checkpoint=checkpoint)
    back = score_comet(*zip(*TRIPLES[::-1], strict=True), checkpoint=checkpoint)
    np.testing.assert_array_equal(forth, back[::-1])


def test_score_comet_of_a_part_is_the_same_to_the_last_bit(checkpoint):
    whole = score_comet(*zip(*TRIPLES, strict=True), checkpoint=checkpoint)
    for start in range(3):
        part = zip(*TRIPLES[start::3], strict=True)
        np.testing.assert_array_equal(score_comet(*part, checkpoint=checkpoint), whole[start::3])


def test_score_comet_encodes_each_distinct_text_once(checkpoint, monkeypatch):
    from comet.encoders.base import Encoder

    encoded = Counter()
    library = Encoder.prepare_sample

    def counting(self, texts, *args, **kwargs):
        encoded.update(texts)
        return library(self, texts, *args, **kwargs)

    monkeypatch.setattr(Encoder, "prepare_sample", counting)
    score_comet(*zip(*TRIPLES, strict=True), checkpoint=checkpoint)
    assert encoded == Counter({*SOURCES, *PREDICTIONS, *REFERENCES})


@pytest.fixture
def quality_estimation(tmp_path):
    """A checkpoint of a class that reads no reference, and its model."""
    import torch
    from comet.models import ReferencelessRegression

    torch.manual_seed(1)
    model = ReferencelessRegression(
        encoder_model="BERT",
        pretrained_model=str(minilm_path()),
        hidden_sizes=[8],
        local_files_only=True,
    )
    path = tmp_path / "quality-estimation" / "checkpoints" / "model.ckpt"
    path.parent.mkdir(parents=True)
    torch.save(
        {
            "state_dict": model.state_dict(),
            "hyper_parameters": dict(model.hparams),
            "pytorch-lightning_version": "2.0.0",
        },
        path,
    )
    path.parents[1].joinpath("hparams.yaml").write_text(yaml.safe_dump(dict(model.hparams)))
    return path, model


def test_score_comet_takes_checkpoints_of_other_classes(quality_estimation, capsys):
    path, model = quality_estimation
    expected = model.predict(SAMPLES, batch_size=4, gpus=0, progress_bar=False).scores
    capsys.readouterr()
    scores = score_comet(*zip(*TRIPLES, strict=True), checkpoint=path)
    np.testing.assert_allclose(scores, expected, atol=1e-5)
    assert capsys.readouterr().err == ""


def test_score_comet_of_ten_thousand_words_is_that_of_the_encoders_limit(checkpoint):
    # The library cuts BERT's texts at 512 - 2 - 2 tokens, [CLS] and [SEP] among them.
    predictions = ["pain " * 10_000, "pain " * 506]
    long, cut = score_comet(["q"] * 2, predictions, ["r"] * 2, checkpoint=checkpoint)
    assert long == pytest.approx(cut, abs=1e-6)
    samples = [{"src": "q", "mt": predictions[0], "ref": "r"}]
    model = load_comet(checkpoint / "checkpoints" / "model.ckpt")
    (expected,) = model.predict(samples, gpus=0, progress_bar=False).scores
    assert long == pytest.approx(expected, abs=1e-5)


def test_score_comet_scores_an_empty_response_like_any_other(checkpoint):
    scores = score_comet(["q"] * 3, ["", "1.4", ""], ["1.4"] * 3, checkpoint=checkpoint)
    assert np.isfinite(scores).all() and scores[0] == scores[2] != scores[1]


def test_score_comet_of_nothing(checkpoint):
    assert score_comet([], [], [], checkpoint=checkpoint).shape == (0,)


def test_names_and_signature(checkpoint):
    assert name_comet(checkpoint) == "comet-tiny"
    assert name_comet(checkpoint / "checkpoints" / "model.ckpt") == "comet-tiny"
    assert name_comet("Unbabel/XCOMET-XL") == "XCOMET-XL"
    signature = signature_comet(checkpoint=checkpoint)
    name, source, reference, digest, version, transformers = signature.split("|")
    assert (name, source, reference) == ("comet-tiny", "src:instruction", "ref:yes")
    assert len(digest) == len("sha256:") + 12
    assert version.startswith("v:2.")
    assert transformers == f"transformers:{metadata.version('transformers')}"


def test_a_signature_says_what_the_checkpoints_class_reads(quality_estimation):
    path, _ = quality_estimation
    assert signature_comet(checkpoint=path).startswith(
        "quality-estimation|src:instruction|ref:no|sha256:"
    )
    hparams = path.parents[1] / "hparams.yaml"
    hparams.write_text("class_identifier: unified_metric\ninput_segments: [mt, ref]\n")
    assert "|src:no|ref:yes|" in signature_comet(checkpoint=path)
    hparams.write_text("class_identifier: regression_metric_multi_ref\n")
    with pytest.raises(
        MedAlignError, match=r"regression_metric_multi_ref in hparams\.yaml, expected"
    ):
        signature_comet(checkpoint=path)


@pytest.mark.parametrize(
    "checkpoint", ["models/COMET", "someone/COMET", "models/Comet/checkpoints/model.ckpt"]
)
def test_no_other_checkpoint_bears_the_name_of_the_papers(checkpoint):
    with pytest.raises(
        MedAlignError, match=f"of {checkpoint} would be named .*; rename its folder"
    ):
        name_comet(checkpoint)
    assert name_comet(PAPER_CHECKPOINT) == "COMET"


def test_checkpoint_path_names_the_file_that_is_missing(tmp_path):
    with pytest.raises(MedAlignError, match=r"model\.ckpt does not exist"):
        checkpoint_path(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "model.ckpt").touch()
    with pytest.raises(MedAlignError, match=r"hparams\.yaml does not exist"):
        checkpoint_path(tmp_path)


def test_checkpoint_path_says_that_the_hub_cannot_be_reached(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", "no/such/cache")
    with pytest.raises(NotAvailableError, match="Unbabel/wmt22-comet-da is not on this machine"):
        score_comet(["q"], ["p"], ["r"], checkpoint="Unbabel/wmt22-comet-da")


def test_load_comet_names_the_encoder_that_is_missing(tmp_path, monkeypatch):
    def load_from_checkpoint(path):
        raise OSError("no network")

    monkeypatch.setattr("comet.load_from_checkpoint", load_from_checkpoint)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "model.ckpt").touch()
    (tmp_path / "hparams.yaml").write_text("pretrained_model: xlm-roberta-large\n")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    with pytest.raises(
        NotAvailableError, match="encoder: xlm-roberta-large is not on this machine"
    ):
        load_comet(tmp_path / "checkpoints" / "model.ckpt")
    # What else goes wrong is no reason to skip the metric.
    encoder = f"pretrained_model: {minilm_path()}\n"
    (tmp_path / "hparams.yaml").write_text(encoder)
    with pytest.raises(
        MedAlignError, match=r"model\.ckpt does not load: OSError: no netw"
    ) as caught:
        load_comet(tmp_path / "checkpoints" / "model.ckpt")
    assert not isinstance(caught.value, NotAvailableError)


@pytest.mark.parametrize("content", [b"", b"garbage", b"torn"])
def test_load_comet_names_a_file_that_is_no_checkpoint(checkpoint, tmp_path, content):
    folder = shutil.copytree(checkpoint, tmp_path / "comet-tiny")
    file = folder / "checkpoints" / "model.ckpt"
    file.write_bytes(file.read_bytes()[:10_000] if content == b"torn" else content)
    with pytest.raises(MedAlignError, match=r"model\.ckpt does not load: ") as caught:
        load_comet(file)
    assert not isinstance(caught.value, NotAvailableError)


def test_score_comet_refuses_unequal_lengths(checkpoint):
    with pytest.raises(MedAlignError, match="score_comet: 1 sources, 2 predictions, 2 references"):
        score_comet(["q"], ["a", "b"], ["a", "b"], checkpoint=checkpoint)
