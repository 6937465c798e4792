import pandas as pd

from medalign_utils.data.release import load_release
from medalign_utils.error_analysis.paraphrases import find_paraphrases, stability
from medalign_utils.synthetic import write_release
from tests.builders import tiny_release

INSTRUCTIONS, SUBMITTED = "all-instructions-rouge.tsv", "submitted-instructions.tsv"


def read(file):
    return pd.read_csv(file, sep="\t", dtype=str)


def test_duplicates_that_systems_answer_are_pairs(tmp_path):
    folder = tmp_path / "release"
    write_release(folder, patients=4, instructions=24, seed=1)
    assert find_paraphrases(load_release(folder)).empty  # one wording of each request
    submitted = read(folder / SUBMITTED)
    duplicates = submitted[submitted["duplicate_of"].notna()]
    assert len(duplicates) > 3
    both = pd.concat([read(folder / INSTRUCTIONS), duplicates])
    both[read(folder / INSTRUCTIONS).columns].to_csv(folder / INSTRUCTIONS, sep="\t", index=False)
    pairs = find_paraphrases(load_release(folder))
    found = {frozenset(pair) for pair in pairs[["instruction_id", "other_id"]].to_numpy()}
    assert found == {frozenset(p) for p in duplicates[["instruction_id", "duplicate_of"]].values}


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
