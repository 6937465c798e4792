import numpy as np
import pandas as pd
import pytest

from medalign_utils.data.disclosure import DisclosableGroups, all_groups
from medalign_utils.errors import MedAlignError
from medalign_utils.evaluation.metric_correlation import correlate_metrics
from medalign_utils.fairness import audit
from medalign_utils.stats.bootstrap import Bootstrap, bootstrap_means
from medalign_utils.stats.proportions import Proportions
from tests.builders.groups import grouped, ids

RATINGS = pd.DataFrame(
    [("1", "a", True, 1.0), ("1", "b", False, 2.0), ("2", "a", False, 1.5), ("2", "b", False, 1.5)],
    columns=["instruction_id", "system", "correct", "rank"],
)
SCORES = pd.DataFrame(
    [("1", "a", 0.2), ("1", "b", 0.4), ("2", "a", 0.5), ("2", "b", 0.1), ("9", "a", 0.9)],
    columns=["instruction_id", "system", "score"],
).assign(metric="chrf", signature="v1")


def test_outcomes_include_rated_responses_only():
    wide = audit.outcomes(RATINGS, SCORES)
    assert wide.index.tolist() == ["1", "2"]
    assert wide["b"].to_dict("list") == {"correct": [0, 0], "rank": [2, 1.5], "chrf": [0.4, 0.1]}


def test_metric_agreement_equals_notebook_06s():
    taus = audit.metric_agreement(RATINGS, SCORES)["(all)"]
    assert taus["chrf"].iloc[0] == -1 and np.isnan(taus["chrf"].iloc[1])  # all ranks are tied
    instructions = pd.DataFrame({"instruction_id": ["1", "2"], "person_id": ["p", "q"]})
    table = correlate_metrics(SCORES, RATINGS, instructions, bootstrap=Bootstrap.seeded(9, 1))
    assert table["mean_tau"].item() == taus["chrf"].mean()


def test_means_and_gaps_by_hand():
    # 12 patients with two instructions, both correct, and 15 with one, 5 of them correct.
    patients = np.concatenate([np.repeat(ids(27)[:12], 2), ids(27)[12:]])
    values = pd.DataFrame({("s", "correct"): [1.0] * 24 + [1.0] * 5 + [0.0] * 10})
    disclosable = grouped(gender=["F"] * 12 + ["M"] * 15)
    groups, ranges = audit.audit(values, patients, disclosable, bootstrap=Bootstrap.seeded(499, 1))
    assert groups[["group", "n_patients", "n_instructions"]].values.tolist() == [
        ["F", 12, 24], ["M", 15, 15]
    ]  # fmt: skip
    assert groups["mean"].tolist() == pytest.approx([1, 1 / 3])
    assert groups["gap"].tolist() == pytest.approx([2 / 3, -2 / 3])
    assert (groups["gap_low"] < groups["gap"]).all() and (groups["gap"] < groups["gap_high"]).all()
    assert ranges[["best", "worst", "p"]].values.tolist() == [["F", "M", groups["p"][0]]]
    assert ranges["range"].item() == pytest.approx(2 / 3)
    interval = groups.loc[1, ["mean_low", "mean_high"]].tolist()
    own, rest = (
        Proportions.of(values[rows], patients[rows])
        for rows in (patients >= "p012", patients < "p012")
    )
    assert interval == list(own.intervals()[0][1:])
    assert groups.loc[1, ["gap_low", "gap_high"]].tolist() == list(own.differences(rest)[0][1:])


def test_ranks_and_scores_have_intervals_by_bootstrap():
    patients, disclosable = ids(30), grouped(gender=["F"] * 12 + ["M"] * 18)
    values = pd.DataFrame({("s", "rank"): np.random.default_rng(1).normal(2, 1, size=30)})
    groups, _ = audit.audit(values, patients, disclosable, bootstrap=Bootstrap.seeded(2000, 1))
    interval = groups.loc[1, ["mean_low", "mean_high"]].tolist()
    own = values.iloc[12:].to_numpy()
    [reference] = bootstrap_means(own, patients[12:], bootstrap=Bootstrap.seeded(4000, 2))
    assert interval == pytest.approx(list(reference[1:]), abs=0.1)


def test_the_lowest_rank_is_the_best():
    disclosable = grouped(g=["x"] * 11 + ["y"] * 11 + ["z"] * 11)
    values = pd.DataFrame({("s", "rank"): [2.0] * 11 + [1.0] * 11 + [3.0] * 11})
    _, ranges = audit.audit(values, ids(33), disclosable, bootstrap=Bootstrap.seeded(99, 1))
    assert ranges[["best", "worst", "range"]].values.tolist() == [["y", "z", 2.0]]


def test_a_mean_of_fewer_than_11_patients_is_not_shown():
    # In y, only 10 have a defined value.
    disclosable = grouped(g=["x"] * 20 + ["y"] * 20)
    values = pd.DataFrame({("(all)", "chrf"): [0.5] * 30 + [np.nan] * 10})
    groups, ranges = audit.audit(values, ids(40), disclosable, bootstrap=Bootstrap.seeded(99, 1))
    y = groups.set_index("group").loc["y"]
    assert y[["mean", "mean_low", "mean_high", "gap", "p", "p_holm"]].isna().all()
    assert y["n_patients"] == 20
    # Nor is the gap between x and the rest, y, because it would reveal the mean of y.
    assert groups.set_index("group").loc["x", ["mean", "gap"]].isna().tolist() == [False, True]
    assert np.isnan(ranges["p"].item())


def test_n_counts_defined_values_and_is_hidden_with_the_mean_of_any_group():
    disclosable = grouped(g=["x"] * 20 + ["y"] * 20)
    values = pd.DataFrame(
        {
            ("(all)", "chrf"): [0.5] * 32 + [np.nan] * 8,
            ("(all)", "meteor"): [0.5] * 30 + [np.nan] * 10,
        }
    )
    groups, ranges = audit.audit(values, ids(40), disclosable, bootstrap=Bootstrap.seeded(99, 1))
    n = groups.set_index(["measure", "group"])["n_instructions"]
    assert n["chrf"].tolist() == [20, 12] and n["meteor"].isna().all()
    n = ranges.set_index("measure")["n_instructions"]
    assert n["chrf"] == 32 and pd.isna(n["meteor"])


def test_few_patients_have_a_mean_and_no_interval_and_no_test():
    sizes = {"a": 20, "b": 4, "c": 2}
    labels = pd.DataFrame({"g": [g for g, n in sizes.items() for _ in range(n)]}, index=ids(26))
    values = pd.DataFrame({("s", "correct"): [0.0, 1.0] * 10 + [1.0] * 4 + [0.0] * 2})
    every = all_groups(labels, ["g"])
    groups, ranges = audit.audit(values, ids(26), every, bootstrap=Bootstrap.seeded(99, 1))
    groups = groups.set_index("group")
    assert groups["mean"].to_dict() == {"a": 0.5, "b": 1, "c": 0}
    assert groups["gap"].tolist() == pytest.approx([0.5 - 4 / 6, 1 - 10 / 22, -14 / 24])
    assert groups["mean_low"].isna().to_dict() == {"a": False, "b": True, "c": True}
    assert groups["gap_low"].isna().to_dict() == {"a": False, "b": True, "c": True}
    assert groups["p"].isna().to_dict() == {"a": False, "b": False, "c": True}
    # The worst group, c, is too small to be called so. Three tests: a, b, and a against b.
    assert ranges[["best", "worst", "range"]].values.tolist() == [["b", "a", 0.5]]
    assert np.isnan(ranges["range_low"].item()) and not np.isnan(ranges["p"].item())
    assert groups.loc["b", "p_holm"] >= groups.loc["b", "p"] > 0
    few = pd.DataFrame({"g": ["x", "y", "y"]}, index=ids(3))
    groups, ranges = audit.audit(
        values[:3], ids(3), all_groups(few, ["g"]), bootstrap=Bootstrap.seeded(99, 1)
    )
    assert groups["mean"].tolist() == [0, 0.5] and groups["p"].isna().all()
    assert ranges[["range", "p"]].isna().all(axis=None) and ranges["best"].item() == ""


def test_a_grouping_that_is_not_shown_has_one_row():
    disclosable = DisclosableGroups(pd.DataFrame(index=ids(5)), {"race": "not shown: too few"})
    values = pd.DataFrame({("s", "correct"): [1.0] * 5})
    groups, ranges = audit.audit(values, ids(5), disclosable, bootstrap=Bootstrap.seeded(9, 1))
    for table in (groups, ranges):
        assert len(table) == 1 and table["n_patients"].item() == 5
        assert table["suppressed"].item() == "not shown: too few"
    assert groups["group"].item() == "(not shown)" and groups["system"].isna().all()


def test_disclosable_other_patients_are_refused():
    values = pd.DataFrame({("s", "correct"): [1.0] * 5})
    with pytest.raises(MedAlignError, match="groups have 4 patients, values 5, of whom 1"):
        audit.audit(values, ids(5), grouped(g=list("xxyy")), bootstrap=Bootstrap.seeded(9, 1))
    with pytest.raises(MedAlignError, match="5 rows, 4 patients"):
        audit.audit(values, ids(4), grouped(g=list("xxyy")), bootstrap=Bootstrap.seeded(9, 1))
