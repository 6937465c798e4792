"""The audit: who the patients are, gaps between groups, tests, and what explains a gap."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.formula.api import ols
from statsmodels.stats.multitest import multipletests

from medalign_utils.data import demographics
from medalign_utils.data.disclosure import DisclosableGroups
from medalign_utils.data.ehr import read_events
from medalign_utils.errors import MedAlignError
from medalign_utils.evaluation.metric_correlation import correlate_metrics
from medalign_utils.fairness import audit, covariates, power
from medalign_utils.stats.bootstrap import Bootstrap, bootstrap_means
from medalign_utils.stats.permutation import RANGE, holm, permutation_tests
from tests.builders.tiny_release import encounter, entry, event, eventstream


def ids(n):
    return np.array([f"p{i:03}" for i in range(n)], dtype=object)


def grouped(**columns):
    labels = pd.DataFrame(columns, index=ids(len(next(iter(columns.values())))), dtype=object)
    return DisclosableGroups(labels, dict.fromkeys(columns, ""))


# Who the patients are.


def header(payer, birth="1950-03-01"):
    return (
        f"<person><birthdate>{birth}</birthdate><age><days>1</days></age><demographics>"
        "<ethnicity>NULL</ethnicity><gender>FEMALE</gender><race>Unknown</race></demographics>"
        f"<payerplan>{payer}</payerplan></person>"
    )


def test_a_person_is_as_last_said_and_as_old_as_at_the_last_event(tmp_path):
    note = event("note", "STANFORD_NOTE/1", "Letter", "Dear", note_id="1")
    last = entry("2015-02-28 23:00", event("visit", "Visit/OP", "Office visit", "end"))
    file = tmp_path / "7.xml"
    text = encounter(entry("2010-01-02 09:00", note), header("Blue Shield PPO"), "2010-01-02 08:00")
    text += encounter(last, header("MEDICARE PART A &amp; B"), "2015-02-27 08:00")
    file.write_text(eventstream("7", text))
    # Born on 1 March 1950, so 64 on 28 February 2015: a day under 65.
    assert demographics.describe_person(read_events(file)) == {
        "gender": "FEMALE", "race": "(not given)", "ethnicity": "(not given)",
        "age": "40–64", "payer": "Medicare", "events": 2, "notes": 1,
    }  # fmt: skip
    file.write_text(eventstream("7", text.replace("2015-02-28 23", "2015-03-02 23")))
    assert demographics.describe_person(read_events(file))["age"] == "65–79"


def test_the_record_dialect_says_the_same(tmp_path):
    file = tmp_path / "8.xml"
    file.write_text(
        '<record><visit type="OP" start="2014-08-10 09:00"><day start="2014-08-10 09:00"><person>'
        "Age in days: 30000\nGender: MALE\nRace: Asian\nPayer plan: Medi-Cal</person><note "
        'type="Letter" start="2014-08-10 09:00">Dear</note></day></visit></record>'
    )
    person = demographics.describe_person(read_events(file))
    # 30,000 days are 82.1 years.
    assert (person["gender"], person["race"], person["age"]) == ("MALE", "Asian", "80+")
    assert (person["payer"], person["ethnicity"]) == ("Medicaid", "(not given)")


def test_a_record_that_says_nothing_is_no_error(tmp_path):
    file = tmp_path / "9.xml"
    file.write_text(eventstream("9", ""))
    person = demographics.describe_person(read_events(file))
    assert {person[name] for name in demographics.GROUPINGS} == {"(not given)"}
    assert person["events"] == person["notes"] == 0


# Permutation tests.


def test_exact_tests_equal_scipys_where_each_patient_has_one_row():
    rng = np.random.default_rng(2)
    x = rng.integers(0, 3, 9).astype(float)
    labels = pd.DataFrame({"g": list("aaaabbbbb")}, index=ids(9))
    tests = permutation_tests(
        pd.DataFrame({"x": x}), ids(9), labels, permutations=200, rng=rng
    )  # 9 over 4 are 126 ways
    theirs = stats.permutation_test(
        (x[:4], x[4:]), lambda a, b: abs(a.mean() - b.mean()), alternative="greater"
    )
    assert tests["exact"].all()
    assert tests["p"].tolist() == pytest.approx([theirs.pvalue] * 2)


def test_drawn_tests_come_near_the_exact_ones_for_three_groups_and_their_range():
    rng = np.random.default_rng(3)
    values = pd.DataFrame({"x": rng.normal(size=14), "y": rng.normal(size=14)})
    patients = np.repeat(ids(7), 2)
    labels = pd.DataFrame({"g": list("aabbbcc")}, index=ids(7))  # 7! / (2! 3! 2!) = 210 ways
    exact, drawn = (
        permutation_tests(values, patients, labels, permutations=n, rng=np.random.default_rng(1))
        for n in (210, 209)
    )
    assert exact["exact"].all() and not drawn["exact"].any()
    assert exact["group"].tolist() == ["a", "b", "c", RANGE] * 2
    # 209 draws: a standard error of at most 0.035.
    assert np.abs(exact["p"] - drawn["p"]).max() < 0.12


def test_whole_patients_change_groups():
    # Two patients with 20 rows each are all right, two all wrong: of the 6 ways to deal out aabb
    # 2 are as far apart as this one. With rows changing groups p would be 1e-11.
    values = pd.DataFrame({"x": [1.0] * 40 + [0.0] * 40})
    labels = pd.DataFrame({"g": list("aabb")}, index=ids(4))
    tests = permutation_tests(
        values, np.repeat(ids(4), 20), labels, permutations=99, rng=np.random.default_rng(1)
    )
    assert tests["p"].tolist() == [1 / 3, 1 / 3]


def test_holm_equals_statsmodels_and_leaves_out_what_is_undefined():
    p = np.random.default_rng(4).random((9, 5)).round(2) ** 3  # with ties
    p[2] = np.nan
    ours = holm(p)
    for column in range(5):
        defined = ~np.isnan(p[:, column])
        theirs = multipletests(p[defined, column], method="holm")[1]
        assert ours[defined, column] == pytest.approx(theirs)
    assert np.isnan(ours[2]).all()


def test_two_groups_are_one_test_of_the_family():
    rng = np.random.default_rng(5)
    values = pd.DataFrame({"x": rng.normal(size=40)})
    labels = pd.DataFrame({"g": ["a", "b"] * 20, "h": list("xyzz") * 10}, index=ids(40))
    tests = permutation_tests(values, ids(40), labels, permutations=199, rng=rng)
    # One for a and b, three for x, y, z, and their range.
    once = tests["p"].iloc[[0, 2, 3, 4, 5]]
    expected = multipletests(once, method="holm")[1]
    assert tests["p_holm"].iloc[[0, 2, 3, 4, 5]].tolist() == pytest.approx(expected.tolist())
    assert tests["p_holm"][1] == tests["p_holm"][0]


def test_without_groups_there_are_no_tests():
    values = pd.DataFrame({"x": [1.0]})
    tests = permutation_tests(
        values, ids(1), pd.DataFrame(index=ids(1)), permutations=9, rng=np.random.default_rng(1)
    )
    assert tests.empty and "p_holm" in tests


# The audit.

RATINGS = pd.DataFrame(
    [("1", "a", True, 1.0), ("1", "b", False, 2.0), ("2", "a", False, 1.5), ("2", "b", False, 1.5)],
    columns=["instruction_id", "system", "correct", "rank"],
)
SCORES = pd.DataFrame(
    [("1", "a", 0.2), ("1", "b", 0.4), ("2", "a", 0.5), ("2", "b", 0.1), ("9", "a", 0.9)],
    columns=["instruction_id", "system", "score"],
).assign(metric="chrf", signature="v1")


def test_outcomes_are_of_rated_responses():
    wide = audit.outcomes(RATINGS, SCORES)
    assert wide.index.tolist() == ["1", "2"]
    assert wide["b"].to_dict("list") == {"correct": [0, 0], "rank": [2, 1.5], "chrf": [0.4, 0.1]}


def test_metric_agreement_is_that_of_notebook_06():
    taus = audit.metric_agreement(RATINGS, SCORES)["(all)"]
    assert taus["chrf"].iloc[0] == -1 and np.isnan(taus["chrf"].iloc[1])  # all ranks are tied
    instructions = pd.DataFrame({"instruction_id": ["1", "2"], "person_id": ["p", "q"]})
    table = correlate_metrics(SCORES, RATINGS, instructions, bootstrap=Bootstrap.seeded(9, 1))
    assert table["mean_tau"].item() == taus["chrf"].mean()


def test_means_and_gaps_by_hand():
    # 12 patients of two instructions, both right, and 15 of one, of which 5 are right.
    patients = np.concatenate([np.repeat(ids(27)[:12], 2), ids(27)[12:]])
    values = pd.DataFrame({("s", "correct"): [1.0] * 24 + [1.0] * 5 + [0.0] * 10})
    protected = grouped(gender=["F"] * 12 + ["M"] * 15)
    groups, ranges = audit.audit(values, patients, protected, bootstrap=Bootstrap.seeded(499, 1))
    assert groups[["group", "n_patients", "n_instructions"]].values.tolist() == [
        ["F", 12, 24], ["M", 15, 15]
    ]  # fmt: skip
    assert groups["mean"].tolist() == pytest.approx([1, 1 / 3])
    assert groups["gap"].tolist() == pytest.approx([2 / 3, -2 / 3])
    assert (groups["gap_low"] < groups["gap"]).all() and (groups["gap"] < groups["gap_high"]).all()
    assert ranges[["best", "worst", "p"]].values.tolist() == [["F", "M", groups["p"][0]]]
    assert ranges["range"].item() == pytest.approx(2 / 3)
    mine = groups.loc[1, ["mean_low", "mean_high"]].tolist()
    own = values.iloc[24:, :1].to_numpy()
    [theirs] = bootstrap_means(own, patients[24:], bootstrap=Bootstrap.seeded(4000, 2))
    assert mine == pytest.approx(list(theirs[1:]), abs=0.05)


def test_the_lowest_rank_is_the_best():
    protected = grouped(g=["x"] * 11 + ["y"] * 11 + ["z"] * 11)
    values = pd.DataFrame({("s", "rank"): [2.0] * 11 + [1.0] * 11 + [3.0] * 11})
    _, ranges = audit.audit(values, ids(33), protected, bootstrap=Bootstrap.seeded(99, 1))
    assert ranges[["best", "worst", "range"]].values.tolist() == [["y", "z", 2.0]]


def test_a_mean_of_fewer_than_11_patients_is_not_shown():
    # In y only 10 have a defined value.
    protected = grouped(g=["x"] * 20 + ["y"] * 20)
    values = pd.DataFrame({("(all)", "chrf"): [0.5] * 30 + [np.nan] * 10})
    groups, ranges = audit.audit(values, ids(40), protected, bootstrap=Bootstrap.seeded(99, 1))
    y = groups.set_index("group").loc["y"]
    assert y[["mean", "mean_low", "mean_high", "gap", "p", "p_holm"]].isna().all()
    assert y["n_patients"] == 20
    # Nor the gap of x to the rest, which is y: the mean of y would follow.
    assert groups.set_index("group").loc["x", ["mean", "gap"]].isna().tolist() == [False, True]
    assert np.isnan(ranges["p"].item())


def test_a_grouping_that_is_not_shown_has_one_row():
    protected = DisclosableGroups(pd.DataFrame(index=ids(5)), {"race": "not shown: too few"})
    values = pd.DataFrame({("s", "correct"): [1.0] * 5})
    groups, ranges = audit.audit(values, ids(5), protected, bootstrap=Bootstrap.seeded(9, 1))
    for table in (groups, ranges):
        assert len(table) == 1 and table["n_patients"].item() == 5
        assert table["suppressed"].item() == "not shown: too few"
    assert groups["group"].item() == "(not shown)" and groups["system"].isna().all()


def test_groups_of_other_patients_are_refused():
    values = pd.DataFrame({("s", "correct"): [1.0] * 5})
    with pytest.raises(MedAlignError, match="groups of 4 patients, values of 5, 1 of them without"):
        audit.audit(values, ids(5), grouped(g=list("xxyy")), bootstrap=Bootstrap.seeded(9, 1))
    with pytest.raises(MedAlignError, match="5 rows, 4 patients"):
        audit.audit(values, ids(4), grouped(g=list("xxyy")), bootstrap=Bootstrap.seeded(9, 1))


# What explains a gap.


def confounded(rng):
    """400 instructions: hard ones are right in 2 of 10 cases, easy in 8 of 10, whoever is asked."""
    patients = ids(200)[rng.permutation(np.repeat(np.arange(200), 2))]
    group = np.where([int(p[1:]) < 80 for p in patients], "x", "y")
    hard = rng.random(400) < np.where(group == "x", 0.8, 0.2)
    correct = (rng.random(400) < np.where(hard, 0.2, 0.8)).astype(float)
    events = rng.integers(100, 10_000, 200)[[int(p[1:]) for p in patients]]
    return patients, group, np.where(hard, "hard", "easy").astype(object), correct, events


def test_a_gap_that_hard_questions_make_is_adjusted_away():
    patients, group, category, correct, events = confounded(np.random.default_rng(1))
    protected = grouped(g=["x"] * 80 + ["y"] * 120)
    table = covariates.adjusted_gaps(
        pd.DataFrame({"s": correct}), patients, protected, category, events
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
    assert table.loc["x", ["adjusted_gap_low", "adjusted_gap_high"]].tolist() == pytest.approx(
        fit.conf_int().loc["x"].tolist()
    )


@pytest.mark.parametrize(
    ("correct", "category", "n", "why"),
    [
        ([1.0] * 40, ["a", "b"] * 20, 40, "all responses are rated alike"),
        ([1.0, 0.0] * 20, ["a"] * 20 + ["b"] * 20, 40, "group, category and EHR length cannot be"),
        ([1.0, 0.0] * 20, [*"abcd"] * 10, 4, "4 patients for 6 coefficients"),
    ],
)
def test_a_model_that_cannot_be_fitted_says_why(correct, category, n, why):
    patients = ids(n)[np.arange(40) * n // 40]
    protected = grouped(g=["x"] * (n // 2) + ["y"] * (n // 2))
    table = covariates.adjusted_gaps(
        pd.DataFrame({"s": correct}), patients, protected, np.array(category, object),
        np.arange(40) + 100,
    )  # fmt: skip
    assert table["unfitted"].str.startswith(why).all()
    assert table[["adjusted_gap", "adjusted_gap_low", "adjusted_gap_high"]].isna().all(axis=None)


def test_records_are_described_by_group():
    people = pd.DataFrame(
        {"gender": ["F"] * 20 + ["M"] * 31, "events": [100] * 20 + [1000] * 31, "notes": 7},
        index=ids(51),
    )
    rated = ids(51)[:40]  # 20 of each, and 11 more males in the release
    protected = DisclosableGroups(people.loc[rated, ["gender"]], {"gender": ""})
    table = covariates.describe_groups(
        people, rated, protected, bootstrap=Bootstrap.seeded(99, 1)
    ).set_index("group")
    assert table["patients_in_release"].to_dict() == {"(all)": 51, "F": 20, "M": 31}
    assert table["events"].to_dict() == pytest.approx({"(all)": 10**2.5, "F": 100, "M": 1000})
    fewer = covariates.describe_groups(
        people[:50], rated, protected, bootstrap=Bootstrap.seeded(99, 1)
    ).set_index("group")
    # 10 males without a rated instruction would follow from 30 in all.
    assert fewer["patients_in_release"].isna().to_dict() == {"(all)": False, "F": True, "M": True}


# The simulation.


def test_a_large_gap_is_found_and_no_gap_raises_few_alarms():
    found = power.simulate_audits([100], seeds=3, gap=0.5, permutations=499, progress=False)
    assert found["share"].item() == 1
    none = power.simulate_audits([None], seeds=20, permutations=499, progress=False)
    assert none["audits"].item() == 120
    assert none["share_low"].item() <= 0.05


def test_simulated_verdicts_have_the_accuracy_and_the_correlation_they_should():
    people, patients, correct = power.simulate_release(
        np.random.default_rng(1), size=138, systems=2000, correlation=0.3
    )
    failed = np.isin(patients, people.index[people["race"] == power.FAILED])
    assert correct[failed].to_numpy().mean() == pytest.approx(0.45, abs=0.01)
    assert correct[~failed].to_numpy().mean() == pytest.approx(0.65, abs=0.01)
    twice = pd.Series(patients).value_counts()
    person = next(p for p in twice.index if twice[p] > 1)
    first, second = correct[patients == person].to_numpy()[:2]
    assert np.corrcoef(first, second)[0, 1] == pytest.approx(0.3, abs=0.07)


def test_impossible_simulations_are_refused():
    rng = np.random.default_rng(1)
    with pytest.raises(MedAlignError, match="a group of 276 of 276 patients"):
        power.simulate_release(rng, size=276)
    with pytest.raises(MedAlignError, match=r"accuracy 0.1, gap 0.2"):
        power.simulate_release(rng, size=9, accuracy=0.1)
