"""ROUGE-L through Google's rouge-score."""

from collections.abc import Sequence
from importlib.metadata import version

import numpy as np

from medalign_utils.metrics.base import check_texts


def score_rouge_l(
    predictions: Sequence[str], references: Sequence[str], *, progress: bool = False
) -> np.ndarray:
    """ROUGE-L F1: the longest common subsequence of words, Porter-stemmed.

    Words are runs of a-z and 0-9 after lower-casing, so "1.4" is two of them.

    Args:
        predictions: N answers.
        references: N references, in the same order.
        progress: show a progress bar.

    Returns:
        float64, shape (N,), in [0, 1]; an answer or a reference without a word scores 0.

    Raises:
        MedAlignError: the lengths differ, or a value is not a string.

    Source: Lin 2004.

    >>> score_rouge_l(["creatinine was high"], ["the creatinine was 1.4"]).round(3)
    array([0.5])
    """
    check_texts("score_rouge_l", predictions=predictions, references=references)
    from rouge_score.rouge_scorer import RougeScorer
    from tqdm.auto import tqdm

    scorer = RougeScorer(["rougeL"], use_stemmer=True)
    pairs = zip(references, predictions, strict=True)
    return np.array(
        [
            scorer.score(reference, prediction)["rougeL"].fmeasure
            for reference, prediction in tqdm(
                pairs, "rouge_l", total=len(predictions), disable=not progress
            )
        ],
        dtype=np.float64,
    )


def signature_rouge_l() -> str:
    """State the settings behind a ROUGE-L score.

    >>> signature_rouge_l()  # doctest: +ELLIPSIS
    'rougeL|stem:yes|v:...'
    """
    return f"rougeL|stem:yes|v:{version('rouge-score')}"
