"""Writes a synthetic release in the layout and markup of the real one, plus its answer key."""

import hashlib
import json
import os
import random
import tempfile
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import escape, quoteattr

import pandas as pd
from tqdm import tqdm

from medalign_utils.data.taxonomy import SUBCATEGORIES
from medalign_utils.errors import MedAlignError
from medalign_utils.synthetic.encounters import Encounter, write_encounters
from medalign_utils.synthetic.instructions import (
    Instruction,
    choose_instructions,
    places,
    plan_categories,
    plan_subcategories,
)
from medalign_utils.synthetic.patient import Patient
from medalign_utils.synthetic.simulate import Care, simulate_patient
from medalign_utils.synthetic.submissions import Submission, submit
from medalign_utils.synthetic.templates import TEMPLATES, Template

# The part before the dot seeds all draws and changes with the records, the rest with additions.
GENERATOR_VERSION = "1.1"
SHORTEST, LONGEST = 3, 175  # visits of the shortest and of the longest record of the demo


class Scale(NamedTuple):
    """How large a release is, and how its records come by their length.

    `references` None: as many as the demo's shares give.
    """

    patients: int
    instructions: int
    references: int | None
    visit_counts: Callable[[int], list[int]]  # of so many patients
    care: Callable[[int], Care]  # of a patient with so many visits


def write_release(
    out: Path,
    *,
    patients: int | None = None,
    instructions: int | None = None,
    seed: int = 1,
    templates: Mapping[str, Template] = TEMPLATES,
    split: str = "demo",
    scale: str = "demo",
    progress: bool = False,
) -> dict:
    """Write a synthetic release and return what its `manifest.json` says.

    The same arguments give the same bytes on every machine. Memory holds one record, and what
    choosing instructions needs of the others.

    Args:
        out: the folder to write to; made if missing, and must be empty of another release.
        patients: how many patients, at least 1; the scale's number if None.
        instructions: how many instructions, at least one for each subcategory that rounds to one;
            the scale's number if None.
        seed: any integer.
        templates: what may be asked; other templates than the benchmark's are asked equally often.
        split: what the templates are called in the manifest; it also seeds all draws.
        scale: "demo", 24 patients and 120 instructions by default, with 3 to 175 visits in equal
            ratios. "release", always the published size: 276 patients, 983 instructions of 1,314
            submitted, 303 of them with a reference, over 3.5 million events and 46,000 notes, most
            records short and some over ten times the mean, hourly flowsheets of inpatient stays.
        progress: whether to show a progress bar.

    Raises:
        MedAlignError: an argument is out of range, or the patients yield too few instructions.
    """
    if scale not in SCALES:
        raise MedAlignError(f"write_release: scale '{scale}', expected one of {', '.join(SCALES)}")
    has_default_size = (patients, instructions) == (None, None) and templates is TEMPLATES
    if scale != "demo" and not has_default_size:
        raise MedAlignError(
            f"write_release: scale '{scale}' has its own patients and instructions; leave out "
            "patients, instructions and templates, or take scale 'demo'"
        )
    size = SCALES[scale]
    patients = size.patients if patients is None else patients
    instructions = size.instructions if instructions is None else instructions
    if patients < 1 or instructions < 1:
        raise MedAlignError(
            f"write_release: {patients} patients, {instructions} instructions; "
            "expected at least 1 of each"
        )
    if size.references is None:
        plan = plan_subcategories(instructions, templates)
    else:
        plan = plan_categories(instructions, size.references)
    major = GENERATOR_VERSION.partition(".")[0]
    stream = f"medalign {major} {split if scale == 'demo' else scale} {seed}"
    rng = random.Random(stream)
    ids = rng.sample(range(124_000_000, 137_000_000), patients)
    counts = size.visit_counts(patients)
    rng.shuffle(counts)
    out.mkdir(parents=True, exist_ok=True)
    # The folder becomes `ehrs` when all records are there.
    with tempfile.TemporaryDirectory(prefix=".unfinished-", dir=out) as unfinished:
        folder = Path(unfinished)
        people, files = [], {}
        for number in tqdm(range(patients), "patients", disable=not progress):
            own = random.Random(f"{stream} {number}")
            care = size.care(counts[number])
            patient = simulate_patient(own, str(ids[number]), counts[number], care)
            encounters = write_encounters(own, patient)
            name = f"{patient.person_id}.xml"
            files[f"ehrs/{name}"] = _write(folder / name, _xml(patient, encounters))
            people.append((patient, places(encounters)))
        chosen = choose_instructions(rng, people, plan, templates)
        (out / "ehrs").mkdir(exist_ok=True)
        for record in sorted(folder.iterdir()):
            os.replace(record, out / "ehrs" / record.name)
    # A stream of its own, so that what is submitted changes nothing else.
    own = random.Random(f"{stream} submitted")
    submitted = submit(own, chosen, round(instructions * DUPLICATES))
    rows = [_row(i) for i in chosen]
    references = [row for row, i in zip(rows, chosen, strict=True) if i.has_reference]
    for name, text in {
        "all-instructions-rouge.tsv": _table(INSTRUCTION_COLUMNS, rows),
        "clinician-instruction-responses.tsv": _table(REFERENCE_COLUMNS, references),
        "submitted-instructions.tsv": _table(Submission._fields, [s._asdict() for s in submitted]),
        "answer-key.jsonl": "".join(map(_key_line, rows)),
    }.items():
        files[name] = _write(out / name, text)
    manifest = {
        "synthetic": True,
        "generator_version": GENERATOR_VERSION,
        "scale": scale,
        "seed": seed,
        "split": split,
        "patients": patients,
        "instructions": instructions,
        "submitted": len(submitted),
        "files": dict(sorted(files.items())),
    }
    _write(out / "manifest.json", json.dumps(manifest, indent=1) + "\n")
    return manifest


def _write(path: Path, text: str) -> str:
    """Write a file and return its digest."""
    content = text.encode()
    path.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def _visit_counts(patients: int) -> list[int]:
    # Geometric steps without a logarithm: repeated multiplication is exact enough to round.
    if patients == 1:
        return [SHORTEST * 5]
    ratio = (LONGEST / SHORTEST) ** (1 / (patients - 1))
    return [round(SHORTEST * ratio**i) for i in range(patients)]


def _uneven_visit_counts(patients: int) -> list[int]:
    # q / (1 - q) of evenly spaced q: half the patients have few visits, the last ones very many.
    shares = [(i + 0.5) / patients for i in range(patients)]
    return [SHORTEST + int(16 * q / (1.04 - q)) for q in shares]


def _intensive_care(visits: int) -> Care:
    # Who is seen more often is in hospital for more of it.
    return Care((60, 13, 10, 13 + visits // 8), 7, True)


# Near-duplicates for each instruction of the release: the paper's 1,314 submitted gave 983.
DUPLICATES = (1314 - 983) / 983
SCALES = {
    "demo": Scale(24, 120, None, _visit_counts, lambda visits: Care()),
    "release": Scale(276, 983, 303, _uneven_visit_counts, _intensive_care),
}


def _stamp(moment: datetime) -> str:
    return quoteattr(f"{moment:%Y-%m-%d %H:%M}")


def _xml(patient: Patient, encounters: list[Encounter]) -> str:
    person = patient.person_id
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f"<eventstream person_id={quoteattr(person)}>",
    ]
    note = 0
    for x in encounters:
        days = (x.start.date() - patient.birthdate).days
        lines += [
            f"<encounter start_timestamp={_stamp(x.start)} end_timestamp={_stamp(x.end)}>",
            f"<person><birthdate>{patient.birthdate}</birthdate>"
            f"<age><days>{days}</days><years>{patient.age(x.start)}</years></age>"
            f"<demographics><ethnicity>{patient.ethnicity}</ethnicity>"
            f"<gender>{patient.gender}</gender><race>{patient.race}</race></demographics>"
            f"<payerplan>{escape(x.payer)}</payerplan></person>",
            f"<caresites><caresite>{escape(x.care_site)}</caresite></caresites>",
            f"<providers><provider>{x.provider}</provider></providers>",
            "<events>",
        ]
        for time, events in groupby(x.events, key=lambda event: event.time):
            lines.append(f"<entry timestamp={_stamp(time)}>")
            for event in events:
                extra = f" unit={quoteattr(event.unit)}" if event.unit else ""
                if event.is_note:
                    note += 1
                    extra = f'{extra} note_id="{person}{note:04d}"'
                lines.append(
                    f'<event type="{event.type}" code={quoteattr(event.code)} '
                    f"name={quoteattr(event.name)}{extra}>{escape(event.text)}</event>"
                )
            lines.append("</entry>")
        lines += ["</events>", "</encounter>"]
    return "\n".join([*lines, "</eventstream>", ""])


INSTRUCTION_COLUMNS = (
    "instruction_id question category subcategory submitter_specialty person_id filename"
).split()
REFERENCE_COLUMNS = (
    "instruction_id question person_id filename annotator_num clinician_response evidence "
    "submitter_specialty subcategory"
).split()
KEY = "instruction_id person_id template where position facts reference relevant_demographics"


def _row(i: Instruction) -> dict:
    template = i.answer.template
    reference = i.answer.fill(template.reference)
    return {
        "instruction_id": i.instruction_id,
        "question": i.question,
        "category": SUBCATEGORIES[template.subcategory],
        "subcategory": template.subcategory,
        "submitter_specialty": i.specialty,
        "person_id": i.person_id,
        "filename": f"{i.person_id}.xml",
        "annotator_num": "Annotator_1",
        "clinician_response": reference,
        "evidence": i.answer.fill(template.evidence),
        "template": template.name,
        "where": i.answer.where,
        "position": i.position,
        "facts": i.answer.facts,
        "reference": reference,
        "relevant_demographics": i.answer.relevant,
    }


def _table(columns: Sequence[str], rows: list[dict]) -> str:
    return pd.DataFrame(rows, columns=columns).to_csv(sep="\t", index=False, lineterminator="\n")


def _key_line(row: dict) -> str:
    line = {column: row[column] for column in KEY.split()}
    return json.dumps(line, ensure_ascii=False) + "\n"
