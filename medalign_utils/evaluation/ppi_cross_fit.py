"""Predictors for `ppi` that are tuned on the labels that they are to save."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from medalign_utils.errors import MedAlignError

# Takes features and labels, returns a function from features to predictions.
Fit = Callable[[np.ndarray, np.ndarray], Callable[[np.ndarray], np.ndarray]]


def least_squares(features: np.ndarray, labels: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Return the function that predicts labels from features by least squares with a constant."""

    def design(rows: np.ndarray) -> np.ndarray:
        return np.column_stack([np.ones(len(rows)), rows])

    coefficients = np.linalg.lstsq(design(features), labels, rcond=None)[0]
    return lambda rows: design(rows) @ coefficients


def cross_fit(
    features: np.ndarray,
    labels: Sequence[float] | np.ndarray,
    patients: Sequence[str] | np.ndarray,
    *,
    rng: np.random.Generator,
    fit: Fit = least_squares,
    folds: int = 5,
) -> np.ndarray:
    """Return predictions (N,) for `ppi_mean`, from a predictor that is tuned on the same labels.

    `features` are scores of metrics or judges, (N,) or (N, K), and `fit` makes a predictor of them,
    such as one on the labels' scale. Patients with labels are divided into `folds`, and a patient's
    predictions come from the other folds' labels, so that no label predicts itself or its
    neighbours; patients without labels get the mean of all predictors (Zrnic and Candes 2024,
    "Cross-prediction-powered inference"). Rows with a NaN feature have a NaN prediction.

    Raises:
        MedAlignError: fewer than two patients have a label.
    """
    labels = np.asarray(labels, dtype=np.float64)
    features = np.asarray(features, dtype=np.float64).reshape(len(labels), -1)
    codes = pd.factorize(np.asarray(list(patients), dtype=object))[0]
    usable = ~np.isnan(features).any(axis=1)
    labelled = ~np.isnan(labels) & usable
    rated = rng.permutation(np.unique(codes[labelled]))
    folds = min(folds, len(rated))
    if folds < 2:
        raise MedAlignError(
            f"cross_fit: {len(rated)} patients have a label and features, expected two or more"
        )
    fold_of = np.full(codes.max() + 1, -1)
    fold_of[rated] = np.arange(len(rated)) % folds
    fold = fold_of[codes]
    by_fold = np.full((folds, len(labels)), np.nan)
    for i in range(folds):
        others = labelled & (fold != i)
        by_fold[i, usable] = fit(features[others], labels[others])(features[usable])
    return np.where(fold < 0, by_fold.mean(axis=0), by_fold[fold, np.arange(len(labels))])
