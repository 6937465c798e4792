"""Code shared by metrics: their names, checks of texts, and the loop over pairs of texts."""

import warnings
from collections.abc import Callable, Sequence

import numpy as np

from medalign_utils.errors import MedAlignError

# The names are not in the metrics' modules, so that a changed metric does not re-run generation.
METRIC_NAMES = (
    "comet", "bertscore", "meteor", "chrf", "google_bleu", "rouge_l", "bleurt", "lens", "unieval",
)  # fmt: skip
# An experiment's `weights` sets these metrics' weights; `comet_checkpoint` sets COMET's.
WITH_WEIGHTS = ("bertscore", "bleurt", "lens", "unieval")

# Neural scores are rounded to this many decimals, because further digits depend on the batch and
# the machine, and the scores of equal responses must tie.
DECIMALS = 6


def check_texts(function: str, **columns: Sequence[str]) -> None:
    """Raise MedAlignError if columns of texts differ in length, or a text is not a string.

    >>> check_texts("score_chrf", responses=["a", "b"], references=["a"])
    Traceback (most recent call last):
    ...
    medalign_utils.errors.MedAlignError: score_chrf: 2 responses, 1 references
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
    """Warn that `count` of a metric's texts have a fault, such as being cut, unless it is 0."""
    if count:
        warnings.warn(f"score_{metric}: {count} of {texts} {fault}", stacklevel=3)


def score_pairs(
    metric: str,
    score: Callable[[str, str], float],
    responses: Sequence[str],
    references: Sequence[str],
    progress: bool,
) -> np.ndarray:
    """Return the score of each response and its reference: float64, shape (N,).

    >>> score_pairs("length", lambda response, _: len(response), ["a", "bc"], ["", ""], False)
    array([1., 2.])
    """
    from tqdm.auto import tqdm

    check_texts(f"score_{metric}", responses=responses, references=references)
    pairs = tqdm(list(zip(responses, references, strict=True)), metric, disable=not progress)
    return np.array([score(*pair) for pair in pairs], dtype=np.float64)
