"""The sentences that a report begins with."""

import pandas as pd

from medalign_utils.reporting.findings import (
    best_metric,
    best_system,
    context_cost,
    findings,
)


def systems(*correct):
    return pd.DataFrame({"system": list("abc")[: len(correct)], "n": 8, "correct": correct})


def pairs(p, system="b", opponent="a"):
    names = {"system": [system, "c"], "opponent": [opponent, "b"]}
    return pd.DataFrame(names | {"sign_flip_p_holm": [p, 1.0]})


def test_the_second_is_tested_whichever_comes_first_in_the_pair():
    expected = (
        "b is correct most often, in 50 % of 8 instructions; a follows with 13 % "
        "(significant: p = 0.031, adjusted for 2 comparisons)."
    )
    table = systems(0.125, 0.5, 0.0)
    assert best_system(table, pairs(0.03125)) == expected
    assert best_system(table, pairs(0.03125, "a", "b")) == expected


def test_equal_systems_share_the_first_place():
    assert best_system(systems(0.5, 0.5), pairs(1.0)) == (
        "a and b are correct most often, both in 50 % of 8 instructions."
    )


def test_systems_equal_to_the_digits_shown_are_a_tie():
    table = systems(0.244, 0.236, 0.1)
    assert best_system(table, pairs(0.5)) == (
        "a and b are correct most often, both in 24 % of 8 instructions."
    )
    three = best_system(systems(0.244, 0.236, 0.24), pairs(0.5))
    assert three == "a, c and b are correct most often, each in 24 % of 8 instructions."


def test_metrics_equal_to_the_digits_shown_are_a_tie():
    table = pd.DataFrame({"metric": ["rouge_l", "chrf", "meteor"], "mean_tau": [0.477, 0.484, 0.4]})
    table = table.assign(n=[38, 40, 38], n_undefined=[42, 40, 42])
    assert best_metric(table, pd.DataFrame(), "the answer key") == (
        "chrF and ROUGE-L follow the answer key best, both with a mean tau of 0.48 over 38 to 40 "
        "of 80 instructions."
    )


def test_fewer_than_ten_patients_are_said_to_give_too_narrow_intervals():
    few = {"05_evaluate_systems": systems(0.5, 0.25).assign(n_patients=9)}
    assert findings(few, "the answer key")[-1] == (
        "With fewer than 10 patients, all intervals are too narrow."
    )
    enough = {"05_evaluate_systems": systems(0.5, 0.25).assign(n_patients=10)}
    assert len(findings(enough, "the answer key")) == 1


def test_a_single_system_is_compared_with_nothing():
    assert best_system(systems(0.5), pd.DataFrame()) == "a is correct in 50 % of 8 instructions."


def test_without_a_table_of_pairs_nothing_is_tested():
    assert best_system(systems(0.5, 0.25), pd.DataFrame()).endswith(
        "b follows with 25 % (not tested)."
    )
    assert findings({}, "the answer key") == []


def test_a_context_that_costs_nothing():
    table = pd.DataFrame(
        {
            "system": ["a-2k", "a-8k"],
            "context_tokens": pd.array([2048, 8192], "Int64"),
            "difference": [0.004, None],
            "sign_flip_p_holm": [1.0, None],
        }
    )
    equal = "With 2,048 tokens of context, a-2k is as accurate as a-8k with 8,192 tokens (not "
    assert context_cost(table) == f"{equal}significant: p = 1.000)."
    better = context_cost(table.assign(difference=[0.0125, None]))
    assert "is 1 point more accurate than a-8k" in better
    assert context_cost(table[:1]) == ""


def test_metrics_without_a_tau_are_not_ranked():
    table = pd.DataFrame({"metric": ["chrf", "lens"], "n": [3, 0], "n_undefined": [1, 0]})
    table["mean_tau"] = [0.125, None]
    assert best_metric(table, pd.DataFrame(), "the clinicians' ratings") == (
        "chrF follows the clinicians' ratings with a mean tau of 0.13 over 3 of 4 instructions."
    )
    assert best_metric(table[1:], pd.DataFrame(), "the answer key") == ""
