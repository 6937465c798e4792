"""Fixtures shared by the tests of several folders."""

import os
import shutil

import pytest

from tests.builders.project import ROOT


@pytest.fixture(autouse=True)
def _umask():
    """Restore the umask, which a run of a restricted release changes."""
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Create a project without package and data, and run the test in it."""
    shutil.copy(ROOT / "Snakefile", tmp_path)
    for folder in ("notebooks", "params"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    monkeypatch.chdir(tmp_path)
    return tmp_path
