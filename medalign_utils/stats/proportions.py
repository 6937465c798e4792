"""Intervals of proportions whose yes-or-no values are clustered by patient, and of differences.

Wilson's interval on the effective sample size, with Student's t (Dean and Pagano 2015, "Evaluating
Confidence Interval Methods for Binomial Proportions in Clustered Surveys"). It holds where the
bootstrap fails: with few patients, and with shares near 0 or 1 (`benchmarks/coverage.py`).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.special import stdtrit  # scipy.stats takes half a second to import

from medalign_utils.errors import MedAlignError
from medalign_utils.stats.bootstrap import CONFIDENCE, Interval, sums_by_patient

# A design effect is a noisy estimate if few patients have the rarer value, so it is averaged with
# that of this correlation within patients, which has the weight of so many patients.
PRIOR_CORRELATION = 0.5
PRIOR_PATIENTS = 5


class Proportions(NamedTuple):
    """Shares of K columns, and what their uncertainty depends on; NaN where undefined."""

    shares: np.ndarray  # (K,)
    effective_n: np.ndarray  # (K,), the number of values divided by the design effect
    n_patients: np.ndarray  # (K,), patients with a value
    residuals: np.ndarray  # (patients, K), each patient's sum minus the share of its count

    @classmethod
    def of(cls, values: np.ndarray, patients: Sequence[str] | np.ndarray) -> "Proportions":
        """Return the shares of ones in `values`, shape (N, K), of 0, 1 and NaN, which is ignored.

        Raises: MedAlignError if a row has no patient or a value is not 0, 1 or NaN.
        """
        values = np.asarray(values, dtype=np.float64)
        patients = np.asarray(patients, dtype=object)
        if patients.shape != (len(values),) or pd.isna(patients).any():
            n = np.count_nonzero(~pd.isna(patients))
            raise MedAlignError(f"Proportions: {len(values)} rows, {n} patients")
        if not (np.isnan(values) | (values == 0) | (values == 1)).all():
            raise MedAlignError("Proportions: every value must be 0, 1 or NaN")
        return cls.of_sums(*sums_by_patient(values, patients.astype(str))[1:])

    @classmethod
    def of_sums(
        cls,
        sums: np.ndarray,
        counts: np.ndarray,
        *,
        variances: np.ndarray | None = None,
        kish: float = 1.0,
    ) -> "Proportions":
        """Return the shares, given each patient's numbers of ones and of values: (patients, K).

        With sampling weights, which sum to the number of values, `sums` and `counts` are weighted,
        and `kish` is the mean square of the weights (Kish 1965). `variances` are those of one
        value, if values are not only 0 and 1.
        """
        n_patients = np.count_nonzero(counts, axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            n = counts.sum(axis=0)
            shares = sums.sum(axis=0) / n
            residuals = sums - shares * counts
            variances = shares * (1 - shares) if variances is None else variances
            # The variance between patients, over the variance of n independent values.
            estimated = (residuals**2).sum(axis=0) / (variances * n)
            estimated *= n_patients / (n_patients - 1)
            assumed = kish + ((counts**2).sum(axis=0) / n - kish) * PRIOR_CORRELATION
            # Patients with the rarer value.
            rarer = np.minimum((sums > 0).sum(axis=0), (sums < counts).sum(axis=0))
            weight = rarer / (rarer + PRIOR_PATIENTS)
            # Where all values are equal, the weight is 0 and the estimate 0 / 0.
            effect = weight * np.where(rarer > 0, estimated, 0) + (1 - weight) * assumed
            return cls(shares, n / np.maximum(effect, 1), n_patients, residuals)

    def intervals(self) -> list[Interval]:
        """Return each share with its interval; bounds are NaN with fewer than two patients."""
        return _intervals(self.shares, *self._bounds())

    def paired_differences(
        self, first: np.ndarray, second: np.ndarray, *, comparisons: int = 1
    ) -> list[Interval]:
        """Return differences between columns, all with the same rows, and their intervals.

        With as many `comparisons` as differences, all the intervals hold at once in 95 % of samples
        (Bonferroni). The intervals of two shares are joined by squaring and adding, less twice the
        correlation of the patients' residuals (Newcombe 1998, method 10; Zou and Donner 2008). The
        correlation is averaged with 0, which has the weight of `PRIOR_PATIENTS` patients.
        """
        low, high = self._bounds(comparisons)
        products = np.einsum("pk,pk->k", self.residuals[:, first], self.residuals[:, second])
        squares = np.sqrt((self.residuals**2).sum(axis=0))
        with np.errstate(invalid="ignore", divide="ignore"):
            correlation = np.nan_to_num(products / (squares[first] * squares[second]))
        n_patients = self.n_patients[first]
        correlation *= n_patients / (n_patients + PRIOR_PATIENTS)
        return _difference(
            *(array[first] for array in (self.shares, low, high)),
            *(array[second] for array in (self.shares, low, high)),
            correlation,
        )

    def differences(self, other: "Proportions") -> list[Interval]:
        """Return each share minus the same share of other patients, with its interval."""
        return _difference(self.shares, *self._bounds(), other.shares, *other._bounds(), 0.0)

    def _bounds(self, comparisons: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """Bounds of the shares, exactly 0 or 1 where all values are."""
        share, n = self.shares, self.effective_n
        # NaN for a single patient.
        t = stdtrit(self.n_patients - 1, 1 - (1 - CONFIDENCE) / 2 / max(comparisons, 1))
        centre = share + t**2 / (2 * n)
        half = t * np.sqrt(share * (1 - share) / n + (t / (2 * n)) ** 2)
        low, high = ((centre + sign * half) / (1 + t**2 / n) for sign in (-1, 1))
        low = np.where((share == 0) & ~np.isnan(low), 0.0, np.clip(low, 0, 1))
        return low, np.where((share == 1) & ~np.isnan(high), 1.0, np.clip(high, 0, 1))


def proportions(values: np.ndarray, patients: Sequence[str] | np.ndarray) -> list[Interval]:
    """Return the share of ones in each column with its interval; arguments as `Proportions.of`.

    >>> [interval] = proportions(np.array([[1], [0], [0], [0]]), list("abcd"))
    >>> [round(value, 3) for value in interval]
    [0.25, 0.02, 0.844]
    """
    return Proportions.of(values, patients).intervals()


def _difference(
    share: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    other: np.ndarray,
    other_low: np.ndarray,
    other_high: np.ndarray,
    correlation: np.ndarray | float,
) -> list[Interval]:
    def joined(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.sqrt(np.maximum(a**2 + b**2 - 2 * correlation * a * b, 0))

    difference = share - other
    below = difference - joined(share - low, other_high - other)
    above = difference + joined(high - share, other - other_low)
    return _intervals(difference, np.clip(below, -1, 1), np.clip(above, -1, 1))


def _intervals(*values: np.ndarray) -> list[Interval]:
    return [Interval(*map(float, row)) for row in zip(*values, strict=True)]
