"""`make try` is a small experiment, of which it runs everything up to notebook 05."""

import re

import pandas as pd
import pytest

from medalign_utils.config import load_experiment
from medalign_utils.data.release import load_release
from medalign_utils.outputs import OUTPUTS, stem
from medalign_utils.synthetic import write_release
from tests.builders.project import ROOT, copy_project, run

EXPERIMENT = "params/try.yaml"


def test_it_asks_two_systems_five_instructions_about_one_patient(tmp_path):
    experiment = load_experiment(EXPERIMENT)
    assert len(experiment["systems"]) == 2
    names = ("patients", "instructions", "seed")
    write_release(tmp_path, **{name: experiment[f"synthetic_{name}"] for name in names})
    release = load_release(tmp_path)
    assert release.references["instruction_id"].nunique() == 5
    assert release.instructions["person_id"].nunique() == 1


@pytest.mark.slow
def test_its_command_writes_the_tables_and_figures_of_notebook_05(tmp_path):
    project = copy_project(tmp_path)
    text = (ROOT / "Makefile").read_text()
    recipe = re.search(r"\ntry: .*\n\t\$\(BIN\)/(snakemake .*)\n", text)[1]
    assert EXPERIMENT in recipe
    run(project, *recipe.split())
    notebook = "05_evaluate_systems"
    for suffix in OUTPUTS[notebook].figures:
        assert (project / f"runs/try/figures/{stem(notebook, suffix)}.png").is_file()
    table = pd.read_csv(project / f"runs/try/tables/{notebook}.csv")
    assert table["n"].tolist() == [5, 5] and table["correct"].between(0, 1).all()
