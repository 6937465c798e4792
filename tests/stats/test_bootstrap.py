import numpy as np
import pytest
from scipy import stats

from medalign_utils.errors import MedAlignError
from medalign_utils.stats.bootstrap import (
    Bootstrap,
    percentile_levels,
    resample_means,
)
from tests.builders.tiny_ratings import mean_interval


def levels(n):
    """Return Hesterberg's (2015) level: the t quantile times sqrt(n / (n - 1)) as a normal one."""
    low = stats.norm.cdf(stats.t(n - 1).ppf(0.025) * (n / (n - 1)) ** 0.5)
    return [low, 1 - low]


def test_levels_give_a_t_interval_with_the_bootstraps_standard_error():
    # For a normal mean of 9 values, the bootstrap's standard error is s / 3 x sqrt(8 / 9), and the
    # quantile at each level is the bound of the t interval, 2.306 x s / 3 from the mean.
    values = np.random.default_rng(2).normal(size=9)
    assert percentile_levels(9) == pytest.approx(levels(9), abs=1e-12)
    bounds = stats.norm(values.mean(), values.std() / 3).ppf(percentile_levels(9))
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert bounds == pytest.approx([expected.low, expected.high], abs=1e-9)
    # With many patients they are the plain levels, with two the extremes.
    assert percentile_levels(10**6) == pytest.approx((0.025, 0.975), abs=1e-6)
    assert percentile_levels(2) == pytest.approx((0, 1), abs=1e-12)


def test_levels_depend_on_the_number_of_patients_with_a_defined_value():
    values = np.random.default_rng(6).normal(size=(30, 2))
    values[8:, 1] = np.nan  # only eight patients have the second value
    patients = [f"{i:02}" for i in range(30)]
    drawn = resample_means(values, patients, bootstrap=Bootstrap.seeded(400, 1))
    for column, n in enumerate((30, 8)):
        expected = np.nanquantile(drawn.resampled[:, column], levels(n))
        assert drawn.intervals()[column][1:] == pytest.approx(expected, abs=1e-12)


def test_equals_a_loop_that_copies_patients_rows():
    rng = np.random.default_rng(3)
    values = rng.normal(size=30)
    patients = rng.integers(0, 7, size=30).astype(str)
    ours = mean_interval(values, patients, Bootstrap.seeded(200, 4))
    names = np.unique(patients)
    drawn = np.random.default_rng(4).integers(0, len(names), size=(200, len(names)))
    means = [np.concatenate([values[patients == names[i]] for i in row]).mean() for row in drawn]
    assert ours[1:] == pytest.approx(np.quantile(means, levels(len(names))), abs=1e-12)


@pytest.mark.parametrize(
    ("values", "patients", "expected"),
    [
        # Two patients of 50 equal rows each: a resample is aa, ab, ba or bb, so a quarter of the
        # means are 0 and a quarter 1. Drawing single rows would give 0.5 +- 0.1.
        ([0.0] * 50 + [1.0] * 50, ["a"] * 50 + ["b"] * 50, (0.5, 0.0, 1.0)),
        # a has three rows of 1, b one of 0: the mean is 3/4, not the mean 1/2 of two patients.
        ([1, 1, 1, 0], list("aaab"), (0.75, 0.0, 1.0)),
        # Resamples with only b and d, 1/16 of all, have no mean and must not count as NaN.
        ([1.0, np.nan, 0.0, np.nan], list("abcd"), (0.5, 0.0, 1.0)),
        # Fewer than two patients give no interval.
        ([], [], (np.nan, np.nan, np.nan)),
        ([np.nan, np.nan], ["a", "b"], (np.nan, np.nan, np.nan)),
        ([1.0, 0.0], ["a", "a"], (0.5, np.nan, np.nan)),
        ([1.0, np.nan], ["a", "b"], (1.0, np.nan, np.nan)),
    ],
)
def test_whole_patients_are_drawn_and_undefined_values_left_out(values, patients, expected):
    interval = mean_interval(values, patients, Bootstrap.seeded(500, 1))
    np.testing.assert_equal(tuple(interval), expected)


def test_columns_are_independent_and_can_be_averaged():
    values = np.random.default_rng(2).normal(size=(20, 3))
    patients = np.repeat(list("abcde"), 4)
    drawn = resample_means(values, patients, bootstrap=Bootstrap.seeded(100, 7))
    for column, interval in enumerate(drawn.intervals()):
        alone = mean_interval(values[:, column], patients, Bootstrap.seeded(100, 7))
        assert alone == pytest.approx(interval, abs=1e-12)
    [interval] = drawn.mean_of([0, 2]).intervals()
    expected = mean_interval(values[:, [0, 2]].mean(axis=1), patients, Bootstrap.seeded(100, 7))
    assert interval == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("patients", "fault"),
    [(["a", "b"], "3 rows, 2 patients"), (["a", "b", np.nan], "every row needs a patient")],
)
def test_errors_name_the_fault(patients, fault):
    with pytest.raises(MedAlignError, match=fault):
        mean_interval([1, 2, 3], patients, Bootstrap.seeded(10))
