"""What a metric is, and code shared by metrics: checks of texts, the loop over pairs of texts."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module

import numpy as np

from medalign_utils.errors import MedAlignError

# Neural scores are rounded to this many decimals, because further digits depend on the batch and
# the machine, and the scores of equal responses must tie.
DECIMALS = 6


@dataclass(frozen=True)
class Metric:
    """A metric: its name, how to show and cite it, and its functions.

    Both functions also take the metric's settings as keyword arguments, and raise
    `NotAvailableError` if weights cannot be reached:

    - ``score(responses=..., references=..., progress=...)`` returns float64 of shape (N,), or
      (N, names) if there are several names; with `needs_question` it also takes ``questions``
    - ``signature()`` returns the settings as text

    Example: `medalign_utils/metrics/chrf.py`.
    """

    name: str  # in experiments, and of its scores
    label: str  # in figures and tables
    range: tuple[float, float]  # of its scores; bounds may be infinite
    compares: str  # what it compares, for docs/metrics.md
    citation: str  # authors, year, and the paper's address
    score: Callable[..., np.ndarray]
    signature: Callable[..., str]
    needs_question: bool = False
    # Takes `model`, a folder or hub id, which an experiment's `weights` sets.
    needs_weights: bool = False
    # If False, saved scores are negated, like scikit-learn's neg_* scorers, so that everywhere
    # higher is better.
    higher_is_better: bool = True
    # Returns the names of its scores under given settings, if they differ from its own.
    names: Callable[..., Sequence[str]] | None = None
    labels: Mapping[str, str] = field(default_factory=dict)  # of these names


def registered() -> Mapping[str, Metric]:
    """Return the metrics by name; see `registry`.

    The registry is imported by its name, so that a notebook's code digest includes the metrics'
    modules only where they score: a changed metric re-runs no generation.
    """
    return import_module("medalign_utils.metrics.registry").METRICS


def metric_labels() -> dict[str, str]:
    """Return the labels of all named scores; COMET's are named and labelled by the checkpoint.

    >>> metric_labels()["rouge_l"], metric_labels()["unieval_overall"]
    ('ROUGE-L', 'UniEval Overall')
    """
    metrics = registered().values()
    return {metric.name: metric.label for metric in metrics} | {
        name: label for metric in metrics for name, label in metric.labels.items()
    }


def metric_ranges() -> dict[str, tuple[float, float]]:
    """Return the ranges of all named scores; negated scores have negated ranges.

    >>> metric_ranges()["chrf"]
    (0, 1)
    """
    ranges = {}
    for metric in registered().values():
        low, high = (
            metric.range if metric.higher_is_better else (-metric.range[1], -metric.range[0])
        )
        ranges |= dict.fromkeys((metric.name, *metric.labels), (low, high))
    return ranges


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
