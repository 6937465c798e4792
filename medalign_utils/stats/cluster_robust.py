"""Standard errors of least squares with errors clustered by patient, sound with few patients."""

from typing import NamedTuple

import numpy as np
from scipy.special import stdtrit

from medalign_utils.stats.bootstrap import CONFIDENCE, Interval


class Coefficients(NamedTuple):
    """One coefficient in each of S fits of the same design."""

    estimates: np.ndarray  # (S,)
    errors: np.ndarray  # (S,), standard errors
    df: float  # degrees of freedom of Student's t for the intervals


def fit_coefficient(y: np.ndarray, design: np.ndarray, clusters: np.ndarray) -> Coefficients:
    """Return the first coefficient of least squares, for each column of `y`, shape (N, S).

    `design` has shape (N, K) and full rank, `clusters` shape (N,). Standard errors are CR2 and
    degrees of freedom Satterthwaite's, both for independent errors of one variance (Bell and
    McCaffrey 2002; Pustejovsky and Tipton 2018). The usual CR1 with as many degrees of freedom as
    there are clusters is too narrow if the first column differs from 0 in few clusters.

    >>> y, inside = np.array([[1.0], [3.0], [2.0], [8.0]]), [1, 1, 0, 0]
    >>> design = np.column_stack([inside, np.ones(4)])
    >>> fit = fit_coefficient(y, design, np.arange(4))  # 2 - 5, sqrt(2 / 2 + 18 / 2)
    >>> fit.estimates.round(3).tolist(), fit.errors.round(3).tolist(), round(fit.df, 3)
    ([-3.0], [3.162], 2.0)
    """
    inverse = np.linalg.inv(design.T @ design)
    coefficients = inverse @ design.T @ y
    residuals = y - design @ coefficients
    _, rows = np.unique(clusters, return_inverse=True)
    scores, squares, loads = [], [], []
    for cluster in np.split(np.argsort(rows, kind="stable"), np.cumsum(np.bincount(rows))[:-1]):
        own = design[cluster]
        leverage, vectors = np.linalg.eigh(np.eye(len(own)) - own @ inverse @ own.T)
        root = np.where(leverage > 1e-9, leverage, np.inf) ** -0.5
        weights = (vectors * root) @ vectors.T @ own @ inverse[:, 0]
        scores.append(weights @ residuals[cluster])
        squares.append(weights @ weights)
        loads.append(weights @ own)
    loads = np.array(loads)
    variance = (np.array(scores) ** 2).sum(axis=0)
    # The variance estimate is a quadratic form in independent errors, with this matrix.
    form = np.diag(squares) - loads @ inverse @ loads.T
    df = np.trace(form) ** 2 / (form**2).sum()
    return Coefficients(coefficients[0], np.sqrt(variance), float(df))


def share_difference(
    y: np.ndarray, inside: np.ndarray, covariates: np.ndarray, clusters: np.ndarray
) -> list[Interval]:
    """Return the adjusted share of ones inside a group minus that of the rest, per column of `y`.

    `y` (0 or 1) has shape (N, S), `inside` (bool) and `clusters` shape (N,), and `covariates`, with
    a constant, shape (N, K). The estimate is the group's coefficient in a linear probability model.

    The interval is that of `fit_coefficient` after one right and one wrong answer, each of a
    further patient with average covariates, were added to the group and to the rest (Agresti and
    Caffo 2000). Without them there is no variation in a small group that is always wrong, and the
    interval would be far too narrow. It always contains the estimate.
    """
    design = np.column_stack([inside.astype(np.float64), covariates])
    clusters = np.unique(clusters, return_inverse=True)[1]
    estimates = np.linalg.lstsq(design, y, rcond=None)[0][0]
    added = [design[rows].mean(axis=0) for rows in (inside, inside, ~inside, ~inside)]
    verdicts = np.repeat([[0.0], [1.0], [0.0], [1.0]], y.shape[1], axis=1)
    further = clusters.max() + 1 + np.arange(4)
    centres, errors, df = fit_coefficient(
        np.vstack([y, verdicts]), np.vstack([design, added]), np.append(clusters, further)
    )
    half = stdtrit(df, (1 + CONFIDENCE) / 2) * errors
    low = np.minimum(np.maximum(centres - half, -1), estimates)
    high = np.maximum(np.minimum(centres + half, 1), estimates)
    return [Interval(*map(float, row)) for row in zip(estimates, low, high, strict=True)]
