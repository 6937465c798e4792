"""Read a release's tables: TSV or CSV, under whatever names a release gives its columns."""

import csv
import difflib
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from medalign_utils.errors import ParamsError, ReleaseError

# Column of our tables -> the names that releases give it, the first one found being used.
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
    "response": (
        "model_output", "model_response", "model_generation", "generated_response", "generation",
        "output", "response",
    ),
    "correct": ("binary_correct", "correct"),
    "used": ("is_used_eval", "used_eval"),
    "rank": ("rank", "model_rank", "ranking", "model_ranking"),
    "duplicate_of": ("duplicate_of",),
    "request": ("request",),
    "rater": ("reviewer", "reviewer_num", "reviewer_id", "rater"),
}  # fmt: skip
_IDS = ("instruction_id", "person_id")
# By these rows are told apart and put together, so blanks around them do not count.
_NAMES = (*_IDS, "filename", "annotator", "system", "rater", "duplicate_of")
# What a spreadsheet makes of a long id; its last digits may be lost.
_NUMBER = r"[-+]?\d+(?:\.\d*)?[eE][-+]?\d+|[-+]?\d+\.0*"
_TRUE = frozenset(("1", "1.0", "true", "t", "yes", "y", "correct"))
_FALSE = frozenset(("0", "0.0", "false", "f", "no", "n", "incorrect"))
_DELIMITERS = {".tsv": "\t", ".csv": ","}
# A note or a reference may be longer than what csv takes for a field by default.
_LONGEST_FIELD = 2**30


class Problem(NamedTuple):
    """Something wrong with a release: the file, the row or line in it ("" for all), and what."""

    file: Path
    place: str
    message: str

    def __str__(self) -> str:
        """The three in one line.

        >>> str(Problem(Path("all.tsv"), "row 3", "no question"))
        'all.tsv, row 3: no question'
        """
        return f"{self.file}{', ' if self.place else ''}{self.place}: {self.message}"


class Table(NamedTuple):
    """A table as read: `frame` under our column names, its index the row, the first being 1.

    `n_left_out` counts the rows that are to be left out, as their column `used` says.
    """

    file: Path
    frame: pd.DataFrame
    problems: list[Problem]
    n_left_out: int = 0


def find_table(folder: Path, stem: str) -> Path | None:
    """The file ``<stem>.tsv`` or else ``<stem>.csv`` of a release, or None.

    >>> find_table(Path("no/such/folder"), "all-instructions-rouge") is None
    True
    """
    files = [folder / (stem + suffix) for suffix in _DELIMITERS]
    return next((file for file in files if file.is_file()), None)


def require_table(folder: Path, stem: str) -> Path:
    """As `find_table`.

    Raises:
        ReleaseError: there is none.
    """
    file = find_table(folder, stem)
    if file is None:
        names = " nor ".join(stem + suffix for suffix in _DELIMITERS)
        raise ReleaseError(f"load_release: {folder} holds neither {names}")
    return file


def column_names(columns: Mapping[str, str] | None) -> dict[str, tuple[str, ...]]:
    """`COLUMN_NAMES`, first those that an experiment's params name.

    The others stay, since one table may call a column as the params say and another as is known.

    Raises:
        ParamsError: a key of `columns` is none of ours, or its value is no name.

    >>> column_names({"used": "in_use"})["used"]
    ('in_use', 'is_used_eval', 'used_eval')
    >>> column_names({"rnak": "my_rank"})
    Traceback (most recent call last):
    ...
    medalign_utils.errors.ParamsError: columns: no column 'rnak' to map; did you mean 'rank'?
    """
    for ours, theirs in (columns or {}).items():
        if ours not in COLUMN_NAMES:
            close = difflib.get_close_matches(str(ours), COLUMN_NAMES, n=1)
            hint = (
                f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(COLUMN_NAMES)}"
            )
            raise ParamsError(f"columns: no column {ours!r} to map{hint}")
        if not isinstance(theirs, str) or not theirs:
            raise ParamsError(f"columns: {ours}: {theirs!r}, expected the column's name")
    return COLUMN_NAMES | {
        ours: (theirs, *COLUMN_NAMES[ours]) for ours, theirs in (columns or {}).items()
    }


def require_mapped(
    columns: Mapping[str, str] | None, tables: Mapping[Path, Collection[str]]
) -> None:
    """Refuse a mapping that no table has, or a slip in it would be taken for a missing column.

    Args:
        columns: our column -> the release's name for it.
        tables: the files, and which of our columns each may have. A mapped column that none of
            them may have is passed over, and so is everything if one of them cannot be read.

    Raises:
        ParamsError: a mapped column is in none of the files that may have it.
    """
    column_names(columns)
    try:
        headers = {file: _read_rows(file, [])[0] for file in tables} if columns else {}
    except ReleaseError:
        return  # it is for the table's reader to say
    for ours, theirs in (columns or {}).items():
        files = [file for file, its in tables.items() if ours in its]
        if files and not any(theirs in headers[file] for file in files):
            found = "; ".join(f"{file.name} has {', '.join(headers[file])}" for file in files)
            raise ParamsError(f"columns: {ours}: no column {theirs!r}; {found}")


def truth_of(text: str) -> bool | None:
    """What a verdict or another yes or no says; None if it is neither.

    >>> truth_of(" Yes"), truth_of("incorrect"), truth_of("maybe")
    (True, False, None)
    """
    word = str(text).strip().lower()
    return True if word in _TRUE else False if word in _FALSE else None


def read_table(
    file: Path,
    required: Iterable[str],
    optional: Iterable[str] = (),
    *,
    may_be_empty: Iterable[str] = (),
    columns: Mapping[str, str] | None = None,
) -> Table:
    """Read a table under our column names, every field as text, missing where blank.

    Ids and other names lose the blanks around them. Rows that a column `used` leaves out are not
    looked at any further.

    Args:
        file: ending in ``.tsv`` or ``.csv``; UTF-8, fields with delimiters or line breaks quoted.
        required: columns that must be there, each with a value in every row.
        optional: columns that are missing throughout where the file does not have them.
        may_be_empty: those of `required` whose values may be missing.
        columns: our name -> the file's, tried before those of `COLUMN_NAMES`.

    Returns:
        The table without the rows at fault, which `problems` lists: another number of fields than
        the header, a required value missing, `used` neither yes nor no, an id that a spreadsheet
        turned into a number, quotes that do not close (the rest of the file is then not read).

    Raises:
        ReleaseError: the file is not UTF-8, a column occurs twice, or a required one is missing;
            the message says which names were tried and which were found.
    """
    problems: list[Problem] = []
    header, rows = _read_rows(file, problems)
    raw = pd.DataFrame(rows.values(), columns=header, index=list(rows), dtype="str")
    names = column_names(columns)
    found = {}
    for column in (*required, *optional):
        name = next((name for name in names[column] if name in header), None)
        if name is not None:
            stripped = raw[name].str.strip()
            found[column] = (stripped if column in _NAMES else raw[name]).mask(stripped == "")
        elif column in required:
            raise ReleaseError(
                f"{file}: no column for {column}; tried {', '.join(names[column])}; "
                f"found {', '.join(header)}; `columns: {{{column}: <name>}}` in params maps another"
            )
        else:
            found[column] = pd.Series(None, index=raw.index, dtype="str")
    frame = pd.DataFrame(found, index=raw.index)
    left_out = pd.Series(False, index=frame.index)
    if "used" in frame:
        said = frame["used"].map(truth_of, na_action="ignore")
        left_out = said.eq(False)
        unclear = frame.index[said.isna() & frame["used"].notna()]
        for row in unclear:
            fault = f"is_used_eval {frame.at[row, 'used']!r}, expected yes or no"
            problems.append(Problem(file, f"row {row}", fault))
        frame = frame[~left_out].drop(unclear)
    wrong = pd.Series(False, index=frame.index)
    for column in frame:
        if column in required and column not in may_be_empty:
            empty = frame[column].isna()
            problems += [Problem(file, f"row {row}", f"no {column}") for row in frame.index[empty]]
            wrong |= empty
        if column in _IDS:
            number = frame[column].str.fullmatch(_NUMBER, na=False)
            problems += [
                Problem(
                    file,
                    f"row {row}",
                    f"{column} {frame.at[row, column]!r} was turned into a number, which may have "
                    "cost digits; export the table with ids as text",
                )
                for row in frame.index[number]
            ]
            wrong |= number
    return Table(file, frame[~wrong], problems, int(left_out.sum()))


def repeated_rows(table: Table, key: list[str]) -> Iterator[Problem]:
    """The rows that repeat the key of one further up."""
    frame = table.frame
    first: dict[tuple, int] = {}
    for row, values in zip(frame.index, frame[key].itertuples(index=False), strict=True):
        if (above := first.setdefault(tuple(values), row)) != row:
            shown = ", ".join(f"{name} {value}" for name, value in zip(key, values, strict=True))
            yield Problem(table.file, f"row {row}", f"{shown} stands in row {above} already")


def raise_first(problems: list[Problem], folder: Path) -> None:
    """End with the first problem, if there is one.

    Raises:
        ReleaseError: it, and how many more there are.
    """
    if problems:
        more = f" ({len(problems) - 1} more; `python -m medalign_utils check {folder}` lists them)"
        raise ReleaseError(str(problems[0]) + (more if len(problems) > 1 else ""))


def _read_rows(file: Path, problems: list[Problem]) -> tuple[list[str], dict[int, list[str]]]:
    rows: dict[int, list[str]] = {}
    csv.field_size_limit(_LONGEST_FIELD)
    number = 0
    try:
        with file.open(encoding="utf-8-sig", newline="") as text:
            reader = csv.reader(text, delimiter=_DELIMITERS[file.suffix], strict=True)
            header = next(reader, [])
            try:
                for row in reader:
                    number += bool(row)
                    if row and len(row) == len(header):
                        rows[number] = row
                    elif row:
                        fault = f"{len(row)} fields, expected {len(header)} as in the header"
                        problems.append(Problem(file, f"line {reader.line_num}", fault))
            except csv.Error as error:
                fault = f"{error}; nothing is read from here on"
                problems.append(Problem(file, f"line {reader.line_num}", fault))
    except csv.Error as error:
        raise ReleaseError(f"{file}, line 1: {error}") from None
    except UnicodeDecodeError as error:
        raise ReleaseError(f"{file}: not UTF-8 ({error})") from None
    except OSError as error:
        raise ReleaseError(f"{file}: cannot be read ({error.strerror})") from None
    repeated = sorted({name for name in header if header.count(name) > 1})
    if repeated:
        raise ReleaseError(f"{file}: column {', '.join(repeated)} occurs twice")
    return header, rows
