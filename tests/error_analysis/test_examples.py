import itertools

import pandas as pd

from medalign_utils.error_analysis.examples import choose_errors


def test_errors_are_spread_over_instructions_outcomes_and_systems():
    rows = itertools.product("abc", ["contradicted", "nothing found"], range(20))
    table = pd.DataFrame(rows, columns=["system", "outcome", "instruction_id"]).assign(prompt=None)
    chosen = choose_errors(table, 6)
    assert chosen["instruction_id"].is_unique
    assert chosen["outcome"].value_counts().tolist() == [3, 3]
    assert chosen["system"].value_counts().tolist() == [2, 2, 2]
    assert chosen.equals(choose_errors(table, 6))


def test_a_rare_error_is_among_the_first_and_correct_responses_are_not():
    outcomes = ["nothing found"] * 8 + ["correct", "abstained"]
    table = pd.DataFrame({"outcome": outcomes, "system": "a", "prompt": None})
    table["instruction_id"] = table.index.astype(str)
    assert "abstained" in set(choose_errors(table, 2)["outcome"])
    assert len(choose_errors(table, 20)) == 9
    assert choose_errors(table[table["outcome"] == "correct"]).empty
