"""JSON lines that survive a process that dies while it writes."""

import json
import logging
import os
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from medalign_utils.errors import MedAlignError
from medalign_utils.paths import opener

logger = logging.getLogger(__name__)


class Store(dict[str, dict[str, Any]]):
    """Append-only JSON lines, found again by key, to be changed by `put` alone.

    Of several lines with one key the last counts, and those of `path` count more than those of
    `readable`. A torn last line of `path` is dropped with a warning; another damaged line is an
    error that names it. Only one process may write to a file; `readable` ones may be growing.
    """

    def __init__(self, path: str | Path, *, private: bool, readable: Iterable[Path] = ()) -> None:
        """Read what is there.

        Args:
            path: the file, created with its folder at the first `put`.
            private: only the owner may read the file, even if it exists already.
            readable: further files, read here once and never changed.
        """
        super().__init__()
        self.path, self.private = Path(path), private
        if self.path.is_file():
            if private:
                self.path.chmod(0o600)
            _mend(self.path)
        for file in (*readable, self.path):
            rows = read_lines(file, {"key"}, growing=True) if file.is_file() else []
            self.update({row.pop("key"): row for row in rows})

    def put(self, key: str, value: Mapping[str, Any]) -> None:
        """Write one line, which is on disk when this returns."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        line = json.dumps({"key": key, **value}, ensure_ascii=False) + "\n"
        with open(self.path, "ab", opener=opener(self.private)) as file:
            file.write(line.encode())
        self[key] = dict(value)


def read_lines(path: Path, keys: Collection[str], *, growing: bool = False) -> list[dict[str, Any]]:
    """Return the objects of a file of JSON lines, which have these keys and may have others.

    A torn last line of a `growing` file is ignored; any other is an error that names it.
    """
    rows = []
    # By bytes: text may hold characters at which str.splitlines would split.
    lines = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines, 1):
        row = _parse(line)
        if row is not None and row.keys() >= set(keys):
            rows.append(row)
        elif line and not (growing and number == len(lines)):
            raise MedAlignError(
                f"{path}, line {number}: expected a JSON object with {', '.join(keys)}; delete the "
                "line to have it made again"
            )
    return rows


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) else None


def _mend(path: Path) -> None:
    """End the last line of a file, or drop it if it is torn."""
    content = path.read_bytes()
    end = content.rfind(b"\n") + 1
    last = content[end:]
    if last and _parse(last) is not None:
        with path.open("ab") as file:
            file.write(b"\n")
    elif last:
        os.truncate(path, end)
        logger.warning("%s: dropped a torn last line of %d bytes", path, len(last))
