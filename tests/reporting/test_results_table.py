"""Tables as readers see them."""

import re

import numpy as np
import pandas as pd
import pytest

from medalign_utils.reporting.results_table import (
    formatted,
    markdown_table,
    read_table,
    show,
    to_html,
    without_not_scored,
)


def test_numbers_are_rounded_and_missing_values_are_marked(tmp_path):
    frame = pd.DataFrame(
        {
            "system": ["NA", "b"],
            "context_tokens": pd.array([None, 32768], dtype="Int64"),
            "tau": [-0.1264, np.nan],
            "tau_low": [-0.25, np.nan],
            "tau_high": [0.0, np.nan],
            "p_holm": [1e-9, 0.04567],
            "range_low": [0.2, 0.3],
            "range_high": [0.4, 0.5],
            "n_pairs": [3, np.nan],
            "same_best": [1.0, 0.0],
            "decided": [True, False],
        }
    )
    frame.to_csv(tmp_path / "a.csv", index=False)
    assert formatted(read_table(tmp_path / "a.csv")).to_dict("list") == {
        "system": ["NA", "b"],
        "context_tokens": ["full record", "32,768"],
        "tau": ["-0.13 (-0.25 to 0.00)", "–"],
        "p_holm": ["<0.001", "0.046"],
        "range": ["0.20 to 0.40", "0.30 to 0.50"],
        "n_pairs": ["3", "–"],
        "same_best": ["1.000", "0.000"],
        "decided": ["yes", "no"],
    }
    assert markdown_table(frame.iloc[1:], ["system", "tau"]).endswith("| b | |")


def test_a_notebook_shows_the_columns_that_it_names_in_their_order():
    frame = pd.DataFrame({"n_patients": [3], "tau": [0.5], "tau_low": [0.4], "tau_high": [0.6]})
    page = to_html(frame, ["tau", "n_patients"])
    assert re.findall("<t[hd] .*?>(.*?)</t[hd]>", page) == [
        "Tau",
        "Patients",
        "0.50 (0.40 to 0.60)",
        "3",
    ]
    with pytest.raises(KeyError, match="no column patients; the table has n_patients, tau, "):
        show(frame, ["tau", "patients"])


def test_text_is_on_the_left_and_names_are_as_in_the_figures():
    page = to_html(pd.DataFrame({"metric": ["rouge_l", "comet-compact"], "note": "<b>", "n": 3}))
    cells = re.findall('<td style="text-align: (left|right).*?">(.*?)</td>', page)
    assert cells[:3] == [("left", "ROUGE-L"), ("left", "&lt;b&gt;"), ("right", "3")]
    assert cells[3] == ("left", "comet-compact")


@pytest.mark.parametrize(("name", "is_wrapped"), [("bm25-full", False), ("a question " * 9, True)])
def test_only_long_texts_of_the_first_column_wrap(name, is_wrapped):
    page = to_html(pd.DataFrame({"system": [name], "note": ["a-b"]}))
    first, second = re.findall("<td .*?>", page)
    assert ("nowrap" not in first) == is_wrapped and "nowrap" not in second


def test_a_table_read_again_may_have_no_metric_without_scores(tmp_path):
    pd.DataFrame({"metric": ["chrf"], "not_scored": [""]}).to_csv(tmp_path / "a.csv", index=False)
    table, skipped = without_not_scored(read_table(tmp_path / "a.csv"))
    assert table.to_dict("list") == {"metric": ["chrf"]} and skipped == ""


def test_a_sentence_takes_the_place_of_an_empty_table(monkeypatch):
    outputs = []
    monkeypatch.setattr("medalign_utils.reporting.results_table.display", outputs.append)
    monkeypatch.setattr("IPython.display.display", outputs.append)
    frame = pd.DataFrame({"n": [3]})
    show(frame.iloc[:0], ["n"], empty="Nothing < 3.")
    show(frame, ["n"], empty="Nothing < 3.")
    assert [output.data[:10] for output in outputs] == ["<p>Nothing", "<table cla"]


def test_metrics_without_scores_are_one_line_and_not_rows():
    table = pd.DataFrame(
        {"metric": ["chrf", "lens"], "n": [5, 0], "not_scored": [pd.NA, "no model"]}
    )
    scored, line = without_not_scored(table)
    assert scored.to_dict("list") == {"metric": ["chrf"], "n": [5]}
    assert line == "Not scored: LENS (no model)."
    assert without_not_scored(table[:1])[1] == ""
    assert without_not_scored(scored) == (scored, "")


def test_names_from_a_release_are_text_in_headings_cells_and_sentences():
    attack = "<img src=x onerror=alert(1)>"
    page = to_html(pd.DataFrame({"group": [attack], attack: ["1"]}))
    assert "<img" not in page and page.count("&lt;img") == 2


def test_a_cell_does_not_end_its_column_in_markdown():
    frame = pd.DataFrame({"system": ["a|b\nc"], "x|y": [1]})
    assert markdown_table(frame, ["system", "x|y"]).splitlines()[::2] == [
        "| System | x\\|y |",
        "| a\\|b c | 1 |",
    ]


def test_counts_beside_shares_of_a_published_column_have_no_decimals():
    column = pd.DataFrame({"value_published": [1314.0, 15.0, 0.74]})
    assert list(formatted(column).iloc[:, 0]) == ["1,314", "15", "0.74"]
