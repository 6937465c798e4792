"""Load a release: its tables, and where each patient's EHR lies."""

import csv
import json
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from medalign_utils.errors import ReleaseError

# Column of our tables -> the names that releases give it, the first one found being used.
COLUMN_NAMES = {
    "instruction_id": ("instruction_id",),
    "question": ("question",),
    "category": ("category", "human_assigned_category_1"),
    "subcategory": ("subcategory", "human_assigned_subcategory_1"),
    "submitter_specialty": ("submitter_specialty", "specialty"),
    "person_id": ("person_id",),
    "filename": ("filename",),
    "annotator": ("annotator_num", "annotator"),
    "reference": ("clinician_response", "reference"),
    "evidence": ("evidence",),
    "duplicate_of": ("duplicate_of",),
    "request": ("request",),
}
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

_INSTRUCTIONS_FILE = "all-instructions-rouge"
_REFERENCES_FILE = "clinician-instruction-responses"
_SUBMITTED_FILE = "submitted-instructions"
_DELIMITERS = {".tsv": "\t", ".csv": ","}
_EHR_FOLDERS = ("ehrs", "medalign_ehr_xml")
_PREFERRED_ANNOTATOR = "Annotator_1"


@dataclass(frozen=True)
class Release:
    """A release as read from its folder.

    Attributes:
        path: the folder.
        instructions: one row an instruction: instruction_id (key), question, category,
            subcategory, submitter_specialty, person_id. The last four are missing where the
            release does not give them.
        references: one row a clinician's response: instruction_id and annotator (key), reference,
            evidence. An instruction's rows stand together, Annotator_1 first.
        ratings: None: the clinicians' verdicts on models' responses are not read.
        manifest: what ``manifest.json`` says, or None. Synthetic releases have one.
        answer_key_path: ``answer-key.jsonl``, or None. Synthetic releases have one.
    """

    path: Path
    instructions: pd.DataFrame
    references: pd.DataFrame
    ratings: pd.DataFrame | None
    manifest: dict[str, Any] | None
    answer_key_path: Path | None
    _filenames: Mapping[str, str] = field(default_factory=dict, repr=False)

    def ehr_path(self, person_id: str) -> Path:
        """Where a patient's EHR lies.

        Raises:
            ReleaseError: there is no such file, or it would lie outside the EHR folder.
        """
        return _ehr_path(self.path, person_id, self._filenames.get(person_id))


def load_release(path: str | Path) -> Release:
    """Load a release's tables and check them against each other.

    Every column is text, missing where a field is empty; ids are kept as they are written. The
    table of references also fills what the table of instructions lacks, so an instruction that
    no clinician answered may have no person_id.

    Args:
        path: the folder with ``all-instructions-rouge`` and ``clinician-instruction-responses``
            (``.tsv``, or ``.csv`` with commas) and the EHRs in ``ehrs/`` or
            ``medalign_ehr_xml/``.

    Returns:
        The release; see :class:`Release`. Rows without a clinician's response are left out of the
        references, with a warning that names them.

    Raises:
        ReleaseError: the folder, a table, a column or an EHR is missing; a row has another number
            of fields than the header, or no id; an instruction or a reference occurs twice; two
            rows give one instruction to two patients; a ``filename`` leads out of the EHR folder.

    >>> load_release("no/such/folder")
    Traceback (most recent call last):
    ...
    medalign_utils.errors.ReleaseError: load_release: no folder no/such/folder
    """
    path = Path(path)
    if not path.is_dir():
        raise ReleaseError(f"load_release: no folder {path}")
    asked_file, asked = _read_table(path, _INSTRUCTIONS_FILE, ("instruction_id", "question"))
    answered_file, answered = _read_table(
        path,
        _REFERENCES_FILE,
        ("instruction_id", "question", "person_id", "annotator", "reference", "evidence"),
    )
    _check_unique(asked_file, asked, ["instruction_id"])
    _check_unique(answered_file, answered, ["instruction_id", "annotator"])

    filenames = _check_ehrs(path, answered_file, answered)
    return Release(
        path=path,
        instructions=_instructions(asked, answered, answered_file),
        references=_references(answered, answered_file),
        ratings=None,
        manifest=_read_manifest(path / "manifest.json"),
        answer_key_path=_if_file(path / "answer-key.jsonl"),
        _filenames=filenames,
    )


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
    if not any((release.path / (_SUBMITTED_FILE + suffix)).is_file() for suffix in _DELIMITERS):
        table = release.instructions.assign(duplicate_of=None, request=None)
        return table.astype({"duplicate_of": "str", "request": "str"})[list(SUBMITTED_COLUMNS)]
    file, table = _read_table(release.path, _SUBMITTED_FILE, ("instruction_id", "question"))
    _check_unique(file, table, ["instruction_id"])
    row_of = pd.Series(table.index, index=table["instruction_id"])
    rewords = table["duplicate_of"].dropna()
    astray = rewords.index[~(rewords.map(row_of) < rewords.index)]
    if len(astray):
        raise ReleaseError(f"{file}: duplicate_of names no earlier instruction in {_rows(astray)}")
    return table[list(SUBMITTED_COLUMNS)].reset_index(drop=True)


def primary_references(references: pd.DataFrame) -> pd.DataFrame:
    """Keep one reference an instruction: Annotator_1's, or else the first one listed.

    Args:
        references: the table of :class:`Release`.

    Returns:
        The kept rows, in the same order, with a new index.

    >>> table = pd.DataFrame({"instruction_id": ["1", "1"], "annotator": ["Annotator_1", "x"],
    ...     "reference": ["Yes.", "No."], "evidence": ["", ""]})
    >>> primary_references(table)["reference"].tolist()
    ['Yes.']
    """
    preferred_first = references.sort_values(
        "annotator", key=lambda names: names != _PREFERRED_ANNOTATOR, kind="stable"
    )
    kept = preferred_first.drop_duplicates("instruction_id").sort_index()
    return kept.reset_index(drop=True)


def _instructions(asked: pd.DataFrame, answered: pd.DataFrame, answered_file: Path) -> pd.DataFrame:
    both = pd.concat([asked, answered])
    patients = both.groupby("instruction_id", sort=False)["person_id"].nunique()
    if len(torn := patients.index[patients > 1]):
        found = both.loc[both["instruction_id"] == torn[0], "person_id"].dropna().unique()
        raise ReleaseError(
            f"{answered_file}: instruction {torn[0]} belongs to {len(found)} patients "
            f"({', '.join(found)}), expected one"
        )
    merged = both.groupby("instruction_id", sort=False, as_index=False).first()
    return merged[list(INSTRUCTION_COLUMNS)]


def _references(answered: pd.DataFrame, answered_file: Path) -> pd.DataFrame:
    empty = answered["reference"].isna()
    if empty.any():
        warnings.warn(
            f"{answered_file}: left out {_rows(answered.index[empty])}, without a clinician's "
            "response",
            stacklevel=3,
        )
    table = answered.loc[~empty, list(REFERENCE_COLUMNS)]
    appearance = {name: i for i, name in enumerate(table["instruction_id"].unique())}
    table = table.assign(
        _appearance=table["instruction_id"].map(appearance),
        _others=table["annotator"] != _PREFERRED_ANNOTATOR,
    ).sort_values(["_appearance", "_others"], kind="stable")
    return table[list(REFERENCE_COLUMNS)].reset_index(drop=True)


def _read_table(folder: Path, stem: str, required: Iterable[str]) -> tuple[Path, pd.DataFrame]:
    """Read a table under our column names, indexed by its row, the first under the header being 1.

    Columns that the file does not have and that are not required are missing throughout.
    """
    names = [stem + suffix for suffix in _DELIMITERS]
    file = next((folder / name for name in names if (folder / name).is_file()), None)
    if file is None:
        raise ReleaseError(f"load_release: {folder} holds neither {' nor '.join(names)}")
    header, rows = _read_rows(file)
    table = pd.DataFrame(rows, columns=header, index=range(1, len(rows) + 1), dtype="str")
    columns = {}
    for column, candidates in COLUMN_NAMES.items():
        found = next((name for name in candidates if name in header), None)
        if found is not None:
            columns[column] = table[found].mask(table[found].str.strip() == "")
        elif column in required:
            raise ReleaseError(
                f"{file}: no column for {column}; tried {', '.join(candidates)}; "
                f"found {', '.join(header)}"
            )
        else:
            columns[column] = pd.Series(None, index=table.index, dtype="str")
    table = pd.DataFrame(columns)
    for column in required:
        # A blank reference is not an error: a clinician may have left one.
        missing = table.index[table[column].isna()]
        if column not in ("reference", "evidence") and len(missing):
            raise ReleaseError(f"{file}: no {column} in {_rows(missing)}")
    return file, table


def _read_rows(file: Path) -> tuple[list[str], list[list[str]]]:
    try:
        with file.open(encoding="utf-8-sig", newline="") as text:
            reader = csv.reader(text, delimiter=_DELIMITERS[file.suffix], strict=True)
            header = next(reader, [])
            rows = []
            for row in reader:
                if row and len(row) != len(header):
                    raise ReleaseError(
                        f"{file}, line {reader.line_num}: {len(row)} fields, "
                        f"expected {len(header)} as in the header"
                    )
                if row:
                    rows.append(row)
    except csv.Error as error:
        raise ReleaseError(f"{file}, line {reader.line_num}: {error}") from None
    except UnicodeDecodeError as error:
        raise ReleaseError(f"{file}: not UTF-8 ({error})") from None
    repeated = sorted({name for name in header if header.count(name) > 1})
    if repeated:
        raise ReleaseError(f"{file}: column {', '.join(repeated)} occurs twice")
    return header, rows


def _check_unique(file: Path, table: pd.DataFrame, key: list[str]) -> None:
    repeated = table[table.duplicated(key, keep=False)]
    if len(repeated):
        first = repeated.iloc[0]
        same = repeated.index[(repeated[key] == first[key]).all(axis=1)]
        shown = ", ".join(f"{name} {first[name]}" for name in key)
        raise ReleaseError(f"{file}: {shown} occurs in {_rows(same)}, expected once")


def _check_ehrs(folder: Path, file: Path, answered: pd.DataFrame) -> dict[str, str]:
    """Check that each row's EHR is there; return the file name that the table gives a patient."""
    filenames: dict[str, str] = {}
    pairs = answered[["person_id", "filename"]].drop_duplicates()
    for row, person_id, filename in pairs.itertuples():
        given = None if pd.isna(filename) else filename
        try:
            _ehr_path(folder, person_id, given)
        except ReleaseError as error:
            raise ReleaseError(f"{file}, row {row}: {error}") from None
        if given is not None and filenames.setdefault(person_id, given) != given:
            raise ReleaseError(
                f"{file}, row {row}: filename {given!r} for patient {person_id}, whose EHR was "
                f"{filenames[person_id]!r} further up"
            )
    return filenames


def _ehr_path(release: Path, person_id: str, filename: str | None) -> Path:
    folder = next((release / name for name in _EHR_FOLDERS if (release / name).is_dir()), None)
    if folder is None:
        raise ReleaseError(f"no EHR folder in {release}, expected {' or '.join(_EHR_FOLDERS)}")
    names = [f"{person_id}.xml", f"EHR_{person_id}.xml"]
    if filename is not None:
        names.insert(0, filename)
    for name in names:
        # Backslashes part folders on some systems, so they are no part of a name on any.
        parts = PurePosixPath(name.replace("\\", "/"))
        candidate = folder / parts
        inside = candidate.resolve().is_relative_to(folder.resolve())
        if parts.is_absolute() or ".." in parts.parts or not inside:
            raise ReleaseError(f"{name!r} leads out of the EHR folder {folder}")
        if candidate.is_file():
            return candidate
    raise ReleaseError(f"no EHR of patient {person_id} in {folder}; tried {', '.join(names)}")


def _read_manifest(file: Path) -> dict[str, Any] | None:
    if not file.is_file():
        return None
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
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
