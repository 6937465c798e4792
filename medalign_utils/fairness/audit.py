"""Whom does a system fail? Its figures by groups of patients, and tests of the gaps.

Groups are those of `disclosure.disclosable_groups`, which may be published. The tables contain only
such groups, their numbers of patients and instructions, and means over 11 patients or more.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd

from medalign_utils.data.disclosure import (
    LEAST_PATIENTS,
    DisclosableGroups,
    N,
    sizes,
    with_suppressed,
)
from medalign_utils.errors import MedAlignError
from medalign_utils.stats.bootstrap import Bootstrap, percentile_levels
from medalign_utils.stats.permutation import (
    RANGE,
    code_groups,
    group_means,
    permutation_tests,
    sums_by_patient,
)
from medalign_utils.stats.rank_correlation import kendall_tau_b

ALL = "(all)"
LOWER_IS_BETTER = ("rank",)
_KEY = ["system", "measure", "grouping"]
GROUP_COLUMNS = [*_KEY, "group", *N, "mean", "mean_low", "mean_high", "gap", "gap_low", "gap_high"]
GROUP_COLUMNS += ["p", "p_holm"]
RANGE_COLUMNS = [*_KEY, "best", "worst", *N, "range", "range_low", "range_high", "p", "p_holm"]


class Audit(NamedTuple):
    """`audit`'s two tables."""

    groups: pd.DataFrame
    ranges: pd.DataFrame


def outcomes(ratings: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    """What may differ between groups, for each system: verdicts, ranks, and scores.

    Args:
        ratings: as `evaluation.check_ratings` describes.
        scores: instruction_id, system, metric, score; those of responses without a rating are
            not used.

    Returns: float64, a row an instruction, sorted; columns (system, measure), the measures being
        "correct" (0 or 1), "rank" (1 is best) and each metric.

    >>> ratings = pd.DataFrame({"instruction_id": ["1"], "system": ["a"], "correct": [True],
    ...     "rank": [1.0]})
    >>> scores = pd.DataFrame({"instruction_id": ["1"], "system": ["a"], "metric": ["chrf"],
    ...     "score": [0.5]})
    >>> outcomes(ratings, scores).loc["1"].to_dict()
    {('a', 'correct'): 1.0, ('a', 'rank'): 1.0, ('a', 'chrf'): 0.5}
    """
    rated = ratings.melt(["instruction_id", "system"], ["correct", "rank"], "measure", "value")
    scored = scores.rename(columns={"metric": "measure", "score": "value"})
    scored = scored[scored["instruction_id"].isin(ratings["instruction_id"])]
    rows = pd.concat([rated, scored[rated.columns]]).astype({"value": "float64"})
    wide = rows.pivot(index="instruction_id", columns=["system", "measure"], values="value")
    order = [(s, m) for s in rated["system"].unique() for m in rows["measure"].unique()]
    return wide[order]


def agreement(ratings: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    """Kendall's tau-b between each metric and the ratings, instruction by instruction.

    Args:
        ratings: as `evaluation.check_ratings` describes.
        scores: a score of each rated response by each metric.

    Returns: as `outcomes`; columns ("(all)", metric), in [-1, 1], NaN where tau is undefined.

    >>> ratings = pd.DataFrame({"instruction_id": ["1", "1"], "system": ["a", "b"],
    ...     "rank": [1.0, 2.0]})
    >>> scores = ratings[["instruction_id", "system"]].assign(metric="chrf", score=[0.1, 0.5])
    >>> agreement(ratings, scores)[ALL, "chrf"].tolist()
    [-1.0]
    """
    ranks = ratings.pivot(index="instruction_id", columns="system", values="rank")
    taus = {}
    for metric, own in scores.groupby("metric"):
        wide = own.pivot(index="instruction_id", columns="system", values="score")
        wide = wide.reindex(index=ranks.index, columns=ranks.columns)
        taus[ALL, metric] = kendall_tau_b(wide.to_numpy(dtype=np.float64), -ranks.to_numpy())
    return pd.DataFrame(taus, index=ranks.index).rename_axis(columns=["system", "measure"])


def audit(
    values: pd.DataFrame,
    patients: np.ndarray,
    protected: DisclosableGroups,
    *,
    bootstrap: Bootstrap,
) -> Audit:
    """Compare the groups: each with the rest, and the best with the worst.

    Intervals are 95 % percentile intervals of a bootstrap over patients, with the percentiles of
    `statistics.percentile_levels` for the smaller of the groups compared, tests are those of
    `permutation.permutation_tests`, p_holm by Holm's method over all tests of one system on one
    measure: all its groupings, pairs, groups and ranges.

    Args:
        values: as `outcomes` or `agreement` returns it.
        patients: shape (N,), the patient of each row.
        protected: the groups of these patients.
        bootstrap: over patients.

    Returns:
        `groups`, one row a system, measure, grouping and group: n_patients and n_instructions (of
        the group); mean with mean_low and mean_high; gap (the group's mean minus that of all
        others) with gap_low and gap_high; p, p_holm; suppressed, what was withheld of the grouping.
        `ranges`, one row a system, measure and grouping: best, worst (groups by their means);
        range, the distance between the two (0 or more), with range_low and range_high of these
        two groups; p and p_holm, which allow for their having been picked. Means and what follows
        from them are NaN where fewer than 11 patients of the group, or of the rest, have a defined
        value; how many have one is not shown. A grouping that is not shown has one row,
        "(not shown)".

    >>> values = pd.DataFrame({("a", "correct"): [1.0] * 15 + [0.0] * 15})
    >>> labels = pd.DataFrame({"gender": ["F"] * 15 + ["M"] * 15}, index=map(str, range(30)))
    >>> groups = DisclosableGroups(labels, {"gender": ""})
    >>> bootstrap = Bootstrap.seeded(99, 1)
    >>> groups, ranges = audit(values, labels.index.to_numpy(), groups, bootstrap=bootstrap)
    >>> groups[["group", "n_patients", "gap", "p_holm"]].values.tolist()
    [['F', 15, 1.0, 0.01], ['M', 15, -1.0, 0.01]]
    """
    _check(values, patients, protected)
    labels = protected.labels
    tests = permutation_tests(
        values, patients, labels, permutations=bootstrap.resamples, rng=bootstrap.rng
    )
    tests = tests.set_index(["column", "grouping", "group"])[["p", "p_holm"]]
    persons, sums, counts = sums_by_patient(values, patients)
    even = np.full(len(persons), 1 / len(persons))
    weights = bootstrap.rng.multinomial(len(persons), even, size=bootstrap.resamples)
    groups, ranges = [], []
    for grouping in labels:
        codes, names = code_groups(labels.loc[persons, grouping])
        member = (codes == np.arange(len(names))[:, np.newaxis]).astype(np.float64)
        having = member @ (counts > 0)
        means, rests = (a[:, 0] for a in group_means(member[:, np.newaxis], sums, counts))
        means[having < LEAST_PATIENTS] = np.nan
        rests[having.sum(axis=0) - having < LEAST_PATIENTS] = np.nan
        drawn, drawn_rests = group_means(weights * member[:, np.newaxis], sums, counts)
        n = sizes(labels[grouping], patients)
        for column, (system, measure) in enumerate(values.columns):
            key = {"system": system, "measure": measure, "grouping": grouping}
            for i, group in enumerate(names):
                own, rest = drawn[i, :, column], drawn_rests[i, :, column]
                gap = means[i, column] - rests[i, column]
                row = key | {"group": group} | n.loc[group].to_dict()
                n_own, n_rest = having[i, column], having[:, column].sum() - having[i, column]
                row |= _interval("mean", means[i, column], own, n_own)
                row |= _interval("gap", gap, own - rest, min(n_own, n_rest))
                groups.append(row | _p(tests.loc[(column, grouping, group)], gap))
            row = key | {"n_patients": len(persons), "n_instructions": len(values)}
            of_groups = means[:, column], drawn[:, :, column], having[:, column]
            row |= _range(names, *of_groups, lower=measure in LOWER_IS_BETTER)
            test = (column, grouping, RANGE if len(names) > 2 else names[0])
            ranges.append(row | _p(tests.loc[test], means[:, column].sum()))
    return Audit(
        with_suppressed(groups, protected, patients, GROUP_COLUMNS),
        with_suppressed(ranges, protected, patients, RANGE_COLUMNS),
    )


def _check(values: pd.DataFrame, patients: np.ndarray, protected: DisclosableGroups) -> None:
    if len(values) != len(patients):
        raise MedAlignError(f"audit: {len(values)} rows, {len(patients)} patients")
    strangers = set(patients) - set(protected.labels.index)
    if strangers or len(protected.labels) != len(set(patients)):
        raise MedAlignError(
            f"audit: groups of {len(protected.labels)} patients, values of {len(set(patients))}, "
            f"{len(strangers)} of them without a group; expected groups of just these"
        )


def _interval(name: str, estimate: float, drawn: np.ndarray, n: float) -> dict[str, float]:
    drawn = drawn[~np.isnan(drawn)]
    low = high = np.nan
    if len(drawn) and not np.isnan(estimate):
        low, high = np.quantile(drawn, percentile_levels(int(n)))
    return {name: estimate, f"{name}_low": low, f"{name}_high": high}


def _p(test: pd.Series, estimate: float) -> dict[str, float]:
    return {name: np.nan if np.isnan(estimate) else test[name] for name in ("p", "p_holm")}


def _range(
    names: list[str], means: np.ndarray, drawn: np.ndarray, having: np.ndarray, *, lower: bool
) -> dict:
    """The best and the worst of the groups whose means are shown, and how far they are apart."""
    shown = np.flatnonzero(~np.isnan(means))
    if not shown.size:
        return {"best": "", "worst": ""} | _interval("range", np.nan, drawn[0], 0)
    low, *_, high = shown[np.argsort(means[shown], kind="stable")[[0, -1]]]
    best, worst = (low, high) if lower else (high, low)
    n = min(having[high], having[low])
    interval = _interval("range", means[high] - means[low], drawn[high] - drawn[low], n)
    return {"best": names[best], "worst": names[worst]} | interval
