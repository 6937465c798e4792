"""Tables of systems from few ratings and predictions for all responses (`ppi`)."""

from collections.abc import Mapping
from itertools import combinations

import numpy as np
import pandas as pd

from medalign_utils.errors import MedAlignError
from medalign_utils.evaluation.ppi import Estimate, ppi_difference, ppi_mean
from medalign_utils.evaluation.ratings import check_table, patients_of, wide
from medalign_utils.stats.bootstrap import interval_columns

_KEY = ["instruction_id", "system"]


def evaluate_from_labels(
    ratings: pd.DataFrame,
    predictions: pd.DataFrame,
    instructions: pd.DataFrame,
    weights: Mapping[str, float] | None = None,
) -> pd.DataFrame:
    """Return accuracy and win rate of each system, from few ratings and all predictions.

    `ratings` has instruction_id, system, correct and, for win rates, rank; `predictions` has
    instruction_id, system and prediction, for instance a judge's verdicts or a metric's scores, for
    all responses. `weights` maps rated instructions to their weights (`next_instructions`).

    One row per system in `predictions`:

    - n, n_labels, n_patients: responses, rated ones, and patients with a rated one
    - correct, with bounds; classical, with bounds, is the accuracy from the ratings alone
    - power: the predictor's weight, 0 to 1; unpredicted: responses whose prediction is NaN
    - effective_labels: how many labels alone would give this standard error
    - win_rate_ties_half, with bounds, win_rate_classical and win_rate_effective_labels: as in
      `evaluate_systems`, over the instructions on which all systems are ranked; a win is predicted
      where a prediction is higher than another system's. NaN without ranks or opponents

    Raises:
        MedAlignError: a column is missing, a rating has no prediction, or a system has no rating.
    """
    correct, predicted, patients, w = _aligned(ratings, predictions, instructions, weights)
    ranks = wide(ratings, "rank").astype(float) if "rank" in ratings else None
    wins = _wins(-ranks.reindex_like(correct)) if ranks is not None else None
    predicted_wins = _wins(predicted)
    rows = []
    for system in predicted:
        answered = predicted.index.isin(predictions.loc[predictions["system"] == system, _KEY[0]])
        if correct[system].isna().all():
            raise MedAlignError(f"evaluate_from_labels: no rating of {system}")
        estimate = _mean(correct[system], predicted[system], patients, w, answered)
        row = {"system": system, "n": estimate.n, "n_labels": estimate.n_labels}
        row |= {"n_patients": estimate.n_patients, **_columns("correct", estimate)}
        row |= {"power": estimate.power, "unpredicted": estimate.n_unpredicted}
        row |= {"effective_labels": estimate.effective_labels}
        row |= dict.fromkeys(_WIN_COLUMNS, np.nan)
        if wins is not None and wins[system].notna().any():
            won = _mean(wins[system], predicted_wins[system], patients, w, answered)
            values = (*won.interval, won.classical.estimate, won.effective_labels)
            row |= dict(zip(_WIN_COLUMNS, values, strict=True))
        rows.append(row)
    return pd.DataFrame(rows)


_WIN_COLUMNS = (
    "win_rate_ties_half win_rate_ties_half_low win_rate_ties_half_high win_rate_classical "
    "win_rate_effective_labels"
).split()


def compare_from_labels(
    ratings: pd.DataFrame,
    predictions: pd.DataFrame,
    instructions: pd.DataFrame,
    weights: Mapping[str, float] | None = None,
) -> pd.DataFrame:
    """Return the paired difference in accuracy of each pair of systems; arguments as above.

    One row per pair, over the instructions that both answered: system, opponent, n, n_labels (both
    rated), n_patients, difference and classical with bounds, each for the pair by itself, power and
    effective_labels.
    """
    correct, predicted, patients, w = _aligned(ratings, predictions, instructions, weights)
    answers = predictions.groupby("system")["instruction_id"].agg(set)
    rows = []
    for pair in map(list, combinations(predicted, 2)):
        both = predicted.index.isin(answers[pair[0]] & answers[pair[1]])
        labels = correct.loc[both, pair].to_numpy()
        if np.isnan(labels).any(axis=1).all():
            raise MedAlignError(
                f"compare_from_labels: no instruction has a rating of both {' and '.join(pair)}"
            )
        estimate = ppi_difference(
            labels, predicted.loc[both, pair].to_numpy(), patients[both], _part(w, both)
        )
        row = dict(zip(("system", "opponent"), pair, strict=True))
        row |= {"n": estimate.n, "n_labels": estimate.n_labels, "n_patients": estimate.n_patients}
        row |= _columns("difference", estimate) | {"power": estimate.power}
        rows.append(row | {"effective_labels": estimate.effective_labels})
    return pd.DataFrame(rows)


def width_by_labels(
    correct: np.ndarray,
    predictors: Mapping[str, np.ndarray],
    patients: np.ndarray,
    *,
    rng: np.random.Generator,
    numbers: tuple[int, ...] = (20, 30, 50, 75, 100, 150, 200),
    samples: int = 50,
) -> pd.DataFrame:
    """Return interval widths of one system's accuracy by number of labels, with all labels known.

    `correct` (0 or 1) and each predictor's predictions have shape (N,). For each number of labels,
    below N, and each predictor, as for none ("labels alone"), one row: labels, predictor, width and
    coverage, the mean width and the share of intervals that contain the accuracy over all
    responses, in random `samples`; and estimate, low and high in the first of them, with that
    accuracy as truth.
    """
    correct = np.asarray(correct, dtype=np.float64)
    truth, rows = float(correct.mean()), []
    for n in (number for number in numbers if number < len(correct)):
        found: dict[str, list] = {}
        for _ in range(samples):
            labels = np.full(len(correct), np.nan)
            sample = rng.permutation(len(correct))[:n]
            labels[sample] = correct[sample]
            for i, (name, predictions) in enumerate(predictors.items()):
                estimate = ppi_mean(labels, predictions, patients)
                if not i:
                    found.setdefault("labels alone", []).append(estimate.classical)
                found.setdefault(name, []).append(estimate.interval)
        for name, intervals in found.items():
            _, low, high = np.array(intervals).T
            row = {"labels": n, "predictor": name, "width": (high - low).mean()}
            row["coverage"] = ((low <= truth) & (truth <= high)).mean()
            first = dict(zip(("estimate", "low", "high"), intervals[0], strict=True))
            rows.append(row | first | {"truth": truth, "n": len(correct)})
    return pd.DataFrame(rows)


def _columns(name: str, estimate: Estimate) -> dict[str, float]:
    columns = interval_columns(name, [estimate.interval])
    columns |= interval_columns("classical", [estimate.classical])
    return {column: values[0] for column, values in columns.items()}


def _part(weights: np.ndarray | None, rows: np.ndarray) -> np.ndarray | None:
    return None if weights is None else weights[rows]


def _mean(
    labels: pd.Series,
    predictions: pd.Series,
    patients: np.ndarray,
    weights: np.ndarray | None,
    rows: np.ndarray,
) -> Estimate:
    return ppi_mean(labels[rows], predictions[rows], patients[rows], _part(weights, rows))


def _wins(better: pd.DataFrame) -> pd.DataFrame:
    """The mean of each system's wins (1), ties (1/2) and losses (0); NaN unless all are known."""
    values = better.to_numpy(dtype=float)
    steps = np.sign(values[:, :, np.newaxis] - values[:, np.newaxis, :])
    n_opponents = values.shape[1] - 1
    if not n_opponents:
        return pd.DataFrame(np.nan, better.index, better.columns)
    wins = (((steps + 1) / 2).sum(axis=2) - 0.5) / n_opponents
    return pd.DataFrame(wins, better.index, better.columns)


def _aligned(
    ratings: pd.DataFrame,
    predictions: pd.DataFrame,
    instructions: pd.DataFrame,
    weights: Mapping[str, float] | None,
) -> tuple[pd.DataFrame, pd.DataFrame, np.ndarray, np.ndarray | None]:
    """Labels and predictions as instructions x systems, patients, and weights."""
    check_table("evaluate_from_labels: ratings", ratings, _KEY, ["correct"])
    check_table("evaluate_from_labels: predictions", predictions, _KEY, ["prediction"])
    rated, given = (pd.MultiIndex.from_frame(table[_KEY]) for table in (ratings, predictions))
    if len(lacking := rated.difference(given)):
        instruction, system = lacking[0]
        raise MedAlignError(
            f"evaluate_from_labels: {len(lacking)} ratings have no prediction, the first of "
            f"instruction {instruction}, {system}; give every response one, or NaN"
        )
    predicted = wide(predictions, "prediction").astype(float)
    correct = wide(ratings, "correct").astype(float)
    correct = correct.reindex(index=predicted.index, columns=predicted.columns)
    if weights is not None:
        is_rated = correct.notna().any(axis=1)
        unweighted = [i for i in correct.index[is_rated] if i not in weights]
        if unweighted:
            raise MedAlignError(
                f"evaluate_from_labels: instruction {unweighted[0]} is rated but has no weight "
                f"({len(unweighted)} have none)"
            )
        weights = np.array([float(weights.get(i, np.nan)) for i in correct.index])
    return correct, predicted, patients_of(predicted.index, instructions), weights
