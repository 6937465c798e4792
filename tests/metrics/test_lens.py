import math
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from medalign_utils.errors import MedAlignError, NotAvailableError
from medalign_utils.metrics.lens import score_lens, signature_lens
from tests.builders.tiny_models import write_tiny_lens

QUESTIONS = ["Last creatinine?", "Any chest pain?", "Which statin?"]
RESPONSES = ["Creatinine: 1.4 mg/dL", "", "on atorvastatin 40 mg daily."]
REFERENCES = ["1.4 mg/dL", "Denies chest pain", ""]


@pytest.fixture
def model(models):
    return Path(models["lens"]["model"])


def test_score_lens_by_the_formula(model):
    """Compare with: layers normalised, mixed, averaged; seven blocks; two tanh layers."""
    state = torch.load(model / "checkpoints" / "model.ckpt", weights_only=True)["state_dict"]
    state = {name: tensor.numpy().astype(float) for name, tensor in state.items()}
    tokenizer = AutoTokenizer.from_pretrained(model / "encoder")
    encoder = AutoModel.from_pretrained(model / "encoder", add_pooling_layer=False).eval()
    mix = [state[f"layerwise_attention.scalar_parameters.{i}"][0] for i in range(3)]
    mix = np.exp(mix) / np.exp(mix).sum()

    def embed(text):
        with torch.no_grad():
            ids = tokenizer(text.lower(), return_tensors="pt")["input_ids"]
            layers = [h[0].numpy() for h in encoder(ids, output_hidden_states=True).hidden_states]
        layers = [(layer - layer.mean()) / layer.std() for layer in layers]
        mixed = sum(weight * layer for weight, layer in zip(mix, layers, strict=True))
        return mixed.mean(axis=0) * state["layerwise_attention.gamma"][0]

    expected = []
    for question, response, reference in zip(QUESTIONS, RESPONSES, REFERENCES, strict=True):
        s, p, r = embed(question), embed(response), embed(reference)
        x = np.concatenate([s, p, r, p * r, abs(p - r), p * s, abs(p - s)])
        for layer in (0, 3):
            x = np.tanh(
                state[f"estimator.ff.{layer}.weight"] @ x + state[f"estimator.ff.{layer}.bias"]
            )
        raw = (state["estimator.ff.6.weight"] @ x + state["estimator.ff.6.bias"])[0]
        expected.append(0.5 * (1 + math.erf(raw / math.sqrt(2))))
    scores = score_lens(QUESTIONS, RESPONSES, REFERENCES, model=str(model))
    np.testing.assert_allclose(scores, expected, atol=1e-5)
    assert len(set(scores.round(4))) == 3


def test_score_lens_ignores_case(model):
    upper = [text.upper() for text in RESPONSES]
    np.testing.assert_array_equal(
        score_lens(QUESTIONS, upper, REFERENCES, model=str(model)),
        score_lens(QUESTIONS, RESPONSES, REFERENCES, model=str(model)),
    )


def test_score_lens_truncates_long_texts_with_a_warning(model):
    # RoBERTa does not use the first two of the 64 positions for tokens, and lens-metric two more.
    with pytest.warns(UserWarning, match="1 of 3 distinct texts exceed .* limit of 60 tok"):
        [score] = score_lens(["q"], ["pain " * 10_000], ["r"], model=str(model))
    assert 0 < score < 1
    n_tokens = len(AutoTokenizer.from_pretrained(model / "encoder")("pain " * 10)["input_ids"]) - 2
    words = 58 * 10 // n_tokens  # which 58 tokens hold, besides <s> and </s>
    [fits] = score_lens(["q"], ["pain " * words], ["r"], model=str(model))
    assert (fits == score) == (58 * 10 % n_tokens == 0)


def test_score_lens_of_several_references_is_their_maximum(model):
    options = {"model": str(model)}
    texts = QUESTIONS[:1] * 3, RESPONSES[:1] * 3
    each = score_lens(*texts, REFERENCES, **options)
    assert len(set(each)) == 3
    several = [REFERENCES, REFERENCES[1], REFERENCES[:2]]
    best = score_lens(*texts, several, **options)
    assert best.tolist() == [each.max(), each[1], each[:2].max()]
    with pytest.raises(MedAlignError, match=r"score_lens: references\[1\] is an empty list"):
        score_lens(*texts, ["a", [], "b"], **options)
    with pytest.raises(MedAlignError, match="score_lens: 3 questions, 3 responses, 2 references"):
        score_lens(*texts, [["a"], "b"], **options)


def test_score_lens_refuses_other_checkpoints(model, tmp_path):
    salsa = write_tiny_lens(tmp_path / "salsa", class_identifier="unified_metric")
    with pytest.raises(
        MedAlignError, match=r"salsa is not a LENS model: .*unified_metric.* expected .*multi"
    ):
        score_lens(["q"], ["a"], ["r"], model=str(salsa))
    other = write_tiny_lens(tmp_path / "other", hidden_sizes=[8, 5])
    with pytest.raises(MedAlignError, match=r"model\.ckpt of .* does not fit its hparams\.yaml"):
        score_lens(["q"], ["a"], ["r"], model=str(other))
    lacking = write_tiny_lens(tmp_path / "lacking")
    file = lacking / "checkpoints" / "model.ckpt"
    state = torch.load(file, weights_only=True)["state_dict"]
    torch.save({"state_dict": {k: v for k, v in state.items() if "gamma" not in k}}, file)
    with pytest.raises(
        MedAlignError, match=r"missing weights \(1\), first layerwise_attention\.gam"
    ):
        score_lens(["q"], ["a"], ["r"], model=str(lacking))


def test_a_checkpoint_that_would_run_code_is_not_read(tmp_path):
    folder = write_tiny_lens(tmp_path / "lens")
    file = folder / "checkpoints" / "model.ckpt"
    torch.save(torch.load(file, weights_only=True) | {"callbacks": {Path: tmp_path}}, file)
    with pytest.raises(NotAvailableError, match="contains code as well as weights"):
        score_lens(["q"], ["a"], ["r"], model=str(folder))


@pytest.mark.parametrize("content", ["", "garbage", "<html>", "torn", "a list", "no state_dict"])
def test_a_file_that_is_not_a_checkpoint_is_an_error_not_a_skip(tmp_path, content):
    folder = write_tiny_lens(tmp_path / "lens")
    file = folder / "checkpoints" / "model.ckpt"
    if content == "torn":
        file.write_bytes(file.read_bytes()[:5000])
    elif content in ("a list", "no state_dict"):
        torch.save([1] if content == "a list" else {"weights": {}}, file)
    else:
        file.write_text(content)
    with pytest.raises(MedAlignError, match=r"model\.ckpt of .*lens is damaged or has") as caught:
        score_lens(["q"], ["a"], ["r"], model=str(folder))
    assert not isinstance(caught.value, NotAvailableError)


def test_a_missing_encoder_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    folder = write_tiny_lens(tmp_path / "lens", pretrained_model="roberta-large")
    with pytest.raises(NotAvailableError, match="roberta-large is not on this machine"):
        score_lens(["q"], ["a"], ["r"], model=str(folder))


@pytest.mark.parametrize("file", ["hparams.yaml", "encoder/merges.txt"])
def test_signature_lens_depends_on_the_settings_of_model_and_encoder(tmp_path, file):
    folder = write_tiny_lens(tmp_path / "lens")
    before = signature_lens(model=str(folder))
    with (folder / file).open("a") as opened:
        opened.write("\n")
    assert signature_lens(model=str(folder)) != before
