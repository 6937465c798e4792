"""Files of JSON lines that survive if the process that writes them is killed."""

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
    """A dict backed by an append-only file of JSON lines; change it only with `put`.

    For each key the last line counts, and lines of `path` override those of `readable`. An
    incomplete last line of `path` is dropped with a warning; any other damaged line raises a
    MedAlignError that names it. Only one process may write to a file; others may still be writing
    to the `readable` files.
    """

    def __init__(self, path: str | Path, *, private: bool, readable: Iterable[Path] = ()) -> None:
        """Read the files.

        Args:
            path: the file; the first `put` creates it and its folder.
            private: whether only the owner may read the file.
            readable: other files, read once and never changed.
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
        """Set a key, and append it to the file."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        line = json.dumps({"key": key, **value}, ensure_ascii=False) + "\n"
        with open(self.path, "ab", opener=opener(self.private)) as file:
            file.write(line.encode())
        self[key] = dict(value)


def read_lines(path: Path, keys: Collection[str], *, growing: bool = False) -> list[dict[str, Any]]:
    """Return the objects in a file of JSON lines; each must have at least `keys`.

    In a `growing` file, an incomplete last line is ignored. Any other damaged line raises a
    MedAlignError.
    """
    rows = []
    # Split bytes: str.splitlines also splits at other characters, which a text may contain.
    lines = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines, 1):
        row = _parse(line)
        if row is not None and row.keys() >= set(keys):
            rows.append(row)
        elif line and not (growing and number == len(lines)):
            raise MedAlignError(
                f"{path}, line {number}: expected a JSON object with {', '.join(keys)}; delete the "
                "line and run again"
            )
    return rows


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) else None


def _mend(path: Path) -> None:
    """Add a missing line end to a file, or drop its last line if that is incomplete."""
    content = path.read_bytes()
    end = content.rfind(b"\n") + 1
    last = content[end:]
    if last and _parse(last) is not None:
        with path.open("ab") as file:
            file.write(b"\n")
    elif last:
        os.truncate(path, end)
        logger.warning("%s: dropped an incomplete last line of %d bytes", path, len(last))
