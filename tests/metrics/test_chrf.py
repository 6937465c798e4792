from collections import Counter

import numpy as np
from sacrebleu.metrics import CHRF

from medalign_utils.metrics.chrf import score_chrf, signature_chrf


def chrf2(response: str, reference: str) -> float:
    """Return Popović's (2015) score, over the n-gram orders that both texts have."""
    response, reference = response.replace(" ", ""), reference.replace(" ", "")
    precisions, recalls = [], []
    for n in range(1, 7):
        of_prediction, of_reference = (
            Counter(text[i : i + n] for i in range(len(text) - n + 1))
            for text in (response, reference)
        )
        if of_prediction and of_reference:
            common = (of_prediction & of_reference).total()
            precisions.append(common / of_prediction.total())
            recalls.append(common / of_reference.total())
    precision, recall = np.mean(precisions), np.mean(recalls)
    return 5 * precision * recall / (4 * precision + recall)


def test_score_chrf_by_the_formula():
    responses = ["Creatinine was 1.4", "1.4 mg/dL", "ab"]
    references = ["Creatinine 1.4 mg/dL", "1.4", "ba"]
    expected = [chrf2(*pair) for pair in zip(responses, references, strict=True)]
    np.testing.assert_allclose(score_chrf(responses, references), expected)


def test_score_chrf_edges():
    scores = score_chrf(["same text", "", "text", "xyz"], ["same text", "text", "", "abc"])
    np.testing.assert_array_equal(scores, [1, 0, 0, 0])


def test_signature_chrf_is_sacrebleus():
    chrf = CHRF()
    chrf.sentence_score("a", ["a"])
    expected = f"chrF2|{chrf.get_signature()}".replace("version:", "v:")
    assert signature_chrf() == expected
