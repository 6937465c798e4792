"""Agreement between raters who judged the same responses."""

from functools import partial
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from medalign_utils.evaluation.ratings import check_table, count_raters, patients_of
from medalign_utils.stats.bootstrap import (
    Bootstrap,
    Interval,
    Resampled,
    bootstrap_means,
    resample_rows,
)
from medalign_utils.stats.rank_correlation import kendall_tau_b

TAU, KAPPA = "Kendall's tau-b", "Cohen's kappa"
NOMINAL, ORDINAL = "Krippendorff's alpha, nominal", "Krippendorff's alpha, ordinal"
_KEY = ["instruction_id", "system", "rater"]


def inter_rater_reliability(
    ratings: pd.DataFrame, instructions: pd.DataFrame, *, bootstrap: Bootstrap
) -> pd.DataFrame:
    """Return the agreement of raters on ranks and on correctness.

    `ratings` also has the column rater. Raters may differ between instructions, may judge only some
    responses, and may omit ranks (NaN).

    The table has four rows, one per measure:

    - `TAU` compares two raters' ranks; it is averaged over an instruction's pairs of raters, then
      over instructions.
    - `KAPPA` compares verdicts. With more than two raters, observed and chance agreement are
      averaged over pairs, weighted by shared responses (Conger 1980; not in statsmodels).
    - `NOMINAL` compares verdicts and `ORDINAL` ranks (Krippendorff 2011); the units are responses.
      For one common scale, ranks are recomputed among the responses that all raters of an
      instruction ranked. Instructions with fewer than two such responses are left out.

    Columns:

    - measure, and of: what is compared, "rank" or "correct"
    - n_raters, n_instructions
    - n_responses: responses with two or more raters
    - n_undefined: instructions without a tau, because a rater in every pair tied all responses
    - estimate with its bounds: 1 is perfect agreement, 0 is agreement by chance
    - reason: why there is no estimate, or ""
    """
    check_table("inter_rater_reliability", ratings, _KEY, ["correct", "rank"])
    judged, ranked = _shared(ratings, "correct"), _shared(ratings, "rank")
    rows = []
    for measure, compared, shared, compute in (
        (TAU, "rank", ranked, _mean_tau),
        (KAPPA, "correct", judged, _kappa),
        (NOMINAL, "correct", judged, partial(_alpha, "nominal")),
        (ORDINAL, "rank", _ranked_by_all(ranked), partial(_alpha, "ordinal")),
    ):
        interval, n_undefined, given = Interval(np.nan, np.nan, np.nan), 0, ~np.isnan(shared.values)
        if len(shared.values):
            patients = patients_of(shared.instructions, instructions)
            interval, n_undefined = compute(shared.values, patients, bootstrap)
        n_raters = given.any(axis=(0, 2)).sum()
        n = (n_raters, len(shared.values), (given.sum(axis=1) >= 2).sum(), n_undefined)
        if not np.isnan(interval.estimate):
            reason = ""
        elif len(shared.values):
            reason = "all shared ratings are equal"
        elif compared == "rank" and len(ranked.values):
            reason = "no instruction has two responses that all of its raters ranked"
        else:
            reason = f"no response has two raters (rated by {count_raters(ratings)})"
        rows.append((measure, compared, *n, *interval, reason))
    counts = ["n_raters", "n_instructions", "n_responses", "n_undefined"]
    bounds = ["estimate", "estimate_low", "estimate_high"]
    return pd.DataFrame(rows, columns=["measure", "of", *counts, *bounds, "reason"])


class _Shared(NamedTuple):
    """One column of the ratings of N instructions, by raters who share a response."""

    instructions: pd.Index
    values: np.ndarray  # (N, raters, systems); NaN if not rated


def _shared(ratings: pd.DataFrame, column: str) -> _Shared:
    table = ratings.set_index(_KEY)[column].dropna().unstack(["rater", "system"])
    axes = pd.MultiIndex.from_product([level.unique() for level in table.columns.levels])
    shape = (len(table), len(axes.levels[0]), len(axes.levels[1]))
    values = table.reindex(columns=axes).to_numpy(dtype=np.float64, na_value=np.nan).reshape(shape)
    given = ~np.isnan(values)
    comparable = (given & (given.sum(axis=1, keepdims=True) >= 2)).any(axis=2, keepdims=True)
    kept = comparable.any(axis=(1, 2))
    return _Shared(table.index[kept], np.where(comparable, values, np.nan)[kept])


def _ranked_by_all(shared: _Shared) -> _Shared:
    """The responses that all raters of an instruction ranked, with ranks among these responses."""
    given = ~np.isnan(shared.values)
    n_raters = given.any(axis=2).sum(axis=1)
    by_all = given.sum(axis=1) == n_raters[:, np.newaxis]
    kept = by_all.sum(axis=1) >= 2  # a single response always ranks first
    values = np.where(by_all[:, np.newaxis], shared.values, np.nan)[kept]
    return _Shared(shared.instructions[kept], rankdata(values, axis=2, nan_policy="omit"))


def _pairs(values: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Two raters' values, each of shape (N, systems, ...), for every pair of raters."""
    return list(combinations(values.swapaxes(0, 1), 2))


def _mean_tau(
    values: np.ndarray, patients: np.ndarray, bootstrap: Bootstrap
) -> tuple[Interval, int]:
    taus = np.column_stack([_taus(x, y) for x, y in _pairs(values)])
    means = pd.DataFrame(taus).mean(axis=1).to_numpy()  # ignores NaN
    [interval] = bootstrap_means(means[:, np.newaxis], patients, bootstrap=bootstrap)
    return interval, int(np.isnan(means).sum())


def _taus(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Tau-b of each row, over the columns in which both arrays have a value."""
    both = ~np.isnan(x) & ~np.isnan(y)
    taus = np.full(len(x), np.nan)
    for columns in np.unique(both, axis=0):
        rows = (both == columns).all(axis=1)
        taus[rows] = kendall_tau_b(x[rows][:, columns], y[rows][:, columns])
    return taus


def _kappa(values: np.ndarray, patients: np.ndarray, bootstrap: Bootstrap) -> tuple[Interval, int]:
    verdicts = (values[..., np.newaxis] == [0, 1]).astype(np.float64)
    tables = [np.einsum("nsi,nsj->nij", x, y) for x, y in _pairs(verdicts)]
    tables = np.stack(tables, axis=1)  # (N, pairs, 2, 2)
    counts = np.einsum("rn,nkij->rkij", resample_rows(patients, bootstrap=bootstrap), tables)
    n = counts.sum(axis=(2, 3))
    agreed = counts[:, :, 0, 0] + counts[:, :, 1, 1]
    by_chance = (counts.sum(axis=2) * counts.sum(axis=3)).sum(axis=2) / np.maximum(n, 1)
    # NaN if chance alone would make every pair agree on everything.
    room = (n - by_chance).sum(axis=1)
    room[room == 0] = np.nan
    return _interval((agreed - by_chance).sum(axis=1) / room, patients), 0


def _alpha(
    level: str, values: np.ndarray, patients: np.ndarray, bootstrap: Bootstrap
) -> tuple[Interval, int]:
    """Krippendorff's alpha with responses as units; the krippendorff package is too slow here."""
    domain = np.unique(values[~np.isnan(values)])
    counts = (values[..., np.newaxis] == domain).sum(axis=1)  # (N, systems, values)
    weight = 1 / np.maximum(counts.sum(axis=2) - 1, 1)
    coincidences = np.einsum("ns,nsv,nsw->nvw", weight, counts, counts)
    coincidences -= np.einsum("ns,nsv,vw->nvw", weight, counts, np.eye(len(domain)))
    weights = resample_rows(patients, bootstrap=bootstrap)
    coincidences = np.einsum("rn,nvw->rvw", weights, coincidences)
    n_v = coincidences.sum(axis=2)
    # Ordinal: the distance between two values is the number of ratings between their midpoints.
    middles = n_v.cumsum(axis=1) - n_v / 2
    distances = (middles[:, :, np.newaxis] - middles[:, np.newaxis, :]) ** 2
    if level == "nominal":
        distances = np.broadcast_to(1 - np.eye(n_v.shape[1]), distances.shape)
    observed = (coincidences * distances).sum(axis=(1, 2))
    expected = np.einsum("rv,rw,rvw->r", n_v, n_v, distances) / (n_v.sum(axis=1) - 1)
    expected[~(expected > 0)] = np.nan  # all values are equal
    return _interval(1 - observed / expected, patients), 0


def _interval(values: np.ndarray, patients: np.ndarray) -> Interval:
    """The interval of a statistic, given its value in the sample and in each resample."""
    n_patients = np.array([len(set(patients))])
    [interval] = Resampled(values[:1], values[1:, np.newaxis], n_patients).intervals()
    return interval
