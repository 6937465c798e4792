import numpy as np
import pandas as pd
import pytest

from medalign_utils.data.disclosure import LEAST_PATIENTS
from medalign_utils.error_analysis import breakdown


def answered(n=12, system="a", **columns):
    """Return n responses of one patient each, with the columns of `with_groups`."""
    table = pd.DataFrame({"instruction_id": [str(i) for i in range(n)], "system": system})
    table = table.assign(person_id=[f"p{i}" for i in range(n)], place=None, prompt=None)
    return table.assign(**columns).astype({"correct": "boolean"})


def test_groups_come_from_places_prompts_and_facts():
    responses = pd.DataFrame({"instruction_id": ["1", "2", "3"], "system": "a", "correct": True})
    responses = responses.assign(
        ehr_tokens_kept=[900, 5_000, 300_000], kind=["date", "set", "term"]
    )
    places = pd.DataFrame(
        {"instruction_id": ["1", "2"], "where": ["notes", "nowhere"], "position": [0.9, np.nan]}
    )
    exposures = pd.DataFrame({"instruction_id": ["1", "2"], "system": "a", "shown": [False, None]})
    table = breakdown.with_groups(responses, places, exposures)
    first, second, third = table[["place", "position", "prompt", "kind", "tokens"]].to_numpy()
    assert list(first) == ["in notes only", "position 75–90%", "not in the prompt", "date",
                           "up to 1,000"]  # fmt: skip
    assert second[0] == "not documented" and pd.isna(second[1:3]).all()
    assert pd.isna(third[:3]).all() and third[4] == "more"


def test_accuracy_by_group():
    # Group x: 2 of 8 correct; group y: 4 of 4, of fewer than 5 patients.
    table = answered(correct=[True] * 2 + [False] * 6 + [True] * 4, place=["x"] * 8 + ["y"] * 4)
    x, y = breakdown.accuracy_by(table, ["place"]).itertuples()
    assert (x.group, x.n, x.n_patients, x.correct) == ("x", 8, 8, 0.25)
    assert x.correct_low < 0.25 < x.correct_high
    assert y.correct == 1 and np.isnan(y.correct_low)


def test_unrated_responses_and_unknown_groups_are_left_out():
    table = answered(correct=[None] * 6 + [True] * 6, place=[None, "x"] * 6)
    assert breakdown.accuracy_by(table, ["place"])["n"].tolist() == [3]
    unrated = answered(correct=None, place="x", ehr_tokens_kept=5, tokens="up to 1,000")
    assert breakdown.accuracy_by(unrated, ["place", "kind"]).empty
    assert breakdown.accuracy_by_tokens(unrated).empty


def test_small_groups_of_a_restricted_release_are_merged():
    n = 3 * LEAST_PATIENTS
    place = ["x"] * (n - 14) + ["y"] * 11 + ["z"] * 3
    table = answered(n, correct=True, place=place)
    shown = breakdown.accuracy_by(table, ["place"], is_restricted=True)
    assert shown["group"].tolist() == ["x", "y + (others)"]
    assert shown["n"].tolist() == [n - 14, 14] and shown["n_patients"].isna().all()
    place = ["x"] * LEAST_PATIENTS + ["y"] * (n - LEAST_PATIENTS)
    table = answered(n, correct=True, place=place)
    shown = breakdown.accuracy_by(table, ["place"], is_restricted=True)
    assert shown["n"].tolist() == [LEAST_PATIENTS, n - LEAST_PATIENTS]


def test_what_is_not_documented_is_merged_in_every_grouping_or_in_none():
    # 13 are not documented, so they are shown by place. With the 5 dates, they would tell these.
    absent = {"place": ["not documented"] * 13, "kind": ["not documented"] * 13}
    others = {"place": ["in codes only"] * 20, "kind": ["date"] * 5 + ["number"] * 15}
    table = answered(33, correct=True, **{name: absent[name] + others[name] for name in absent})
    table["is_absent"] = table["place"] == "not documented"
    shown = breakdown.accuracy_by(table, ["place", "kind"], is_restricted=True)
    sizes = shown.set_index(["grouping", "group"])["n"].to_dict()
    assert sizes == {
        ("place", "in codes only"): 20, ("place", "not documented"): 13,
        ("kind", "number + (others)"): 20, ("kind", "not documented"): 13,
    }  # fmt: skip


def test_groups_by_prompt_of_a_restricted_release_have_shares_only():
    prompt = ["in the prompt"] * 30 + ["not in the prompt"] * 3
    table = answered(33, correct=[True] + [False] * 32, prompt=prompt)
    shown = breakdown.accuracy_by(table, ["prompt"], is_restricted=True)
    assert shown[["n", "n_patients"]].isna().all(axis=None)
    assert shown["correct"].fillna(-1).tolist() == [0.03, -1]
    assert shown["suppressed"].tolist() == ["", "not shown: fewer than 11 patients"]
    errors = breakdown.split_errors(table.assign(place=None), is_restricted=True)
    assert errors[["in_prompt", "not_in_prompt"]].isna().all(axis=None)


def test_errors_of_a_restricted_release_do_not_tell_how_few_answers_are_not_documented():
    # Both systems fail at all of them, so their errors would count these instructions.
    names = ["not_shown", "not_used", "not_documented", "unknown"]
    for n, is_shown in ((10, False), (11, True), (0, True)):
        table = answered(
            40,
            correct=False,
            prompt=[None] * n + ["in the prompt"] * (40 - n),
            place=["not documented"] * n + ["in notes only"] * (40 - n),
        )
        table = pd.concat([table, table.assign(system="other")])
        errors = breakdown.split_errors(table, is_restricted=True)
        assert errors["errors"].tolist() == [40, 40]
        assert errors[names].notna().all(axis=None) == is_shown
        assert errors[names].isna().all(axis=None) != is_shown


def test_tokens_have_the_median_of_each_group():
    lengths = [100] * 6 + [2_000, 3_000, 3_000, 3_500, 3_500, 3_500]
    table = answered(correct=[True] * 6 + [False] * 6, ehr_tokens_kept=lengths)
    table["tokens"] = ["up to 1,000"] * 6 + ["up to 4,000"] * 6
    found = breakdown.accuracy_by_tokens(table)
    assert found["tokens"].tolist() == [100, 3_250] and found["correct"].tolist() == [1, 0]


def test_errors_are_split_by_what_the_prompt_contained():
    table = answered(
        6,
        correct=[True, True, False, False, False, False],
        prompt=["in the prompt", "not in the prompt", "in the prompt", "not in the prompt", None,
                None],
        place=[None, None, "in notes only", "in notes only", "not documented", "in codes only"],
    )  # fmt: skip
    [row] = breakdown.split_errors(table).itertuples()
    assert (row.n, row.in_prompt, row.not_in_prompt, row.errors) == (6, 2, 2, 4)
    assert (row.not_shown, row.not_used, row.not_documented, row.unknown) == (1, 1, 1, 1)
    unrated = breakdown.split_errors(table.assign(correct=pd.array([pd.NA] * 6, "boolean")))
    assert unrated["in_prompt"].tolist() == [2] and unrated["errors"].isna().all()


def test_outcomes_add_up():
    names = ["correct"] * 3 + ["contradicted"] * 2 + ["abstained", "partly found"] + ["no text"] * 5
    [row] = breakdown.count_outcomes(answered(correct=True, outcome=names)).itertuples()
    assert (row.correct, row.contradicted, row.omission) == (3 / 12, 2 / 12, 7 / 12)
    assert (row.abstained, row.partly_found, row.nothing_found) == (1 / 12, 1 / 12, 0)
    assert row.omission_low < row.omission < row.omission_high


def test_abstentions():
    # 4 absent, 6 abstentions, 2 of them right.
    absent, abstained = [True] * 4 + [False] * 8, [False] * 2 + [True] * 6 + [False] * 4
    table = answered(correct=True, outcome="correct", is_absent=absent, abstained=abstained)
    [row] = breakdown.abstention(table).itertuples()
    assert (row.n, row.n_absent, row.n_abstained, row.n_both) == (12, 4, 6, 2)
    assert (row.precision, row.recall) == (2 / 6, 2 / 4)
    assert row.precision_low < 2 / 6 < row.precision_high
    assert np.isnan(row.recall_low)  # 4 patients
    none = breakdown.abstention(table.assign(abstained=False))
    assert none["precision"].isna().all() and none["recall"].tolist() == [0]


@pytest.mark.parametrize("function", [breakdown.count_outcomes, breakdown.abstention])
def test_without_an_answer_key_there_are_no_rows_but_columns(function):
    table = function(answered(correct=True))
    assert table.empty and "system" in table
