"""The paper's curation as one circle: submit, match, write references, evaluate on them."""

import json
import shutil

import pytest

from medalign_utils.__main__ import main
from medalign_utils.curation.deduplicate_and_match import (
    assess_thresholds,
    drop_near_duplicates,
    rank_patients,
)
from medalign_utils.curation.evidence import locate_evidence
from medalign_utils.curation.from_review import export_curation, release_folder
from medalign_utils.data.access import table_files
from medalign_utils.data.release import load_release, load_submitted
from medalign_utils.errors import MedAlignError
from medalign_utils.review.folder import read_items, review_folder
from medalign_utils.review.journal import Journal
from medalign_utils.review.plan import make_plan, write_plan
from medalign_utils.review_app.reference import ReferencePage
from medalign_utils.run import Run
from tests.builders.explorer_release import PATIENT, write_release
from tests.builders.jupyterlab import ROOT

ASKED = {  # rater: instructions
    "R1": ["What was the last creatinine?", "Did the CT of the chest show a nodule?"],
    "R2": ["What was the last creatinine value?", "xylophone"],
}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project with EHRs, and nothing else, in the folder of its release."""
    shutil.copy(ROOT / "Snakefile", tmp_path)
    monkeypatch.chdir(tmp_path)
    release = write_release(tmp_path / "data" / "ehrs-only")
    for file in table_files(release):
        file.unlink()
    (release / "ehrs" / "43.xml").unlink()  # broken on purpose
    return tmp_path


def plan(experiment, release, mode, raters=2):
    run = Run(experiment, str(release))
    return write_plan(make_plan(run, raters, mode=mode))


def do(folder, rater, item, *actions):
    journal = Journal(folder, rater)
    for action, value in actions:
        journal.append({"item": item, "action": action, "value": value})


def submit(folder):
    for rater, texts in ASKED.items():
        for i, text in enumerate(texts):
            asked = {"specialty": "Cardiology", "instruction": text}
            do(folder, rater, f"{rater}-{i}", ("submission", asked), ("done", None))


def test_submissions_become_a_release_on_which_references_are_written(project, capsys):
    submitting = plan("asked", "data/ehrs-only", "submit")
    submit(submitting)
    draft = {"specialty": "Cardiology", "instruction": "Any"}
    do(submitting, "R1", "R1-draft", ("submission", draft))
    exported = export_curation(submitting, threshold=0.7)
    assert exported.notes == [
        "4 submitted, 1 of them near-duplicates",
        "1 drafts are left out",
        "1 share no word with any record, and have no patient",
    ]

    # Notebook 02 reads the submissions, and drops the same.
    matched = load_release(release_folder(submitting))
    submitted = load_submitted(matched)
    assert submitted["question"].tolist() == [*ASKED["R1"], *ASKED["R2"]]
    found = drop_near_duplicates(submitted["question"].tolist(), 0.7)
    kept = submitted[found["duplicate_of"].isna()]
    assert kept["instruction_id"].tolist() == matched.instructions["instruction_id"].tolist()
    assert assess_thresholds(submitted)["submitted"].eq(4).all()
    with_patient = matched.instructions.dropna(subset=["person_id"])
    assert len(with_patient) == 2
    ranks = rank_patients(matched, with_patient, ["40", "41", "42"], progress=False)
    assert ranks.tolist() == [1, 1]

    # One rater writes references for the instructions that have a patient now.
    folder = plan("written", release_folder(submitting), "reference", raters=1)
    items = read_items(folder, "R1")
    assert {item["instruction_id"] for item in items} == {*with_patient["instruction_id"]}
    page = ReferencePage("written", "R1")
    for item in items:
        page.answer({"kind": "show", "item": item["item"]})
        page.record.show(PATIENT)
        note = page.record.events.index[page.record.events["type"] == "note"][-1]
        page.record.show_event(note)
        sent = []
        page.panel.send = sent.append
        page.answer({"kind": "cite", "item": item["item"], "quote": "Home with $5", "place": None})
        evidence = sent[-1]["evidence"]
        text = ("reference", "None"), ("evidence", [evidence]), ("done", None)
        do(folder, "R1", item["item"], *text)
    assert export_curation(folder, 0.7).notes == ["2 references by raters"]

    release = load_release(release_folder(folder))
    assert release.references["reference"].tolist() == ["None.", "None."]
    assert release.references["annotator"].eq("R1").all()
    evidence = release.references["evidence"][0]
    assert evidence == "Discharge summary of 01/02/2015: Home with $5"
    assert locate_evidence(page.record.text, evidence).rows[0] == note
    capsys.readouterr()
    assert main(["check", str(release_folder(folder))]) == 0, capsys.readouterr().out
    assert release.is_restricted

    export_curation(folder, 0.7)  # again, over its own files
    assert load_release(release_folder(folder)).references.equals(release.references)


def test_references_of_the_release_stay_first_and_unanswerable_ones_are_apart(project):
    release = write_release(project / "data" / "release")
    folder = plan("more", "data/release", "reference", raters=1)
    [item] = read_items(folder, "R1")  # the only instruction without a reference
    do(folder, "R1", item["item"], ("reference", 'A "tab"\there,\r\nand a\nline'), ("done", None))
    export_curation(folder, 0.7)
    table = load_release(release_folder(folder)).references
    assert len(table) == len(load_release(release).references) + 1
    assert table["reference"].iloc[-1] == 'A "tab" here,\nand a\nline'
    do(folder, "R1", item["item"], ("unanswerable", True))
    assert export_curation(folder, 0.7).notes == [
        "0 references by raters",
        "1 times, the record has no answer",
    ]
    assert len(load_release(release_folder(folder)).references) == len(table) - 1
    file = release_folder(folder) / "instructions-without-an-answer.tsv"
    assert item["instruction_id"] in file.read_text()


def test_what_nobody_has_written_yet_is_an_error(project):
    folder = plan("asked", "data/ehrs-only", "submit")
    with pytest.raises(MedAlignError, match="no instruction is submitted yet"):
        export_curation(folder, 0.7)
    write_release(project / "data" / "release")
    folder = plan("more", "data/release", "reference", raters=1)
    with pytest.raises(MedAlignError, match="no item is done yet"):
        export_curation(folder, 0.7)


def test_a_folder_without_ehrs_cannot_be_matched(project):
    folder = plan("asked", "data/ehrs-only", "submit")
    submit(folder)
    shutil.rmtree(project / "data" / "ehrs-only" / "ehrs")
    with pytest.raises(MedAlignError, match="data/ehrs-only: no EHRs to match"):
        export_curation(folder, 0.7)


def test_only_the_owner_can_read_an_export(project):
    folder = plan("asked", "data/ehrs-only", "submit")
    submit(folder)
    for file in export_curation(folder, 0.7).files:
        assert file.stat().st_mode & 0o077 == 0
    assert json.loads((review_folder("asked") / "plan.json").read_text())["mode"] == "submit"


def test_a_review_of_responses_is_no_release(project):
    write_release(project / "data" / "release")
    folder = plan("asked", "data/release", "submit")
    file = folder / "plan.json"
    file.write_text(file.read_text().replace('"submit"', '"judge"'))
    with pytest.raises(MedAlignError, match="raters judge responses, and write no release"):
        export_curation(folder, 0.7)
