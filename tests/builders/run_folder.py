"""The store in which a run keeps its results until it publishes responses."""

import json
import shutil
from pathlib import Path
from typing import Any


def kept(path: Path, name: str = "store.jsonl") -> Path:
    """Return the store of a system's run."""
    return path.with_suffix("") / name


def stored(path: Path, kind: str = "response", name: str = "store.jsonl") -> list[dict[str, Any]]:
    """Return a store's rows of one kind ("response", "step" or "failure"), in order."""
    rows = [json.loads(line) for line in kept(path, name).read_bytes().split(b"\n") if line]
    return [row for row in rows if row["key"].split()[1:2] == [kind]]


def forget(path: Path) -> None:
    """Delete all output of a system."""
    path.unlink(missing_ok=True)
    shutil.rmtree(path.with_suffix(""), ignore_errors=True)
