import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ppi_py import ppi_mean_ci, ppi_mean_pointestimate
from scipy import stats

from medalign_utils.errors import MedAlignError
from medalign_utils.evaluation.ppi import ppi_difference, ppi_mean
from medalign_utils.stats.proportions import proportions

ROOT = Path(__file__).parents[2]
NAN = np.nan


def sample(rng, n_patients=100, n_labels=60, *, single=False, right=(0.9, 0.2)):
    """Return labels, a judge's verdicts, patients, and the verdicts on all responses."""
    sizes = np.ones(n_patients, int) if single else rng.integers(1, 6, n_patients)
    patients = np.repeat(np.arange(n_patients), sizes)
    own = rng.beta(4.5, 4.5, n_patients)
    verdicts = (rng.random(len(patients)) < own[patients]).astype(float)
    judged = (rng.random(len(patients)) < np.where(verdicts == 1, *right)).astype(float)
    labels = np.full(len(patients), NAN)
    rows = rng.permutation(len(patients))[:n_labels]
    labels[rows] = verdicts[rows]
    return labels, judged, patients, verdicts


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("right", [(0.9, 0.2), (0.5, 0.5), (0.1, 0.9), (1.0, 0.0)])
def test_single_instructions_give_the_estimate_and_error_of_ppi_py(seed, right):
    labels, judged, patients, _ = sample(np.random.default_rng(seed), single=True, right=right)
    rated = ~np.isnan(labels)
    y, f, others = labels[rated], judged[rated], judged[~rated]
    found = ppi_mean(labels, judged, patients)
    low, high = ppi_mean_ci(y, f, others, alpha=0.1)
    assert found.interval.estimate == pytest.approx(ppi_mean_pointestimate(y, f, others)[0])
    # Its interval is normal, and of 90 % by default.
    assert found.standard_error == pytest.approx((high - low)[0] / 2 / stats.norm.ppf(0.95))
    assert found.classical_error == pytest.approx(y.std() / np.sqrt(len(y)))


def test_the_power_by_hand():
    # Labels 1 x 6 and 0 x 6; the judge is right on 5 of 6 of both. It calls 9 of 12 others correct.
    labels = [1] * 6 + [0] * 6 + [NAN] * 12
    judged = [1] * 5 + [0] + [0] * 5 + [1] + [1] * 9 + [0] * 3
    found = ppi_mean(labels, judged, range(24))
    # Covariance 5/12 - 1/4 = 1/6. Of all 24 judgements 15 are 1: variance 15 x 9 / (24 x 23).
    power = (1 / 6) / (2 * 15 * 9 / (24 * 23))
    assert found.power == pytest.approx(power)
    assert found.interval.estimate == pytest.approx(0.5 + power * (0.75 - 0.5))
    # The variance is that of y - power f over 12, and of power f over 12.
    rectifier = np.var(np.array(labels[:12]) - power * np.array(judged[:12])) / 12
    error = np.sqrt(rectifier + power**2 * (3 / 16) / 12)
    assert found.standard_error == pytest.approx(error)
    assert found.effective_labels == pytest.approx(12 * (1 / 48) / error**2)
    assert str(found).startswith(
        f"12 labels plus this predictor are worth {12 / 48 / error**2:.0f} labels"
    )


def test_the_interval_solves_wilsons_equation_with_t():
    labels, judged, patients, _ = sample(np.random.default_rng(1))
    found = ppi_mean(labels, judged, patients)
    # The classical interval, from the effective sample size; the judge multiplies the latter.
    t = stats.t(found.n_patients - 1).ppf(0.975)
    sizes = []
    for share, low, high in (found.classical, found.interval):
        n = {t**2 * p * (1 - p) / (share - p) ** 2 for p in (low, high)}
        assert max(n) == pytest.approx(min(n))
        sizes.append(max(n))
    assert sizes[1] / sizes[0] == pytest.approx(found.effective_labels / found.n_labels)


def test_labels_on_all_responses_give_the_classical_interval():
    rng = np.random.default_rng(2)
    _, judged, patients, verdicts = sample(rng)
    found = ppi_mean(verdicts, judged, patients)
    assert found.interval == found.classical
    assert found.interval == pytest.approx(proportions(verdicts[:, np.newaxis], patients)[0])
    assert found.power == 0 and found.effective_labels == len(verdicts)


def test_the_classical_interval_is_that_of_the_labels_alone():
    labels, judged, patients, _ = sample(np.random.default_rng(3))
    rated = ~np.isnan(labels)
    expected = proportions(labels[rated, np.newaxis], patients[rated])[0]
    assert ppi_mean(labels, judged, patients).classical == pytest.approx(expected)


def test_alike_instructions_of_a_patient_widen_the_error():
    # Every response three times: labels and judgements are no more than before.
    labels, judged, patients, _ = sample(np.random.default_rng(4), single=True)
    once = ppi_mean(labels, judged, patients)
    thrice = ppi_mean(*(np.repeat(part, 3) for part in (labels, judged, patients)))
    assert thrice.interval.estimate == pytest.approx(once.interval.estimate, abs=2e-3)
    assert thrice.standard_error == pytest.approx(once.standard_error, rel=0.01)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_equal_labels_give_the_classical_interval(value):
    labels = [value] * 30 + [NAN] * 60
    found = ppi_mean(labels, np.random.default_rng(5).random(90), range(90))
    assert found.interval == found.classical
    assert found.power == 0 and found.interval.estimate == value
    assert 0.05 < found.interval.high - found.interval.low < 0.2


def test_few_labels_of_the_rarer_value_do_not_use_the_predictor():
    # With 4 correct of 30, a judge's errors on correct responses may not have been seen.
    labels = np.array([1.0] * 4 + [0.0] * 26 + [NAN] * 60)
    judged = np.where(np.isnan(labels), np.arange(90) % 5 == 0, labels)
    assert ppi_mean(labels, judged, range(90)).power == 0
    labels[4] = 1.0
    assert ppi_mean(labels, judged, range(90)).power > 0.5


@pytest.mark.parametrize("constant", [0.0, 0.7, NAN])
def test_a_constant_predictor_changes_nothing(constant):
    labels, _, patients, _ = sample(np.random.default_rng(6))
    found = ppi_mean(labels, np.full(len(labels), constant), patients)
    assert found.interval == found.classical and found.power == 0
    assert found.n_unpredicted == (len(labels) if np.isnan(constant) else 0)


def test_labels_of_one_patient_have_no_bounds():
    found = ppi_mean([1, 0, 1, 0] * 4 + [NAN] * 4, [1, 0] * 10, ["a"] * 16 + list("bbcc"))
    assert found.interval.estimate == 0.5
    assert np.isnan([*found.interval[1:], *found.classical[1:], found.standard_error]).all()


def test_a_predictor_that_is_always_wrong_is_not_used():
    labels, judged, patients, _ = sample(np.random.default_rng(7))
    found = ppi_mean(labels, 1 - judged, patients)
    assert found.power == 0 and found.interval == found.classical


def test_missing_predictions_are_counted_and_do_not_bias():
    # The judge fails on most wrong responses: leaving these out would give an accuracy near 0.8.
    rng, found = np.random.default_rng(8), []
    for _ in range(100):
        labels, judged, patients, verdicts = sample(rng)
        failed = (verdicts == 0) & (rng.random(len(verdicts)) < 0.8)
        judged = np.where(failed, NAN, judged)
        found.append(ppi_mean(labels, judged, patients))
    assert found[-1].n_unpredicted == failed.sum()
    assert f"{failed.sum()} of {len(labels)} predictions are missing" in str(found[-1])
    assert np.mean([one.interval.estimate for one in found]) == pytest.approx(0.5, abs=0.015)


def test_the_interval_stays_within_the_bounds():
    labels = np.array([1.0] * 25 + [0.0] * 5 + [NAN] * 100)
    judged = np.array([1.0] * 25 + [0.0] * 5 + [1.0] * 100)
    found = ppi_mean(labels, judged, range(130)).interval
    assert 0 <= found.low < found.estimate <= found.high <= 1
    graded = ppi_mean(1 + 4 * labels, 1 + 4 * judged, range(130), bounds=(1, 5)).interval
    assert graded == pytest.approx([1 + 4 * value for value in found])


def test_unequal_weights_are_normalized_and_give_the_weighted_mean():
    labels, judged, patients, _ = sample(np.random.default_rng(9))
    rated = ~np.isnan(labels)
    weights = np.where(rated, 1.0 + np.arange(len(labels)) % 3, NAN)
    found = ppi_mean(labels, judged, patients, weights)
    expected = np.average(labels[rated], weights=weights[rated])
    assert found.classical.estimate == pytest.approx(expected)
    again = ppi_mean(labels, judged, patients, 7 * weights)
    assert again.interval == pytest.approx(found.interval)
    equal = ppi_mean(labels, judged, patients, np.full(len(labels), 3.0))
    assert equal.interval == pytest.approx(ppi_mean(labels, judged, patients).interval)


def test_weights_by_hand_with_a_perfect_predictor():
    # Weighted, 6 of 16 + 4 of 4: (6 x 2 + 4) / (16 x 2 + 4). The predictor knows that 40 of 80 are.
    labels = np.array([1.0] * 6 + [0.0] * 10 + [1.0] * 4 + [NAN] * 60)
    truth = np.r_[labels[:20], [1.0] * 30, [0.0] * 30]
    weights = np.r_[[2.0] * 16, [1.0] * 4, [NAN] * 60]
    found = ppi_mean(labels, truth, range(80), weights)
    weighted = 16 / 36
    assert found.classical.estimate == pytest.approx(weighted)
    # Lambda, times N / unlabelled, is what the difference of the means of f is multiplied with.
    assert found.interval.estimate == pytest.approx(
        weighted + found.power * 80 / 60 * (0.5 - weighted)
    )


def test_a_difference_is_tuned_to_the_difference():
    # The predictors know how hard an instruction is, which cancels between systems, and add noise.
    rng = np.random.default_rng(10)
    hard = rng.random(300)
    verdicts = (rng.random((300, 2)) < np.where(hard > 0.5, 0.9, 0.1)[:, np.newaxis]).astype(float)
    scores = np.clip((hard > 0.5)[:, np.newaxis] + 0.3 * rng.normal(size=(300, 2)), 0, 1)
    labels = np.where(np.arange(300)[:, np.newaxis] < 80, verdicts, NAN)
    of_one = ppi_mean(labels[:, 0], scores[:, 0], range(300))
    difference = ppi_difference(labels, scores, range(300))
    assert of_one.power > 0.3
    assert difference.power < 0.2
    assert difference.standard_error <= difference.classical_error
    assert difference.classical.estimate == pytest.approx(
        verdicts[:80, 0].mean() - verdicts[:80, 1].mean()
    )


def test_equal_systems_do_not_have_an_interval_of_no_width():
    labels = np.repeat([1.0, 0.0] * 25, 2).reshape(50, 2)
    difference = ppi_difference(labels, labels, range(50)).interval
    assert difference.estimate == 0
    # Two further instructions, one won and one lost: 2 / 52 is the variance of a difference.
    t = stats.t(49).ppf(0.975)
    assert difference.high == pytest.approx(t * np.sqrt(2 / 52 / 50), rel=0.1)
    assert difference.low == pytest.approx(-difference.high)


def test_half_labelled_pairs_are_not_labelled():
    labels = np.array([[1, NAN], [NAN, 0], [1, 0], [0, 0]])
    found = ppi_difference(labels, np.zeros((4, 2)), range(4))
    assert found.n_labels == 2 and found.classical.estimate == 0.5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": [NAN] * 3}, "none of 3 responses has a label"),
        ({"labels": [2, NAN, NAN]}, "a label is not within 0 to 1"),
        ({"predictions": [0.1, 0.2]}, "expected one per response"),
        ({"predictions": [0.1, 0.2, np.inf]}, "a prediction is infinite"),
        ({"patients": ["a", None, "b"]}, "1 responses have no patient"),
        ({"weights": [0, 1, 1]}, "the weight of a labelled response is not above 0"),
        ({"weights": [NAN, 1, 1]}, "the weight of a labelled response is not above 0"),
    ],
)
def test_what_is_wrong_is_named(change, message):
    given = {"labels": [1, NAN, NAN], "predictions": [1, 0, 1], "patients": list("abc")}
    with pytest.raises(MedAlignError, match=message):
        ppi_mean(**(given | change))


def test_pairs_of_another_shape_or_scale_are_named():
    with pytest.raises(MedAlignError, match=r"labels \(3,\), predictions \(3,\)"):
        ppi_difference([1, 0, 1], [1, 0, 1], "abc")
    with pytest.raises(MedAlignError, match="a label is not within 0 to 1"):
        ppi_difference([[1, 5]], [[1, 0]], "a")


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("b", ROOT / "benchmarks/ppi_coverage.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("predictor", ["good", "useless", "biased"])
def test_intervals_hold_in_simulated_releases(benchmark, predictor):
    rng = np.random.default_rng(11)
    row = benchmark.simulate_setting(100, 50, predictor, 400, rng)
    assert row["coverage"] > 0.92
    assert row["width"] <= 1.02 * row["classical_width"]


def test_the_published_table_holds_where_it_should():
    table = pd.read_csv(ROOT / "benchmarks/ppi_coverage.csv")
    columns = "patients labels predictor coverage width classical_coverage classical_width"
    assert list(table) == columns.split()
    used = table[(table["patients"] >= 100) & (table["labels"] >= 50)]
    assert len(used) == 12 and used["coverage"].between(0.93, 0.97).all()
    assert (table["width"] <= 1.02 * table["classical_width"]).all()
    assert {(24, 20), (100, 20), (276, 20)} < set(table.set_index(["patients", "labels"]).index)
