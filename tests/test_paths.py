"""Paths start at the project's root, wherever a notebook's kernel runs."""

import pandas as pd
import pytest
from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager

from medalign_utils.paths import project_root, read_csv, write_table


@pytest.mark.parametrize("above", [0, 1, 2])
def test_notebooks_find_the_root_if_jupyterlab_starts_above_it(tmp_path, monkeypatch, above):
    project = tmp_path / "home/work/medalign"
    (project / "notebooks").mkdir(parents=True)
    (project / "Snakefile").touch()
    started = [project, *project.parents][above]
    notebook = project.relative_to(started) / "notebooks/05_evaluate_systems.ipynb"
    # JupyterLab starts a kernel in this folder.
    kernels = AsyncMappingKernelManager(root_dir=str(started))
    monkeypatch.chdir(kernels.cwd_for_path(notebook.parent.as_posix()))
    assert project_root() == project


def test_formulas_in_cells_of_csv_files_are_text_and_are_read_as_they_were(tmp_path):
    texts = ["=cmd|' /C calc'!A0", "+1-1", "@SUM(A1)", " =1", "\t=1", "-Ab_9", "'x", "-5", "a=b"]
    frame = pd.DataFrame({"=n": texts, "n": range(len(texts)), "x": -0.5, "none": None})
    file = write_table(frame, tmp_path / "a.csv")
    written = pd.read_csv(file)
    assert [*written["'=n"].str[0]] == ["'"] * 7 + ["-", "a"]
    assert written["x"].eq(-0.5).all() and written["none"].isna().all()
    assert read_csv(file)["=n"].tolist() == texts
