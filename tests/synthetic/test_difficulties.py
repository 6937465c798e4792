"""What makes instructions hard occurs in the records, and the answer key stays true."""

import json
import random
import re
from collections import Counter
from datetime import datetime, timedelta

import pytest

from medalign_utils.data.ehr.units import convert, parse_unit
from medalign_utils.grading import grade
from medalign_utils.synthetic import write_release
from medalign_utils.synthetic.difficulties import DIFFICULTIES
from medalign_utils.synthetic.encounters import write_encounters
from medalign_utils.synthetic.patient import WITH_HISTORY, WITH_SOCIAL
from medalign_utils.synthetic.scans import PAGE, WIDTH, scanned
from medalign_utils.synthetic.simulate import Care, simulate_patient
from medalign_utils.synthetic.templates import TEMPLATES
from tests.builders.project import ROOT

DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
WEEKS = {"a week": 1, "two weeks": 2, "three weeks": 3, "four weeks": 4}


@pytest.fixture(scope="module")
def people():
    """Return patients with the events of their records, in order of time."""
    found = []
    for i in range(40):
        rng = random.Random(f"difficult {i}")
        patient = simulate_patient(rng, str(i), 25, Care(monitored=i % 2 == 0))
        events = [e for x in write_encounters(rng, patient) for e in x.events]
        found.append((patient, sorted(events, key=lambda e: e.time)))
    return found


def unbroken(note) -> str:
    """Return a note's text on one line, with the words of a scan put together again."""
    lines = note.text.split("\n")
    if note.name == "Scanned outside record":
        lines = [line for line in lines if not re.search(r" FAX |^- \d+ of \d+ -$", line)]
    text = " ".join(lines)
    return re.sub(r"(?<=[a-z])- (?=[a-z])", "", text)


def notes_of(patient, events, first, last, kinds):
    """Return the visits' notes of some kinds, from visit `first` to visit `last`."""
    for visit in patient.visits[first : last + 1]:
        if visit.kind in kinds:
            yield from (e for e in events if e.is_note and visit.start <= e.time <= visit.end)


def answers(patient, name):
    return list(TEMPLATES[name].answers(patient))


def test_the_page_counts_the_difficulties_of_the_demo(tmp_path):
    write_release(tmp_path)
    lines = (tmp_path / "answer-key.jsonl").read_text().splitlines()
    counts = Counter(name for line in lines for name in json.loads(line)["difficulties"])
    assert list(DIFFICULTIES) == sorted(counts, key=list(DIFFICULTIES).index)
    page = (ROOT / "docs/synthetic_release.md").read_text()
    for name, meaning in DIFFICULTIES.items():
        assert f"| {name} | {meaning} | {counts[name]} |" in page


def test_an_old_dose_is_copied_until_an_addendum_and_the_key_has_the_right_one(people):
    checked = 0
    for patient, events in people:
        for error in patient.copied_errors:
            course = error.course
            if course is None:
                continue
            wrong = f"{course.drug.name} {course.regimen_at(error.wrong)}"
            right = f"{course.drug.name} {course.regimen}"
            notes = notes_of(patient, events, error.first, error.last, WITH_HISTORY)
            lists = [m[0] for n in notes for m in re.finditer(r"\bMedications: .*?\.(?= |$)",
                                                              unbroken(n))]  # fmt: skip
            assert lists and all(wrong in x and right not in x for x in lists)
            [addendum] = [e for e in events if e.time == error.corrected and e.name == "Addendum"
                          and course.drug.name.title() in e.text]  # fmt: skip
            assert f"is {course.regimen} since" in addendum.text
            later = notes_of(patient, events, error.last + 1, patient.last, WITH_HISTORY)
            assert not any(
                f"Medications: {wrong}" in unbroken(note) for note in later if course.stop is None
            )
            for answer in answers(patient, "current_dose"):
                if course.stop is None and answer.words["drug"] == course.drug.names:
                    [fact] = answer.facts
                    assert fact["value"] == course.dose != error.wrong
                    assert "copied error" in answer.hard and answer.time >= error.corrected
                    assert not grade(f"{wrong}.", answer.facts).correct
                    checked += 1
    assert checked > 10


@pytest.mark.parametrize("kind", ["home", "drinks", "quit smoking", "problem"])
def test_an_entry_is_copied_until_an_addendum_and_the_key_has_the_right_one(people, kind):
    template = {"home": "lives_with", "drinks": "weekly_drinks", "quit smoking": "quit_smoking",
                "problem": "never_had"}[kind]  # fmt: skip
    checked = 0
    for patient, events in people:
        if not (error := patient.copied(kind)):
            continue
        kinds = WITH_HISTORY if kind == "problem" else WITH_SOCIAL
        heading = "PMH:" if kind == "problem" else "\nSH:"
        notes = [*notes_of(patient, events, error.first, error.last, kinds)]
        sections = [unbroken(n).split(heading.strip())[-1] for n in notes if heading in n.text]
        words = {"home": error.wrong[0] if kind == "home" else "",
                 "drinks": f"{error.wrong} drink" if error.wrong else "no alcohol"}  # fmt: skip
        for section in sections if kind in words else ():
            assert words[kind] in section
        if kind == "problem":
            names = error.wrong.spellings[:2]
            assert all(any(name in s.split(" No history")[0] for name in names) for s in sections)
        corrections = [e.text for e in events if e.time == error.corrected and e.is_note]
        for answer in answers(patient, template):
            if kind == "problem" and answer.words["condition"] != error.wrong.spellings:
                continue
            assert "copied error" in answer.hard and answer.time >= error.corrected
            # The addendum says what the key has.
            assert any(grade(text, answer.facts).correct for text in corrections), corrections
            if kind == "quit smoking":
                assert not grade(f"Quit smoking in {error.wrong}.", answer.facts).correct
            checked += 1
    assert checked > 3


def test_results_of_another_laboratory_are_asked_in_the_usual_unit(people):
    checked = 0
    for patient, events in people:
        coded = {(e.time, e.code): e for e in events if e.type == "measurement"}
        for answer in answers(patient, "latest_lab"):
            [fact] = answer.facts
            recent = [r for r in patient.results if r.analyte.spellings == answer.words["lab"]]
            if not any(r.is_outside for r in recent):
                assert "two units" not in answer.hard and answer.words["unit"] == ""
                continue
            assert "two units" in answer.hard
            assert all(f" in {fact['unit']}" in question for question in answer.questions)
            *_, last = recent
            if last.is_outside:
                event = coded[last.time, f"LOINC/{last.reported[0]}"]
                assert event.unit != fact["unit"]
                as_recorded = f"{answer.words['lab'][0]} {event.text} {event.unit}"
                of_one_dimension = convert(
                    float(event.text), parse_unit(event.unit), parse_unit(fact["unit"])
                )
                # Only hemoglobin converts without the molar mass.
                assert grade(as_recorded, answer.facts).correct == bool(of_one_dimension)
                assert not grade(f"{answer.words['lab'][0]} {event.text}", answer.facts).correct
                checked += 1
    assert checked > 10


def test_home_medications_held_or_changed_in_hospital_are_resumed(people):
    held = changed = 0
    for patient, events in people:
        for n, course, dose in patient.stay_changes:
            visit, name = patient.visits[n], course.drug.name
            daily = [e.text for e in events if e.is_note and visit.start < e.time < visit.end
                     and e.text.startswith("Hospital day")]  # fmt: skip
            shown = f"{name} HELD" if dose is None else f"{name} {course.regimen_at(dose)}"
            assert all(shown in text for text in daily)
            [discharge] = [e.text for e in events if e.time == visit.end and "discharged" in e.text]
            verb = "resume" if dose is None else "back to"
            assert f"{verb} {name} {course.regimen}" in discharge
            given = [e for e in events if e.text == "administered" and e.name == name
                     and visit.start < e.time < visit.end]  # fmt: skip
            assert not (dose is None and given)
            template = "held_drugs" if dose is None else "dose_in_hospital"
            [answer] = [a for a in answers(patient, template) if a.words["date"] == visit.start
                        and a.words.get("drug", (name,))[0] == name]  # fmt: skip
            assert "hospital medication" in answer.hard
            if dose is None:
                assert course.drug.names in map(tuple, answer.facts[0]["members"])
                held += 1
            else:
                assert answer.facts[0]["value"] == dose != course.dose
                changed += 1
    assert held > 10 and changed > 10


def onset(text: str, visit: datetime) -> datetime:
    """Return the day that the note's first words about a duration mean."""
    words = rf"since (\w+day)|for (\d+) days|for ({'|'.join(WEEKS)})"
    day, days, weeks = re.search(words, text).groups()
    if days or weeks:
        return visit - (timedelta(days=int(days)) if days else timedelta(weeks=WEEKS[weeks]))
    back = 1 if day == "yesterday" else (visit.weekday() - DAYS.index(day)) % 7
    return visit - timedelta(days=back)


def test_the_onset_of_a_symptom_follows_from_the_notes_words(people):
    checked = 0
    for patient, events in people:
        for answer in answers(patient, "symptom_onset"):
            visit = answer.words["date"]
            [note, *_] = [e for e in events if e.is_note and e.time >= visit
                          and re.search("HPI:|Caller reports|TC from", e.text)]  # fmt: skip
            assert f"{onset(unbroken(note), visit):%Y-%m-%d}" == answer.facts[0]["date"]
            checked += 1
    assert checked > 100


def test_years_gone_by_give_the_year_of_the_key(people):
    checked = 0
    for patient, events in people:
        for answer in answers(patient, "quit_smoking"):
            if answer.hard == ("relative date",):
                newest = [e for e in events if e.is_note and "SH:" in e.text][-1]
                ago = re.search(r"quit (\d+) years ago", unbroken(newest))
                assert newest.time.year - int(ago[1]) == answer.words["year"]
                checked += 1
    assert checked > 2


def test_a_scan_breaks_lines_and_words_but_keeps_numbers_and_letters():
    text = (
        "Findings: cardiomegaly with interstitial prominence, hemoglobin 13.4 g/dL.\n"
        + "LDL cholesterol 112 mg/dL measured elsewhere on 03/09/2011. " * 20
    )
    scan = scanned(random.Random(1), text, datetime(2011, 3, 9, 14, 5))
    lines = scan.split("\n")
    assert len(lines) > 2 * PAGE and "FAX 03/09/2011 14:05" in lines[0]
    body = [line for line in lines if " FAX " not in line and not line.startswith("- ")]
    assert max(map(len, body)) <= WIDTH
    divided = [line for line in body if re.search(r"[a-z]-$", line)]
    assert divided
    whole = re.sub(r"(?<=[a-z])- (?=[a-z])", "", " ".join(body))
    assert whole.split() == text.split()


def test_scanned_answers_are_in_scanned_notes(tmp_path):
    write_release(tmp_path, patients=12, instructions=60, seed=3)
    lines = map(json.loads, (tmp_path / "answer-key.jsonl").read_text().splitlines())
    people = {line["person_id"] for line in lines if "scanned" in line["difficulties"]}
    assert people
    for person in people:
        assert "Scanned outside record" in (tmp_path / f"ehrs/{person}.xml").read_text()
