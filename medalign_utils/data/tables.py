"""Read a release's tables (TSV, CSV or JSON), whose columns may have different names."""

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from medalign_utils.data.access import TABLE_SUFFIXES
from medalign_utils.data.delimited import DELIMITERS, read_delimited
from medalign_utils.data.json_rows import read_json_rows
from medalign_utils.data.missing import MISSING_IN_TABLES
from medalign_utils.errors import ParamsError, ReleaseError, masked, printable, shown_id, suggest

# Our column -> its names in releases; the first name found is used.
COLUMN_NAMES = {
    "instruction_id": ("instruction_id",),
    "question": ("question", "instruction"),
    "category": ("category", "human_assigned_category_1"),
    "subcategory": ("subcategory", "human_assigned_subcategory_1"),
    "submitter_specialty": ("submitter_specialty", "specialty"),
    "person_id": ("person_id",),
    "filename": ("filename",),
    "annotator": ("annotator_num", "annotator"),
    "reference": ("clinician_response", "reference"),
    "evidence": ("evidence",),
    "system": ("model_name", "model", "system"),
    "response": tuple(
        "model_output model_response model_generation generated_response generation output "
        "response".split()
    ),
    "correct": ("binary_correct", "correct"),
    "used": ("is_used_eval", "used_eval"),
    "rank": ("rank", "model_rank", "ranking", "model_ranking"),
    "duplicate_of": ("duplicate_of",),
    "request": ("request",),
    "finish_reason": ("finish_reason",),
    "failure": ("failure",),
    "rater": ("reviewer", "reviewer_num", "reviewer_id", "rater"),
}  # fmt: skip
_IDS = ("instruction_id", "person_id")
# Identifying values, from which surrounding blanks are removed.
_NAMES = (*_IDS, "filename", "annotator", "system", "rater", "duplicate_of")
_ABSENT = ("", *MISSING_IN_TABLES)
# An id as a spreadsheet may rewrite it: a number without its last digits or with separators of
# thousands, a date, or the sign that the column is too narrow.
_REWRITTEN = (
    r"[-+]?\d+(?:[.,]\d*)?[eE][-+]?\d+|[-+]?\d+\.0*|\d{1,3}(?:[,'’\s]\d{3})+|"
    r"\d{1,2}-[A-Z][a-z]{2}(?:-\d\d(?:\d\d)?)?|[A-Z][a-z]{2}-\d\d|"
    r"\d{4}-\d\d-\d\d[ T]00:00:00|#{2,}"
)
# How to name a column that a table calls otherwise: in an experiment, and for a command.
IN_PARAMS = "set `columns: {{{column}: <name>}}` in params"
AS_OPTION = "name it with `--column {column}=<name>`"
# Text in the place of an id, as after a shift of cells, and what a spreadsheet's last row has.
_NO_ID = r"(?:\S+\s+){2,}\S+|.*\s.*[.?!]|(?i:(?:grand |sub-?)?totals?|sum|count|average|mean)"
# Marks that are not seen; blanks around text are stripped in any case.
_INVISIBLE = "\u200b\u200c\u200d\u200e\u200f\u2060\ufeff\xad"
# Behind the name of a column that occurs twice, as pandas or polars write it.
_AGAIN = re.compile(r"(?:\.|_duplicated_)\d+$")
_LONGEST_CELL = 32_767  # of a spreadsheet
_SPREADSHEET_ERRORS = (
    "#REF! #VALUE! #NAME? #DIV/0! #NUM! #NULL! #SPILL! #CALC! #FIELD! #BLOCKED! #GETTING_DATA"
).split()
_TRUE = frozenset(("1", "1.0", "true", "t", "yes", "y", "correct"))
_FALSE = frozenset(("0", "0.0", "false", "f", "no", "n", "incorrect"))


class Problem(NamedTuple):
    """A fault in a release; `place` is a row or line, or "" for the whole file."""

    file: Path
    place: str
    message: str

    def __str__(self) -> str:
        """Return file, place and message in one line, `printable`."""
        line = f"{self.file}{', ' if self.place else ''}{self.place}: {self.message}"
        return printable(line).replace("\n", "\\n")


class Table(NamedTuple):
    """A table without unused or faulty rows; the frame's index is the row number, from 1."""

    file: Path
    frame: pd.DataFrame
    problems: list[Problem]
    n_not_used: int = 0


def find_table(folder: Path, stem: str) -> Path | None:
    """Return the path of ``<stem>.tsv``, or else of .csv, .json or .jsonl; None if all lack."""
    files = [folder / (stem + suffix) for suffix in TABLE_SUFFIXES]
    return next((file for file in files if file.is_file()), None)


def column_names(columns: Mapping[str, str] | None) -> dict[str, tuple[str, ...]]:
    """Return `COLUMN_NAMES` with the names from `columns` first."""
    names = dict(COLUMN_NAMES)
    for column, name in (columns or {}).items():
        if column not in names:
            hint = suggest(str(column), COLUMN_NAMES)
            raise ParamsError(f"columns: unknown column {column!r}{hint}")
        if not isinstance(name, str) or not name:
            raise ParamsError(f"columns: {column}: {name!r}, expected a column name")
        names[column] = tuple(dict.fromkeys((name, *COLUMN_NAMES[column])))
    return names


def require_mapped(
    columns: Mapping[str, str] | None, tables: Mapping[Path, Collection[str]]
) -> None:
    """Check that each mapped column is in one of the `tables` that may contain it.

    If a file cannot be read, nothing is checked: reading the file later raises the error.
    """
    column_names(columns)
    try:
        headers = {file: read_rows(file, [])[0] for file in tables} if columns else {}
    except ReleaseError:
        return
    for column, name in (columns or {}).items():
        files = [file for file, known in tables.items() if column in known]
        if files and not any(name in headers[file] for file in files):
            found = "; ".join(f"{file.name} has {shown_columns(headers[file])}" for file in files)
            raise ParamsError(f"columns: {column}: no column {name!r}; {found}")


def truth_of(text: str) -> bool | None:
    """Return whether a text, such as a verdict, means yes; None if it means neither yes nor no."""
    word = str(text).strip().lower()
    return True if word in _TRUE else False if word in _FALSE else None


def at_rows(file: Path, values: pd.Series, fault: str) -> list[Problem]:
    """Return a problem for each value: `fault.format(value)`, at the row in the value's index."""
    return [Problem(file, f"row {row}", fault.format(value)) for row, value in values.items()]


def shown_columns(header: Sequence[str]) -> str:
    """Return the names of columns for a message; none if they may be the values of a first row.

    >>> shown_columns(["instruction_id", "verdict"])
    'instruction_id, verdict'
    >>> shown_columns(["17", "Seen by Dr. Who?"])
    '2 columns, none with a known name; the first row must name the columns'
    """
    known = {name for names in COLUMN_NAMES.values() for name in names}
    if known.isdisjoint(map(_plain, header)):
        n = len(header)
        return f"{n} columns, none with a known name; the first row must name the columns"
    return ", ".join(header)


def has_column(header: Sequence[str], column: str, columns: Mapping[str, str] | None) -> bool:
    """Return whether `read_table` finds one of our columns in a table with this header."""
    known = {_plain(name) for name in column_names(columns)[column]}
    return not known.isdisjoint(map(_plain, header))


def _plain(name: str) -> str:
    return re.sub(r"[\s-]+", "_", name.strip()).lower()


def read_table(
    file: Path,
    required: Sequence[str],
    optional: Sequence[str] = (),
    *,
    may_be_empty: Sequence[str] = (),
    key: Sequence[str] = (),
    columns: Mapping[str, str] | None = None,
    hint: str = IN_PARAMS,
) -> Table:
    """Return a table with our column names; all fields are text.

    Names of columns may also differ in case, or have blanks or hyphens for underscores.
    Blank fields and those with a word of `missing.MISSING_IN_TABLES`, such as "NULL", are missing.
    Ids and names are stripped of surrounding blanks. Rows that the column `used` excludes are not
    checked. Faulty rows are left out and listed in `problems`. Faults are those of
    `delimited.read_delimited` and `json_rows.read_json_rows`, a missing required value, a value of
    `used` that is neither yes nor no, an id that is a text or that a spreadsheet turned into a
    number or date, its error value or a text that it cut, and a repeated key.

    Args:
        file: a ``.tsv`` or ``.csv`` file in UTF-8; or ``.json`` or ``.jsonl``, a list of objects or
            one object per line, in which null or an absent key is a missing value.
        required: columns that must exist, with a value in every row.
        optional: columns that may be absent from the file; they then have no values.
        may_be_empty: required columns in which values may be missing.
        key: columns that together identify a row.
        columns: our column -> the file's name for it, tried before `COLUMN_NAMES`.
        hint: how to name a required `{column}` that is missing, for the message.

    Raises:
        ReleaseError: the file is not UTF-8, its name has another ending, a column occurs twice
            (also as pandas' `question.1`), or a required one is missing.
    """
    problems: list[Problem] = []
    header, rows = read_rows(file, problems)
    raw = pd.DataFrame(rows.values(), columns=header, index=list(rows), dtype="str")
    if problems and not rows:
        raise ReleaseError(str(problems[0]))
    names = column_names(columns)
    plain = {_plain(name): name for name in reversed(header)}
    frame = pd.DataFrame(index=raw.index)
    for column in (*required, *optional):
        name = next((name for name in names[column] if name in header), None)
        name = name or next((plain[name] for name in names[column] if name in plain), None)
        if name is None and column in required and header:  # JSON without rows has no columns
            raise ReleaseError(
                f"{file}: no column for {column}; tried {', '.join(names[column])}; "
                f"found {shown_columns(header)}; {hint.format(column=column)}"
            )
        text = pd.Series(None, raw.index, dtype="str") if name is None else raw[name]
        stripped = text.str.strip().str.strip(_INVISIBLE).str.strip()
        frame[column] = (stripped if column in _NAMES else text).mask(stripped.isin(_ABSENT))
    n_not_used = 0
    if "used" in frame:
        used = frame["used"].map(truth_of, na_action="ignore")
        unclear = frame["used"][used.isna()].dropna()
        fault = "is_used_eval {!r}, expected yes or no"
        problems += at_rows(file, unclear.map(masked), fault)
        n_not_used = int(used.eq(False).sum())
        frame = frame[~used.eq(False)].drop(unclear.index)
    faulty = pd.Series(False, index=frame.index)
    for column in frame:
        if column in required and column not in may_be_empty:
            empty = frame[column].isna()
            problems += at_rows(file, frame.loc[empty, column], f"no {column}")
            faulty |= empty
        error = frame[column].str.strip().isin(_SPREADSHEET_ERRORS)
        fault = f"{column} {{}} is a spreadsheet's error in the place of a value; export it as text"
        problems += at_rows(file, frame.loc[error, column].str.strip(), fault)
        cut = frame[column].str.len() == _LONGEST_CELL
        fault = f"{column} has {_LONGEST_CELL:,} characters, as many as a spreadsheet keeps"
        problems += at_rows(file, frame.loc[cut, column], fault)
        faulty |= error | cut
        if column in _IDS:
            number = frame[column].str.fullmatch(_REWRITTEN, na=False)
            fault = (
                f"{column} {{!r}} was turned into a number or date and may have lost digits; "
                "export the table with ids as text"
            )
            problems += at_rows(file, frame.loc[number, column], fault)
            sentence = frame[column].str.fullmatch(_NO_ID, na=False)
            fault = (
                f"{column} is no id, but text or a total; if cells are shifted, correct the row, "
                "and delete a row of totals"
            )
            problems += at_rows(file, frame.loc[sentence, column], fault)
            faulty |= number | sentence
    table = Table(file, frame[~faulty], problems, n_not_used)
    return without_repeats(table, key) if key else table


def without_repeats(table: Table, key: Sequence[str]) -> Table:
    """Return the table without rows that repeat an earlier row's key, which become problems."""
    frame, problems = table.frame, [*table.problems]
    rows = pd.Series(frame.index, frame.index)
    first = rows.groupby([frame[name] for name in key], dropna=False).transform("first")
    for row in frame.index[first != rows]:
        shown = ", ".join(f"{name} {shown_id(frame.at[row, name])}" for name in key)
        fault = f"{shown} is already in row {first[row]}"
        problems.append(Problem(table.file, f"row {row}", fault))
    return table._replace(frame=frame[first == rows], problems=problems)


def raise_first(problems: list[Problem], folder: Path) -> None:
    """Raise the first problem, if any, with the number of others, as a ReleaseError."""
    if problems:
        more = f" ({len(problems) - 1} more; `python -m medalign_utils check {folder}` lists them)"
        raise ReleaseError(str(problems[0]) + (more if len(problems) > 1 else ""))


def read_rows(file: Path, problems: list[Problem]) -> tuple[list[str], dict[int, list[str]]]:
    """Return the header, and row number -> fields; add faulty rows to `problems`."""
    suffix = file.suffix.lower()
    if suffix not in TABLE_SUFFIXES:
        raise ReleaseError(f"{file}: expected a name that ends in {', '.join(TABLE_SUFFIXES)}")
    if suffix in DELIMITERS:
        header, rows, faults = read_delimited(file, suffix)
    else:
        header, rows, faults = read_json_rows(file)
    problems += [Problem(file, place, fault) for place, fault in faults]
    repeated = sorted({name for name in header if header.count(name) > 1})
    if repeated:
        places = [i for i, name in enumerate(header, 1) if name == repeated[0]]
        same = " and ".join(map(str, places))
        raise ReleaseError(f"{file}: columns {same} have the same name, expected different ones")
    first: dict[str, str] = {}
    known = {name for names in COLUMN_NAMES.values() for name in names}
    for name in header:
        plain = _plain(_AGAIN.sub("", name))
        if plain in known and (other := first.setdefault(plain, name)) != name:
            raise ReleaseError(f"{file}: columns {other} and {name} have the same name; delete one")
    return header, rows
