"""A plan: whole patients, hidden letters, and nobody's work overwritten."""

import dataclasses
import json
import stat
from collections import Counter

import pytest
import yaml

from medalign_utils import paths
from medalign_utils.__main__ import main
from medalign_utils.errors import MedAlignError
from medalign_utils.review.candidates import read_weights
from medalign_utils.review.folder import (
    read_items,
    read_key,
    read_plan,
    read_secrets,
    review_folder,
)
from medalign_utils.review.journal import Journal
from medalign_utils.review.plan import make_plan, write_plan
from medalign_utils.run import Run
from tests.builders.review_run import SYSTEMS, make_run, response, write_responses

pytestmark = pytest.mark.usefixtures("project")


def judged(plan, rater):
    return [item for item in plan.items[rater] if item["kind"] == "judge"]


def test_the_same_seed_gives_the_same_plan_and_another_other_letters():
    run = make_run()
    first, again, other = make_plan(run), make_plan(run), make_plan(run, seed=2)
    assert (first.items, first.key) == (again.items, again.key)
    assert first.key != other.key


def test_each_instruction_is_judged_and_the_overlap_by_three():
    run = make_run()
    plan = make_plan(run, 4, overlap=6)
    counts = Counter(item["instruction_id"] for r in plan.items for item in judged(plan, r))
    assert len(counts) == plan.plan["n_instructions"] == 36
    assert Counter(counts.values()) == {1: 30, 3: 6}
    assert plan.plan["n_overlap"] == 6


def test_a_patient_is_read_once_and_by_one_rater():
    plan = make_plan(make_run(), 4, overlap=0)
    owners = {}
    for rater in plan.items:
        patients = [item["person_id"] for item in judged(plan, rater)]
        changes = [a for a, b in zip(patients, [*patients[1:], None], strict=True) if a != b]
        assert len(changes) == len(set(changes))
        assert all(owners.setdefault(patient, rater) == rater for patient in patients)


def test_letters_are_shuffled_per_rater_and_instruction():
    plan = make_plan(make_run(), 3)
    orders = Counter(
        tuple(systems[letter][0] for letter in "ABC")
        for rater in plan.key.values()
        for systems in rater.values()
    )
    assert len(orders) == 6 and max(orders.values()) < sum(orders.values()) / 2
    items = {item["item"]: item for rater in plan.items.values() for item in rater}
    for key in plan.key.values():
        for name, systems in key.items():
            for letter, [system] in systems.items():
                text = items[name]["responses"][letter]
                assert text == f"{system} answers {items[name]['instruction_id']}."


def test_letters_do_not_depend_on_the_order_of_systems_which_a_rater_may_know():
    run = make_run()
    other = dataclasses.replace(run, systems=SYSTEMS[::-1])
    assert make_plan(run).items == make_plan(other).items


def test_files_are_private_and_items_and_plan_name_no_system():
    run = make_run()
    folder = write_plan(make_plan(run))
    assert folder == review_folder("mine")
    for path in (folder.parent, *folder.parent.rglob("*")):
        assert not stat.S_IMODE(path.stat().st_mode) & 0o077
    public = read_plan(folder)
    assert public["raters"] == ["R1", "R2", "R3"] and public["release"] == "data/small"
    texts = [json.dumps(public)]
    for rater in public["raters"]:
        for item in read_items(folder, rater):
            assert item.pop("responses")
            texts.append(json.dumps(item))
    assert not any(system in text for system in SYSTEMS for text in texts)
    secrets = read_secrets(folder)
    assert len(set(secrets.values())) == 3 and all(len(s) >= 43 for s in secrets.values())
    assert read_key(folder).keys() == secrets.keys()


def test_a_plan_that_somebody_began_is_not_overwritten():
    run = make_run()
    folder = write_plan(make_plan(run))
    assert read_secrets(write_plan(make_plan(run, 2))).keys() == {"R1", "R2"}
    assert not (folder / "raters" / "R3").exists()
    Journal(folder, "R2").append({"item": "R2-001", "action": "open"})
    with pytest.raises(MedAlignError, match=r"R2 has begun.*mv reviews/mine reviews/mine-before"):
        write_plan(make_plan(run, 2))
    assert Journal(folder, "R2").lines


def test_a_text_of_two_systems_is_shown_once_and_counts_for_both():
    run = make_run()
    write_responses("mine", "brief", [response("0-0", "brief", "plain answers 0-0.")])
    plan = make_plan(run)
    [(rater, item)] = [(r, i) for r in plan.items for i in judged(plan, r)
                       if i["instruction_id"] == "0-0"][:1]  # fmt: skip
    assert sorted(item["responses"]) == ["A", "B"]
    systems = plan.key[rater][item["item"]].values()
    assert sorted(map(sorted, systems)) == [["brief", "plain"], ["careful"]]
    assert any("1 of 73 responses repeat" in note for note in plan.notes)
    assert any(note.startswith("brief has no response to 35 of 36") for note in plan.notes)


def test_a_failed_response_is_not_shown_and_an_empty_one_is():
    run = make_run()
    rows = [response(f"{p}-{i}", "brief", f"{p} {i}") for p in range(12) for i in range(3)]
    rows[0] |= {"response": "", "failure": "refused", "finish_reason": "failed"}
    rows[1] |= {"response": ""}
    write_responses("mine", "brief", rows)
    plan = make_plan(run, 1)
    items = {item["instruction_id"]: item for item in judged(plan, "R1")}
    assert len(items["0-0"]["responses"]) == 2
    assert plan.key["R1"][items["0-0"]["item"]][""] == ["brief"]
    assert "" in items["0-1"]["responses"].values() and len(items["0-1"]["responses"]) == 3
    assert [note[:24] for note in plan.notes[:2]] == [
        "brief failed to answer 1",
        "brief gave an empty resp",
    ]


def test_repeats_come_later_with_their_own_shuffle_and_look_like_others():
    plan = make_plan(make_run(), 1, repeats=8)
    items = plan.items["R1"]
    names = [item["item"] for item in items]
    assert names == [f"R1-{n:03d}" for n in range(1, 45)]
    repeats = [item for item in items if item["kind"] == "repeat"]
    assert len(repeats) == 8
    shuffled = 0
    for repeat in repeats:
        [first] = [i for i in judged(plan, "R1") if i["instruction_id"] == repeat["instruction_id"]]
        assert names.index(first["item"]) < len(names) / 2 < names.index(repeat["item"])
        assert sorted(first["responses"].values()) == sorted(repeat["responses"].values())
        shuffled += first["responses"] != repeat["responses"]
    assert shuffled


def test_a_run_without_responses_names_the_command_that_gives_them():
    run = make_run()
    paths.responses("mine", "brief").unlink()
    with pytest.raises(MedAlignError, match=r"brief.jsonl; `make reproduce EXPERIMENT=params/mine"):
        make_plan(run)


def test_more_raters_than_patients_are_refused():
    with pytest.raises(MedAlignError, match="plan at most 2 raters"):
        make_plan(make_run(2, 3), 4, overlap=0)


def test_per_rater_limits_the_work_and_draws_by_category():
    plan = make_plan(make_run(), 3, per_rater=8, overlap=2)
    assert plan.plan["n_instructions"] == 3 * 8 - 2 * 2
    assert plan.table["instructions"].between(6, 10).all()
    assert "20 of 36 instructions are judged, whole patients at random" in plan.notes
    assert any("Summarize 13 of 24, Care Planning 7 of 12" in note for note in plan.notes)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"per_rater": 2, "overlap": 5}, "an overlap of 5 takes 15 of them"),
        ({"raters": 0}, "at least one rater"),
        ({"overlap": -1}, "no negative numbers"),
        ({"n": 0}, "no instructions; leave the number out"),
        ({"mode": "juge"}, "mode 'juge', expected one of judge"),
        ({"reference": "later"}, "expected one of after, before, never"),
        ({"width": 2}, "expected between 0 and 1"),
        ({"weights": {}}, "has a weight above 0"),
    ],
)
def test_arguments_out_of_range_are_refused(options, message):
    with pytest.raises(MedAlignError, match=message):
        make_plan(make_run(), **options)


def test_the_default_overlap_is_a_fifth_and_one_rater_has_none():
    run = make_run()
    assert make_plan(run, 3).plan["n_overlap"] == 7
    alone = make_plan(run, 1)
    assert alone.plan["n_overlap"] == 0 and alone.plan["raters_per_overlap"] == 1
    assert any(note.startswith("one rater") for note in alone.notes)


def test_a_wanted_width_sets_the_number():
    plan = make_plan(make_run(30, 3), 3, width=0.4)
    assert plan.plan["n_instructions"] == plan.enough.n < 90


def test_weights_say_what_is_drawn():
    run = make_run()
    weights = {f"{p}-{i}": 100 if p == 3 else 1 for p in range(8) for i in range(2)}
    plan = make_plan(run, 1, n=4, weights=weights)
    drawn = {item["instruction_id"] for item in judged(plan, "R1")}
    assert {"3-0", "3-1"} <= drawn <= set(weights)
    assert "20 of 36 instructions have no weight and are left out" in plan.notes


def test_a_reference_is_written_without_responses_and_without_seeing_anothers():
    plan = make_plan(make_run(), 2, mode="reference")
    assert plan.notes == ["every instruction has a reference; raters write another one"]
    for items in plan.items.values():
        assert {item["kind"] for item in items} == {"judge"}
        assert not any(item["responses"] or item["reference"] for item in items)


def test_submissions_need_no_items():
    folder = write_plan(make_plan(make_run(), 2, mode="submit"))
    assert read_items(folder, "R2") == []


def test_never_shows_no_reference():
    items = make_plan(make_run(), reference="never").items["R1"]
    assert not any(item["reference"] or item["evidence"] for item in items)


def test_a_restricted_releases_own_responses_are_planned():
    make_run()
    rows = [
        f"{p}-{i}\t{system}\t1\t1\t{system} says {p}-{i}\n"
        for p in range(5) for i in range(2) for system in ("gpt", "vicuna")
    ]  # fmt: skip
    header = "instruction_id\tmodel_name\tbinary_correct\trank\tmodel_response\n"
    columns = {"system": "model_name", "response": "model_response", "rank": "rank"}
    table = paths.resolve("data/small/clinician-reviewed-model-responses.tsv")
    table.write_text(header + "".join(rows), encoding="utf-8")
    run = Run("mine", "data/small", ("gpt", "vicuna"), "released", columns=columns)
    assert run.is_restricted
    plan = make_plan(run, 2)
    assert plan.plan["n_instructions"] == 10 and plan.plan["columns"] == columns
    assert "gpt" not in str(plan.plan)
    assert any(note.startswith("no training items, because the release") for note in plan.notes)


def test_commands_plan_and_say_how_far_raters_are(capsys):
    make_run()
    demo = yaml.safe_load(paths.resolve("params/demo.yaml").read_text("utf-8"))
    mine = {key: value for key, value in demo.items() if not key.startswith("synthetic")}
    mine |= {"release": "data/small", "systems": ["bm25-2k"]}
    paths.resolve("params/mine.yaml").write_text(yaml.safe_dump(mine), encoding="utf-8")
    rows = [response(f"{p}-{i}", "bm25-2k", f"{p} {i}") for p in range(12) for i in range(3)]
    write_responses("mine", "bm25-2k", rows)
    plan = ["review", "plan", "params/mine.yaml", "--raters"]
    weights = paths.resolve("weights.csv")
    weights.write_text("instruction_id,weight\n0-0,1\n1-0,2\n2-1,1.5\n", encoding="utf-8")
    assert main([*plan, "2", "--weights", "weights.csv", "--width", "0.9", "--overlap", "0"]) == 0
    out = capsys.readouterr().out
    assert "Mean width of the 95 % interval" in out and "reviews/mine: written" in out
    folder = review_folder("mine")
    journal = Journal(folder, "R1")
    name = read_items(folder, "R1")[0]["item"]
    for action in ("open", "done"):
        if action == "done":
            verdict = {"item": name, "action": "verdict", "response": "A", "value": "correct"}
            journal.append(verdict)
        journal.append({"item": name, "action": action})
    journal.append({"item": name, "action": "flag", "value": "which?"})
    assert main(["review", "status", "params/mine.yaml"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split()[0] == "R1" and lines[1].split()[2] == "1" == lines[1].split()[4]
    assert main([*plan, "2"]) == 2
    assert "R1 has begun" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("instruction_id,w\n0-0,1\n", "no column weight"),
        ("instruction_id,weight\n0-0,1\n0-0,2\n", "row 2: instruction 0-0 occurs twice"),
        ("instruction_id,weight\nx,1\n", "row 1: instruction x is not in the release"),
        ("instruction_id,weight\n0-0,-1\n", "not a number from 0"),
        ("instruction_id,weight\n0-0,inf\n", "not a number from 0"),
        ("", "not a table"),
    ],
)
def test_a_fault_in_the_weights_is_named(content, message):
    release = make_run().release
    file = paths.resolve("weights.csv")
    file.write_text(content, encoding="utf-8")
    with pytest.raises(MedAlignError, match=message):
        read_weights(file, release)
