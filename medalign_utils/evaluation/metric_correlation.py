"""How well automatic metrics order responses the way the raters do.

Per instruction: Kendall's tau-b, pairs of responses ordered alike, the same best response. Over the
systems: whether their mean scores order them as their ratings do. Between two metrics: a paired
test of their taus.
"""

from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from medalign_utils.errors import MedAlignError
from medalign_utils.evaluation.pairwise import holm
from medalign_utils.evaluation.ratings import check_ratings, patients_of, wide
from medalign_utils.evaluation.systems import interval_columns
from medalign_utils.stats.bootstrap import (
    Bootstrap,
    Interval,
    Resampled,
    bootstrap_means,
    resample_means,
)
from medalign_utils.stats.rank_correlation import kendall_tau_b, order_pairs, same_best

_KEY = ["metric", "instruction_id", "system"]
COEFFICIENTS = ("kendall_tau_b", "pearson", "spearman")
RATINGS = ("mean_rank", "accuracy")
# So many that Holm's correction over the pairs of a dozen metrics leaves p-values below 0.001.
SIGN_FLIPS = 100_000


def correlate_metrics(
    scores: pd.DataFrame,
    ratings: pd.DataFrame,
    instructions: pd.DataFrame,
    *,
    bootstrap: Bootstrap,
) -> pd.DataFrame:
    """How each metric's scores go with the ratings; first Kendall's tau-b with minus the rank.

    Args:
        scores: instruction_id, system, metric, score (higher is better), signature. Scores of
            responses without a rating are not used.
        ratings: as `evaluation.check_ratings` describes.
        instructions: instruction_id, person_id.
        bootstrap: over patients.

    Returns:
        One row a metric, highest mean_tau first. An `x` with an x_low and x_high beside it (of
        mean_tau mean_tau_low and mean_tau_high) has these as its 95 % interval, NaN for one patient.

        metric; n, the instructions whose tau is defined; n_undefined, those where it is not (scores
        or ranks all tied, or a NaN score); mean_tau over the n; mean_tau_undefined_as_0 over all
        n + n_undefined; signature; share_undefined.

        n_pairs, the pairs of responses with different ranks; pairwise_accuracy, the share of these
        that the metric orders alike, equal scores counting half (`order_pairs`).

        n_same_best, the instructions whose ranks are not all equal; same_best, how often the
        metric's best response to one of them is the raters', and same_best_chance, how often one
        picked at random is (`same_best`).

        best_system, of the highest mean score (several with commas between them); same_best_system,
        the share of these that the mean ranks too have first (1 or 0 where it is one);
        same_best_system_resampled, its mean over the resamples.

        Taus lie in [-1, 1], shares in [0, 1]. A mean over nothing is NaN: a metric without a
        defined tau has mean_tau NaN, and of a single system only the counts are defined.

    Raises:
        MedAlignError: if ratings are incomplete, a metric has two signatures or two scores of one
            response, or lacks the score of a rated response.

    >>> ratings = pd.DataFrame({
    ...     "instruction_id": ["1", "1", "2", "2"], "system": ["a", "b"] * 2,
    ...     "correct": True, "rank": [1.0, 2.0, 1.5, 1.5]})
    >>> scores = ratings[["instruction_id", "system"]].assign(
    ...     metric="chrf", score=[0.8, 0.3, 0.5, 0.4], signature="chrF2")
    >>> instructions = pd.DataFrame({"instruction_id": ["1", "2"], "person_id": ["p", "q"]})
    >>> table = correlate_metrics(scores, ratings, instructions,
    ...     bootstrap=Bootstrap.seeded(100, 1))
    >>> table[["n", "n_undefined", "mean_tau", "mean_tau_undefined_as_0"]].values.tolist()
    [[1.0, 1.0, 1.0, 0.5]]
    """
    data = _align(scores, ratings, instructions)
    taus = _taus(data)
    tau = bootstrap_means(taus, data.patients, bootstrap=bootstrap)
    pairs = np.stack([order_pairs(each, data.ranks) for each in data.scores], axis=-1)
    # One row a pair; the pairs of one patient are drawn together like that patient's instructions.
    rows = pairs.reshape(-1, len(data.metrics))
    owners = np.repeat(data.patients, pairs.shape[1])
    accuracy = bootstrap_means(rows, owners, bootstrap=bootstrap)
    picked, chance = np.transpose([same_best(each, data.ranks) for each in data.scores], (1, 2, 0))
    best = bootstrap_means(picked, data.patients, bootstrap=bootstrap)

    undefined = np.isnan(taus).sum(axis=0)
    table = pd.DataFrame(
        {
            "metric": data.metrics,
            "n": len(taus) - undefined,
            "n_undefined": undefined,
            "mean_tau": [mean.estimate for mean in tau],
            "mean_tau_low": [mean.low for mean in tau],
            "mean_tau_high": [mean.high for mean in tau],
            "mean_tau_undefined_as_0": np.nan_to_num(taus).mean(axis=0),
            "signature": data.signatures,
            "share_undefined": undefined / len(taus),
            "n_pairs": (~np.isnan(rows)).sum(axis=0),
            **interval_columns("pairwise_accuracy", accuracy),
            "n_same_best": (~np.isnan(picked)).sum(axis=0),
            **interval_columns("same_best", best),
            "same_best_chance": [_mean(column) for column in chance.T],
            **_system_columns(data, bootstrap=bootstrap),
        }
    )
    return table.sort_values("mean_tau", ascending=False, kind="stable", ignore_index=True)


def correlate_systems(
    scores: pd.DataFrame,
    ratings: pd.DataFrame,
    instructions: pd.DataFrame,
    *,
    bootstrap: Bootstrap,
) -> pd.DataFrame:
    """Correlate the systems' mean scores with how well they do by the ratings.

    Takes and refuses what `correlate_metrics` does.

    Returns:
        One row a metric, rating and coefficient: metric; rating, one of `RATINGS` (the mean rank
        with its sign turned, so that a good metric correlates positively); coefficient, one of
        `COEFFICIENTS`; n_systems; n, the instructions averaged over, those on which all systems
        have a score; estimate in [-1, 1] with its 95 % interval estimate_low to estimate_high. The
        interval says what other patients would change; it cannot say what other systems would.
        Noise in the means moves a correlation towards 0, in a resample twice over, so that near 1
        the interval lies too low and Pearson's may leave out a true 1 altogether; corrections for
        bias cover less still where systems are close, and are not used.

        An estimate is NaN where all systems do equally well by score or by rating, as a single
        system does; with two systems it is else 1 or -1.

    >>> ratings = pd.DataFrame({
    ...     "instruction_id": ["1", "1"], "system": ["a", "b"],
    ...     "correct": [True, False], "rank": [1.0, 2.0]})
    >>> scores = ratings[["instruction_id", "system"]].assign(
    ...     metric="chrf", score=[0.8, 0.3], signature="chrF2")
    >>> instructions = pd.DataFrame({"instruction_id": ["1"], "person_id": ["p"]})
    >>> table = correlate_systems(scores, ratings, instructions,
    ...     bootstrap=Bootstrap.seeded(100, 1))
    >>> table[["rating", "coefficient", "estimate"]].values[2:4].tolist()
    [['mean_rank', 'spearman', 1.0], ['accuracy', 'kendall_tau_b', 1.0]]
    """
    data = _align(scores, ratings, instructions)
    means, n_patients = _system_means(data, bootstrap=bootstrap)
    kinds = [(m, r, c) for m in range(len(means)) for r in (1, 2) for c in COEFFICIENTS]
    values = [_correlation(means[m, 0], means[m, r], c) for m, r, c in kinds]
    of_metric = [m for m, _, _ in kinds]
    n = (~np.isnan(data.scores).any(axis=2)).sum(axis=1)
    return pd.DataFrame(
        {
            "metric": [data.metrics[m] for m in of_metric],
            "rating": [RATINGS[r - 1] for _, r, _ in kinds],
            "coefficient": [c for _, _, c in kinds],
            "n_systems": len(data.systems),
            "n": n[of_metric],
            **interval_columns("estimate", _intervals(values, n_patients[of_metric])),
        }
    )


def compare_metrics(
    scores: pd.DataFrame,
    ratings: pd.DataFrame,
    instructions: pd.DataFrame,
    *,
    bootstrap: Bootstrap,
) -> pd.DataFrame:
    """Is one metric better than another here? The paired difference of their taus, for all pairs.

    Takes and refuses what `correlate_metrics` does.

    Returns:
        One row a pair, the metric with the higher mean tau first: metric_a, metric_b; n, the
        instructions on which both taus are defined; mean_tau_a, mean_tau_b over these; difference,
        a minus b, with its 95 % interval difference_low to difference_high by bootstrap over
        patients; p, two-sided, by a sign-flip test over patients: were the two exchangeable, a
        patient's differences might as well bear the other sign (all assignments of signs where they
        are at most `SIGN_FLIPS`, else that many random ones); p_holm, p corrected over the table by
        Holm's method. All are NaN where n is 0; with one patient the interval is NaN and p is 1.
        No row for a single metric. p is not read off the bootstrap, whose tails are too short of
        few patients and which draws about the observed difference, not about none; so the interval
        may leave 0 out where p does not fall below 0.05, and then p is the one to go by.

    Source: Efron and Tibshirani 1993; Good 2005 for the test; Holm 1979.

    >>> ratings = pd.DataFrame({
    ...     "instruction_id": ["1", "1", "2", "2"], "system": ["a", "b"] * 2,
    ...     "correct": True, "rank": [1.0, 2.0, 1.0, 2.0]})
    >>> both = [ratings[["instruction_id", "system"]].assign(metric=m, score=s, signature=m)
    ...     for m, s in (("good", [2, 1, 2, 1]), ("bad", [1, 2, 1, 2]))]
    >>> instructions = pd.DataFrame({"instruction_id": ["1", "2"], "person_id": ["p", "q"]})
    >>> table = compare_metrics(pd.concat(both), ratings, instructions,
    ...     bootstrap=Bootstrap.seeded(100, 1))
    >>> table[["metric_a", "metric_b", "difference", "p"]].values.tolist()
    [['good', 'bad', 2.0, 0.5]]
    """
    data = _align(scores, ratings, instructions)
    taus = _taus(data)
    order = np.argsort([-_mean(column) for column in taus.T], kind="stable")
    pairs = np.array(list(combinations(order, 2)), dtype=int).reshape(-1, 2)
    a, b = taus[:, pairs[:, 0]], taus[:, pairs[:, 1]]
    both = ~np.isnan(a) & ~np.isnan(b)
    difference = np.where(both, a - b, np.nan)
    intervals = bootstrap_means(difference, data.patients, bootstrap=bootstrap)
    p = _sign_flip_p(difference, data.patients, bootstrap.rng)
    p_holm = np.full(len(p), np.nan)
    p_holm[~np.isnan(p)] = holm(p[~np.isnan(p)].tolist())
    return pd.DataFrame(
        {
            "metric_a": [data.metrics[i] for i in pairs[:, 0]],
            "metric_b": [data.metrics[i] for i in pairs[:, 1]],
            "n": both.sum(axis=0),
            "mean_tau_a": [_mean(column) for column in np.where(both, a, np.nan).T],
            "mean_tau_b": [_mean(column) for column in np.where(both, b, np.nan).T],
            **interval_columns("difference", intervals),
            "p": p,
            "p_holm": p_holm,
        }
    )


def add_skipped(table: pd.DataFrame, skipped: pd.DataFrame) -> pd.DataFrame:
    """Name the metrics that could not be scored below those that were.

    Args:
        table: as `correlate_metrics` returns it.
        skipped: metric, reason; a metric that several systems' scores lack comes several times,
            with reasons that may differ.

    Returns:
        The table with a last column, not_scored: "" for a metric with scores; for another the
        reasons with "; " between them, in a row with n and the other counts 0 and nothing else.

    >>> skipped = pd.DataFrame({"metric": ["lens", "lens"], "reason": "no weights are named"})
    >>> table = add_skipped(pd.DataFrame({"metric": ["chrf"], "n": 9, "mean_tau": 0.3}), skipped)
    >>> table.to_csv(index=False).splitlines()
    ['metric,n,mean_tau,not_scored', 'chrf,9,0.3,', 'lens,0,,no weights are named']
    """
    reasons = skipped.drop_duplicates().groupby("metric", sort=False)["reason"].agg("; ".join)
    rows = reasons.rename("not_scored").reset_index()
    both = pd.concat([table.assign(not_scored=""), rows], ignore_index=True)
    counts = list(table.columns[table.dtypes == np.int64])
    return both.astype({name: "Int64" for name in counts}).fillna(dict.fromkeys(counts, 0))


class _Aligned(NamedTuple):
    """Scores of K metrics and ratings on N instructions x S systems, in the same order."""

    metrics: list[str]
    signatures: list[str]
    systems: list[str]
    scores: np.ndarray  # (K, N, S)
    ranks: np.ndarray  # (N, S)
    correct: np.ndarray  # (N, S)
    patients: np.ndarray  # (N,)


def _align(scores: pd.DataFrame, ratings: pd.DataFrame, instructions: pd.DataFrame) -> _Aligned:
    check_ratings(ratings)
    _check_scores(scores)
    ranks = wide(ratings, "rank")
    rated = pd.MultiIndex.from_product([ranks.index, ranks.columns])
    metrics = sorted(scores["metric"].unique())
    aligned = np.empty((len(metrics), *ranks.shape))
    for row, metric in enumerate(metrics):
        of_metric = scores[scores["metric"] == metric].set_index(["instruction_id", "system"])
        unscored = rated[~rated.isin(of_metric.index)]
        if len(unscored):
            instruction_id, system = unscored[0]
            raise MedAlignError(
                f"correlate_metrics: no {metric} score of (instruction {instruction_id}, {system}),"
                f" which is rated ({len(unscored)} such); score every rated response"
            )
        values = of_metric.loc[rated, "score"].to_numpy(dtype=np.float64, na_value=np.nan)
        aligned[row] = values.reshape(ranks.shape)
    signatures = scores.drop_duplicates("metric").set_index("metric")["signature"]
    return _Aligned(
        metrics=metrics,
        signatures=signatures[metrics].tolist(),
        systems=ranks.columns.tolist(),
        scores=aligned,
        ranks=ranks.to_numpy(dtype=np.float64),
        correct=wide(ratings, "correct").to_numpy(dtype=np.float64),
        patients=patients_of(ranks.index, instructions),
    )


def _taus(data: _Aligned) -> np.ndarray:
    """Tau-b of each instruction with minus the rank: shape (N, K)."""
    return np.column_stack([kendall_tau_b(each, -data.ranks) for each in data.scores])


def _system_means(data: _Aligned, *, bootstrap: Bootstrap) -> tuple[np.ndarray, np.ndarray]:
    """Means of each system over the instructions on which all of them have a score, and resampled.

    Returns:
        float64, shape (K, 3, 1 + resamples, S), higher is better: of each metric the mean scores,
        minus the mean ranks, and the accuracies, the observed ones first; NaN where no instruction
        counts. And the number of patients who count, shape (K,).
    """
    values = np.empty((*data.scores.shape[:2], 3, len(data.systems)))  # (K, N, 3, S)
    values[:, :, 0], values[:, :, 1], values[:, :, 2] = data.scores, -data.ranks, data.correct
    values[np.isnan(data.scores).any(axis=2)] = np.nan
    k, n, *shape = values.shape
    columns = values.swapaxes(0, 1).reshape(n, -1)
    drawn = resample_means(columns, data.patients, bootstrap=bootstrap)
    means = np.vstack([drawn.means, drawn.resampled]).reshape(-1, k, *shape)
    return means.transpose(1, 2, 0, 3), drawn.n_patients.reshape(k, *shape)[:, 0, 0]


def _correlation(x: np.ndarray, y: np.ndarray, coefficient: str) -> np.ndarray:
    """One of `COEFFICIENTS` for each row of two arrays of shape (R, S); NaN where undefined."""
    if coefficient == "kendall_tau_b":
        return kendall_tau_b(x, y)
    # Before ranks are taken: a mean of equal values need not equal them to the last digit.
    undefined = (np.ptp(x, axis=1) == 0) | (np.ptp(y, axis=1) == 0)
    undefined |= np.isnan(x).any(axis=1) | np.isnan(y).any(axis=1)
    if coefficient == "spearman":
        x, y = rankdata(x, axis=1), rankdata(y, axis=1)
    x = x - x.mean(axis=1, keepdims=True)
    y = y - y.mean(axis=1, keepdims=True)
    norm = np.sqrt((x**2).sum(axis=1) * (y**2).sum(axis=1))
    r = (x * y).sum(axis=1) / np.where(undefined, np.nan, norm)
    return np.clip(r, -1, 1)


def _system_columns(data: _Aligned, *, bootstrap: Bootstrap) -> dict[str, list]:
    """What `correlate_metrics` says of the systems' means."""
    means, _ = _system_means(data, bootstrap=bootstrap)
    names, shares = [], []
    for score, rank, _ in means:
        best = score[0] == score[0].max()
        names.append(", ".join(np.array(data.systems, dtype=object)[best]))
        shares.append(same_best(score, -rank)[0])
    return {
        "best_system": names,
        "same_best_system": [share[0] for share in shares],
        "same_best_system_resampled": [_mean(share[1:]) for share in shares],
    }


def _sign_flip_p(
    difference: np.ndarray, patients: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Two-sided p of each column's mean difference, shape (N, Q), by flipping patients' signs."""
    sums = pd.DataFrame(np.nan_to_num(difference)).groupby(patients).sum().to_numpy()
    observed = np.abs(sums.sum(axis=0))
    n_patients = len(sums)
    if 2**n_patients <= SIGN_FLIPS:
        numbers = np.arange(2**n_patients)[:, np.newaxis]
        blocks = [(numbers >> np.arange(n_patients) & 1) * 2.0 - 1]
        as_extreme, flips = np.zeros(len(observed)), 2**n_patients
    else:
        size = (SIGN_FLIPS // 10, n_patients)
        blocks = (rng.integers(0, 2, size, dtype=np.int8) * 2.0 - 1 for _ in range(10))
        as_extreme, flips = np.ones(len(observed)), SIGN_FLIPS + 1  # with what was observed
    for signs in blocks:
        # Sums in another order differ in their last digits.
        as_extreme += (np.abs(signs @ sums) >= observed - 1e-9).sum(axis=0)
    return np.where(np.isnan(difference).all(axis=0), np.nan, as_extreme / flips)


def _intervals(values: list[np.ndarray], n_patients: np.ndarray) -> list[Interval]:
    """Of statistics of shape (1 + resamples,), the observed one first, the intervals."""
    table = np.column_stack(values)
    return Resampled(table[0], table[1:], n_patients).intervals()


def _mean(values: np.ndarray) -> float:
    """The mean of what is defined, NaN without any."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else np.nan


def _check_scores(scores: pd.DataFrame) -> None:
    missing = {*_KEY, "score", "signature"} - set(scores.columns)
    if missing:
        raise MedAlignError(
            f"correlate_metrics: scores has no column {', '.join(sorted(missing))}; "
            f"found {', '.join(map(str, scores.columns))}"
        )
    if scores.empty:
        raise MedAlignError("correlate_metrics: no scores; expected one a response and metric")
    for metric, signatures in scores.groupby("metric")["signature"].unique().items():
        if len(signatures) > 1:
            raise MedAlignError(
                f"correlate_metrics: {metric} was scored with {len(signatures)} signatures "
                f"({', '.join(map(str, signatures))}); expected one, score all responses alike"
            )
    repeated = scores[scores.duplicated(_KEY)]
    if len(repeated):
        metric, instruction_id, system = repeated.iloc[0][_KEY]
        raise MedAlignError(
            f"correlate_metrics: several {metric} scores of (instruction {instruction_id}, "
            f"{system}); expected 1"
        )
