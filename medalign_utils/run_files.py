"""The files of one system's run, which never lose a response and never mix two runs' responses.

Beside ``<system>.jsonl`` lie ``<system>.settings.json``, which says what the responses depend on,
and, as needed, ``<system>.partial.jsonl``, the finished ones of a run that is not complete,
``<system>.steps.jsonl``, the intermediate answers of refinement, and ``<system>.failures.jsonl``,
why some prompts have no response.
"""

import hashlib
import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from medalign_utils.paths import opener

logger = logging.getLogger(__name__)


class RunFiles:
    """One system's files.

    Attributes:
        responses: the complete run's.
        partial: finished responses of a run that is not complete.
        steps: intermediate answers.
        failures: of the last run.
        settings: what all of them depend on.
    """

    def __init__(self, responses: Path, *, private: bool) -> None:
        """Name the files; private ones are readable by their owner only."""
        self.responses = responses
        self.partial = responses.with_suffix(".partial.jsonl")
        self.steps = responses.with_suffix(".steps.jsonl")
        self.failures = responses.with_suffix(".failures.jsonl")
        self.settings = responses.with_suffix(".settings.json")
        self._opener = opener(private)

    def prepare(self, settings: dict[str, Any], terms: Mapping[str, Any]) -> None:
        """Make sure that what lies there was made with these settings.

        What was made with others is put aside, with its settings, into a folder of its own under
        ``superseded/``, and comes back when those are asked for again; a warning says what differs.

        Args:
            settings: what prompts and answers depend on.
            terms: kept beside it; not compared.
        """
        self.responses.parent.mkdir(parents=True, exist_ok=True)
        found = _read_json(self.settings)
        before = found.get("settings") if isinstance(found, dict) else None
        if before != settings:
            if any(file.exists() for file in self._answers()):
                aside = self._folder(before)
                aside.mkdir(parents=True)
                for file in (*self._answers(), self.settings):
                    if file.exists():
                        os.replace(file, aside / file.name)
                logger.warning(
                    "%s: starting over, because %s; what was there is in %s",
                    self.responses,
                    "; ".join(_differences(before, settings))
                    if isinstance(before, dict)
                    else f"{self.settings.name} is missing or unreadable",
                    aside,
                )
            if (earlier := self._folder(settings, exists=True)) is not None:
                for file in (*self._answers(), self.settings):
                    if (earlier / file.name).exists():
                        os.replace(earlier / file.name, file)
                earlier.rmdir()
                logger.warning("%s: going on with what was put aside", self.responses)
        content = {"settings": settings, "terms": dict(terms)}
        temporary = self.settings.with_suffix(".tmp")
        with open(temporary, "w", encoding="utf-8", opener=self._opener) as file:
            file.write(json.dumps(content, indent=2, ensure_ascii=False) + "\n")
        os.replace(temporary, self.settings)

    def append(self, file: Path) -> TextIO:
        """Open one of the files to write lines at its end."""
        return open(file, "a", encoding="utf-8", newline="\n", opener=self._opener)

    def _answers(self) -> tuple[Path, ...]:
        return self.responses, self.partial, self.steps, self.failures

    def _folder(self, settings: Any, *, exists: bool = False) -> Path | None:
        digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]
        base = self.responses.parent / "superseded" / f"{self.responses.stem}-{digest}"
        if exists:
            return base if base.is_dir() else None
        number = 1
        folder = base
        while folder.exists():
            number += 1
            folder = base.with_name(f"{base.name}-{number}")
        return folder


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


def _read_json(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None


def _differences(before: Mapping[str, Any], now: Mapping[str, Any], under: str = "") -> list[str]:
    said = []
    for key in sorted(set(before) | set(now)):
        old, new = before.get(key), now.get(key)
        if old == new:
            continue
        name = f"{under}{key}"
        if isinstance(old, dict) and isinstance(new, dict):
            said += _differences(old, new, f"{name}.")
        elif name.endswith("_sha256"):
            said.append(f"{name.removesuffix('_sha256')} changed")
        else:
            said.append(f"{name} is {new!r} and was {old!r}")
    return said
