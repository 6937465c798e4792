"""Means from few labels and a prediction for every response: prediction-powered inference.

PPI++ (Angelopoulos, Duchi and Zrnic 2023, arXiv:2311.01453) for labels that are clustered by
patient. In the survey literature it is the difference estimator, with a slope: the predictor's mean
over all responses, corrected by its error on the labelled ones. Any predictor gives a valid
interval, and a better one a narrower interval.

In this module, rows are responses, and `labels` are NaN where nobody rated. The labelled rows are a
random sample; `weights`, if their probabilities of being drawn differ, are the inverses of these
(only ratios count, and only labelled rows need one).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from medalign_utils.errors import MedAlignError
from medalign_utils.stats.bootstrap import Interval
from medalign_utils.stats.proportions import Proportions

# With fewer labels a predictor saves little: benchmarks/ppi_coverage.csv.
LEAST_LABELS = 20
# With fewer labels that differ from the commonest one, a predictor's errors are not seen often
# enough, and it does not count.
LEAST_RARER = 5


class Estimate(NamedTuple):
    """A mean from labels and predictions, beside the classical one from the labels alone."""

    interval: Interval
    classical: Interval
    standard_error: float  # NaN with labels of one patient
    classical_error: float
    power: float  # lambda, how much the predictor counts: 0 to 1
    n: int  # responses
    n_labels: int
    n_patients: int  # with a label
    n_unpredicted: int  # predictions that are NaN

    @property
    def effective_labels(self) -> float:
        """The number of labels that, alone, would give the same standard error; at most n."""
        if not self.power:
            return float(self.n_labels)
        most = self.n / self.n_labels  # labels on all responses
        ratio = self.classical_error / max(self.standard_error, 1e-12)
        return self.n_labels * min(ratio**2, most)

    def __str__(self) -> str:
        """Return what the labels are worth, and what to beware of."""
        text = f"{self.n_labels} labels plus this predictor are worth "
        text += f"{self.effective_labels:.0f} labels"
        if self.n_unpredicted:
            text += f"; {self.n_unpredicted} of {self.n} predictions are missing"
        if self.n_labels < LEAST_LABELS:
            text += f"; fewer than {LEAST_LABELS} labels, so prefer the classical interval"
        return text


def ppi_mean(
    labels: Sequence[float] | np.ndarray,
    predictions: Sequence[float] | np.ndarray,
    patients: Sequence[str] | np.ndarray,
    weights: Sequence[float] | np.ndarray | None = None,
    *,
    bounds: tuple[float, float] = (0.0, 1.0),
) -> Estimate:
    """Return the mean label of all responses; arguments have shape (N,).

    Labels lie within `bounds`. Predictions should be on their scale (if not, see `ppi_cross_fit`),
    and NaN counts as the mean prediction: leaving out the responses that a judge failed on would
    bias the mean.

    The weight of the predictor, lambda, minimizes the variance between patients and is cut to
    [0, 1]; it is 0 with fewer than `LEAST_RARER` labels of the rarer value. With one response per
    patient and no weights, point estimate and standard error are those behind `ppi_py.ppi_mean_ci`.
    The interval is Wilson's on the effective sample size, with Student's t for the labelled
    patients, as for all accuracies (`stats.proportions`); if every response has a label, it is the
    classical one. If labels are not only at the bounds, their variance is that after one further
    label at each bound, as Bonett and Price 2012 have it for paired differences, so that equal
    labels do not give an interval of no width.

    Raises:
        MedAlignError: shapes differ, there is no label, or a value is out of range.

    >>> labels = [1, 0] * 5 + [np.nan] * 10
    >>> estimate = ppi_mean(labels, [1, 0] * 5 + [1, 1, 1, 1, 0] * 2, range(20))
    >>> round(estimate.interval.estimate, 3), estimate.classical.estimate
    (0.657, 0.5)
    """
    y, f, codes, w, n_unpredicted = _checked(labels, predictions, patients, weights, bounds)
    n, n_labels, n_all = w.sum(), np.count_nonzero(w), len(y)

    def by_patient(values: np.ndarray) -> np.ndarray:
        return np.bincount(codes, values)

    share = (w * y).sum() / n
    variance = binomial = share * (1 - share)
    if not np.isin(y, (0, 1)).all():
        added = (n * share + 1) / (n + 2)
        variance = ((w * (y - share) ** 2).sum() + 0.5) / (n + 2)
        binomial = added * (1 - added)
    sums, counts = by_patient(w * y)[:, np.newaxis], by_patient(w)[:, np.newaxis]
    alone = Proportions.of_sums(sums, counts, variances=variance, kish=(w**2).sum() / n)
    if variance:  # the number of independent yes-or-no labels with this uncertainty
        alone = alone._replace(effective_n=alone.effective_n * (binomial / variance))
    own = alone.residuals[:, 0] / n
    power, added, shift = 0.0, np.zeros_like(own), 0.0
    if n_labels < n_all and alone.n_patients[0] > 1 and _rarer(y[w > 0]) >= LEAST_RARER:
        # The estimate is linear in the predictions, with these coefficients, which sum to 0.
        pull = (1 - w * n_all / n) / (n_all - n_labels)
        moved = pull * (f - _centres(f, w))
        added, shift = by_patient(moved), (pull * f).sum()
        if (moved**2).sum() > 1e-20:
            effect = (added**2).sum() / (moved**2).sum()  # of clusters
            spread = f.var(ddof=1) * (pull**2).sum() * effect
            power = float(np.clip(-(own * added).sum() / spread, 0, 1)) if spread else 0.0
    error, classical_error = (
        float(np.sqrt((scores**2).sum())) for scores in (own + power * added, own)
    )
    if error > classical_error:
        power, error = 0.0, classical_error
    low, high = bounds
    scale = high - low
    is_alone = alone.n_patients[0] < 2
    errors = (np.nan if is_alone else scale * value for value in (error, classical_error))
    undefined = Interval(np.nan, np.nan, np.nan)
    estimate = Estimate(
        undefined, undefined, *errors, power, n_all, n_labels, int(alone.n_patients[0]),
        n_unpredicted,
    )  # fmt: skip
    powered = alone._replace(
        shares=np.clip(alone.shares + power * shift, 0, 1),
        effective_n=alone.effective_n * (estimate.effective_labels / n_labels),
    )
    interval, classical = (
        Interval(*(low + scale * value for value in part.intervals()[0]))
        for part in (powered, alone)
    )
    return estimate._replace(interval=interval, classical=classical)


def ppi_difference(
    labels: np.ndarray,
    predictions: np.ndarray,
    patients: Sequence[str] | np.ndarray,
    weights: Sequence[float] | np.ndarray | None = None,
    *,
    bounds: tuple[float, float] = (0.0, 1.0),
) -> Estimate:
    """Return the mean of a system's labels minus another's; labels and predictions are (N, 2).

    Rows are instructions, and one of which a label is missing counts as not labelled. Lambda is
    tuned to the difference. Otherwise as `ppi_mean`, with the labels' `bounds`.
    """
    labels, predictions = np.asarray(labels, np.float64), np.asarray(predictions, np.float64)
    if labels.ndim != 2 or labels.shape[1] != 2 or predictions.shape != labels.shape:
        raise MedAlignError(
            f"ppi_difference: labels {labels.shape}, predictions {predictions.shape}; expected "
            "(N, 2) for both"
        )
    if ((labels < bounds[0]) | (labels > bounds[1])).any():
        raise MedAlignError(f"ppi_difference: a label is not within {bounds[0]:g} to {bounds[1]:g}")
    largest = bounds[1] - bounds[0]
    (y, other), (f, other_f) = labels.T, predictions.T
    return ppi_mean(y - other, f - other_f, patients, weights, bounds=(-largest, largest))


def _rarer(labels: np.ndarray) -> int:
    """The number of labels that differ from the commonest one."""
    return len(labels) - np.unique(labels, return_counts=True)[1].max()


def _centres(f: np.ndarray, w: np.ndarray) -> np.ndarray:
    """The mean prediction from which each row's deviation counts in the standard error.

    In a sample with equal probabilities, labelled and other rows have one expectation, and each
    part's own mean gives `ppi_py`'s standard error. With unequal probabilities they differ.
    """
    labelled = w > 0
    if np.ptp(w[labelled]) < 1e-9:
        return np.where(labelled, f[labelled].mean(), f[~labelled].mean())
    return np.full(len(f), f.mean())


def _checked(
    labels: Sequence[float] | np.ndarray,
    predictions: Sequence[float] | np.ndarray,
    patients: Sequence[str] | np.ndarray,
    weights: Sequence[float] | np.ndarray | None,
    bounds: tuple[float, float],
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, int]:
    """Labels and predictions on [0, 1], codes of patients, weights that sum to the labels' number.

    Rows without a label have weight 0 and label 0. Further, the number of NaN predictions.
    """
    low, high = bounds
    y = (np.asarray(labels, dtype=np.float64) - low) / (high - low)
    f = (np.asarray(predictions, dtype=np.float64) - low) / (high - low)
    patients = np.asarray(list(patients), dtype=object)
    w = np.ones(len(y)) if weights is None else np.asarray(weights, dtype=np.float64)
    if y.ndim != 1 or not y.shape == f.shape == patients.shape == w.shape:
        raise MedAlignError(
            f"ppi_mean: {y.shape} labels, {f.shape} predictions, {patients.shape} patients, "
            f"{w.shape} weights; expected one per response"
        )
    labelled = ~np.isnan(y)
    if not labelled.any():
        raise MedAlignError(f"ppi_mean: none of {len(y)} responses has a label")
    codes = pd.factorize(patients)[0]
    if (codes < 0).any():
        raise MedAlignError(f"ppi_mean: {(codes < 0).sum()} responses have no patient")
    if ((y[labelled] < -1e-9) | (y[labelled] > 1 + 1e-9)).any():
        raise MedAlignError(f"ppi_mean: a label is not within {low:g} to {high:g}")
    if not (w[labelled] > 0).all() or np.isinf(w[labelled]).any():
        raise MedAlignError("ppi_mean: the weight of a labelled response is not above 0")
    if np.isinf(f).any():
        raise MedAlignError("ppi_mean: a prediction is infinite")
    missing = np.isnan(f)
    f = np.where(missing, 0.0 if missing.all() else np.mean(f[~missing]), f)
    w = np.where(labelled, w, 0.0)
    return np.where(labelled, y, 0.0), f, codes, w * (labelled.sum() / w.sum()), int(missing.sum())
