import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from medalign_utils.errors import MedAlignError
from medalign_utils.stats.proportions import Proportions, proportions


def interval(values, patients, **options):
    [found] = proportions(np.reshape(values, (-1, 1)), patients, **options)
    return found


def test_many_patients_with_one_instruction_give_wilsons_interval():
    values = np.random.default_rng(1).random(4000) < 0.3
    found = interval(values, [f"{i}" for i in range(4000)])
    # With single instructions the design effect is 4000 / 3999, and t is the normal quantile.
    expected = proportion_confint(values.sum(), 4000, method="wilson")
    assert found[1:] == pytest.approx(expected, abs=1e-5)


def test_the_effective_sample_size_by_hand():
    # Patients a to d have 2 instructions each: 2, 2, 1 and 0 are correct, so the share is 5/8.
    values, patients = [1, 1, 1, 1, 1, 0, 0, 0], list("aabbccdd")
    # Residuals 3/4, 3/4, -1/4, -5/4; their squares sum to 2.75 = 44/16. Estimated design effect:
    # 4/3 x 2.75 / (5/8 x 3/8 x 8) = 1.956. Assumed: 1 + (2 - 1) x 0.5. The rarer value, wrong, is
    # that of 2 patients, so the weight is 2 / (2 + 5).
    effect = (2 * 4 / 3 * 2.75 / (15 / 8) + 5 * 1.5) / 7
    shares = Proportions.of(np.reshape(values, (-1, 1)), patients)
    assert shares.effective_n == pytest.approx(8 / effect)
    # Wilson's bounds solve |share - p| = t sqrt(p (1 - p) / n).
    [(share, *bounds)] = shares.intervals()
    t = stats.t(3).ppf(0.975)
    for p in bounds:
        assert abs(share - p) == pytest.approx(t * np.sqrt(p * (1 - p) * effect / 8))


def test_a_patients_equal_answers_widen_the_interval():
    rng = np.random.default_rng(2)
    own = rng.random(40) < 0.4
    alike, patients = np.repeat(own, 4), np.repeat(np.arange(40), 4).astype(str)
    mixed = rng.permutation(alike)
    widths = [np.ptp(interval(values, patients)[1:]) for values in (alike, mixed)]
    assert widths[0] > 1.6 * widths[1]  # 40 independent values instead of 160: up to twice as wide


@pytest.mark.parametrize("n", [1, 3, 8, 24, 49, 80, 303])
def test_bounds_of_none_and_all_are_exactly_0_and_1(n):
    patients = [f"{i // 2}" for i in range(2 * n)]
    for share, place in ((0.0, 1), (1.0, 2)):
        found = interval(np.full(2 * n, share), patients)
        assert found.estimate == share
        if n > 1:
            assert found[place] == share and 0 < found[3 - place] < 1
        else:
            assert np.isnan(found[1:]).all()


@pytest.mark.parametrize(
    ("values", "patients", "expected"),
    [
        ([], [], (np.nan, np.nan, np.nan)),
        ([np.nan, np.nan], ["a", "b"], (np.nan, np.nan, np.nan)),
        ([1.0, 0.0], ["a", "a"], (0.5, np.nan, np.nan)),
        ([1.0, np.nan], ["a", "b"], (1.0, np.nan, np.nan)),
    ],
)
def test_fewer_than_two_patients_with_a_value_give_no_interval(values, patients, expected):
    assert interval(values, patients) == pytest.approx(expected, nan_ok=True)


def test_values_that_are_no_verdicts_and_rows_without_a_patient_are_refused():
    with pytest.raises(MedAlignError, match="every value must be 0, 1 or NaN"):
        interval([0.5, 1], ["a", "b"])
    with pytest.raises(MedAlignError, match="2 rows, 1 patients"):
        interval([0, 1], ["a", None])


def test_a_paired_difference_is_narrower_if_systems_are_right_on_the_same_patients():
    rng = np.random.default_rng(3)
    patients = np.arange(200).astype(str)
    a = rng.random(200) < 0.5
    alike = np.where(rng.random(200) < 0.9, a, ~a)
    apart = rng.permutation(alike)
    values = np.column_stack([a, alike, apart, ~alike]).astype(float)
    first, second = np.array([0, 0, 0]), np.array([1, 2, 3])
    found = Proportions.of(values, patients).paired_differences(first, second)
    widths = [np.ptp(difference[1:]) for difference in found]
    # Correlations of about 0.8, 0 and -0.8: the variance is 2 (1 - r) times that of one share.
    assert widths[0] < 0.6 * widths[1] < 0.6 * widths[2]
    for difference, other in zip(found, second, strict=True):
        test = stats.ttest_1samp(values[:, 0] - values[:, other], 0).confidence_interval(0.95)
        assert difference[1:] == pytest.approx([test.low, test.high], abs=0.015)


def test_simultaneous_intervals_are_wider_than_one_alone():
    values = np.random.default_rng(4).random((60, 4)) < [0.2, 0.4, 0.5, 0.7]
    shares = Proportions.of(values, np.arange(60).astype(str))
    first, second = np.triu_indices(4, k=1)
    alone = np.array(shares.paired_differences(first, second))
    all_six = np.array(shares.paired_differences(first, second, comparisons=6))
    ratio = (all_six[:, 2] - all_six[:, 1]) / (alone[:, 2] - alone[:, 1])
    # Student's t at 1 - 0.025 / 6 over that at 1 - 0.025, a little less for Wilson's interval.
    expected = stats.t(59).ppf(1 - 0.025 / 6) / stats.t(59).ppf(0.975)
    assert ratio == pytest.approx(np.full(6, expected), rel=0.06)


def test_a_gap_between_other_patients_equals_newcombes_interval():
    from statsmodels.stats.proportion import confint_proportions_2indep

    values = [np.repeat([1.0, 0.0], n)[:, np.newaxis] for n in ((800, 1200), (1500, 2500))]
    own, rest = (Proportions.of(v, np.arange(len(v)).astype(str)) for v in values)
    [(gap, *bounds)] = own.differences(rest)
    expected = confint_proportions_2indep(800, 2000, 1500, 4000, method="newcomb")
    assert gap == pytest.approx(800 / 2000 - 1500 / 4000)
    assert bounds == pytest.approx(expected, abs=2e-4)


def test_weights_count_as_kishs_effect():
    # Weights 1 and 3, scaled to 0.5 and 1.5: their mean square is 1.25.
    values = np.random.default_rng(6).random(2000) < 0.5
    weights = np.tile([0.5, 1.5], 1000)
    sums, counts = (part[:, np.newaxis] for part in (weights * values, weights))
    shares = Proportions.of_sums(sums, counts, kish=1.25)
    assert shares.shares[0] == pytest.approx(np.average(values, weights=weights))
    assert shares.effective_n[0] == pytest.approx(2000 / 1.25, rel=0.01)


def test_values_between_0_and_1_have_their_own_variance():
    values = np.random.default_rng(7).uniform(0.4, 0.6, 2000)
    sums, counts = values[:, np.newaxis], np.ones((2000, 1))
    shares = Proportions.of_sums(sums, counts, variances=values.var())
    assert shares.effective_n[0] == pytest.approx(2000, rel=0.001)
