"""Write a review's ratings as the release's own table, and all that raters said as a workbook."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from medalign_utils.data.access import require_private_place
from medalign_utils.data.json_rows import to_json
from medalign_utils.data.release import require_place
from medalign_utils.data.release_tables import REVIEWS_FILE
from medalign_utils.data.tables import COLUMN_NAMES
from medalign_utils.errors import MedAlignError
from medalign_utils.paths import not_a_formula, write_text, writing
from medalign_utils.review.collected import collect, judgements_of
from medalign_utils.review.folder import read_plan, review_folder
from medalign_utils.run import Run

FORMATS = ("tsv", "json", "xlsx")
_COLUMNS = [
    "instruction_id", "question", "person_id", "filename", "reference", "evidence", "system",
    "response", "correct", "rank", "rater", "used",
]  # fmt: skip
_LONGEST_CELL = 32_767  # of a workbook


class Exported(NamedTuple):
    """The files with their numbers of rows, and sentences on what they leave out."""

    files: dict[Path, int]
    notes: list[str]


def reviewed_responses(run: Run) -> pd.DataFrame:
    """Return the ratings of a run's review as the table ``clinician-reviewed-model-responses``.

    One row per response and rater, with the names of columns in releases. It loads as the release's
    own, and gives the ratings of `collected.ratings_of`. Raises MedAlignError if there is none.
    """
    ratings = collect(run).ratings
    if ratings.empty:
        raise MedAlignError(f"{run.experiment}: no item is done yet; there is nothing to export")
    key = ["instruction_id", "system", "rater"]
    judged = judgements_of(run)
    judged = judged[judged["kind"] == "judge"][[*key, "response"]]
    references = run.release.references.drop_duplicates("instruction_id")
    asked = run.release.instructions.set_index("instruction_id")
    table = ratings[[*key, "correct", "rank"]].merge(judged, on=key, how="left")
    for name in ("reference", "evidence"):
        table[name] = table["instruction_id"].map(references.set_index("instruction_id")[name])
    table["question"] = table["instruction_id"].map(run.release.questions)
    table["person_id"] = table["instruction_id"].map(asked["person_id"])
    table["filename"] = [
        None if pd.isna(p) else run.release.ehr_path(p).name for p in table["person_id"]
    ]
    table = table.assign(correct=table["correct"].astype(int), used="yes")[_COLUMNS]
    return table.rename(columns={name: COLUMN_NAMES[name][0] for name in _COLUMNS})


def export_review(run: Run, out: Path | None = None) -> Exported:
    """Write a review's ratings to a file that ends in one of `FORMATS`, or all three to a folder.

    The workbook also has all judgements: harm, marks, comments, flags, times, practice, repeats and
    adjudication; and the plan. Its cells are cut at 32,767 characters. Only the owner can read the
    files.

    Args:
        run: of the experiment.
        out: by default the folder `export` in that of the review.

    Raises:
        TermsError: the release is restricted, and git would track the files.
        MedAlignError: there is no rating, or the file has another ending.
    """
    own = review_folder(run.experiment) / "export"
    out = out or own
    is_folder = out.is_dir() or not out.suffix
    if not is_folder and out.suffix[1:].lower() not in FORMATS:
        expected = ", ".join(f".{name}" for name in FORMATS)
        raise MedAlignError(f"{out}: expected a folder, or a name that ends in {expected}")
    found = [out / f"{REVIEWS_FILE}.{ending}" for ending in FORMATS] if is_folder else [out]
    for file in found:
        if out == own:  # which may be written again
            require_private_place(file, run.release.why_restricted)
        else:
            require_place(file, run.release.path, run.release.why_restricted)
    table = reviewed_responses(run)
    for file in found:
        ending = file.suffix[1:].lower()
        if ending == "tsv":
            write_text(_tsv(table), file, private=True)
        elif ending == "json":
            rows = table.astype(object).where(table.notna(), None).to_dict("records")
            write_text(to_json(rows, lines=False), file, private=True)
        else:
            plan = pd.DataFrame(read_plan(review_folder(run.experiment)).items())
            sheets = {"ratings": table, "judgements": judgements_of(run)}
            _write_workbook(sheets | {"plan": plan.set_axis(["name", "value"], axis=1)}, file)
    return Exported(dict.fromkeys(found, len(table)), list(_notes(run)))


def _notes(run: Run) -> Iterator[str]:
    yield from (f"{note}." for note in collect(run).notes())
    others = judgements_of(run).drop_duplicates(["rater", "item"])["kind"].value_counts()
    for kind in ("training", "repeat", "adjudicate"):
        if n := others.get(kind, 0):
            yield f"{n} items are no ratings: {kind}; the workbook has them."


def _tsv(table: pd.DataFrame) -> str:
    text = io.StringIO()
    # All text is quoted, because csv by itself does not quote a carriage return, which ends a row.
    table.to_csv(text, sep="\t", index=False, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    return text.getvalue()


def _write_workbook(sheets: dict[str, pd.DataFrame], file: Path) -> None:
    with writing(file, "wb", private=True) as opened, pd.ExcelWriter(opened, "openpyxl") as book:
        for name, table in sheets.items():
            table.astype(object).map(_cell).to_excel(book, sheet_name=name, index=False)


def _cell(value: object) -> object:
    """Return a value that a workbook can have."""
    from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE

    if isinstance(value, list):
        value = "; ".join(map(str, value))
    if not isinstance(value, str):
        return None if pd.isna(value) else value
    return not_a_formula(ILLEGAL_CHARACTERS_RE.sub(" ", value))[:_LONGEST_CELL]
