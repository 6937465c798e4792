import json
import re

import nbformat
import pytest
from papermill import execute_notebook

from medalign_utils.data.release import load_release
from medalign_utils.explorer import widget
from medalign_utils.paths import project_root
from tests.builders.explorer_release import (
    BROKEN,
    CREATININE,
    MARKUP,
    NO_NOTES,
    NOT_ASKED,
    NOTES,
    PATIENT,
    QUESTIONS,
    UNANSWERED,
    write_release,
    write_responses,
)
from tests.builders.tiny_release import encounter, eventstream, lab


@pytest.fixture
def explorer(release, tmp_path, monkeypatch):
    (tmp_path / "Snakefile").touch()
    monkeypatch.chdir(tmp_path)
    write_responses(tmp_path / "runs/mine/responses/some-system.jsonl")
    return widget.explore(release, *widget.responses_and_ratings(release, "mine"))


def types_of(explorer):
    return {box.type: box for box in explorer.types.children}


def rows_of(table):
    return table.count("<tr") - 1  # without the heading


def test_shows_no_record_before_a_patient_is_chosen(explorer):
    assert explorer.patient.value is None
    assert explorer.record.layout.display == "none"
    states = [control.get_state(drop_defaults=True) for control in with_descendants(explorer)]
    assert_no_text_of_patients(json.dumps(states, default=str))


def test_a_page_without_a_kernel_says_where_the_explorer_opens(explorer):
    saved = explorer._repr_mimebundle_()
    assert "opens here when this notebook runs in JupyterLab" in saved.pop("text/html")
    assert_no_text_of_patients(json.dumps(saved))


def test_a_restricted_release_opens_with_an_overview(explorer):
    assert explorer.start.layout.display is None
    assert "4 patients, 4 instructions: 3 with a reference, 1 with responses of" in (
        explorer.start.value.replace("\n", " ")
    )
    explorer.patient.value = PATIENT
    assert explorer.start.layout.display == "none"


def test_a_synthetic_release_opens_with_an_instruction(release, monkeypatch):
    monkeypatch.setattr(type(release), "is_restricted", False)
    explorer = widget.explore(release, release.reviews.responses)
    assert (explorer.patient.value, explorer.instruction.value) == (PATIENT, CREATININE)
    assert "gpt4-32k" in explorer.responses_shown.value
    assert explorer.record.layout.display is None


def test_an_example_is_shown_of_a_synthetic_release_alone(release, monkeypatch):
    assert "No example" in widget.show_example(release).data
    monkeypatch.setattr(type(release), "is_restricted", False)
    page = widget.show_example(release).data
    assert "Male, born 1950-02-03" in page and "What was the last creatinine?" in page
    assert "Home with $5 &amp; a friend." in page and "No system" not in page


def test_opens_a_patient(explorer):
    explorer.patient.value = PATIENT
    assert explorer.record.layout.display is None
    assert explorer.person.value.startswith("Male, born 1950-02-03 · 2 encounters, 7 events")
    assert list(types_of(explorer)) == ["measurement", "note", "person"]
    assert [box.value for box in explorer.types.children] == [True, True, False]
    assert explorer.since.value == explorer.until.value == ""
    assert "Timeline from 2014-08-10 to 2015-01-02" in explorer.timeline.value
    assert explorer.tabs.titles[:2] == ("Notes (3)", "Events (7)")
    assert "Home with $5 &amp; a friend." in explorer.note.value  # the most recent note
    assert rows_of(explorer.table.value) == 7
    assert explorer.newer.disabled and not explorer.older.disabled
    explorer.older.click()
    assert "Imaging report" in explorer.note.value and "<script" not in explorer.note.value
    assert explorer.note_status.value == "2 of 3 notes"


def test_finds_by_the_id_of_a_patient_or_an_instruction(explorer, release):
    for name in ("40.bak.xml", "._40.xml"):  # not patients
        (release.path / "ehrs" / name).write_text("x")
    assert len(explorer.patient.options) == 5
    explorer.find.value = "41"
    assert explorer.patient.value == NO_NOTES
    explorer.find.value = CREATININE
    assert (explorer.patient.value, explorer.instruction.value) == (PATIENT, CREATININE)
    explorer.find.value = ""
    assert explorer.patient.value == PATIENT and len(explorer.patient.options) == 5
    explorer.find.value = "nobody"
    assert explorer.patient.options == (("no matching ID", None),)
    assert explorer.record.layout.display == "none"


def test_searches_notes_and_events(explorer):
    explorer.patient.value = PATIENT
    explorer.search.value = '"CHEST pain"'
    assert explorer.hits.value.startswith("<b>2 hits</b> in 2 notes, and 0 coded events")
    assert [label.split("  · ")[1] for label, _ in explorer.notes.options] == ["1 hit", "1 hit"]
    assert re.search(r"<mark[^>]*>Chest pain</mark>", explorer.note.value)
    explorer.older.click()
    assert re.search(r"<mark[^>]*>chest\npain</mark>", explorer.note.value)
    explorer.search.value = "creatinine"
    assert explorer.tabs.titles[:2] == ("Notes (1 with hits)", "Events (5 with hits)")
    explorer.search.value = "<script>"
    assert explorer.hits.value.startswith("<b>1 hit</b>")
    explorer.search.value = '"<script>" OR 1.1'
    assert explorer.tabs.titles[:2] == ("Notes (1 with hits)", "Events (2 with hits)")
    explorer.search.value = "<i>xyzzy"
    assert explorer.hits.value.startswith("<b>No hits</b> for “&lt;i&gt;xyzzy”")
    assert explorer.note.value == "No notes to show."
    assert explorer.table.value == "No events to show."
    assert explorer.next_hit.disabled
    explorer.reset.click()
    assert explorer.tabs.titles[:2] == ("Notes (3)", "Events (7)")


def test_steps_from_hit_to_hit(explorer):
    explorer.patient.value = PATIENT
    explorer.search.value = "well OR nodule"
    seen = [explorer.note_status.value]
    for step in (explorer.next_hit, explorer.next_hit, explorer.previous_hit):
        step.click()
        seen.append(explorer.note_status.value)
    assert seen == [
        "1 of 2 notes, hit 1 of 1",
        "2 of 2 notes, hit 1 of 180",
        "2 of 2 notes, hit 2 of 180",
        "2 of 2 notes, hit 1 of 180",
    ]
    explorer.previous_hit.click()
    assert explorer.note_status.value == "1 of 2 notes, hit 1 of 1"
    explorer.previous_hit.click()  # from the first hit to the last
    assert explorer.note_status.value == "2 of 2 notes, hit 180 of 180"
    current = explorer.note.value.partition("ma-current")
    assert current[0].count("<mark") == 180 and current[2].count("<mark") == 0


def test_a_search_that_only_events_have_opens_them(explorer):
    explorer.patient.value = PATIENT
    explorer.search.value = "1.6"
    assert explorer.tabs.selected_index == 1 and rows_of(explorer.table.value) == 1


def test_one_order_for_notes_events_and_values(explorer):
    def days():
        tables = (explorer.table.value, explorer.trend.value)
        return [re.findall(r">(\d{4}-\d\d-\d\d) \d\d:", table) for table in tables]

    explorer.patient.value = PATIENT
    explorer.tabs.selected_index = 2
    for newest_first in (True, False):
        explorer.order.value = newest_first
        for listed in days():
            assert listed == sorted(listed, reverse=newest_first)
        titles = [title for title, _ in explorer.notes.options]
        assert titles == sorted(titles, reverse=newest_first)
    assert explorer.note.value and not explorer.older.disabled
    explorer.notes.index = 0
    assert explorer.older.disabled and not explorer.newer.disabled


def test_filters_notes_and_events(explorer):
    explorer.patient.value = PATIENT
    types_of(explorer)["note"].value = False
    assert explorer.tabs.titles[:2] == ("Notes (0)", "Events (4)")
    assert explorer.show_filters.description == "Filters (active)"
    explorer.since.value = "2015"
    assert explorer.tabs.titles[:2] == ("Notes (0)", "Events (1)")
    explorer.since.value = "01/01/2015"
    assert "write 2014-08-10, 2014-08 or 2014" in explorer.hits.value
    explorer.since.value = "2015-01-01"
    types_of(explorer)["measurement"].value = False
    assert explorer.timeline.value == "No events match the filters."
    explorer.reset.click()
    assert explorer.show_filters.description == "Filters"
    assert explorer.tabs.titles[:2] == ("Notes (3)", "Events (7)")


def test_shows_an_instruction_with_its_evidence_in_place(explorer):
    explorer.patient.value = PATIENT
    types_of(explorer)["note"].value = False  # hides the evidence
    explorer.instruction.value = MARKUP
    assert "Does he have &lt;i&gt;chest pain&lt;/i&gt;?" in explorer.answer.value
    assert "No, he denies it." in explorer.answer.value
    assert "No system has answered this instruction." in explorer.responses_shown.value
    assert explorer.tabs.selected_index == 0 and types_of(explorer)["note"].value
    assert re.search(r"<mark[^>]*>Denies chest\npain</mark>", explorer.note.value)
    assert explorer.places.options[0][0] == "1 of 1: 2014-08-10 10:00  Progress note"


def test_shows_responses_with_verdicts_and_marks_a_coded_event(explorer):
    explorer.patient.value = PATIENT
    explorer.instruction.value = CREATININE
    second, first = explorer.responses_shown.value.split("</article>")[:2]
    assert "gpt4-32k" in first and "✓ correct (clinician 1)" in first and "The last" in first
    assert "some-system" in second and "not rated" in second and "It was &lt;b&gt;1.4" in second
    assert explorer.tabs.selected_index == 1
    (marked,) = re.findall(r"<tr class=\"ma-evidence\".*?</tr>", explorer.table.value)
    assert "2015-01-02 08:00" in marked and "Lab or vital sign" in marked
    explorer.notes.index = 2  # the user reads on from there
    assert "Progress note" in explorer.note.value


@pytest.mark.parametrize(
    "failure, shown",
    [("HTTP 400: <too long>", "(no response: HTTP 400: &lt;too long&gt;)"), ("", "(empty)")],
)
def test_says_why_a_response_is_empty(explorer, failure, shown):
    own = explorer.responses["system"] == "some-system"
    explorer.responses.loc[own, ["response", "failure"]] = ["", failure]
    explorer.patient.value = PATIENT
    explorer.instruction.value = CREATININE
    assert f">{shown}</div>" in explorer.responses_shown.value


def test_shows_the_evidence_of_the_first_annotator_with_any(tmp_path):
    folder = write_release(tmp_path / "release")
    file = folder / "clinician-instruction-responses.tsv"
    text = file.read_text().replace("denies it.\tDenies chest pain", "denies it.\t")
    file.write_text(text + f"{MARKUP}\tq\t{PATIENT}\t\tAnnotator_2\tNo.\tDenies chest pain\t\t\n")
    explorer = widget.explore(load_release(folder))
    explorer.patient.value = PATIENT
    explorer.instruction.value = MARKUP
    assert explorer.answer.value.index("none given") < explorer.answer.value.index("found word")
    assert explorer.places.options[0][0] == "1 of 1: 2014-08-10 10:00  Progress note"


def test_instructions_without_a_patient(tmp_path):
    folder = write_release(tmp_path / "release")
    with (folder / "all-instructions-rouge.tsv").open("a") as file:
        file.write("99\tWhich <i>drug</i> is first?\tCardiology\t\n")
    release = load_release(folder)
    responses = release.reviews.responses.assign(instruction_id="99")
    explorer = widget.explore(release, responses)
    assert explorer.patient.options[0][0] == "4 patients: choose one"
    assert explorer.patient.options[-1] == ("no patient named · 1 instruction", widget.NOBODY)
    explorer.find.value = "99"
    assert (explorer.patient.value, explorer.instruction.value) == (widget.NOBODY, "99")
    assert "Which &lt;i&gt;drug&lt;/i&gt; is first?" in explorer.answer.value
    assert "The last creatinine was 1.1" in explorer.responses_shown.value
    assert (explorer.record.layout.display, explorer.reading.layout.display) == (None, "none")
    explorer.find.value = PATIENT
    assert explorer.patient.value == PATIENT and explorer.reading.layout.display is None


def test_says_what_a_patient_lacks(explorer, release):
    explorer.patient.value = PATIENT
    explorer.instruction.value = UNANSWERED
    assert "no clinician has answered this instruction" in explorer.answer.value
    assert explorer.places.layout.display == "none"
    explorer.instruction.value = None
    assert explorer.answer.value.startswith("<p>Choose an instruction")
    explorer.patient.value = NO_NOTES
    assert explorer.person.value.startswith("1 encounter, 1 event, 2014")
    assert explorer.note.value == "No notes to show."
    explorer.instruction.value = "4"
    assert "“lipid clinic”: not found" in explorer.answer.value
    explorer.patient.value = NOT_ASKED
    assert explorer.instruction.options == (("no instructions", None),)
    assert "0.9 mg/dL" in explorer.table.value
    file = release.ehr_path(NOT_ASKED)
    file.write_text(f'<eventstream person_id="{NOT_ASKED}"></eventstream>')
    explorer.patient.value = None
    explorer.patient.value = NOT_ASKED
    assert explorer.person.value == "No events"
    assert explorer.table.value == "No events to show."


def test_an_address_opens_an_event_again(explorer):
    explorer.patient.value = PATIENT
    explorer.instruction.value = CREATININE
    explorer.search.value = "1.1"
    row = explorer.events.index[explorer.events["value"] == "1.4"][0]
    assert explorer.address(row) == f"{PATIENT}/{row}/{CREATININE}"
    assert f"#medalign={explorer.address(explorer.marked)}" in explorer.table.value
    explorer.patient.value = NO_NOTES
    explorer.find.value = f"#medalign={PATIENT}/{row}/{CREATININE}"
    assert (explorer.patient.value, explorer.instruction.value) == (PATIENT, CREATININE)
    assert explorer.marked == row and explorer.tabs.selected_index == 1
    assert explorer.find.value == "" and len(explorer.patient.options) == 5
    explorer.find.value = f"{NO_NOTES}/"
    assert explorer.patient.value == NO_NOTES


@pytest.mark.parametrize("address", ["nobody/1", "40/999/x", "40/-1", "//", "40/1/2/3"])
def test_an_address_that_leads_nowhere(explorer, address):
    explorer.find.value = address
    assert explorer.patient.value in (None, PATIENT) and explorer.instruction.value is None
    assert ("no patient nobody" in explorer.message.value) == (address == "nobody/1")


def test_steps_through_the_places_of_the_evidence(explorer):
    explorer.patient.value = PATIENT
    explorer.instruction.value = CREATININE
    assert not explorer.next_hit.disabled and len(explorer.places.options) == 1
    explorer.tabs.selected_index = 0
    explorer.next_hit.click()
    assert explorer.tabs.selected_index == 1


def test_shows_the_course_of_a_test(explorer):
    explorer.patient.value = PATIENT
    assert explorer.tabs.titles[2] == "Trend (1)"
    assert [label for label, _ in explorer.test.options] == ["Creatinine (mg/dL) · 4"]
    explorer.tabs.selected_index = 2
    assert "Creatinine: 4 values" in explorer.trend.value
    explorer.patient.value = NO_NOTES
    explorer.tabs.selected_index = 2
    assert explorer.trend.value.startswith("No laboratory test")


def test_marks_what_decided_with_the_answer_key(tmp_path, monkeypatch):
    folder = write_release(tmp_path / "release")
    fact = {"kind": "number", "topic": ["creatinine"], "value": 1.4, "unit": "mg/dL"}
    fact |= {"tolerance": 0.05, "date": None}
    line = {"instruction_id": CREATININE, "facts": [fact]}
    (folder / "answer-key.jsonl").write_text(json.dumps(line))
    release = load_release(folder)
    responses = release.reviews.responses.assign(system="a")
    right = responses.assign(system="b", response="The creatinine was **1.4** mg/dL.")
    explorer = widget.explore(release, widget.pd.concat([responses, right]))
    explorer.show(PATIENT, CREATININE)
    first, second = explorer.responses_shown.value.split("</article>")[:2]
    assert re.search("ma-contradicted.*1.1 mg/dL.*✗ contradicted", first)
    assert re.search("ma-found.*1.4.*✓ found", second)


def test_a_broken_record_shows_a_message_and_clears_the_previous_one(explorer, release):
    explorer.patient.value = PATIENT
    explorer.patient.value = BROKEN
    assert "43.xml, line 4: not well-formed XML" in explorer.message.value
    assert explorer.record.layout.display == "none"
    assert explorer.note.value == explorer.table.value == explorer.person.value == ""
    release.ehr_path(NOT_ASKED).unlink()
    explorer.patient.value = NOT_ASKED
    assert "no EHR for patient 42" in explorer.message.value
    explorer.patient.value = PATIENT
    assert explorer.message.value == "" and "Home with" in explorer.note.value


def test_pages_of_events(explorer, release):
    labs = "".join(lab("2014-01-01 08:00", str(i)) for i in range(450))
    release.ehr_path(NO_NOTES).write_text(eventstream(NO_NOTES, encounter(labs)))
    explorer.patient.value = NO_NOTES
    pages = [explorer.page_status.value]
    while not explorer.later.disabled:
        explorer.later.click()
        pages.append(explorer.page_status.value)
    assert pages == [f"{rows} of 450 events" for rows in ("1 to 200", "201 to 400", "401 to 450")]
    assert rows_of(explorer.table.value) == 50
    explorer.earlier.click()
    assert explorer.page_status.value == pages[1]


def test_unfinished_responses_are_ignored(release, tmp_path, monkeypatch):
    (tmp_path / "Snakefile").touch()
    monkeypatch.chdir(tmp_path)
    responses, ratings = widget.responses_and_ratings(release, "none")
    assert responses["system"].tolist() == ["gpt4-32k"] and len(ratings) == 1
    file = write_responses(tmp_path / "runs/mine/responses/a.jsonl")
    (file.parent / "b").mkdir()
    (file.parent / "b" / "store.jsonl").write_text("{")
    responses, _ = widget.responses_and_ratings(release, "mine")
    assert responses["system"].tolist() == ["a", "gpt4-32k"]


def test_the_explorer_of_a_restricted_release_opens_by_a_click(tmp_path, monkeypatch):
    release = load_release(write_release(tmp_path / "release"))
    box = widget.explore_on_request(release)
    [button] = box.children
    button.click()
    [opened] = box.children
    assert isinstance(opened, widget.Explorer) and len(opened.patient.options) > 2
    monkeypatch.setattr(type(release), "is_restricted", False)
    assert isinstance(widget.explore_on_request(release), widget.Explorer)


def with_descendants(control):
    yield control
    for child in getattr(control, "children", ()):
        yield from with_descendants(child)


def assert_no_text_of_patients(content):
    secrets = [text for _, text in NOTES.values()] + [row[0] for row in QUESTIONS.values()]
    for part in re.findall(r"[\w ]{9,}", "\n".join(secrets)):
        assert part not in content, part


def test_the_executed_notebook_contains_no_text_of_patients(tmp_path):
    write_release(tmp_path / "release")
    executed = tmp_path / "executed.ipynb"
    root = project_root()
    parameters = {"experiment": "none", "release": str(tmp_path / "release"), "save": True}
    (tmp_path / "Snakefile").touch()
    (tmp_path / "data").mkdir()
    for folder in ("data/paper", "notebooks"):
        (tmp_path / folder).symlink_to(root / folder)
    notebook = root / "notebooks/01_explore_release.ipynb"
    execute_notebook(notebook, executed, parameters, cwd=tmp_path, progress_bar=False)
    assert "widgets" in nbformat.read(executed, 4).metadata  # the widgets' state is saved
    content = executed.read_text()
    state = str(nbformat.read(executed, 4).metadata["widgets"])
    assert "Open the explorer" in state and not re.search(r"\b(40|007)\b", state)
    assert_no_text_of_patients(content)
    assert len(list((tmp_path / "runs/none/figures").glob("*.png"))) == 5
    # Every figure is shown; the lengths of a restricted release's records are a sentence.
    assert content.count('"image/png"') == 4 and "no histogram" in content
    # Two patients have no quartiles: a sentence, not a table of empty rows.
    assert content.count("too few patients to show quartiles") == 2  # source and output
    assert "Per patient" not in content
