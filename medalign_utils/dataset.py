"""Load a release: its tables, and where each patient's EHR lies."""

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from medalign_utils.errors import ReleaseError
from medalign_utils.tables import (
    Problem,
    Table,
    find_table,
    raise_first,
    read_table,
    repeated_rows,
    require_table,
)
from medalign_utils.taxonomy import SUBCATEGORIES

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
ANNOTATOR = "Annotator_1"

INSTRUCTIONS_FILE = "all-instructions-rouge"
REFERENCES_FILE = "clinician-instruction-responses"
REVIEWS_FILE = "clinician-reviewed-model-responses"
SUBMITTED_FILE = "submitted-instructions"
EHR_FOLDERS = ("ehrs", "medalign_ehr_xml")


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


def load_release(
    path: str | Path, *, annotator: str = ANNOTATOR, columns: Mapping[str, str] | None = None
) -> Release:
    """Load a release's tables and check them against each other.

    Every column is text, missing where a field is empty; ids are kept as they are written. The
    table of references also fills what the table of instructions lacks, so an instruction that
    no clinician answered may have no person_id; a category that neither gives follows from the
    subcategory. EHRs are only looked for, not read.

    Args:
        path: the folder with ``all-instructions-rouge`` and ``clinician-instruction-responses``
            (``.tsv``, or ``.csv`` with commas) and the EHRs in ``ehrs/`` or
            ``medalign_ehr_xml/``.
        annotator: whose response is the reference of an instruction that has several.
        columns: our column -> the release's name for it, where `tables.COLUMN_NAMES` has not got
            it.

    Returns:
        The release; see :class:`Release`. Rows without a clinician's response are left out of the
        references, with a warning that names them.

    Raises:
        ReleaseError: the folder, a table, a column or an EHR is missing; a row has another number
            of fields than the header, or no id; an instruction or a reference occurs twice; two
            rows give one instruction to two patients; a ``filename`` leads out of the EHR folder
            or names another patient. The message names the file and the row.
        ParamsError: `columns` maps a column that is none of ours.

    >>> load_release("no/such/folder")
    Traceback (most recent call last):
    ...
    medalign_utils.errors.ReleaseError: load_release: no folder no/such/folder
    """
    path = Path(path)
    if not path.is_dir():
        raise ReleaseError(f"load_release: no folder {path}")
    asked = read_instructions(require_table(path, INSTRUCTIONS_FILE), columns=columns)
    answered = read_references(require_table(path, REFERENCES_FILE), columns=columns)
    filenames, ehr_problems = find_ehrs(path, answered)
    instructions, torn = merge_instructions(asked, answered)
    raise_first([*asked.problems, *answered.problems, *ehr_problems, *torn], path)
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
        reviews_path=find_table(path, REVIEWS_FILE),
        manifest=read_manifest(path / "manifest.json"),
        answer_key_path=_if_file(path / "answer-key.jsonl"),
        _filenames=filenames,
    )


def read_instructions(file: str | Path, *, columns: Mapping[str, str] | None = None) -> Table:
    """Read one table of instructions, such as the public sample of them.

    Returns:
        The columns of `INSTRUCTION_COLUMNS`; a category that the table does not give follows from
        the subcategory, in any case and spacing. Rows at fault (no id, no question, an id that
        stands further up) are among the problems.

    Raises:
        ReleaseError: as `tables.read_table`.
    """
    optional = [c for c in INSTRUCTION_COLUMNS if c not in ("instruction_id", "question")]
    table = read_table(Path(file), ("instruction_id", "question"), optional, columns=columns)
    table = _without_repeats(table, ["instruction_id"])
    return table._replace(frame=_with_categories(table.frame[list(INSTRUCTION_COLUMNS)]))


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
        ReleaseError: a column is missing, an instruction occurs twice, or ``duplicate_of`` names
            none that came before.
    """
    file = find_table(release.path, SUBMITTED_FILE)
    if file is None:
        table = release.instructions.assign(duplicate_of=None, request=None)
        return table.astype({"duplicate_of": "str", "request": "str"})[list(SUBMITTED_COLUMNS)]
    required = ("instruction_id", "question")
    optional = [column for column in SUBMITTED_COLUMNS if column not in required]
    submitted = read_table(file, required, optional, columns=release.columns)
    submitted = _without_repeats(submitted, ["instruction_id"])
    table = submitted.frame
    row_of = pd.Series(table.index, index=table["instruction_id"])
    rewords = table["duplicate_of"].dropna()
    astray = [
        Problem(file, f"row {row}", "duplicate_of names no earlier instruction")
        for row in rewords.index[~(rewords.map(row_of) < rewords.index)]
    ]
    raise_first([*submitted.problems, *astray], release.path)
    return table[list(SUBMITTED_COLUMNS)].reset_index(drop=True)


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


def find_ehrs(folder: Path, answered: Table) -> tuple[dict[str, str], list[Problem]]:
    """Look for each row's EHR: the file name that the table gives a patient, and what is wrong."""
    filenames: dict[str, str] = {}
    problems = []
    pairs = answered.frame[["person_id", "filename"]].drop_duplicates()
    for row, person_id, filename in pairs.itertuples():
        given = None if pd.isna(filename) else filename
        try:
            _ehr_path(folder, person_id, given)
        except ReleaseError as error:
            problems.append(Problem(answered.file, f"row {row}", str(error)))
            continue
        if given is not None and filenames.setdefault(person_id, given) != given:
            fault = (
                f"filename {given!r} for patient {person_id}, whose EHR was "
                f"{filenames[person_id]!r} further up"
            )
            problems.append(Problem(answered.file, f"row {row}", fault))
    return filenames, problems


def ehr_files(folder: Path) -> tuple[list[Path], int]:
    """The EHR files of a release, by name, and how many other files stand beside them.

    An EHR's name is its patient's id, with ``EHR_`` before it or without; ids have no dot.
    """
    found = next((folder / name for name in EHR_FOLDERS if (folder / name).is_dir()), None)
    files = sorted(found.iterdir()) if found else []
    ehrs = [f for f in files if f.suffix == ".xml" and f.stem and "." not in f.stem]
    return ehrs, len(files) - len(ehrs)


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


def merge_instructions(asked: Table, answered: Table) -> tuple[pd.DataFrame, list[Problem]]:
    """One table of instructions from both, and the instructions that have several patients."""
    both = pd.concat([asked.frame, answered.frame])
    patients = both.groupby("instruction_id", sort=False)["person_id"].nunique()
    problems = []
    for torn in patients.index[patients > 1]:
        found = both.loc[both["instruction_id"] == torn, "person_id"].dropna().unique()
        fault = (
            f"instruction {torn} belongs to {len(found)} patients ({', '.join(found)}), "
            "expected one"
        )
        problems.append(Problem(answered.file, "", fault))
    merged = both.groupby("instruction_id", sort=False, as_index=False).first()
    return merged[list(INSTRUCTION_COLUMNS)], problems


def _references(answered: pd.DataFrame, annotator: str) -> pd.DataFrame:
    table = answered.loc[answered["reference"].notna(), list(REFERENCE_COLUMNS)]
    appearance = {name: i for i, name in enumerate(table["instruction_id"].unique())}
    table = table.assign(
        _appearance=table["instruction_id"].map(appearance),
        _others=table["annotator"] != annotator,
    ).sort_values(["_appearance", "_others"], kind="stable")
    return table[list(REFERENCE_COLUMNS)].reset_index(drop=True)


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
    raise ReleaseError(f"no EHR of patient {person_id} in {folder}; tried {', '.join(names)}")


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
