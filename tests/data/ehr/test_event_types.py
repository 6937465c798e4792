"""Names of types that are not the release's."""

import pytest

from medalign_utils.data.ehr import ehr_text, read_events
from medalign_utils.data.ehr.event_types import EVENT_TYPES, event_type_of
from medalign_utils.prompts.retrieval import last_note, split_blocks
from tests.builders.tiny_release import encounter, entry, event, eventstream, lab, note

OMOP = {
    "condition_occurrence": "condition",
    "procedure_occurrence": "procedure",
    "Visit_Occurrence": "visit",
    "cdm.drug_exposure": "drug_exposure",
    "MEASUREMENT": "measurement",
    "visit detail": "visit_detail",
    "image_occurrence": "image",
}
MIMIC = {
    "hosp/labevents": "measurement",
    "mimiciv_icu.chartevents": "measurement",
    "hosp/prescriptions": "drug_exposure",
    "hosp/diagnoses_icd": "condition",
    "ed/diagnosis": "condition",
    "icu/icustays": "visit_detail",
    "note/discharge": "note",
    "NOTEEVENTS": "note",
}


@pytest.mark.parametrize(("name", "ours"), (OMOP | MIMIC).items())
def test_tables_of_omop_and_mimic_are_our_types(name, ours):
    assert event_type_of(name) == ours


@pytest.mark.parametrize("name", ["hosp/poe", "specimen", "Discharge", "care plan", "radiology"])
def test_another_type_keeps_its_name(name):
    assert name not in EVENT_TYPES and event_type_of(name) == name


def test_an_event_of_another_type_is_neither_glued_to_a_note_nor_the_last_note(write):
    order = entry("2014-08-11 09:00", event("hosp/poe", "POE/1", "Consult", "cardiology\n now"))
    path = write(eventstream("7", encounter(note("2014-08-10 10:00", "Denies pain.") + order)))
    assert read_events(path)["type"].tolist() == ["note", "hosp/poe"]
    ehr = ehr_text(path, "lines")
    head = "2014-08-10 10:00 note STANFORD_NOTE/1 Progress note:"
    assert split_blocks(ehr) == [
        (head, "Denies pain."),
        ("2014-08-11 09:00 hosp/poe POE/1 Consult: cardiology now", ""),
    ]
    assert last_note(ehr) == f"{head}\nDenies pain."


def test_a_line_of_a_note_that_looks_like_an_event_stays_in_the_note(write):
    text = "Results:\n2014-08-09 08:00 measurement LOINC/1 Sodium: 139\n2014-08-09 seen."
    path = write(eventstream("7", encounter(note("2014-08-10 10:00", text))))
    [(_, inside)] = split_blocks(ehr_text(path, "lines"))
    assert inside == text.replace("\n2014-08-09 08", "\n- 2014-08-09 08")
    assert read_events(path)["value"].iloc[0] == text


def test_tables_of_omop_in_the_other_dialect(write):
    day = "<visit_occurrence/><notes>Well.</notes>"
    day += "<measurements><code>[L/1] Na 3</code></measurements>"
    visit = f'<visit start="03/01/2019"><day start="03/01/2019">{day}</day></visit>'
    events = read_events(write(f"<record>{visit}</record>"))
    assert events["type"].tolist() == ["visit", "visit", "note", "measurement"]


def test_lab_under_its_mimic_name_reads_as_a_measurement(write):
    renamed = lab("2014-08-10 09:12", "1.4").replace('"measurement"', '"hosp/labevents"')
    line = "2014-08-10 09:12 measurement LOINC/2160-0 Creatinine: 1.4 mg/dL"
    assert ehr_text(write(eventstream("7", encounter(renamed))), "lines") == line
