import numpy as np
import pytest
from scipy import stats
from statsmodels.regression.linear_model import OLS

from medalign_utils.stats.cluster_robust import fit_coefficient, share_difference


def test_single_rows_as_clusters_give_hc2():
    rng = np.random.default_rng(1)
    design = np.column_stack([rng.random(40) < 0.3, np.ones(40), rng.normal(size=(40, 2))])
    y = rng.normal(size=(40, 2))
    fit = fit_coefficient(y, design, rng.permutation(40))
    for i in (0, 1):
        expected = OLS(y[:, i], design).fit(cov_type="HC2")
        assert fit.estimates[i] == pytest.approx(expected.params[0])
        assert fit.errors[i] == pytest.approx(expected.bse[0])


def test_degrees_of_freedom_of_two_groups_are_those_of_imbens_and_kolesar():
    # Imbens and Kolesar 2016, on the Behrens-Fisher problem: 2.5 for 3 against 27 units.
    own, rest = 3, 27
    design = np.column_stack([np.arange(30) < own, np.ones(30)]).astype(float)
    fit = fit_coefficient(np.random.default_rng(2).normal(size=(30, 1)), design, np.arange(30))
    top = 30**2 * (own - 1) * (rest - 1)
    assert fit.df == pytest.approx(top / (own**2 * (own - 1) + rest**2 * (rest - 1)))
    assert fit.df == pytest.approx(2.5, abs=0.05)


def test_equal_clusters_in_two_groups_give_the_t_test_of_their_means():
    # 6 against 9 patients of 4 rows each: the same as Welch's standard error of patients' means.
    rng = np.random.default_rng(3)
    patients = np.repeat(np.arange(15), 4)
    y = (rng.normal(size=15)[patients] + rng.normal(size=60))[:, np.newaxis]
    design = np.column_stack([patients < 6, np.ones(60)]).astype(float)
    fit = fit_coefficient(y, design, patients)
    means = y.reshape(15, 4).mean(axis=1)
    error = np.sqrt(means[:6].var(ddof=1) / 6 + means[6:].var(ddof=1) / 9)
    assert fit.estimates[0] == pytest.approx(means[:6].mean() - means[6:].mean())
    assert fit.errors[0] == pytest.approx(error)
    assert fit.df == pytest.approx(15**2 * 5 * 8 / (6**2 * 5 + 9**2 * 8))


def test_unequal_clusters_equal_the_definition_in_full_matrices():
    rng = np.random.default_rng(4)
    patients = np.repeat(np.arange(9), [1, 5, 2, 3, 1, 4, 2, 2, 6])
    n = len(patients)
    design = np.column_stack([patients < 3, np.ones(n), rng.normal(size=n)])
    y = rng.normal(size=(n, 1))
    fit = fit_coefficient(y, design, patients)
    inverse = np.linalg.inv(design.T @ design)
    residual_maker = np.eye(n) - design @ inverse @ design.T
    columns = []
    for patient in range(9):
        rows = np.flatnonzero(patients == patient)
        values, vectors = np.linalg.eigh(residual_maker[np.ix_(rows, rows)])
        adjust = vectors @ np.diag(values**-0.5) @ vectors.T
        columns.append(residual_maker[:, rows] @ adjust @ design[rows] @ inverse[:, 0])
    # The variance is y' G G' y; if errors are independent, it has the mean of sum(lambda) and the
    # variance of 2 sum(lambda^2), which fits a chi-square with this many degrees of freedom.
    eigenvalues = np.linalg.eigvalsh(np.transpose(columns).T @ np.transpose(columns))
    assert fit.errors[0] == pytest.approx(np.linalg.norm(np.array(columns) @ y))
    assert fit.df == pytest.approx(eigenvalues.sum() ** 2 / (eigenvalues**2).sum())


def test_a_small_group_that_is_always_wrong_has_no_narrow_interval():
    patients = np.arange(100)
    inside = patients < 11
    y = np.column_stack([(patients % 10 == 0) & ~inside, patients % 2 == 0]).astype(float)
    always_wrong, other = share_difference(y, inside, np.ones((100, 1)), patients)
    assert always_wrong.estimate == pytest.approx(-np.mean(y[11:, 0]))
    # Of 11 independent answers, all wrong: the truth may be up to 1 - 0.025^(1/11) = 28 % right.
    assert always_wrong.low < always_wrong.estimate < 0.1 < always_wrong.high
    welch = stats.ttest_ind(y[inside, 1], y[~inside, 1], equal_var=False).confidence_interval()
    assert other[1:] == pytest.approx([welch.low, welch.high], abs=0.06)
