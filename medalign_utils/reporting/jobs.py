"""The workflow's jobs: a notebook each, and what became of it as data.

A system that cannot be run does not end a run: its job leaves a status file that says why, later
notebooks take the systems that have finished, and the run fails at its end.
"""

import hashlib
import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from medalign_utils.errors import MedAlignError
from medalign_utils.paths import write_scores

# How many systems a notebook needs, by its parameter that names them.
_LEAST = {"systems": 2, "counterfactual_systems": 1}


def read_status(file: Path) -> dict[str, Any]:
    """Return what a job has left, of a system's job with `system`.

    `is_ok`; if so, `files`: path -> SHA-256 of what it wrote; else `error`, `message`, `log`.
    """
    return json.loads(file.read_text(encoding="utf-8"))


def is_finished(status: Path) -> bool:
    """Return whether a job has succeeded and its files are still those that it wrote."""
    left = read_status(status)
    return left["is_ok"] and all(
        Path(file).is_file() and sha256(file) == digest for file, digest in left["files"].items()
    )


def run_notebook(
    notebook: Path,
    executed: Path,
    parameters: Mapping[str, Any],
    *,
    status: Path,
    after: Sequence[Path] = (),
    makes: Sequence[Path] = (),
    was_killed: bool = False,
) -> bool:
    """Execute a notebook and return whether the workflow may go on.

    The job of one system (parameter `system`) always leaves a status, and the workflow goes on.
    Any other leaves one only if it fails; it runs without the systems that have not finished.

    Args:
        notebook: the notebook.
        executed: its executed copy; the workflow keeps the job's log beside it.
        parameters: of the notebook.
        status: the file to write.
        after: statuses of the systems' jobs that come before.
        makes: what the job of a system makes.
        was_killed: an earlier attempt was, so this one only writes the status.
    """
    system = parameters.get("system")
    failed = [left for left in map(read_status, after) if not left["is_ok"]]
    lost = {left["system"] for left in failed}
    lists = {
        name: [s for s in parameters[name] if s not in lost]
        for name in _LEAST.keys() & parameters.keys()
    }
    too_few = [n for n, left in lists.items() if len(left) < min(_LEAST[n], len(parameters[n]))]
    status.parent.mkdir(parents=True, exist_ok=True)
    status.unlink(missing_ok=True)
    log = str(executed.with_suffix(".log"))
    left: Mapping[str, Any] = {"is_ok": True}
    if system and failed:
        left = failed[0]
    elif was_killed:
        left = _failure("Killed", "cancelled, out of memory or out of time", log)
    elif too_few:
        finished = ", ".join(lists[too_few[0]]) or "none"
        left = _failure("MedAlignError", f"{too_few[0]}: too few have finished: {finished}", log)
    else:
        try:
            execute(notebook, executed, {**parameters, **lists})
        except Exception as error:  # of a cell, or that the kernel died
            print(error, file=sys.stderr)
            message = getattr(error, "evalue", str(error)).partition("\n")[0]
            left = _failure(getattr(error, "ename", type(error).__name__), message, log)
    if system or not left["is_ok"]:
        _write_status(status, system, left, makes)
    return bool(system) or left["is_ok"]


def join_shards(parts: Sequence[Path], makes: Sequence[Path], status: Path) -> None:
    """Join what a system's shards have made, by their statuses `parts`; write its own status.

    Raises:
        MedAlignError: shards were scored by different metrics or settings.
    """
    statuses = [read_status(part) for part in parts]
    failed = [left for left in statuses if not left["is_ok"]]
    for i, file in enumerate([] if failed else makes):
        sources = [Path(list(left["files"])[i]) for left in statuses]
        file.parent.mkdir(parents=True, exist_ok=True)
        if file.suffix == ".parquet":
            write_scores(_join_scores(sources), file, private=False)  # or as the umask says
        elif file.suffix == ".csv":  # skipped metrics, the same ones as `_join_scores` checks
            shutil.copyfile(sources[0], file)
        else:
            file.write_bytes(b"".join(source.read_bytes() for source in sources))
    left = failed[0] if failed else {"is_ok": True}
    _write_status(status, statuses[0]["system"], left, makes)


def _join_scores(parts: Sequence[Path]) -> pd.DataFrame:
    """Return the scores of a system's shards as one job would have written them."""
    tables = [pd.read_parquet(part) for part in parts]
    settings = [t[["metric", "signature"]].drop_duplicates().to_numpy().tolist() for t in tables]
    for part, found in zip(parts, settings, strict=True):
        if found != settings[0]:
            raise MedAlignError(f"{part} has {found}, expected {settings[0]} as {parts[0]}")
    metrics = tables[0]["metric"].unique()
    blocks = [table[table["metric"] == metric] for metric in metrics for table in tables]
    return pd.concat(blocks, ignore_index=True)


def execute(notebook: Path, executed: Path, parameters: Mapping[str, Any]) -> None:
    """Execute a notebook by papermill, whatever kernel it was saved with."""
    # With it, jsonschema builds a grammar of URIs for a second; notebooks have none to check.
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
    import papermill

    executed.parent.mkdir(parents=True, exist_ok=True)
    options = {"engine_name": "ipc", "progress_bar": False}
    options |= {"kernel_name": "python3", "language": "python"}
    papermill.execute_notebook(notebook, executed, dict(parameters), **options)


def _failure(error: str, message: str, log: str) -> dict[str, Any]:
    print(f"{error}: {message}\nlog: {log}", file=sys.stderr)
    return {"is_ok": False, "error": error, "message": message, "log": log}


def _write_status(
    status: Path, system: str | None, left: Mapping[str, Any], makes: Sequence[Path]
) -> None:
    files = {"files": {str(file): sha256(file) for file in makes}} if left["is_ok"] else {}
    content = ({"system": system} if system else {}) | left | files
    status.write_text(json.dumps(content, ensure_ascii=False) + "\n", encoding="utf-8")


def sha256(file: str | Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with open(file, "rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
