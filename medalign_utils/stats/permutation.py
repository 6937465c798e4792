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
        a grouping has more than two groups: column (its place, from 0), grouping, group, exact, p
        and p_holm. A p is NaN where the statistic is. p_holm is by Holm's method over all tests of
        one column, in which the two groups of a grouping of two are one test.

    Sources: Pitman 1937; Phipson and Smyth 2010 for p-values never 0; Holm 1979.

    >>> values = pd.DataFrame({"correct": [1.0, 1.0, 0.0, 0.0]})
    >>> labels = pd.DataFrame({"gender": list("FFMM")}, index=list("abcd"))
    >>> tests = permutation_tests(values, np.array(list("abcd")), labels, permutations=99,
    ...     rng=np.random.default_rng(1))
    >>> tests.round(3).values.tolist()  # 2 of the 6 ways to deal out FFMM are as far apart
    [[0, 'gender', 'F', True, 0.333, 0.333], [0, 'gender', 'M', True, 0.333, 0.333]]
    """
    persons, sums, counts = sums_by_patient(values, patients)
    orders = rng.permuted(np.tile(np.arange(len(persons)), (permutations, 1)), axis=1)
    rows, ps, test_of = [], [], []  # a row's test is the place of its p among those of the family
    for grouping in labels:
        codes, groups = code_groups(labels.loc[persons, grouping])
        dealt, exact = _deals(codes, orders)
        observed = _statistics(codes[np.newaxis], len(groups), sums, counts)[:, 0]
        # A draw without any value in a group has no statistic, and counts as far apart.
        drawn = np.nan_to_num(_statistics(dealt, len(groups), sums, counts), nan=np.inf)
        extreme = (drawn >= observed[:, np.newaxis] - _ROUNDING).sum(axis=1)
        p = extreme / len(dealt) if exact else (extreme + 1) / (len(dealt) + 1)
        p = np.where(np.isnan(observed), np.nan, p)
        if len(groups) == 2:
            test_of += [len(ps)] * 2
            ps.append(p[0])
        else:
            groups = [*groups, RANGE]
            test_of += range(len(ps), len(ps) + len(groups))
            ps += [*p]
        rows += [(grouping, group, exact) for group in groups]
    n_columns = values.shape[1]
    p = np.array(ps).reshape(-1, n_columns)
    of_row = np.array(test_of, dtype=int)
    return pd.DataFrame(
        {
            "column": np.repeat(np.arange(n_columns), len(rows)),
            **{
                name: [row[i] for row in rows] * n_columns
                for i, name in enumerate(("grouping", "group", "exact"))
            },
            "p": p[of_row].T.ravel(),
            "p_holm": holm(p)[of_row].T.ravel(),
        }
    )


def holm(p: np.ndarray) -> np.ndarray:
    """Holm's adjusted p-values, each column of shape (T, K) being a family; NaN is no test.

    As `multipletests` of statsmodels has them, which takes one family at a time and collects
    garbage with each: a tenth of a second, where a simulation asks for thousands.

    >>> holm(np.array([[0.02], [0.1], [0.01], [0.5]])).ravel().tolist()  # 3 x, 2 x, 4 x, 1 x
    [0.06, 0.2, 0.04, 0.5]
    """
    order = np.argsort(p, axis=0)  # NaN last
    left = (~np.isnan(p)).sum(axis=0) - np.arange(len(p))[:, np.newaxis]
    ordered = np.maximum.accumulate(left * np.take_along_axis(p, order, axis=0), axis=0)
    adjusted = np.empty_like(p)
    np.put_along_axis(adjusted, order, np.minimum(ordered, 1), axis=0)
    return adjusted


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
    total, n = (np.einsum("grp,kp->grk", weights, each.T.copy()) for each in (sums, counts))
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


def _deals(codes: np.ndarray, orders: np.ndarray) -> tuple[np.ndarray, bool]:
    """All ways to deal the groups out, if they are as few as the orders; or else in these orders.

    Shape (R, P), and whether they are all.
    """
    sizes, left, ways = np.bincount(codes), len(codes), 1
    for size in sizes:
        ways *= comb(left, size)
        left -= size
    if ways > len(orders):
        return codes[orders], False
    rows = [np.full(len(codes), -1)]
    for group, size in enumerate(sizes):
        rows = [
            np.where(np.isin(np.arange(len(codes)), chosen), group, row)
            for row in rows
            for chosen in combinations(np.flatnonzero(row < 0), size)
        ]
    return np.array(rows), True
