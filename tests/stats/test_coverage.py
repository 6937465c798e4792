"""The 95 % intervals contain the true value about as often as they should."""

import importlib.util
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parents[2]
BY_PATIENT = {*("correct", "difference", "win_rate", "mean_rank", "mean_tau", "tau_difference")}


@pytest.fixture(scope="module")
def coverage():
    spec = importlib.util.spec_from_file_location("coverage_", ROOT / "benchmarks/coverage.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_intervals_over_100_patients_cover_92_to_98_times_in_100(coverage):
    # Pooled, so that a share's standard error, 0.007, is small compared with the tolerance.
    tables = [coverage.coverage(100, data_sets=500, resamples=400, seed=s) for s in (3, 4)]
    shares = pd.concat(tables).groupby(["statistic", "of"])["coverage"].mean()
    by_patient = shares.drop("wilson")
    assert set(by_patient.index.levels[0]) >= BY_PATIENT and len(by_patient) == 15
    assert by_patient.between(0.92, 0.98).all(), by_patient
    # Assuming independent instructions covers less, since those of a patient are correlated.
    assert (shares["wilson"] < 0.92).all()


def test_the_published_coverage_has_each_number_of_patients():
    table = pd.read_csv(ROOT / "benchmarks/coverage.csv")
    assert sorted(table["patients"].unique()) == [5, 24, 100]
    by_patient = table[table["statistic"] != "wilson"]
    assert set(by_patient["statistic"]) == BY_PATIENT
    assert by_patient.loc[by_patient["patients"] == 100, "coverage"].between(0.92, 0.98).all()
    # Plain percentiles covered 0.93 on average over 24 patients.
    assert by_patient.loc[by_patient["patients"] == 24, "coverage"].mean() > 0.94
