"""Fixtures that several rooms' tests share."""

import shutil

import pytest

from tests.builders.project import ROOT


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project without package and data, in which the test runs."""
    shutil.copy(ROOT / "Snakefile", tmp_path)
    for folder in ("notebooks", "params"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    monkeypatch.chdir(tmp_path)
    return tmp_path
