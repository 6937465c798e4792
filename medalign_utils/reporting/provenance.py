"""What a run was made with, and what it lacks and why.

Parameters, signatures, scores and digests are the run's. The systems' files, the versions and the
commit are the project's at the time of asking, which may have changed since the run.
"""

import hashlib
import json
import math
import platform
import re
import subprocess
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import yaml

from medalign_utils import __version__, paths
from medalign_utils.config import load_system
from medalign_utils.data.release import Release
from medalign_utils.errors import MedAlignError
from medalign_utils.evaluation.ratings import common_ratings, rate
from medalign_utils.run import Run

_DISTRIBUTION = "medalign-utils"
_TABLES = (".tsv", ".csv", ".jsonl", ".json")


class Gap(NamedTuple):
    """Something that a report does not show, why, and whether the run should have had it."""

    what: str
    why: str
    is_failure: bool = False


def settings(experiment: Mapping[str, Any]) -> dict[str, str]:
    """An experiment's parameters, each value as YAML has it on one line.

    >>> settings({"experiment": "demo", "seed": 1, "metrics": ["chrf", "rouge_l"], "columns": {}})
    {'seed': '1', 'metrics': '[chrf, rouge_l]', 'columns': '{}'}
    """
    return {
        key: _as_yaml(value, default_flow_style=True, width=math.inf)
        for key, value in experiment.items()
        if key != "experiment"
    }


def system_settings(experiment: Mapping[str, Any]) -> dict[str, str]:
    """What each system's file says now, without its comments; none of `released` responses."""
    if experiment["responses"] == "released":
        return {}
    files = {system: load_system(system) for system in experiment["systems"]}
    return {
        name: _as_yaml({key: value for key, value in system.items() if key != "system"})
        for name, system in files.items()
    }


def signatures(experiment: Mapping[str, Any]) -> pd.DataFrame:
    """Each metric's settings, and how many responses it scored.

    Returns:
        metric, signature, scores, undefined (of the scores); in the order in which the metrics were
        computed.
    """
    columns = ["metric", "score", "signature"]
    files = [paths.scores(experiment["experiment"], system) for system in experiment["systems"]]
    parts = [pd.read_parquet(file, columns=columns) for file in files if file.is_file()]
    scores = pd.concat(parts) if parts else pd.DataFrame(columns=columns)
    grouped = scores.groupby(["metric", "signature"], sort=False)
    return grouped.agg(
        scores=("score", "size"),
        undefined=("score", lambda score: score.isna().sum()),
    ).reset_index()


def versions() -> dict[str, str]:
    """The versions installed now: Python's, this package's, and of those that it says it needs."""
    needed = [name for name in metadata.requires(_DISTRIBUTION) or () if "extra ==" not in name]
    names = sorted(re.match(r"[\w.-]+", name)[0] for name in needed)
    system = f"{platform.python_version()} ({platform.system()}, {platform.machine()})"
    own = {"Python": system, _DISTRIBUTION: __version__}
    return own | {name: _version(name) for name in names}


def commit() -> str | None:
    """The project's git commit now, and whether files differ from it; None outside a checkout."""
    root = paths.project_root()
    found = _git(root, "rev-parse", "--show-toplevel", "HEAD")
    if found is None or Path(found.splitlines()[0]) != root.resolve():
        return None
    changed = _git(root, "status", "--porcelain")
    return found.splitlines()[1] + (", with uncommitted changes" if changed else "")


def digests(experiment: Mapping[str, Any], release: Release) -> dict[str, list[tuple[str, str]]]:
    """SHA-256 of what the run reads and made: the release's tables, responses, scores, checkpoint.

    Of the files as they are now, which for what was read may be later than the run.
    A release's EHRs are not listed: their names are patients'. A manifest has their digests.

    Returns: what they are -> (name, digest in hexadecimal) of each file that is there.
    """
    name, systems = experiment["experiment"], experiment["systems"]
    tables = [file for file in sorted(release.path.iterdir()) if file.suffix.lower() in _TABLES]
    files = {
        "Release": tables,
        "Responses": [paths.responses(name, system) for system in systems],
        "Scores": [paths.scores(name, system) for system in systems],
        "Tables": sorted(paths.table(name, "").parent.glob("*.csv")),
        "COMET checkpoint": [Path(paths.checkpoint(experiment["comet_checkpoint"]))],
    }
    return {
        what: [(file.name, _sha256(file)) for file in group if file.is_file()]
        for what, group in files.items()
        if any(file.is_file() for file in group)
    }


def missing_systems(experiment: Mapping[str, Any], *, restricted: bool) -> Iterator[Gap]:
    """The experiment's systems without responses or without scores, and how their jobs ended."""
    name = experiment["experiment"]
    for system in experiment["systems"]:
        generated = experiment["responses"] != "released"
        if generated and not paths.responses(name, system).is_file():
            notebook, lacks = f"03_generate_responses-{system}", "responses"
        elif not paths.scores(name, system).is_file():
            notebook, lacks = f"04_score_responses-{system}", "scores"
        else:
            continue
        why = failure(name, notebook, restricted=restricted)
        yield Gap(f"system {system}: no {lacks}", why, is_failure=True)


def missing_metrics(experiment: Mapping[str, Any]) -> Iterator[Gap]:
    """The metrics by which responses could not be scored, the reason, and of which systems."""
    parts = []
    for system in experiment["systems"]:
        file = paths.skipped(experiment["experiment"], system)
        if file.is_file():
            parts.append(pd.read_csv(file, dtype=str).assign(system=system))
    if parts:
        skipped = pd.concat(parts).groupby(["metric", "reason"], sort=False)["system"].agg(list)
        for (metric, reason), systems in skipped.items():
            every = len(systems) == len(experiment["systems"])
            yield Gap(f"metric {metric}" + ("" if every else f" of {', '.join(systems)}"), reason)


def unused_ratings(
    experiment: Mapping[str, Any], release: Release, *, restricted: bool
) -> Iterator[Gap]:
    """Reviews not used for the evaluation, and instructions that not every system was rated on."""
    name, responses = experiment["experiment"], experiment["responses"]
    systems = experiment["systems"]
    if responses == "generated":
        systems = [system for system in systems if paths.responses(name, system).is_file()]
    if not systems or (responses == "generated" and release.answer_key_path is None):
        return
    run = Run(
        name,
        release.path,
        systems,
        source=responses,
        combine=experiment["combine_raters"],
        columns=experiment["columns"],
    )
    try:
        common = common_ratings(rate(run))
    except MedAlignError as error:
        yield Gap("ratings", _said(type(error).__name__, str(error), restricted), is_failure=True)
        return
    if responses == "released":
        n = release.reviews.n_not_used
        if n:
            yield Gap(f"{n:,} reviews", "the release marks them as not used for the evaluation")
    if common.n_left_out:
        yield Gap(f"{common.n_left_out:,} rated instructions", str(common))


def suppressed_groups(tables: Mapping[str, pd.DataFrame]) -> Iterator[Gap]:
    """What tables by group of patients say that they withhold, each grouping and reason once."""
    named = (table.rename(columns={"change": "grouping"}) for table in tables.values())
    parts = [table for table in named if {"grouping", "suppressed"} <= set(table)]
    if parts:
        said = pd.concat(parts)[["grouping", "suppressed"]].dropna().drop_duplicates()
        for grouping, reason in said.itertuples(index=False):
            yield Gap(f"groups by {grouping}", reason)


def failure(experiment: str, notebook: str, *, restricted: bool) -> str:
    """Why a notebook has not left what it makes, by its executed copy.

    Of a restricted release the kind of error is said, not its message.
    """
    folder = paths.resolve(f"runs/{experiment}/notebooks")
    # One copy, or one of each shard.
    files = [*folder.glob(f"{notebook}.ipynb"), *sorted(folder.glob(f"{notebook}-*-of-*.ipynb"))]
    for file in files:
        try:
            cells = json.loads(file.read_text(encoding="utf-8"))["cells"]
        except ValueError:  # its writer was killed
            continue
        for output in (output for cell in cells for output in cell.get("outputs", ())):
            if output["output_type"] == "error":
                error = _said(output["ename"], output["evalue"], restricted)
                return f"{error} (notebooks/{file.name})"
    if not files:
        return "it has not run"
    return f"it ended early, without an error of its own (notebooks/{files[0].name})"


def _said(kind: str, message: str, restricted: bool) -> str:
    """An error; of a restricted release its kind alone, since messages name files and ids."""
    return kind if restricted else f"{kind}: {message.partition(chr(10))[0]}"


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _as_yaml(value: Any, **style: Any) -> str:
    text = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, **style)
    return text.removesuffix("...\n").strip()


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True)
    except FileNotFoundError:  # git is not there
        return None
    return done.stdout.strip() if done.returncode == 0 else None
