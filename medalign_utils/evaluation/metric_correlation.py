"""How well automatic metrics order responses the way raters do.

Within an instruction: Kendall's tau-b, the share of response pairs in the same order, and whether
metric and raters pick the same best response. Across systems: whether mean scores order them as the
ratings do. Between two metrics: a paired test of their taus.
"""

from itertools import combinations, product
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from medalign_utils.errors import MedAlignError
from medalign_utils.evaluation.ratings import (
    check_ratings,
    check_table,
    patients_of,
    rate_in_common,
    wide,
)
from medalign_utils.run import Run
from medalign_utils.stats.bootstrap import (
    Bootstrap,
    Resampled,
    bootstrap_means,
    interval_columns,
    resample_means,
)
from medalign_utils.stats.permutation import holm, sign_flip
from medalign_utils.stats.rank_correlation import kendall_tau_b, order_pairs, same_best, with_ties

_KEY = ["metric", "instruction_id", "system"]
COEFFICIENTS = ("kendall_tau_b", "pearson", "spearman")
RATINGS = ("mean_rank", "accuracy")


def correlate(run: Run) -> pd.DataFrame:
    """Return how metrics of a run agree with its ratings, as `correlate_metrics`.

    A run is described at `evaluate`. Skipped metrics have a row with the reason.
    """
    ratings = rate_in_common(run)
    table = correlate_metrics(
        run.scores, ratings, run.release.instructions, bootstrap=run.bootstrap
    )
    return add_skipped(table, run.skipped)


def correlate_metrics(
    scores: pd.DataFrame, ratings: pd.DataFrame, instructions: pd.DataFrame, *, bootstrap: Bootstrap
) -> pd.DataFrame:
    """Return how well each metric's scores agree with the ratings, highest mean tau first.

    `scores` has instruction_id, system, metric, score (higher is better) and signature, with one
    score for each rated response. With a single patient, bounds are NaN.

    - n: instructions where tau-b between scores and negated ranks is defined
    - n_undefined: instructions where all scores or all ranks are equal, or a score is NaN; they
      count as 0 in mean_tau_undefined_as_0
    - n_pairs: pairs of responses with different ranks
    - pairwise_accuracy: share of these pairs that the metric orders the same way (`order_pairs`)
    - n_same_best: instructions where ranks differ
    - same_best: how often the metric's best response is also the raters' best
    - same_best_chance: how often a random response is the raters' best
    - best_system: the system with the highest mean score; tied systems are joined by commas
    - same_best_system: share of these systems that have the best mean rank
    - same_best_system_resampled: the mean of same_best_system over the resamples
    """
    data = _align(scores, ratings, instructions)
    taus = _taus(data)
    tau = bootstrap_means(taus, data.patients, bootstrap=bootstrap)
    pairs = np.stack([order_pairs(score, data.ranks) for score in data.scores], axis=-1)
    # One row per pair; a patient's pairs are resampled together, like the patient's instructions.
    rows = pairs.reshape(-1, len(data.metrics))
    owners = np.repeat(data.patients, pairs.shape[1])
    accuracy = bootstrap_means(rows, owners, bootstrap=bootstrap)
    picks = [same_best(score, data.ranks) for score in data.scores]
    picked, chance = np.transpose(picks, (1, 2, 0))
    best_responses = bootstrap_means(picked, data.patients, bootstrap=bootstrap)
    means, _ = _system_means(data, bootstrap=bootstrap)
    best = [", ".join(data.systems[score[0] == score[0].max()]) for score, _, _ in means]
    shares = [same_best(score, -rank)[0] for score, rank, _ in means]
    undefined = np.isnan(taus).sum(axis=0)
    table = pd.DataFrame(
        {
            "metric": data.metrics,
            "n": len(taus) - undefined,
            "n_undefined": undefined,
            **interval_columns("mean_tau", tau),
            "mean_tau_undefined_as_0": np.nan_to_num(taus).mean(axis=0),
            "signature": data.signatures,
            "share_undefined": undefined / len(taus),
            "n_pairs": (~np.isnan(rows)).sum(axis=0),
            **interval_columns("pairwise_accuracy", accuracy),
            "n_same_best": (~np.isnan(picked)).sum(axis=0),
            **interval_columns("same_best", best_responses),
            "same_best_chance": [_mean(column) for column in chance.T],
            "best_system": best,
            "same_best_system": [share[0] for share in shares],
            "same_best_system_resampled": [_mean(share[1:]) for share in shares],
        }
    )
    return table.sort_values("mean_tau", ascending=False, kind="stable", ignore_index=True)


def correlate_systems(
    scores: pd.DataFrame, ratings: pd.DataFrame, instructions: pd.DataFrame, *, bootstrap: Bootstrap
) -> pd.DataFrame:
    """Return the correlation of the systems' mean scores with their ratings.

    One row per metric, rating (`RATINGS`) and coefficient (`COEFFICIENTS`). Mean ranks are negated,
    so that a good metric correlates positively. Columns: n_systems; n, the instructions on which
    all systems have a score; estimate with its bounds, NaN if all systems do equally well.

    The interval covers the sampling of patients, not of systems. Noise in the means pulls a
    correlation towards 0, and a resample has twice the noise, so intervals near 1 are too low.
    """
    data = _align(scores, ratings, instructions)
    means, n_patients = _system_means(data, bootstrap=bootstrap)
    n = (~np.isnan(data.scores).any(axis=2)).sum(axis=1)
    rows, values = [], []
    for metric, (rating, name), coefficient in product(
        range(len(means)), enumerate(RATINGS, start=1), COEFFICIENTS
    ):
        rows.append((data.metrics[metric], name, coefficient, len(data.systems), n[metric]))
        values.append(_correlation(means[metric, 0], means[metric, rating], coefficient))
    resampled = np.column_stack(values)  # row 0 is the observed sample
    of_row = np.repeat(n_patients, len(RATINGS) * len(COEFFICIENTS))
    intervals = Resampled(resampled[0], resampled[1:], of_row).intervals()
    table = pd.DataFrame(rows, columns=["metric", "rating", "coefficient", "n_systems", "n"])
    return table.assign(**interval_columns("estimate", intervals))


def compare_metrics(
    scores: pd.DataFrame, ratings: pd.DataFrame, instructions: pd.DataFrame, *, bootstrap: Bootstrap
) -> pd.DataFrame:
    """Return the paired difference in tau for each pair of metrics, with its test.

    One row per pair:

    - metric_a, metric_b: a has the higher mean tau
    - n: instructions on which both taus are defined; if it is 0, all values below are NaN
    - mean_tau_a, mean_tau_b: over these instructions
    - difference: a minus b, with bounds
    - p: from `sign_flip` over patients; p_holm: adjusted over all pairs

    With few patients, the interval may exclude 0 although p is above 0.05; then rely on p.
    """
    data = _align(scores, ratings, instructions)
    taus = _taus(data)
    order = np.argsort([-_mean(column) for column in taus.T], kind="stable")
    first, second = np.array(list(combinations(order, 2)), dtype=int).reshape(-1, 2).T
    a, b = taus[:, first], taus[:, second]
    difference = a - b
    both = ~np.isnan(difference)
    intervals = bootstrap_means(difference, data.patients, bootstrap=bootstrap)
    p = sign_flip(difference, data.patients, bootstrap.rng)
    return pd.DataFrame(
        {
            "metric_a": data.metrics[first],
            "metric_b": data.metrics[second],
            "n": both.sum(axis=0),
            "mean_tau_a": [_mean(column) for column in np.where(both, a, np.nan).T],
            "mean_tau_b": [_mean(column) for column in np.where(both, b, np.nan).T],
            **interval_columns("difference", intervals),
            "p": p,
            "p_holm": holm(p),
        }
    )


def add_skipped(table: pd.DataFrame, skipped: pd.DataFrame) -> pd.DataFrame:
    """Return the table with a last row for each metric that could not be scored.

    `skipped` has metric and reason. The new column not_scored has a metric's reasons, joined by
    "; ", or "" if it has scores. In the new rows, counts are 0 and all other values are missing.
    """
    reasons = skipped.drop_duplicates().groupby("metric", sort=False)["reason"].agg("; ".join)
    rows = reasons.rename("not_scored").reset_index()
    both = pd.concat([table.assign(not_scored=""), rows], ignore_index=True)
    counts = list(table.columns[table.dtypes == np.int64])
    return both.astype({name: "Int64" for name in counts}).fillna(dict.fromkeys(counts, 0))


class _Aligned(NamedTuple):
    """Scores of K metrics and ratings on N instructions x S systems, in the same order."""

    metrics: np.ndarray
    signatures: np.ndarray
    systems: np.ndarray
    scores: np.ndarray  # (K, N, S)
    ranks: np.ndarray  # (N, S)
    correct: np.ndarray  # (N, S)
    patients: np.ndarray  # (N,)


def _align(scores: pd.DataFrame, ratings: pd.DataFrame, instructions: pd.DataFrame) -> _Aligned:
    check_ratings(ratings)
    check_table("correlate_metrics: scores", scores, _KEY, ["score", "signature"])
    for metric, of_metric in scores.groupby("metric")["signature"].unique().items():
        if len(of_metric) > 1:
            raise MedAlignError(
                f"correlate_metrics: {metric} was scored with {len(of_metric)} signatures "
                f"({', '.join(map(str, of_metric))}), expected 1; score all responses with the "
                "same settings"
            )
    signatures = scores.drop_duplicates("metric").set_index("metric")["signature"].sort_index()
    ranks = wide(ratings, "rank")
    of_key = scores.set_index(_KEY)["score"]
    rated = pd.MultiIndex.from_product([signatures.index, ranks.index, ranks.columns])
    unscored = rated[~rated.isin(of_key.index)]
    if len(unscored):
        metric, instruction_id, system = unscored[0]
        raise MedAlignError(
            f"correlate_metrics: no {metric} score of (instruction {instruction_id}, {system}), "
            f"which is rated; {unscored.get_level_values(0).tolist().count(metric)} such responses "
            "have no score"
        )
    aligned = of_key.loc[rated].to_numpy(dtype=np.float64, na_value=np.nan)
    return _Aligned(
        metrics=signatures.index.to_numpy(),
        signatures=signatures.to_numpy(),
        systems=ranks.columns.to_numpy(dtype=object),
        scores=aligned.reshape(len(signatures), *ranks.shape),
        ranks=ranks.to_numpy(dtype=np.float64),
        correct=wide(ratings, "correct").to_numpy(dtype=np.float64),
        patients=patients_of(ranks.index, instructions),
    )


def _taus(data: _Aligned) -> np.ndarray:
    """Tau-b between scores and negated ranks in each instruction: shape (N, K)."""
    return np.column_stack([kendall_tau_b(score, -data.ranks) for score in data.scores])


def _system_means(data: _Aligned, *, bootstrap: Bootstrap) -> tuple[np.ndarray, np.ndarray]:
    """The systems' means in the sample and its resamples, and the number of patients, shape (K,).

    Means have shape (K, 3, 1 + resamples, S); the 3 are a metric's score, the negated rank and the
    accuracy, so higher is better. They are over the instructions on which all systems have a score.
    """
    values = np.empty((*data.scores.shape[:2], 3, len(data.systems)))  # (K, N, 3, S)
    values[:, :, 0], values[:, :, 1], values[:, :, 2] = data.scores, -data.ranks, data.correct
    values[np.isnan(data.scores).any(axis=2)] = np.nan
    k, n, *shape = values.shape
    columns = values.swapaxes(0, 1).reshape(n, -1)
    drawn = resample_means(columns, data.patients, bootstrap=bootstrap)
    means = np.vstack([drawn.means, drawn.resampled]).reshape(-1, k, *shape)
    return with_ties(means.transpose(1, 2, 0, 3)), drawn.n_patients.reshape(k, *shape)[:, 0, 0]


def _correlation(x: np.ndarray, y: np.ndarray, coefficient: str) -> np.ndarray:
    """A coefficient for each row of two arrays of shape (R, S); NaN if undefined."""
    if coefficient == "kendall_tau_b":
        return kendall_tau_b(x, y)
    # Test this before subtracting the mean, which may differ in its last digit.
    undefined = (np.ptp(x, axis=1) == 0) | (np.ptp(y, axis=1) == 0)
    undefined |= np.isnan(x).any(axis=1) | np.isnan(y).any(axis=1)
    if coefficient == "spearman":
        x, y = rankdata(x, axis=1), rankdata(y, axis=1)
    x, y = (values - values.mean(axis=1, keepdims=True) for values in (x, y))
    norm = np.sqrt((x**2).sum(axis=1) * (y**2).sum(axis=1))
    r = (x * y).sum(axis=1) / np.where(undefined, np.nan, norm)
    return np.clip(r, -1, 1)


def _mean(values: np.ndarray) -> float:
    """The mean of the values that are not NaN; NaN if there are none."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else np.nan
