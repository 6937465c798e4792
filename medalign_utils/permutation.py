"""Do groups of patients differ? Permutation tests that deal the groups out among the patients."""

from itertools import combinations
from math import comb

import numpy as np
import pandas as pd

# How far apart two sums of the same numbers may come out.
_ROUNDING = 1e-9
RANGE = "(best to worst)"


def permutation_tests(
    values: pd.DataFrame,
    patients: np.ndarray,
    labels: pd.DataFrame,
    *,
    permutations: int,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Test each group against the rest, and the best group against the worst.

    The null hypothesis is that a patient's group says nothing of the values. Whole patients change
    groups, with all their rows. The statistic of a group is the absolute difference between the
    mean of its rows and that of all others; of a grouping, the largest of its groups' means minus
    the smallest, which allows for best and worst being picked afterwards. All ways to deal out the
    groups are gone through where they are at most `permutations` (the test is exact); otherwise so
    many are drawn, and the observed way counts as one of them.

    Args:
        values: a row an instruction, a column a question; NaN is left out of the means.
        patients: shape (N,), the patient of each row.
        labels: a column a grouping, indexed by patient; two groups or more in each.
        permutations: how many are drawn.
        rng: the source of the draws.

    Returns:
        One row a column of `values`, grouping and group, and one more with the group `RANGE` where
        a grouping has more than two groups: column (its place, from 0), grouping, group, p, p_holm
        and exact. A p is NaN where the statistic is. p_holm is by Holm's method over all tests of
        one column, in which the two groups of a grouping of two are one test.

    Sources: Pitman 1937; Phipson and Smyth 2010 for p-values never 0; Holm 1979.

    >>> values = pd.DataFrame({"correct": [1.0, 1.0, 0.0, 0.0]})
    >>> labels = pd.DataFrame({"gender": list("FFMM")}, index=list("abcd"))
    >>> tests = permutation_tests(values, np.array(list("abcd")), labels, permutations=99,
    ...     rng=np.random.default_rng(1))
    >>> tests.round(3).values.tolist()  # 2 of the 6 ways to deal out FFMM are as far apart
    [[0, 'gender', 'F', 0.333, True, 0.333], [0, 'gender', 'M', 0.333, True, 0.333]]
    """
    persons, sums, counts = sums_by_patient(values, patients)
    tables = []
    for grouping in labels:
        codes, groups = code_groups(labels.loc[persons, grouping])
        dealt, exact = _deals(codes, permutations, rng)
        observed = _statistics(codes[np.newaxis], len(groups), sums, counts)[:, 0]
        # A draw without any value in a group has no statistic, and counts as far apart.
        drawn = np.nan_to_num(_statistics(dealt, len(groups), sums, counts), nan=np.inf)
        extreme = (drawn >= observed[:, np.newaxis] - _ROUNDING).sum(axis=1)
        p = extreme / len(dealt) if exact else (extreme + 1) / (len(dealt) + 1)
        names = [*groups, *([RANGE] if len(groups) > 2 else [])]
        for column in range(values.shape[1]):
            shares = np.where(np.isnan(observed), np.nan, p)[: len(names), column]
            row = {"column": column, "grouping": grouping, "group": names, "p": shares}
            tables.append(pd.DataFrame(row | {"exact": exact}))
    if not tables:
        return pd.DataFrame(columns=["column", "grouping", "group", "p", "exact", "p_holm"])
    tests = pd.concat(tables, ignore_index=True)
    return tests.assign(p_holm=pd.concat([holm(own) for _, own in tests.groupby("column")]))


def holm(tests: pd.DataFrame) -> pd.Series:
    """Holm's adjusted p-values of one family; the two groups of a grouping of two are one test.

    As `multipletests` of statsmodels has them, which collects garbage at each call: a tenth of a
    second, and a simulation asks for thousands of families.

    Args:
        tests: grouping, p; an undefined p is no test.

    >>> holm(pd.DataFrame({"grouping": ["gender", "gender", "a", "a", "a"],
    ...     "p": [0.02, 0.02, 0.1, 0.01, 0.5]})).tolist()  # 0.01 x 4, 0.02 x 3, 0.1 x 2
    [0.06, 0.06, 0.2, 0.04, 0.5]
    """
    groupings, p = tests["grouping"], tests["p"]
    twins = groupings.map(groupings.value_counts()) == 2
    ordered = p[~(twins & groupings.duplicated())].dropna().sort_values()
    steps = np.arange(len(ordered), 0, -1)
    adjusted = pd.Series(np.maximum.accumulate(steps * ordered).clip(upper=1), index=ordered.index)
    by_grouping = adjusted.groupby(groupings.loc[adjusted.index]).first()
    return adjusted.reindex(tests.index).where(~twins, groupings.map(by_grouping))


def code_groups(labels: pd.Series) -> tuple[np.ndarray, list[str]]:
    """Each patient's group as its place among the groups, in which what is no name comes last.

    >>> codes, groups = code_groups(pd.Series(["(others)", "White", "Asian"]))
    >>> codes.tolist(), groups
    ([2, 1, 0], ['Asian', 'White', '(others)'])
    """
    groups = sorted(labels.unique(), key=lambda group: (group.startswith("("), group))
    return labels.map({group: i for i, group in enumerate(groups)}).to_numpy(), groups


def sums_by_patient(
    values: pd.DataFrame, patients: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The patients, sorted, and for each its columns' sums and numbers of defined values.

    >>> _, sums, counts = sums_by_patient(pd.DataFrame({"x": [1.0, np.nan, 5.0]}), ["b", "b", "a"])
    >>> sums.ravel().tolist(), counts.ravel().tolist()
    ([5.0, 1.0], [1.0, 1.0])
    """
    persons, member = np.unique(np.asarray(patients, dtype=object), return_inverse=True)
    array = values.to_numpy(dtype=np.float64)
    sums = np.zeros((len(persons), array.shape[1]))
    counts = np.zeros_like(sums)
    np.add.at(sums, member, np.nan_to_num(array))
    np.add.at(counts, member, ~np.isnan(array))
    return persons, sums, counts


def group_means(
    weights: np.ndarray, sums: np.ndarray, counts: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Each group's mean, and that of the rest, under weights on the patients.

    Args:
        weights: shape (G, R, P): of G groups, in R draws, on P patients.
        sums: as `sums_by_patient` gives them, shape (P, K).
        counts: likewise.

    Returns: two arrays of shape (G, R, K); NaN where there is no value.
    """
    # einsum, not @: BLAS may add up in another order with another number of threads.
    total = np.einsum("grp,pk->grk", weights, sums)
    n = np.einsum("grp,pk->grk", weights, counts)
    rest, n_rest = total.sum(axis=0) - total, n.sum(axis=0) - n
    with np.errstate(invalid="ignore", divide="ignore"):
        return total / n, rest / n_rest


def _statistics(
    dealt: np.ndarray, n_groups: int, sums: np.ndarray, counts: np.ndarray
) -> np.ndarray:
    """Shape (G + 1, R, K): each group's distance to the rest, and the range of the groups."""
    weights = (dealt == np.arange(n_groups)[:, np.newaxis, np.newaxis]).astype(np.float64)
    means, rests = group_means(weights, sums, counts)
    spread = means.max(axis=0, keepdims=True) - means.min(axis=0, keepdims=True)
    return np.concatenate([np.abs(means - rests), spread])


def _deals(codes: np.ndarray, permutations: int, rng: np.random.Generator):
    """All ways to deal the groups out, if they are few; otherwise some. Shape (R, P)."""
    sizes, left, ways = np.bincount(codes), len(codes), 1
    for size in sizes:
        ways *= comb(left, size)
        left -= size
    if ways > permutations:
        return rng.permuted(np.tile(codes, (permutations, 1)), axis=1), False
    rows = [np.full(len(codes), -1)]
    for group, size in enumerate(sizes):
        rows = [
            np.where(np.isin(np.arange(len(codes)), chosen), group, row)
            for row in rows
            for chosen in combinations(np.flatnonzero(row < 0), size)
        ]
    return np.array(rows), True
