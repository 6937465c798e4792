"""No count under 11 follows from sums and differences of what is published."""

from itertools import combinations, product

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from medalign_utils.data import disclosure
from medalign_utils.data.disclosure import LEAST_PATIENTS, coarsen, disclosable_groups, merge_small

# Twelve combinations of what is said of a patient, some common and some rare.
LABELS = {
    "race": ["White", "Asian", "Black"],
    "gender": ["Female", "Male"],
    "age": ["18–39", "80+"],
}
CELLS = [*product(*LABELS.values())]
SIZES = st.sampled_from([0, 0, 1, 2, 3, 5, 8, 10, 11, 12, 15, 22, 40])


def people_of(sizes: list[int]) -> pd.DataFrame:
    rows = [cell for cell, n in zip(CELLS, sizes, strict=True) for _ in range(n)]
    return pd.DataFrame(rows, columns=[*LABELS], index=[f"{i:04}" for i in range(len(rows))])


def derivable_counts(sizes: list[int], published: dict[str, list]) -> set[int]:
    """The sizes of all sets of patients that sums and differences of published counts give.

    A set is a choice among the cells: 4,096 of twelve. Its number can be derived if the choice, as
    a vector of zeros and ones, is a linear combination of the published groups' vectors, on what is
    not in a cell published as empty. `published` has the group of each cell.
    """
    n = np.array(sizes)
    vectors, possible = [np.ones(len(CELLS))], np.ones(len(CELLS), dtype=bool)
    for name, groups in published.items():
        for group in set(groups):
            inside = np.array([other == group for other in groups])
            vectors.append(inside.astype(float))
            if n[inside].sum() == 0 and " x " in name:
                possible &= ~inside
    basis = np.linalg.svd(np.array(vectors)[:, possible], full_matrices=False)
    q = basis[2][basis[1] > 1e-9]
    chosen = np.array([*product((0.0, 1.0), repeat=int(possible.sum()))])
    spanned = np.abs(chosen - chosen @ q.T @ q).max(axis=1) < 1e-9
    return set((chosen[spanned] @ n[possible]).astype(int))


def publication(people: pd.DataFrame, labels: pd.DataFrame) -> dict[str, list]:
    """What a reader can tell of each published grouping: the group of each cell."""
    published = {}
    for name in labels:
        names = labels[name].str.split(", ", expand=True)
        groups = [
            dict(zip(people[p], names[i], strict=True)) for i, p in enumerate(name.split(" x "))
        ]
        places = [[*LABELS].index(part) for part in name.split(" x ")]
        for group, place, i in zip(groups, places, names, strict=True):
            # Each label belongs to one group.
            assert (people.iloc[:, place].map(group) == names[i]).all()
        published[name] = [
            tuple(group.get(cell[i]) for group, i in zip(groups, places, strict=True))
            for cell in CELLS
        ]
    return published


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(SIZES, min_size=12, max_size=12))
def test_no_count_under_11_can_be_derived(sizes):
    people = people_of(sizes)
    if people.empty:
        return
    groups = disclosable_groups(people, [*LABELS], [*combinations(LABELS, 2)])
    derived = derivable_counts(sizes, publication(people, groups.labels))
    total = len(people)
    small = {n for n in derived if 0 < n < LEAST_PATIENTS}
    assert not small - {total}, groups
    for name in groups.labels:
        counts = groups.labels[name].value_counts()
        assert counts.min() >= LEAST_PATIENTS and counts.sum() == total
        assert (total - counts).min() >= LEAST_PATIENTS  # the rest that a group is compared with


def test_the_same_attack_finds_what_blanks_alone_would_hide():
    # 40 White, 30 Asian, 5 Black: with the 5 left blank, 75 - 40 - 30 still tells them.
    race = [cell[0] for cell in CELLS]
    assert 5 in derivable_counts([20, 0, 20, 0, 15, 0, 15, 0, 3, 0, 2, 0], {"race": race})
    # Two marginals and one cell: 38 White, of whom 35 are female, so 3 are not.
    crossed = {"race": race, "race x gender": [cell[:2] == ("White", "Female") for cell in CELLS]}
    assert 3 in derivable_counts([20, 15, 3, 0, 15, 0, 15, 0, 5, 0, 12, 0], crossed)


def test_an_empty_cell_is_not_shown_either():
    # All 11 Asian are 18–39 and nobody else is. Were race x age shown with its empty cells, then
    # gender x age would tell that 11 Asian are female, and 12 females of "Asian + White" that 1
    # White is.
    people = people_of([0, 1, 0, 11, 11, 0, 0, 0, 0, 11, 0, 0])
    groups = disclosable_groups(people, [*LABELS], [*combinations(LABELS, 2)])
    assert {"race", "gender", "age"} == set(groups.labels)
    assert groups.suppressed["race x age"] == disclosure.NO_PAIR


def test_the_last_pair_of_a_ring_is_not_shown():
    people = people_of([20] * 12)
    groups = disclosable_groups(people, [*LABELS], [*combinations(LABELS, 2)])
    assert groups.labels["race x gender"].nunique() == 6
    assert groups.suppressed["race x gender"] == groups.suppressed["age"] == ""
    assert [*groups.labels] == ["race", "gender", "age", "race x gender", "race x age"]
    assert groups.suppressed["gender x age"] == disclosure.RING


def test_a_small_cell_merges_its_smaller_neighbour_group():
    # Black females are 6, so Black goes with the smaller of the other two races.
    people = people_of([30, 0, 30, 0, 15, 0, 15, 0, 6, 0, 14, 0])
    groups = disclosable_groups(people, ["race", "gender"], [("race", "gender")])
    assert groups.labels["race x gender"].value_counts().to_dict() == {
        "White, Female": 30, "White, Male": 30, "Asian + Black, Female": 21,
        "Asian + Black, Male": 29,
    }  # fmt: skip
    assert groups.suppressed["race x gender"] == disclosure.COARSENED
    assert groups.suppressed["race"] == ""


def test_what_cannot_be_shown_says_so():
    # 12 females and 9 males; 12 of 21 and 9 of 21 are one group of all.
    people = people_of([12, 0, 3, 0, 0, 0, 3, 0, 0, 0, 3, 0])
    groups = disclosable_groups(people, ["gender", "race"], [("gender", "race")])
    assert groups.labels.empty
    reasons = [disclosure.NOT_SHOWN, disclosure.NOT_SHOWN, disclosure.NO_PARTS]
    assert [*groups.suppressed.values()] == reasons


def test_small_groups_are_merged_and_not_named():
    values = pd.Series(["White"] * 30 + ["Roe's own plan"] * 1 + ["Doe's own plan"] * 11)
    assert set(merge_small(values)) == {"White", "Doe's own plan + (others)"}
    # 40–64 is small, between 12 and 30: it goes with the 12. 80+ goes with 65–79.
    ages = pd.Series(["18–39"] * 12 + ["40–64"] * 4 + ["65–79"] * 30 + ["80+"] * 2)
    assert merge_small(ages, ordered=True).value_counts().to_dict() == {"65+": 32, "18–64": 16}
    ages = pd.Series(["0–17"] * 11 + ["80+"] * 11 + ["(not given)"] * 3)
    assert set(merge_small(ages, ordered=True)) == {"0–17", "80+ + (not given)"}


def test_coarsen_counts_patients_not_rows():
    # 12 rows of b and y, but of 4 patients only; two by two cannot be merged further.
    first = pd.Series(["a"] * 48 + ["b"] * 48)
    second = pd.Series((["x"] * 24 + ["y"] * 24) + ["x"] * 36 + ["y"] * 12)
    patients = [*range(84), *[84, 85, 86, 87] * 3]
    assert coarsen(first, second, patients) is None
    assert coarsen(first, second, range(96)) is not None


def test_of_the_release_only_what_tells_no_small_rest():
    rated = pd.Series({"F": 30, "M": 25})
    every = pd.Series({"F": 41, "M": 25})
    assert disclosure.release_counts(rated, every).to_dict() == {"F": 41, "M": 25}
    assert disclosure.release_counts(rated, every + pd.Series({"F": -1, "M": 0})) is None
    # A group that only patients without a rated instruction have.
    assert disclosure.release_counts(rated, pd.Series({"F": 41, "M": 25, "X": 1})) is None
