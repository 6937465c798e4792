"""A project in a separate folder, with a small experiment."""

import contextlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pandas as pd
import yaml

from medalign_utils.evaluation.cost import TIMES

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
SYSTEMS = ["bm25-full", "bm25-2k"]
EXPERIMENT = {
    "release": "data/tiny",
    "synthetic_patients": 3,
    "synthetic_instructions": 20,
    "synthetic_seed": 1,
    "columns": {},
    "annotator": "Annotator_1",
    "responses": "generated",
    "combine_raters": "first",
    "rouge_threshold": 0.7,
    "systems": SYSTEMS,
    "metrics": ["bertscore", "rouge_l", "chrf", "bleurt"],
    "comet_checkpoint": "",
    "weights": {"bertscore": "minilm"},
    "bertscore_layer": 6,
    "pairs": [["gender", "race"]],
    "simulated_releases": 10,
    "counterfactual_systems": ["bm25-2k"],
    "counterfactual_changes": ["gender"],
    "resamples": 100,
    "seed": 1,
}


def copy_project(to: Path) -> Path:
    """Copy everything that an experiment needs, without the output of earlier runs."""
    shutil.copy(ROOT / "Snakefile", to)
    ignored = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints")
    for folder in ("medalign_utils", "notebooks", "params", "profiles", "data/paper", "models"):
        shutil.copytree(ROOT / folder, to / folder, ignore=ignored)
    write_experiment("tiny", to)
    return to


def write_experiment(name: str, project: Path = Path(), **changes) -> str:
    """Write the small experiment with changes; a value of None removes the key."""
    content = {key: value for key, value in (EXPERIMENT | changes).items() if value is not None}
    (project / f"params/{name}.yaml").write_text(yaml.safe_dump(content))
    return f"params/{name}.yaml"


def write_system(name: str, project: Path = Path(), **changes) -> str:
    """Write a BM25 system with a context of 2,048 tokens, with changes."""
    content = {"generator": "bm25_passage", "format": "lines", "context_length": 2048}
    content |= {"tokenizer": "minilm"} | changes
    (project / f"params/systems/{name}.yaml").write_text(yaml.safe_dump(content))
    return name


def add_cell(notebook: Path, source: str) -> None:
    content = nbformat.read(notebook, as_version=4)
    content.cells.append(nbformat.v4.new_code_cell(source, id="added"))
    nbformat.write(content, notebook)


def run(project: Path, *command: str | Path, check: bool = True) -> subprocess.CompletedProcess:
    """Run a program of the environment offline in the project's folder, with its package."""
    program, *arguments = command
    env = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(project)}
    done = subprocess.run(
        [BIN / program, *arguments],
        cwd=project, env=os.environ | env, capture_output=True, text=True,
    )  # fmt: skip
    if check and done.returncode:
        raise AssertionError(f"{command}:\n{done.stdout}\n{done.stderr}")
    return done


def snakemake(
    project: Path, *arguments: str, experiment: str = "tiny", check: bool = True
) -> subprocess.CompletedProcess:
    options = ("--cores", "2", "--configfile", f"params/{experiment}.yaml")
    return run(project, "snakemake", *arguments, *options, check=check)


def jobs_to_do(project: Path) -> set[str]:
    """Return the jobs that a run would do now, except the final ones, which follow any job."""
    done = snakemake(project, "--dry-run")
    jobs = set(re.findall(r"^Job \d+: (.+)$", done.stdout + done.stderr, flags=re.MULTILINE))
    assert not jobs or "write the report" in jobs
    ends = {"everything is there", "write the report", "check that every system has finished"}
    return jobs - ends


COSTS = "tables/05_evaluate_systems-cost.csv"


def untimed(project: Path) -> str:
    """Return the table of costs of the small experiment without times, as CSV."""
    table = pd.read_csv(project / "runs/tiny" / COSTS, dtype=str)
    return table.drop(columns=list(TIMES)).to_csv(index=False)


@contextlib.contextmanager
def changed(path: Path, old: str, new: str) -> Iterator[None]:
    """Change a file and restore it afterwards."""
    content = path.read_text()
    assert old in content
    path.write_text(content.replace(old, new))
    try:
        yield
    finally:
        path.write_text(content)
