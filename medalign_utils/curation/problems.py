"""The problems of a release by file and kind: all are counted, and the first of each are kept."""

import csv
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TextIO

from medalign_utils.data.release import require_place
from medalign_utils.data.tables import Problem
from medalign_utils.errors import printable
from medalign_utils.paths import not_a_formula, writing

FIRST = 3  # problems of one kind in one file that are kept
_MOST_KINDS = 1000  # further kinds are counted as one per file
_FIELDS = ("file", "place", "message")
# What differs between problems of a kind: quoted text, and words with a digit.
_VARIABLE = re.compile(r"""'[^']*'|"[^"]*"|\S*\d\S*""")


class _Group(NamedTuple):
    shown: list[Problem]
    n: int


class Problems:
    """A collection of problems; its length counts all, iteration gives those that are kept."""

    def __init__(self, listener: Callable[[Problem], None] | None = None) -> None:
        """Start without problems; `listener` is called with each one when it is found."""
        self._groups: dict[tuple[str, str], _Group] = {}
        self._listener = listener or (lambda problem: None)

    def append(self, problem: Problem) -> None:
        """Add a problem, unless it is one of a whole file that was found before."""
        kind = _VARIABLE.sub("", problem.message) if len(self._groups) < _MOST_KINDS else ""
        shown, n = self._groups.get(key := (str(problem.file), kind), _Group([], 0))
        if not problem.place and problem in shown:
            return
        self._listener(problem)
        self._groups[key] = _Group([*shown, problem] if n < FIRST else shown, n + 1)

    def __iadd__(self, problems: Iterable[Problem]) -> "Problems":
        """Add problems."""
        for problem in problems:
            self.append(problem)
        return self

    def __len__(self) -> int:
        """Return the number of all problems."""
        return sum(group.n for group in self._groups.values())

    def __iter__(self) -> Iterator[Problem]:
        """Yield the problems that are kept, those of one file and kind together."""
        for group in self._groups.values():
            yield from group.shown

    def lines(self) -> Iterator[str]:
        """Yield a line for each problem that is kept, and one for further problems of its kind."""
        for shown, n in self._groups.values():
            yield from map(str, shown)
            if n > len(shown):
                yield printable(f"{shown[0].file}: {n - len(shown):,} more like these")


@contextmanager
def problem_file(release: Path, name: str | None) -> Iterator[TextIO]:
    """Give the file for all problems, which only its owner can read; "-" is standard output."""
    if name in (None, "-"):
        yield sys.stdout
        return
    require_place(Path(name), release, "its problems name patients")
    with writing(Path(name), private=True, encoding="utf-8", newline="") as file:
        yield file


def json_writer(file: TextIO) -> Callable[[Problem], None]:
    """Return a listener that writes each problem as a line of JSON: file, place, message."""
    return lambda p: print(json.dumps(dict(zip(_FIELDS, _texts(p), strict=True))), file=file)


def csv_writer(file: TextIO) -> Callable[[Problem], None]:
    """Return a listener that writes each problem as a row of CSV, after a header."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(_FIELDS)
    return lambda p: writer.writerow([not_a_formula(printable(text)) for text in _texts(p)])


def _texts(problem: Problem) -> tuple[str, str, str]:
    return str(problem.file), problem.place, problem.message
