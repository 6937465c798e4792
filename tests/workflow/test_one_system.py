"""With one system and one metric, notebooks run and say in a sentence what does not apply."""

import re
import shutil

import nbformat
import pytest
from matplotlib import pyplot as plt

from medalign_utils import paths
from medalign_utils.config import notebooks
from medalign_utils.outputs import OUTPUTS, Outputs, stem
from medalign_utils.synthetic import write_release
from tests.builders.project import ROOT

PARAMETERS = {
    "experiment": "one",
    "save": True,
    "release": "data/one",
    "system": "bm25-2k",
    "systems": ["bm25-2k"],
    "metrics": ["rouge_l"],
    "comet_checkpoint": "",
    "rewordings": False,
    "resamples": 50,
}
NOT_COMPARED = {
    "05": [
        "There is one system, so there are no pairs to compare.",
        "No two systems differ in their context length alone, so its cost is not known.",
        "No two systems have different context lengths that are known.",
    ],
    "06": [
        "Agreement cannot be measured: no response has two raters (rated by the answer key).",
        "Every tau is undefined, as with a single system.",
        "There are too few systems to rank.",
        "There are no two metrics with taus to compare.",
        "This experiment does not use comet-compact.",
    ],
    "12": [
        "This needs verdicts on two wordings of a request and, if the release is restricted, "
        "at least 11 patients."
    ],
}


def execute(path):
    """Run a notebook's code in this process."""
    names = {}
    cells = nbformat.read(path, as_version=4).cells
    for cell in (cell for cell in cells if cell.cell_type == "code"):
        exec(compile(cell.source, path.name, "exec"), names)
        if "tags" in cell.metadata:
            names |= {name: value for name, value in PARAMETERS.items() if name in names}
    plt.close("all")


@pytest.mark.slow
def test_every_notebook_runs_and_says_what_does_not_apply(project, monkeypatch):
    shutil.copytree(ROOT / "data/paper", project / "data/paper")
    write_release(project / "data/one", patients=4, instructions=16, seed=1)
    shown = []
    monkeypatch.setattr("IPython.display.display", shown.append)
    monkeypatch.setattr("medalign_utils.reporting.results_table.display", shown.append)
    for path in notebooks():
        if path.stem[:2] in ("07", "09", "10", "14"):
            continue
        shown.clear()
        execute(path)
        said = [found for output in shown for found in re.findall("^<p>(.*)</p>$", output.data)]
        assert [text for text in NOT_COMPARED.get(path.stem[:2], []) if text not in said] == []
        for suffix in OUTPUTS.get(path.stem, Outputs()).figures:
            assert paths.figure("one", stem(path.stem, suffix)).is_file()
