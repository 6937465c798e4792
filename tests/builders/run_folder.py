"""Where a run keeps what it has, beside the responses that it publishes."""

import json
import shutil
from pathlib import Path
from typing import Any


def kept(path: Path, name: str = "store.jsonl") -> Path:
    """The store of a system's run."""
    return path.with_suffix("") / name


def stored(path: Path, kind: str = "response", name: str = "store.jsonl") -> list[dict[str, Any]]:
    """What a store holds of one kind, "response", "step" or "failure", in its order."""
    rows = [json.loads(line) for line in kept(path, name).read_bytes().split(b"\n") if line]
    return [row for row in rows if row["key"].split()[1:2] == [kind]]


def forget(path: Path) -> None:
    """Take all that a system has made."""
    path.unlink(missing_ok=True)
    shutil.rmtree(path.with_suffix(""), ignore_errors=True)
