import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from sentencepiece import SentencePieceProcessor
from transformers import (
    BertModel,
    BertTokenizerFast,
    RemBertConfig,
    RemBertModel,
)

from medalign_utils.errors import MedAlignError
from medalign_utils.metrics.bleurt import score_bleurt, signature_bleurt
from tests.builders.tiny_models import ENCODER, write_tiny_bleurt, write_tiny_bleurt_20

RESPONSES = ["Creatinine: 1.4 mg/dL", "", "denies chest pain", "on atorvastatin 40 mg daily."]
REFERENCES = ["1.4 mg/dL", "Denies chest pain,", "", "atorvastatin"]


@pytest.fixture
def model(models):
    return Path(models["bleurt"]["model"])


def test_score_bleurt_by_the_formula(model):
    """Compare with v . tanh(W h + b) + c for the last layer's first token h, pair by pair."""
    bert, tokenizer = BertModel.from_pretrained(model), BertTokenizerFast.from_pretrained(model)
    state = load_file(model / "model.safetensors")
    expected = []
    for response, reference in zip(RESPONSES, REFERENCES, strict=True):
        words = [*tokenizer.tokenize(reference), "[SEP]", *tokenizer.tokenize(response), "[SEP]"]
        ids = [tokenizer.cls_token_id, *tokenizer.convert_tokens_to_ids(words)]
        segment = [0] * (words.index("[SEP]") + 2)  # [CLS], the reference, [SEP]
        segment += [1] * (len(ids) - len(segment))
        with torch.no_grad():
            hidden = bert(torch.tensor([ids]), token_type_ids=torch.tensor([segment]))
        h = hidden.last_hidden_state[0, 0].numpy()
        pooled = np.tanh(state["bert.pooler.dense.weight"] @ h + state["bert.pooler.dense.bias"])
        expected.append(state["classifier.weight"][0] @ pooled + state["classifier.bias"][0])
    scores = score_bleurt(RESPONSES, REFERENCES, model=str(model))
    np.testing.assert_allclose(scores, expected, atol=1e-5)
    assert scores.dtype == np.float64 and len(set(scores.round(4))) == 4


def test_score_bleurt_reads_special_tokens_as_characters(model):
    scores = score_bleurt(["[SEP] pain", "[ SEP ] pain"], ["pain"] * 2, model=str(model))
    assert scores[0] == pytest.approx(scores[1], abs=1e-6)


def test_score_bleurt_truncates_long_texts_with_a_warning(model):
    with pytest.warns(UserWarning, match="1 of 2 pairs exceed the model's limit of 64"):
        scores = score_bleurt(["pain " * 10_000, "pain"], ["chest"] * 2, model=str(model))
    # [CLS] chest [SEP] leave room for 60 words and the last [SEP].
    assert scores[0] == pytest.approx(
        score_bleurt(["pain " * 60], ["chest"], model=str(model))[0], abs=1e-5
    )
    assert np.isfinite(scores).all()


def test_score_bleurt_refuses_other_models(model, tmp_path):
    with pytest.raises(MedAlignError, match="num_labels is 2, expected 1"):
        score_bleurt(["a"], ["a"], model=str(write_tiny_bleurt(tmp_path / "two", labels=2)))
    config = (model / "config.json").read_text()
    weights = load_file(model / "model.safetensors")
    without_bias = {name: weight for name, weight in weights.items() if name != "classifier.bias"}
    fails = "does not load as AutoModelForSequenceClassification: "
    for new_config, new_weights, message in (
        (config.replace('"model_type": "bert"', '"model_type": "x"'), weights, fails),
        (config, without_bias, fails + r"missing weights \(1\), first classifier\.bias"),
        (config, weights | {"classifier.weight": np.zeros((1, 7), np.float32)}, fails + "Error"),
    ):
        folder = shutil.copytree(model, tmp_path / "other", dirs_exist_ok=True)
        (folder / "config.json").write_text(new_config)
        save_file(new_weights, folder / "model.safetensors", {"format": "pt"})
        with pytest.raises(MedAlignError, match=message):
            score_bleurt(["a"], ["a"], model=str(folder))


def test_bleurt_20_loads_by_the_formula(tmp_path):
    """Compare with v . tanh(W h + b) + c for the last layer's first token h of a RemBERT."""
    folder = write_tiny_bleurt_20(tmp_path / "BLEURT-20")
    state = torch.load(folder / "pytorch_model.bin")
    projection = "encoder.embedding_projection", "encoder.embedding_hidden_mapping_in"
    own = {name.replace("bleurt.", "").replace(*projection): value for name, value in state.items()}
    config = RemBertConfig(vocab_size=78, input_embedding_size=8, **ENCODER)
    network = RemBertModel(config).eval()
    assert not network.load_state_dict(own, strict=False).missing_keys
    pieces = SentencePieceProcessor(model_file=str(folder / "spm.model"))
    cls, sep = pieces.piece_to_id("[CLS]"), pieces.piece_to_id("[SEP]")
    expected = []
    for response, reference in zip(RESPONSES, REFERENCES, strict=True):
        first, second = [cls, *pieces.encode(reference), sep], [*pieces.encode(response), sep]
        segments = torch.tensor([[0] * len(first) + [1] * len(second)])
        with torch.no_grad():
            hidden = network(torch.tensor([first + second]), token_type_ids=segments)
        h = hidden.last_hidden_state[0, 0]
        pooled = torch.tanh(own["pooler.dense.weight"] @ h + own["pooler.dense.bias"])
        expected.append((own["classifier.weight"] @ pooled + own["classifier.bias"]).item())
    scores = score_bleurt(RESPONSES, REFERENCES, model=str(folder))
    np.testing.assert_allclose(scores, expected, atol=1e-5)
    assert len(set(scores.round(4))) == 4
    assert signature_bleurt(model=str(folder)).startswith("bleurt|model:BLEURT-20|sha256:")


def test_older_checkpoints_of_the_same_form_load(model, tmp_path):
    folder = shutil.copytree(model, tmp_path / "bleurt-large-512")
    weights = load_file(folder / "model.safetensors")
    renamed = {name.replace("bert.", "bleurt.", 1): value for name, value in weights.items()}
    save_file(renamed, folder / "model.safetensors", {"format": "pt"})
    config = (folder / "config.json").read_text()
    kind = '"model_type": "bleurt", "embedding_size": null'
    (folder / "config.json").write_text(config.replace('"model_type": "bert"', kind))
    texts = RESPONSES, REFERENCES
    np.testing.assert_array_equal(
        score_bleurt(*texts, model=str(folder)), score_bleurt(*texts, model=str(model))
    )


def test_a_bleurt_20_that_is_not_whole_is_an_error(tmp_path):
    folder = write_tiny_bleurt_20(tmp_path / "whole")
    state = torch.load(folder / "pytorch_model.bin")
    del state["bleurt.pooler.dense.bias"]
    torch.save(state, folder / "pytorch_model.bin")
    message = r"whole does not load as BLEURT: missing weights \(1\), first rembert\.pooler"
    with pytest.raises(MedAlignError, match=message):
        score_bleurt(["a"], ["a"], model=str(folder))
    folder = write_tiny_bleurt_20(tmp_path / "other", ends=("[A]", "[SEP]"))
    with pytest.raises(MedAlignError, match=r"spm\.model has no \[CLS\] or \[SEP\]"):
        score_bleurt(["a"], ["a"], model=str(folder))


def test_a_checkpoint_for_tensorflow_is_named(tmp_path):
    (tmp_path / "saved_model.pb").touch()
    with pytest.raises(MedAlignError, match=r"is a checkpoint for TensorFlow, .*BLEURT-20"):
        signature_bleurt(model=str(tmp_path))
