"""Paths start at the project's root, wherever a notebook's kernel runs."""

import os
import stat

import pandas as pd
import pytest
from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager

from medalign_utils.paths import project_root, read_csv, write_table, write_text


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


def test_a_full_disk_leaves_the_earlier_file(tmp_path, monkeypatch):
    file = write_text("earlier", tmp_path / "a.json", private=False)
    monkeypatch.setattr(os, "replace", lambda *paths: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_text("new", file, private=False)
    full = OSError(28, "No space left on device")
    monkeypatch.setattr(os, "replace", lambda *paths: (_ for _ in ()).throw(full))
    with pytest.raises(OSError, match=r"No space left on device: '.*a\.json'"):
        write_text("new", file, private=False)
    assert [*tmp_path.iterdir()] == [file] and file.read_text() == "earlier"


def test_a_file_takes_no_mode_and_no_target_from_an_earlier_one(tmp_path):
    (target := tmp_path / "target").write_text("kept")
    (tmp_path / "link").symlink_to(target)
    (tmp_path / "open").touch(mode=0o666)
    for name in ("link", "open"):
        file = write_text("new", tmp_path / name, private=True)
        assert file.read_text() == "new" and stat.S_IMODE(file.lstat().st_mode) == 0o600
    assert target.read_text() == "kept"


def test_a_pipe_is_written_to_and_not_replaced(tmp_path):
    os.mkfifo(pipe := tmp_path / "pipe")
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_text("text", pipe, private=True)
    assert os.read(reader, 10) == b"text" and pipe.is_fifo()
    os.close(reader)
