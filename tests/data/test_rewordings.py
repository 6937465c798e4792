import dataclasses

import pandas as pd
import pytest

from medalign_utils.data.limit import limited
from medalign_utils.data.release import load_release
from medalign_utils.data.release_tables import INSTRUCTION_COLUMNS
from medalign_utils.data.rewordings import find_rewordings
from medalign_utils.synthetic import write_release
from tests.builders import tiny_release

SUBMITTED = "submitted-instructions.tsv"


@pytest.fixture
def folder(tmp_path):
    write_release(tmp_path / "release", patients=4, instructions=40, seed=1)
    return tmp_path / "release"


def test_rewordings_of_instructions_with_a_reference_and_their_originals(folder):
    submitted = pd.read_csv(folder / SUBMITTED, sep="\t", dtype=str).dropna(subset="duplicate_of")
    release = load_release(folder)
    found = find_rewordings(release)
    assert list(found) == [*INSTRUCTION_COLUMNS, "duplicate_of"]
    has_reference = submitted["duplicate_of"].isin(release.references["instruction_id"])
    assert set(found["instruction_id"]) == set(submitted.loc[has_reference, "instruction_id"])
    assert 0 < len(found) < len(submitted)
    original = release.instructions.set_index("instruction_id").loc[found["duplicate_of"]]
    for name in ("person_id", "category", "subcategory"):
        assert found[name].tolist() == original[name].tolist()
    assert (found["question"].to_numpy() != original["question"].to_numpy()).all()
    assert found["person_id"].is_monotonic_increasing


def test_a_duplicate_about_another_patient_is_no_rewording(folder):
    release = load_release(folder)
    found = find_rewordings(release)
    first = found.iloc[0]
    table = pd.read_csv(folder / SUBMITTED, sep="\t", dtype=str)
    others = table.loc[table["person_id"] != first["person_id"], "person_id"]
    table.loc[table["instruction_id"] == first["instruction_id"], "person_id"] = others.iloc[0]
    table.to_csv(folder / SUBMITTED, sep="\t", index=False)
    assert find_rewordings(release)["instruction_id"].tolist() == [*found["instruction_id"][1:]]


def test_a_rewording_that_the_release_itself_has_is_not_asked_twice(folder):
    release = load_release(folder)
    first = find_rewordings(release)[:1]
    both = pd.concat([release.instructions, first[list(release.instructions)]])
    release = dataclasses.replace(release, instructions=both)
    assert first["instruction_id"].iloc[0] not in set(find_rewordings(release)["instruction_id"])


def test_a_limit_leaves_the_rewordings_of_its_instructions(folder):
    release = limited(load_release(folder), 10)
    found = find_rewordings(release)
    assert 0 < len(found) < len(find_rewordings(load_release(folder)))
    assert set(found["duplicate_of"]) <= set(release.instructions["instruction_id"])


def test_there_are_none_without_submissions_or_answer_key(folder, tmp_path):
    release = load_release(folder)
    assert find_rewordings(dataclasses.replace(release, answer_key_path=None)).empty
    assert find_rewordings(load_release(tiny_release.write_release(tmp_path / "tiny"))).empty
