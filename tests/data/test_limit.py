"""A limited release has some instructions of as many patients as possible, and says so."""

import pytest

from medalign_utils.data.limit import limited
from medalign_utils.data.release import instructions_to_answer, load_release, load_submitted
from medalign_utils.synthetic import write_release
from tests.builders.tiny_release import edit
from tests.builders.tiny_release import write_release as write_tiny


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    folder = tmp_path_factory.mktemp("synthetic") / "release"
    write_release(folder, patients=4, instructions=24, seed=1)
    return load_release(folder)


@pytest.mark.parametrize("n", [1, 3, 4, 6, 9])
def test_instructions_are_spread_over_patients(release, n):
    asked = instructions_to_answer(limited(release, n))
    counts = asked["person_id"].value_counts()
    assert len(asked) == n and len(counts) == min(n, 4)
    in_all = instructions_to_answer(release)["person_id"].value_counts()
    # Nobody has more than one instruction more than another, who still has some left.
    assert all(
        counts.get(p, 0) == k for p, k in in_all.items() if counts.get(p, 0) < counts.max() - 1
    )


def test_a_larger_limit_only_adds_instructions_and_keeps_their_order(release):
    ids = [limited(release, n).instructions["instruction_id"].tolist() for n in (2, 5, 8)]
    assert set(ids[0]) < set(ids[1]) < set(ids[2])
    order = release.instructions["instruction_id"].tolist()
    assert [sorted(chosen, key=order.index) for chosen in ids] == ids


def test_every_table_of_a_limited_release_has_the_same_instructions(release):
    few = limited(release, 5)
    chosen = set(few.instructions["instruction_id"])
    assert set(few.references["instruction_id"]) == chosen and len(chosen) == 5
    submitted = load_submitted(few)
    originals = submitted["duplicate_of"].fillna(submitted["instruction_id"])
    assert set(originals) == chosen and len(submitted) < len(load_submitted(release))
    n = release.references["instruction_id"].nunique()
    assert (few.limited_to, release.limited_to) == (f"5 of {n} instructions", "")
    assert few.is_restricted is release.is_restricted is False


def test_a_limit_that_leaves_out_nothing_changes_nothing(release):
    n = release.references["instruction_id"].nunique()
    assert limited(release, n) is release
    assert limited(release, n - 1).limited_to


def test_reviewed_instructions_come_first(tmp_path):
    folder = write_tiny(tmp_path / "release")
    table = "instruction_id\tmodel_name\tbinary_correct\trank\n"
    (folder / "clinician-reviewed-model-responses.tsv").write_text(table + "3\ta\t1\t1\n")
    few = limited(load_release(folder), 1)
    assert few.instructions["instruction_id"].tolist() == ["3"]
    assert few.reviews.ratings["instruction_id"].tolist() == ["3"]
    edit(folder / "clinician-reviewed-model-responses.tsv", "3\ta\t1\t1\n", "")
    [first] = limited(load_release(folder), 1).instructions["instruction_id"]
    assert first == load_release(folder).instructions["instruction_id"][0]


def test_reviews_are_those_of_the_chosen_instructions(tmp_path):
    folder = write_tiny(tmp_path / "release")
    table = "instruction_id\tmodel_name\tbinary_correct\trank\tmodel_output\n"
    rows = "02\ta\t1\t1\tNo.\n3\ta\t0\t1\tNone.\n"
    (folder / "clinician-reviewed-model-responses.tsv").write_text(table + rows)
    few = limited(load_release(folder), 1)
    assert few.instructions["instruction_id"].tolist() == ["02"]
    for reviewed in (few.reviews.ratings, few.reviews.responses):
        assert reviewed["instruction_id"].tolist() == ["02"]
