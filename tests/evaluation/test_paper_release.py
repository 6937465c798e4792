"""On a release with the paper's marginals the package computes the paper's printed numbers."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from medalign_utils import paths
from medalign_utils.config import context_lengths, for_notebook, load_experiment
from medalign_utils.curation.summary import explore_records
from medalign_utils.data.release import load_release, load_submitted, primary_references
from medalign_utils.evaluation import metric_correlation, pairwise, ratings, systems
from medalign_utils.evaluation.paper import human_evaluation
from medalign_utils.metrics.chrf import score_chrf
from medalign_utils.metrics.rouge import score_rouge_l
from medalign_utils.stats.bootstrap import Bootstrap
from tests.builders.paper_ratings import (
    CLOSE,
    MATRIX,
    N_INSTRUCTIONS,
    PLACES,
    SEED,
    distance,
    find_ratings,
    matrix_table,
    ratings_of,
    write_paper_release,
)
from tests.workflow.test_workflow import copy_project, run

PAPER = human_evaluation()
SYSTEMS = PAPER["release_model_name"].tolist()
COUNTS = [197, 182, 157, 106, 101, 96]
METRICS = {"rouge_l": score_rouge_l, "chrf": score_chrf}


@pytest.fixture(scope="module")
def found():
    return find_ratings(PAPER, N_INSTRUCTIONS, np.random.default_rng(SEED))


@pytest.fixture(scope="module")
def release(found, tmp_path_factory):
    return load_release(
        write_paper_release(tmp_path_factory.mktemp("paper") / "release", found, SYSTEMS)
    )


@pytest.fixture(scope="module")
def verdicts(release):
    return ratings.rate(release, "none", SYSTEMS, responses="released")


def assert_as_printed(table):
    ours = table.set_index("system").loc[SYSTEMS]
    for column, places in PLACES.items():
        assert ours[column].round(places).tolist() == PAPER[column].tolist(), column
    # Ties counted half would give other win rates than the printed ones.
    assert ((ours["win_rate_ties_half"] - PAPER["win_rate"].to_numpy()).abs() > 0.005).all()


def scores_of(release):
    reviews = release.reviews
    references = primary_references(release.references).set_index("instruction_id")["reference"]
    texts = reviews.responses
    both = (texts["response"].tolist(), references.loc[texts["instruction_id"]].tolist())
    keys = texts[["instruction_id", "system"]]
    return pd.concat(
        keys.assign(metric=name, score=score(*both), signature=name)
        for name, score in METRICS.items()
    )


def test_the_search_reaches_the_printed_figures(found, verdicts):
    assert found.correct.sum(axis=0).tolist() == COUNTS
    reached = distance(verdicts, PAPER).set_index("column")
    assert (reached["rounded"] == 0).all()
    # Shares are as near as whole responses allow: 182 / 303 = 0.60066, printed 0.601.
    assert reached.loc["correct", "unrounded"] == pytest.approx(0.601 - 182 / 303)
    for column in ("win_rate", "mean_rank"):
        assert reached.loc[column, "unrounded"] < CLOSE * 0.5 * 10 ** -PLACES[column]


def test_the_search_is_deterministic_and_ranks_correct_responses_first(found):
    again = find_ratings(PAPER, N_INSTRUCTIONS, np.random.default_rng(SEED))
    assert (again.correct == found.correct).all() and (again.places == found.places).all()
    worst_correct = np.where(found.correct, found.places, 0).max(axis=1)
    best_incorrect = np.where(found.correct, 7, found.places).min(axis=1)
    assert (worst_correct < best_incorrect).all()
    # The share of ties that the published table implies, 11 to 20 %, see test_published_figures.
    first, second = np.triu_indices(6, k=1)
    ties = (found.places[:, first] == found.places[:, second]).mean()
    assert 0.11 < ties < 0.20


def test_the_committed_matrix_is_that_of_the_search(found):
    made = matrix_table(ratings_of(found, SYSTEMS))
    pd.testing.assert_frame_equal(pd.read_csv(MATRIX), made, check_index_type=False)
    assert made["status"].str.startswith("constructed").all()


def test_the_systems_table_is_the_papers(release, verdicts):
    table = systems.evaluate_systems(
        verdicts,
        release.instructions,
        context_lengths(SYSTEMS, "released"),
        bootstrap=Bootstrap.seeded(100, 1),
    )
    assert (table["n"] == 303).all()
    assert_as_printed(table)
    counts = (table.set_index("system")["correct"] * 303).loc[SYSTEMS]
    assert counts.tolist() == pytest.approx(COUNTS)


def test_a_short_context_costs_8_3_points(release, verdicts):
    contexts = {"gpt4-32k": 32_768, "gpt4-32k-vicuna-context": 2048}
    cost = pairwise.compare_contexts(
        verdicts, release.instructions, contexts, bootstrap=Bootstrap.seeded(100, 1)
    ).iloc[0]
    # 157 - 182 = -25 of 303 responses: -8.25 points
    assert cost["difference"] == pytest.approx(-25 / 303)
    assert round(100 * cost["difference"], 1) == -8.3
    assert cost["difference_low"] < cost["difference"] < cost["difference_high"]


def test_a_metric_that_orders_as_the_ratings_do_has_tau_1(release, verdicts, found):
    table = metric_correlation.correlate_metrics(
        scores_of(release), verdicts, release.instructions, bootstrap=Bootstrap.seeded(100, 1),
    )  # fmt: skip
    assert set(table["metric"]) == set(METRICS)
    # A response's words are fewer by one for each place, so tau-b is 1 wherever any two differ.
    all_tied = (found.places == 1).all(axis=1).sum()
    assert (table["n_undefined"] == all_tied).all() and (table["n"] == 303 - all_tied).all()
    assert table["mean_tau"].tolist() == pytest.approx([1.0, 1.0])


def test_the_notebooks_give_the_papers_table_and_set_the_two_beside_each_other(
    found, tmp_path, monkeypatch
):
    project = copy_project(tmp_path)
    write_paper_release(project / "data/constructed", found, SYSTEMS)
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
    records = explore_records(release, progress=False).records
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
    systems = tables["08_reproduce_paper-human_evaluation"]
    assert len(systems) == 6 * 3 + 1
    half_unit = systems["measure"].map(PLACES).fillna(3).map(lambda places: 0.5 * 10**-places)
    assert (systems["difference"].abs() < half_unit).all()
    assert systems.loc[systems["measure"] == "correct", "published_within"].all()
    assert (tables["08_reproduce_paper-categories"]["difference"] == 0).all()
    metrics = tables["08_reproduce_paper-metric_correlation"].set_index("item")
    assert metrics.loc[["ROUGE-L", "chrF"], "run"].tolist() == pytest.approx([1.0, 1.0])
    assert metrics["published_within"].isna().all()
    assert (metrics["status"] == "† transcribed, not re-verified").all()
    assert load_submitted(release)["request"].isna().all()
    facts = tables["08_reproduce_paper-facts"].set_index("item")
    assert facts.loc["longitudinal EHRs (release)", "difference"] == 0
    assert np.isnan(facts.loc["instructions submitted", "run"])
