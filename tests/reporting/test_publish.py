import re
from pathlib import Path

import pandas as pd
import pytest

from medalign_utils.errors import MedAlignError
from medalign_utils.reporting import publish

ROOT = Path(__file__).parents[2]


def test_readme_shows_the_published_tables():
    readme = (ROOT / "README.md").read_text("utf-8")
    assert publish.readme_with_tables(readme, ROOT / "figures") == readme


def test_every_picture_of_the_readme_is_published():
    readme = (ROOT / "README.md").read_text("utf-8")
    shown = re.findall(r"!\[[^]]*\]\(([^)]*)\)", readme)
    assert len(shown) >= 3 and all((ROOT / path).is_file() for path in shown)


def test_a_missing_value_is_empty_and_a_missing_context_is_the_full_record():
    frame = pd.DataFrame({"system": ["a"], "context_tokens": pd.array([None], dtype="Int64"),
                          "difference": [float("nan")], "difference_low": [float("nan")],
                          "difference_high": [float("nan")]})  # fmt: skip
    names = {"system": "S", "context_tokens": "C", "difference": "D"}
    assert publish.markdown_table(frame, names).splitlines()[2] == "| a | full record |  |"


def test_a_readme_without_the_place_is_refused():
    with pytest.raises(MedAlignError, match=r"README.md: 0 places between <!-- x -->"):
        publish.fill("text", "x", "table")


def test_nothing_is_published_before_the_experiment_has_run(tmp_path, monkeypatch):
    (tmp_path / "Snakefile").write_text("")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MedAlignError, match=r"missing .*make reproduce"):
        publish.publish()
    assert not (tmp_path / "figures").exists()
