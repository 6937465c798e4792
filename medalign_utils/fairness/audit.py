"""Whom does a system fail? Its results by groups of patients, and tests of the gaps.

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
_GROUP_COLUMNS = [*_KEY, "group", *N, "mean", "mean_low", "mean_high", "gap", "gap_low", "gap_high"]
_RANGE_COLUMNS = [*_KEY, "best", "worst", *N, "range", "range_low", "range_high"]


class Audit(NamedTuple):
    """`audit`'s two tables."""

    groups: pd.DataFrame
    ranges: pd.DataFrame


def outcomes(ratings: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    """Return what may differ between groups, for each system: verdicts, ranks, and scores.

    Scores of instructions without a rating are not used.

    Returns:
        float64, one row per instruction, sorted; columns (system, measure), the measures being
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


def metric_agreement(ratings: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    """Return Kendall's tau-b between each metric and the ratings, instruction by instruction.

    Returns: as `outcomes`; columns (`ALL`, metric), in [-1, 1], NaN where tau is undefined.

    >>> ratings = pd.DataFrame({"instruction_id": ["1", "1"], "system": ["a", "b"],
    ...     "rank": [1.0, 2.0]})
    >>> scores = ratings[["instruction_id", "system"]].assign(metric="chrf", score=[0.1, 0.5])
    >>> metric_agreement(ratings, scores)[ALL, "chrf"].tolist()
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
    disclosable: DisclosableGroups,
    *,
    bootstrap: Bootstrap,
) -> Audit:
    """Compare the groups: each with the rest, and the best with the worst.

    Intervals are 95 % percentile intervals of a bootstrap over patients, with the levels of
    `stats.bootstrap.percentile_levels` for the smaller of the groups compared. p_holm is by Holm's
    method over all tests of one system on one measure: all its groupings, pairs, groups and ranges.

    Args:
        values: as `outcomes` or `metric_agreement` returns it.
        patients: the patient of each row.
        disclosable: the groups of these patients.
        bootstrap: over patients; there are as many permutations.

    Returns:
        `groups`, one row per system, measure, grouping and group: n_patients and n_instructions (of
        the group); mean with mean_low and mean_high; gap (the group's mean minus that of all
        others) with gap_low and gap_high; p, p_holm; suppressed, what was withheld of the grouping.
        `ranges`, one row per system, measure and grouping: best, worst (groups by their means);
        range, the distance between the two (0 or more), with range_low and range_high of these
        two groups; p and p_holm, which allow for the choice of the two. Means and what follows
        from them are NaN where fewer than 11 patients of the group, or of the rest, have a defined
        value; how many have one is not shown. A grouping that is not shown has one row,
        "(not shown)".

    >>> values = pd.DataFrame({("a", "correct"): [1.0] * 15 + [0.0] * 15})
    >>> labels = pd.DataFrame({"gender": ["F"] * 15 + ["M"] * 15}, index=map(str, range(30)))
    >>> disclosable, bootstrap = DisclosableGroups(labels, {"gender": ""}), Bootstrap.seeded(99, 1)
    >>> groups, _ = audit(values, labels.index.to_numpy(), disclosable, bootstrap=bootstrap)
    >>> groups[["group", "n_patients", "gap", "p_holm"]].values.tolist()
    [['F', 15, 1.0, 0.01], ['M', 15, -1.0, 0.01]]
    """
    _check(values, patients, disclosable)
    tests = permutation_tests(
        values, patients, disclosable.labels, permutations=bootstrap.resamples, rng=bootstrap.rng
    ).set_index(["column", "grouping", "group"])[["p", "p_holm"]]
    persons, sums, counts = sums_by_patient(values, patients)
    even = np.full(len(persons), 1 / len(persons))
    weights = bootstrap.rng.multinomial(len(persons), even, size=bootstrap.resamples)
    groups, ranges = [], []
    for grouping in disclosable.labels:
        codes, names = code_groups(disclosable.labels.loc[persons, grouping])
        member = (codes == np.arange(len(names))[:, np.newaxis]).astype(np.float64)
        # Patients with a defined value: of the group, and of the rest.
        n_own = member @ (counts > 0)
        n_rest = n_own.sum(axis=0) - n_own
        means, rests = (a[:, 0] for a in group_means(member[:, np.newaxis], sums, counts))
        means[n_own < LEAST_PATIENTS] = np.nan
        rests[n_rest < LEAST_PATIENTS] = np.nan
        drawn, drawn_rests = group_means(weights * member[:, np.newaxis], sums, counts)
        n = sizes(disclosable.labels[grouping], patients)
        for column, (system, measure) in enumerate(values.columns):
            key = {"system": system, "measure": measure, "grouping": grouping}
            for i, group in enumerate(names):
                at = i, column
                own, rest = drawn[i, :, column], drawn_rests[i, :, column]
                row = key | {"group": group} | n.loc[group].to_dict()
                row |= _interval("mean", means[at], own, n_own[at])
                fewer = min(n_own[at], n_rest[at])
                row |= _interval("gap", means[at] - rests[at], own - rest, fewer)
                groups.append(row | _p(tests.loc[(column, grouping, group)], row["gap"]))
            shown = np.flatnonzero(~np.isnan(means[:, column]))
            row = key | {"best": "", "worst": "", "range": np.nan}
            row |= {"n_patients": len(persons), "n_instructions": len(values)}
            if shown.size:
                low, high = shown[np.argsort(means[shown, column], kind="stable")[[0, -1]]]
                best, worst = (low, high) if measure in LOWER_IS_BETTER else (high, low)
                row |= {"best": names[best], "worst": names[worst]}
                apart = drawn[high, :, column] - drawn[low, :, column]
                fewer = min(n_own[high, column], n_own[low, column])
                row |= _interval("range", means[high, column] - means[low, column], apart, fewer)
            test = tests.loc[(column, grouping, RANGE if len(names) > 2 else names[0])]
            # The test is of all groups; without one of them there is none.
            ranges.append(row | _p(test, means[:, column].sum()))
    return Audit(
        with_suppressed(groups, disclosable, patients, [*_GROUP_COLUMNS, "p", "p_holm"]),
        with_suppressed(ranges, disclosable, patients, [*_RANGE_COLUMNS, "p", "p_holm"]),
    )


def _check(values: pd.DataFrame, patients: np.ndarray, disclosable: DisclosableGroups) -> None:
    if len(values) != len(patients):
        raise MedAlignError(f"audit: {len(values)} rows, {len(patients)} patients")
    strangers = set(patients) - set(disclosable.labels.index)
    if strangers or len(disclosable.labels) != len(set(patients)):
        raise MedAlignError(
            f"audit: groups of {len(disclosable.labels)} patients, values of {len(set(patients))}, "
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
