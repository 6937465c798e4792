import stat

import pytest

from medalign_utils import paths
from medalign_utils.data.rewordings import find_rewordings
from medalign_utils.evaluation.ratings import rate
from medalign_utils.generation.rewordings import answer_rewordings
from medalign_utils.generation.runner import run_system
from medalign_utils.run import Run
from medalign_utils.synthetic import write_release
from tests.builders import tiny_release

SYSTEM = {
    "system": "short",
    "generator": "bm25_passage",
    "context_length": 1024,
    "format": "lines",
    "tokenizer": "minilm",
}


@pytest.fixture
def run(project, tmp_path):
    write_release(tmp_path / "release", patients=3, instructions=20, seed=1)
    return Run("x", tmp_path / "release", ["short"])


def test_each_rewording_is_answered_apart_from_the_instructions(run):
    original = run_system(run.release, SYSTEM, paths.responses("x", "short"), progress=False)
    rated = rate(run)
    answers = answer_rewordings(run, SYSTEM, progress=False)
    asked = find_rewordings(run.release)
    assert len(asked) > 1 and answers["instruction_id"].tolist() == asked["instruction_id"].tolist()
    assert set(answers["system"]) == {"short"}
    # The prompts have the other words.
    assert not set(answers["prompt_sha256"]) & set(original["prompt_sha256"])
    # What scores, costs and ratings read is as before.
    assert run.responses("short").equals(original) and rate(run).equals(rated)


def test_an_answered_rewording_is_not_asked_again(run, monkeypatch):
    answers = answer_rewordings(run, SYSTEM, progress=False)
    monkeypatch.setattr("medalign_utils.generation.runner.ask_all", None)
    assert answer_rewordings(run, SYSTEM, progress=False).equals(answers)


def test_a_release_without_rewordings_has_an_empty_file_for_the_workflow(project, tmp_path):
    run = Run("x", tiny_release.write_release(tmp_path / "release"), ["short"])
    assert answer_rewordings(run, SYSTEM, progress=False).empty
    file = paths.rewordings("x", "short")
    assert file.read_text() == "" and stat.S_IMODE(file.stat().st_mode) == 0o600  # restricted
