"""A release with two patients and four instructions."""

from pathlib import Path

ASKED = "all-instructions-rouge.tsv"
ANSWERED = "clinician-instruction-responses.tsv"
REVIEWED = "clinician-reviewed-model-responses.tsv"
SUBMITTED = "submitted-instructions.tsv"

INSTRUCTIONS_HEADER = "instruction_id\tquestion\tspecialty\tperson_id\n"
REFERENCES_HEADER = (
    "instruction_id\tquestion\tperson_id\tfilename\tannotator_num\tclinician_response\tevidence"
    "\tsubmitter_specialty\tsubcategory\n"
)
QUESTIONS = {
    "5479314876123": ("What was the last creatinine?", "40"),
    "02": ("Any chest pain?", "007"),
    "3": ("Which statin does the patient take?", "007"),
    "4": ("Is there a family history of stroke?", "40"),  # no reference
}


def eventstream(person_id: str, encounters: str) -> str:
    return f'<eventstream person_id="{person_id}">\n{encounters}\n</eventstream>\n'


def encounter(entries: str, header: str = "", start: str = "2014-08-10 09:00") -> str:
    attribute = f' start_timestamp="{start}"' if start else ""
    return f"<encounter{attribute}>{header}<events>\n{entries}\n</events></encounter>"


def entry(timestamp: str, *events: str) -> str:
    inside = "\n".join(events)
    return f'<entry timestamp="{timestamp}">\n{inside}\n</entry>'


def event(type: str, code: str, name: str, text: str = "", **attributes: str) -> str:
    more = "".join(f' {key}="{value}"' for key, value in attributes.items())
    return f'<event type="{type}" code="{code}" name="{name}"{more}>{text}</event>'


def lab(timestamp: str, value: str) -> str:
    return entry(timestamp, event("measurement", "LOINC/2160-0", "Creatinine", value, unit="mg/dL"))


def note(timestamp: str, text: str) -> str:
    return entry(timestamp, event("note", "STANFORD_NOTE/1", "Progress note", text, note_id="9"))


def ehr_40() -> str:
    text = "Creatinine was 1.4. Walks well. Eats well. Sleeps well."
    entries = lab("2014-08-10 09:12", "1.4") + note("2014-08-10 10:00:30", text)
    return eventstream("40", encounter(entries + lab("2015-01-02 08:00", "1.1")))


def write_release(folder: Path) -> Path:
    """Write the release; ids exceed 32 bits or start with 0; a field has a tab and a line break."""
    (folder / "ehrs").mkdir(parents=True)
    (folder / "ehrs" / "40.xml").write_text(ehr_40(), encoding="utf-8")
    denied = note("2014-08-10 10:00", "Denies chest pain.\nOn atorvastatin 40 mg.")
    started = entry("2014-08-11 10:00", event("drug_exposure", "RxNorm/1", "atorvastatin", "start"))
    ehr_007 = eventstream("007", encounter(denied + started))
    (folder / "ehrs" / "EHR_007.xml").write_text(ehr_007, encoding="utf-8")
    rows = [f"{i}\t{question}\tCardiology\t\n" for i, (question, _) in QUESTIONS.items()]
    asked = INSTRUCTIONS_HEADER + "".join(rows)
    answered = REFERENCES_HEADER + (
        "02\tAny chest pain?\t007\tEHR_007.xml\tAnnotator_2\tNone.\tnote\tCardiology\tother\n"
        '02\tAny chest pain?\t007\tEHR_007.xml\tAnnotator_1\t"No;\the said ""none""\n— déni"\t'
        "\tCardiology\tother\n"
        "5479314876123\tWhat was the last creatinine?\t40\t\tAnnotator_1\t1.1\tlab\t\tother\n"
        "3\tWhich statin does the patient take?\t007\t\tAnnotator_2\tnone\t\t\tother\n"
    )
    (folder / ASKED).write_text(asked, encoding="utf-8")
    (folder / ANSWERED).write_text(answered, encoding="utf-8")
    return folder


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")


def write_many(folder: Path, n: int) -> Path:
    """Write a release in which patient 40 has n instructions with a reference."""
    folder = write_release(folder)
    for name, ending in (
        (ASKED, "\tCardiology\t\n"),
        (ANSWERED, "\t40\t\tAnnotator_1\tYes.\t\t\t\n"),
    ):
        header = (folder / name).read_text().split("\n")[0]
        rows = "".join(f"i{i}\tQuestion {i}?{ending}" for i in range(n))
        (folder / name).write_text(f"{header}\n{rows}")
    return folder
