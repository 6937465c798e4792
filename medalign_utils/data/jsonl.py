"""JSON lines that survive a process that dies while it writes."""

import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

logger = logging.getLogger(__name__)


def write_line(file: TextIO, row: Mapping[str, Any]) -> None:
    """Write one line and flush it, so that it is there whatever ends the process."""
    file.write(json.dumps(row, ensure_ascii=False) + "\n")
    file.flush()


def read_lines(file: Path, keys: set[str]) -> list[dict[str, Any] | None]:
    """Read JSON lines: an object with these keys each, None for a line that is none.

    A file that is not there has no lines.
    """
    if not file.is_file():
        return []
    # By bytes: text may hold characters that str.splitlines takes for a line's end.
    lines = file.read_bytes().split(b"\n")
    return [parse_line(line, keys) for line in lines if line]


def parse_line(line: bytes, keys: set[str]) -> dict[str, Any] | None:
    """One line as an object with these keys; None where it is none.

    >>> parse_line(b'{"a": 1}', {"a"}), parse_line(b'{"a": ', {"a"})
    ({'a': 1}, None)
    """
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) and set(row) == keys else None


def mend(file: Path, keys: set[str]) -> None:
    """Mend the end of a file whose writer was killed: a torn last line is dropped, and told."""
    if not file.exists():
        return
    content = file.read_bytes()
    end = content.rfind(b"\n") + 1
    last = content[end:]
    if not last:
        return
    with file.open("r+b") as opened:
        if parse_line(last, keys) is not None:
            opened.seek(0, os.SEEK_END)
            opened.write(b"\n")
        else:
            opened.truncate(end)
            logger.warning("%s: dropped a torn last line of %d bytes", file, len(last))
