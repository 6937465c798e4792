from types import SimpleNamespace
from unittest.mock import Mock

import nltk.corpus
import numpy as np
import pytest
from nltk.tokenize import word_tokenize
from nltk.translate.meteor_score import meteor_score
from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

from medalign_utils.metrics import meteor
from medalign_utils.metrics.meteor import (
    names_meteor,
    score_meteor,
    score_meteor_13a,
    signature_meteor,
    signature_meteor_13a,
)
from medalign_utils.metrics.registry import METRICS
from medalign_utils.metrics.words import punkt_name

DOCTORS = SimpleNamespace(
    lemmas=lambda: [
        SimpleNamespace(name=lambda: "doctor"),
        SimpleNamespace(name=lambda: "physician"),
    ]
)
WORDNET = SimpleNamespace(
    synsets=lambda word: [DOCTORS] if word in ("doctor", "physician") else [],
    get_version=lambda: "3.0",
)


@pytest.fixture
def without_wordnet(monkeypatch):
    monkeypatch.setattr(meteor, "_wordnet", lambda: None)


def test_score_meteor_by_hand(without_wordnet):
    # "creatinine was high" | "the creatinine was 1.4": 2 words match, precision 2/3, recall 2/4,
    # F = PR / (0.9 P + 0.1 R) = (1/3) / 0.65, in one chunk of 2 words: penalty 0.5 (1/2)^3.
    expected = (1 / 3) / 0.65 * (1 - 0.5 / 8)
    [score] = score_meteor(["creatinine was high"], ["the creatinine was 1.4"])
    assert score == pytest.approx(expected, abs=1e-12)
    # In the opposite order they are two chunks of one word: penalty 0.5 (2/2)^3.
    [score] = score_meteor(["was creatinine high"], ["the creatinine was 1.4"])
    assert score == pytest.approx((1 / 3) / 0.65 * 0.5, abs=1e-12)


def test_score_meteor_ignores_case_matches_stems_and_keeps_numbers_whole(without_wordnet):
    # Equal except for case and stem: 3 words in one chunk, 1 - 0.5 / 27.
    scores = score_meteor(["Patient Denies pains", "1.4"], ["patient denied pain", "1 4"])
    np.testing.assert_allclose(scores, [1 - 0.5 / 27, 0])  # 1.4 is one word, not two


@pytest.mark.parametrize(
    ("score", "tokenize"),
    [
        (score_meteor, lambda text: word_tokenize(text, preserve_line=True)),
        (score_meteor_13a, lambda text: Tokenizer13a()(text).split()),
    ],
)
def test_score_meteor_equals_the_librarys(without_wordnet, score, tokenize):
    rng = np.random.default_rng(1)
    words = np.array(["pain", "pains", "no", "1.4", "mg/dL,", "chest", "(left)", "**denied**:"])
    texts = [" ".join(rng.choice(words, size=rng.integers(0, 9))) for _ in range(60)]
    responses, references = texts[:30], texts[30:]
    expected = [
        meteor_score([tokenize(r)], tokenize(p), wordnet=meteor.NoWordNet)
        for p, r in zip(responses, references, strict=True)
    ]
    np.testing.assert_array_equal(score(responses, references), expected)


def test_score_meteor_edges(without_wordnet):
    scores = score_meteor(["", "pain", "pain", " \n"], ["pain", "", "pain", ""])
    np.testing.assert_array_equal(scores, [0, 0, 0.5, 0])
    # One of 10,000 words matches: P = 1/10000, R = 1, one chunk of one word: penalty 0.5.
    [score] = score_meteor(["no " * 9999 + "pain"], ["pain"])
    assert score == pytest.approx(1e-4 / (0.9e-4 + 0.1) * 0.5)


def test_meteor_counts_punctuation_as_words(without_wordnet):
    scores = score_meteor(["?", "...", ", .", "?"], ["?", "...", ", .", "!"])
    np.testing.assert_allclose(scores, [0.5, 0.5, 1 - 0.5 / 8, 0])


def test_meteor_splits_fewer_marks_than_its_13a_variant(without_wordnet):
    # word_tokenize: _Dose_ : 40 mg/day | Dose : 40 mg | 2 of 4 words match in one chunk.
    # 13a: _ Dose _ : 40 mg / day: 4 of 8 words and 4 of 4 match in two chunks, Dose and ": 40 mg".
    texts = ["_Dose_: 40 mg/day"], ["Dose: 40 mg"]
    words = (1 / 2) ** 2 / (0.9 / 2 + 0.1 / 2) * (1 - 0.5 / 8)
    tokens = (4 / 8) / (0.9 * 4 / 8 + 0.1) * (1 - 0.5 / 8)
    np.testing.assert_allclose(score_meteor(*texts), [words])
    np.testing.assert_allclose(score_meteor_13a(*texts), [tokens])


def test_meteor_and_its_13a_variant_have_their_own_names(without_wordnet):
    assert METRICS["meteor_13a"].names() == ["meteor_13a_no_wordnet"]
    assert "|tok:13a|" in signature_meteor_13a() and "|sacrebleu:" in signature_meteor_13a()


def test_with_and_without_wordnet_are_two_metrics(monkeypatch, without_wordnet):
    texts = ["doctor"], ["physician"]
    assert names_meteor() == ["meteor_no_wordnet"] and score_meteor(*texts) == [0]
    without = signature_meteor()
    tokens = f"word_tokenize,{punkt_name()}"
    assert without.startswith(f"meteor|case:lower|tok:{tokens}|match:exact,porter|alpha:0.9|")
    monkeypatch.setattr(meteor, "_wordnet", lambda: WORDNET)
    assert names_meteor() == ["meteor"] and score_meteor(*texts) == [0.5]
    assert signature_meteor() == without.replace("porter|", "porter,wordnet-3.0|")


def test_wordnet_is_found_where_nltk_finds_it(monkeypatch):
    wordnet = Mock(ensure_loaded=Mock(side_effect=[LookupError, None]))
    monkeypatch.setattr(nltk.corpus, "wordnet", wordnet)
    assert meteor._wordnet() is None
    assert meteor._wordnet() is wordnet
