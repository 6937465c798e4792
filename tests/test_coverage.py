"""The 95 % intervals hold the truth about as often as they say."""

import importlib.util
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def coverage():
    spec = importlib.util.spec_from_file_location("coverage_", ROOT / "benchmarks/coverage.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_intervals_over_100_patients_cover_92_to_98_times_in_100(coverage):
    table = coverage.coverage(100, data_sets=500, resamples=400, seed=3)
    by_patient = table[table["statistic"] != "wilson"]
    assert set(by_patient["statistic"]) == {"correct", "difference", "win_rate", "mean_rank"}
    assert by_patient["coverage"].between(0.92, 0.98).all(), by_patient
    # Taking instructions as independent covers less, since a patient's resemble each other.
    assert (table.loc[table["statistic"] == "wilson", "coverage"] < 0.92).all()


def test_the_published_coverage_is_of_both_numbers_of_patients():
    table = pd.read_csv(ROOT / "benchmarks/coverage.csv")
    assert sorted(table["patients"].unique()) == [24, 100]
    of_100 = table[(table["patients"] == 100) & (table["statistic"] != "wilson")]
    assert of_100["coverage"].between(0.92, 0.98).all()
