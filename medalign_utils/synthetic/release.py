"""Writes a synthetic release in the layout and markup of the real one, plus its answer key."""

import csv
import hashlib
import io
import json
import random
from datetime import datetime
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

from tqdm import tqdm

from medalign_utils.errors import MedAlignError
from medalign_utils.synthetic.instructions import (
    SUBCATEGORIES,
    Instruction,
    choose_instructions,
    plan_subcategories,
)
from medalign_utils.synthetic.patient import Patient, age_at
from medalign_utils.synthetic.records import Encounter, write_encounters
from medalign_utils.synthetic.simulate import simulate_patient

GENERATOR_VERSION = "1"
SPLITS = ("demo", "train")
SHORTEST, LONGEST = 3, 175  # visits of the shortest and of the longest record


def write_release(
    out: Path,
    *,
    patients: int = 24,
    instructions: int = 120,
    seed: int = 1,
    split: str = "demo",
    progress: bool = False,
) -> None:
    """Writes a synthetic release; the same arguments give the same bytes on every machine.

    Args:
        out: the folder to write to; made if missing, and must be empty of another release.
        patients: how many patients, at least 1. The numbers of their visits are spread from 3 to
            175 so that equal steps multiply them equally: most records are short, a few are long.
        instructions: how many instructions, at least one for each subcategory that rounds to one.
        seed: any integer.
        split: "demo", or "train" for instruction templates that no demo release asks.
        progress: whether to show a progress bar.

    Raises:
        MedAlignError: an argument is out of range, or the patients do not yield enough
            instructions.
    """
    if patients < 1 or instructions < 1:
        raise MedAlignError(
            f"write_release: {patients} patients, {instructions} instructions; "
            "expected at least 1 of each"
        )
    if split not in SPLITS:
        raise MedAlignError(f"write_release: split '{split}', expected one of {', '.join(SPLITS)}")
    rng = random.Random(f"medalign {GENERATOR_VERSION} {split} {seed}")
    people = []
    ids = rng.sample(range(124_000_000, 137_000_000), patients)
    counts = _visit_counts(patients)
    rng.shuffle(counts)
    for number in tqdm(range(patients), "patients", disable=not progress):
        own = random.Random(f"medalign {GENERATOR_VERSION} {split} {seed} {number}")
        patient = simulate_patient(own, str(ids[number]), counts[number])
        people.append((patient, write_encounters(own, patient)))
    chosen = choose_instructions(rng, people, instructions, split)

    files: dict[str, str] = {}
    for patient, encounters in people:
        files[f"ehrs/{patient.person_id}.xml"] = _xml(patient, encounters)
    files["all-instructions-rouge.tsv"] = _instructions_table(chosen)
    files["clinician-instruction-responses.tsv"] = _references_table(chosen)
    files["answer-key.jsonl"] = "".join(_key_line(i) for i in chosen)
    manifest = {
        "synthetic": True, "generator_version": GENERATOR_VERSION, "seed": seed, "split": split,
        "patients": patients, "instructions": instructions,
        "files": {name: hashlib.sha256(text.encode()).hexdigest()
                  for name, text in sorted(files.items())},
    }  # fmt: skip
    files["manifest.json"] = json.dumps(manifest, indent=1) + "\n"
    (out / "ehrs").mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (out / name).write_text(text, encoding="utf-8", newline="\n")


def _visit_counts(patients: int) -> list[int]:
    # Geometric steps without a logarithm: repeated multiplication is exact enough to round.
    if patients == 1:
        return [SHORTEST * 5]
    ratio = (LONGEST / SHORTEST) ** (1 / (patients - 1))
    return [round(SHORTEST * ratio**i) for i in range(patients)]


def _stamp(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}"


def _xml(patient: Patient, encounters: list[Encounter]) -> str:
    out = io.StringIO()
    out.write('<?xml version="1.0" encoding="UTF-8"?>\n')
    out.write(f"<eventstream person_id={quoteattr(patient.person_id)}>\n")
    note = 0
    for encounter in encounters:
        out.write(
            f"<encounter start_timestamp={quoteattr(_stamp(encounter.start))} "
            f"end_timestamp={quoteattr(_stamp(encounter.end))}>\n"
        )
        days = (encounter.start.date() - patient.birthdate).days
        years = age_at(patient.birthdate, encounter.start.date())
        out.write(
            f"<person><birthdate>{patient.birthdate}</birthdate>"
            f"<age><days>{days}</days><years>{years}</years></age>"
            f"<demographics><ethnicity>{patient.ethnicity}</ethnicity>"
            f"<gender>{patient.gender}</gender><race>{patient.race}</race></demographics>"
            f"<payerplan>{escape(encounter.payer)}</payerplan></person>\n"
            f"<caresites><caresite>{escape(encounter.care_site)}</caresite></caresites>\n"
            f"<providers><provider>{encounter.provider}</provider></providers>\n<events>\n"
        )
        time = None
        for event in encounter.events:
            if event.time != time:
                out.write("</entry>\n" if time else "")
                time = event.time
                out.write(f"<entry timestamp={quoteattr(_stamp(time))}>\n")
            extra = ""
            if event.unit:
                extra += f" unit={quoteattr(event.unit)}"
            if event.is_note:
                note += 1
                extra += f' note_id="{patient.person_id}{note:04d}"'
            out.write(
                f'<event type="{event.type}" code={quoteattr(event.code)} '
                f"name={quoteattr(event.name)}{extra}>{escape(event.text)}</event>\n"
            )
        out.write("</entry>\n" if time else "")
        out.write("</events>\n</encounter>\n")
    out.write("</eventstream>\n")
    return out.getvalue()


def _table(header: list[str], rows: list[list[str]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, delimiter="\t", lineterminator="\n")
    writer.writerows([header, *rows])
    return out.getvalue()


def _instructions_table(chosen: list[Instruction]) -> str:
    return _table(
        ["instruction_id", "question", "category", "subcategory", "submitter_specialty",
         "person_id", "filename"],
        [[i.instruction_id, i.question, SUBCATEGORIES[i.template.subcategory],
          i.template.subcategory, i.specialty, i.person_id, f"{i.person_id}.xml"]
         for i in chosen],
    )  # fmt: skip


def _references_table(chosen: list[Instruction]) -> str:
    return _table(
        ["instruction_id", "question", "person_id", "filename", "annotator_num",
         "clinician_response", "evidence", "submitter_specialty", "subcategory"],
        [[i.instruction_id, i.question, i.person_id, f"{i.person_id}.xml", "Annotator_1",
          i.candidate.reference, i.candidate.evidence, i.specialty, i.template.subcategory]
         for i in chosen if i.has_reference],
    )  # fmt: skip


def _key_line(i: Instruction) -> str:
    line = {
        "instruction_id": i.instruction_id, "person_id": i.person_id, "template": i.template.name,
        "where": i.candidate.where, "position": i.position, "facts": i.candidate.facts,
        "reference": i.candidate.reference,
    }  # fmt: skip
    return json.dumps(line, ensure_ascii=False) + "\n"


__all__ = ["GENERATOR_VERSION", "SPLITS", "plan_subcategories", "write_release"]
