"""Scores that were computed before, by the digest of what was scored and how.

One SQLite file holds digests and numbers, no text. Of two jobs that compute the same score at the
same time the first to store it wins, and both go on with its value: the last digits of a model's
score hang on the machine, and two systems that give the same response must tie.
"""

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

from medalign_utils.errors import MedAlignError
from medalign_utils.paths import opener

# Of a job that waits for another's writing, which takes far less.
_LOCK_SECONDS = 60


def digest(*parts: str | None) -> str:
    """The SHA-256 of a list of texts, which tells ("ab", "c") from ("a", "bc").

    >>> digest("ab", "c") == digest("a", "bc")
    False
    """
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def recall(path: Path | None, keys: Iterable[str]) -> dict[str, float]:
    """The scores among `keys` that are known; none where there is no file yet.

    Raises: MedAlignError where the file is not what `store` writes.

    >>> recall(None, ["a"])
    {}
    """
    if path is None or not path.is_file():
        return {}
    with _open(path) as connection:
        return _select(connection, keys)


def store(path: Path | None, scores: Mapping[str, float], *, private: bool) -> dict[str, float]:
    """Store new scores and return those that stand: of a key stored before, the earlier one's.

    Args:
        path: the file, which is made if need be; None stores nothing.
        scores: key -> score; a NaN is not stored, so it is computed again.
        private: a new file is readable by its owner only.

    Raises: MedAlignError as `recall`.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "runs", "cache.sqlite")
    >>> store(path, {"a": 0.5}, private=True), store(path, {"a": 0.7, "b": 1.0}, private=True)
    ({'a': 0.5}, {'a': 0.5, 'b': 1.0})
    """
    if path is None:
        return dict(scores)
    path.parent.mkdir(parents=True, exist_ok=True)
    open(path, "ab", opener=opener(private)).close()
    with _open(path) as connection:
        rows = [(key, float(score)) for key, score in scores.items() if score == score]
        with connection:
            connection.executemany("INSERT OR IGNORE INTO scores VALUES (?, ?)", rows)
        return {**scores, **_select(connection, scores)}


@contextmanager
def _open(path: Path) -> Iterator[sqlite3.Connection]:
    try:
        with closing(sqlite3.connect(path, timeout=_LOCK_SECONDS)) as connection:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS scores"
                " (key TEXT PRIMARY KEY, score REAL NOT NULL) WITHOUT ROWID"
            )
            yield connection
    except sqlite3.Error as error:
        raise MedAlignError(
            f"{path}: not usable as a cache of scores ({error}); delete it, and all are computed"
        ) from error


def _select(connection: sqlite3.Connection, keys: Iterable[str]) -> dict[str, float]:
    query = "SELECT key, score FROM scores WHERE key = ?"
    return dict(row for key in keys for row in connection.execute(query, (key,)))
