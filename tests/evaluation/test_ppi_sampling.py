import numpy as np
import pandas as pd
import pytest

from medalign_utils.errors import MedAlignError
from medalign_utils.evaluation.ppi import ppi_mean
from medalign_utils.evaluation.ppi_sampling import next_instructions, uncertainty


def table_of(n, **columns):
    return pd.DataFrame({"instruction_id": [f"i{i}" for i in range(n)]} | columns)


def test_uncertainty_is_that_of_a_verdict():
    predictions = pd.DataFrame(
        [("a", "x", 0.5), ("a", "y", 0.9), ("b", "x", 1.2), ("b", "y", 0.0), ("c", "x", np.nan)],
        columns=["instruction_id", "system", "prediction"],
    )
    # a: the mean of 0.25 and 0.09; b: both are sure; c: unknown.
    expected = {"a": np.sqrt(0.17), "b": 0.0, "c": 0.5}
    assert uncertainty(predictions).to_dict() == pytest.approx(expected)


def test_each_category_gets_its_share():
    table = table_of(60, category=["x"] * 30 + ["y"] * 20 + ["z"] * 10)
    for seed in range(20):
        sample = next_instructions(table, 12, rng=np.random.default_rng(seed), by="category")
        counts = table.set_index("instruction_id")["category"][sample["instruction_id"]]
        assert counts.value_counts().to_dict() == {"x": 6, "y": 4, "z": 2}
        assert (sample["weight"] == 60 / 12).all()


def test_weights_are_the_inverse_of_how_often_an_instruction_is_drawn():
    uncertain = pd.Series({f"i{i}": 0.05 * i for i in range(10)})
    rng, drawn, weights = np.random.default_rng(1), {}, {}
    for _ in range(300):
        sample = next_instructions(table_of(10), 4, rng=rng, uncertain=uncertain)
        assert len(sample) == 4
        for row in sample.itertuples():
            drawn[row.instruction_id] = drawn.get(row.instruction_id, 0) + 1
            weights[row.instruction_id] = row.weight
    for name, count in drawn.items():
        assert count / 300 == pytest.approx(1 / weights[name], abs=0.1)
    # Half of 4 of 10 evenly; the other half in proportion to 0, 0.05, ... 0.45, whose sum is 2.25.
    assert 1 / weights["i0"] == pytest.approx(0.2)
    assert 1 / weights["i9"] == pytest.approx(0.2 + 2 * 0.45 / 2.25)


def test_a_very_uncertain_instruction_is_certain_to_be_drawn_once():
    uncertain = pd.Series({f"i{i}": 100.0 if i == 3 else 0.01 for i in range(10)})
    for seed in range(10):
        sample = next_instructions(
            table_of(10), 5, rng=np.random.default_rng(seed), uncertain=uncertain
        )
        assert sample.set_index("instruction_id")["weight"]["i3"] == 1
        assert sample["instruction_id"].is_unique and len(sample) == 5


def test_rated_instructions_are_left_out():
    rated = [f"i{i}" for i in range(6)]
    sample = next_instructions(table_of(10), 2, rng=np.random.default_rng(2), rated=rated)
    assert not sample["instruction_id"].isin(rated).any()
    assert sample["weight"].tolist() == [2.0, 2.0]


def test_an_uncertain_sample_gives_the_right_mean_with_its_weights():
    # Uncertain responses are seldom right, so that the sample's unweighted mean is too low.
    rng, unweighted, weighted, powered = np.random.default_rng(3), [], [], []
    for _ in range(100):
        hard = rng.random(200) < 0.5
        verdicts = (rng.random(200) < np.where(hard, 0.2, 0.8)).astype(float)
        scores = np.where(hard, rng.uniform(0.3, 0.7, 200), 0.9 * verdicts + 0.05)
        ids = [f"i{i}" for i in range(200)]
        uncertain = pd.Series(np.sqrt(scores * (1 - scores)), ids)
        sample = next_instructions(table_of(200), 50, rng=rng, uncertain=uncertain)
        rows = [int(name[1:]) for name in sample["instruction_id"]]
        labels, weights = np.full((2, 200), np.nan)
        labels[rows], weights[rows] = verdicts[rows], sample["weight"]
        found = ppi_mean(labels, scores, range(200), weights)
        unweighted.append(np.nanmean(labels))
        weighted.append(found.classical.estimate)
        powered.append(found.interval)
    assert np.mean(unweighted) < 0.46
    assert np.mean(weighted) == pytest.approx(0.5, abs=0.03)
    estimates, lows, highs = np.array(powered).T
    assert estimates.mean() == pytest.approx(0.5, abs=0.02)
    assert ((lows <= 0.5) & (highs >= 0.5)).mean() > 0.9


@pytest.mark.parametrize(
    ("n", "options", "message"),
    [
        (0, {}, "n is 0, expected 1 to 5"),
        (5, {"rated": ["i0"]}, "n is 5, expected 1 to 4, the unrated"),
        (2, {"uncertain": pd.Series({"i0": -1.0})}, "an uncertainty is negative"),
        (2, {"by": "category"}, "no column category"),
    ],
)
def test_what_cannot_be_drawn_is_named(n, options, message):
    with pytest.raises(MedAlignError, match=message):
        next_instructions(table_of(5), n, rng=np.random.default_rng(4), **options)
