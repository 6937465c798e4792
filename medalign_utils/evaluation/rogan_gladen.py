"""A judge's verdicts corrected by its sensitivity and specificity (Rogan and Gladen 1978)."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from medalign_utils.errors import MedAlignError
from medalign_utils.stats.bootstrap import CONFIDENCE, Interval
from medalign_utils.stats.proportions import Proportions


class Corrected(NamedTuple):
    """The share of correct responses from a judge's verdicts; NaN where undefined."""

    interval: Interval
    apparent: float  # share that the judge calls correct
    sensitivity: Interval  # share of correct responses that the judge calls correct
    specificity: Interval  # share of wrong responses that the judge calls wrong
    n: int  # judged responses
    n_labels: int  # judged and labelled

    def __str__(self) -> str:
        """Return why `ppi_mean` is used instead."""
        if np.isnan(self.interval.estimate):
            return (
                "not used: from these labels the judge does not tell correct responses from wrong "
                "ones, so its verdicts cannot be corrected"
            )
        return (
            "for comparison only: it takes yes-or-no verdicts, leaves out what the judge could not "
            "decide, and is wide where sensitivity and specificity are little above a sum of 1; "
            "the prediction-powered estimate is unbiased for any predictor"
        )


def rogan_gladen(
    labels: Sequence[float] | np.ndarray,
    verdicts: Sequence[float] | np.ndarray,
    patients: Sequence[str] | np.ndarray,
    weights: Sequence[float] | np.ndarray | None = None,
) -> Corrected:
    """Return the share of correct responses, from a judge's verdicts on all of them.

    (share called correct + specificity - 1) / (sensitivity + specificity - 1), cut to [0, 1].

    Labels are 0, 1 or NaN, and the judge's verdicts too; arguments are as for `ppi_mean`. The
    interval is by the delta method, with patients as clusters and Student's t for the labelled
    patients. Estimate and interval are NaN if the labels are all equal, or if sensitivity and
    specificity do not sum to more than 1 beyond doubt.
    """
    y, judged = np.asarray(labels, dtype=np.float64), np.asarray(verdicts, dtype=np.float64)
    codes = pd.factorize(np.asarray(list(patients), dtype=object))[0]
    w = np.ones(len(y)) if weights is None else np.asarray(weights, dtype=np.float64)
    if not y.shape == judged.shape == codes.shape == w.shape:
        raise MedAlignError(
            f"rogan_gladen: {len(y)} labels, {len(judged)} verdicts, {len(codes)} patients, "
            f"{len(w)} weights"
        )
    if (codes < 0).any():
        raise MedAlignError(f"rogan_gladen: {(codes < 0).sum()} responses have no patient")
    for name, values in (("label", y), ("verdict", judged)):
        if not np.isin(values[~np.isnan(values)], (0, 1)).all():
            raise MedAlignError(f"rogan_gladen: every {name} must be 0, 1 or NaN")
    is_judged = ~np.isnan(judged)
    labelled = is_judged & ~np.isnan(y)
    if not labelled.any():
        raise MedAlignError("rogan_gladen: no judged response has a label")
    apparent = float(judged[is_judged].mean())
    call = np.where(is_judged, judged, 0.0)
    # Agreement with the label: its mean is the sensitivity where the label is 1, else specificity.
    right = {value: labelled & (y == value) for value in (1, 0)}
    agrees = (call == y).astype(np.float64)
    of_right = {value: _share(agrees, rows, codes, w) for value, rows in right.items()}
    sensitivity, specificity = (of_right[value][0] for value in (1, 0))
    undefined = Interval(np.nan, np.nan, np.nan)
    found = Corrected(
        undefined, apparent, sensitivity, specificity, int(is_judged.sum()), int(labelled.sum())
    )
    n_patients = len(np.unique(codes[labelled]))
    if np.isnan([sensitivity.estimate, specificity.estimate]).any() or n_patients < 2:
        return found
    t = stdtrit(n_patients - 1, (1 + CONFIDENCE) / 2)
    t *= np.sqrt(n_patients / (n_patients - 1))
    youden = sensitivity.estimate + specificity.estimate - 1
    error = np.sqrt(((of_right[1][1] + of_right[0][1]) ** 2).sum())
    if youden <= t * error:
        return found
    share = (apparent + specificity.estimate - 1) / youden
    of_calls = np.bincount(codes, np.where(is_judged, call - apparent, 0) / is_judged.sum())
    scores = (of_calls + (1 - share) * of_right[0][1] - share * of_right[1][1]) / youden
    half = t * np.sqrt((scores**2).sum())
    interval = Interval(*(float(np.clip(x, 0, 1)) for x in (share, share - half, share + half)))
    return found._replace(interval=interval)


def _share(
    values: np.ndarray, rows: np.ndarray, codes: np.ndarray, weights: np.ndarray
) -> tuple[Interval, np.ndarray]:
    """The share of ones in some rows, and what each patient adds to its error."""
    if not rows.any():
        return Interval(np.nan, np.nan, np.nan), np.zeros(codes.max() + 1)
    w = np.where(rows, weights, 0.0)
    w *= rows.sum() / w.sum()
    sums, counts = (np.bincount(codes, part)[:, np.newaxis] for part in (w * values, w))
    shares = Proportions.of_sums(sums, counts, kish=(w**2).sum() / w.sum())
    return shares.intervals()[0], shares.residuals[:, 0] / w.sum()
