"""The workflow's jobs. Each executes a notebook and records the outcome in a status file.

A system that fails does not stop the run: its status file says why, later notebooks use the systems
that have finished, and the run fails only at the end.
"""

import contextlib
import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from medalign_utils.errors import MedAlignError
from medalign_utils.paths import read_json, write_scores, write_text
from medalign_utils.provenance.records import sha256
from medalign_utils.run import Run

# Parameter that lists systems -> the minimum number of systems that a notebook needs.
_LEAST = {"systems": 2, "counterfactual_systems": 1}


def read_status(file: Path) -> dict[str, Any]:
    """Return the outcome of a job.

    The keys are `is_ok`; `system`, if the job is for one system; after success `files`, which maps
    paths to their SHA-256; after a failure `error`, `message` and `log`.

    Raises: MedAlignError if the file is damaged, as after a full disk.
    """
    return read_json(file)


def is_finished(status: Path) -> bool:
    """Return whether a job succeeded and its files are unchanged."""
    try:
        outcome = read_status(status)
    except MedAlignError:
        return False
    return outcome["is_ok"] and all(
        Path(file).is_file() and sha256(file) == digest for file, digest in outcome["files"].items()
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
    """Execute a notebook and return whether the workflow may continue.

    After a job for one system (parameter `system`), the workflow continues even if it failed. Any
    other job leaves out systems that have not finished.

    Args:
        notebook: the notebook.
        executed: its executed copy; the job's log is in the same folder.
        parameters: the notebook's parameters.
        status: the status file to write.
        after: status files of the jobs for systems that this job depends on.
        makes: the files that the job writes.
        was_killed: whether an earlier attempt was killed; if so, this one only records that.
    """
    system = parameters.get("system")
    failed = [outcome for outcome in map(read_status, after) if not outcome["is_ok"]]
    lost = {outcome["system"] for outcome in failed}
    lists = {
        name: [s for s in parameters[name] if s not in lost]
        for name in _LEAST.keys() & parameters.keys()
    }
    too_few = [n for n, names in lists.items() if len(names) < min(_LEAST[n], len(parameters[n]))]
    status.parent.mkdir(parents=True, exist_ok=True)
    status.unlink(missing_ok=True)
    log = str(executed.with_suffix(".log"))
    outcome: Mapping[str, Any] = {"is_ok": True}
    if system and failed:
        outcome = failed[0]
    elif was_killed:
        outcome = _failure("Killed", "cancelled, out of memory or out of time", log)
    elif too_few:
        finished = ", ".join(lists[too_few[0]]) or "none"
        outcome = _failure("MedAlignError", f"{too_few[0]}: too few have finished: {finished}", log)
    else:
        try:
            _keep_private(parameters)
            execute(notebook, executed, {**parameters, **lists})
        except Exception as error:  # a cell failed, or the kernel died
            print(error, file=sys.stderr)
            message = getattr(error, "evalue", str(error)).partition("\n")[0]
            outcome = _failure(getattr(error, "ename", type(error).__name__), message, log)
    _write_status(status, system, outcome, makes)
    return bool(system) or outcome["is_ok"]


def join_shards(parts: Sequence[Path], makes: Sequence[Path], status: Path) -> None:
    """Join the files of a system's shards, whose statuses are `parts`; write the system's status.

    Raises:
        MedAlignError: shards were scored by different metrics or settings.
    """
    statuses = [read_status(part) for part in parts]
    failed = [outcome for outcome in statuses if not outcome["is_ok"]]
    for i, file in enumerate([] if failed else makes):
        sources = [Path(list(outcome["files"])[i]) for outcome in statuses]
        file.parent.mkdir(parents=True, exist_ok=True)
        if file.suffix == ".parquet":
            write_scores(_join_scores(sources), file, private=False)  # the umask may be stricter
        elif file.suffix == ".csv":  # skipped metrics, equal in all shards (see `_join_scores`)
            shutil.copyfile(sources[0], file)
        else:
            file.write_bytes(b"".join(source.read_bytes() for source in sources))
    outcome = failed[0] if failed else {"is_ok": True}
    _write_status(status, statuses[0]["system"], outcome, makes)


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
    """Execute a notebook with papermill, always with the Python kernel."""
    # Without this, jsonschema spends a second on a grammar of URIs, which notebooks do not contain.
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
    import papermill

    executed.parent.mkdir(parents=True, exist_ok=True)
    options = {"engine_name": "ipc", "progress_bar": False}
    options |= {"kernel_name": "python3", "language": "python"}
    papermill.execute_notebook(notebook, executed, dict(parameters), **options)


def _keep_private(parameters: Mapping[str, Any]) -> None:
    """Make the run private before anything is written, if its release is restricted."""
    with contextlib.suppress(MedAlignError):  # the notebook itself says what is wrong
        if "release" in parameters:
            _ = Run.of(parameters).release


def _failure(error: str, message: str, log: str) -> dict[str, Any]:
    print(f"{error}: {message}\nlog: {log}", file=sys.stderr)
    return {"is_ok": False, "error": error, "message": message, "log": log}


def _write_status(
    status: Path, system: str | None, outcome: Mapping[str, Any], makes: Sequence[Path]
) -> None:
    files = {"files": {str(file): sha256(file) for file in makes}} if outcome["is_ok"] else {}
    content = ({"system": system} if system else {}) | outcome | files
    # The umask of a restricted run is stricter.
    write_text(json.dumps(content, ensure_ascii=False) + "\n", status, private=False)
