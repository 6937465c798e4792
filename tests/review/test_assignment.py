"""Work and categories are shared evenly, and a record is read once."""

import numpy as np
import pandas as pd
import pytest

from medalign_utils.review.assignment import assign, choose


@pytest.fixture
def instructions():
    """303 instructions about 150 patients, two thirds in one of four categories."""
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "instruction_id": [f"i{n}" for n in range(303)],
            "person_id": [f"p{n}" for n in np.minimum(rng.geometric(0.01, 303), 150)],
            "category": rng.choice(list("abcd"), 303, p=[0.67, 0.2, 0.1, 0.03]),
            "weight": 1.0,
            "n_responses": rng.integers(3, 7, 303),
        }
    )


def test_each_category_has_its_share(instructions):
    chosen = choose(instructions, 100, np.random.default_rng(1))
    assert len(chosen) == len(set(chosen)) == 100
    drawn = instructions[instructions["instruction_id"].isin(chosen)]["category"].value_counts()
    share = instructions["category"].value_counts() / 303 * 100
    assert ((drawn - share).abs() < 1).all()


def test_all_are_chosen_if_there_are_no_more(instructions):
    assert len(choose(instructions, 1000, np.random.default_rng(1))) == 303


def test_an_overlap_is_spread_over_patients(instructions):
    chosen = choose(instructions, 50, np.random.default_rng(1), per_patient=5)
    patients = instructions[instructions["instruction_id"].isin(chosen)]["person_id"]
    assert 10 <= patients.nunique() and patients.value_counts().max() <= 5


def test_nine_raters_share_work_and_categories_evenly(instructions):
    patients = instructions["person_id"].unique()
    lengths = np.random.default_rng(2).lognormal(0, 1, len(patients))
    sizes = dict(zip(patients, lengths, strict=True))
    overlap = choose(instructions, 50, np.random.default_rng(1), per_patient=5)
    raters = [f"R{n}" for n in range(1, 10)]
    own = assign(instructions, raters, overlap, 3, sizes)
    rows = instructions.set_index("instruction_id")
    read = {patient: size**0.5 for patient, size in sizes.items()}
    work = [
        rows.loc[ids, "n_responses"].sum() / rows["n_responses"].sum()
        + sum(read[p] for p in rows.loc[ids, "person_id"].unique()) / sum(read.values())
        for ids in own.values()
    ]
    assert max(work) < 1.15 * min(work)
    common = [(rows.loc[ids, "category"] == "a").mean() for ids in own.values()]
    assert max(common) - min(common) < 0.25
    assert sorted(i for ids in own.values() for i in ids) == sorted(
        [*rows.index, *overlap, *overlap]
    )


def test_patients_without_overlap_are_not_split(instructions):
    sizes = dict.fromkeys(instructions["person_id"], 1)
    own = assign(instructions, ["R1", "R2", "R3"], [], 3, sizes)
    person = instructions.set_index("instruction_id")["person_id"]
    patients = [set(person[ids]) for ids in own.values()]
    assert sum(map(len, patients)) == len(set.union(*patients))


def test_a_limit_per_rater_counts_more_than_long_records(instructions):
    sizes = {p: 10.0**6 if n < 5 else 1 for n, p in enumerate(instructions["person_id"].unique())}
    own = assign(instructions, ["R1", "R2", "R3"], [], 3, sizes, per_rater=102)
    assert all(len(ids) <= 102 for ids in own.values())
