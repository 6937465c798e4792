import shutil

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from transformers import BertModel, BertTokenizerFast

from medalign_utils.errors import MedAlignError
from medalign_utils.metrics.bleurt import score_bleurt, signature_bleurt
from tests.builders.tiny_models import write_tiny_bleurt

PREDICTIONS = ["Creatinine: 1.4 mg/dL", "", "denies chest pain", "on atorvastatin 40 mg daily."]
REFERENCES = ["1.4 mg/dL", "Denies chest pain,", "", "atorvastatin"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_tiny_bleurt(tmp_path_factory.mktemp("hub") / "bleurt")


def test_score_bleurt_by_the_formula(model):
    """v . tanh(W h + b) + c, with h the last layer's first token, one pair at a time."""
    bert, tokenizer = BertModel.from_pretrained(model), BertTokenizerFast.from_pretrained(model)
    state = load_file(model / "model.safetensors")
    expected = []
    for prediction, reference in zip(PREDICTIONS, REFERENCES, strict=True):
        words = [*tokenizer.tokenize(reference), "[SEP]", *tokenizer.tokenize(prediction), "[SEP]"]
        ids = [tokenizer.cls_token_id, *tokenizer.convert_tokens_to_ids(words)]
        segment = [0] * (words.index("[SEP]") + 2)  # [CLS], the reference, [SEP]
        segment += [1] * (len(ids) - len(segment))
        with torch.no_grad():
            hidden = bert(torch.tensor([ids]), token_type_ids=torch.tensor([segment]))
        h = hidden.last_hidden_state[0, 0].numpy()
        pooled = np.tanh(state["bert.pooler.dense.weight"] @ h + state["bert.pooler.dense.bias"])
        expected.append(state["classifier.weight"][0] @ pooled + state["classifier.bias"][0])
    scores = score_bleurt(PREDICTIONS, REFERENCES, model=str(model))
    np.testing.assert_allclose(scores, expected, atol=1e-5)
    assert scores.dtype == np.float64 and len(set(scores.round(4))) == 4


def test_score_bleurt_reads_special_tokens_as_characters(model):
    scores = score_bleurt(["[SEP] pain", "[ SEP ] pain"], ["pain"] * 2, model=str(model))
    assert scores[0] == pytest.approx(scores[1], abs=1e-6)


def test_score_bleurt_cuts_what_is_too_long_and_says_so(model):
    with pytest.warns(UserWarning, match="1 of 2 pairs are longer than the model's limit of 64"):
        scores = score_bleurt(["pain " * 10_000, "pain"], ["chest"] * 2, model=str(model))
    # [CLS] chest [SEP] leave 60 words and the last [SEP].
    assert scores[0] == pytest.approx(
        score_bleurt(["pain " * 60], ["chest"], model=str(model))[0], abs=1e-5
    )
    assert np.isfinite(scores).all()


def test_score_bleurt_of_a_part_is_the_same_to_the_last_bit(model):
    whole = score_bleurt(PREDICTIONS, REFERENCES, model=str(model))
    for i, pair in enumerate(zip(PREDICTIONS, REFERENCES, strict=True)):
        assert score_bleurt(*([text] for text in pair), model=str(model))[0] == whole[i]


def test_score_bleurt_refuses_what_is_no_bleurt(model, tmp_path):
    with pytest.raises(MedAlignError, match="num_labels is 2, expected 1"):
        score_bleurt(["a"], ["a"], model=str(write_tiny_bleurt(tmp_path / "two", labels=2)))
    newer = shutil.copytree(model, tmp_path / "newer")
    config = (newer / "config.json").read_text()
    (newer / "config.json").write_text(config.replace('"model_type": "bert"', '"model_type": "x"'))
    with pytest.raises(
        MedAlignError, match="does not load as AutoModelForSequenceClassification: "
    ):
        score_bleurt(["a"], ["a"], model=str(newer))
    headless = shutil.copytree(model, tmp_path / "headless")
    weights = load_file(model / "model.safetensors")
    del weights["classifier.bias"]
    save_file(weights, headless / "model.safetensors", {"format": "pt"})
    with pytest.raises(MedAlignError, match=r"it lacks 1 weights, the first is classifier\.bias"):
        score_bleurt(["a"], ["a"], model=str(headless))
    shapes = shutil.copytree(model, tmp_path / "shapes")
    weights["classifier.bias"] = np.zeros(1, np.float32)
    weights["classifier.weight"] = np.zeros((1, 7), np.float32)  # of 16 units
    save_file(weights, shapes / "model.safetensors", {"format": "pt"})
    with pytest.raises(MedAlignError, match=r"shapes does not load as AutoModelForSeq.*: Error"):
        score_bleurt(["a"], ["a"], model=str(shapes))


def test_signature_bleurt_tells_weights_apart(model, tmp_path):
    other = write_tiny_bleurt(tmp_path / "bleurt", seed=1)
    signatures = {signature_bleurt(model=str(folder)) for folder in (model, other)}
    assert len(signatures) == 2
    assert all(s.startswith("bleurt|model:bleurt|sha256:") for s in signatures)
