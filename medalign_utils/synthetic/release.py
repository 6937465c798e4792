"""Writes a synthetic release in the real one's layout and markup, with an answer key."""

import hashlib
import json
import os
import random
import tempfile
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import escape, quoteattr

import pandas as pd
from tqdm import tqdm

from medalign_utils.data.access import ehr_folder_files, require_not_real, table_files
from medalign_utils.data.taxonomy import SUBCATEGORIES
from medalign_utils.errors import MedAlignError, reading
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

# The part before the dot seeds all draws. It changes when records change, the rest with additions.
GENERATOR_VERSION = "2.0"
# The demo's seed. Its release and answers are published, so a model may have seen them in training;
# any other seed gives a fresh release.
PUBLIC_SEED = 1
SHORTEST, LONGEST = 3, 175  # visits in the demo's records
INSTRUCTION_COLUMNS = (
    "instruction_id question category subcategory submitter_specialty person_id filename"
).split()
REFERENCE_COLUMNS = (
    "instruction_id question person_id filename annotator_num clinician_response evidence "
    "submitter_specialty subcategory"
).split()
KEY_COLUMNS = (
    "instruction_id person_id template where position facts reference relevant_demographics "
    "difficulties"
).split()


class Scale(NamedTuple):
    """How large a release is, and how long its records are."""

    patients: int
    instructions: int
    references: int | None  # None: by the demo's shares
    visit_counts: Callable[[int], list[int]]  # from the number of patients
    care: Callable[[int], Care]  # from a patient's number of visits


def write_release(
    out: Path,
    *,
    patients: int | None = None,
    instructions: int | None = None,
    seed: int = PUBLIC_SEED,
    templates: Mapping[str, Template] = TEMPLATES,
    scale: str = "demo",
    progress: bool = False,
) -> dict:
    """Write a synthetic release to a folder and return its manifest; replace only a synthetic one.

    The same arguments give the same bytes on every machine. Scale "demo" has 24 patients and 120
    instructions by default; scale "release" always has the published size. Templates other than
    the benchmark's are used equally often. Memory holds one record at a time.

    Raises:
        MedAlignError: an argument is out of range, or the patients yield too few instructions.
        TermsError: the folder may contain a real release.
    """
    require_not_real(out)
    if scale not in SCALES:
        raise MedAlignError(f"write_release: scale '{scale}', expected one of {', '.join(SCALES)}")
    is_default = (patients, instructions) == (None, None) and templates is TEMPLATES
    if scale != "demo" and not is_default:
        raise MedAlignError(
            f"write_release: scale '{scale}' sets patients, instructions and templates itself; "
            "leave them out, or use scale 'demo'"
        )
    size = SCALES[scale]
    patients = size.patients if patients is None else patients
    instructions = size.instructions if instructions is None else instructions
    if patients < 1 or instructions < 1:
        raise MedAlignError(
            f"write_release: {patients} patients, {instructions} instructions; "
            "expected at least 1 of each"
        )
    plan = plan_subcategories(instructions, templates)
    if size.references is not None:
        plan = plan_categories(instructions, size.references)
    split = "demo" if templates is TEMPLATES else "train"
    major = GENERATOR_VERSION.partition(".")[0]
    stream = f"medalign {major} {split if scale == 'demo' else scale} {seed}"
    rng = random.Random(stream)
    ids = rng.sample(range(124_000_000, 137_000_000), patients)
    counts = size.visit_counts(patients)
    rng.shuffle(counts)
    out.mkdir(parents=True, exist_ok=True)
    # The folder becomes `ehrs` when all records are complete.
    with tempfile.TemporaryDirectory(prefix=".unfinished-", dir=out) as unfinished:
        folder = Path(unfinished)
        people, files = [], {}
        for number in tqdm(range(patients), "patients", disable=not progress):
            patient_rng = random.Random(f"{stream} {number}")
            care = size.care(counts[number])
            patient = simulate_patient(patient_rng, str(ids[number]), counts[number], care)
            encounters = write_encounters(patient_rng, patient)
            name = f"{patient.person_id}.xml"
            files[f"ehrs/{name}"] = _write(folder / name, _xml(patient, encounters))
            people.append((patient, places(encounters)))
        chosen = choose_instructions(rng, people, plan, templates)
        # A separate random stream, so that submissions change nothing else.
        submission_rng = random.Random(f"{stream} submitted")
        submitted = submit(submission_rng, chosen, round(instructions * DUPLICATES))
        rows = [_row(i) for i in chosen]
        references = [row for row, i in zip(rows, chosen, strict=True) if i.has_reference]
        submissions = [s._asdict() for s in submitted]
        key = [json.dumps({c: row[c] for c in KEY_COLUMNS}, ensure_ascii=False) for row in rows]
        tables = {
            "all-instructions-rouge.tsv": _table(INSTRUCTION_COLUMNS, rows),
            "clinician-instruction-responses.tsv": _table(REFERENCE_COLUMNS, references),
            "submitted-instructions.tsv": _table(Submission._fields, submissions),
            "answer-key.jsonl": "".join(f"{line}\n" for line in key),
        }
        files |= {name: _digest(text.encode()) for name, text in tables.items()}
        manifest = {
            "synthetic": True,
            "generator_version": GENERATOR_VERSION,
            "scale": scale,
            "seed": seed,
            "is_public_seed": seed == PUBLIC_SEED,
            "split": split,
            "patients": patients,
            "instructions": instructions,
            "submitted": len(submitted),
            "files": dict(sorted(files.items())),
        }
        # At any time the manifest lists all files, so that a killed run leaves a synthetic release.
        for old in (*ehr_folder_files(out), *table_files(out)):
            old.unlink()
        _write(out / "manifest.json", json.dumps(manifest, indent=1) + "\n")
        (out / "ehrs").mkdir(exist_ok=True)
        for record in sorted(folder.iterdir()):
            os.replace(record, out / "ehrs" / record.name)
        for name, text in tables.items():
            _write(out / name, text)
    return manifest


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _write(path: Path, text: str) -> str:
    """Write a file and return its digest."""
    content = text.encode()
    with reading(path, MedAlignError, "written"):
        path.write_bytes(content)
    return _digest(content)


def _visit_counts(patients: int) -> list[int]:
    # Geometric steps without a logarithm: repeated multiplication is exact enough to round.
    if patients == 1:
        return [SHORTEST * 5]
    ratio = (LONGEST / SHORTEST) ** (1 / (patients - 1))
    return [round(SHORTEST * ratio**i) for i in range(patients)]


def _uneven_visit_counts(patients: int) -> list[int]:
    # q / (1 - q) for evenly spaced q: half the patients have few visits, a few have very many.
    shares = [(i + 0.5) / patients for i in range(patients)]
    return [SHORTEST + int(16 * q / (1.04 - q)) for q in shares]


# Near-duplicates per instruction of the release: the paper kept 983 of 1,314 submissions.
DUPLICATES = (1314 - 983) / 983
SCALES = {
    "demo": Scale(24, 120, None, _visit_counts, lambda visits: Care()),
    # Patients with more visits have a larger share of inpatient stays.
    "release": Scale(
        276, 983, 303, _uneven_visit_counts, lambda n: Care((60, 13, 10, 13 + n // 8), 7, True)
    ),
}
STAMP = "%Y-%m-%d %H:%M"


def _xml(patient: Patient, encounters: list[Encounter]) -> str:
    header = '<?xml version="1.0" encoding="UTF-8"?>'
    lines, note = [header, f'<eventstream person_id="{patient.person_id}">'], 0
    for x in encounters:
        days = (x.start.date() - patient.birthdate).days
        lines += [
            f'<encounter start_timestamp="{x.start:{STAMP}}" end_timestamp="{x.end:{STAMP}}">',
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
            lines.append(f'<entry timestamp="{time:{STAMP}}">')
            for event in events:
                extra = f" unit={quoteattr(event.unit)}" if event.unit else ""
                if event.is_note:
                    note += 1
                    extra = f'{extra} note_id="{patient.person_id}{note:04d}"'
                lines.append(
                    f'<event type="{event.type}" code={quoteattr(event.code)} '
                    f"name={quoteattr(event.name)}{extra}>{escape(event.text)}</event>"
                )
            lines.append("</entry>")
        lines += ["</events>", "</encounter>"]
    return "\n".join([*lines, "</eventstream>", ""])


def _row(i: Instruction) -> dict:
    template = i.answer.template
    return {
        "instruction_id": i.instruction_id,
        "question": i.question,
        "category": SUBCATEGORIES[template.subcategory],
        "subcategory": template.subcategory,
        "submitter_specialty": i.specialty,
        "person_id": i.person_id,
        "filename": f"{i.person_id}.xml",
        "annotator_num": "Annotator_1",
        "clinician_response": i.answer.reference,
        "evidence": i.answer.evidence,
        "template": template.name,
        "where": i.answer.where,
        "position": i.position,
        "facts": i.answer.facts,
        "reference": i.answer.reference,
        "relevant_demographics": i.answer.relevant,
        "difficulties": i.difficulties,
    }


def _table(columns: Sequence[str], rows: list[dict]) -> str:
    return pd.DataFrame(rows, columns=columns).to_csv(sep="\t", index=False, lineterminator="\n")
