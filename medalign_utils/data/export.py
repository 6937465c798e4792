"""Write a release's instruction-response pairs, or all its tables, as JSON."""

from pathlib import Path
from typing import Any

import pandas as pd

from medalign_utils.data.json_rows import to_json
from medalign_utils.data.release import Release, require_place
from medalign_utils.data.release_tables import TABLE_STEMS
from medalign_utils.data.tables import COLUMN_NAMES, Problem, find_table, raise_first, read_rows
from medalign_utils.errors import MedAlignError
from medalign_utils.paths import write_text

FORMATS = ("json", "jsonl")


def instruction_response_pairs(release: Release) -> pd.DataFrame:
    """Return one row per reference: its instruction and the clinician's response.

    The columns have the names in releases (``annotator_num``, ``clinician_response`` ...), so the
    rows load as the table ``clinician-instruction-responses``. Missing values are None.
    """
    pairs = release.references.merge(release.instructions, on="instruction_id", how="left")
    pairs["filename"] = [release.ehr_path(person).name for person in pairs["person_id"]]
    names = ["instruction_id", "question", "category", "subcategory", "submitter_specialty"]
    names += ["person_id", "filename", "annotator", "reference", "evidence"]
    pairs = pairs[names].astype(object)
    pairs = pairs.where(pairs.notna(), None)
    return pairs.rename(columns={name: COLUMN_NAMES[name][0] for name in names})


def export_release(release: Release, out: Path, format: str | None = None) -> dict[Path, int]:
    """Write a release as JSON, and return the files with their numbers of rows.

    If the release is restricted, only the owner may read the files.

    - out: a file for the `instruction_response_pairs`; or a folder (it exists, or the name has no
      ending) for the release's tables with all their rows and columns, under their names
    - format: "json", a list of objects, or "jsonl", one object per line; by default as the file's
      name says, and "json" for a folder

    Raises:
        TermsError: the release is restricted, and git would track the files; or `out` is in the
            folder of another release that is not proved synthetic.
        MedAlignError: the format is unknown or contradicts the file's name, `out` is in the
            release's own folder, or a row of a table is faulty.
    """
    is_folder = out.is_dir() or not out.suffix
    allowed = FORMATS if format is None else (format,)
    ending = allowed[0] if is_folder else out.suffix[1:].lower()
    if ending not in allowed or ending not in FORMATS:
        expected = " or ".join(f".{name}" for name in allowed)
        raise MedAlignError(f"export: {out}: expected a folder, or a name that ends in {expected}")
    sources = {stem: find_table(release.path, stem) for stem in TABLE_STEMS if is_folder}
    files = {out / f"{stem}.{ending}": file for stem, file in sources.items() if file}
    for file in files or [out]:
        require_place(file, release.path, release.why_restricted)
    tables = {file: _rows(source) for file, source in files.items()}
    if not is_folder:
        tables[out] = instruction_response_pairs(release).to_dict("records")
    for file, rows in tables.items():
        text = to_json(rows, lines=ending == "jsonl")
        write_text(text, file, private=release.is_restricted)
    return {file: len(rows) for file, rows in tables.items()}


def _rows(file: Path) -> list[dict[str, Any]]:
    """Return all rows and columns of a table; empty fields are None."""
    problems: list[Problem] = []
    header, rows = read_rows(file, problems)
    raise_first(problems, file.parent)
    return [
        dict(zip(header, (field or None for field in row), strict=True)) for row in rows.values()
    ]
