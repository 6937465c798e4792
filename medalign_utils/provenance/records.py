"""Records of what made each file of a run, `runs/<experiment>/provenance/<notebook>.json`.

A record has the notebook's settings, a digest of these and one of the code, the date, commit,
versions and machine, and the SHA-256 of each file that was written with them.
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from medalign_utils import paths
from medalign_utils.errors import MedAlignError
from medalign_utils.outputs import FIGURE_KINDS, OUTPUTS, stem
from medalign_utils.provenance.code_closure import code_hash
from medalign_utils.provenance.environment import commit, machine, versions
from medalign_utils.provenance.notebook import notebook_code, notebook_parameters

# Parameters that do not change what a notebook's tables and figures show.
_NOT_SETTINGS = {"experiment", "save", "retry_failed"}


def settings_of(notebook: str, names: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a notebook's parameters that its results depend on.

    `names` may have more, such as an experiment's keys or a notebook's `globals()`, or lack some,
    which then have their defaults.
    """
    parameters = notebook_parameters(f"notebooks/{notebook}.ipynb")
    used = [name for name in parameters if name in names and name not in _NOT_SETTINGS]
    return {name: names[name] for name in used}


@cache
def code_digest(notebook: str) -> str:
    """Return a SHA-256 of a notebook's code and of the package's code that it uses."""
    code = notebook_code(paths.resolve(f"notebooks/{notebook}.ipynb"))
    return code_hash(code, Path(__file__).parents[2])


def sha256(file: str | Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with open(file, "rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def add_to_record(
    files: Iterable[Path], experiment: str, notebook: str, settings: Mapping[str, Any]
) -> None:
    """Record how files of a run were made; files made otherwise leave the notebook's record."""
    digests = {"settings_sha256": _digest(settings), "code_sha256": code_digest(notebook)}
    record = read_record(experiment, notebook) or {}
    same = digests.items() <= record.items()
    new = {str(file.relative_to(_folder(experiment))): sha256(file) for file in files}
    record = {
        "notebook": notebook,
        **digests,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "machine": machine(),
        "versions": versions(),
        "settings": dict(settings),
        "files": (record["files"] if same else {}) | new,
    }
    content = json.dumps(record, indent=1, ensure_ascii=False) + "\n"
    paths.write_text(content, paths.provenance(experiment, notebook), private=False)


def read_record(experiment: str, notebook: str) -> dict[str, Any] | None:
    """Return a notebook's record in a run, or None; MedAlignError if the file is damaged."""
    file = paths.provenance(experiment, notebook)
    return paths.read_json(file) if file.is_file() else None


def other_settings(
    record: Mapping[str, Any], settings: Mapping[str, Any], failed: Collection[str] = ()
) -> list[str]:
    """Return the settings of a record that differ from these, as text; new ones do not count.

    A list of systems may lack those that failed.
    """
    different = []
    for name, was in record["settings"].items():
        now = settings.get(name, was)
        if name.endswith("systems"):
            now = [system for system in now if system in was or system not in failed]
        if was != now:
            different.append(f"{name} = {_text(was)}, not {_text(now)}")
    return different


def check_records(experiment: Mapping[str, Any], failed: Collection[str] = ()) -> list[str]:
    """Return the notebooks of a run whose tables or figures have no record.

    Args:
        experiment: the parameters of the run.
        failed: systems that could not finish, which tables leave out.

    Raises:
        MedAlignError: a table or figure was made with other settings or code than the run's, or
            has been changed; the message says which, and what to run.
    """
    run, unknown, problems = experiment["experiment"], [], []
    for notebook in OUTPUTS:
        found = [file for file in _outputs(run, notebook) if file.is_file()]
        record = read_record(run, notebook)
        if found and record is None:
            unknown.append(notebook)
        elif found:
            different = other_settings(record, settings_of(notebook, experiment), failed)
            if record["code_sha256"] != code_digest(notebook):
                different.append("code that has changed since")
            changed = [file.name for file in found if not _is_recorded(file, run, record)]
            problems += [f"{notebook} with {', '.join(different)}"] * bool(different)
            problems += [f"{name} in another way" for name in changed if not different]
    if problems:
        raise MedAlignError(
            f"runs/{run} has results that were made otherwise than this run's: "
            f"{'; '.join(problems)}. `{paths.reproduce(run)}` makes them again"
        )
    return unknown


def notebook_records(experiment: str) -> list[dict[str, Any]]:
    """Return when and where each notebook of a run wrote its results: notebook, date, ..."""
    records = [read_record(experiment, notebook) for notebook in OUTPUTS]
    names = ("notebook", "date", "commit", "machine")
    return [{name: record[name] for name in names} for record in records if record]


def provenance_of(file: str | Path) -> dict[str, Any]:
    """Return the record of a table, figure or other file of a run, without its other files.

    Raises:
        MedAlignError: no record names the file, or it has changed since.
    """
    file = Path(file).absolute()
    if not file.is_file():
        raise MedAlignError(f"no file {file}")
    for folder in file.parents:
        for path in sorted((folder / "provenance").glob("*.json")):
            record = paths.read_json(path)
            name = str(file.relative_to(folder))
            digest = record.pop("files").get(name)
            if digest is None:
                continue
            if digest != sha256(file):
                raise MedAlignError(f"{name} has changed since {record['notebook']} wrote it")
            return record | {"file": name, "sha256": digest}
    raise MedAlignError(f"it is not recorded how {file} was made; a run records its own files")


def _outputs(experiment: str, notebook: str) -> list[Path]:
    tables, figures = OUTPUTS[notebook]
    return [
        *(paths.table(experiment, stem(notebook, suffix)) for suffix in tables),
        *(
            paths.figure(experiment, stem(notebook, suffix), kind)
            for suffix in figures
            for kind in FIGURE_KINDS
        ),
    ]


def _is_recorded(file: Path, experiment: str, record: Mapping[str, Any]) -> bool:
    return record["files"].get(str(file.relative_to(_folder(experiment)))) == sha256(file)


def _folder(experiment: str) -> Path:
    return paths.report(experiment).parent


def _text(value: Any) -> str:
    is_names = isinstance(value, list) and all(isinstance(item, str) for item in value)
    return f"[{', '.join(value)}]" if is_names else repr(value)


def _digest(settings: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
