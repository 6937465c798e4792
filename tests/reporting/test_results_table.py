"""Tables as readers see them, and README's."""

import re

import numpy as np
import pandas as pd
import pytest

from medalign_utils.errors import MedAlignError
from medalign_utils.reporting import results_table
from medalign_utils.reporting.results_table import formatted, markdown_table, read_table
from tests.builders.project import ROOT


@pytest.mark.parametrize("name", results_table.PAGES)
def test_pages_show_the_published_tables(name):
    page = (ROOT / name).read_text("utf-8")
    assert "\n|:--" in page
    assert results_table.with_tables(page, ROOT / "figures") == page


def test_every_picture_of_the_readme_is_published():
    readme = (ROOT / "README.md").read_text("utf-8")
    shown = re.findall(r"!\[[^]]*\]\(([^)]*)\)", readme)
    assert shown and all((ROOT / path).is_file() for path in shown)


def test_numbers_are_rounded_and_missing_values_say_so(tmp_path):
    frame = pd.DataFrame(
        {
            "system": ["NA", "b"],
            "context_tokens": pd.array([None, 32768], dtype="Int64"),
            "tau": [-0.1264, np.nan],
            "tau_low": [-0.25, np.nan],
            "tau_high": [0.0, np.nan],
            "p_holm": [1e-9, 0.04567],
            "wilson_low": [0.2, 0.3],
            "decided": [True, False],
        }
    )
    frame.to_csv(tmp_path / "a.csv", index=False)
    assert formatted(read_table(tmp_path / "a.csv")).to_dict("list") == {
        "system": ["NA", "b"],
        "context_tokens": ["full record", "32,768"],
        "tau": ["-0.126 (-0.250 to 0.000)", "–"],
        "p_holm": ["<0.001", "0.046"],
        "wilson_low": ["0.200", "0.300"],
        "decided": ["True", "False"],
    }
    assert markdown_table(frame.iloc[1:], {"system": "S", "tau": "T"}).endswith("| b   |     |")


def test_nothing_is_published_before_the_experiment_has_run(tmp_path, monkeypatch):
    (tmp_path / "Snakefile").write_text("")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MedAlignError, match=r"missing .*make reproduce"):
        results_table.publish()
    assert not (tmp_path / "figures").exists()
