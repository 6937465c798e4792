import numpy as np
import pytest

from medalign_utils.errors import MedAlignError
from medalign_utils.evaluation.ppi import ppi_mean
from medalign_utils.evaluation.ppi_cross_fit import cross_fit, least_squares

NAN = np.nan


def test_no_label_predicts_its_own_patient():
    # The predictor repeats what it was fitted on, by patient: it must not know these patients.
    patients = np.repeat(np.arange(20), 3)
    labels = np.where(np.arange(60) < 45, np.arange(60) % 2, NAN)

    def memorize(features, _):
        known = set(features[:, 0])
        return lambda rows: np.array([float(row in known) for row in rows[:, 0]])

    found = cross_fit(patients, labels, patients, fit=memorize, rng=np.random.default_rng(1))
    assert (found[:45] == 0).all()
    assert (found[45:] == 0).all()  # patients without labels


def test_patients_without_labels_get_the_mean_of_all_folds():
    labels = np.array([0.0, 1.0, NAN])

    def mean(_, labels):
        return lambda rows: np.full(len(rows), labels.mean())

    found = cross_fit(np.zeros(3), labels, "abc", fit=mean, rng=np.random.default_rng(1))
    assert found.tolist() == [1.0, 0.0, 0.5]


def test_tuning_on_the_same_labels_is_too_sure_and_cross_fitting_is_not():
    rng, tuned, crossed = np.random.default_rng(2), [], []
    for _ in range(200):
        verdicts = (rng.random(200) < 0.5).astype(float)
        noise = rng.normal(size=(200, 15))
        labels = np.where(np.arange(200) < 50, verdicts, NAN)
        own = least_squares(noise[:50], verdicts[:50])(noise)
        for covered, scores in (
            (tuned, own),
            (crossed, cross_fit(noise, labels, range(200), rng=rng)),
        ):
            _, low, high = ppi_mean(labels, scores, range(200)).interval
            covered.append(low <= 0.5 <= high)
    assert np.mean(tuned) < 0.9
    assert np.mean(crossed) > 0.92


def test_least_squares_puts_a_metric_on_the_labels_scale():
    rng = np.random.default_rng(3)
    verdicts = (rng.random(300) < 0.5).astype(float)
    chrf = 40 + 20 * verdicts + rng.normal(size=300)
    labels = np.where(np.arange(300) < 60, verdicts, NAN)
    found = cross_fit(chrf, labels, range(300), rng=rng)
    assert np.abs(found - verdicts).mean() < 0.1


def test_rows_without_a_feature_have_no_prediction():
    labels = np.array([0.0, 1.0, 0.0, 1.0, NAN, NAN])
    features = np.array([0.0, 1.0, 0.0, 1.0, NAN, 1.0])
    found = cross_fit(features, labels, range(6), rng=np.random.default_rng(4))
    assert np.isnan(found).tolist() == [False] * 4 + [True, False]


def test_labels_of_one_patient_cannot_be_cross_fitted():
    with pytest.raises(MedAlignError, match="1 patients have a label and features"):
        cross_fit([1, 2, 3], [1, 0, NAN], "aab", rng=np.random.default_rng(5))
