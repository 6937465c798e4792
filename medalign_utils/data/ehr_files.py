"""Find the file of each patient's EHR in a release's folder."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import pandas as pd

from medalign_utils.data.access import EHR_FOLDERS
from medalign_utils.data.tables import Problem, Table
from medalign_utils.errors import ReleaseError


def find_ehrs(
    folder: Path, tables: Sequence[Table]
) -> tuple[dict[str, str], list[Problem], dict[str, Problem]]:
    """Return the file names in tables by patient, all problems, and missing EHRs by patient."""
    filenames: dict[str, str] = {}
    problems: list[Problem] = []
    absent: dict[str, Problem] = {}
    for table in tables:
        named = table.frame.reindex(columns=["person_id", "filename"]).drop_duplicates()
        for row, person_id, filename in named.dropna(how="all").itertuples():
            name = None if pd.isna(filename) else filename
            patient = _patient_of(Path(name)) if pd.isna(person_id) else person_id
            try:
                find_ehr(folder, patient, name)
                if name is not None and filenames.setdefault(patient, name) != name:
                    raise ReleaseError(
                        f"filename {name!r} for patient {patient}, whose EHR is "
                        f"{filenames[patient]!r} in an earlier row or table"
                    )
            except ReleaseError as error:
                problems.append(Problem(table.file, f"row {row}", str(error)))
                if isinstance(error, _NoEHRError):
                    absent.setdefault(patient, problems[-1])
    return filenames, problems, absent


def ehr_files(folder: Path) -> tuple[dict[Path, str], list[Path]]:
    """Return a release's EHR files with their patients, and the other files in its EHR folder.

    An EHR is ``<id>.xml`` or ``EHR_<id>.xml``; the patient's id contains no dot.
    """
    ehr_folder = next((folder / name for name in EHR_FOLDERS if (folder / name).is_dir()), None)
    files = sorted(ehr_folder.iterdir()) if ehr_folder else []
    ehrs = {f: _patient_of(f) for f in files if f.suffix == ".xml" and "." not in f.stem}
    return ehrs, [f for f in files if f not in ehrs]


def _patient_of(file: Path) -> str:
    return file.stem.removeprefix("EHR_")


class _NoEHRError(ReleaseError):
    """An EHR's file does not exist."""


def find_ehr(release: Path, person_id: str, filename: str | None) -> Path:
    """Return the EHR's file; ReleaseError if there is none, or `filename` is not the patient's."""
    folder = next((release / name for name in EHR_FOLDERS if (release / name).is_dir()), None)
    if folder is None:
        raise ReleaseError(f"no EHR folder in {release}, expected {' or '.join(EHR_FOLDERS)}")
    names = [f"{person_id}.xml", f"EHR_{person_id}.xml"]
    names = names if filename is None else [filename, *names]
    for name in names:
        # Treat backslashes as separators on every system, as Windows does.
        parts = PurePosixPath(name.replace("\\", "/"))
        candidate = folder / parts
        try:
            inside = candidate.resolve().is_relative_to(folder.resolve())
            exists = inside and candidate.is_file()
        except (OSError, ValueError, RuntimeError):  # too long, a NUL, circular links
            raise ReleaseError(f"{name!r} is not a file name") from None
        if parts.is_absolute() or ".." in parts.parts or not inside:
            raise ReleaseError(f"{name!r} is outside the EHR folder {folder}")
        if parts.stem.removeprefix("EHR_") != person_id:
            raise ReleaseError(
                f"filename {name!r} does not belong to patient {person_id}, expected "
                f"{person_id}.xml or EHR_{person_id}.xml"
            )
        if exists:
            return candidate
    raise _NoEHRError(f"no EHR for patient {person_id} in {folder}; tried {', '.join(names)}")
