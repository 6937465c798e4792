"""Paths start at the project's root, wherever a notebook's kernel runs."""

import pytest
from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager

from medalign_utils.paths import project_root


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
