import numpy as np
import pytest

from medalign_utils.errors import MedAlignError
from medalign_utils.evaluation.rogan_gladen import rogan_gladen

NAN = np.nan


def judged_responses(rng, sensitivity, specificity, n_labels=100, n_patients=100):
    patients = np.repeat(np.arange(n_patients), rng.integers(1, 6, n_patients))
    own = rng.beta(4.5, 4.5, n_patients)
    verdicts = (rng.random(len(patients)) < own[patients]).astype(float)
    called = rng.random(len(patients)) < np.where(verdicts == 1, sensitivity, 1 - specificity)
    labels = np.full(len(patients), NAN)
    rows = rng.permutation(len(patients))[:n_labels]
    labels[rows] = verdicts[rows]
    return labels, called.astype(float), patients


def test_the_correction_by_hand():
    # 8 of 10 correct ones are called correct, 6 of 10 wrong ones wrong; of all 40, 26.
    labels = [1] * 10 + [0] * 10 + [NAN] * 20
    verdicts = [1] * 8 + [0] * 2 + [1] * 4 + [0] * 6 + [1] * 14 + [0] * 6
    found = rogan_gladen(labels, verdicts, range(40))
    assert (found.apparent, found.n, found.n_labels) == (0.65, 40, 20)
    assert found.sensitivity.estimate == 0.8 and found.specificity.estimate == 0.6
    # (0.65 + 0.6 - 1) / (0.8 + 0.6 - 1), if the sum is above 1 beyond doubt: not from 20 labels.
    assert np.isnan(found.interval).all()
    found = rogan_gladen(labels * 10, verdicts * 10, range(400))
    assert found.interval.estimate == pytest.approx(0.25 / 0.4)


def test_the_error_is_that_of_independent_shares():
    # Labelled and judged responses hardly overlap, so the three shares are independent.
    rng = np.random.default_rng(1)
    labels = np.r_[rng.random(200) < 0.5, np.full(20_000, NAN)]
    truth = np.r_[labels[:200], rng.random(20_000) < 0.5]
    verdicts = (rng.random(20_200) < np.where(truth == 1, 0.9, 0.3)).astype(float)
    found = rogan_gladen(labels, verdicts, range(20_200))
    share, se, sp = found.interval.estimate, found.sensitivity.estimate, found.specificity.estimate
    right = np.nansum(labels)
    variance = found.apparent * (1 - found.apparent) / 20_200
    variance += share**2 * se * (1 - se) / right + (1 - share) ** 2 * sp * (1 - sp) / (200 - right)
    half = 1.972 * np.sqrt(variance) / (se + sp - 1)  # t of 199
    assert found.interval.high - share == pytest.approx(half, rel=0.02)


@pytest.mark.parametrize(("sensitivity", "specificity"), [(0.9, 0.8), (0.75, 0.95)])
def test_known_judges_are_recovered_within_their_intervals(sensitivity, specificity):
    rng, covered = np.random.default_rng(2), []
    for _ in range(200):
        found = rogan_gladen(*judged_responses(rng, sensitivity, specificity))
        true = ((found.sensitivity, sensitivity), (found.specificity, specificity))
        covered.append(
            [low <= value <= high for (_, low, high), value in (*true, (found.interval, 0.5))]
        )
    assert (np.mean(covered, axis=0) > 0.92).all()


def test_a_judge_that_does_not_tell_them_apart_is_not_corrected():
    found = rogan_gladen(*judged_responses(np.random.default_rng(3), 0.5, 0.5))
    assert np.isnan(found.interval).all()
    assert str(found).startswith("not used")
    used = rogan_gladen(*judged_responses(np.random.default_rng(3), 0.9, 0.9))
    assert str(used).startswith("for comparison only")


@pytest.mark.parametrize("value", [0, 1])
def test_equal_labels_leave_it_undefined(value):
    found = rogan_gladen([value] * 20 + [NAN] * 20, [1, 0] * 20, range(40))
    assert np.isnan(found.interval).all()
    assert np.isnan([found.sensitivity.estimate, found.specificity.estimate]).sum() == 1


def test_missing_verdicts_are_left_out_and_weights_count():
    labels = np.array([1] * 8 + [0] * 8 + [1, NAN])
    verdicts = np.array([1] * 6 + [0] * 2 + [0] * 8 + [NAN, 1])
    weights = np.array([3.0] * 4 + [1.0] * 14)
    found = rogan_gladen(labels, verdicts, range(18), weights)
    assert (found.n, found.n_labels) == (17, 16)
    assert found.sensitivity.estimate == pytest.approx(14 / 16)  # 12 + 2 of 12 + 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": [NAN] * 3}, "no judged response has a label"),
        ({"verdicts": [0.5, 0, 1]}, "every verdict must be 0, 1 or NaN"),
        ({"patients": ["a", None, "b"]}, "1 responses have no patient"),
        ({"verdicts": [1]}, "3 labels, 1 verdicts"),
    ],
)
def test_what_is_wrong_is_named(change, message):
    given = {"labels": [1, 0, NAN], "verdicts": [1, 0, 1], "patients": list("abc")}
    with pytest.raises(MedAlignError, match=message):
        rogan_gladen(**(given | change))
