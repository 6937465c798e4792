"""What the first notebook shows of a run."""

import pandas as pd

from medalign_utils import paths
from medalign_utils.provenance.notebook import notebook_parameters
from medalign_utils.reporting.run_state import responses_so_far, results_so_far
from medalign_utils.run import Run

NOTEBOOK = "05_evaluate_systems"


def test_a_run_that_has_not_started_has_nothing(project):
    assert responses_so_far("x").empty
    results = results_so_far("x").set_index("notebook")
    assert results.loc[NOTEBOOK].tolist() == ["0 of 5", "0 of 6", ""]
    assert "03_generate_responses" not in results.index


def test_counts_what_a_run_has(project):
    paths.write_text("{}\n{}\n", paths.responses("x", "a"), private=False)
    paths.write_text("{}\n", paths.responses("x", "b"), private=False)
    paths.write_scores(pd.DataFrame({"score": [1.0]}), paths.scores("x", "a"), private=False)
    assert responses_so_far("x").to_numpy().tolist() == [["a", 2, "yes"], ["b", 1, "no"]]
    parameters = notebook_parameters(f"notebooks/{NOTEBOOK}.ipynb")
    run = Run.of_notebook(NOTEBOOK, parameters | {"experiment": "x", "save": True})
    run.save(pd.DataFrame({"system": ["a"]}), "pairs")
    tables, _, date = results_so_far("x").set_index("notebook").loc[NOTEBOOK]
    assert tables == "1 of 5" and date >= "2026-01-01"
