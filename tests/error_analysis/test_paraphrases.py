import pandas as pd
import pytest

from medalign_utils import paths
from medalign_utils.data.release import load_release
from medalign_utils.data.rewordings import find_rewordings
from medalign_utils.error_analysis.paraphrases import find_paraphrases, stability, with_rewordings
from medalign_utils.errors import MedAlignError
from medalign_utils.run import Run
from medalign_utils.synthetic import write_release
from tests.builders import tiny_release

SUBMITTED = "submitted-instructions.tsv"


def read(file):
    return pd.read_csv(file, sep="\t", dtype=str)


@pytest.fixture
def release(tmp_path):
    write_release(tmp_path / "release", patients=4, instructions=24, seed=1)
    return load_release(tmp_path / "release")


def write_rewordings(release, **texts):
    """Write the original's reference as each system's response to a rewording, or one text."""
    asked = find_rewordings(release)
    references = release.references.drop_duplicates("instruction_id")
    answers = asked["duplicate_of"].map(references.set_index("instruction_id")["reference"])
    for system, text in texts.items():
        rows = pd.DataFrame({"instruction_id": asked["instruction_id"], "system": system})
        rows = rows.assign(response=text or answers, finish_reason="stop", prompt_sha256="")
        rows[["prompt_tokens", "ehr_tokens_kept", "ehr_tokens_total"]] = 0
        rows[["response_tokens", "n_prompts", "seconds"]] = 0
        file = paths.rewordings("x", system)
        file.parent.mkdir(parents=True, exist_ok=True)
        rows.to_json(file, orient="records", lines=True)
    return asked


def verdicts(release, **correct):
    ids = release.references["instruction_id"].unique()
    tables = [
        pd.DataFrame({"instruction_id": ids, "system": s, "correct": c}) for s, c in correct.items()
    ]
    return pd.concat(tables, ignore_index=True).astype({"correct": "boolean"})


@pytest.mark.parametrize("has_requests", [True, False])
def test_a_submitted_duplicate_and_its_original_are_a_pair(release, has_requests):
    submitted = read(release.path / SUBMITTED)
    if not has_requests:
        submitted = submitted.drop(columns="request")
        submitted.to_csv(release.path / SUBMITTED, sep="\t", index=False)
    duplicates = submitted[submitted["duplicate_of"].notna()]
    assert len(duplicates) > 3
    pairs = find_paraphrases(release)
    found = {frozenset(pair) for pair in pairs[["instruction_id", "other_id"]].to_numpy()}
    assert found == {frozenset(p) for p in duplicates[["instruction_id", "duplicate_of"]].values}


def test_rewordings_are_graded_by_the_facts_of_their_originals(project, release):
    asked = write_rewordings(release, right=None, wrong="Blue.")
    run = Run("x", release.path, ["right", "wrong"])
    answered = verdicts(release, right=True, wrong=True)
    both = with_rewordings(answered, run)
    assert len(both) == len(answered) + 2 * len(asked)
    table = stability(both, find_paraphrases(run.release)).set_index("system")
    assert table["n_pairs"].tolist() == [len(asked)] * 2
    assert table["same"].to_dict() == {"right": 1, "wrong": 0}


def test_a_system_that_has_not_answered_the_rewordings_is_named(project, release):
    write_rewordings(release, right=None)
    run = Run("x", release.path, ["right", "other"])
    with pytest.raises(MedAlignError, match=r"missing runs/x/rewordings/other\.jsonl"):
        with_rewordings(verdicts(release, right=True, other=True), run)


def test_released_responses_have_no_rewordings(release):
    run = Run("x", release.path, ["a"], source="released")
    answered = verdicts(release, a=True)
    assert with_rewordings(answered, run).equals(answered)


def test_a_release_without_submissions_has_no_pairs(tmp_path):
    release = load_release(tiny_release.write_release(tmp_path / "release"))
    assert find_paraphrases(release).empty


def test_stability_is_the_share_of_equal_verdicts():
    pairs = pd.DataFrame(
        {
            "person_id": ["p", "q", "r", "s"],
            "instruction_id": list("1357"),
            "other_id": list("2468"),
        }
    )
    verdicts = {"1": True, "2": True, "3": True, "4": False, "5": False, "6": False, "7": True}
    responses = pd.DataFrame({"instruction_id": list(verdicts), "correct": list(verdicts.values())})
    responses = responses.assign(system="a").astype({"correct": "boolean"})
    [row] = stability(responses, pairs).itertuples()
    # 8 is not rated; of 3 pairs, 2 are the same and 1 is correct both times.
    assert (row.n_pairs, row.n_patients, row.same, row.both_correct) == (3, 3, 2 / 3, 1 / 3)
    empty = stability(responses, pairs[:0])
    assert empty.empty and "same" in empty
