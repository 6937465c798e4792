"""Fixtures shared by the tests of several folders."""

import shutil

import pytest

from tests.builders.project import ROOT


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Create a project without package and data, and run the test in it."""
    shutil.copy(ROOT / "Snakefile", tmp_path)
    for folder in ("notebooks", "params"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    monkeypatch.chdir(tmp_path)
    return tmp_path
