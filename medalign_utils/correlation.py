"""How well automatic metrics order responses the way the raters do."""

import numpy as np
import pandas as pd

from medalign_utils.errors import MedAlignError
from medalign_utils.evaluation import check_ratings, patients_of
from medalign_utils.statistics import bootstrap_means

_KEY = ["metric", "instruction_id", "system"]


def kendall_tau_b(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Kendall's tau-b of each row of `x` with the same row of `y`.

    Args:
        x: float, shape (N, K).
        y: float, shape (N, K).

    Returns:
        float64, shape (N,), in [-1, 1]; NaN where tau is undefined: a row with all values tied,
        with any NaN, or with fewer than two columns.

    Raises:
        MedAlignError: if the shapes differ or are not two-dimensional.

    Source: Kendall 1945, "The treatment of ties in ranking problems".

    >>> kendall_tau_b(np.array([[3.0, 2.0, 1.0]]), np.array([[3.0, 1.0, 2.0]])).round(3).tolist()
    [0.333]
    """
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if x.ndim != 2 or x.shape != y.shape:
        raise MedAlignError(f"kendall_tau_b: shapes {x.shape} and {y.shape}, expected (N, K) twice")
    first, second = np.triu_indices(x.shape[1], k=1)
    # Compared, not subtracted: infinities subtract to NaN.
    order_x = (x[:, first] > x[:, second]).astype(int) - (x[:, first] < x[:, second])
    order_y = (y[:, first] > y[:, second]).astype(int) - (y[:, first] < y[:, second])
    concordant = (order_x * order_y > 0).sum(axis=1)
    discordant = (order_x * order_y < 0).sum(axis=1)
    untied_x = np.abs(order_x).sum(axis=1)
    untied_y = np.abs(order_y).sum(axis=1)
    undefined = (untied_x * untied_y == 0) | np.isnan(x).any(axis=1) | np.isnan(y).any(axis=1)
    tau_b = (concordant - discordant) / np.sqrt(np.where(undefined, 1, untied_x * untied_y))
    return np.where(undefined, np.nan, tau_b)


def correlate_metrics(
    scores: pd.DataFrame,
    ratings: pd.DataFrame,
    instructions: pd.DataFrame,
    *,
    resamples: int,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Mean over instructions of Kendall's tau-b between a metric's scores and minus the rank.

    Args:
        scores: instruction_id, system, metric, score (higher is better), signature. Scores of
            responses without a rating are not used.
        ratings: as `evaluation.check_ratings` describes.
        instructions: instruction_id, person_id.
        resamples: number of bootstrap resamples over patients.
        rng: the source of the resamples, which all metrics share.

    Returns:
        One row a metric, highest mean_tau first: metric; n, the instructions whose tau is defined;
        n_undefined, those where it is not (scores or ranks all tied, or a NaN score); mean_tau
        over the n, with its 95 % interval tau_low to tau_high (NaN for one patient);
        mean_tau_undefined_as_0 over all n + n_undefined; signature. Taus lie in [-1, 1]; mean_tau
        is NaN if n is 0.

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
    ...     resamples=100, rng=np.random.default_rng(1))
    >>> table[["n", "n_undefined", "mean_tau", "mean_tau_undefined_as_0"]].values.tolist()
    [[1.0, 1.0, 1.0, 0.5]]
    """
    check_ratings(ratings)
    _check_scores(scores)
    ranks = ratings.pivot(index="instruction_id", columns="system", values="rank")
    metrics = sorted(scores["metric"].unique())
    taus = np.empty((len(ranks), len(metrics)))
    for column, metric in enumerate(metrics):
        of_metric = scores[scores["metric"] == metric]
        wide = of_metric.pivot(index="instruction_id", columns="system", values="score")
        present = of_metric.set_index(["instruction_id", "system"]).index
        rated = pd.MultiIndex.from_product([ranks.index, ranks.columns])
        unscored = rated[~rated.isin(present)]
        if len(unscored):
            instruction_id, system = unscored[0]
            raise MedAlignError(
                f"correlate_metrics: no {metric} score of (instruction {instruction_id}, {system}),"
                f" which is rated ({len(unscored)} such); score every rated response"
            )
        aligned = wide.loc[ranks.index, ranks.columns].to_numpy(dtype=np.float64, na_value=np.nan)
        taus[:, column] = kendall_tau_b(aligned, -ranks.to_numpy())

    patients = patients_of(ranks.index, instructions)
    means = bootstrap_means(taus, patients, resamples=resamples, rng=rng)
    undefined = np.isnan(taus).sum(axis=0)
    signatures = scores.drop_duplicates("metric").set_index("metric")["signature"]
    table = pd.DataFrame(
        {
            "metric": metrics,
            "n": len(taus) - undefined,
            "n_undefined": undefined,
            "mean_tau": [mean.estimate for mean in means],
            "tau_low": [mean.low for mean in means],
            "tau_high": [mean.high for mean in means],
            "mean_tau_undefined_as_0": np.nan_to_num(taus).mean(axis=0),
            "signature": signatures.loc[metrics].to_numpy(),
        }
    )
    return table.sort_values("mean_tau", ascending=False, kind="stable", ignore_index=True)


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
