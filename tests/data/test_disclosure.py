"""No count below 11 follows from sums and differences of published counts."""

from itertools import combinations, product

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from medalign_utils.data import disclosure
from medalign_utils.data.disclosure import disclosable_groups
from medalign_utils.data.merging import LEAST_PATIENTS, coarsen, merge_small

# Twelve combinations of a patient's attributes, some common and some rare.
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
    """Return the sizes of all sets of patients whose counts sums and differences reveal.

    A set is a choice of cells: 4,096 choices of twelve. Its size can be derived if the choice, as a
    vector of zeros and ones, is a linear combination of the published groups' vectors, apart from
    cells published as empty. `published` has the group of each cell.
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
    """Return what a reader can infer about each published grouping: the group of each cell."""
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
        assert (total - counts).min() >= LEAST_PATIENTS  # the rest, with which a group is compared


def test_the_same_attack_recovers_counts_hidden_only_by_blanks():
    # 40 White, 30 Asian, 5 Black: with the 5 blanked, 75 - 40 - 30 still reveals them.
    race = [cell[0] for cell in CELLS]
    assert 5 in derivable_counts([20, 0, 20, 0, 15, 0, 15, 0, 3, 0, 2, 0], {"race": race})
    # Two marginals and one cell: 38 White, of whom 35 are female, so 3 are not.
    crossed = {"race": race, "race x gender": [cell[:2] == ("White", "Female") for cell in CELLS]}
    assert 3 in derivable_counts([20, 15, 3, 0, 15, 0, 15, 0, 5, 0, 12, 0], crossed)


def test_an_empty_cell_is_not_shown_either():
    # Exactly the 11 Asian patients are 18–39. If race x age had its empty cells, gender x age would
    # reveal that all 11 are female, and the 12 females of "Asian + White" that 1 White patient is.
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
    # There are 6 Black females, so Black is merged with the smaller of the other two races.
    people = people_of([30, 0, 30, 0, 15, 0, 15, 0, 6, 0, 14, 0])
    groups = disclosable_groups(people, ["race", "gender"], [("race", "gender")])
    assert groups.labels["race x gender"].value_counts().to_dict() == {
        "White, Female": 30, "White, Male": 30, "Asian + Black, Female": 21,
        "Asian + Black, Male": 29,
    }  # fmt: skip
    assert groups.suppressed["race x gender"] == disclosure.COARSENED
    assert groups.suppressed["race"] == ""


def test_hidden_groupings_are_marked():
    # 12 females and 9 males can only be shown as one group of 21.
    people = people_of([12, 0, 3, 0, 0, 0, 3, 0, 0, 0, 3, 0])
    groups = disclosable_groups(people, ["gender", "race"], [("gender", "race")])
    assert groups.labels.empty
    reasons = [disclosure.NOT_SHOWN, disclosure.NOT_SHOWN, disclosure.NO_PARTS]
    assert [*groups.suppressed.values()] == reasons


def test_a_synthetic_release_shows_all_groups():
    people = people_of([2, 0, 1, 0, 0, 0, 3, 0, 0, 0, 0, 0])
    groups = disclosure.all_groups(people, [*LABELS], [("race", "gender"), ("race", "age")])
    counts = groups.labels["race x gender"].value_counts().to_dict()
    assert counts == {"White, Female": 2, "White, Male": 1, "Asian, Male": 3}
    assert groups.least == 0 and disclosable_groups(people, [*LABELS]).least == LEAST_PATIENTS
    # All are 18–39: there is nothing to compare.
    assert "age" not in groups.labels and groups.suppressed["age"] == disclosure.ONE_GROUP
    assert groups.suppressed["race x age"] == ""


def test_small_groups_are_merged_and_not_named():
    values = pd.Series(["White"] * 30 + ["Roe's own plan"] * 1 + ["Doe's own plan"] * 11)
    assert set(merge_small(values)) == {"White", "Doe's own plan + (others)"}
    # 40–64 is small and between 12 and 30: it joins the 12. 80+ joins 65–79.
    ages = pd.Series(["18–39"] * 12 + ["40–64"] * 4 + ["65–79"] * 30 + ["80+"] * 2)
    assert merge_small(ages, ordered=True).value_counts().to_dict() == {"65+": 32, "18–64": 16}
    ages = pd.Series(["0–17"] * 11 + ["80+"] * 11 + ["(not given)"] * 3)
    assert set(merge_small(ages, ordered=True)) == {"0–17", "80+ + (not given)"}


def test_coarsen_counts_patients_not_rows():
    # 12 rows of b and y, but only 4 patients; two by two cannot be merged further.
    first = pd.Series(["a"] * 48 + ["b"] * 48)
    second = pd.Series((["x"] * 24 + ["y"] * 24) + ["x"] * 36 + ["y"] * 12)
    patients = [*range(84), *[84, 85, 86, 87] * 3]
    assert coarsen(first, second, patients) is None
    assert coarsen(first, second, range(96)) is not None


def test_release_counts_are_shown_only_if_they_reveal_no_small_rest():
    rated = pd.Series({"F": 30, "M": 25})
    release = pd.Series({"F": 41, "M": 25})
    assert disclosure.release_counts(rated, release).to_dict() == {"F": 41, "M": 25}
    assert disclosure.release_counts(rated, release + pd.Series({"F": -1, "M": 0})) is None
    # A group with no rated instruction.
    assert disclosure.release_counts(rated, pd.Series({"F": 41, "M": 25, "X": 1})) is None
