import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.formula.api import ols

from medalign_utils.data.disclosure import (
    LEAST_PATIENTS,
    NO_GROUPS,
    DisclosableGroups,
    all_groups,
    disclosable_groups,
)
from medalign_utils.fairness import covariates
from medalign_utils.stats.bootstrap import Bootstrap
from tests.builders.groups import grouped, ids


def confounded(rng):
    """Return 400 instructions: 2 of 10 hard and 8 of 10 easy ones are correct in every group."""
    patients = ids(200)[rng.permutation(np.repeat(np.arange(200), 2))]
    group = np.where([int(p[1:]) < 80 for p in patients], "x", "y")
    hard = rng.random(400) < np.where(group == "x", 0.8, 0.2)
    correct = (rng.random(400) < np.where(hard, 0.2, 0.8)).astype(float)
    events = rng.integers(100, 10_000, 200)[[int(p[1:]) for p in patients]]
    return patients, group, np.where(hard, "hard", "easy").astype(object), correct, events


def test_a_gap_caused_by_hard_questions_is_adjusted_away():
    patients, group, category, correct, events = confounded(np.random.default_rng(1))
    disclosable = grouped(g=["x"] * 80 + ["y"] * 120)
    table = covariates.adjusted_gaps(
        pd.DataFrame({"s": correct}), patients, disclosable, category, events
    ).set_index("group")
    # Raw: (0.8 - 0.2) x (0.2 - 0.8) = -0.36 expected.
    assert table.loc["x", "gap"] < -0.25
    assert table.loc["x", "adjusted_gap_low"] < 0 < table.loc["x", "adjusted_gap_high"]
    assert table.loc["x", "adjusted_gap"] == pytest.approx(-table.loc["y", "adjusted_gap"])
    frame = pd.DataFrame({"y": correct, "x": group == "x", "c": category, "e": np.log(events)})
    fit = ols("y ~ x + c + e", frame.astype({"x": int})).fit(
        cov_type="cluster", cov_kwds={"groups": pd.factorize(patients)[0]}, use_t=True
    )
    assert table.loc["x", "adjusted_gap"] == pytest.approx(fit.params["x"])
    # CR1 is nearly the same for groups as large as these.
    assert table.loc["x", ["adjusted_gap_low", "adjusted_gap_high"]].tolist() == pytest.approx(
        fit.conf_int().loc["x"].tolist(), abs=0.01
    )


@pytest.mark.parametrize(
    ("correct", "category", "n", "why"),
    [
        ([1.0] * 40, ["a", "b"] * 20, 40, "all responses have the same verdict"),
        (
            [1.0, 0.0] * 20,
            ["a"] * 20 + ["b"] * 20,
            40,
            "group, category and EHR length are",
        ),
        ([1.0, 0.0] * 20, [*"abcde"] * 8, 8, "fewer than 5 patients in the group"),
        ([1.0, 0.0] * 20, [*"abcdefghij"] * 4, 10, "only 10 patients for 12"),
    ],
)
def test_a_model_that_cannot_be_fitted_says_why(correct, category, n, why):
    patients = ids(n)[np.arange(40) * n // 40]
    disclosable = grouped(g=["x"] * (n // 2) + ["y"] * (n // 2))
    table = covariates.adjusted_gaps(
        pd.DataFrame({"s": correct}), patients, disclosable, np.array(category, object),
        np.arange(40) + 100,
    )  # fmt: skip
    assert table["unfitted"].str.startswith(why).all()
    assert table[["adjusted_gap", "adjusted_gap_low", "adjusted_gap_high"]].isna().all(axis=None)


def test_records_are_described_by_group():
    people = pd.DataFrame(
        {"gender": ["F"] * 20 + ["M"] * 31, "events": [100] * 20 + [1000] * 31, "notes": 7},
        index=ids(51),
    )
    rated = ids(51)[:40]  # 20 of each; the release has 11 more males
    disclosable = DisclosableGroups(people.loc[rated, ["gender"]], {"gender": ""})
    table = covariates.describe_groups(
        people, rated, disclosable, bootstrap=Bootstrap.seeded(99, 1)
    ).set_index("group")
    assert table["patients_in_release"].to_dict() == {"(all)": 51, "F": 20, "M": 31}
    assert table["events"].to_dict() == pytest.approx({"(all)": 10**2.5, "F": 100, "M": 1000})
    none = DisclosableGroups(pd.DataFrame(index=rated[:10]), {})
    bootstrap = Bootstrap.seeded(99, 1)
    few = covariates.describe_groups(people[:10], rated[:10], none, bootstrap=bootstrap)
    assert few[["events", "notes"]].isna().all(axis=None)
    fewer = covariates.describe_groups(people[:50], rated, disclosable, bootstrap=bootstrap)
    fewer = fewer.set_index("group")
    # A total of 30 would reveal 10 males without a rated instruction.
    assert fewer["patients_in_release"].isna().to_dict() == {"(all)": False, "F": True, "M": True}


def test_a_synthetic_release_is_described_to_the_smallest_group():
    people = pd.DataFrame(
        {"gender": ["F"] * 6 + ["M"] * 2, "events": [100] * 6 + [10, 1000], "notes": 7},
        index=ids(8),
    )
    rated = ids(8)[:7]  # of the two males one
    groups = all_groups(people.loc[rated], ["gender"])
    table = covariates.describe_groups(people, rated, groups, bootstrap=Bootstrap.seeded(99, 1))
    table = table.set_index("group")
    assert table["patients_in_release"].to_dict() == {"(all)": 8, "F": 6, "M": 2}
    assert table["events"].to_dict() == pytest.approx({"(all)": 10 ** (13 / 7), "F": 100, "M": 10})
    assert table["events_low"].isna().to_dict() == {"(all)": False, "F": False, "M": True}
    category = np.array(["hard"] * 2 + ["easy"] * 5, dtype=object)
    cells = covariates.count_categories_by_group(rated, groups, category)
    assert cells[["group", "category", "n_instructions"]].values.tolist() == [
        ["F", "easy", 4], ["F", "hard", 2], ["M", "easy", 1],
    ]  # fmt: skip


@settings(max_examples=12, deadline=None, derandomize=True)
@given(st.integers(0, 10_000))
def test_categories_by_group_have_no_small_cell(seed):
    rng = np.random.default_rng(seed)
    cells = np.repeat(np.arange(6), rng.integers(0, 50, 6))
    races, genders = np.array(["White", "Asian", "Black"]), np.array(["Female", "Male"])
    columns = {"race": races[cells // 2], "gender": genders[cells % 2]}
    people = pd.DataFrame(columns, index=ids(len(cells)))
    patients = rng.choice(people.index.to_numpy(dtype=object), 2 * len(people))
    groups = disclosable_groups(people.loc[np.unique(patients)], ["race", "gender"])
    category = rng.choice(["Retrieve", "Plan", "Other"], len(patients), p=[0.7, 0.2, 0.1])
    table = covariates.count_categories_by_group(patients, groups, category.astype(object))
    for grouping, own in table[table["group"] != NO_GROUPS].groupby("grouping"):
        labels = groups.labels.loc[patients, grouping].to_numpy()
        for row in own.itertuples():
            inside = np.isin(labels, row.group.split(" + ")) | (labels == row.group)
            inside &= np.isin(category, row.category.split(" + "))
            assert inside.sum() == row.n_instructions
            assert len(set(patients[inside])) >= LEAST_PATIENTS
        assert own["n_instructions"].sum() == len(patients)
        assert own.groupby("group")["share"].sum().to_numpy() == pytest.approx(1)
