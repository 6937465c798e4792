"""Bootstrap intervals that resample whole patients, because their instructions are correlated."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.special import ndtr, stdtrit  # scipy.stats takes half a second to import

from medalign_utils.errors import MedAlignError

CONFIDENCE = 0.95
# Minimum number of patients in a group for an interval; with fewer it would be far too narrow.
LEAST_INTERVAL = 5


class Interval(NamedTuple):
    """An estimate with the bounds of its 95 % confidence interval; NaN where undefined."""

    estimate: float
    low: float
    high: float


def interval_columns(name: str, intervals: Sequence[Interval]) -> dict[str, list[float]]:
    """Return three columns: the estimate and its bounds.

    >>> interval_columns("correct", [Interval(0.5, 0.4, 0.6)])
    {'correct': [0.5], 'correct_low': [0.4], 'correct_high': [0.6]}
    """
    names = (name, f"{name}_low", f"{name}_high")
    return {column: [i[place] for i in intervals] for place, column in enumerate(names)}


class Bootstrap(NamedTuple):
    """The number of resamples, and a random generator, which every use advances."""

    resamples: int
    rng: np.random.Generator

    @classmethod
    def seeded(cls, resamples: int = 2000, seed: int = 1) -> "Bootstrap":
        """Return a bootstrap whose results are reproducible from the seed."""
        return cls(resamples, np.random.default_rng(seed))


class Resampled(NamedTuple):
    """Means of K columns, and their bootstrap distributions over patients."""

    means: np.ndarray  # (K,), over defined values; NaN if there are none
    resampled: np.ndarray  # (resamples, K); NaN if a resample has no defined value
    n_patients: np.ndarray  # (K,), number of patients with a defined value

    def part(self, columns: slice) -> "Resampled":
        """Return some of the columns."""
        return Resampled(*(array[..., columns] for array in self))

    def mean_of(self, columns: Sequence[int]) -> "Resampled":
        """Return the mean of some columns as one column."""
        return Resampled(
            self.means[columns].mean(keepdims=True),
            self.resampled[:, columns].mean(axis=1, keepdims=True),
            self.n_patients[columns].min(keepdims=True),
        )

    def intervals(self) -> list[Interval]:
        """Return each column's mean with its percentile interval (`percentile_levels`).

        Undefined resamples are left out. Bounds are NaN if fewer than two patients have a value.
        """
        intervals = []
        for mean, column, n in zip(self.means, self.resampled.T, self.n_patients, strict=True):
            bounds = (np.nan, np.nan)
            if n >= 2 and not np.isnan(column).all():
                bounds = np.nanquantile(column, percentile_levels(n))
            intervals.append(Interval(float(mean), *map(float, bounds)))
        return intervals


def percentile_levels(n_patients: int) -> tuple[float, float]:
    """Return the levels of the two bootstrap quantiles that bound a 95 % interval.

    With few patients they are further apart than 0.025 and 0.975, which gives the expanded
    percentile interval of Hesterberg 2015, "What Teachers Should Know About the Bootstrap".

    >>> [round(float(level), 4) for level in percentile_levels(24)]
    [0.0173, 0.9827]
    """
    t = stdtrit(n_patients - 1, (1 + CONFIDENCE) / 2)
    low = ndtr(-t * np.sqrt(n_patients / (n_patients - 1)))
    return low, 1 - low


def bootstrap_means(
    values: np.ndarray, patients: Sequence[str] | np.ndarray, *, bootstrap: Bootstrap
) -> list[Interval]:
    """Return the mean of each column with its interval; arguments as for `resample_means`.

    With fewer than about 10 patients, intervals are far too narrow.
    """
    return resample_means(values, patients, bootstrap=bootstrap).intervals()


def resample_means(
    values: np.ndarray, patients: Sequence[str] | np.ndarray, *, bootstrap: Bootstrap
) -> Resampled:
    """Return the means of all columns of `values` (N, K) under the same resamples of patients.

    NaN is ignored. To bootstrap a function of several means, such as a win rate over opponents,
    apply it to `means` and to each row of `resampled`.

    Source: Field and Welsh 2007, "Bootstrapping clustered data".
    """
    patients = np.asarray(patients, dtype=object)
    if patients.shape != (len(values),):
        raise MedAlignError(f"resample_means: {len(values)} rows, {patients.size} patients")
    if pd.isna(patients).any():
        raise MedAlignError("resample_means: every row needs a patient")
    names, sums, counts = sums_by_patient(values, patients.astype(str))
    weights = _draw_weights(len(names), bootstrap)
    # einsum instead of @, because the order in which BLAS adds depends on the number of threads.
    totals, n = (np.einsum("rp,pk->rk", weights, columns) for columns in (sums, counts))
    with np.errstate(invalid="ignore"):  # 0 / 0 is NaN
        means = sums.sum(axis=0) / counts.sum(axis=0)
        return Resampled(means, totals / n, np.count_nonzero(counts, axis=0))


def resample_rows(patients: Sequence[str] | np.ndarray, *, bootstrap: Bootstrap) -> np.ndarray:
    """Return how often each row counts, shape (1 + resamples, N); row 0 is the sample, all ones."""
    names, membership = np.unique(np.asarray(patients, dtype=str), return_inverse=True)
    return np.vstack([np.ones(len(names)), _draw_weights(len(names), bootstrap)])[:, membership]


def sums_by_patient(
    values: np.ndarray | pd.DataFrame, patients: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the sorted patients, and the sums and counts of defined values: (patients, K)."""
    values = np.asarray(values, dtype=np.float64)
    names, membership = np.unique(patients, return_inverse=True)
    sums = np.zeros((len(names), values.shape[1]))
    counts = np.zeros_like(sums)
    np.add.at(sums, membership, np.where(np.isnan(values), 0.0, values))
    np.add.at(counts, membership, ~np.isnan(values))
    return names, sums, counts


def _draw_weights(n_patients: int, bootstrap: Bootstrap) -> np.ndarray:
    """Return how often each patient is in each resample: shape (resamples, n_patients)."""
    shape = (bootstrap.resamples, n_patients)
    drawn = bootstrap.rng.integers(0, max(n_patients, 1), size=shape)
    # A single bincount: resample r counts in the cells from r * n_patients.
    cells = drawn + n_patients * np.arange(bootstrap.resamples)[:, np.newaxis]
    return np.bincount(cells.ravel(), minlength=drawn.size).reshape(shape).astype(np.float64)
