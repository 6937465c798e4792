import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from medalign_utils.errors import MedAlignError
from medalign_utils.stats.bootstrap import (
    Bootstrap,
    bootstrap_mean,
    bootstrap_means,
    percentile_levels,
    resample_means,
)


def levels(n):
    """Hesterberg 2015: the t quantile, times sqrt(n / (n - 1)), as a normal one."""
    low = stats.norm.cdf(stats.t(n - 1).ppf(0.025) * (n / (n - 1)) ** 0.5)
    return [low, 1 - low]


def test_levels_are_those_of_a_t_interval_by_the_bootstraps_standard_error():
    # For a normal mean of 9 the bootstrap's standard error is s / 3 x sqrt(8 / 9), and the quantile
    # at each level then is the bound of the t interval, 2.306 x s / 3 from the mean.
    rng = np.random.default_rng(2)
    low, high = percentile_levels(9)
    assert (low, high) == pytest.approx(levels(9), abs=1e-12)
    values = rng.normal(size=9)
    spread = values.std() / 3  # the bootstrap's standard error
    bounds = stats.norm(values.mean(), spread).ppf([low, high])
    theirs = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert bounds == pytest.approx([theirs.low, theirs.high], abs=1e-9)


def test_levels_of_many_patients_are_the_plain_ones_and_of_two_the_extremes():
    assert percentile_levels(10**6) == pytest.approx((0.025, 0.975), abs=1e-6)
    assert percentile_levels(2) == pytest.approx((0, 1), abs=1e-12)


def test_the_levels_go_by_the_patients_with_a_defined_value():
    values = np.random.default_rng(6).normal(size=(30, 2))
    values[8:, 1] = np.nan  # eight patients have the second one
    drawn = resample_means(
        values, [f"{i:02}" for i in range(30)], bootstrap=Bootstrap.seeded(400, 1)
    )
    for column, n in enumerate((30, 8)):
        expected = np.nanquantile(drawn.resampled[:, column], levels(n))
        assert drawn.intervals()[column][1:] == pytest.approx(expected, abs=1e-12)


def test_equals_scipy_when_each_patient_has_one_row():
    values = np.random.default_rng(5).normal(size=40)
    patients = [f"p{i:02}" for i in range(40)]
    ours = bootstrap_mean(values, patients, bootstrap=Bootstrap.seeded(999, 8))
    # Sorted patients and the same generator: the same draws, so the bounds agree exactly.
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=999, method="percentile", rng=np.random.default_rng(8),
        confidence_level=np.diff(levels(40)).item(),
    ).confidence_interval  # fmt: skip
    assert ours.estimate == pytest.approx(values.mean())
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_equals_a_loop_that_copies_patients_rows():
    rng = np.random.default_rng(3)
    values = rng.normal(size=30)
    patients = rng.integers(0, 7, size=30).astype(str)
    ours = bootstrap_mean(values, patients, bootstrap=Bootstrap.seeded(200, 4))
    names = np.unique(patients)
    drawn = np.random.default_rng(4).integers(0, len(names), size=(200, len(names)))
    means = [np.concatenate([values[patients == names[i]] for i in row]).mean() for row in drawn]
    assert ours[1:] == pytest.approx(np.quantile(means, levels(len(names))), abs=1e-12)


def test_patients_are_drawn_whole():
    # Two patients of 50 equal rows each: a resample holds aa, ab, ba or bb and nothing between, so
    # a quarter of the means are 0 and a quarter 1. Rows drawn singly would give 0.5 +- 0.1.
    values = [0.0] * 50 + [1.0] * 50
    patients = ["a"] * 50 + ["b"] * 50
    interval = bootstrap_mean(values, patients, bootstrap=Bootstrap.seeded(500, 1))
    assert interval == (0.5, 0.0, 1.0)


def test_patients_weigh_by_their_rows():
    # a holds 3 rows of 1, b one of 0: mean 3/4, not the 1/2 of two patients' means.
    interval = bootstrap_mean([1, 1, 1, 0], ["a", "a", "a", "b"], bootstrap=Bootstrap.seeded(50, 1))
    assert interval.estimate == 0.75


def test_undefined_values_are_left_out():
    values = [1.0, np.nan, 0.0, np.nan]
    interval = bootstrap_mean(values, list("abcd"), bootstrap=Bootstrap.seeded(500, 1))
    # Resamples of b and d alone, (2/4)^4 = 1/16 of all, have no mean and must not turn up as NaN.
    assert interval == (0.5, 0.0, 1.0)


@pytest.mark.parametrize(
    ("values", "patients", "estimate"),
    [
        ([], [], np.nan),
        ([np.nan, np.nan], ["a", "b"], np.nan),
        ([1.0, 0.0], ["a", "a"], 0.5),
        ([1.0, np.nan], ["a", "b"], 1.0),
    ],
)
def test_fewer_than_two_patients_have_no_interval(values, patients, estimate):
    interval = bootstrap_mean(values, patients, bootstrap=Bootstrap.seeded(20, 1))
    np.testing.assert_equal(tuple(interval), (estimate, np.nan, np.nan))


def test_a_columns_interval_does_not_depend_on_the_others():
    values = np.random.default_rng(2).normal(size=(20, 3))
    patients = np.repeat(list("abcde"), 4)
    together = bootstrap_means(values, patients, bootstrap=Bootstrap.seeded(100, 7))
    for column, interval in enumerate(together):
        alone = bootstrap_mean(values[:, column], patients, bootstrap=Bootstrap.seeded(100, 7))
        assert alone == pytest.approx(interval, abs=1e-12)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 1)), min_size=1, max_size=30))
def test_interval_lies_within_the_values(rows):
    patients, values = zip(*rows, strict=True)
    interval = bootstrap_mean(values, patients, bootstrap=Bootstrap.seeded(50, 0))
    if len(set(patients)) == 1:
        assert np.isnan(interval.low) and np.isnan(interval.high)
    else:
        assert min(values) <= interval.low <= interval.high <= max(values)


def test_the_mean_of_columns_equals_the_columns_of_the_mean():
    values = np.random.default_rng(2).normal(size=(20, 3))
    patients = np.repeat(list("abcde"), 4)
    drawn = resample_means(values, patients, bootstrap=Bootstrap.seeded(50, 7))
    [found] = drawn.mean_of([0, 2]).intervals()
    mean = values[:, [0, 2]].mean(axis=1)
    expected = bootstrap_mean(mean, patients, bootstrap=Bootstrap.seeded(50, 7))
    assert found == pytest.approx(expected, abs=1e-12)


def test_covers_the_truth_about_95_times_in_100():
    # 40 patients of 5 answers; each patient's rate is uniform on [0, 1], so the true mean is 1/2.
    rng = np.random.default_rng(11)
    patients = np.repeat([f"p{i}" for i in range(40)], 5)
    covered = 0
    for _ in range(200):
        answers = rng.random((40, 5)) < rng.random((40, 1))
        interval = bootstrap_mean(answers.ravel(), patients, bootstrap=Bootstrap(400, rng))
        covered += interval.low <= 0.5 <= interval.high
    # 2.5 standard errors of 0.0154 on either side.
    assert 0.91 <= covered / 200 <= 0.99


def test_ten_thousand_resamples_are_quick():
    rng = np.random.default_rng(0)
    values, patients = rng.random((303, 6)), rng.integers(0, 276, size=303).astype(str)
    start = time.process_time()
    bootstrap_means(values, patients, bootstrap=Bootstrap(10_000, rng))
    assert time.process_time() - start < 2  # takes about 0.15 s; a loop takes 20 s


def test_errors_name_the_fault():
    rng = np.random.default_rng(1)
    with pytest.raises(MedAlignError, match="3 rows, 2 patients"):
        bootstrap_mean([1, 2, 3], ["a", "b"], bootstrap=Bootstrap(10, rng))
    with pytest.raises(MedAlignError, match="has no patient"):
        bootstrap_mean([1, 2], ["a", np.nan], bootstrap=Bootstrap(10, rng))
    with pytest.raises(MedAlignError, match="0 resamples"):
        bootstrap_mean([1, 2], ["a", "b"], bootstrap=Bootstrap(0, rng))
    with pytest.raises(MedAlignError, match="rng is int"):
        bootstrap_mean([1, 2], ["a", "b"], bootstrap=Bootstrap(10, 1))
    with pytest.raises(MedAlignError, match=r"shape \(2,\)"):
        bootstrap_means(np.array([1.0, 2.0]), ["a", "b"], bootstrap=Bootstrap(10, rng))
