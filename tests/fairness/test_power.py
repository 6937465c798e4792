import numpy as np
import pandas as pd
import pytest

from medalign_utils.errors import MedAlignError
from medalign_utils.fairness import power


def test_a_large_gap_is_found_and_no_gap_raises_few_alarms():
    found = power.simulate_audits([100], seeds=3, gap=0.5, permutations=499, progress=False)
    assert found["share"].item() == 1
    none = power.simulate_audits([None], seeds=20, permutations=499, progress=False)
    assert none["audits"].item() == 120
    assert none["share_low"].item() <= 0.05


def test_simulated_verdicts_have_the_given_accuracy_and_correlation():
    people, patients, correct = power.simulate_release(
        np.random.default_rng(1), size=138, systems=2000, correlation=0.3
    )
    failed = np.isin(patients, people.index[people["race"] == power.FAILED])
    assert correct[failed].to_numpy().mean() == pytest.approx(0.45, abs=0.01)
    assert correct[~failed].to_numpy().mean() == pytest.approx(0.65, abs=0.01)
    twice = pd.Series(patients).value_counts()
    person = next(p for p in twice.index if twice[p] > 1)
    first, second = correct[patients == person].to_numpy()[:2]
    assert np.corrcoef(first, second)[0, 1] == pytest.approx(0.3, abs=0.07)


def test_impossible_simulations_are_refused():
    rng = np.random.default_rng(1)
    with pytest.raises(MedAlignError, match="size 276, expected 1 to 275 patients"):
        power.simulate_release(rng, size=276)
    with pytest.raises(MedAlignError, match=r"accuracy 0.1, gap 0.2"):
        power.simulate_release(rng, size=9, accuracy=0.1)
