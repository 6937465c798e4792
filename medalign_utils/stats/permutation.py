"""Permutation tests over patients, for groups of patients and for paired differences."""

from itertools import combinations
from math import comb, factorial, prod

import numpy as np
import pandas as pd

from medalign_utils.stats.bootstrap import sums_by_patient

# Sums of the same numbers in another order may differ by this much.
_ROUNDING = 1e-9
RANGE = "(best to worst)"
# Tests of smaller groups have hardly any power, and make Holm's adjustment stricter for others.
LEAST_TESTED = 3
# Enough for p-values below 0.001 after Holm's correction over the pairs of a dozen metrics.
SIGN_FLIPS = 100_000


def sign_flip(
    differences: np.ndarray, patients: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Return the two-sided p of each column's mean, from `differences` of shape (N, K).

    If two systems are exchangeable, all differences of a patient may change sign together. p is the
    share of sign assignments with a sum at least as far from 0 as the observed sum. It is exact for
    whole numbers (if each patient has one instruction, this is McNemar's exact test) and for up to
    `SIGN_FLIPS` assignments; otherwise `SIGN_FLIPS` assignments are drawn. NaN counts as 0; p is
    NaN if a column has only NaN. Source: Good 2005.

    >>> patients, rng = np.array(list("abcdee")), np.random.default_rng(1)
    >>> sign_flip(np.ones((6, 1)), patients, rng).tolist()  # 1, 1, 1, 1, 2: 2 of 2^5 flips
    [0.0625]
    """
    sums = pd.DataFrame(np.nan_to_num(differences)).groupby(patients).sum().to_numpy()
    observed, n_patients = np.abs(sums.sum(axis=0)), len(sums)
    if (sums == np.rint(sums)).all():
        p = np.array([_whole_flips(column) for column in sums.T])
    elif 2**n_patients <= SIGN_FLIPS:
        signs = (np.arange(2**n_patients)[:, np.newaxis] >> np.arange(n_patients) & 1) * 2.0 - 1
        p = (np.abs(signs @ sums) >= observed - _ROUNDING).mean(axis=0)
    else:
        extreme = np.ones(len(observed))  # the observed signs
        for _ in range(10):
            signs = rng.integers(0, 2, (SIGN_FLIPS // 10, n_patients), dtype=np.int8) * 2.0 - 1
            extreme += (np.abs(signs @ sums) >= observed - _ROUNDING).sum(axis=0)
        p = extreme / (SIGN_FLIPS + 1)
    return np.where(np.isnan(differences).all(axis=0), np.nan, p)


def least_sign_flip_p(differences: np.ndarray, patients: np.ndarray) -> np.ndarray:
    """Return the smallest p that `sign_flip` can give each column, whatever the signs.

    Only patients whose differences do not add up to 0 can make a sum extreme. With m of them, it is
    2 / 2^m: 0.0625 for 5 patients, 0.031 for 6.

    >>> least_sign_flip_p(np.array([[1.0], [0.0], [1.0], [-1.0], [2.0]]), np.array(list("abccd")))
    array([0.5])
    """
    sums = pd.DataFrame(np.nan_to_num(differences)).groupby(patients).sum().to_numpy()
    n_patients = (np.abs(sums) > _ROUNDING).sum(axis=0)
    least = np.minimum(2.0 ** (1 - n_patients), 1)
    return np.where(np.isnan(differences).all(axis=0), np.nan, least)


def least_group_p(group: int, patients: int, permutations: int) -> float:
    """Return the smallest p that a test of a group against the rest can give.

    With n patients of whom g are in the group, it is 1 / (n over g), or twice that if both halves
    are equally large; drawn shuffles give at least 1 / (permutations + 1).

    >>> least_group_p(3, 10, 2000), round(least_group_p(10, 24, 2000), 6)
    (0.008333333333333333, 0.0005)
    """
    exact = (1 + (2 * group == patients)) / comb(patients, group)
    return max(exact, 1 / (permutations + 1))


def _whole_flips(totals: np.ndarray) -> float:
    """Return the exact p for patients' whole-number totals, by convolving their distributions."""
    probabilities = np.ones(1)  # of all possible sums, ascending
    for total in np.abs(totals).astype(int):
        # Each sign has probability 1/2, and the two sums differ by 2 x total.
        low, high = (np.pad(probabilities, pad) for pad in ((0, 2 * total), (2 * total, 0)))
        probabilities = (low + high) / 2
    sums = np.arange(len(probabilities)) - len(probabilities) // 2
    return min(1.0, probabilities[np.abs(sums) >= abs(totals.sum())].sum())


def holm(p: np.ndarray) -> np.ndarray:
    """Return Holm's adjusted p-values of each column; NaN is not counted as a test.

    statsmodels' `multipletests` takes 40 ms per call, too long for the power simulation.

    >>> holm(np.array([0.02, 0.1, 0.01, 0.5])).tolist()  # 3 x, 2 x, 4 x, 1 x
    [0.06, 0.2, 0.04, 0.5]
    """
    order = np.argsort(p, axis=0)  # NaN last
    ordered = np.take_along_axis(np.asarray(p), order, axis=0)
    left = np.cumsum(~np.isnan(ordered)[::-1], axis=0)[::-1]
    adjusted = np.minimum(np.maximum.accumulate(left * ordered, axis=0), 1)
    return np.take_along_axis(adjusted, np.argsort(order, axis=0), axis=0)


def permutation_tests(
    values: pd.DataFrame,
    patients: np.ndarray,
    labels: pd.DataFrame,
    *,
    permutations: int,
    rng: np.random.Generator,
    least: int = 1,
) -> pd.DataFrame:
    """Return tests of each group against the rest, and of the best group against the worst.

    `values` has one row per instruction, and `patients` the patient of each row. `labels` has one
    row per patient and one column per grouping, with two or more groups.

    The tests shuffle group labels across patients. A group's statistic is the distance between its
    mean and the mean of all other rows; it is tested only if group and rest each have `least`
    patients with a value. A grouping's statistic is the range of the means of its groups with
    `least` patients. A test is exact if there are at most `permutations` ways to assign the labels;
    otherwise `permutations` shuffles are drawn (Phipson and Smyth 2010).

    One row per column of `values`, grouping and group; groupings of more than two groups also have
    a row for the group `RANGE`:

    - column: position in `values`
    - grouping, group
    - exact: whether the test is exact
    - p: NaN if the group is not tested
    - p_holm: adjusted over all tests of a column, where a grouping of two groups is one test
    """
    persons, sums, counts = sums_by_patient(values, np.asarray(patients, dtype=object))
    orders = rng.permuted(np.tile(np.arange(len(persons)), (permutations, 1)), axis=1)
    rows, ps, test_of = [], [], []  # test_of has the position in ps of each row's test
    for grouping in labels:
        codes, groups = code_groups(labels.loc[persons, grouping])
        shuffled, exact = _shuffles(codes, orders)
        member = codes == np.arange(len(groups))[:, np.newaxis]
        n = member.astype(np.float64) @ (counts > 0)  # patients with a value
        large, large_rest = n >= least, n.sum(axis=0) - n >= least
        is_tested = np.vstack([large & large_rest, large.sum(axis=0) > 1])
        observed = _statistics(codes[np.newaxis], large, sums, counts)[:, 0]
        # If a shuffle leaves a group without values, its statistic counts as extreme.
        drawn = np.nan_to_num(_statistics(shuffled, large, sums, counts), nan=np.inf)
        extreme = (drawn >= observed[:, np.newaxis] - _ROUNDING).sum(axis=1)
        p = extreme / len(shuffled) if exact else (extreme + 1) / (len(shuffled) + 1)
        p = np.where(is_tested, p, np.nan)
        if len(groups) == 2:
            test_of += [len(ps)] * 2
            ps.append(p[0])
        else:
            groups = [*groups, RANGE]
            test_of += range(len(ps), len(ps) + len(groups))
            ps += [*p]
        rows += [(grouping, group, exact) for group in groups]
    n_columns = values.shape[1]
    p, of_row = np.array(ps).reshape(-1, n_columns), np.array(test_of, dtype=int)
    table = pd.DataFrame(rows * n_columns, columns=["grouping", "group", "exact"])
    table.insert(0, "column", np.repeat(np.arange(n_columns), len(rows)))
    return table.assign(p=p[of_row].T.ravel(), p_holm=holm(p)[of_row].T.ravel())


def code_groups(labels: pd.Series) -> tuple[np.ndarray, list[str]]:
    """Return each patient's group as an index, and the sorted groups, those like "(others)" last.

    >>> codes, groups = code_groups(pd.Series(["(others)", "White", "Asian"]))
    >>> codes.tolist(), groups
    ([2, 1, 0], ['Asian', 'White', '(others)'])
    """
    groups = sorted(labels.unique(), key=lambda group: (group.startswith("("), group))
    return labels.map({group: i for i, group in enumerate(groups)}).to_numpy(), groups


def group_means(
    weights: np.ndarray, sums: np.ndarray, counts: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return each group's mean and the mean of the rest, shape (G, R, K); NaN without values.

    `weights` has shape (G, R, P) for G groups, R resamples or shuffles, and P patients; `sums` and
    `counts` come from `sums_by_patient` and have shape (P, K).
    """
    # einsum instead of @, because the order in which BLAS adds depends on the number of threads.
    total, n = (np.einsum("grp,kp->grk", weights, a.T.copy()) for a in (sums, counts))
    rest, n_rest = total.sum(axis=0) - total, n.sum(axis=0) - n
    with np.errstate(invalid="ignore", divide="ignore"):
        return total / n, rest / n_rest


def _statistics(
    shuffled: np.ndarray, large: np.ndarray, sums: np.ndarray, counts: np.ndarray
) -> np.ndarray:
    """Return the groups' distances to the rest and the range of `large` groups, (G + 1, R, K)."""
    weights = (shuffled == np.arange(len(large))[:, np.newaxis, np.newaxis]).astype(np.float64)
    means, rests = group_means(weights, sums, counts)
    large = large[:, np.newaxis]
    highest = np.where(large, means, -np.inf).max(axis=0, keepdims=True)
    lowest = np.where(large, means, np.inf).min(axis=0, keepdims=True)
    return np.concatenate([np.abs(means - rests), highest - lowest])


def _shuffles(codes: np.ndarray, orders: np.ndarray) -> tuple[np.ndarray, bool]:
    """Return shuffled group codes, and whether they are all possible ones; at most as `orders`."""
    sizes = np.bincount(codes)
    if factorial(len(codes)) // prod(map(factorial, sizes)) > len(orders):
        return codes[orders], False
    patients, rows = np.arange(len(codes)), [np.full(len(codes), -1)]
    for group, size in enumerate(sizes):
        rows = [
            np.where(np.isin(patients, members), group, row)
            for row in rows
            for members in combinations(patients[row < 0], size)
        ]
    return np.array(rows), True
