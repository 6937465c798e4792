"""How well raters agree with each other, where several judged the same responses."""

from itertools import combinations
from typing import NamedTuple

import krippendorff
import numpy as np
import pandas as pd
from scipy.stats import rankdata

from medalign_utils.errors import MedAlignError
from medalign_utils.evaluation.ratings import patients_of
from medalign_utils.grading.answer_key import RATER
from medalign_utils.stats.bootstrap import (
    Bootstrap,
    Interval,
    Resampled,
    bootstrap_means,
    resample_means,
    resample_rows,
)
from medalign_utils.stats.rank_correlation import kendall_tau_b

TAU, KAPPA = "Kendall's tau-b", "Cohen's kappa"
NOMINAL, ORDINAL = "Krippendorff's alpha, nominal", "Krippendorff's alpha, ordinal"
_KEY = ["instruction_id", "system", "rater"]


def inter_rater_reliability(
    ratings: pd.DataFrame,
    instructions: pd.DataFrame,
    *,
    bootstrap: Bootstrap,
) -> pd.DataFrame:
    """Agreement of raters on ranks and on correctness, each with its interval.

    Args:
        ratings: instruction_id, system, rater (key), correct (bool), rank (1 is best; NaN where a
            rater gave none). Raters may differ from instruction to instruction and may have judged
            some of its responses only.
        instructions: instruction_id, person_id.
        bootstrap: over patients.

    Returns:
        Four rows: measure, of ("rank" or "correct"), n_raters, n_instructions, n_responses (what
        enters, rated by two or more), n_undefined, estimate with its 95 % interval estimate_low to
        estimate_high, and reason, why there is no estimate (else "").

        - `TAU` of two raters' ranks of an instruction, over the responses that both ranked;
          averaged over the instruction's pairs of raters, then over instructions. Undefined where
          one rater tied everything; n_undefined counts the instructions without any defined pair,
          which are left out.
        - `KAPPA` on correctness, for pairs of raters pooled as Conger (1980) does: agreement and
          agreement by chance, each pair's own, averaged over pairs by the responses they share,
          then (agreement - chance) / (1 - chance). Of two raters it is Cohen's.
        - `NOMINAL` on correctness and `ORDINAL` on ranks; the unit is a response. Ranks are taken
          anew among the responses that all of an instruction's raters ranked, ties sharing their
          average, so that raters' ranks are on one scale. Only instructions with two such responses
          enter `ORDINAL` and its counts.

        All are at most 1, and 0 is agreement by chance. The units of an instruction depend on each
        other, ranks above all; the intervals allow for it, because patients are drawn whole.

    Raises:
        MedAlignError: a column is missing or a rater judged a response twice.

    Source: Conger 1980; Krippendorff 2011 ("Computing Krippendorff's Alpha-Reliability").

    >>> ratings = pd.DataFrame({
    ...     "instruction_id": "1", "system": ["a", "b"] * 2, "rater": ["x", "x", "y", "y"],
    ...     "correct": [True, False, True, True], "rank": [1.0, 2.0, 1.0, 2.0]})
    >>> instructions = pd.DataFrame({"instruction_id": ["1"], "person_id": ["p"]})
    >>> table = inter_rater_reliability(ratings, instructions,
    ...     bootstrap=Bootstrap.seeded(100, 1))
    >>> table[["of", "n_responses", "estimate"]].values.tolist()
    [['rank', 2, 1.0], ['correct', 2, 0.0], ['correct', 2, 0.0], ['rank', 2, 1.0]]
    """
    _check(ratings)
    judged = _Wide.of(ratings, "correct")
    ranked = _Wide.of(ratings, "rank")
    rows = []
    for measure, wide, compute in (
        (TAU, ranked, _mean_tau),
        (KAPPA, judged, _kappa),
        (NOMINAL, judged, _alpha_nominal),
        (ORDINAL, ranked.by_all(), _alpha_ordinal),
    ):
        interval, n_undefined = Interval(np.nan, np.nan, np.nan), 0
        if len(wide.values):
            patients = patients_of(wide.instructions, instructions)
            interval, n_undefined = compute(wide, patients, bootstrap=bootstrap)
        shared = (wide.counts() >= 2).sum()
        n = (wide.n_raters, len(wide.instructions), shared, n_undefined)
        reason = _reason(ratings, wide, ranked, interval)
        rows.append((measure, wide.column, *n, *interval, reason))
    counts = ["n_raters", "n_instructions", "n_responses", "n_undefined"]
    bounds = ["estimate", "estimate_low", "estimate_high"]
    return pd.DataFrame(rows, columns=["measure", "of", *counts, *bounds, "reason"])


class _Wide(NamedTuple):
    """One column of ratings, of the instructions on which two or more raters gave it.

    A row an instruction and rater, a column a system; NaN where there is no rating.
    """

    column: str
    instructions: pd.Index  # (N,)
    row_instruction: np.ndarray  # (M,), position in `instructions`
    raters: np.ndarray  # (M,)
    values: np.ndarray  # (M, S)

    @classmethod
    def of(cls, ratings: pd.DataFrame, column: str) -> "_Wide":
        given = ratings[ratings[column].notna()]
        wide = given.pivot(index=["instruction_id", "rater"], columns="system", values=column)
        values = wide.to_numpy(dtype=np.float64, na_value=np.nan)
        # Of two raters who share no response nothing can be compared.
        instruction = wide.index.get_level_values("instruction_id")
        shared = pd.DataFrame(~np.isnan(values)).groupby(instruction.to_numpy()).transform("sum")
        kept = ((shared.to_numpy() >= 2) & ~np.isnan(values)).any(axis=1)
        codes, instructions = pd.factorize(instruction[kept])
        raters = wide.index.get_level_values("rater").to_numpy()[kept]
        return cls(column, pd.Index(instructions), codes, raters, values[kept])

    @property
    def n_raters(self) -> int:
        return len(set(self.raters))

    def counts(self) -> np.ndarray:
        """How many raters gave each response a value: shape (N, S)."""
        counts = np.zeros((len(self.instructions), self.values.shape[1]), dtype=int)
        np.add.at(counts, self.row_instruction, ~np.isnan(self.values))
        return counts

    def pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """The rows of each two raters of an instruction, by name: two of shape (Q,)."""
        rows = pd.Series(range(len(self.raters))).groupby(self.row_instruction)
        pairs = [pair for _, of_one in rows for pair in combinations(of_one, 2)]
        first, second = np.array(pairs, dtype=int).reshape(-1, 2).T
        return first, second

    def by_all(self) -> "_Wide":
        """Only the responses that all of an instruction's raters ranked, ranked among themselves.

        Instructions with fewer than two are left out: alone a response is first whatever it is.
        """
        n_raters = np.bincount(self.row_instruction, minlength=len(self.instructions))
        by_all = self.counts() == n_raters[:, np.newaxis]
        rows = (by_all.sum(axis=1) >= 2)[self.row_instruction]
        common = np.where(by_all[self.row_instruction], self.values, np.nan)[rows]
        codes, kept = pd.factorize(self.row_instruction[rows])
        return self._replace(
            instructions=self.instructions[kept],
            row_instruction=codes,
            raters=self.raters[rows],
            values=rankdata(common, axis=1, nan_policy="omit") if rows.any() else common,
        )


def _mean_tau(wide: _Wide, patients: np.ndarray, **draws) -> tuple[Interval, int]:
    first, second = wide.pairs()
    taus = _taus(wide.values[first], wide.values[second])
    of_pairs = pd.Series(taus).groupby(wide.row_instruction[first]).mean()  # NaN is left out
    means = of_pairs.reindex(range(len(wide.instructions))).to_numpy()
    [interval] = bootstrap_means(means[:, np.newaxis], patients, **draws)
    return interval, int(np.isnan(means).sum())


def _taus(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Tau-b of each row over the columns in which both rows have a value."""
    both = ~np.isnan(x) & ~np.isnan(y)
    taus = np.full(len(x), np.nan)
    for columns in np.unique(both, axis=0):
        rows = (both == columns).all(axis=1)
        taus[rows] = kendall_tau_b(x[rows][:, columns], y[rows][:, columns])
    return taus


def _kappa(wide: _Wide, patients: np.ndarray, **draws) -> tuple[Interval, int]:
    first, second = wide.pairs()
    names = list(zip(wide.raters[first], wide.raters[second], strict=True))
    pair, _ = pd.factorize(pd.Series(names, dtype=object))
    a, b = wide.values[first], wide.values[second]
    tables = np.zeros((len(wide.instructions), pair.max() + 1, 2, 2))
    for i in (0, 1):
        for j in (0, 1):
            cells = ((a == i) & (b == j)).sum(axis=1)
            np.add.at(tables, (wide.row_instruction[first], pair, i, j), cells)
    # Kappa is the same of an instruction's mean counts as of counts.
    drawn = resample_means(tables.reshape(len(tables), -1), patients, **draws)
    counts = np.vstack([drawn.means, drawn.resampled]).reshape(-1, *tables.shape[1:])
    kappas = _pooled_kappa(counts)
    return _interval(kappas[0], kappas[1:], patients), 0


def _pooled_kappa(tables: np.ndarray) -> np.ndarray:
    """Kappa pooled over pairs of raters, of tables of shape (R, pairs, 2, 2): shape (R,).

    NaN where every pair agrees by chance alone, as raters do who all say the same throughout.
    """
    n = tables.sum(axis=(2, 3))
    agreed = tables[:, :, 0, 0] + tables[:, :, 1, 1]
    by_chance = (tables.sum(axis=2) * tables.sum(axis=3)).sum(axis=2) / np.where(n > 0, n, 1)
    room = (n - by_chance).sum(axis=1)
    undefined = room <= 1e-12 * n.sum(axis=1)
    return np.where(
        undefined, np.nan, (agreed - by_chance).sum(axis=1) / np.where(undefined, 1, room)
    )


def _alpha_nominal(wide: _Wide, patients: np.ndarray, **draws) -> tuple[Interval, int]:
    return _alpha(wide, "nominal", patients, **draws)


def _alpha_ordinal(wide: _Wide, patients: np.ndarray, **draws) -> tuple[Interval, int]:
    return _alpha(wide, "ordinal", patients, **draws)


def _alpha(
    wide: _Wide, level: str, patients: np.ndarray, *, bootstrap: Bootstrap
) -> tuple[Interval, int]:
    """Krippendorff's alpha with responses as units."""
    values = wide.values
    domain = np.unique(values[~np.isnan(values)])
    counts = np.zeros((len(wide.instructions), values.shape[1], len(domain)), dtype=int)
    np.add.at(counts, wide.row_instruction, values[:, :, np.newaxis] == domain)

    units = counts.reshape(counts.shape[0] * counts.shape[1], len(domain))
    units = units[units.sum(axis=1) >= 2]
    if (units.sum(axis=0) > 0).sum() < 2:  # nothing to tell apart
        return Interval(np.nan, np.nan, np.nan), 0
    estimate = krippendorff.alpha(
        value_counts=units, value_domain=domain, level_of_measurement=level
    )
    weights = resample_rows(patients, bootstrap=bootstrap)
    coincidences = np.einsum("rn,nvw->rvw", weights, _coincidences(counts))
    return _interval(estimate, _alphas(coincidences, level), patients), 0


def _coincidences(counts: np.ndarray) -> np.ndarray:
    """Each instruction's coincidence matrix of counts of shape (N, S, V): shape (N, V, V)."""
    pairable = counts.sum(axis=2)
    weight = (pairable >= 2) / np.maximum(pairable - 1, 1)
    products = np.einsum("ns,nsv,nsw->nvw", weight, counts, counts)
    return products - np.einsum("ns,nsv,vw->nvw", weight, counts, np.eye(counts.shape[2]))


def _alphas(coincidences: np.ndarray, level: str) -> np.ndarray:
    """Alpha of each of many coincidence matrices, shape (R, V, V): for the resamples.

    The library takes one matrix a call, 2,000 of which would take most of a minute.
    """
    n_v = coincidences.sum(axis=2)
    # Ordinal: the distance of two values is the number of ratings between their middles.
    middles = n_v.cumsum(axis=1) - n_v / 2
    distances = (middles[:, :, np.newaxis] - middles[:, np.newaxis, :]) ** 2
    if level == "nominal":
        distances = np.broadcast_to(1 - np.eye(n_v.shape[1]), distances.shape)
    observed = (coincidences * distances).sum(axis=(1, 2))
    expected = np.einsum("rv,rw,rvw->r", n_v, n_v, distances) / (n_v.sum(axis=1) - 1)
    undefined = ~(expected > 0)
    return np.where(undefined, np.nan, 1 - observed / np.where(undefined, 1, expected))


def _interval(estimate: float, resampled: np.ndarray, patients: np.ndarray) -> Interval:
    n_patients = np.array([len(set(patients))])
    [interval] = Resampled(np.array([estimate]), resampled[:, np.newaxis], n_patients).intervals()
    return interval


def _reason(ratings: pd.DataFrame, wide: _Wide, ranked: _Wide, interval: Interval) -> str:
    if not np.isnan(interval.estimate):
        return ""
    if not len(wide.values) and wide.column == "rank" and len(ranked.values):
        return "no instruction has two responses that all of its raters ranked"
    if not len(wide.values):
        # Clinicians are counted and not named, for the table may be published.
        raters = set(ratings["rater"])
        by = RATER if raters == {RATER} else f"{len(raters)} clinician{'s'[: len(raters) != 1]}"
        return f"no response has two raters; rated by {by}"
    return "nothing varies in what raters share"


def _check(ratings: pd.DataFrame) -> None:
    missing = {*_KEY, "correct", "rank"} - set(ratings.columns)
    if missing:
        raise MedAlignError(
            f"inter_rater_reliability: no column {', '.join(sorted(missing))}; "
            f"found {', '.join(map(str, ratings.columns))}"
        )
    repeated = ratings[ratings.duplicated(_KEY)]
    if len(repeated):
        instruction_id, system, rater = repeated.iloc[0][_KEY]
        raise MedAlignError(
            f"inter_rater_reliability: {rater} rated (instruction {instruction_id}, {system}) "
            "more than once"
        )
