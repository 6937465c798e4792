import shutil

import pytest

from tests.builders.jupyterlab import ROOT
from tests.builders.review_folder import write_review


@pytest.fixture
def review(tmp_path, monkeypatch):
    """A project with a small release and a review of rater R1; the test runs in it."""
    shutil.copy(ROOT / "Snakefile", tmp_path)
    monkeypatch.chdir(tmp_path)
    return write_review(tmp_path)
