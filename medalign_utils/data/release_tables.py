"""Read the tables of a release, and merge what they say about instructions."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from medalign_utils.data.access import TABLE_SUFFIXES
from medalign_utils.data.ids import annotator_name, ids_in_two_spellings
from medalign_utils.data.missing import MISSING_IN_TABLES
from medalign_utils.data.recognize import recognize_folder
from medalign_utils.data.reviews import REVIEW_COLUMNS
from medalign_utils.data.tables import (
    IN_PARAMS,
    Problem,
    Table,
    at_rows,
    find_table,
    has_column,
    read_rows,
    read_table,
    require_mapped,
    without_repeats,
)
from medalign_utils.data.taxonomy import SUBCATEGORIES
from medalign_utils.errors import ReleaseError, shown_id

INSTRUCTIONS_FILE = "all-instructions-rouge"
REFERENCES_FILE = "clinician-instruction-responses"
REVIEWS_FILE = "clinician-reviewed-model-responses"
SUBMITTED_FILE = "submitted-instructions"

_KINDS = ("category", "subcategory", "submitter_specialty")
INSTRUCTION_COLUMNS = ("instruction_id", "question", *_KINDS, "person_id")
REFERENCE_COLUMNS = ("instruction_id", "annotator", "reference", "evidence")
_ABSENT = frozenset(("", *MISSING_IN_TABLES))
# Columns that may have the patients' ids under another name.
_LIKE_PERSON_ID = re.compile(
    r"(person|patient|pat|pt|subject|subj|participant|member)"
    r"([\W_]*(id|ids|identifier|no|nr|num|number|key|mrn|uuid|source_value|\#))*|"
    r"(.*[\W_])?mrn([\W_].*)?|p[\W_]?id|medical[\W_]*record[\W_]*(id|no|nr|num|number)?",
    re.IGNORECASE,
)


class _Columns(NamedTuple):
    required: tuple[str, ...]
    optional: tuple[str, ...]
    may_be_empty: tuple[str, ...] = ()
    key: tuple[str, ...] = ("instruction_id",)


_TABLES = {
    INSTRUCTIONS_FILE: _Columns(INSTRUCTION_COLUMNS[:2], (*_KINDS, "person_id", "filename")),
    REFERENCES_FILE: _Columns(
        ("question", "person_id", *REFERENCE_COLUMNS),
        (*_KINDS, "filename"),
        may_be_empty=("reference", "evidence"),
        key=("instruction_id", "annotator"),
    ),
    # `Release.reviews` reads the other columns.
    REVIEWS_FILE: _Columns(("instruction_id",), ("person_id", "filename", "used"), key=()),
    SUBMITTED_FILE: _Columns(
        INSTRUCTION_COLUMNS[:2], ("submitter_specialty", "person_id", "duplicate_of", "request")
    ),
}
TABLE_STEMS = tuple(_TABLES)
SUBMITTED_COLUMNS = (*_TABLES[SUBMITTED_FILE].required, *_TABLES[SUBMITTED_FILE].optional)


def require_release_columns(path: Path, columns: Mapping[str, str] | None) -> None:
    """Check that a table of the release has each mapped column; see `tables.require_mapped`."""
    known = {}
    for stem, names in _TABLES.items():
        if file := find_table(path, stem):
            known[file] = {*names.required, *names.optional}
            known[file] |= {*REVIEW_COLUMNS} if stem == REVIEWS_FILE else set()
    require_mapped(columns, known)


def read_release_table(
    path: Path, stem: str, columns: Mapping[str, str] | None = None, hint: str = IN_PARAMS
) -> Table | None:
    """Return a table of the release or file `path`; None if an optional table is missing.

    `hint` is that of `tables.read_table`.
    """
    file = path if path.is_file() else find_table(path, stem)
    if file is None:
        if stem in (REVIEWS_FILE, SUBMITTED_FILE):
            return None
        form = recognize_folder(path)
        what = f"; it is {form}" if form else found_instead(path, stem)
        if not what and stem == REFERENCES_FILE:
            what = "; without any reference, it has only its header"
        raise ReleaseError(f"{path} has no {stem}{'/'.join(TABLE_SUFFIXES)}{what}")
    table = read_table(file, **_TABLES[stem]._asdict(), columns=columns, hint=hint)
    frame = table.frame
    if frame["person_id"].isna().all():
        table.problems.extend(_patients_not_read(table, stem, columns, hint))
    if "category" in frame:
        known = frame["subcategory"].map(
            lambda name: SUBCATEGORIES.get(" ".join(name.split()).lower()), na_action="ignore"
        )
        frame["category"] = frame["category"].fillna(known.astype("str"))
    if "annotator" in frame:
        frame["annotator"] = frame["annotator"].map(annotator_name, na_action="ignore")
        table = without_repeats(table, _TABLES[stem].key)
    if "duplicate_of" in frame:
        row_of = pd.Series(frame.index, index=frame["instruction_id"])
        originals = frame["duplicate_of"].dropna()
        wrong = originals[~(originals.map(row_of) < originals.index)]
        table.problems.extend(at_rows(file, wrong, "duplicate_of is not an earlier instruction"))
    return table


def _patients_not_read(
    table: Table, stem: str, columns: Mapping[str, str] | None, hint: str
) -> list[Problem]:
    """Return a problem if a table without the column person_id seems to name patients."""
    header, rows = read_rows(table.file, [])
    if has_column(header, "person_id", columns):
        return []
    cells = zip(header, zip(*rows.values(), strict=True), strict=True) if rows else ()
    filled = [name for name, texts in cells if not _ABSENT.issuperset(map(str.strip, texts))]
    naming = [name for name in filled if _LIKE_PERSON_ID.fullmatch(name.strip())]
    remedy = hint.format(column="person_id")
    if naming:
        name = naming[0] if naming[0].isidentifier() else f'"{naming[0]}"'
        remedy = remedy.replace("<name>", name)
    elif stem == INSTRUCTIONS_FILE and table.frame["filename"].notna().any():
        naming, remedy = ["filename"], f"add the column, or {remedy}"
    else:
        return []
    fault = (
        f"no column for person_id, but {', '.join(naming)} may name patients; "
        f"found {', '.join(header)}; {remedy}"
    )
    return [Problem(table.file, "", fault)]


def found_instead(folder: Path, stem: str) -> str:
    """Return what a folder without a table has in its place, and what to do; "" if nothing."""
    for file in sorted(folder.iterdir()):
        if file.name.lower().startswith(stem):
            names = ", ".join(TABLE_SUFFIXES)
            return f"; it has {file.name}: unpack or export it, or rename it to end in {names}"
        if file.is_dir() and find_table(file, stem):
            return f"; its folder {file.name} has it: give that folder"
    return ""


def merge_instructions(
    questions: Table, answers: Table, reviews: Table | None = None
) -> tuple[pd.DataFrame, list[Problem]]:
    """Return one merged table of instructions, and a problem for each row that contradicts it."""
    both = pd.concat([questions.frame, answers.frame])
    merged = both.groupby("instruction_id", sort=False, as_index=False).first()
    tables = [questions, answers] + ([reviews] if reviews else [])
    problems = ids_in_two_spellings(tables)
    rows = pd.concat([table.frame for table in tables], keys=range(len(tables)))
    patients = rows.groupby("instruction_id")["person_id"]
    wrong = rows[rows["person_id"].notna() & (rows["person_id"] != patients.transform("first"))]
    for (i, row), instruction_id in wrong["instruction_id"].drop_duplicates().items():
        persons = patients.get_group(instruction_id).dropna().unique()
        named = ", ".join(map(shown_id, persons))
        fault = (
            f"instruction {shown_id(instruction_id)} has {len(persons)} patients ({named}), "
            "expected 1"
        )
        problems.append(Problem(tables[i].file, f"row {row}", fault))
    if reviews:
        ids = reviews.frame["instruction_id"].drop_duplicates()
        unknown = ids[~ids.isin(merged["instruction_id"])]
        fault = "instruction {} is in no other table"
        problems += at_rows(reviews.file, unknown.map(shown_id), fault)
    return merged[list(INSTRUCTION_COLUMNS)], problems
