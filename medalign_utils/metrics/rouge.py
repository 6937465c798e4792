"""ROUGE-L through Google's rouge-score."""

from collections.abc import Sequence
from importlib.metadata import version

import numpy as np

from medalign_utils.metrics.base import score_pairs


def score_rouge_l(
    responses: Sequence[str], references: Sequence[str], *, progress: bool = False
) -> np.ndarray:
    """Return ROUGE-L F1 in [0, 1]: the longest common subsequence of words, Porter-stemmed.

    Words are runs of a-z and 0-9 after lower-casing; "1.4" is two words. A text without words
    scores 0.

    Source: Lin 2004.

    >>> score_rouge_l(["creatinine was high"], ["the creatinine was 1.4"]).round(3)
    array([0.5])
    """
    from rouge_score.rouge_scorer import RougeScorer
    from rouge_score.tokenizers import DefaultTokenizer

    # Without an explicit tokenizer, rouge-score logs that it uses the default.
    scorer = RougeScorer(["rougeL"], tokenizer=DefaultTokenizer(use_stemmer=True))

    def score(response: str, reference: str) -> float:
        return scorer.score(reference, response)["rougeL"].fmeasure

    return score_pairs("rouge_l", score, responses, references, progress)


def signature_rouge_l() -> str:
    """Return the settings of ROUGE-L."""
    return f"rougeL|stem:yes|v:{version('rouge-score')}"
