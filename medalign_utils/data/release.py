"""Load a release: its tables, and where each patient's EHR lies."""

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from medalign_utils.data import access
from medalign_utils.data.access import EHR_FOLDERS
from medalign_utils.data.tables import (
    Problem,
    Table,
    find_table,
    raise_first,
    read_table,
    repeated_rows,
    require_mapped,
    require_table,
)
from medalign_utils.data.taxonomy import SUBCATEGORIES
from medalign_utils.errors import ReleaseError

INSTRUCTION_COLUMNS = (
    "instruction_id",
    "question",
    "category",
    "subcategory",
    "submitter_specialty",
    "person_id",
)
SUBMITTED_COLUMNS = (
    "instruction_id",
    "question",
    "submitter_specialty",
    "person_id",
    "duplicate_of",
    "request",
)
REFERENCE_COLUMNS = ("instruction_id", "annotator", "reference", "evidence")
# Of the table of reviews, those that no other table has.
REVIEW_COLUMNS = ("system", "response", "correct", "rank", "rater", "used")
ANNOTATOR = "Annotator_1"

INSTRUCTIONS_FILE = "all-instructions-rouge"
REFERENCES_FILE = "clinician-instruction-responses"
REVIEWS_FILE = "clinician-reviewed-model-responses"
SUBMITTED_FILE = "submitted-instructions"
# Table -> the columns of ours that it may have.
_TABLE_COLUMNS = {
    INSTRUCTIONS_FILE: (*INSTRUCTION_COLUMNS, "filename"),
    REFERENCES_FILE: (*INSTRUCTION_COLUMNS, *REFERENCE_COLUMNS, "filename"),
    REVIEWS_FILE: ("instruction_id", "person_id", "filename", *REVIEW_COLUMNS),
    SUBMITTED_FILE: SUBMITTED_COLUMNS,
}


@dataclass(frozen=True)
class Release:
    """A release as read from its folder.

    Attributes:
        path: the folder.
        instructions: one row an instruction: instruction_id (key), question, category,
            subcategory, submitter_specialty, person_id. The last four are missing where the
            release does not give them.
        references: one row a clinician's response: instruction_id and annotator (key), reference,
            evidence. An instruction's rows stand together, the preferred annotator's first.
        annotator: the preferred annotator.
        columns: our column -> the release's, as given to `load_release`.
        reviews_path: the table of reviewed model responses, which `ratings.load_reviews` reads, or
            None.
        manifest: what ``manifest.json`` says, or None. Synthetic releases have one.
        answer_key_path: ``answer-key.jsonl``, or None. Synthetic releases have one.
    """

    path: Path
    instructions: pd.DataFrame
    references: pd.DataFrame
    annotator: str
    columns: Mapping[str, str]
    reviews_path: Path | None
    manifest: dict[str, Any] | None
    answer_key_path: Path | None
    _filenames: Mapping[str, str] = field(default_factory=dict, repr=False)

    def ehr_path(self, person_id: str) -> Path:
        """Where a patient's EHR lies.

        Raises:
            ReleaseError: there is no such file, or it would lie outside the EHR folder.
        """
        return _ehr_path(self.path, person_id, self._filenames.get(person_id))

    @cached_property
    def why_restricted(self) -> str | None:
        """Why the terms of use restrict the release, found once; see `access.why_restricted`."""
        patients = self.instructions["person_id"].dropna().unique()
        return access.why_restricted(self.path, self.manifest, map(self.ehr_path, patients))

    @property
    def is_restricted(self) -> bool:
        """Whether the terms of use restrict what is done with the release."""
        return self.why_restricted is not None


def load_release(
    path: str | Path, *, annotator: str = ANNOTATOR, columns: Mapping[str, str] | None = None
) -> Release:
    """Load a release's tables and check them against each other.

    Every column is text, missing where a field is empty; ids are kept as they are written. The
    table of references also fills what the table of instructions lacks, so an instruction that
    no clinician answered may have no person_id; a category that neither gives follows from the
    subcategory. Of reviewed responses only the instructions and patients are looked at here. EHRs
    are only looked for, not read.

    Args:
        path: the folder with ``all-instructions-rouge`` and ``clinician-instruction-responses``
            (``.tsv``, or ``.csv`` with commas) and the EHRs in ``ehrs/`` or
            ``medalign_ehr_xml/``.
        annotator: whose response is the reference of an instruction that has several.
        columns: our column -> the release's name for it, tried in each table before those of
            `tables.COLUMN_NAMES`.

    Returns:
        The release; see :class:`Release`. Rows without a clinician's response are left out of the
        references, with a warning that names them, and an instruction loses its patient, with a
        warning, if only the table of instructions names that patient and there is no such EHR.

    Raises:
        ReleaseError: the folder, a table, a column or an EHR that a row names is missing; a row has
            another number of fields than the header, or no id; an instruction or a reference occurs
            twice; two rows give one instruction to two patients; a ``person_id`` or ``filename``
            leads out of the EHR folder, or the one is not the other's; a review is of no
            instruction. The message names the file and the row.
        ParamsError: `columns` maps a column that is none of ours, or to a name that no table has.

    >>> load_release("no/such/folder")
    Traceback (most recent call last):
    ...
    medalign_utils.errors.ReleaseError: load_release: no folder no/such/folder
    """
    path = Path(path)
    if not path.is_dir():
        raise ReleaseError(f"load_release: no folder {path}")
    require_release_columns(path, columns)
    asked = read_instructions(require_table(path, INSTRUCTIONS_FILE), columns=columns)
    answered = read_references(require_table(path, REFERENCES_FILE), columns=columns)
    tables = [asked, answered]
    reviews_path = find_table(path, REVIEWS_FILE)
    if reviews_path:
        tables.append(read_reviewed(reviews_path, columns=columns))
    filenames, problems, absent = find_ehrs(path, tables)
    instructions, astray = merge_instructions(*tables)
    # Where only the table of instructions names a patient whose EHR is not released.
    left_out = {person: p for person, p in absent.items() if p.file == asked.file}
    problems = [problem for problem in problems if problem not in left_out.values()]
    raise_first([*(p for table in tables for p in table.problems), *problems, *astray], path)
    if left_out:
        warnings.warn(
            f"{asked.file}: no EHR of {len(left_out)} patients ({', '.join([*left_out][:5])}); "
            "their instructions are kept without a patient",
            stacklevel=2,
        )
        gone = instructions["person_id"].isin(left_out)
        instructions["person_id"] = instructions["person_id"].mask(gone)
    without = answered.frame.index[answered.frame["reference"].isna()]
    if len(without):
        warnings.warn(
            f"{answered.file}: left out {_rows(without)}, without a clinician's response",
            stacklevel=2,
        )
    return Release(
        path=path,
        instructions=instructions,
        references=_references(answered.frame, annotator),
        annotator=annotator,
        columns=dict(columns or {}),
        reviews_path=reviews_path,
        manifest=read_manifest(path / "manifest.json"),
        answer_key_path=_if_file(path / "answer-key.jsonl"),
        _filenames=filenames,
    )


def require_release_columns(path: Path, columns: Mapping[str, str] | None) -> None:
    """As `tables.require_mapped`, over the tables that the release has."""
    files = {find_table(path, stem): its for stem, its in _TABLE_COLUMNS.items()}
    require_mapped(columns, {file: its for file, its in files.items() if file is not None})


def read_instructions(file: str | Path, *, columns: Mapping[str, str] | None = None) -> Table:
    """Read one table of instructions, such as the public sample of them.

    Returns:
        The columns of `INSTRUCTION_COLUMNS` and filename; a category that the table does not give
        follows from the subcategory, in any case and spacing. Rows at fault (no id, no question, an
        id that stands further up) are among the problems.

    Raises:
        ReleaseError: as `tables.read_table`.
    """
    names = _TABLE_COLUMNS[INSTRUCTIONS_FILE]
    table = read_table(Path(file), names[:2], names[2:], columns=columns)
    table = _without_repeats(table, ["instruction_id"])
    return table._replace(frame=_with_categories(table.frame))


def read_references(file: Path, *, columns: Mapping[str, str] | None = None) -> Table:
    """Read the table of clinicians' responses, one row an instruction and annotator."""
    required = ("instruction_id", "question", "person_id", "annotator", "reference", "evidence")
    table = read_table(
        file,
        required,
        ("category", "subcategory", "submitter_specialty", "filename"),
        may_be_empty=("reference", "evidence"),
        columns=columns,
    )
    table = _without_repeats(table, ["instruction_id", "annotator"])
    return table._replace(frame=_with_categories(table.frame))


def read_reviewed(file: Path, *, columns: Mapping[str, str] | None = None) -> Table:
    """Read whom the reviewed responses are about; `ratings.read_reviews` reads the verdicts."""
    return read_table(file, ("instruction_id",), ("person_id", "filename", "used"), columns=columns)


def read_submitted(file: Path, *, columns: Mapping[str, str] | None = None) -> Table:
    """Read the instructions as submitted; see `load_submitted`."""
    table = read_table(file, SUBMITTED_COLUMNS[:2], SUBMITTED_COLUMNS[2:], columns=columns)
    table = _without_repeats(table, ["instruction_id"])
    row_of = pd.Series(table.frame.index, index=table.frame["instruction_id"])
    rewords = table.frame["duplicate_of"].dropna()
    astray = [
        Problem(file, f"row {row}", "duplicate_of names no earlier instruction")
        for row in rewords.index[~(rewords.map(row_of) < rewords.index)]
    ]
    return table._replace(problems=[*table.problems, *astray])


def load_submitted(release: Release) -> pd.DataFrame:
    """Load the instructions as submitted, before near-duplicates were taken out.

    Args:
        release: as :func:`load_release` gives it.

    Returns:
        One row a submission, in their order: instruction_id (key), question, submitter_specialty,
        person_id, duplicate_of (the instruction_id of the earlier one that it rewords; missing for
        originals), request (what is asked, the same for all duplicates). Synthetic releases have
        ``submitted-instructions.tsv``; where there is no such file these are the release's own
        instructions, and the last two columns are missing throughout.

    Raises:
        ReleaseError: a column or an EHR that a row names is missing, an instruction occurs twice,
            or ``duplicate_of`` names none that came before.
    """
    file = find_table(release.path, SUBMITTED_FILE)
    if file is None:
        table = release.instructions.assign(duplicate_of=None, request=None)
        return table.astype({"duplicate_of": "str", "request": "str"})[list(SUBMITTED_COLUMNS)]
    submitted = read_submitted(file, columns=release.columns)
    absent = find_ehrs(release.path, [submitted])[1]
    raise_first([*submitted.problems, *absent], release.path)
    return submitted.frame.reset_index(drop=True)


def primary_references(references: pd.DataFrame, annotator: str = ANNOTATOR) -> pd.DataFrame:
    """Keep one reference an instruction: the annotator's, or else the first one listed.

    Args:
        references: the table of :class:`Release`.
        annotator: whose reference is preferred.

    Returns:
        The kept rows, in the same order, with a new index.

    >>> table = pd.DataFrame({"instruction_id": ["1", "1"], "annotator": ["Annotator_1", "x"],
    ...     "reference": ["Yes.", "No."], "evidence": ["", ""]})
    >>> primary_references(table)["reference"].tolist()
    ['Yes.']
    """
    preferred_first = references.sort_values(
        "annotator", key=lambda names: names != annotator, kind="stable"
    )
    kept = preferred_first.drop_duplicates("instruction_id").sort_index()
    return kept.reset_index(drop=True)


def find_ehrs(
    folder: Path, tables: Sequence[Table]
) -> tuple[dict[str, str], list[Problem], dict[str, Problem]]:
    """Look for each row's EHR: the file name that a table gives a patient, and what is wrong.

    A row that names neither a patient nor a file is passed over. The last of the three has, of the
    problems, those of patients without an EHR, each patient's first.
    """
    filenames: dict[str, str] = {}
    problems: list[Problem] = []
    absent: dict[str, Problem] = {}
    for table in tables:
        named = table.frame.reindex(columns=["person_id", "filename"]).drop_duplicates()
        for row, person_id, filename in named.dropna(how="all").itertuples():
            given = None if pd.isna(filename) else filename
            patient = _patient_of(Path(given)) if pd.isna(person_id) else person_id
            try:
                _ehr_path(folder, patient, given)
            except ReleaseError as error:
                problems.append(Problem(table.file, f"row {row}", str(error)))
                if isinstance(error, _NoEHR):
                    absent.setdefault(patient, problems[-1])
                continue
            if given is not None and filenames.setdefault(patient, given) != given:
                fault = (
                    f"filename {given!r} for patient {patient}, whose EHR is "
                    f"{filenames[patient]!r} in an earlier row or table"
                )
                problems.append(Problem(table.file, f"row {row}", fault))
    return filenames, problems, absent


def ehr_files(folder: Path) -> tuple[dict[Path, str], list[Path]]:
    """The EHR files of a release with the patient of each, by name, and what else lies there.

    An EHR's name is its patient's id, with ``EHR_`` before it or without; ids have no dot.
    """
    found = next((folder / name for name in EHR_FOLDERS if (folder / name).is_dir()), None)
    files = sorted(found.iterdir()) if found else []
    ehrs = {f: _patient_of(f) for f in files if f.suffix == ".xml" and "." not in f.stem}
    return ehrs, [f for f in files if f not in ehrs]


def _patient_of(file: Path) -> str:
    return file.stem.removeprefix("EHR_")


def _without_repeats(table: Table, key: list[str]) -> Table:
    repeats = list(repeated_rows(table, key))
    return table._replace(
        frame=table.frame.drop_duplicates(key), problems=[*table.problems, *repeats]
    )


def _with_categories(frame: pd.DataFrame) -> pd.DataFrame:
    implied = [
        None if pd.isna(name) else SUBCATEGORIES.get(" ".join(name.split()).lower())
        for name in frame["subcategory"]
    ]
    implied = pd.Series(implied, index=frame.index, dtype="str")
    return frame.assign(category=frame["category"].fillna(implied))


def merge_instructions(
    asked: Table, answered: Table, reviewed: Table | None = None
) -> tuple[pd.DataFrame, list[Problem]]:
    """One table of instructions from the first two, and the rows that do not agree with it.

    These are the first to give an instruction to another patient, and reviews of no instruction.
    """
    both = pd.concat([asked.frame, answered.frame])
    merged = both.groupby("instruction_id", sort=False, as_index=False).first()
    tables = [table for table in (asked, answered, reviewed) if table]
    every = pd.concat([table.frame for table in tables], keys=range(len(tables)))
    patients = every.groupby("instruction_id")["person_id"]
    torn = every[every["person_id"].notna() & (every["person_id"] != patients.transform("first"))]
    problems = []
    for (i, row), instruction_id in torn["instruction_id"].drop_duplicates().items():
        found = patients.get_group(instruction_id).dropna().unique()
        fault = (
            f"instruction {instruction_id} belongs to {len(found)} patients "
            f"({', '.join(found)}), expected one"
        )
        problems.append(Problem(tables[i].file, f"row {row}", fault))
    if reviewed:
        unknown = reviewed.frame[~reviewed.frame["instruction_id"].isin(merged["instruction_id"])]
        problems += [
            Problem(reviewed.file, f"row {row}", f"a review of instruction {i}, not in any table")
            for row, i in unknown["instruction_id"].drop_duplicates().items()
        ]
    return merged[list(INSTRUCTION_COLUMNS)], problems


def _references(answered: pd.DataFrame, annotator: str) -> pd.DataFrame:
    table = answered.loc[answered["reference"].notna(), list(REFERENCE_COLUMNS)]
    appearance = {name: i for i, name in enumerate(table["instruction_id"].unique())}
    table = table.assign(
        _appearance=table["instruction_id"].map(appearance),
        _others=table["annotator"] != annotator,
    ).sort_values(["_appearance", "_others"], kind="stable")
    return table[list(REFERENCE_COLUMNS)].reset_index(drop=True)


class _NoEHR(ReleaseError):
    """The file that would be an EHR's does not exist."""


def _ehr_path(release: Path, person_id: str, filename: str | None) -> Path:
    folder = next((release / name for name in EHR_FOLDERS if (release / name).is_dir()), None)
    if folder is None:
        raise ReleaseError(f"no EHR folder in {release}, expected {' or '.join(EHR_FOLDERS)}")
    names = [f"{person_id}.xml", f"EHR_{person_id}.xml"]
    if filename is not None:
        names.insert(0, filename)
    for name in names:
        # Backslashes part folders on some systems, so they are no part of a name on any.
        parts = PurePosixPath(name.replace("\\", "/"))
        candidate = folder / parts
        try:
            inside = candidate.resolve().is_relative_to(folder.resolve())
            exists = inside and candidate.is_file()
        except (OSError, ValueError, RuntimeError):  # too long, a NUL, links in a circle
            raise ReleaseError(f"{name!r} is no name of a file") from None
        if parts.is_absolute() or ".." in parts.parts or not inside:
            raise ReleaseError(f"{name!r} leads out of the EHR folder {folder}")
        if parts.stem.removeprefix("EHR_") != person_id:
            raise ReleaseError(
                f"filename {name!r} is not of patient {person_id}, expected "
                f"{person_id}.xml or EHR_{person_id}.xml"
            )
        if exists:
            return candidate
    raise _NoEHR(f"no EHR of patient {person_id} in {folder}; tried {', '.join(names)}")


def read_manifest(file: Path) -> dict[str, Any] | None:
    """What ``manifest.json`` says; None where there is none.

    Raises:
        ReleaseError: it is no JSON object.
    """
    if not file.is_file():
        return None
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ReleaseError(f"{file}: not JSON ({error})") from None
    if not isinstance(manifest, dict):
        raise ReleaseError(f"{file}: found a {type(manifest).__name__}, expected an object")
    return manifest


def _if_file(file: Path) -> Path | None:
    return file if file.is_file() else None


def _rows(index: pd.Index) -> str:
    """Name rows for a message, the first under the header being 1."""
    shown = ", ".join(str(row) for row in index[:5])
    more = f" and {len(index) - 5} more" if len(index) > 5 else ""
    return f"row{'s' if len(index) > 1 else ''} {shown}{more}"


def instructions_to_answer(release: Release, only_with_reference: bool = True) -> pd.DataFrame:
    """The instructions that a system is to answer, patient by patient, so each EHR is read once.

    Args:
        release: as for :func:`run_system`.
        only_with_reference: as for :func:`run_system`.

    Raises:
        ReleaseError: one of them names no patient.
    """
    instructions = release.instructions
    if only_with_reference:
        with_reference = instructions["instruction_id"].isin(release.references["instruction_id"])
        instructions = instructions[with_reference]
    nobody = instructions.loc[instructions["person_id"].isna(), "instruction_id"]
    if len(nobody):
        raise ReleaseError(
            f"{release.path}: {len(nobody)} instructions name no patient, the first being "
            f"{nobody.iloc[0]}; they cannot be answered"
        )
    return instructions.sort_values("person_id", kind="stable")
