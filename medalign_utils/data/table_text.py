"""Read the text of a table's file, plain or compressed by gzip."""

import csv
import io
import zlib
from pathlib import Path
from typing import NamedTuple

from medalign_utils.data.gzip_files import BoundedGzip
from medalign_utils.data.recognize import OPENING_BYTES, is_gzip, recognize
from medalign_utils.errors import ReleaseError


class Rows(NamedTuple):
    """Rows read from a file.

    Attributes:
        header: the names of all columns; of JSON, in the order in which they first occur.
        rows: row number, from 1 (of JSON lines, the line) -> values as text, in the order of
            `header`; "" if a row has no value there.
        faults: place and description of rows that are not in `rows`.
    """

    header: list[str]
    rows: dict[int, list[str]]
    faults: list[tuple[str, str]]


def read_text(file: Path, delimiter: str = "") -> str:
    """Return a file's text without a byte-order mark; `delimiter` separates columns, if any.

    Raises:
        ReleaseError: the file cannot be read, is something else than a table, or is not UTF-8; then
            with the row and column of the first such byte.
    """
    try:
        content = file.read_bytes()
        if is_gzip(content[:2]):
            content = BoundedGzip(fileobj=io.BytesIO(content)).read()
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or f"damaged gzip: {error}"
        raise ReleaseError(f"{file}: cannot be read ({reason})") from None
    if form := recognize(content[:OPENING_BYTES]):
        raise ReleaseError(f"{file}: expected a table in UTF-8, found {form}")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        byte, before = content[error.start : error.start + 1], content[: error.start]
        character = byte.decode("cp1252", errors="replace")
        raise ReleaseError(
            f"{file}, {_place(before.decode('utf-8-sig'), delimiter)}: byte 0x{byte.hex()} is not "
            f"UTF-8; in Windows-1252 it is {character!r}. Save the file as UTF-8, or convert it "
            "(`iconv -f WINDOWS-1252 -t UTF-8`)"
        ) from None


def _place(before: str, delimiter: str) -> str:
    """Return the place where a text breaks off: its row and column, or its line."""
    if not delimiter:
        return f"line {before.count(chr(10)) + 1}"
    records = csv.reader(io.StringIO(before + "?", newline=""), delimiter=delimiter)
    header, *rows = filter(None, records)
    position = len((rows or [header])[-1])
    named = header[position - 1] if rows and position <= len(header) else position
    return f"{f'row {len(rows)}' if rows else 'the header'}, column {named}"
