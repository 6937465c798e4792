from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import permutation_test
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from medalign_utils.stats.permutation import (
    RANGE,
    holm,
    least_group_p,
    least_sign_flip_p,
    permutation_tests,
    sign_flip,
)
from tests.builders.groups import ids


def flip_p(differences, patients, seed=1):
    [p] = sign_flip(np.reshape(differences, (-1, 1)), patients, np.random.default_rng(seed))
    return p


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("n", [2, 5, 17, 30])
def test_equals_scipys_with_every_flip(n, whole):
    rng = np.random.default_rng(7)
    patients = rng.integers(0, 9, size=n).astype(str)
    differences = rng.choice([-1.0, 0.0, 1.0], p=[0.2, 0.4, 0.4], size=n)
    if not whole:
        differences = differences * rng.random(n)
    totals = pd.Series(differences).groupby(patients).sum().to_numpy()
    # Up to 2^9 flips, so scipy tries each of them once.
    expected = permutation_test(
        (totals,), np.sum, permutation_type="samples", vectorized=False, n_resamples=1000
    )
    assert flip_p(differences, patients) == pytest.approx(expected.pvalue, abs=1e-9)


@pytest.mark.parametrize("n", [1, 6, 40, 303])
def test_with_one_instruction_per_patient_it_is_mcnemars_test(n):
    differences = np.random.default_rng(2).choice([-1, 0, 1], p=[0.2, 0.5, 0.3], size=n)
    table = [[0, (differences > 0).sum()], [(differences < 0).sum(), 0]]
    expected = mcnemar(table, exact=True).pvalue
    assert flip_p(differences, np.arange(n)) == pytest.approx(expected, abs=1e-9)


def test_random_flips_approximate_the_exact_p():
    # All 17 patients have a difference of 0.3: of 2^17 sign assignments two are as extreme, so
    # p = 2^-16. With 100,000 random ones, the count is Poisson with mean 1.5.
    p = flip_p([0.3] * 17, np.arange(17))
    assert 1 / 100_001 <= p <= 9 / 100_001
    assert flip_p([1] * 17, np.arange(17)) == 2**-16
    differences = np.random.default_rng(3).integers(-2, 5, 17)
    exact = flip_p(differences, np.arange(17))
    assert 0.02 < exact
    assert flip_p(0.3 * differences, np.arange(17)) == pytest.approx(exact, abs=0.01)


def test_undefined_differences():
    differences = np.array([[np.nan, 1.0, 0.0], [np.nan, np.nan, 0.0]])
    p = sign_flip(differences, np.array(["p", "q"]), np.random.default_rng(1))
    np.testing.assert_equal(p, [np.nan, 1.0, 1.0])


# Groups of patients.


def test_exact_tests_equal_scipys_where_each_patient_has_one_row():
    rng = np.random.default_rng(2)
    x = rng.integers(0, 3, 9).astype(float)
    labels = pd.DataFrame({"g": list("aaaabbbbb")}, index=ids(9))
    tests = permutation_tests(
        pd.DataFrame({"x": x}), ids(9), labels, permutations=200, rng=rng
    )  # 9 choose 4 is 126
    reference = permutation_test(
        (x[:4], x[4:]), lambda a, b: abs(a.mean() - b.mean()), alternative="greater"
    )
    assert tests["exact"].all()
    assert tests["p"].tolist() == pytest.approx([reference.pvalue] * 2)


def test_random_tests_approximate_exact_ones_for_three_groups_and_their_range():
    rng = np.random.default_rng(3)
    values = pd.DataFrame({"x": rng.normal(size=14), "y": rng.normal(size=14)})
    patients = np.repeat(ids(7), 2)
    labels = pd.DataFrame({"g": list("aabbbcc")}, index=ids(7))  # 7! / (2! 3! 2!) = 210 ways
    exact, drawn = (
        permutation_tests(values, patients, labels, permutations=n, rng=np.random.default_rng(1))
        for n in (210, 209)
    )
    assert exact["exact"].all() and not drawn["exact"].any()
    assert exact["group"].tolist() == ["a", "b", "c", RANGE] * 2
    of_patients = values.groupby(patients).mean().to_numpy()
    orders = of_patients[list(permutations(range(7)))]
    means = [orders[:, group].mean(axis=1) for group in ([0, 1], [2, 3, 4], [5, 6])]
    ranges = np.ptp(means, axis=0)  # the first is the observed one
    expected = (ranges >= ranges[0] - 1e-9).mean(axis=0)
    assert exact.loc[exact["group"] == RANGE, "p"].to_numpy() == pytest.approx(expected)
    # 209 draws: the standard error is up to 0.035.
    assert np.abs(exact["p"] - drawn["p"]).max() < 0.12


def test_whole_patients_change_groups():
    # Two patients with 20 rows each are all correct, two all wrong: 2 of the 6 ways to shuffle aabb
    # are as far apart as this one. If single rows changed groups, p would be 1e-11.
    values = pd.DataFrame({"x": [1.0] * 40 + [0.0] * 40})
    labels = pd.DataFrame({"g": list("aabb")}, index=ids(4))
    tests = permutation_tests(
        values, np.repeat(ids(4), 20), labels, permutations=99, rng=np.random.default_rng(1)
    )
    assert tests["p"].tolist() == [1 / 3, 1 / 3]


def test_a_shuffle_that_leaves_a_group_without_a_value_counts_as_far_apart():
    # The second patient has no value: of 3 choices of "a", one is undefined and two differ by 1.
    values, labels = pd.DataFrame({"x": [1, np.nan, 0]}), pd.DataFrame({"g": list("abb")}, ids(3))
    rng = np.random.default_rng(1)
    tests = permutation_tests(values, ids(3), labels, permutations=9, rng=rng)
    assert tests["p"].tolist() == [1, 1]


def test_holm_equals_statsmodels_and_leaves_out_what_is_undefined():
    p = np.random.default_rng(4).random((9, 5)).round(2) ** 3  # with ties
    p[2] = np.nan
    ours = holm(p)
    for column in range(5):
        defined = ~np.isnan(p[:, column])
        reference = multipletests(p[defined, column], method="holm")[1]
        assert ours[defined, column] == pytest.approx(reference)
    assert np.isnan(ours[2]).all()


def test_two_groups_count_as_one_test_of_the_family():
    rng = np.random.default_rng(5)
    values = pd.DataFrame({"x": rng.normal(size=40)})
    labels = pd.DataFrame({"g": ["a", "b"] * 20, "h": list("xyzz") * 10}, index=ids(40))
    tests = permutation_tests(values, ids(40), labels, permutations=199, rng=rng)
    # One for a and b, three for x, y, z, and their range.
    once = tests["p"].iloc[[0, 2, 3, 4, 5]]
    expected = multipletests(once, method="holm")[1]
    assert tests["p_holm"].iloc[[0, 2, 3, 4, 5]].tolist() == pytest.approx(expected.tolist())
    assert tests["p_holm"][1] == tests["p_holm"][0]


def test_without_groups_there_are_no_tests():
    values = pd.DataFrame({"x": [1.0]})
    tests = permutation_tests(
        values, ids(1), pd.DataFrame(index=ids(1)), permutations=9, rng=np.random.default_rng(1)
    )
    assert tests.empty and "p_holm" in tests


@pytest.mark.parametrize("n_patients", [1, 5, 6, 12])
def test_the_smallest_p_that_few_patients_can_give(n_patients):
    patients = np.repeat(np.arange(n_patients), 2)
    largest = np.ones((2 * n_patients, 1))
    least = least_sign_flip_p(largest, patients)
    assert least == sign_flip(largest, patients, np.random.default_rng(1))
    assert least.item() == 2 / 2**n_patients
    # A patient whose differences add up to 0 cannot make a sum larger.
    balanced = np.append(largest, [[1], [-1]], axis=0)
    assert least_sign_flip_p(balanced, np.append(patients, [99, 99])) == least


@pytest.mark.parametrize(("group", "rest"), [(1, 8), (3, 5), (4, 4)])
def test_the_smallest_p_of_a_small_group(group, rest):
    labels = pd.DataFrame({"g": ["x"] * group + ["y"] * rest}, index=ids(group + rest))
    values = pd.DataFrame([1.0] * group + [0.0] * rest)
    rng = np.random.default_rng(1)
    tests = permutation_tests(values, ids(group + rest), labels, permutations=500, rng=rng)
    assert tests["p"][0] == pytest.approx(least_group_p(group, group + rest, 500))
    assert least_group_p(10, 24, 500) == 1 / 501
