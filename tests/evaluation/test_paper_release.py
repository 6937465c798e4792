"""On a release with the paper's accuracies the package computes the paper's printed numbers."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from medalign_utils import paths
from medalign_utils.config import context_lengths, for_notebook, load_experiment
from medalign_utils.curation.summary import summarize_records
from medalign_utils.data.release import load_release, load_submitted, primary_references
from medalign_utils.data.responses import reviews_of
from medalign_utils.evaluation.metric_correlation import correlate_metrics
from medalign_utils.evaluation.pairwise import compare_contexts
from medalign_utils.evaluation.paper import human_evaluation
from medalign_utils.evaluation.ratings import common_ratings, rate
from medalign_utils.evaluation.systems import evaluate
from medalign_utils.metrics.chrf import score_chrf
from medalign_utils.metrics.rouge import score_rouge_l
from medalign_utils.run import Run
from tests.builders.paper_ratings import (
    COUNTS,
    SYSTEMS,
    construct_verdicts,
    write_paper_release,
)
from tests.workflow.test_workflow import copy_project, run

PAPER = human_evaluation().set_index("release_model_name")
METRICS = {"rouge_l": score_rouge_l, "chrf": score_chrf}


@pytest.fixture(scope="module")
def verdicts():
    return construct_verdicts()


@pytest.fixture(scope="module")
def released(verdicts, tmp_path_factory):
    folder = write_paper_release(tmp_path_factory.mktemp("paper") / "release", verdicts)
    return Run("none", folder, SYSTEMS, "released", resamples=100)


def assert_as_printed(table):
    correct = table.set_index("system")["correct"].loc[SYSTEMS]
    assert correct.round(3).tolist() == PAPER["correct"].tolist()
    assert (correct * 303).tolist() == pytest.approx(COUNTS)


def scores_of(release):
    references = primary_references(release.references).set_index("instruction_id")["reference"]
    texts = reviews_of(release, SYSTEMS).responses
    both = (texts["response"].tolist(), references.loc[texts["instruction_id"]].tolist())
    keys = texts[["instruction_id", "system"]]
    return pd.concat(
        keys.assign(metric=name, score=score(*both), signature=name)
        for name, score in METRICS.items()
    )


def test_the_systems_table_is_the_papers(released):
    table = evaluate(released, context_lengths(SYSTEMS, "released"))
    assert (table["n"] == 303).all()
    assert_as_printed(table)
    contexts = {"gpt4-32k": 32_768, "gpt4-32k-vicuna-context": 2048}
    ratings, instructions = common_ratings(rate(released)).ratings, released.release.instructions
    cost = compare_contexts(ratings, instructions, contexts, bootstrap=released.bootstrap).iloc[0]
    # 157 - 182 = -25 of 303 responses: -8.25 points
    assert cost["difference"] == pytest.approx(-25 / 303)
    assert cost["difference_low"] < cost["difference"] < cost["difference_high"]


def test_a_metric_that_orders_as_the_ratings_do_has_tau_1(released, verdicts):
    table = correlate_metrics(
        scores_of(released.release),
        common_ratings(rate(released)).ratings,
        released.release.instructions,
        bootstrap=released.bootstrap,
    )
    assert set(table["metric"]) == set(METRICS)
    # A response's words are fewer by one for each place, so tau-b is 1 wherever any two differ.
    all_tied = (verdicts.places == 1).all(axis=1).sum()
    assert (table["n_undefined"] == all_tied).all() and (table["n"] == 303 - all_tied).all()
    assert table["mean_tau"].tolist() == pytest.approx([1.0, 1.0])


def test_the_notebooks_give_the_papers_table_and_compare_the_two(verdicts, tmp_path, monkeypatch):
    project = copy_project(tmp_path)
    write_paper_release(project / "data/constructed", verdicts)
    monkeypatch.chdir(project)
    paper = yaml.safe_load(Path("params/paper.yaml").read_text())
    paper |= {"release": "data/constructed", "metrics": list(METRICS), "resamples": 100}
    Path("params/constructed.yaml").write_text(yaml.safe_dump(paper))
    experiment = load_experiment("params/constructed.yaml")
    release = load_release("data/constructed")
    for system, scores in scores_of(release).groupby("system"):
        paths.write_scores(scores, paths.scores("constructed", system), private=False)
        nothing = pd.DataFrame(columns=["metric", "reason"])
        paths.write_table(nothing, paths.skipped("constructed", system))
    records = summarize_records(release, progress=False).records
    paths.write_table(records, paths.patients("constructed"))
    for stem in ("05_evaluate_systems", "06_correlate_metrics", "08_reproduce_paper"):
        values = yaml.safe_dump(for_notebook(f"notebooks/{stem}.ipynb", experiment))
        options = ("--no-progress-bar", "--log-level", "ERROR", "-y", values)
        run(project, "papermill", f"notebooks/{stem}.ipynb", f"{stem}.ipynb", *options)

    tables = {file.stem: pd.read_csv(file) for file in Path("runs/constructed/tables").iterdir()}
    assert_as_printed(tables["05_evaluate_systems"])
    assert tables["05_evaluate_systems-contexts"]["difference"].round(3).tolist()[0] == -0.083
    assert tables["06_correlate_metrics"]["mean_tau"].tolist() == pytest.approx([1.0, 1.0])

    summary = tables["08_reproduce_paper"].set_index("table")
    assert summary.loc["table_human_evaluation", "title"].endswith(". Comparable.")
    # Six systems by three measures, and what a short context costs.
    assert summary.loc["table_human_evaluation", "n_paired"] == 6 * 3 + 1
    correct = tables["08_reproduce_paper-human_evaluation"].query("measure == 'correct'")
    assert (correct["difference"].abs() < 0.0005).all() and correct["published_within"].all()
    assert (tables["08_reproduce_paper-categories"]["difference"] == 0).all()
    metrics = tables["08_reproduce_paper-metric_correlation"].set_index("item")
    assert metrics.loc[["ROUGE-L", "chrF"], "run"].tolist() == pytest.approx([1.0, 1.0])
    assert metrics["published_within"].isna().all()
    assert (metrics["status"] == "† transcribed, not re-verified").all()
    assert load_submitted(release)["request"].isna().all()
    facts = tables["08_reproduce_paper-facts"].set_index("item")
    assert facts.loc["longitudinal EHRs (release)", "difference"] == 0
    assert np.isnan(facts.loc["instructions submitted", "run"])
