"""Files of JSON lines that survive if the process that writes them is killed."""

import contextlib
import datetime
import fcntl
import json
import logging
import os
import platform
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from medalign_utils.errors import MedAlignError
from medalign_utils.paths import opener

logger = logging.getLogger(__name__)

_MOUNTS = Path("/proc/self/mounts")
# File systems, with the mount options (None: always) under which locks hold on one machine only.
_LOCAL_LOCKS = {
    "nfs": {"nolock", "local_lock=all", "local_lock=flock"},
    "lustre": {"localflock"},
    "cifs": {"nobrl"},
    "smb3": {"nobrl"},
    "fuse.sshfs": None,
}


@contextlib.contextmanager
def locked(file: Path, *, private: bool) -> Iterator[None]:
    """Hold the lock on a file in a ``with`` block; wait while another process or thread holds it.

    While waiting, a warning says who holds it. The system releases the lock when its process ends,
    in any way; over NFS it holds for all machines.

    Raises:
        MedAlignError: the file system has no locks, or locks that other machines do not see.
    """
    if fault := _local_locks(file.parent):
        raise MedAlignError(
            f"{file.parent}: {fault}, so that another machine could run the same system; choose "
            "another folder"
        )
    file.parent.mkdir(parents=True, exist_ok=True)
    with open(file, "a+", encoding="utf-8", opener=opener(private)) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            logger.warning("%s: waiting, because %s answers it", file.parent, lock.read() or "?")
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError as error:
            raise MedAlignError(
                f"{file}: its file system has no locks ({error.strerror}); choose another folder"
            ) from None
        lock.truncate(0)
        now = datetime.datetime.now().isoformat(" ", "seconds")
        lock.write(f"process {os.getpid()} on {platform.node()}, since {now},")
        lock.flush()
        yield
        lock.truncate(0)


def is_locked(file: Path) -> bool:
    """Return whether a process holds the lock on a file; see `locked`."""
    if not file.is_file():
        return False
    with file.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _local_locks(folder: Path) -> str:
    """Return why locks in a folder hold on this machine only, or ""."""
    if not _MOUNTS.is_file():
        return ""
    lines = [line.split(" ") for line in _MOUNTS.read_text(errors="replace").splitlines()]
    places = [folder.absolute(), *folder.absolute().parents]
    at = {Path(line[1].replace("\\040", " ")): line for line in lines}
    _, _, kind, options, *_ = next((at[place] for place in places if place in at), ("", "", "", ""))
    local = _LOCAL_LOCKS.get("nfs" if kind.startswith("nfs") else kind, set())
    if local is None:
        return f"{kind} does not share locks between machines"
    found = sorted(local & set(options.split(",")))
    return f"it is mounted with {found[0]}" if found else ""


class Store(dict[str, dict[str, Any]]):
    """A dict backed by an append-only file of JSON lines; change it only with `put`.

    For each key the last line counts, and lines of `path` override those of `readable`. An
    incomplete last line of `path` is dropped with a warning; any other damaged line raises a
    MedAlignError that names it. Other processes may be writing to any of the files.
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
        with open(self.path, "ab", opener=opener(self.private)) as file, _alone(file):
            file.write(line.encode())
            file.flush()
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
        if row is not None and all(name in row and _is_key(row, name) for name in keys):
            rows.append(row)
        elif line and not (growing and number == len(lines)):
            raise MedAlignError(
                f"{path}, line {number}: expected a JSON object with {', '.join(keys)}; "
                f"`python -m medalign_utils repair {path}` sets such lines aside, and a new run "
                "makes what they had"
            )
    return rows


def repair(path: Path) -> int:
    """Move the damaged lines of a file to ``<path>.damaged``, and return how many there were.

    Of lines about one instruction in a file of responses, the first counts.

    Raises:
        MedAlignError: the file is none of a run: it has another ending, or no line of a run.
    """
    lines = [line for line in path.read_bytes().split(b"\n") if line]
    kept, damaged, seen = [], [], set()
    for line in lines:
        row = _parse(line) or {}
        names = [name for name in ("key", "instruction_id") if name in row]
        is_damaged = not names or not all(_is_key(row, name) for name in names)
        about = None if is_damaged or "key" in row else row["instruction_id"]
        is_damaged |= about in seen
        (damaged if is_damaged else kept).append(line + b"\n")
        seen |= {about} - {None}
    if path.suffix != ".jsonl" or (damaged and not kept):
        raise MedAlignError(
            f"{path}: not repaired, because it has no line of a run; if it was a run's file, "
            "delete it, and a new run makes it again"
        )
    if damaged:
        for file, content, how in ((f"{path}.damaged", damaged, "ab"), (f"{path}.new", kept, "wb")):
            with open(file, how, opener=opener(True)) as opened:
                opened.write(b"".join(content))
        os.chmod(f"{path}.new", path.stat().st_mode & 0o777)
        os.replace(f"{path}.new", path)
    return len(damaged)


def _is_key(row: Mapping[str, Any], name: str) -> bool:
    """Return whether a field that identifies a line may do so; other fields may be anything."""
    return name not in ("key", "instruction_id") or isinstance(row[name], str)


@contextlib.contextmanager
def _alone(file: IO[bytes]) -> Iterator[None]:
    """Hold a file's own lock for a moment, so that lines of two processes do not mix."""
    with contextlib.suppress(OSError):  # without locks, as before
        fcntl.flock(file, fcntl.LOCK_EX)
    yield


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None


def _mend(path: Path) -> None:
    """Add a missing line end to a file, or drop its last line if that is incomplete."""
    with path.open("r+b") as file, _alone(file):
        content = file.read()
        end = content.rfind(b"\n") + 1
        last = content[end:]
        if last and _parse(last) is not None:
            file.write(b"\n")
        elif last:
            file.truncate(end)
            logger.warning("%s: dropped an incomplete last line of %d bytes", path, len(last))
