"""A metric that is added by docs/architecture.md alone can be scored, shown and drawn."""

import os
import re
import shutil
import subprocess
import sys
import textwrap

import pytest

from tests.builders.project import ROOT

USE = """
import pandas as pd
from matplotlib import pyplot as plt

from benchmarks.official_metrics import metric_table
from medalign_utils import plots
from medalign_utils.config import load_experiment
from medalign_utils.evaluation.metric_correlation import correlate_metrics
from medalign_utils.metrics.registry import METRICS
from medalign_utils.metrics.scoring import score_responses
from medalign_utils.reporting.results_table import to_html
from medalign_utils.stats.bootstrap import Bootstrap

metrics = load_experiment("params/try.yaml", {"metrics": ["shared_words"]})["metrics"]
keys = [(i, system) for i in "12" for system in "ab"]
responses = pd.DataFrame(keys, columns=["instruction_id", "system"])
responses["response"] = ["No rash", "none", "aspirin 81 mg daily", "aspirin"]
instructions = pd.DataFrame({"instruction_id": ["1", "2"], "person_id": ["1", "2"]})
instructions["question"] = "Which drug?"
references = instructions.assign(annotator="Annotator_1", reference=["no rash", "Aspirin 81 mg"])
scores, _ = score_responses(responses, instructions, references, metrics, progress=False)
assert scores["score"].tolist() == [1, 0, 1, 1 / 3], scores
ratings = responses.assign(rank=[1.0, 2.0] * 2, correct=[True, False] * 2, rater="r")
table = correlate_metrics(scores, ratings, instructions, bootstrap=Bootstrap.seeded(20, 1))
assert table["mean_tau"].tolist() == [1] and "Shared words" in to_html(table[["metric"]])
ax = plots.metric_correlation(table)
assert "Shared words" in [label.get_text() for label in ax.get_yticklabels()]
assert "| `shared_words` | Shared words | 0 to 1 |" in metric_table(METRICS.values())
"""


def code_blocks() -> list[str]:
    """Return the Python code of the section "Add a metric": a module, and a line."""
    page = (ROOT / "docs/architecture.md").read_text("utf-8")
    section = page.partition("## Add a metric")[2].partition("\n## ")[0]
    blocks = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    return [textwrap.dedent(block) for block in blocks]


@pytest.fixture
def copy(tmp_path):
    """Return a copy of the project's code and parameters."""
    for name in ("medalign_utils", "params", "notebooks", "benchmarks"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "pyproject.toml").touch()
    return tmp_path


def test_a_metric_is_one_module_and_one_line(copy):
    module, line = code_blocks()
    folder = copy / "medalign_utils/metrics"
    (folder / "shared_words.py").write_text(module)
    registry = (folder / "registry.py").read_text()
    (folder / "registry.py").write_text(registry.replace("\nMETRICS", f"{line}\nMETRICS"))
    (copy / "use.py").write_text(USE)
    environment = os.environ | {"PYTHONPATH": str(copy), "MPLBACKEND": "agg"}
    command = [sys.executable, "use.py"]
    ran = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
