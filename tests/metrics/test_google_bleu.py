from collections import Counter

import numpy as np

from medalign_utils.metrics.google_bleu import score_google_bleu


def gleu(response: list[str], reference: list[str]) -> float:
    """Return the score of Wu et al. (2016)."""
    of_prediction, of_reference = (
        Counter(tuple(words[i : i + n]) for n in range(1, 5) for i in range(len(words) - n + 1))
        for words in (response, reference)
    )
    larger = max(of_prediction.total(), of_reference.total())
    return (of_prediction & of_reference).total() / larger if larger else 0.0


def test_score_google_bleu_by_the_formula():
    rng = np.random.default_rng(1)
    words = np.array(["pain", "no", "1.4", "mg", "chest", "Chest"])
    texts = [" ".join(rng.choice(words, size=rng.integers(0, 9))) for _ in range(60)]
    responses, references = texts[:30], texts[30:]
    expected = [
        gleu(*(text.split() for text in pair)) for pair in zip(responses, references, strict=True)
    ]
    np.testing.assert_allclose(score_google_bleu(responses, references), expected, atol=1e-12)


def test_score_google_bleu_by_hand():
    # "no pain ." has 3 + 2 + 1 n-grams, "no pain at all ." 5 + 4 + 3 + 2; shared: no, pain, ".",
    # "no pain": 4 of 14, the smaller of precision and recall. The full stop counts as a word.
    assert score_google_bleu(["no pain."], ["no pain at all."]) == [4 / 14]
    assert score_google_bleu(["Pain"], ["pain"]) == [0]  # case counts


def test_score_google_bleu_edges():
    scores = score_google_bleu(["", "pain", "", "same text"], ["pain", "", "", "same text"])
    np.testing.assert_array_equal(scores, [0, 0, 0, 1])
    # 10,000 words have 39,994 n-grams up to 4, and "pain" is one of them.
    assert score_google_bleu(["no " * 9999 + "pain"], ["pain"]) == [1 / 39994]


def test_google_bleu_counts_punctuation_as_words():
    # ". ." has 2 + 1 n-grams, ". . ." 3 + 2 + 1; they share 2 + 1.
    scores = score_google_bleu(["?", "?", ". ."], ["?", "!", ". . ."])
    np.testing.assert_array_equal(scores, [1, 0, 3 / 6])
