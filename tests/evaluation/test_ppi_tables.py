import numpy as np
import pandas as pd
import pytest

from medalign_utils.errors import MedAlignError
from medalign_utils.evaluation.ppi import ppi_difference, ppi_mean
from medalign_utils.evaluation.ppi_tables import (
    compare_from_labels,
    evaluate_from_labels,
    width_by_labels,
)
from medalign_utils.evaluation.systems import evaluate_systems
from medalign_utils.stats.bootstrap import Bootstrap
from tests.builders.tiny_ratings import random_ratings


@pytest.fixture(scope="module")
def release():
    rng = np.random.default_rng(1)
    ratings, instructions = random_ratings(rng, 120, 3)
    scores = np.clip(ratings["correct"] * 0.6 + rng.random(len(ratings)) * 0.4, 0, 1)
    return ratings, ratings[["instruction_id", "system"]].assign(prediction=scores), instructions


def rated(ratings, n):
    return ratings[ratings["instruction_id"].isin([f"i{i}" for i in range(n)])]


def test_ratings_of_all_responses_give_the_main_table(release):
    ratings, predictions, instructions = release
    found = evaluate_from_labels(ratings, predictions, instructions).set_index("system")
    expected = evaluate_systems(ratings, instructions, bootstrap=Bootstrap.seeded(10))
    expected = expected.set_index("system").loc[found.index]
    for column in ("correct", "correct_low", "correct_high", "win_rate_ties_half"):
        np.testing.assert_allclose(found[column], expected[column])
    assert (found["n_labels"] == found["n"]).all() and (found["power"] == 0).all()


def test_a_row_is_the_estimate_of_its_system(release):
    ratings, predictions, instructions = release
    few = rated(ratings, 40)
    row = evaluate_from_labels(few, predictions, instructions).set_index("system").loc["b"]
    own = ratings[ratings["system"] == "b"].set_index("instruction_id")
    scores = predictions[predictions["system"] == "b"].set_index("instruction_id")["prediction"]
    labels = own["correct"].where(own.index.isin(few["instruction_id"])).astype(float)
    patients = instructions.set_index("instruction_id").loc[own.index, "person_id"]
    expected = ppi_mean(labels, scores[own.index], patients)
    assert row["correct"] == pytest.approx(expected.interval.estimate)
    assert row["classical_high"] == pytest.approx(expected.classical.high)
    assert row["effective_labels"] == pytest.approx(expected.effective_labels)
    assert row["effective_labels"] > row["n_labels"] == 40
    assert row["win_rate_ties_half_low"] < row["win_rate_ties_half"]
    assert row["win_rate_ties_half"] < row["win_rate_ties_half_high"]


def test_weights_and_missing_predictions_reach_the_estimate(release):
    ratings, predictions, instructions = release
    few = rated(ratings, 40)
    weights = {f"i{i}": 1.0 + (i % 2) for i in range(40)}
    missing = predictions.assign(
        prediction=predictions["prediction"].where(predictions["instruction_id"] != "i70")
    )
    found = evaluate_from_labels(few, missing, instructions, weights)
    a = few[few["system"] == "a"]
    expected = np.average(a["correct"], weights=a["instruction_id"].map(weights))
    assert found["classical"][0] == pytest.approx(expected)
    assert found["unpredicted"].tolist() == [1, 1, 1]


def test_a_system_alone_has_no_win_rate(release):
    ratings, predictions, instructions = release
    alone = [table[table["system"] == "a"] for table in (rated(ratings, 30), predictions)]
    found = evaluate_from_labels(*alone, instructions)
    assert len(found) == 1 and np.isnan(found["win_rate_ties_half"][0])
    without_ranks = rated(ratings, 30).drop(columns="rank")
    found = evaluate_from_labels(without_ranks, predictions, instructions)
    assert found["win_rate_ties_half"].isna().all()


def test_a_system_that_answered_less_is_not_padded(release):
    ratings, predictions, instructions = release
    is_left = (predictions["system"] != "c") | ~predictions["instruction_id"].isin(["i100", "i101"])
    found = evaluate_from_labels(rated(ratings, 30), predictions[is_left], instructions)
    assert found["n"].tolist() == [120, 120, 118]
    assert found["unpredicted"].tolist() == [0, 0, 0]


def test_pairs_have_the_paired_difference(release):
    ratings, predictions, instructions = release
    few = rated(ratings, 50)
    found = compare_from_labels(few, predictions, instructions)
    assert found[["system", "opponent"]].to_numpy().tolist() == [["a", "b"], ["a", "c"], ["b", "c"]]
    wide = {
        name: table.pivot(index="instruction_id", columns="system", values=column)
        for name, table, column in (("y", few, "correct"), ("f", predictions, "prediction"))
    }
    f = wide["f"][["a", "c"]]
    y = wide["y"][["a", "c"]].astype(float).reindex(f.index)
    patients = instructions.set_index("instruction_id").loc[f.index, "person_id"]
    expected = ppi_difference(y.to_numpy(), f.to_numpy(), patients)
    row = found.iloc[1]
    assert row[["difference", "difference_low", "difference_high"]].tolist() == pytest.approx(
        expected.interval
    )
    assert row["n_labels"] == 50


def test_what_is_missing_is_named(release):
    ratings, predictions, instructions = release
    few = rated(ratings, 30)
    with pytest.raises(MedAlignError, match=r"3 ratings have no prediction, the first of .* i0, a"):
        evaluate_from_labels(few, predictions[predictions["instruction_id"] != "i0"], instructions)
    with pytest.raises(MedAlignError, match="no rating of b"):
        evaluate_from_labels(few[few["system"] != "b"], predictions, instructions)
    with pytest.raises(MedAlignError, match="i0 is rated but has no weight"):
        evaluate_from_labels(few, predictions, instructions, {"i1": 1.0})
    with pytest.raises(MedAlignError, match="no instruction has a rating of both a and b"):
        halves = [few[few["system"] == "a"][:10], few[few["system"] != "a"][30:]]
        compare_from_labels(pd.concat(halves), predictions, instructions)


def test_widths_fall_with_labels_and_with_a_good_predictor():
    rng = np.random.default_rng(3)
    correct = (rng.random(250) < 0.5).astype(float)
    predictors = {
        "good": np.where(rng.random(250) < 0.9, correct, 1 - correct), "useless": rng.random(250)
    }  # fmt: skip
    table = width_by_labels(correct, predictors, np.arange(250) // 2, rng=rng, samples=20)
    widths = table.pivot(index="labels", columns="predictor", values="width")
    assert widths.index.tolist() == [20, 30, 50, 75, 100, 150, 200]
    assert (widths["good"] < widths["labels alone"]).all()
    assert (widths["useless"] < 1.02 * widths["labels alone"]).all()
    assert widths["good"].is_monotonic_decreasing
    assert (table["truth"] == correct.mean()).all()
