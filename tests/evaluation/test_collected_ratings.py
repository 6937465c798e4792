"""Ratings that a review collected are evaluated like any others."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from medalign_utils.errors import MedAlignError
from medalign_utils.evaluation.provisional import progress_of, when_complete
from medalign_utils.evaluation.ratings import common_ratings, has_ratings, rate, rate_by_each
from medalign_utils.evaluation.systems import evaluate_systems
from medalign_utils.review.plan import make_plan, write_plan
from medalign_utils.run import Run
from medalign_utils.synthetic import write_release
from tests.builders.review_run import enter, make_run, response, write_responses

SYSTEMS = ("good", "fair", "poor")


@pytest.fixture(autouse=True)
def in_project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "Snakefile").touch()


def keyed_run(**fields):
    """Return a run of systems that give the reference always, by turns, and never."""
    write_release(Path("data/keyed"), patients=6, instructions=18, seed=4)
    run = Run("keyed", "data/keyed", SYSTEMS, **fields)
    references = run.release.references
    for k, system in enumerate(SYSTEMS):
        rows = [
            response(i, system, text if n % 3 >= k else "Unclear.")
            for n, (i, text) in enumerate(references[["instruction_id", "reference"]].to_numpy())
        ]
        write_responses("keyed", system, rows)
    return run


def test_the_answer_keys_verdicts_entered_by_a_rater_give_its_table():
    given = keyed_run()
    expected = rate(given)
    folder = write_plan(make_plan(given, 1))
    enter(folder, expected)
    run = keyed_run(ratings="collected")
    columns = ["instruction_id", "system", "correct", "rank"]
    found = rate(run).sort_values(columns[:2], ignore_index=True)[columns]
    pd.testing.assert_frame_equal(
        found, expected.sort_values(columns[:2], ignore_index=True)[columns], check_dtype=False
    )
    tables = [
        evaluate_systems(
            common_ratings(ratings).ratings, given.release.instructions, bootstrap=given.bootstrap
        )
        for ratings in (expected, rate(run))
    ]
    pd.testing.assert_frame_equal(*tables)
    assert not progress_of(run, rate(run)).is_provisional


def test_nothing_is_rated_before_a_first_item_is_done():
    run = make_run(ratings="collected")
    assert not has_ratings(run)
    with pytest.raises(MedAlignError, match="no plan"):
        rate_by_each(run)
    write_plan(make_plan(run, 1))
    assert not has_ratings(run)
    with pytest.raises(MedAlignError, match="no rating yet"):
        rate_by_each(run)


def random_ratings(run):
    rng, ids = np.random.default_rng(2), run.release.references["instruction_id"]
    rows = [(i, s, bool(rng.random() < 0.5)) for i in ids for s in run.systems]
    table = pd.DataFrame(rows, columns=["instruction_id", "system", "correct"])
    return table.assign(rank=table.groupby("instruction_id").cumcount() + 1.0)


def test_intervals_are_provisional_until_all_items_are_done():
    run = make_run(ratings="collected")
    folder = write_plan(make_plan(run, 1, training=0, repeats=0))
    ratings = random_ratings(run)
    enter(folder, ratings, items=12)
    with pytest.warns(UserWarning, match="12 of 36 items"):
        rated = common_ratings(rate(run)).ratings
    progress = progress_of(run, rated)
    assert str(progress) == (
        "Provisional: 12 of 36 instructions have ratings of all systems, and raters have 24 items "
        "left."
    )
    widths = when_complete(rated, run.release.instructions, progress)
    assert (widths["wider"] > 0.3).all()  # about the root of 3, less what clusters take
    enter(folder, ratings)
    complete = common_ratings(rate(run)).ratings
    progress = progress_of(run, complete)
    assert str(progress).startswith("The review is done: 36 of 36 ")
    assert when_complete(complete, run.release.instructions, progress).empty


def test_an_adjudicated_verdict_needs_a_review():
    run = make_run(source="released", combine="adjudicated")
    with pytest.raises(MedAlignError):
        rate(run)
