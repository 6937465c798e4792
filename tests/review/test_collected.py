"""Journals and key give the ratings that raters meant."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from medalign_utils.errors import MedAlignError
from medalign_utils.evaluation.ratings import check_ratings, rate_by_each
from medalign_utils.review.collected import collect, judgements_of, ratings_of
from medalign_utils.review.folder import read_items, read_key
from medalign_utils.review.journal import Journal
from medalign_utils.review.plan import make_plan, write_plan
from medalign_utils.run import Run
from medalign_utils.synthetic import write_release
from tests.builders.review_run import make_run, response, write_responses

pytestmark = pytest.mark.usefixtures("project")


def enter(folder, rater, name, verdicts, rank, done=True):
    """Judge an item as a page would, and say that it is done."""
    journal = Journal(folder, rater)
    journal.append({"item": name, "action": "open"})
    for letter, verdict in verdicts.items():
        act = {"item": name, "action": "verdict", "response": letter, "value": verdict}
        journal.append(act)
    journal.append({"item": name, "action": "rank", "value": rank})
    if done:
        journal.append({"item": name, "action": "done"})


def first_item(folder, rater, n_letters=3):
    items = [i for i in read_items(folder, rater) if i["kind"] == "judge"]
    return next(item for item in items if len(item["responses"]) == n_letters)


def by_system(table, name, column):
    return table[table["item"] == name].set_index("system")[column].to_dict()


def test_ratings_have_the_systems_names_and_shared_ranks():
    run = make_run()
    folder = write_plan(make_plan(run, 1))
    name = first_item(folder, "R1")["item"]
    enter(
        folder, "R1", name, {"A": "correct", "B": "incorrect", "C": "correct"}, [["B"], ["A", "C"]]
    )
    systems = {s: letter for letter, [s] in read_key(folder)["R1"][name].items()}
    with pytest.warns(UserWarning, match="1 of 36 items of the review are done"):
        ratings = ratings_of(run)
    check_ratings(ratings)
    for row in ratings.itertuples():
        assert row.rater == "R1" and row.correct == (systems[row.system] != "B")
        assert row.rank == {"A": 2.5, "B": 1, "C": 2.5}[systems[row.system]]


def test_an_item_that_is_not_done_or_lacks_a_verdict_has_no_rating():
    run = make_run()
    folder = write_plan(make_plan(run, 1))
    first, second = [item["item"] for item in read_items(folder, "R1")[:2]]
    enter(folder, "R1", first, dict.fromkeys("ABC", "correct"), [["A", "B", "C"]], done=False)
    enter(folder, "R1", second, dict.fromkeys("AB", "correct"), [["A", "B", "C"]])
    assert collect(run).n_done == 0
    with pytest.raises(MedAlignError, match="no rating yet"):
        ratings_of(run)


def test_training_and_repeats_are_no_ratings():
    run = make_run()
    folder = write_plan(make_plan(run, 1, repeats=3))
    for item in read_items(folder, "R1"):
        value = "incorrect" if item["kind"] == "repeat" else "correct"
        enter(folder, "R1", item["item"], dict.fromkeys("ABC", value), [["A", "B", "C"]])
    collected = collect(run)
    assert len(collected.ratings) == 36 * 3 and collected.ratings["correct"].all()
    assert collected.notes() == []
    kinds = judgements_of(run).groupby("kind")["correct"].mean()
    assert kinds.to_dict() == {"judge": 1, "repeat": 0}


def test_what_cannot_be_judged_is_left_out_and_counted():
    run = make_run()
    folder = write_plan(make_plan(run, 1))
    name = first_item(folder, "R1")["item"]
    enter(folder, "R1", name, {"A": "unsure", "B": "correct", "C": "incorrect"}, [["B"], ["C"]])
    collected = collect(run)
    assert len(collected.ratings) == 2 and collected.n_unsure == 1
    assert "1 responses that raters could not judge have no rating" in collected.notes()


def test_a_shared_text_counts_for_both_and_a_failed_response_ranks_last():
    run = make_run()
    rows = [response("0-0", "brief", "plain answers 0-0."), response("0-1", "brief", "")]
    rows[1] |= {"failure": "refused", "finish_reason": "failed"}
    write_responses("mine", "brief", rows)
    folder = write_plan(make_plan(run, 1))
    names = {i["instruction_id"]: i["item"] for i in read_items(folder, "R1")[::-1]}
    key = read_key(folder)["R1"]
    shared = {len(systems): letter for letter, systems in key[names["0-0"]].items()}
    other, both = shared[1], shared[2]
    enter(folder, "R1", names["0-0"], {both: "correct", other: "incorrect"}, [[both], [other]])
    enter(folder, "R1", names["0-1"], dict.fromkeys("AB", "correct"), [["A", "B"]])
    table = judgements_of(run)
    assert by_system(table, names["0-0"], "rank") == {"plain": 1.5, "brief": 1.5, "careful": 3}
    assert by_system(table, names["0-1"], "rank") == {"plain": 1.5, "careful": 1.5, "brief": 3}
    assert by_system(table, names["0-1"], "correct")["brief"] == False  # noqa: E712
    assert len(collect(run).ratings) == 6


def test_ratings_of_texts_that_have_changed_since_are_left_out():
    run = make_run()
    folder = write_plan(make_plan(run, 1))
    item = first_item(folder, "R1")
    enter(folder, "R1", item["item"], dict.fromkeys("ABC", "correct"), [["A", "B", "C"]])
    write_responses("mine", "plain", [response(item["instruction_id"], "plain", "Another text.")])
    collected = collect(run)
    assert len(collected.ratings) == 2 and collected.n_changed == 1


def test_two_raters_of_one_instruction_both_count():
    run = make_run()
    folder = write_plan(make_plan(run, 3, overlap=36))
    for rater in ("R1", "R2", "R3"):
        for item in read_items(folder, rater):
            enter(folder, rater, item["item"], dict.fromkeys("ABC", "correct"), [["A"], ["B", "C"]])
    ratings = ratings_of(run)
    assert ratings.groupby(["instruction_id", "system"])["rater"].nunique().eq(3).all()


def test_the_answer_keys_verdicts_entered_by_letters_are_its_ratings_again():
    write_release(Path("data/new"), patients=4, instructions=20)
    run = Run("mine", "data/new", systems=("first", "second", "third"))
    references = run.release.references.set_index("instruction_id")["reference"]
    wrong = references.iloc[::-1].tolist()
    for n, system in enumerate(run.systems):
        rows = [
            response(i, system, text if k % 3 >= n else wrong[k])
            for k, (i, text) in enumerate(references.items())
        ]
        write_responses("mine", system, rows)
    given = rate_by_each(run)
    assert 0 < given["correct"].mean() < 1
    folder = write_plan(make_plan(run, 2, overlap=0))
    key = read_key(folder)
    rated = given.set_index(["instruction_id", "system"])
    for rater in ("R1", "R2"):
        for item in read_items(folder, rater):
            systems = key[rater][item["item"]]
            rows = {
                x: rated.loc[(item["instruction_id"], systems[x][0])] for x in item["responses"]
            }
            verdicts = {x: "correct" if row["correct"] else "incorrect" for x, row in rows.items()}
            ranks = sorted({row["rank"] for row in rows.values()})
            rank = [[x for x, row in rows.items() if row["rank"] == r] for r in ranks]
            enter(folder, rater, item["item"], verdicts, rank)
            if item["kind"] == "training":
                correct = {x: row["correct"] for x, row in rows.items()}
                assert {x: f["correct"] for x, f in item["feedback"].items()} == correct
    order = ["instruction_id", "system"]
    columns = [*order, "correct", "rank"]
    collected, expected = (t.sort_values(order)[columns] for t in (ratings_of(run), given))
    pd.testing.assert_frame_equal(*(t.reset_index(drop=True) for t in (collected, expected)))
    assert np.isfinite(collected["rank"]).all()
