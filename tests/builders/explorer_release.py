"""A release for the explorer's tests: long notes, markup in a note, a broken record."""

import json
from html import escape
from pathlib import Path

from medalign_utils.data.responses import RESPONSE_COLUMNS
from tests.builders import tiny_release
from tests.builders.tiny_release import encounter, entry, event, eventstream, lab

PATIENT, NO_NOTES = "40", "41"
NOT_ASKED, BROKEN = "42", "43"  # without instructions
CREATININE, MARKUP, UNANSWERED = "5479314876123", "02", "3"
SCRIPT = '<script>document.title = "run"</script><img src=x onerror="document.title = 1">'
FILLER = "Walks well. Eats well. Sleeps well.\n" * 60
NOTES = {  # time: title, text
    "2014-08-10 10:00": ("Progress note", f"{FILLER}Denies chest\npain. Creatinine was 1.4."),
    "2014-09-01 11:00": ("Imaging report", f"CT chest: no <b>nodule</b>. {SCRIPT} Chest pain."),
    "2015-01-02 09:00": ("Discharge summary", "Home with $5 & a friend."),
}
QUESTIONS = {  # id: question, patient, reference, evidence
    CREATININE: ("What was the last creatinine?", PATIENT, "1.1 mg/dL", "Creatinine: 1.1 mg/dL"),
    MARKUP: ("Does he have <i>chest pain</i>?", PATIENT, "No, he denies it.", "Denies chest pain"),
    UNANSWERED: ("What did the CT show?", PATIENT, "", ""),
    "4": ("Which statin does the patient take?", NO_NOTES, "None.", "lipid clinic"),
}


def notes() -> str:
    return "\n".join(
        entry(time, event("note", "STANFORD_NOTE/1", title, escape(text), note_id=str(i)))
        for i, (time, (title, text)) in enumerate(NOTES.items())
    )


def write_release(folder: Path) -> Path:
    header = "<person><birthdate>1950-02-03</birthdate><gender>MALE</gender></person>"
    labs = "".join(lab(f"2014-08-{10 + i} 09:12", f"1.{4 + i}") for i in range(3))
    records = {
        PATIENT: encounter(labs + notes(), header)
        + encounter(lab("2015-01-02 08:00", "1.1"), start="2015-01-02 08:00"),
        NO_NOTES: encounter(entry("2014-08-11 10:00", event("visit", "Visit/OP", "Visit"))),
        BROKEN: encounter("<entry"),
        NOT_ASKED: encounter(lab("2014-08-10 09:12", "0.9")),
    }
    (folder / "ehrs").mkdir(parents=True)
    for person_id, encounters in records.items():
        file = folder / "ehrs" / f"{person_id}.xml"
        file.write_text(eventstream(person_id, encounters), encoding="utf-8")
    asked, answered = tiny_release.INSTRUCTIONS_HEADER, tiny_release.REFERENCES_HEADER
    for i, (question, person, reference, evidence) in QUESTIONS.items():
        asked += f"{i}\t{question}\tCardiology\t{person}\n"
        if reference:
            answered += f"{i}\t{question}\t{person}\t\tAnnotator_1\t{reference}\t{evidence}\t\t\n"
    reviews = (
        "instruction_id\tquestion\tperson_id\tmodel_name\tbinary_correct\trank\tmodel_output\n"
        f"{CREATININE}\t\t40\tgpt4-32k\t1\t1\tThe last creatinine was 1.1 mg/dL.\n"
    )
    (folder / "all-instructions-rouge.tsv").write_text(asked, encoding="utf-8")
    (folder / "clinician-instruction-responses.tsv").write_text(answered, encoding="utf-8")
    (folder / "clinician-reviewed-model-responses.tsv").write_text(reviews, encoding="utf-8")
    return folder


def write_responses(file: Path) -> Path:
    file.parent.mkdir(parents=True)
    row = {name: 0 for name in RESPONSE_COLUMNS} | {
        "instruction_id": CREATININE,
        "system": file.stem,
        "response": "It was <b>1.4</b>.\nIn 2014.",
        "finish_reason": "stop",
    }
    file.write_text(json.dumps(row) + "\n", encoding="utf-8")
    return file
