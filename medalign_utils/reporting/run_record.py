"""The record of a run, `runs/<experiment>/run.json`: its provenance, what is missing, and why.

Parameters, signatures and scores come from the run. The systems' files, versions, the commit and
hashes are read when the record is written, so they may have changed since the run.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from medalign_utils import paths
from medalign_utils.data.disclosure import is_personal, unknown_text
from medalign_utils.errors import MedAlignError
from medalign_utils.evaluation.ratings import common_ratings, has_ratings, rate
from medalign_utils.outputs import OUTPUTS, stem
from medalign_utils.prompts.templates import read_wording
from medalign_utils.provenance.environment import commit, versions
from medalign_utils.provenance.records import check_records, notebook_records, sha256
from medalign_utils.reporting.jobs import read_status
from medalign_utils.reporting.results_table import read_table
from medalign_utils.run import Run

_SYSTEM_JOBS = ("generate", "score")
_TABLES = (".tsv", ".csv", ".jsonl", ".json")


class Gap(NamedTuple):
    """Something missing from a report, the reason, and whether this is a failure."""

    what: str
    why: str
    is_failure: bool = False


def describe_run(
    experiment: Mapping[str, Any], systems: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """Return everything in the report except tables and figures, in types that JSON supports.

    Args:
        experiment: from `config.load_experiment`.
        systems: name -> contents of the system's file; empty for `released` responses.

    Raises:
        MedAlignError: as `read_tables` and `provenance.records.check_records`.
    """
    run = Run.of(experiment)
    tables = read_tables(run.experiment)
    unknown = check_records(experiment, failed=_failed_systems(run, systems))
    gaps = [
        *_missing_systems(run, systems),
        *_missing_metrics(run),
        *_unused_ratings(run),
        *_suppressed_groups(tables),
        *_missing_tables(run, tables, experiment["counterfactual_systems"]),
        *(
            Gap(f"record of how {notebook} was made", "it was deleted", True)
            for notebook in unknown
        ),
        *(_withheld_columns(tables) if run.is_restricted else ()),
    ]
    return {
        "experiment": run.experiment,
        "about": _about(run, tables),
        "limited_to": run.limited_to,
        "release": run.release.origin,
        "is_restricted": run.is_restricted,
        "gaps": [gap._asdict() for gap in gaps],
        "settings": {key: value for key, value in experiment.items() if key != "experiment"},
        "systems": dict(systems),
        "prompts": _prompts(systems),
        "signatures": _signatures(run).to_dict("records"),
        "made": notebook_records(run.experiment),
        "versions": versions(),
        "commit": commit(),
        "hashes": _hashes(run),
    }


def write_run(described: Mapping[str, Any]) -> Path:
    """Write `run.json` and return its path; only its owner can read it if the run is restricted."""
    file = paths.run_record(described["experiment"])
    content = json.dumps(described, indent=1, ensure_ascii=False) + "\n"
    return paths.write_text(content, file, private=described["is_restricted"])


def read_tables(experiment: str) -> dict[str, pd.DataFrame]:
    """Return stem -> table for the run's tables that `outputs.OUTPUTS` lists.

    Raises:
        MedAlignError: a table has rows of patients, instructions or responses.
    """
    names = [stem(notebook, suffix) for notebook in OUTPUTS for suffix in OUTPUTS[notebook].tables]
    files = {name: paths.table(experiment, name) for name in names}
    tables = {name: read_table(file) for name, file in files.items() if file.is_file()}
    for name, table in tables.items():
        if personal := [column for column in table if is_personal(column)]:
            raise MedAlignError(
                f"{name}.csv: column {', '.join(personal)}: a report shows only aggregates, no row "
                "about a patient, an instruction or a response"
            )
    return tables


def _about(run: Run, tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """Return phrases: the release, any limit, who rated, and whether it compares with the paper."""
    release = run.release
    size = f"{len(release.instructions):,} instructions, {len(release.references):,} references"
    phrases = [f"{release.origin[0].upper()}{release.origin[1:]}: {size}"]
    if run.limited_to:
        phrases.append(f"provisional: limited to {run.limited_to}")
    if run.source == "released":
        phrases.append("responses and clinicians' ratings of the release")
    elif has_ratings(run):
        phrases.append("rated by a program with an answer key, not by clinicians")
    else:
        phrases.append("scored but not rated, because there is no answer key")
    verdicts = {*tables.get("08_reproduce_paper", pd.DataFrame({"comparable": []}))["comparable"]}
    if verdicts - {"no"}:
        phrases.append("compared with the paper below")
    elif verdicts or not release.is_restricted:
        phrases.append("not comparable with the paper")
    return phrases


def _prompts(systems: Mapping[str, Mapping[str, Any]]) -> list[dict[str, str]]:
    """Return the distinct wordings of prompts, each with its systems."""
    found: dict[tuple[str, ...], list[str]] = {}
    for name, system in systems.items():
        texts = read_wording(system.get("prompt"))
        if system.get("strategy") != "refine":
            texts = texts._replace(refine="")
        found.setdefault(texts, []).append(name)
    return [
        {"systems": ", ".join(names)} | {k: v for k, v in texts._asdict().items() if v}
        for texts, names in found.items()
    ]


def _signatures(run: Run) -> pd.DataFrame:
    """Return each metric's signature, number of scores, and number of undefined scores."""
    files = [paths.scores(run.experiment, system) for system in run.systems]
    parts = [pd.read_parquet(file) for file in files if file.is_file()]
    columns = ["metric", "signature", "score"]
    scores = pd.concat([pd.DataFrame(columns=columns), *parts])
    grouped = scores.groupby(["metric", "signature"], sort=False)["score"]
    return grouped.agg(scores="size", undefined=lambda score: int(score.isna().sum())).reset_index()


def _hashes(run: Run) -> dict[str, dict[str, str]]:
    """Return kind of file -> name -> SHA-256; EHRs are left out, because their names are ids."""
    release = sorted(run.release.path.iterdir())
    groups = {
        "release": [file for file in release if file.suffix.lower() in _TABLES],
        "responses": [paths.responses(run.experiment, system) for system in run.systems],
        "scores": [paths.scores(run.experiment, system) for system in run.systems],
        "tables": sorted(paths.table(run.experiment, "").parent.glob("*.csv")),
    }
    return {
        group: {file.name: sha256(file) for file in files if file.is_file()}
        for group, files in groups.items()
    }


def _missing_systems(run: Run, systems: Iterable[str]) -> Iterator[Gap]:
    """Yield the systems without responses or scores, and why their jobs failed."""
    for system in dict.fromkeys([*run.systems, *systems]):
        has_responses = paths.responses(run.experiment, system).is_file()
        if not has_responses and run.source == "generated":
            yield Gap(f"system {system}: no responses", failure(run, f"generate/{system}"), True)
        elif system in run.systems and not paths.scores(run.experiment, system).is_file():
            yield Gap(f"system {system}: no scores", failure(run, f"score/{system}"), True)


def _failed_systems(run: Run, systems: Iterable[str]) -> set[str]:
    """Return the systems whose generation or scoring failed."""
    names = {*run.systems, *systems}
    files = {s: [paths.status(run.experiment, f"{k}/{s}") for k in _SYSTEM_JOBS] for s in names}
    return {s for s in names if any(not _is_ok(file) for file in files[s])}


def _is_ok(status: Path) -> bool:
    return not status.is_file() or read_status(status)["is_ok"]


def _missing_metrics(run: Run) -> Iterator[Gap]:
    """Yield the metrics that could not be computed, for which systems, and why."""
    files = {system: paths.skipped(run.experiment, system) for system in run.systems}
    parts = {s: pd.read_csv(file, dtype=str) for s, file in files.items() if file.is_file()}
    if not parts:
        return
    skipped = pd.concat(parts, names=["system", None]).reset_index("system")
    for (metric, reason), rows in skipped.groupby(["metric", "reason"], sort=False):
        systems = "" if len(rows) == len(files) else f" of {', '.join(rows['system'])}"
        yield Gap(f"metric {metric}{systems}", reason)


def _unused_ratings(run: Run) -> Iterator[Gap]:
    """Yield the number of reviews not used, and of instructions not rated for every system."""
    is_released, name = run.source == "released", run.experiment
    systems = [s for s in run.systems if is_released or paths.responses(name, s).is_file()]
    if not systems or not has_ratings(run):
        return
    try:
        common = common_ratings(rate(replace(run, systems=systems)))
    except MedAlignError as error:
        message = "" if run.is_restricted else f": {error}"
        yield Gap("ratings", type(error).__name__ + message, is_failure=True)
        return
    if is_released and (n := run.release.reviews.n_not_used):
        yield Gap(f"{n:,} reviews", "the release marks them as not used for the evaluation")
    if common.n_left_out:
        yield Gap(f"{common.n_left_out:,} rated instructions", str(common))


def _suppressed_groups(tables: Mapping[str, pd.DataFrame]) -> Iterator[Gap]:
    """Yield each grouping of patients that tables withhold, with the reason."""
    renamed = (table.rename(columns={"change": "grouping"}) for table in tables.values())
    parts = [table for table in renamed if {"grouping", "suppressed"} <= set(table)]
    if parts:
        withheld = pd.concat(parts)[["grouping", "suppressed"]].dropna().drop_duplicates()
        for grouping, reason in withheld.itertuples(index=False):
            yield Gap(f"groups by {grouping}", reason)


def _missing_tables(
    run: Run, tables: Mapping[str, pd.DataFrame], audited: Sequence[str]
) -> Iterator[Gap]:
    """Yield the missing tables of each notebook."""
    for notebook, outputs in OUTPUTS.items():
        names = [stem(notebook, suffix) for suffix in outputs.tables]
        missing = [name for name in names if name not in tables]
        why = ""
        if notebook.startswith("09") and (run.source == "released" or not audited):
            why = "no system answers rewritten records"
        elif "05" <= notebook < "09" and not has_ratings(run):
            why = "the responses are not rated"
        if missing:
            yield Gap(f"table {', '.join(missing)}", why or failure(run, notebook), not why)


def _withheld_columns(tables: Mapping[str, pd.DataFrame]) -> Iterator[Gap]:
    """Yield the columns of free text, which may contain patient data."""
    for name, table in tables.items():
        if unknown := unknown_text(table):
            why = "free text that may contain patient data; the release is restricted"
            yield Gap(f"{name}: column {', '.join(unknown)}", why)


def failure(run: Run, job: str) -> str:
    """Return why a job's files are missing.

    For a restricted release, this is only the type of error: messages may contain files and ids.
    """
    file = paths.status(run.experiment, job)
    if not file.is_file():
        return "it has not run, or was stopped"
    outcome = read_status(file)
    if outcome["is_ok"]:
        return "its files have been deleted"
    return outcome["error"] if run.is_restricted else f"{outcome['error']}: {outcome['message']}"
