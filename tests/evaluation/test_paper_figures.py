"""The paper's figures are consistent. No test reads the unverified correlations."""

from pathlib import Path

import pandas as pd
import pytest

PAPER = Path(__file__).parents[2] / "data" / "paper"
SYSTEMS = pd.read_csv(PAPER / "table_human_evaluation.csv").set_index("system")


def test_ranks_and_win_rates_sum_as_they_must():
    # Six systems: ranks sum to 6 x 7 / 2, win rates to 6 / 2, each given to three places.
    assert SYSTEMS["mean_rank"].sum() == pytest.approx(21.0, abs=1e-9)
    assert SYSTEMS["win_rate"].sum() == pytest.approx(3.0, abs=6 * 0.0005)


def test_the_abstracts_error_rates_and_its_drop_with_a_short_context():
    correct = SYSTEMS["correct"]
    assert round(100 * (1 - correct["GPT-4 (MR)"])) == 35
    assert round(100 * (1 - correct["MPT-7B-Instruct"])) == 68
    assert correct["GPT-4 (32k)"] - correct["GPT-4 (2k)"] == pytest.approx(0.083, abs=1e-9)


def test_win_rate_leaves_ties_out():
    # If ties counted half, mean rank = 6 - 5 x win rate; no published rank satisfies this.
    forced = 6 - 5 * SYSTEMS["win_rate"]
    assert ((forced - SYSTEMS["mean_rank"]).abs() > 0.05).all()
    # With a share t of evenly spread ties, ties half = t / 2 + (1 - t) x win rate, so
    # t = 1 - (ties half - 1/2) / (win rate - 1/2). A share of ties must lie in [0, 1].
    ties_half = (6 - SYSTEMS["mean_rank"]) / 5
    ties = 1 - (ties_half - 0.5) / (SYSTEMS["win_rate"] - 0.5)
    assert ties.round(2).between(0.11, 0.20).all()


def test_categories_sum_to_the_instructions():
    facts = pd.read_csv(PAPER / "facts.csv").set_index("fact")["value"]
    categories = pd.read_csv(PAPER / "table_categories.csv")
    assert categories["with_reference"].sum() == 303
    assert categories["all"].sum() == 983
    assert (categories["with_reference"] <= categories["all"]).all()
    assert facts["instructions with a clinician-written reference response"] == 303
    assert facts["instructions after ROUGE-L deduplication"] == 983


def test_every_table_has_a_source_and_a_status():
    tables = pd.read_csv(PAPER / "tables.csv").set_index("table")
    assert {*tables.index, "tables"} == {file.stem for file in PAPER.glob("*.csv")}
    assert tables.notna().all(axis=None)
    assert tables.loc["table_metric_correlation", "status"] == "transcribed, not re-verified"
    correlations = pd.read_csv(PAPER / "table_metric_correlation.csv")
    assert set(correlations["status"]) == {"unverified"}
    assert pd.read_csv(PAPER / "facts.csv")[["source", "status"]].notna().all(axis=None)
    assert "2308.14089" in (PAPER / "README.md").read_text()
