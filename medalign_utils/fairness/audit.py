"""Results by groups of patients, and tests of the gaps between groups.

The tables contain only groups that may be published. An interval requires `LEAST_INTERVAL` patients
and a test `LEAST_TESTED`; smaller groups have only a mean.
"""

import numpy as np
import pandas as pd

from medalign_utils.data.disclosure import (
    DisclosableGroups,
    N,
    with_suppressed,
)
from medalign_utils.errors import MedAlignError
from medalign_utils.stats.bootstrap import (
    LEAST_INTERVAL,
    Bootstrap,
    Interval,
    percentile_levels,
)
from medalign_utils.stats.permutation import (
    LEAST_TESTED,
    RANGE,
    code_groups,
    group_means,
    least_group_p,
    permutation_tests,
    sums_by_patient,
)
from medalign_utils.stats.proportions import Proportions
from medalign_utils.stats.rank_correlation import kendall_tau_b

ALL = "(all)"
LOWER_IS_BETTER = ("rank",)
_KEY = ["system", "measure", "grouping"]
_GROUP_COLUMNS = [*_KEY, "group", *N, "mean", "mean_low", "mean_high", "gap", "gap_low", "gap_high"]
_GROUP_COLUMNS += ["p", "p_holm", "p_least"]
_RANGE_COLUMNS = [*_KEY, "best", "worst", *N, "range", "range_low", "range_high"]
_RANGE_COLUMNS += ["p", "p_holm"]


def outcomes(ratings: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    """Return the values to compare between groups: verdicts (0 or 1), ranks and metrics' scores.

    One row per rated instruction, sorted; one column per (system, measure).
    """
    rated = ratings.melt(["instruction_id", "system"], ["correct", "rank"], "measure", "value")
    scored = scores.rename(columns={"metric": "measure", "score": "value"})
    scored = scored[scored["instruction_id"].isin(ratings["instruction_id"])]
    rows = pd.concat([rated, scored[rated.columns]]).astype({"value": "float64"})
    wide = rows.pivot(index="instruction_id", columns=["system", "measure"], values="value")
    order = [(s, m) for s in rated["system"].unique() for m in rows["measure"].unique()]
    return wide[order]


def metric_agreement(ratings: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    """Return the tau-b of each metric with the ratings, by instruction; columns (`ALL`, metric)."""
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
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return two tables: each group compared with the rest, and the best group with the worst.

    `values` comes from `outcomes` or `metric_agreement`; `patients` has the patient of each row.
    Intervals of verdicts are those of `Proportions`. All others resample patients; their quantiles
    depend on the smaller of the groups compared. There are as many permutations as resamples.

    Columns of both tables:

    - system, measure, grouping
    - n_patients: of the group, or in all
    - n_instructions: those with a defined value; missing if a group's mean is hidden, because that
      mean would follow from the numbers and means of the others
    - p, and p_holm: adjusted by Holm's method over all tests of one system on one measure
    - suppressed: what was withheld of the grouping

    The first table has one row per group:

    - mean
    - gap: the mean minus the mean of all other patients
    - p_least: the smallest p that so many patients could give, see `least_group_p`

    The second table has one row per grouping; its p accounts for the selection of the two groups:

    - best and worst: among the groups that are large enough to be tested
    - range: the difference between their means

    Values are NaN if too few patients of the group or the rest have a defined value: for means and
    gaps, fewer than may be shown; for intervals and p, fewer than these require. A grouping that is
    not shown has one row, with the group "(not shown)".

    >>> values = pd.DataFrame({("a", "correct"): [1.0] * 15 + [0.0] * 15})
    >>> labels = pd.DataFrame({"gender": ["F"] * 15 + ["M"] * 15}, index=map(str, range(30)))
    >>> disclosable, bootstrap = DisclosableGroups(labels, {"gender": ""}), Bootstrap.seeded(99, 1)
    >>> groups, _ = audit(values, labels.index.to_numpy(), disclosable, bootstrap=bootstrap)
    >>> groups[["group", "n_patients", "gap", "p_holm"]].values.tolist()
    [['F', 15, 1.0, 0.01], ['M', 15, -1.0, 0.01]]
    """
    if len(values) != len(patients):
        raise MedAlignError(f"audit: {len(values)} rows, {len(patients)} patients")
    if set(patients) != set(disclosable.labels.index):
        unlabelled = set(patients) - set(disclosable.labels.index)
        raise MedAlignError(
            f"audit: groups have {len(disclosable.labels)} patients, values {len(set(patients))}, "
            f"of whom {len(unlabelled)} have no group; expected the same patients"
        )
    tests = permutation_tests(
        values,
        patients,
        disclosable.labels,
        permutations=bootstrap.resamples,
        rng=bootstrap.rng,
        least=LEAST_TESTED,
    ).set_index(["column", "grouping", "group"])[["p", "p_holm"]]
    persons, sums, counts = sums_by_patient(values, patients)
    even = np.full(len(persons), 1 / len(persons))
    weights = bootstrap.rng.multinomial(len(persons), even, size=bootstrap.resamples)
    is_verdict = np.array([measure == "correct" for _, measure in values.columns])
    place = np.cumsum(is_verdict) - 1  # of a column among those of verdicts
    groups, ranges = [], []
    for grouping in disclosable.labels:
        codes, names = code_groups(disclosable.labels.loc[persons, grouping])
        member = (codes == np.arange(len(names))[:, np.newaxis]).astype(np.float64)
        # Patients with a defined value, in the group and in the rest.
        n_own = member @ (counts > 0)
        n_rest = n_own.sum(axis=0) - n_own
        means, rests = (a[:, 0] for a in group_means(member[:, np.newaxis], sums, counts))
        hidden = n_own < disclosable.least
        n_defined = member @ counts
        n_defined[:, hidden.any(axis=0)] = np.nan
        means[hidden] = np.nan
        rests[n_rest < disclosable.least] = np.nan
        drawn, drawn_rests = group_means(weights * member[:, np.newaxis], sums, counts)
        n_patients = disclosable.labels[grouping].value_counts()
        inside, outside = (
            [
                Proportions.of_sums(*(a[np.ix_(rows, is_verdict)] for a in (sums, counts)))
                for rows in own
            ]
            for own in (member == 1, member == 0)
        )
        shares = [own.intervals() for own in inside]
        gaps = [own.differences(rest) for own, rest in zip(inside, outside, strict=True)]
        for column, (system, measure) in enumerate(values.columns):
            key = {"system": system, "measure": measure, "grouping": grouping}
            for i, group in enumerate(names):
                at = i, column
                own, rest = drawn[i, :, column], drawn_rests[i, :, column]
                row = key | {"group": group, "n_patients": n_patients[group]}
                row["n_instructions"] = n_defined[at]
                fewer = min(n_own[at], n_rest[at])
                of_mean, of_gap = own, own - rest
                if is_verdict[column]:
                    of_mean, of_gap = shares[i][place[column]], gaps[i][place[column]]
                row |= _interval("mean", means[at], of_mean, n_own[at])
                row |= _interval("gap", means[at] - rests[at], of_gap, fewer)
                row |= _p(tests.loc[(column, grouping, group)], row["gap"])
                sizes = int(n_own[at]), int(n_own[at] + n_rest[at])
                is_tested = not np.isnan(row["p"])
                least = least_group_p(*sizes, bootstrap.resamples) if is_tested else np.nan
                groups.append(row | {"p_least": least})
            shown = np.flatnonzero(~hidden[:, column] & (n_own[:, column] >= LEAST_TESTED))
            row = key | {"best": "", "worst": "", "range": np.nan}
            row |= {"n_patients": len(persons), "n_instructions": n_defined[:, column].sum()}
            if shown.size > 1:
                low, high = shown[np.argsort(means[shown, column], kind="stable")[[0, -1]]]
                best, worst = (low, high) if measure in LOWER_IS_BETTER else (high, low)
                row |= {"best": names[best], "worst": names[worst]}
                apart = drawn[high, :, column] - drawn[low, :, column]
                fewer = min(n_own[high, column], n_own[low, column])
                if is_verdict[column]:
                    apart = inside[high].differences(inside[low])[place[column]]
                row |= _interval("range", means[high, column] - means[low, column], apart, fewer)
            test = tests.loc[(column, grouping, RANGE if len(names) > 2 else names[0])]
            # The test includes hidden groups, so it is hidden too.
            ranges.append(row | _p(test, np.nan if hidden[:, column].any() else row["range"]))
    tables = (groups, _GROUP_COLUMNS), (ranges, _RANGE_COLUMNS)
    groups, ranges = (
        with_suppressed(rows, disclosable, patients, columns).astype({"n_instructions": "Int64"})
        for rows, columns in tables
    )
    return groups, ranges


def _interval(
    name: str, estimate: float, interval: Interval | np.ndarray, n: float
) -> dict[str, float]:
    """Return an estimate with the bounds of its interval, or with those of its resamples."""
    low = high = np.nan
    if n >= LEAST_INTERVAL and not np.isnan(estimate):
        if isinstance(interval, Interval):
            _, low, high = interval
        else:
            low, high = np.nanquantile(interval, percentile_levels(int(n)))
    return {name: estimate, f"{name}_low": low, f"{name}_high": high}


def _p(test: pd.Series, estimate: float) -> dict[str, float]:
    return {name: np.nan if np.isnan(estimate) else test[name] for name in ("p", "p_holm")}
