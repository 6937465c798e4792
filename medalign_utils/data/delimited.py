"""Read the rows of a TSV or CSV file, and find those that stray quotation marks join or break.

As in RFC 4180, a cell that begins with a quotation mark ends with one, may contain separators and
line breaks, and doubles its other quotation marks. Elsewhere a quotation mark is a character.
"""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from medalign_utils.data.table_text import Rows, read_text
from medalign_utils.errors import ReleaseError

DELIMITERS = {".tsv": "\t", ".csv": ","}
_NAMES = {"\t": "tabs", ",": "commas", ";": "semicolons", "|": "vertical bars"}
# Cells of a row below the header: types in Python, R or SQL, or a line.
_BELOW_HEADER = re.compile(
    r"[-=:+_]{2,}|<?(?:str(?:ing)?|object|text|n?(?:var)?char(?:acter)?(?:\(\w+\))?|chr|fct|lgl|dbl|"
    r"(?:big)?int(?:eger|\d\d)?|numeric|number|double|float(?:\d\d)?|bool(?:ean)?|date(?:time)?|"
    r"timestamp)>?"
)
# In characters; csv's default is too short for notes.
_LONGEST_FIELD = 2**30
_DOUBLE = "double each quotation mark in the text, and put one before and one after the cell"


def read_delimited(file: Path, suffix: str) -> Rows:
    """Return the rows of a file in UTF-8, whose columns are separated as `suffix` says.

    Row numbers count all rows after the header. Rows of empty cells are left out, and so are empty
    cells beyond the header. Faults are a wrong number of fields, a quotation mark that breaks a row
    or joins it with another, and a repeated header; all other rows are read.

    Raises:
        ReleaseError: as `read_text`; or the header is broken or separated otherwise, columns with
            values have no name, or each row has one more field than the header.
    """
    delimiter = DELIMITERS[suffix]
    lines = list(io.StringIO(read_text(file, delimiter), newline=""))
    if not any(map(str.strip, lines)):
        raise ReleaseError(f"{file}: an empty file; copy it again")
    if fault := _wrong_header(lines[0] if lines else "", delimiter):
        raise ReleaseError(f"{file}, line 1: {fault}")
    csv.field_size_limit(_LONGEST_FIELD)
    records = _records(lines, delimiter)
    first, header = next(records, (0, []))
    if isinstance(header, str):
        raise ReleaseError(f"{file}, line {first + 1}: {header}")
    header = [_stripped(name) for name in header]
    n_columns = len(header)
    rows: dict[int, list[str]] = {}
    faults: list[tuple[str, str]] = []
    widths = set()
    for number, (start, row) in enumerate(records, 1):
        if isinstance(row, str):
            faults.append((f"line {start + 1}", row.format(number)))
            continue
        if not any(row):
            continue
        row = row[:n_columns] if not any(row[n_columns:]) else row
        widths.add(len(row))
        if len(row) != n_columns:
            fault = f"{len(row)} fields, expected {n_columns} as in the header"
            if len(lines[start].split(delimiter)) == n_columns:
                fault += f"; quotation marks join its cells: {_DOUBLE}"
            faults.append((f"line {start + 1}", fault))
        elif [*map(_stripped, row)] == header:
            faults.append((f"line {start + 1}", "repeats the header"))
        elif number == 1 and _is_below_header(row):
            faults.append((f"line {start + 1}", "types of columns or a line, no values; delete it"))
        else:
            rows[number] = row
    if widths == {n_columns + 1}:
        raise ReleaseError(
            f"{file}: each row has one more field than the header, perhaps a row name, as R's "
            "write.table adds; write it with row.names=FALSE"
        )
    return _without_unnamed(file, Rows(header, rows, faults))


def _is_below_header(row: Sequence[str]) -> bool:
    """Return whether a row is one that programs write below the header: types, or a line."""
    cells = [cell.strip().lower() for cell in row if cell.strip()]
    return len(cells) > 1 and all(map(_BELOW_HEADER.fullmatch, cells))


def _stripped(name: str) -> str:
    """Return a column's name without blanks and byte-order marks around it."""
    return name.strip(" \t\r\n\N{NO-BREAK SPACE}\N{ZERO WIDTH NO-BREAK SPACE}")


def _wrong_header(line: str, delimiter: str) -> str:
    """Return what is wrong with a header that lacks the delimiter, or ""."""
    if re.fullmatch("sep=.?", line.strip().strip('"')):
        return "Excel's line about separators; delete it"
    other = max(_NAMES, key=line.count)
    if delimiter in line or other not in line or line.startswith("#"):
        return ""
    suffix = next((suffix for suffix, known in DELIMITERS.items() if known == other), "")
    advice = f"rename it to {suffix}" if suffix else "save it with commas (.csv) or tabs (.tsv)"
    return f"columns are separated by {_NAMES[other]}, expected {_NAMES[delimiter]}; {advice}"


def _records(lines: Sequence[str], delimiter: str) -> Iterator[tuple[int, list[str] | str]]:
    """Yield the index of each record's first line, and its cells or what is wrong with it.

    After a fault, the next line begins a record.
    """
    number = start = n_columns = id_column = 0
    kinds: set[frozenset[str]] = set()
    while start < len(lines):
        offset = start
        rest = map(lines.__getitem__, range(offset, len(lines)))
        try:
            reader = csv.reader(rest, delimiter=delimiter, strict=True)
            for row in reader:
                end = offset + reader.line_num
                if row and not n_columns:
                    n_columns = len(row)
                    names = [name.strip().lower() for name in row]
                    id_column = names.index("instruction_id") if "instruction_id" in names else 0
                    plain = (line.split(delimiter) for line in lines[end:] if '"' not in line)
                    kinds = {_kinds(c[id_column]) for c in plain if len(c) == n_columns}
                n = 0
                if end - start > 1:
                    inside = [_cells(line, delimiter) for line in lines[start:end]]
                    n = _n_joined(inside, n_columns, id_column, kinds)
                    if not number:
                        n = sum(len(cells) > 1 for cells in inside[1:])
                if n:
                    yield (
                        start,
                        (
                            f"a quotation mark joins {f'row {number}' if number else 'the header'} "
                            f"with row {number + n}, where it closes in line {end}; {_DOUBLE}, or "
                            "write the table as JSON"
                        ),
                    )
                    break
                if row:
                    yield start, row
                    number += 1
                start = end
            else:
                return
        except csv.Error:
            start = _opening(lines, start, delimiter)
            yield start, f"a cell begins with a quotation mark that does not end it; {_DOUBLE}"
        number, start = number + 1, start + 1


def _cells(line: str, delimiter: str) -> list[str]:
    """Return the cells of one line, in which quotation marks count only around a whole cell."""
    quoted = rf'"[^"]*(?:""[^"]*)*"(?={delimiter}|$)'
    return re.findall(rf"(?:^|{delimiter})({quoted}|[^{delimiter}]*)", line.rstrip("\r\n"))


def _n_joined(
    lines: Sequence[Sequence[str]], n_columns: int, id_column: int, kinds: set[frozenset[str]]
) -> int:
    """Return how many lines after a record's first are rows by themselves.

    They have all cells, and an id of the same `kinds` of characters as other rows or the first.
    """
    first, *others = lines
    if len(first) > id_column:
        kinds = {*kinds, _kinds(first[id_column])}
    rows = [cells for cells in others if len(cells) >= n_columns > id_column]
    return sum(_kinds(cells[id_column]) in kinds for cells in rows if cells[id_column].strip())


def _kinds(text: str) -> frozenset[str]:
    """Return which kinds of characters a text has: "0" digits, "a" letters, and others."""
    return frozenset("0" if c.isdigit() else "a" if c.isalpha() else c for c in text.strip())


def _opening(lines: Sequence[str], start: int, delimiter: str) -> int:
    """Return the index of the line where the cell begins that breaks the record from `start`."""
    opened, is_inside = start, False
    for number in range(start, len(lines)):
        line, position = lines[number].rstrip("\r\n"), 0
        while True:
            pattern = '"+' if is_inside else rf'(?:^|(?<={delimiter}))"'
            mark = re.compile(pattern).search(line, position)
            if mark is None:
                break
            position = mark.end()
            if not is_inside:
                opened, is_inside = number, True
            elif len(mark[0]) % 2:
                if line[position : position + 1] not in ("", delimiter):
                    return opened
                is_inside = False
    return opened


def _without_unnamed(file: Path, table: Rows) -> Rows:
    """Return the table without columns that have neither a name nor a value."""
    unnamed = [n for n, name in enumerate(table.header) if not name]
    used = [n for n in unnamed if any(row[n].strip() for row in table.rows.values())]
    if len(used) > 1:
        numbers = ", ".join(str(n + 1) for n in used)
        raise ReleaseError(f"{file}: columns {numbers} have values but no name in the header")
    kept = [n for n in range(len(table.header)) if table.header[n] or n in used]
    if len(kept) == len(table.header):
        return table
    rows = {number: [row[n] for n in kept] for number, row in table.rows.items()}
    return table._replace(header=[table.header[n] for n in kept], rows=rows)
