"""ROUGE-L through Google's rouge-score."""

from collections.abc import Sequence
from importlib.metadata import version

import numpy as np

from medalign_utils.metrics.base import Metric, score_pairs


def score_rouge_l(
    responses: Sequence[str], references: Sequence[str], *, progress: bool = False
) -> np.ndarray:
    """Return ROUGE-L F1 in [0, 1] with rouge-score's defaults: the longest common word sequence.

    Words are runs of a-z and 0-9 after lower-casing; "1.4" is two words. A text without words
    scores 0.

    Source: Lin 2004.

    >>> score_rouge_l(["creatinine was high"], ["the creatinine was 1.4"]).round(3)
    array([0.5])
    """
    return _score("rouge_l", False, responses, references, progress)


def score_rouge_l_stemmed(
    responses: Sequence[str], references: Sequence[str], *, progress: bool = False
) -> np.ndarray:
    """Return ROUGE-L as `score_rouge_l`, but of Porter-stemmed words of four letters or more.

    >>> score_rouge_l_stemmed(["allergies"], ["allergy"]), score_rouge_l(["allergies"], ["allergy"])
    (array([1.]), array([0.]))
    """
    return _score("rouge_l_stemmed", True, responses, references, progress)


def signature_rouge_l(*, stemmed: bool = False) -> str:
    """Return the settings of ROUGE-L."""
    return f"rougeL|stem:{'yes' if stemmed else 'no'}|v:{version('rouge-score')}"


def _score(name, stemmed, responses, references, progress) -> np.ndarray:
    from rouge_score.rouge_scorer import RougeScorer
    from rouge_score.tokenizers import DefaultTokenizer

    # Without an explicit tokenizer, rouge-score logs that it uses the default.
    scorer = RougeScorer(["rougeL"], tokenizer=DefaultTokenizer(use_stemmer=stemmed))

    def score(response: str, reference: str) -> float:
        return scorer.score(reference, response)["rougeL"].fmeasure

    return score_pairs(name, score, responses, references, progress)


ROUGE_L = Metric(
    name="rouge_l",
    label="ROUGE-L",
    range=(0, 1),
    compares="the longest common subsequence of words: F1",
    citation="[Lin 2004](https://aclanthology.org/W04-1013/)",
    score=score_rouge_l,
    signature=signature_rouge_l,
)
ROUGE_L_STEMMED = Metric(
    name="rouge_l_stemmed",
    label="ROUGE-L (stemmed)",
    range=(0, 1),
    compares="the longest common subsequence of word stems: F1",
    citation="[Lin 2004](https://aclanthology.org/W04-1013/)",
    score=score_rouge_l_stemmed,
    signature=lambda: signature_rouge_l(stemmed=True),
)
