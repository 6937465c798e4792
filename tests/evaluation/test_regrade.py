"""Kept responses are graded again, and verdicts that moved are named."""

import json

import pandas as pd
import pytest

import medalign_utils as ma
from medalign_utils import paths
from medalign_utils.errors import MedAlignError
from medalign_utils.evaluation.regrade import regrade
from medalign_utils.grading import GRADER_VERSION
from medalign_utils.run import Run
from medalign_utils.synthetic import write_release


@pytest.fixture
def run(project, tmp_path):
    write_release(tmp_path / "release", patients=6, instructions=24, seed=1)
    release = ma.load_release(tmp_path / "release")
    rows = release.references[["instruction_id", "reference"]]
    rows = rows.rename(columns={"reference": "response"})
    rows = rows.assign(system="mine", finish_reason="stop", prompt_sha256="")
    rows[["prompt_tokens", "ehr_tokens_kept", "ehr_tokens_total"]] = 0
    rows[["response_tokens", "n_prompts", "seconds"]] = 0
    file = paths.responses("x", "mine")
    file.parent.mkdir(parents=True)
    rows.to_json(file, orient="records", lines=True)
    return Run("x", release.path, ["mine"])


def test_the_first_time_keeps_the_verdicts(run):
    regraded = regrade(run)
    [row] = regraded.table.to_dict("records")
    assert row["correct"] == 1  # references
    assert "correct_before" not in row
    assert regraded.graders == ("", GRADER_VERSION)
    assert len(pd.read_csv(paths.ratings("x"))) == row["n"]


def test_verdicts_that_moved_are_counted_and_named(run):
    regrade(run)
    kept = pd.read_csv(paths.ratings("x"), dtype={"instruction_id": str})
    kept["grader"] = "1"
    kept.loc[[0, 1], "correct"] = False  # as an earlier version might have said
    kept.iloc[:-1].to_csv(paths.ratings("x"), index=False)  # and one response is new
    regraded = regrade(run)
    [row] = regraded.table.to_dict("records")
    assert (row["to_correct"], row["to_wrong"]) == (2, 0)
    n = len(kept) - 1
    assert row["correct_before"] == pytest.approx((n - 2) / n)
    assert list(regraded.moved["instruction_id"]) == list(kept["instruction_id"][:2])
    assert regraded.graders == ("1", GRADER_VERSION)
    assert len(regrade(run).moved) == 0


def test_responses_rated_by_clinicians_are_not_regraded(run):
    released = Run("x", run.release_folder, ["mine"], source="released")
    with pytest.raises(MedAlignError, match="clinicians rated these responses"):
        regrade(released)


def test_a_response_moves_when_it_changes(run):
    regrade(run)
    file = paths.responses("x", "mine")
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    lines[0]["response"] = "I do not know."
    file.write_text("\n".join(map(json.dumps, lines)) + "\n")
    assert list(regrade(run).moved["correct"]) == [False]
