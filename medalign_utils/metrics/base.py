"""What metrics share: checks of their texts, and the loop over pairs of them."""

import warnings
from collections.abc import Callable, Sequence

import numpy as np

from medalign_utils.errors import MedAlignError

# Names are apart from what they name, so that a changed metric re-runs no generation.
METRIC_NAMES = (
    "comet", "bertscore", "meteor", "chrf", "google_bleu", "rouge_l", "bleurt", "lens", "unieval",
)  # fmt: skip
# Those whose weights an experiment's `weights` names; COMET's have a parameter of their own.
WITH_WEIGHTS = ("bertscore", "bleurt", "lens", "unieval")

# Neural scores are rounded to this number of decimals where they are computed: the rest depends on
# batches and the machine, and equal responses must tie.
DECIMALS = 6


def check_texts(function: str, **columns: Sequence[str]) -> None:
    """Raise MedAlignError if columns of texts differ in length or hold anything but strings.

    >>> check_texts("score_chrf", predictions=["a", "b"], references=["a"])
    Traceback (most recent call last):
    ...
    medalign_utils.errors.MedAlignError: score_chrf: 2 predictions, 1 references
    """
    if len({len(column) for column in columns.values()}) > 1:
        sizes = ", ".join(f"{len(column)} {name}" for name, column in columns.items())
        raise MedAlignError(f"{function}: {sizes}")
    for name, column in columns.items():
        for position, text in enumerate(column):
            if not isinstance(text, str):
                raise MedAlignError(
                    f"{function}: {name}[{position}] is {text!r}, expected a string "
                    "(an empty answer is '')"
                )


def warn_of(metric: str, count: int, texts: str, fault: str) -> None:
    """Warn how many of the texts a metric scores otherwise than a reader may expect, if any."""
    if count:
        warnings.warn(f"score_{metric}: {count} of {texts} {fault}", stacklevel=3)


def score_pairs(
    metric: str,
    score: Callable[[str, str], float],
    predictions: Sequence[str],
    references: Sequence[str],
    progress: bool,
) -> np.ndarray:
    """Return the score of each prediction and its reference: float64, shape (N,).

    >>> score_pairs("length", lambda prediction, _: len(prediction), ["a", "bc"], ["", ""], False)
    array([1., 2.])
    """
    from tqdm.auto import tqdm

    check_texts(f"score_{metric}", predictions=predictions, references=references)
    pairs = tqdm(list(zip(predictions, references, strict=True)), metric, disable=not progress)
    return np.array([score(*pair) for pair in pairs], dtype=np.float64)
