"""What a reader sees of a table, and which tables nobody is to see."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from medalign_utils.data.disclosure import PERSONAL_COLUMNS, is_personal, unknown_text
from medalign_utils.errors import MedAlignError
from medalign_utils.evaluation.metric_correlation import add_skipped
from medalign_utils.evaluation.paper import compare_categories, summarize
from medalign_utils.paths import write_table
from medalign_utils.reporting.display import columns_to_show, read_aggregates
from tests.builders.tiny_ratings import run_without_files

ROOT = Path(__file__).parents[2]


def shown(**columns):
    return {column.heading: column.cells for column in columns_to_show(pd.DataFrame(columns))}


def test_a_table_is_read_back_with_the_types_it_was_written_with(tmp_path):
    written = pd.DataFrame(
        {
            "system": ["007", "NA"],  # text, although pandas would read a number and a gap
            "context_tokens": pd.array([2048, None], dtype="Int64"),
            "correct": [1.0, 0.0],  # a share, although whole
            "p": [1e-9, np.nan],
            "decided": [True, False],
        }
    )
    read = read_aggregates(write_table(written, tmp_path / "a.csv"))
    assert read["system"].tolist() == ["007", "NA"]
    assert list(map(str, read.dtypes[1:])) == ["Int64", "float64", "float64", "boolean"]
    pd.testing.assert_frame_equal(read.iloc[:, 1:4], written.iloc[:, 1:4])
    assert read["decided"].tolist() == [True, False]


def test_an_interval_stands_in_the_cell_of_its_estimate():
    cells = shown(
        metric=["chrf", "comet"],
        mean_tau=[0.5, -0.126],
        mean_tau_low=[0.4, -0.25],
        mean_tau_high=[0.6, 0.001],
        n=[1234, 7],
    )
    # Widths 0.2 and 0.251: two digits show two of each.
    assert cells == {
        "Metric": ["chrf", "comet"],
        "Mean tau": ["0.50 (0.40\xa0to\xa00.60)", "−0.13 (−0.25\xa0to\xa00.00)"],
        "n": ["1,234", "7"],
    }


def test_a_narrow_interval_has_the_digits_that_tell_its_ends_apart():
    # Width 0.012: its second digit is the third after the point.
    assert shown(x=[0.65], x_low=[0.644], x_high=[0.656]) == {"X": ["0.650 (0.644\xa0to\xa00.656)"]}
    # Width 0 says nothing about digits.
    assert shown(x=[0.0], x_low=[0.0], x_high=[0.0]) == {"X": ["0.00 (0.00\xa0to\xa00.00)"]}


def test_an_interval_without_an_estimate_and_an_estimate_without_one():
    assert shown(wilson_low=[0.2, np.nan], wilson_high=[0.4, np.nan]) == {
        "Correct, Wilson": ["0.20\xa0to\xa00.40", "–"]
    }
    nan = np.nan
    cells = shown(x=[0.3, nan, 0.5], x_low=[nan, nan, 0.4], x_high=[nan, nan, 0.6])
    assert cells == {"X": ["0.30 (–)", "–", "0.50 (0.40\xa0to\xa00.60)"]}
    # No row has one: an estimate like any other.
    assert shown(x=[0.3, nan], x_low=[nan, nan], x_high=[nan, nan]) == {"X": ["0.300", "–"]}


def test_fractions_p_values_and_gaps():
    cells = shown(
        win_rate=[0.7574, np.nan],
        mcnemar_p=[0.0004, 0.04567],
        context_tokens=pd.array([None, 32768], dtype="Int64"),
        decided=pd.array([True, None], dtype="boolean"),
        reason=["", None],
    )
    assert cells == {
        "Win rate": ["0.757", "–"],
        "McNemar p": ["<\xa00.001", "0.046"],
        "Context (tokens)": ["full record", "32,768"],
        "Decided": ["yes", "–"],
        "Reason": ["", "–"],
    }


def test_counts_stay_counts_and_empty_columns_go():
    cells = shown(published=[1314.0, np.nan], share=[1.0, 0.0], mixed=[2.5, 2.0], run=[None, None])
    assert cells == {
        "Published": ["1,314", "–"],
        "Share": ["1.000", "0.000"],
        "Mixed": ["2.500", "2.000"],
    }


def test_only_numbers_are_set_as_numbers():
    frame = pd.DataFrame({"system": ["a"], "n": [1], "ok": pd.array([True], dtype="boolean")})
    assert [column.is_number for column in columns_to_show(frame)] == [False, True, False]


@pytest.mark.parametrize("column", [*sorted(PERSONAL_COLUMNS), "instruction_id", "Person_ID"])
def test_a_table_of_single_patients_instructions_or_responses_is_refused(tmp_path, column):
    assert is_personal(column)
    write_table(pd.DataFrame({"system": ["a"], column: ["x"]}), tmp_path / "05_a.csv")
    with pytest.raises(MedAlignError, match=rf"05_a\.csv: column {column}: a report shows agg"):
        read_aggregates(tmp_path / "05_a.csv")


def test_text_is_known_by_its_columns_name():
    frame = pd.DataFrame({"group": ["F"], "remark": ["?"], "n": [1], "share": [0.5], "ok": [True]})
    assert unknown_text(frame) == ["remark"]
    # As context_tokens is where every system sees the full record.
    assert unknown_text(pd.DataFrame({"context_tokens": pd.Series([None], dtype="str")})) == []


@pytest.mark.parametrize("file", sorted((ROOT / "figures").glob("*.csv")), ids=lambda f: f.stem)
def test_the_columns_of_the_published_tables_are_known(file):
    assert unknown_text(read_aggregates(file)) == []


def test_the_columns_of_reasons_and_verdicts_are_known(tmp_path):
    skipped = pd.DataFrame({"metric": ["lens"], "reason": ["weights names none for lens"]})
    table = pd.DataFrame({"metric": ["chrf"], "n": [9], "best_system": ["a"]})
    counts = pd.DataFrame({"category": ["Other"], "with_reference": [4], "all": [9]})
    comparison = compare_categories(counts, run_without_files([], "generated", is_restricted=False))
    for made in (add_skipped(table, skipped), summarize([comparison]), comparison.table):
        assert unknown_text(read_aggregates(write_table(made, tmp_path / "a.csv"))) == []
