"""On a release with the paper's accuracies, the package computes the published numbers."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from medalign_utils import paths
from medalign_utils.config import for_notebook, load_experiment
from medalign_utils.curation.summary import summarize_records
from medalign_utils.data.release import load_release, load_submitted, primary_references
from medalign_utils.data.responses import reviews_of
from medalign_utils.evaluation.paper import human_evaluation
from medalign_utils.metrics.chrf import score_chrf
from medalign_utils.metrics.rouge import score_rouge_l
from tests.builders.paper_ratings import (
    COUNTS,
    SYSTEMS,
    construct_verdicts,
    write_paper_release,
)
from tests.builders.project import copy_project, run

METRICS = {"rouge_l": score_rouge_l, "chrf": score_chrf}


def scores_of(release):
    references = primary_references(release.references).set_index("instruction_id")["reference"]
    texts = reviews_of(release, SYSTEMS).responses
    both = (texts["response"].tolist(), references.loc[texts["instruction_id"]].tolist())
    keys = texts[["instruction_id", "system"]]
    return pd.concat(
        keys.assign(metric=name, score=score(*both), signature=name)
        for name, score in METRICS.items()
    )


@pytest.mark.slow
def test_the_notebooks_give_the_papers_table_and_compare_the_two(tmp_path, monkeypatch):
    project, verdicts = copy_project(tmp_path), construct_verdicts()
    write_paper_release(project / "data/constructed", verdicts)
    monkeypatch.chdir(project)
    paper = yaml.safe_load(Path("params/paper.yaml").read_text())
    paper |= {"release": "data/constructed", "metrics": list(METRICS), "resamples": 100}
    Path("params/constructed.yaml").write_text(yaml.safe_dump(paper))
    experiment = load_experiment("params/constructed.yaml")
    release = load_release("data/constructed")
    nothing = pd.DataFrame(columns=["metric", "reason"])
    for system, scores in scores_of(release).groupby("system"):
        paths.write_scores(scores, paths.scores("constructed", system), private=False)
        paths.write_table(nothing, paths.skipped("constructed", system))
    records = summarize_records(release, progress=False).records
    paths.write_table(records, paths.patients("constructed"))
    for stem in ("05_evaluate_systems", "06_correlate_metrics", "08_reproduce_paper"):
        values = yaml.safe_dump(for_notebook(f"notebooks/{stem}.ipynb", experiment))
        options = ("--no-progress-bar", "--log-level", "ERROR", "-y", values)
        run(project, "papermill", f"notebooks/{stem}.ipynb", f"{stem}.ipynb", *options)

    tables = {file.stem: pd.read_csv(file) for file in Path("runs/constructed/tables").iterdir()}
    correct = tables["05_evaluate_systems"].set_index("system")["correct"].loc[SYSTEMS]
    assert correct.round(3).tolist() == human_evaluation()["correct"].tolist()
    assert (correct * 303).tolist() == pytest.approx(COUNTS)
    # 157 - 182 = -25 of 303 responses: -8.25 points
    cost = tables["05_evaluate_systems-contexts"].iloc[0]
    assert cost["difference"] == pytest.approx(-25 / 303)
    assert cost["difference_low"] < cost["difference"] < cost["difference_high"]
    # A response loses one word per place, so tau-b is 1 wherever two responses differ.
    taus = tables["06_correlate_metrics"]
    assert taus["mean_tau"].tolist() == pytest.approx([1.0, 1.0])
    assert (taus["n_undefined"] == (verdicts.places == 1).all(axis=1).sum()).all()

    summary = tables["08_reproduce_paper"].set_index("table")
    assert summary.loc["table_human_evaluation", "comparable"] == "yes"
    # Three measures of six systems, and the cost of a short context.
    assert summary.loc["table_human_evaluation", "compared"] == 6 * 3 + 1
    systems = tables["08_reproduce_paper-human_evaluation"]
    assert (systems["correct_difference"].abs() < 0.0005).all() and systems["correct_within"].all()
    sizes = tables["08_reproduce_paper-categories"]
    # Small categories of a restricted release are merged, so only the totals can agree here.
    assert sizes[["with_reference", "all"]].sum().tolist() == [303, 983]
    assert sizes[["with_reference_published", "all_published"]].sum().tolist() == [303, 983]
    metrics = tables["08_reproduce_paper-metric_correlation"].set_index("metric")
    assert metrics.loc[["ROUGE-L", "chrF"], "mean_tau"].tolist() == pytest.approx([1.0, 1.0])
    assert metrics["mean_tau_within"].isna().all()
    assert (metrics["status"] == "† transcribed, not re-verified").all()
    assert load_submitted(release)["request"].isna().all()
    facts = tables["08_reproduce_paper-facts"].set_index("fact")
    assert facts.loc["longitudinal EHRs (release)", "value_difference"] == 0
    assert np.isnan(facts.loc["instructions submitted", "value"])
