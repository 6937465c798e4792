"""Intervals that allow for instructions of one patient resembling each other."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from medalign_utils.errors import MedAlignError

CONFIDENCE = 0.95


class Interval(NamedTuple):
    """An estimate with the bounds of its 95 % confidence interval; NaN where undefined."""

    estimate: float
    low: float
    high: float


class Bootstrap(NamedTuple):
    """How a bootstrap draws: the number of resamples, and the source of the draws.

    A generator goes on where it stopped, so two calls with one `Bootstrap` draw differently.
    """

    resamples: int
    rng: np.random.Generator

    @classmethod
    def seeded(cls, resamples: int = 2000, seed: int = 1) -> "Bootstrap":
        """Return a bootstrap that draws the same for the same seed.

        >>> first, second = Bootstrap.seeded(100, seed=7), Bootstrap.seeded(100, seed=7)
        >>> first.rng.integers(1000) == second.rng.integers(1000)
        True
        """
        return cls(resamples, np.random.default_rng(seed))


def bootstrap_means(
    values: np.ndarray,
    patients: Sequence[str] | np.ndarray,
    *,
    bootstrap: Bootstrap,
) -> list[Interval]:
    """Means of several columns, with percentile intervals from a bootstrap over patients.

    One patient's rows are drawn or left out together (a cluster bootstrap), since answers from
    one record are not independent. All columns share the same draws, so a column's interval does
    not depend on which others stand beside it. The percentiles are `percentile_levels`, for plain
    ones are too narrow of few patients. The bounds stay within the resampled means, so under about
    10 patients they are still far too narrow, and of values all equal they have no width.

    Args:
        values: float, shape (N, K); NaN marks a value that is undefined.
        patients: shape (N,), the patient of each row.
        bootstrap: over patients.

    Returns:
        K intervals, in the unit of `values`. The mean is over a column's defined values (NaN
        without any). Bounds are NaN for a column with fewer than two patients who have a defined
        value, zero rows included. A resample that happens to hold no defined value has no mean
        and is left out of the percentiles.

    Raises:
        MedAlignError: if shapes or lengths disagree, a patient is missing (None, NaN), or
            `resamples` or `rng` is not as described.

    Source: Efron and Tibshirani 1993, chapter 13; Field and Welsh 2007 for clusters; Hesterberg
    2015 for the percentiles.

    >>> correct = np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 0.0]])
    >>> rng = np.random.default_rng(1)
    >>> first, second = bootstrap_means(correct, ["a", "a", "b"], bootstrap=Bootstrap(200, rng))
    >>> round(first.estimate, 3), first.low, first.high
    (0.667, 0.0, 1.0)
    """
    return resample_means(values, patients, bootstrap=bootstrap).intervals()


class Resampled(NamedTuple):
    """Means of K columns, and their bootstrap distributions over patients.

    Attributes:
        means: shape (K,), over each column's defined values; NaN without any.
        resampled: shape (resamples, K); NaN where a resample holds no defined value of a column.
        n_patients: shape (K,), the patients who have a defined value.
    """

    means: np.ndarray
    resampled: np.ndarray
    n_patients: np.ndarray

    def mean_of(self, columns: Sequence[int]) -> "Resampled":
        """The mean of some columns as one column."""
        return Resampled(
            self.means[columns].mean(keepdims=True),
            self.resampled[:, columns].mean(axis=1, keepdims=True),
            self.n_patients[columns].min(keepdims=True),
        )

    def intervals(self) -> list[Interval]:
        """Each column's mean between the percentiles of its resampled means (`percentile_levels`).

        Bounds are NaN where fewer than two patients have a defined value. Resamples that are NaN
        are left out.
        """
        found = []
        for mean, column, n in zip(self.means, self.resampled.T, self.n_patients, strict=True):
            defined = column[~np.isnan(column)]
            bounds = (np.nan, np.nan)
            if n >= 2 and defined.size:
                bounds = np.quantile(defined, percentile_levels(n))
            found.append(Interval(float(mean), *map(float, bounds)))
        return found


def percentile_levels(n_patients: int) -> tuple[float, float]:
    """Which quantiles of a bootstrap over `n_patients` bound a 95 % interval.

    Of few patients they lie further out than 0.025 and 0.975: as far as Student's t interval is
    wider than z times the standard error that a bootstrap has, which divides by n and not n - 1.

    Source: Hesterberg 2015, "What Teachers Should Know About the Bootstrap", the expanded
    percentile interval.

    >>> [round(float(level), 4) for n in (24, 300) for level in percentile_levels(n)]
    [0.0173, 0.9827, 0.0243, 0.9757]
    """
    t = stats.t.ppf((1 + CONFIDENCE) / 2, n_patients - 1)
    low = stats.norm.cdf(-t * np.sqrt(n_patients / (n_patients - 1)))
    return low, 1 - low


def resample_means(
    values: np.ndarray,
    patients: Sequence[str] | np.ndarray,
    *,
    bootstrap: Bootstrap,
) -> Resampled:
    """Draw the distributions that `bootstrap_means` takes its intervals from; see there.

    For a statistic that is a function of several means, such as a win rate over opponents: apply it
    to `means` and to each row of `resampled`, and ask for the `intervals` of the result.

    >>> drawn = resample_means(np.array([[1.0], [0.0]]), ["a", "b"],
    ...     bootstrap=Bootstrap.seeded(3, 1))
    >>> drawn.means.tolist(), drawn.resampled.shape, drawn.n_patients.tolist()
    ([0.5], (3, 1), [2])
    """
    values = np.asarray(values, dtype=np.float64)
    patients = np.asarray(patients, dtype=object)
    if values.ndim != 2:
        raise MedAlignError(f"resample_means: values of shape {values.shape}, expected (N, K)")
    if patients.shape != (len(values),):
        raise MedAlignError(f"resample_means: {len(values)} rows, {patients.size} patients")
    if any(patient is None or patient != patient for patient in patients):
        raise MedAlignError("resample_means: a row has no patient; every row needs one")
    if bootstrap.resamples < 1:
        raise MedAlignError(f"resample_means: {bootstrap.resamples} resamples, expected 1 or more")
    if not isinstance(bootstrap.rng, np.random.Generator):
        raise MedAlignError(
            f"resample_means: rng is {type(bootstrap.rng).__name__}, expected a numpy Generator"
        )

    names, membership = np.unique(patients.astype(str), return_inverse=True)
    defined = ~np.isnan(values)
    sums = np.zeros((len(names), values.shape[1]))
    counts = np.zeros_like(sums)
    np.add.at(sums, membership, np.where(defined, values, 0.0))
    np.add.at(counts, membership, defined)

    weights = _draw_weights(len(names), bootstrap)
    # einsum, not @: BLAS may add up in another order with another number of threads.
    resampled_sums = np.einsum("rp,pk->rk", weights, sums)
    resampled_counts = np.einsum("rp,pk->rk", weights, counts)
    return Resampled(
        _ratio(sums.sum(axis=0), counts.sum(axis=0)),
        _ratio(resampled_sums, resampled_counts),
        np.count_nonzero(counts, axis=0),
    )


def bootstrap_mean(
    values: Sequence[float] | np.ndarray,
    patients: Sequence[str] | np.ndarray,
    *,
    bootstrap: Bootstrap,
) -> Interval:
    """Mean of one column, shape (N,); everything else as in `bootstrap_means`.

    >>> bootstrap_mean([0.0, 1.0], ["a", "a"], bootstrap=Bootstrap.seeded(100, 1))
    Interval(estimate=0.5, low=nan, high=nan)
    """
    column = np.asarray(values, dtype=np.float64)[:, np.newaxis]
    return bootstrap_means(column, patients, bootstrap=bootstrap)[0]


def resample_rows(patients: Sequence[str] | np.ndarray, *, bootstrap: Bootstrap) -> np.ndarray:
    """How often each row is in each resample of whole patients, for statistics that are no means.

    Args:
        patients: shape (N,), the patient of each row.
        bootstrap: over patients.

    Returns:
        float64, shape (resamples, N).

    >>> resample_rows(["a", "a", "b"], bootstrap=Bootstrap.seeded(2, 1)).tolist()
    [[1.0, 1.0, 1.0], [0.0, 0.0, 2.0]]
    """
    names, membership = np.unique(np.asarray(patients, dtype=str), return_inverse=True)
    return _draw_weights(len(names), bootstrap)[:, membership]


def _draw_weights(n_patients: int, bootstrap: Bootstrap) -> np.ndarray:
    """How often each patient is in each resample: shape (resamples, n_patients), rows sum to n."""
    if n_patients == 0:
        return np.zeros((bootstrap.resamples, 0))
    drawn = bootstrap.rng.integers(0, n_patients, size=(bootstrap.resamples, n_patients))
    # One bincount over all resamples: resample r counts in cells r * n_patients onwards.
    cells = drawn + n_patients * np.arange(bootstrap.resamples)[:, np.newaxis]
    counts = np.bincount(cells.ravel(), minlength=bootstrap.resamples * n_patients)
    return counts.reshape(bootstrap.resamples, n_patients).astype(np.float64)


def _ratio(sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
    return np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)
