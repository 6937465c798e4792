"""Notebook 07 on enough patients that suppression leaves groups to show."""

import shutil

import numpy as np
import papermill
import pytest
from PIL import Image

from medalign_utils import paths
from medalign_utils.data.disclosure import LEAST_PATIENTS
from medalign_utils.data.release import load_release
from medalign_utils.data.responses import RESPONSE_COLUMNS
from medalign_utils.metrics.scoring import score_responses
from medalign_utils.outputs import OUTPUTS
from medalign_utils.reporting.results_table import read_table
from medalign_utils.synthetic import write_release
from tests.builders.project import ROOT

NOTEBOOK = "07_audit_fairness"
SYSTEMS = ["fair", "unfair"]


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project with one cohort twice, as a synthetic and as a restricted release.

    Both systems give the reference as their answer, or nothing. The fair one does so at random, the
    unfair one to male patients alone.
    """
    folder = tmp_path_factory.mktemp("wide")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("PYTHONPATH", str(ROOT))
        for name in ("Snakefile", "notebooks", "params"):
            source = ROOT / name
            (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / name)
        write_release(folder / "data/synthetic", patients=120, instructions=150, seed=1)
        release = load_release(folder / "data/synthetic")
        asked = release.references.merge(release.instructions[["instruction_id", "person_id"]])
        male = [
            "<gender>MALE" in release.ehr_path(person).read_text() for person in asked["person_id"]
        ]
        answers = {"fair": np.random.default_rng(1).random(len(asked)) < 0.6, "unfair": male}
        for system, is_answered in answers.items():
            table = asked[["instruction_id", "reference"]].rename(columns={"reference": "response"})
            table = table.assign(
                system=system,
                response=table["response"].where(is_answered, ""),
                finish_reason="stop",
                reasoning="",
                failure="",
                prompt_sha256="",
            )
            table = table.assign(**{c: 1 for c in RESPONSE_COLUMNS if c not in table})
            path = paths.responses("synthetic", system)
            path.parent.mkdir(parents=True, exist_ok=True)
            table.to_json(path, orient="records", lines=True)
            scores, skipped = score_responses(
                table, release.instructions, release.references, ["chrf", "rouge_l"], progress=False
            )
            paths.write_scores(scores, paths.scores("synthetic", system), private=False)
            paths.write_table(skipped, paths.skipped("synthetic", system))
        shutil.copytree("data/synthetic", "data/restricted")
        (folder / "data/restricted/manifest.json").unlink()
        shutil.copytree("runs/synthetic", "runs/restricted")
        yield folder


def run(project, experiment):
    """Run the notebook; return its tables by suffix, after a look at its figures."""
    parameters = {
        "experiment": experiment, "release": f"data/{experiment}", "systems": SYSTEMS,
        "resamples": 999, "simulated_releases": 5, "save": True,
    }  # fmt: skip
    papermill.execute_notebook(
        project / f"notebooks/{NOTEBOOK}.ipynb", project / f"{experiment}.ipynb", parameters,
        cwd=project, progress_bar=False, engine_name="ipc",
    )  # fmt: skip
    for suffix in OUTPUTS[NOTEBOOK].figures:
        with Image.open(paths.figure(experiment, f"{NOTEBOOK}-{suffix}")) as image:
            assert image.height > 300, suffix  # a sentence in place of a figure is 120 high
    names = {
        suffix: f"{NOTEBOOK}-{suffix}".removesuffix("-") for suffix in OUTPUTS[NOTEBOOK].tables
    }
    return {suffix: read_table(paths.table(experiment, name)) for suffix, name in names.items()}


def found(tables):
    gaps = tables[""].query("measure == 'correct' and p_holm <= 0.05")
    return {*zip(gaps["system"], gaps["group"], strict=True)}


@pytest.mark.slow
def test_a_synthetic_release_shows_groups_of_any_size(project):
    tables = run(project, "synthetic")
    gaps = tables[""]
    assert gaps["suppressed"].isna().all() and "(not shown)" not in set(gaps["group"])
    few = gaps[gaps["n_patients"] < 3]
    assert len(few) and few["mean"].notna().any() and few[["mean_low", "p"]].isna().all(axis=None)
    assert {("unfair", "FEMALE"), ("unfair", "MALE")} <= found(tables)
    assert not [group for system, group in found(tables) if system == "fair"]


@pytest.mark.slow
def test_a_restricted_release_shows_groups_of_11_patients_and_still_finds_the_gap(project):
    tables = run(project, "restricted")
    for suffix, table in tables.items():
        if suffix != "simulation":
            assert table["n_patients"].min() >= LEAST_PATIENTS
    gaps = tables[""]
    shown = gaps[gaps["group"] != "(not shown)"]
    assert {"gender", "race", "age"} <= set(shown["grouping"])
    assert shown["suppressed"].str.contains("merged").any() and shown["p"].notna().any()
    names = set(shown["group"])
    assert "65+" in names and any(" + " in name for name in names), names  # merged groups
    assert {("unfair", "FEMALE"), ("unfair", "MALE")} <= found(tables)
