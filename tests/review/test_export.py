"""A review leaves as the release's own table, and disagreements get another pass."""

import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from medalign_utils.curation.validation import check_release
from medalign_utils.data.reviews import load_reviews
from medalign_utils.errors import MedAlignError, TermsError
from medalign_utils.evaluation.ratings import rate, rate_by_each
from medalign_utils.review.adjudication import add_adjudication, disagreements
from medalign_utils.review.collected import judgements_of, ratings_of
from medalign_utils.review.export import export_review, reviewed_responses
from medalign_utils.review.folder import read_items, read_key, read_secrets, review_folder
from medalign_utils.review.journal import Journal
from medalign_utils.review.plan import make_plan, write_plan
from medalign_utils.run import Run
from tests.builders.review_run import enter, make_run, response, write_responses

SYSTEMS = ("plain", "careful", "brief")
KEY = ["instruction_id", "system", "rater"]


@pytest.fixture(autouse=True)
def in_project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "Snakefile").touch()


def all_ratings(run):
    ids = run.release.references["instruction_id"]
    rows = [(i, s, (n + k) % 2 == 0) for n, i in enumerate(ids) for k, s in enumerate(SYSTEMS)]
    table = pd.DataFrame(rows, columns=["instruction_id", "system", "correct"])
    return table.assign(rank=table.groupby("instruction_id").cumcount() + 1.0)


def judged_run(**options):
    """Return a run whose review of three raters is done, and the review's folder."""
    run = make_run(ratings="collected")
    folder = write_plan(make_plan(run, 3, **({"overlap": 9, "training": 0} | options)))
    enter(folder, all_ratings(run))
    return run, folder


def test_the_exported_table_passes_check_and_gives_the_same_ratings():
    run, _ = judged_run()
    exported = export_review(run)
    tsv = next(file for file in exported.files if file.suffix == ".tsv")
    release = Path("data/reviewed")
    shutil.copytree("data/small", release)
    shutil.copy(tsv, release)
    before, after = (check_release(folder) for folder in (Path("data/small"), release))
    assert [*after.problems.lines()] == [*before.problems.lines()]
    released = Run("other", release, SYSTEMS, source="released")
    for of in (rate_by_each, rate):
        found, expected = (of(r).sort_values(KEY, ignore_index=True) for r in (released, run))
        pd.testing.assert_frame_equal(found, expected, check_dtype=False)
    texts = released.responses("plain").set_index("instruction_id")["response"]
    assert texts["0-0"] == run.responses("plain").set_index("instruction_id")["response"]["0-0"]


def test_json_and_a_workbook_have_the_same_rows_for_their_owner_only():
    run, folder = judged_run()
    files = {file.suffix: file for file in export_review(run).files}
    assert set(files) == {".tsv", ".json", ".xlsx"}
    assert all(file.stat().st_mode & 0o077 == 0 for file in files.values())
    table = reviewed_responses(run)
    assert len(pd.read_json(files[".json"])) == len(table)
    sheets = pd.read_excel(files[".xlsx"], sheet_name=None)
    assert len(sheets["ratings"]) == len(table) and "harm" in sheets["judgements"]
    plan = sheets["plan"].set_index("name")["value"]
    assert plan["mode"] == "judge" and plan["raters"] == "R1; R2; R3"
    with pytest.raises(MedAlignError, match=r"ends in \.tsv, \.json, \.xlsx"):
        export_review(run, Path("ratings.csv"))
    with pytest.raises(MedAlignError, match="nothing to export"):
        export_review(make_unbegun(folder))


def make_unbegun(folder):
    for journal in folder.glob("raters/*/journal.jsonl"):
        journal.unlink()
    return make_run(ratings="collected")


def test_a_workbook_computes_no_cell_of_a_rater():
    run, folder = judged_run()
    item = read_items(folder, "R1")[0]["item"]
    act = {"item": item, "action": "comment", "response": "A", "value": "=1+1\x01"}
    Journal(folder, "R1").append(act)
    file = Path("out.xlsx")
    export_review(run, file)
    comments = pd.read_excel(file, sheet_name="judgements")["comment"].dropna()
    assert comments.tolist() == ["'=1+1 "]


def test_a_response_with_carriage_returns_tabs_or_lone_quotes_stays_one_row():
    texts = ["a\rb", "a\r\nb", "a\tb", '"lone', 'an "odd" one', "a\u2028b", "=1+1", "\\"]
    run = make_run(ratings="collected")
    ids = run.release.references["instruction_id"]
    given = {i: texts[n % len(texts)] for n, i in enumerate(ids)}
    write_responses("mine", "plain", [response(i, "plain", text) for i, text in given.items()])
    run = make_again()
    enter(write_plan(make_plan(run, 3, overlap=9, training=0)), all_ratings(run))
    export_review(run, Path("data/reviewed.tsv"))
    found = load_reviews("data/reviewed.tsv")
    responses = found.responses[found.responses["system"] == "plain"]
    assert dict(zip(responses["instruction_id"], responses["response"], strict=True)) == given
    assert len(found.ratings) == len(ratings_of(run))


def make_again():
    """Return the run of `make_run` without writing its responses again."""
    return Run("mine", "data/small", SYSTEMS, ratings="collected")


def test_a_restricted_table_is_refused_where_git_would_track_it():
    run, _ = judged_run()
    subprocess.run(["git", "init", "-q"], check=True)
    with pytest.raises(TermsError, match="git would track"):
        export_review(run, Path("ratings.tsv"))
    assert not Path("ratings.tsv").exists()


def test_what_is_unfinished_unsure_or_hidden_is_counted_and_not_exported():
    run, folder = judged_run(repeats=1)
    item = read_items(folder, "R1")[0]["item"]
    change_verdict(folder, "R1", item, "A", "unsure")
    last = [i["item"] for i in read_items(folder, "R3") if i["kind"] == "judge"][-1]
    Journal(folder, "R3").append({"item": last, "action": "reopen"})
    exported = export_review(run)
    n_items = judgements_of(run).query("kind == 'judge'").drop_duplicates("item").shape[0]
    notes = " ".join(exported.notes)
    assert f"{n_items - 1} of {n_items} items of the review are done." in notes
    assert "1 responses that raters could not judge have no rating." in notes
    assert "3 items are no ratings: repeat" in notes
    assert set(exported.files.values()) == {(n_items - 1) * len(SYSTEMS) - 1}


def change_verdict(folder, rater, name, letter, value):
    journal = Journal(folder, rater)
    journal.append({"item": name, "action": "verdict", "response": letter, "value": value})


def disagree(folder):
    """Let R2 contradict the others about one response; return the instruction."""
    shared = [
        item
        for item in read_items(folder, "R2")
        if item["kind"] == "judge"
        and any(
            other["instruction_id"] == item["instruction_id"] for other in read_items(folder, "R1")
        )
    ]
    item = shared[0]
    journal = Journal(folder, "R2")
    now = [line for line in journal.lines if line["item"] == item["item"]]
    was = next(x["value"] for x in now if x["action"] == "verdict" and x["response"] == "A")
    other = {"correct": "incorrect", "incorrect": "correct"}[was]
    change_verdict(folder, "R2", item["item"], "A", other)
    return item["instruction_id"]


def test_disagreements_are_adjudicated_without_touching_the_first_verdicts():
    run, folder = judged_run(repeats=0)
    assert add_adjudication(run) == 0 and disagreements(run).empty
    instruction_id = disagree(folder)
    first = ratings_of(run)
    files = {file: file.read_bytes() for file in folder.glob("raters/*/*")}
    assert add_adjudication(run) == 1
    assert all(file.read_bytes() == content for file, content in files.items())
    assert set(read_secrets(folder)) == {"R1", "R2", "R3", "A1"}
    [item] = read_items(folder, "A1")
    assert item["instruction_id"] == instruction_id and item["kind"] == "adjudicate"
    assert not any(s in str(item["item"]) + str(item["kind"]) for s in SYSTEMS)
    assert add_adjudication(run) == 0  # it is asked already
    final = all_ratings(run)
    final["correct"] = ~final["correct"]
    for journal in folder.glob("raters/R*/journal.jsonl"):
        assert journal.is_file()
    enter_only(folder, "A1", final)
    pd.testing.assert_frame_equal(ratings_of(run), first)
    combined = Run("mine", "data/small", SYSTEMS, ratings="collected", combine="adjudicated")
    by_response = rate(combined).set_index(["instruction_id", "system"])["correct"]
    expected = final.set_index(["instruction_id", "system"])["correct"]
    for name in SYSTEMS:
        assert by_response[instruction_id, name] == expected[instruction_id, name]
    assert judgements_of(run)["round"].max() == 2
    assert review_folder("mine") == folder


def enter_only(folder, rater, ratings):
    by_response = ratings.set_index(["instruction_id", "system"])["correct"]
    journal, key = Journal(folder, rater), read_key(folder)[rater]
    for item in read_items(folder, rater):
        for letter, systems in key[item["item"]].items():
            is_correct = by_response[item["instruction_id"], systems[0]]
            value = "correct" if is_correct else "incorrect"
            act = {"item": item["item"], "action": "verdict", "response": letter, "value": value}
            journal.append(act)
        journal.append({"item": item["item"], "action": "rank", "value": [[*item["responses"]]]})
        journal.append({"item": item["item"], "action": "done"})


def test_later_disagreements_get_another_round_while_raters_pages_are_open():
    run, folder = judged_run(repeats=0)
    page = Journal(folder, "R3")  # open since before
    disagree(folder)
    assert add_adjudication(run) == 1
    links, [first] = read_secrets(folder), read_items(folder, "A1")
    enter_only(folder, "A1", all_ratings(run))
    own = [item for item in read_items(folder, "R3") if item["kind"] == "judge"]
    for item in own[-2:]:
        page.append({"item": item["item"], "action": "flag", "value": "discuss"})
        assert add_adjudication(run, "A2" if item is own[-2] else "A1") == 1
    assert read_secrets(folder).items() >= links.items() and "A2" in read_secrets(folder)
    assert read_items(folder, "A1")[0] == first and len(read_items(folder, "A1")) == 2
    adjudicated = judgements_of(run).query("kind == 'adjudicate'").drop_duplicates("item")
    assert dict(zip(adjudicated["item"], adjudicated["round"], strict=True)) == {
        "A1-001": 2,
        "A2-001": 3,
        "A1-002": 4,
    }
    assert adjudicated.set_index("item").loc["A1-001", "done"]


def test_submitted_instructions_are_not_adjudicated():
    run = make_run()
    write_plan(make_plan(run, 2, mode="submit"))
    with pytest.raises(MedAlignError, match="judge no responses"):
        add_adjudication(run)


def test_a_rater_of_the_review_cannot_adjudicate():
    run, _ = judged_run()
    with pytest.raises(MedAlignError, match="judges in this review"):
        add_adjudication(run, "R1")
