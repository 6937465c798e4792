"""ChrF through sacrebleu."""

from collections.abc import Sequence
from importlib.metadata import version

import numpy as np

from medalign_utils.metrics.base import Metric, score_pairs


def score_chrf(
    responses: Sequence[str], references: Sequence[str], *, progress: bool = False
) -> np.ndarray:
    """Return sentence-level chrF2 in [0, 1]: character n-grams up to 6, recall weighted twice.

    This is sacrebleu's score divided by 100. An empty text scores 0.

    Source: Popović 2015, with sacrebleu's defaults (Post 2018).

    >>> score_chrf(["the same", "xyz"], ["the same", "abc"])
    array([1., 0.])
    """
    from sacrebleu.metrics import CHRF

    chrf = CHRF()

    def score(response: str, reference: str) -> float:
        return chrf.sentence_score(response, [reference]).score / 100

    return score_pairs("chrf", score, responses, references, progress)


def signature_chrf() -> str:
    """Return the settings of chrF in sacrebleu's terms."""
    return f"chrF2|nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no|v:{version('sacrebleu')}"


CHRF = Metric(
    name="chrf",
    label="chrF",
    range=(0, 1),
    compares="character n-grams",
    citation="[Popović 2015](https://aclanthology.org/W15-3049/)",
    score=score_chrf,
    signature=signature_chrf,
)
