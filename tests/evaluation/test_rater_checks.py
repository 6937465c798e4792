"""What a review's raters are checked for."""

import numpy as np
import pytest

from medalign_utils.data.disclosure import is_personal, unknown_text
from medalign_utils.evaluation import rater_checks
from medalign_utils.evaluation.rater_checks import COLUMNS, agreement_by_category, check_raters
from medalign_utils.review.collected import judgements_of
from medalign_utils.review.folder import read_items
from medalign_utils.review.journal import Journal
from medalign_utils.review.plan import make_plan, write_plan
from tests.builders.review_run import make_run, response, write_responses

VERDICTS = "incorrect", "correct"


@pytest.fixture(autouse=True)
def in_project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "Snakefile").touch()


def judge(folder, rater, choose):
    """Judge all items; `choose` gives whether a response is correct, from item, text and number."""
    journal = Journal(folder, rater)
    for n, item in enumerate(read_items(folder, rater)):
        name, letters = item["item"], sorted(item["responses"])
        for letter in letters:
            value = VERDICTS[choose(item, item["responses"][letter], n)]
            act = {"item": name, "action": "verdict", "response": letter, "value": value}
            journal.append(act)
        journal.append({"item": name, "action": "rank", "value": [[x] for x in letters]})
        journal.append({"item": name, "action": "done"})


def is_careful(item, text, n):
    return text.startswith("careful") or hash_of(text) % 2 == 0


def hash_of(text):
    return sum(map(ord, text))


def test_raters_who_give_one_verdict_or_drift_are_remarked_on_and_kept():
    run = make_run(ratings="collected")
    folder = write_plan(make_plan(run, 3, overlap=9, training=0, repeats=2))
    judge(folder, "R1", lambda item, text, n: True)
    half = len(read_items(folder, "R2")) // 2
    judge(folder, "R2", lambda item, text, n: n < half)
    judge(folder, "R3", is_careful)
    table = check_raters(run).set_index("rater_code")
    assert "one verdict for all responses" in table.loc["R1", "remark"]
    assert table.loc["R1", "correct"] == 1 and table.loc["R1", "self_agreement"] == 1
    assert "the two halves differ" in table.loc["R2", "remark"]
    assert table.loc["R2", "first_half"] > 0.9 > 0.1 > table.loc["R2", "second_half"]
    assert "halves" not in table.loc["R3", "remark"]
    assert table.loc["R3", "self_agreement"] == 1 and table.loc["R3", "n_repeated"] == 6
    assert list(table["n_shared"]) == [2 * 9 * 3] * 3 + [3 * 9 * 3]  # the last row is of all
    assert (table["n_items"] > 0).all()
    assert table["agreement"].between(table["agreement_low"], table["agreement_high"]).all()
    assert table.loc["R1", "agreement_first_half"] != table.loc["R1", "agreement_second_half"]


def test_verdicts_that_follow_the_order_of_responses_are_remarked_on():
    run = make_run(ratings="collected")
    folder = write_plan(make_plan(run, 3, overlap=9, training=0, repeats=0))
    for rater in ("R1", "R2", "R3"):
        judge(folder, rater, lambda item, text, n: text == item["responses"]["A"])
    table = check_raters(run).set_index("rater_code")
    assert (table["last_letters"] == 0).all() and (table["first_letters"] == 0.5).all()
    assert table["remark"].str.contains("first and last letters differ").all()


def test_an_item_far_quicker_than_the_raters_usual_one_is_hasty(monkeypatch):
    run = make_run(ratings="collected")
    folder = write_plan(make_plan(run, 2, overlap=0, training=0, repeats=0))
    for rater in ("R1", "R2"):
        judge(folder, rater, is_careful)
    table = judgements_of(run)
    # R2 is slow, but for one item, which takes as long as R1's.
    place = table.groupby("rater")["position"].transform("min")
    quick = table["rater"].eq("R1") | table["position"].eq(place)
    table["seconds"] = np.where(quick, 30.0, 600.0)
    monkeypatch.setattr(rater_checks, "judgements_of", lambda run: table)
    hasty = check_raters(run).set_index("rater_code")["hasty_items"]
    assert hasty.to_dict() == {"R1": hasty["R1"], "R2": 1, "all raters": hasty["R1"] + 1}


def test_a_text_of_two_systems_is_one_verdict():
    run = make_run(ratings="collected")
    for system in ("plain", "careful"):
        ids = run.release.references["instruction_id"]
        write_responses("mine", system, [response(i, system, f"Both: {i}.") for i in ids])
    folder = write_plan(make_plan(run, 2, overlap=0, training=0, repeats=0))
    judge(folder, "R1", is_careful)
    [row] = check_raters(run).to_dict("records")
    assert row["n_responses"] == 2 * row["n_items"]


def test_a_report_may_show_the_table_of_raters():
    assert not [column for column in COLUMNS if is_personal(column)]
    run = make_run(ratings="collected")
    folder = write_plan(make_plan(run, 2, overlap=0, training=0, repeats=0))
    judge(folder, "R1", lambda item, text, n: True)
    assert unknown_text(check_raters(run)) == []


def test_agreement_is_shown_by_category():
    run = make_run(ratings="collected")
    folder = write_plan(make_plan(run, 3, overlap=12, training=0, repeats=0))
    for rater in ("R1", "R2", "R3"):
        judge(folder, rater, is_careful)
    table = agreement_by_category(run)
    kappa = table[table["of"] == "correct"].set_index("category")["estimate"]
    assert len(kappa) == 2 and np.allclose(kappa, 1)


def test_without_a_review_there_is_nothing_to_check():
    run = make_run()
    assert check_raters(run).empty and agreement_by_category(run).empty
