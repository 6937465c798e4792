"""A rater's journal: every action in order, on the disk before anybody is told that it is saved.

One JSON object per line, appended, and never rewritten: `state.replay` says what the actions amount
to. Each line has

- n: 1 for the first line, then counted up
- time: time of day, UTC; clock: seconds since the session began, which never jump
- session, app: which process wrote it, and the version of medalign_utils
- id, item, action, response, value: what the page sent; see `state.check_action`
"""

import contextlib
import datetime
import fcntl
import json
import os
import secrets
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import medalign_utils
from medalign_utils.errors import MedAlignError, reading
from medalign_utils.paths import short
from medalign_utils.review.folder import journal_file, make_private, plan_file, read_plan
from medalign_utils.review.state import check_action

_KEYS = {"n", "time", "clock", "session", "app", "id", "item", "action", "response", "value"}


class Journal:
    """A rater's actions; several processes and threads may append to the same journal at once."""

    def __init__(self, folder: Path, rater: str) -> None:
        """Read a rater's journal, if there is one, and begin a session.

        Args:
            folder: the review's; see `folder.review_folder`.
            rater: a rater's code.

        Raises:
            MedAlignError: a line other than the last is damaged.
        """
        self.file, self._folder = journal_file(folder, rater), folder
        self._plan = self._present_plan()
        self.session, self._began = secrets.token_hex(8), time.monotonic()
        self.lines: list[dict[str, Any]] = []
        self._by_id: dict[str, dict[str, Any]] = {}
        self._end = 0  # of the last line read
        self._thread = threading.Lock()
        self.refresh()

    def refresh(self) -> bool:
        """Read what others have appended; return whether there was anything.

        An incomplete last line is not read.
        """
        with self._thread:
            if not self.file.is_file():
                return False
            n = len(self.lines)
            with (
                reading(self.file, MedAlignError),
                self._locked(os.O_RDONLY, fcntl.LOCK_SH) as file,
            ):
                self._read(file)
            return len(self.lines) > n

    def append(self, action: Mapping[str, Any]) -> dict[str, Any]:
        """Append an action and return its line, which is then on the disk.

        If a line has the action's id, it is returned instead, so that a page may send again what it
        is not sure of. Lines that others appended are read first.

        Raises:
            MedAlignError: the action is unknown (`state.check_action`); or it is not saved, because
                the disk is full, for example, or there is a new plan, whose letters stand for other
                responses; the journal is then as it was before.
        """
        check_action(action)
        try:
            with self._thread, self._locked(os.O_RDWR | os.O_CREAT, fcntl.LOCK_EX) as file:
                if self._present_plan() != self._plan:
                    raise MedAlignError("not saved: there is a new plan; open the page again")
                self._mend(file)
                line = self._by_id.get(action.get("id") or "")
                if line is None:
                    line = self._line(action)
                    self._write(file, line)
                else:  # it may have been killed before this
                    os.fsync(file)
                return line
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise MedAlignError(f"not saved: {short(self.file)}: {reason}") from None

    @contextlib.contextmanager
    def _locked(self, flags: int, lock: int) -> Iterator[int]:
        if flags & os.O_CREAT and not self.file.parent.is_dir():
            make_private(self.file.parent)
        file = os.open(self.file, flags | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, lock)
            yield file
        finally:
            os.close(file)

    def _present_plan(self) -> str | None:
        """Return when the plan was made; None without a plan."""
        return read_plan(self._folder)["created"] if plan_file(self._folder).is_file() else None

    def _line(self, action: Mapping[str, Any]) -> dict[str, Any]:
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        return {
            "n": len(self.lines) + 1,
            "time": now,
            "clock": round(time.monotonic() - self._began, 3),
            "session": self.session,
            "app": medalign_utils.__version__,
            "id": action.get("id") or uuid.uuid4().hex,
            **{key: action.get(key) for key in ("item", "action", "response", "value")},
        }

    def _write(self, file: int, line: dict[str, Any]) -> None:
        """Write a line and wait until the disk has it; after an error, leave nothing of it."""
        content = json.dumps(line).encode() + b"\n"
        try:
            rest = content
            while rest:
                rest = rest[os.pwrite(file, rest, self._end + len(content) - len(rest)) :]
            os.fsync(file)
            if self._end == 0:  # the file's name, too
                _sync_folder(self.file.parent)
        except OSError:
            os.ftruncate(file, self._end)
            raise
        self._end += len(content)
        self._add(line)

    def _read(self, file: int) -> bytes:
        """Read the complete lines from the last one read on; return an incomplete last line."""
        size = os.fstat(file).st_size
        if size < self._end:
            raise MedAlignError(
                f"{short(self.file)} is shorter than before: somebody changed or deleted it; "
                "restore it, and open the page again"
            )
        content = b""
        while len(content) < size - self._end:
            read = os.pread(file, size - self._end - len(content), self._end + len(content))
            if not read:
                break
            content += read
        *lines, last = content.split(b"\n")
        for text in lines:
            line = _parse(text)
            if line is None or line["n"] != len(self.lines) + 1:
                raise MedAlignError(
                    f"{short(self.file)}, line {len(self.lines) + 1}: not a line of a journal; "
                    "somebody changed the file, or the disk is damaged: restore it from a backup"
                )
            self._end += len(text) + 1
            self._add(line)
        return last

    def _mend(self, file: int) -> None:
        """Read new lines; complete a last line without its end, or move what is torn aside."""
        last = self._read(file)
        if not last:
            return
        if _parse(last) is not None:
            os.pwrite(file, b"\n", self._end + len(last))
            self._read(file)
            return
        torn = self.file.with_name(self.file.name + ".torn")
        aside = os.open(torn, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            os.write(aside, last + b"\n")
            os.fsync(aside)
        finally:
            os.close(aside)
        os.ftruncate(file, self._end)

    def _add(self, line: dict[str, Any]) -> None:
        self.lines.append(line)
        self._by_id.setdefault(line["id"], line)


def _parse(text: bytes) -> dict[str, Any] | None:
    try:
        line = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return line if isinstance(line, dict) and line.keys() >= _KEYS else None


def _sync_folder(folder: Path) -> None:
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)
