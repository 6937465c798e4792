"""Where a run keeps what it has, beside the responses that it publishes."""

import shutil
from pathlib import Path


def kept(path: Path, name: str = "responses.jsonl") -> Path:
    """A file of the only settings under which a system has run."""
    [folder] = [entry for entry in path.with_suffix("").iterdir() if entry.is_dir()]
    return folder / name


def forget(path: Path) -> None:
    """Take all that a system has made."""
    path.unlink(missing_ok=True)
    shutil.rmtree(path.with_suffix(""), ignore_errors=True)
