"""Find the file of each patient's EHR in a release's folder."""

import hashlib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import pandas as pd

from medalign_utils.data.access import EHR_FOLDERS
from medalign_utils.data.ehr.parsing import SUFFIXES, patient_of
from medalign_utils.data.ids import bare
from medalign_utils.data.tables import Problem, Table
from medalign_utils.errors import ReleaseError, reading, shown_id


class NamedEHRs(NamedTuple):
    """The EHRs that tables name, by patient: names in tables, files, and problems."""

    filenames: dict[str, str]
    files: dict[str, Path]
    problems: list[Problem]
    absent: dict[str, Problem]  # of patients without an EHR; also in `problems`


def find_ehrs(folder: Path, tables: Sequence[Table]) -> NamedEHRs:
    """Return the EHRs that the tables name."""
    found = NamedEHRs({}, {}, [], {})
    for table in tables:
        named = table.frame.reindex(columns=["person_id", "filename"]).drop_duplicates()
        for row, person_id, filename in named.dropna(how="all").itertuples():
            name = None if pd.isna(filename) else filename
            patient = patient_of(Path(name)) if pd.isna(person_id) else person_id
            try:
                file = find_ehr(folder, patient, name)
                if name is not None and found.filenames.setdefault(patient, name) != name:
                    raise ReleaseError(
                        f"filename {shown_id(name)!r} for patient {patient}, whose EHR is "
                        f"{shown_id(found.filenames[patient])!r} in an earlier row or table"
                    )
                if name is not None or patient not in found.filenames:
                    found.files[patient] = file
            except ReleaseError as error:
                found.problems.append(Problem(table.file, f"row {row}", str(error)))
                if isinstance(error, _NoEHRError):
                    found.absent.setdefault(patient, found.problems[-1])
    return found


def ehr_files(folder: Path, named: Iterable[Path] = ()) -> tuple[dict[Path, str], list[Path]]:
    """Return a release's EHR files with their patients, and the other files in its EHR folder.

    EHRs are the `named` files, those that tables name, and every other ``<id>.xml``,
    ``EHR_<id>.xml`` and ``.xml.gz`` of them whose id contains no dot.

    Raises: ReleaseError if the EHR folder cannot be read.
    """
    ehr_folder = _ehr_folder(folder)
    with reading(folder):
        files = sorted(ehr_folder.iterdir()) if ehr_folder else []
    ehrs = {file: patient_of(file) for file in named}
    for file in files:
        if file.name.endswith(SUFFIXES) and "." not in patient_of(file):
            ehrs.setdefault(file, patient_of(file))
    return ehrs, [f for f in files if f not in ehrs]


def ehrs_digest(release: Path) -> str:
    """Return a SHA-256 of all files in the EHR folder with their names, which are ids of patients.

    Raises: ReleaseError if the folder cannot be read.
    """
    digest, folder = hashlib.sha256(), _ehr_folder(release)
    with reading(release):
        for path in sorted(folder.rglob("*")) if folder else ():
            if path.is_file():
                digest.update(f"{path.relative_to(folder)}\0".encode(errors="surrogateescape"))
                with path.open("rb") as content:
                    digest.update(hashlib.file_digest(content, "sha256").digest())
    return digest.hexdigest()


def _ehr_folder(release: Path) -> Path | None:
    with reading(release):
        return next((release / name for name in EHR_FOLDERS if (release / name).is_dir()), None)


class _NoEHRError(ReleaseError):
    """An EHR's file does not exist."""


def find_ehr(release: Path, person_id: str, filename: str | None) -> Path:
    """Return the EHR's file; ReleaseError if there is none, or `filename` is not the patient's."""
    folder = _ehr_folder(release)
    if folder is None:
        raise ReleaseError(f"no EHR folder in {release}, expected {' or '.join(EHR_FOLDERS)}")
    names = [start + person_id + suffix for suffix in SUFFIXES for start in ("", "EHR_")]
    names = names if filename is None else list(dict.fromkeys([filename, *names]))
    for name in names:
        # Treat backslashes as separators on every system, as Windows does.
        parts = PurePosixPath(name.replace("\\", "/"))
        candidate = folder / parts
        try:
            inside = candidate.resolve().is_relative_to(folder.resolve())
            exists = inside and candidate.is_file()
        except PermissionError as error:
            raise ReleaseError(f"{candidate}: cannot be read ({error.strerror})") from None
        except (OSError, ValueError, RuntimeError):  # too long, a NUL, circular links
            raise ReleaseError(f"{shown_id(name)!r} is not a file name") from None
        if parts.is_absolute() or ".." in parts.parts or not inside:
            raise ReleaseError(f"{shown_id(name)!r} is outside the EHR folder {folder}")
        if patient_of(candidate) != person_id:
            raise ReleaseError(
                f"filename {shown_id(name)!r} does not belong to patient {person_id}, expected "
                f"{person_id}.xml or EHR_{person_id}.xml"
            )
        if exists:
            return candidate
    raise _NoEHRError(
        f"no EHR for patient {person_id} in {folder}; tried {', '.join(names)}; "
        + _advice(folder, person_id)
    )


def _advice(folder: Path, person_id: str) -> str:
    """Return what to do about a missing EHR, by the files whose names differ little from it."""
    plain = bare(person_id).casefold()
    with reading(folder):
        names = sorted(file.name for file in folder.iterdir() if plain in file.name.casefold())
    for name in names:
        stem = re.fullmatch(r"(?:EHR_)?(.*?)((?:\.xml)(?:\.gz)?)", name, re.IGNORECASE)
        if stem is None or bare(stem[1]).casefold() != plain:
            continue
        if stem[1].casefold() == person_id.casefold():
            expected = person_id + stem[2].lower()
            return f"{name} differs only by upper and lower case: rename it to {expected}"
        rename = "" if name.endswith(SUFFIXES) else f", and rename {name} to end in .xml"
        return (
            f"{name} differs by leading zeros or marks, which spreadsheets drop or add: export "
            f"the tables with ids as text{rename}"
        )
    return "copy its file there, or leave out the rows of this patient"
