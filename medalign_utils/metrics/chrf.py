"""ChrF through sacrebleu."""

from collections.abc import Sequence
from importlib.metadata import version

import numpy as np

from medalign_utils.metrics.base import check_texts


def score_chrf(
    predictions: Sequence[str], references: Sequence[str], *, progress: bool = False
) -> np.ndarray:
    """Sentence-level chrF2 divided by 100: character n-grams up to 6, recall counted twice.

    Args:
        predictions: N answers.
        references: N references, in the same order.
        progress: show a progress bar.

    Returns:
        float64, shape (N,), in [0, 1]; an empty answer or reference scores 0.

    Raises:
        MedAlignError: the lengths differ, or a value is not a string.

    Source: Popović 2015, with sacrebleu's defaults (Post 2018).

    >>> score_chrf(["the same", "xyz"], ["the same", "abc"])
    array([1., 0.])
    """
    check_texts("score_chrf", predictions=predictions, references=references)
    from sacrebleu.metrics import CHRF
    from tqdm.auto import tqdm

    chrf = CHRF()
    pairs = zip(predictions, references, strict=True)
    return np.array(
        [
            chrf.sentence_score(prediction, [reference]).score / 100
            for prediction, reference in tqdm(
                pairs, "chrf", total=len(predictions), disable=not progress
            )
        ],
        dtype=np.float64,
    )


def signature_chrf() -> str:
    """State the settings behind a chrF score, in sacrebleu's own terms.

    >>> signature_chrf()  # doctest: +ELLIPSIS
    'chrF2|nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no|v:...'
    """
    return f"chrF2|nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no|v:{version('sacrebleu')}"
