"""Writes what clinicians submitted or wrote in a review as a release, with a link to the EHRs.

Submitted instructions give a release without references, whose instructions the next review may ask
references for; these give a release on which systems can be evaluated.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from medalign_utils.curation.deduplicate_and_match import best_patients, drop_near_duplicates
from medalign_utils.data.access import EHR_FOLDERS, require_private_place
from medalign_utils.data.ehr_files import ehr_files
from medalign_utils.data.missing import MISSING_IN_TABLES
from medalign_utils.data.release import Release, load_release
from medalign_utils.data.release_tables import INSTRUCTIONS_FILE, REFERENCES_FILE, SUBMITTED_FILE
from medalign_utils.data.tables import COLUMN_NAMES
from medalign_utils.errors import MedAlignError
from medalign_utils.paths import resolve, short, write_text
from medalign_utils.review.folder import make_private, read_items, read_plan
from medalign_utils.review.journal import Journal
from medalign_utils.review.state import replay, submissions

UNANSWERABLE_FILE = "instructions-without-an-answer"
_NAMES = {column: names[0] for column, names in COLUMN_NAMES.items()}
_WHY = "clinicians' own words"


class Exported(NamedTuple):
    """Files with their numbers of rows, and sentences about what is not in them."""

    files: dict[Path, int]
    notes: list[str]


def submitted(folder: Path) -> tuple[pd.DataFrame, int]:
    """Return the instructions that raters have submitted, in order, and the number of drafts.

    The columns are instruction_id, question, submitter_specialty, person_id, duplicate_of and
    request; the last three have no values.
    """
    rows, drafts = [], 0
    for rater in read_plan(folder)["raters"]:
        lines = Journal(folder, rater).lines
        written = replay(lines)
        drafts += sum(bool(w.submission) and not w.done for w in written.values())
        for one in submissions(lines):
            row = {"instruction_id": one["item"], "question": one["instruction"]}
            row |= {"submitter_specialty": one["specialty"], "at": written[one["item"]].done_at}
            rows.append(row)
    columns = ["instruction_id", "question", "submitter_specialty", "at"]
    table = pd.DataFrame(rows, columns=columns).sort_values("at", kind="stable")
    empty = dict.fromkeys(("person_id", "duplicate_of", "request"))
    return table.drop(columns="at").assign(**empty).reset_index(drop=True), drafts


def written_references(folder: Path, release: Release) -> tuple[pd.DataFrame, pd.DataFrame, int]:
    """Return raters' references, the instructions without an answer, and the number not done.

    Both tables have the columns instruction_id, annotator (the rater's code), reference and
    evidence, and those of the release's instructions.
    """
    rows, unfinished = [], 0
    for rater in read_plan(folder)["raters"]:
        written = replay(Journal(folder, rater).lines)
        for item in read_items(folder, rater):
            if item["item"] not in written or not written[item["item"]].done:
                unfinished += 1
                continue
            found = written[item["item"]]
            row = {"instruction_id": item["instruction_id"], "annotator": rater}
            row |= {"reference": found.reference or "", "is_answered": not found.unanswerable}
            evidence = "; ".join(dict.fromkeys(part["text"] for part in found.evidence))
            rows.append(row | {"evidence": evidence})
    columns = ["instruction_id", "annotator", "reference", "is_answered", "evidence"]
    table = pd.DataFrame(rows, columns=columns)
    table = table.merge(release.instructions, on="instruction_id", how="inner")
    is_answered = table.pop("is_answered").astype(bool)
    return table[is_answered], table[~is_answered], unfinished


def export_curation(folder: Path, threshold: float) -> Exported:
    """Write a review in the mode `submit` or `reference` as a release, `release_folder(folder)`.

    - submit: `SUBMITTED_FILE` has all submitted instructions. Near-duplicates, by a ROUGE-L of
      `threshold`, are dropped as notebook 02 shows, and the others get the patient whose record
      BM25 ranks first. There are no references.
    - reference: raters' references follow those of the release. `UNANSWERABLE_FILE` has the
      instructions that a record cannot answer, if there are any.

    Raises:
        MedAlignError: nothing is submitted or done yet, or there are no EHRs.
        TermsError: git would track the files.
    """
    plan = read_plan(folder)
    release = resolve(plan["release"])
    if plan["mode"] == "judge":
        raise MedAlignError(f"{short(folder)}: raters judge responses, and write no release")
    if plan["mode"] == "submit":
        return _export_submissions(folder, release, threshold)
    return _export_references(folder, load_release(release, columns=plan["columns"]))


def release_folder(folder: Path) -> Path:
    """Return where `export_curation` writes a release."""
    return folder / "release"


def _export_submissions(folder: Path, release: Path, threshold: float) -> Exported:
    table, drafts = submitted(folder)
    if table.empty:
        raise MedAlignError(f"{short(folder)}: no instruction is submitted yet")
    ehrs, _ = ehr_files(release)
    if not ehrs:
        raise MedAlignError(f"{short(release)}: no EHRs to match the instructions with")
    found = drop_near_duplicates(table["question"].tolist(), threshold)
    kept = table[found["duplicate_of"].isna()]
    kept = kept.assign(person_id=best_patients(kept["question"].tolist(), ehrs))
    columns = ["instruction_id", "question", "category", "subcategory", "submitter_specialty"]
    instructions = kept.reindex(columns=[*columns, "person_id"])
    tables = {
        SUBMITTED_FILE: table.rename(columns=_NAMES),
        INSTRUCTIONS_FILE: instructions,
        REFERENCES_FILE: _references(pd.DataFrame(columns=_REFERENCES), {}),
    }
    notes = [f"{len(table)} submitted, {len(table) - len(kept)} of them near-duplicates"]
    notes += [f"{drafts} drafts are left out"] * bool(drafts)
    if n := int(kept["person_id"].isna().sum()):
        notes.append(f"{n} share no word with any record, and have no patient")
    return Exported(_write(tables, release, release_folder(folder)), notes)


def _export_references(folder: Path, release: Release) -> Exported:
    new, unanswerable, unfinished = written_references(folder, release)
    if new.empty and unanswerable.empty:
        raise MedAlignError(f"{short(folder)}: no item is done yet")
    known = release.references.merge(release.instructions, on="instruction_id", how="left")
    both = pd.concat([known, new], ignore_index=True)
    patients = release.instructions["person_id"].dropna().unique()
    filenames = {person: release.ehr_path(person).name for person in patients}
    tables = {
        INSTRUCTIONS_FILE: release.instructions,
        REFERENCES_FILE: _references(both, filenames),
    }
    if len(unanswerable):
        tables[UNANSWERABLE_FILE] = _references(unanswerable, filenames)
    notes = [f"{len(new)} references by raters"]
    notes += [f"{unfinished} items are not done, and left out"] * bool(unfinished)
    notes += [f"{len(unanswerable)} times, the record has no answer"] * bool(len(unanswerable))
    return Exported(_write(tables, release.path, release_folder(folder)), notes)


_REFERENCES = (
    "instruction_id question person_id filename annotator reference evidence "
    "submitter_specialty subcategory category"
).split()


def _references(table: pd.DataFrame, filenames: Mapping[str, str]) -> pd.DataFrame:
    table = table.assign(filename=table["person_id"].map(filenames))[_REFERENCES]
    return table.rename(columns=_NAMES)


def _write(tables: Mapping[str, pd.DataFrame], release: Path, out: Path) -> dict[Path, int]:
    """Write tables to a folder beside a link to a release's EHRs."""
    files = {out / f"{stem}.tsv": table for stem, table in tables.items()}
    for file in files:
        require_private_place(file, _WHY)
    make_private(out)
    ehrs = next(name for name in EHR_FOLDERS if (release / name).is_dir())
    link = out / ehrs
    if link.is_symlink():
        link.unlink()
    os.symlink((release / ehrs).resolve(), link, target_is_directory=True)
    for file, table in files.items():
        text = table.map(_cell).to_csv(sep="\t", index=False, lineterminator="\n")
        write_text(text, file, private=True)
    return {file: len(table) for file, table in files.items()}


def _cell(value: Any) -> str:
    r"""Return a cell that reads as what it says: "None" as an answer, and no tabs or returns.

    >>> _cell("None"), _cell(None), _cell("a\tb\r\nc")
    ('None.', '', 'a b\nc')
    """
    if not isinstance(value, str):
        return "" if pd.isna(value) else str(value)
    text = value.replace("\r\n", "\n").replace("\r", "\n").replace("\t", " ").strip()
    return f"{text}." if text in MISSING_IN_TABLES else text
