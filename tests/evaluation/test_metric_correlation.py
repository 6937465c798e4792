import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import kendalltau, pearsonr, permutation_test, rankdata, spearmanr

from medalign_utils.errors import MedAlignError
from medalign_utils.evaluation.metric_correlation import (
    _sign_flip_p,
    add_skipped,
    compare_metrics,
    correlate_metrics,
    correlate_systems,
)
from medalign_utils.stats.bootstrap import Bootstrap, bootstrap_mean, percentile_levels
from medalign_utils.stats.rank_correlation import kendall_tau_b, order_pairs, same_best


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    st.tuples(st.integers(1, 4), st.integers(2, 8)).flatmap(
        lambda shape: st.tuples(
            arrays(float, shape, elements=st.sampled_from([0.0, 0.1, 0.3, 0.9])),
            arrays(float, shape, elements=st.sampled_from([1.0, 2.0, 3.5, 5.0])),
        )
    )
)
def test_equals_scipy_over_tied_data(pair):
    x, y = pair
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scipy warns where a row is all tied
        expected = [kendalltau(a, b, variant="b").statistic for a, b in zip(x, y, strict=True)]
    np.testing.assert_allclose(kendall_tau_b(x, y), expected, rtol=0, atol=1e-12)


def test_kendall_tau_b_by_hand():
    # 6 pairs. x ties one (5 untied), y ties one (5 untied); 4 agree, none disagrees: 4/5.
    x, y = [[1.0, 1.0, 2.0, 3.0]], [[1.0, 2.0, 3.0, 3.0]]
    assert kendall_tau_b(x, y).tolist() == [0.8]


@pytest.mark.parametrize("row", [[1.0, 1.0, 1.0], [1.0, np.nan, 2.0]])
def test_tied_or_nan_rows_are_undefined(row):
    other = [1.0, 2.0, 3.0]
    assert np.isnan(kendall_tau_b([row], [other])).all()
    assert np.isnan(kendall_tau_b([other], [row])).all()


def test_infinite_scores_order_like_others():
    assert kendall_tau_b([[-np.inf, 0.0, np.inf]], [[1.0, 2.0, 3.0]]).tolist() == [1.0]


def test_shapes_are_checked():
    with pytest.raises(MedAlignError, match=r"shapes \(1, 2\) and \(1, 3\)"):
        kendall_tau_b([[1, 2]], [[1, 2, 3]])


RANKS = {"i0": (1, 2, 3), "i1": (3, 2, 1), "i2": (2, 2, 2), "i3": (1, 2, 3)}
RATINGS = pd.DataFrame(
    [
        (instruction, system, "test", True, float(rank))
        for instruction, ranks in RANKS.items()
        for system, rank in zip("abc", ranks, strict=True)
    ],
    columns=["instruction_id", "system", "rater", "correct", "rank"],
)
INSTRUCTIONS = pd.DataFrame({"instruction_id": list(RANKS), "person_id": ["p", "q", "r", "q"]})


def scores_of(metric, values, signature="v1"):
    return pd.DataFrame(
        {
            "instruction_id": RATINGS["instruction_id"],
            "system": RATINGS["system"],
            "metric": metric,
            "score": np.asarray(values, dtype=float).ravel(),
            "signature": signature,
        }
    )


# Taus with minus the rank: 1, -1/3 (of three pairs one agrees), undefined (ranks tied), undefined.
GOOD = scores_of("good", [[0.9, 0.5, 0.1], [0.5, 0.1, 0.4], [3, 2, 1], [7, 7, 7]])
BEST = scores_of("best", [[3, 2, 1], [1, 2, 3], [3, 2, 1], [3, 2, 1]], "v2")


def correlate(scores, seed=1, resamples=200):
    bootstrap = Bootstrap.seeded(resamples, seed)
    return correlate_metrics(scores, RATINGS, INSTRUCTIONS, bootstrap=bootstrap)


def test_correlate_metrics_by_hand():
    table = correlate(pd.concat([GOOD, BEST]))
    assert list(table.columns) == [
        *("metric", "n", "n_undefined", "mean_tau", "mean_tau_low", "mean_tau_high"),
        *("mean_tau_undefined_as_0", "signature", "share_undefined"),
        *("n_pairs", "pairwise_accuracy", "pairwise_accuracy_low", "pairwise_accuracy_high"),
        *("n_same_best", "same_best", "same_best_low", "same_best_high", "same_best_chance"),
        *("best_system", "same_best_system", "same_best_system_resampled"),
    ]
    assert table["metric"].tolist() == ["best", "good"]
    assert table["signature"].tolist() == ["v2", "v1"]
    assert table["n"].tolist() == [3, 2] and table["n_undefined"].tolist() == [1, 2]
    # best: three taus of 1; with the undefined one as 0, 3/4.
    assert table.loc[0, "mean_tau"] == 1 and table.loc[0, "mean_tau_undefined_as_0"] == 0.75
    # good: (1 - 1/3)/2 = 1/3, over four 1/6.
    assert table.loc[1, "mean_tau"] == pytest.approx(1 / 3)
    assert table.loc[1, "mean_tau_undefined_as_0"] == pytest.approx(1 / 6)
    assert table["share_undefined"].tolist() == [0.25, 0.5]
    # Three instructions of three pairs have an order. good: 3 alike; of a 3rd, b 2nd, c 1st with
    # scores 0.5, 0.1, 0.4 only b and c; then all tied, three halves: (3 + 1 + 1.5) / 9.
    assert table["n_pairs"].tolist() == [9, 9]
    assert table["pairwise_accuracy"].tolist() == pytest.approx([1, 5.5 / 9])
    # good: right on i0, wrong on i1, and on i3 it picks all three of which one is best.
    assert table["n_same_best"].tolist() == [3, 3]
    assert table["same_best"].tolist() == pytest.approx([1, (1 + 0 + 1 / 3) / 3])
    assert table["same_best_chance"].tolist() == pytest.approx([1 / 3, 1 / 3])
    # Mean ranks a 7/4, b 2, c 9/4. best: mean scores 10/4, 8/4, 6/4; good: 11.4/4, 9.6/4, 8.5/4.
    assert table["best_system"].tolist() == ["a", "a"]
    assert table["same_best_system"].tolist() == [1, 1]


def test_interval_is_the_patient_bootstrap_of_the_taus():
    table = correlate(GOOD, seed=5)
    expected = bootstrap_mean(
        [1, -1 / 3, np.nan, np.nan],
        INSTRUCTIONS["person_id"],
        bootstrap=Bootstrap.seeded(200, 5),
    )
    assert table.loc[0, ["mean_tau", "mean_tau_low", "mean_tau_high"]].tolist() == pytest.approx(
        expected
    )


def test_a_metric_without_any_defined_tau_comes_last():
    flat = scores_of("a flat one", np.zeros(12))
    table = correlate(pd.concat([flat, BEST]))
    assert table["metric"].tolist() == ["best", "a flat one"]
    last = table.iloc[1]
    assert (last["n"], last["n_undefined"], last["mean_tau_undefined_as_0"]) == (0, 4, 0.0)
    assert np.isnan(last["mean_tau"]) and np.isnan(last["mean_tau_low"])


def test_a_nan_score_leaves_its_instruction_out_and_is_counted():
    spoilt = BEST.copy()
    spoilt.loc[0, "score"] = np.nan
    table = correlate(spoilt)
    assert (table.loc[0, "n"], table.loc[0, "n_undefined"]) == (2, 2)


def test_scores_of_unrated_responses_are_not_used():
    more = GOOD.iloc[:3].assign(instruction_id="i9")
    pd.testing.assert_frame_equal(correlate(pd.concat([GOOD, more])), correlate(GOOD))


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        (GOOD.drop(columns="signature"), "scores has no column signature"),
        (GOOD.iloc[:0], "no scores"),
        (GOOD.drop(index=4), r"no good score of \(instruction i1, b\), which is rated \(1 such\)"),
        (GOOD.replace({"system": {"b": "z"}}), r"no good score of \(instruction i0, b\).*4 such"),
        (
            GOOD.assign(signature=["v1"] * 11 + ["v2"]),
            r"good was scored with 2 signatures \(v1, v2\)",
        ),
        (pd.concat([GOOD, GOOD.iloc[[4]]]), r"several good scores of \(instruction i1, b\)"),
    ],
)
def test_errors_name_the_fault(scores, message):
    with pytest.raises(MedAlignError, match=message):
        correlate(scores)


def test_incomplete_ratings_are_refused():
    rng = np.random.default_rng(1)
    with pytest.raises(MedAlignError, match="no rating of"):
        correlate_metrics(GOOD, RATINGS.drop(index=0), INSTRUCTIONS, bootstrap=Bootstrap(10, rng))


def random_data(seed, n=60, n_systems=5, n_patients=20, n_metrics=3):
    """Ratings with ties; scores with ties and NaN, each metric noisier than the one before."""
    rng = np.random.default_rng(seed)
    ranks = rankdata(rng.integers(0, 4, (n, n_systems)), axis=1)
    index = pd.MultiIndex.from_product(
        [[f"i{i:02}" for i in range(n)], [f"s{s}" for s in range(n_systems)]],
        names=["instruction_id", "system"],
    )
    ratings = pd.DataFrame({"rank": ranks.ravel(), "correct": ranks.ravel() < 2.6}, index=index)
    blocks = []
    for metric in range(n_metrics):
        score = np.round(rng.normal(size=ranks.size) * (1 + metric) - ranks.ravel())
        score[rng.random(ranks.size) < 0.01] = np.nan
        blocks.append(pd.DataFrame({"metric": f"m{metric}", "score": score}, index=index))
    patients = rng.integers(0, n_patients, n).astype(str)
    instructions = pd.DataFrame({"instruction_id": index.levels[0], "person_id": patients})
    scores = pd.concat(blocks).reset_index().assign(signature="v1")
    return scores, ratings.reset_index(), instructions


def matrices(scores, ratings, metric):
    of_metric = scores[scores["metric"] == metric]
    score = of_metric.pivot(index="instruction_id", columns="system", values="score")
    return score, *(
        ratings.pivot(index="instruction_id", columns="system", values=column)
        for column in ("rank", "correct")
    )


def test_pairs_and_best_picks_equal_a_loop():
    scores, ratings, instructions = random_data(1)
    table = correlate_metrics(
        scores, ratings, instructions, bootstrap=Bootstrap.seeded(20, 1)
    ).set_index("metric")
    for metric in ("m0", "m1", "m2"):
        score, rank, _ = matrices(scores, ratings, metric)
        alike, picked = [], []
        for instruction in score.index:
            x, y = score.loc[instruction].to_numpy(), rank.loc[instruction].to_numpy()
            for i in range(5):
                for j in range(5):
                    if y[i] < y[j] and not np.isnan(x[i] + x[j]):
                        alike.append(1 if x[i] > x[j] else 0.5 if x[i] == x[j] else 0)
            if len(set(y)) > 1 and not np.isnan(x).any():
                chosen = [i for i in range(5) if x[i] == max(x)]
                picked.append(np.mean([y[i] == min(y) for i in chosen]))
        row = table.loc[metric]
        assert (row["n_pairs"], row["n_same_best"]) == (len(alike), len(picked))
        assert row["pairwise_accuracy"] == pytest.approx(np.mean(alike), abs=1e-9)
        assert row["same_best"] == pytest.approx(np.mean(picked), abs=1e-9)
        assert row["pairwise_accuracy_low"] < np.mean(alike) < row["pairwise_accuracy_high"]


def test_without_ties_pairwise_accuracy_is_tau_on_another_scale():
    rng = np.random.default_rng(3)
    scores, ranks = rng.normal(size=(20, 6)), rankdata(rng.normal(size=(20, 6)), axis=1)
    expected = 2 * order_pairs(scores, ranks).mean(axis=1) - 1
    assert expected == pytest.approx(kendall_tau_b(scores, -ranks), abs=1e-9)


def test_systems_correlations_equal_scipys():
    scores, ratings, instructions = random_data(2)
    table = correlate_systems(
        scores, ratings, instructions, bootstrap=Bootstrap.seeded(20, 1)
    ).set_index(["metric", "rating", "coefficient"])
    assert len(table) == 3 * 2 * 3
    for metric in ("m0", "m1", "m2"):
        score, rank, correct = matrices(scores, ratings, metric)
        complete = score.notna().all(axis=1)
        assert 0 < complete.sum() < len(score)  # there are gaps
        of_rating = {"mean_rank": -rank[complete].mean(), "accuracy": correct[complete].mean()}
        for rating, means in of_rating.items():
            for name, theirs in (
                ("kendall_tau_b", kendalltau),
                ("pearson", pearsonr),
                ("spearman", spearmanr),
            ):
                row = table.loc[(metric, rating, name)]
                expected = theirs(score[complete].mean(), means).statistic
                assert row["estimate"] == pytest.approx(expected, abs=1e-9)
                assert row["estimate_low"] <= row["estimate_high"] <= 1
                assert (row["n_systems"], row["n"]) == (5, complete.sum())


def test_the_systems_interval_equals_a_loop_that_copies_patients_rows():
    scores, ratings, instructions = random_data(4, n_metrics=1)
    table = correlate_systems(scores, ratings, instructions, bootstrap=Bootstrap.seeded(50, 7))
    score, rank, _ = matrices(scores, ratings, "m0")
    complete = score.notna().all(axis=1)
    patients = instructions.set_index("instruction_id")["person_id"][score.index]
    names = np.unique(patients)
    found = []
    for drawn in np.random.default_rng(7).integers(0, len(names), (50, len(names))):
        rows = [row for i in drawn for row in score.index[complete & (patients == names[i])]]
        found.append(pearsonr(score.loc[rows].mean(), -rank.loc[rows].mean()).statistic)
    row = table[(table["rating"] == "mean_rank") & (table["coefficient"] == "pearson")].iloc[0]
    expected = np.quantile(found, percentile_levels(len(names)))
    assert row[["estimate_low", "estimate_high"]].tolist() == pytest.approx(expected, abs=1e-9)


def test_the_same_best_system_is_held_against_the_ratings_of_each_resample():
    # Two patients; a is ranked and scores first for p, b for q. Of a resample pp or qq the metric's
    # best is the raters'. Overall all mean ranks are equal, so no pick is right or wrong.
    ratings = pd.DataFrame(
        {"instruction_id": ["1", "1", "2", "2"], "system": ["a", "b"] * 2, "correct": True,
         "rank": [1.0, 2.0, 2.0, 1.0]}
    )  # fmt: skip
    scores = ratings[["instruction_id", "system"]].assign(
        metric="m", score=[5.0, 1.0, 1.0, 2.0], signature="v"
    )
    instructions = pd.DataFrame({"instruction_id": ["1", "2"], "person_id": ["p", "q"]})
    [row] = correlate_metrics(
        scores, ratings, instructions, bootstrap=Bootstrap.seeded(50, 1)
    ).to_dict("records")
    assert row["best_system"] == "a" and np.isnan(row["same_best_system"])
    assert row["same_best_system_resampled"] == 1


@pytest.mark.parametrize("n_patients", [7, 12])
def test_the_exact_sign_flip_test_equals_scipys(n_patients):
    scores, ratings, instructions = random_data(5, n=40, n_patients=n_patients)
    instructions["person_id"] = [str(i % n_patients) for i in range(40)]
    table = compare_metrics(scores, ratings, instructions, bootstrap=Bootstrap.seeded(20, 1))
    for row in table.itertuples():
        taus = []
        for metric in (row.metric_a, row.metric_b):
            score, rank, _ = matrices(scores, ratings, metric)
            taus.append(kendall_tau_b(score.to_numpy(), -rank.to_numpy()))
        difference = taus[0] - taus[1]
        both = ~np.isnan(difference)
        assert row.n == both.sum() < 40
        assert row.mean_tau_a - row.mean_tau_b == pytest.approx(row.difference, abs=1e-9)
        assert row.difference == pytest.approx(difference[both].mean(), abs=1e-9)
        sums = pd.Series(difference).groupby(instructions["person_id"].to_numpy()).sum()
        theirs = permutation_test(
            (sums,), np.sum, permutation_type="samples", n_resamples=np.inf, vectorized=True
        )
        assert row.p == pytest.approx(theirs.pvalue, abs=1e-9)


def test_random_sign_flips_come_near_the_exact_p():
    # All of 17 patients prefer good, by differences of 2: of 2^17 assignments of signs two are as
    # extreme, p = 2^-16. With 100,000 random ones the count is Poisson of mean 1.5.
    n = 17
    ratings = pd.DataFrame(
        {"instruction_id": np.repeat([f"i{i:02}" for i in range(n)], 2), "system": ["a", "b"] * n,
         "correct": True, "rank": [1.0, 2.0] * n}
    )  # fmt: skip
    both = [
        ratings[["instruction_id", "system"]].assign(metric=m, score=score * n, signature=m)
        for m, score in (("good", [2, 1]), ("bad", [1, 2]))
    ]
    instructions = pd.DataFrame({"instruction_id": ratings["instruction_id"].unique()})
    instructions["person_id"] = instructions["instruction_id"]
    [row] = compare_metrics(
        pd.concat(both), ratings, instructions, bootstrap=Bootstrap.seeded(20, 1)
    ).to_dict("records")
    assert (row["metric_a"], row["difference"]) == ("good", 2.0)
    assert 1 / 100_001 <= row["p"] <= 9 / 100_001


def test_pairs_of_metrics_are_corrected_by_holm():
    scores, ratings, instructions = random_data(6)
    table = compare_metrics(scores, ratings, instructions, bootstrap=Bootstrap.seeded(200, 1))
    assert table[["metric_a", "metric_b"]].to_numpy().tolist() == [
        ["m0", "m1"], ["m0", "m2"], ["m1", "m2"]
    ]  # fmt: skip
    # Three hypotheses: the smallest p times 3, the next times 2, the last as it is, never falling.
    p = np.sort(table["p"])
    steps = np.maximum.accumulate(np.minimum(p * [3, 2, 1], 1))
    assert np.sort(table["p_holm"]) == pytest.approx(steps, abs=1e-9)
    assert (table["difference_low"] <= table["difference"]).all()
    assert (table["difference"] <= table["difference_high"]).all()


def test_equally_good_metrics_are_told_apart_in_1_of_20_trials():
    # Differences of 400 pairs of metrics on 12 patients, each shifted by patient, of mean 0: p is
    # below 0.05 for 5 % of them, 20 +- 4.4.
    rng = np.random.default_rng(8)
    patients = np.repeat([f"p{i:02}" for i in range(12)], 3)
    difference = np.repeat(rng.normal(size=(12, 400)), 3, axis=0) + rng.normal(size=(36, 400))
    rejected = (_sign_flip_p(difference, patients, rng) < 0.05).sum()
    assert 7 <= rejected <= 33


def every_table(scores, ratings, instructions=INSTRUCTIONS):
    return [
        function(scores, ratings, instructions, bootstrap=Bootstrap.seeded(30, 1))
        for function in (correlate_metrics, correlate_systems, compare_metrics)
    ]


def test_all_tied_scores_and_ranks():
    flat = scores_of("flat", np.zeros(12))
    table, systems, pairs = every_table(pd.concat([flat, BEST]), RATINGS)
    row = table.set_index("metric").loc["flat"]
    # Every pair is tied and every response scores highest: what a coin and chance give.
    assert (row["pairwise_accuracy"], row["same_best"]) == (0.5, pytest.approx(1 / 3))
    assert row["best_system"] == "a, b, c" and row["same_best_system"] == pytest.approx(1 / 3)
    assert row["share_undefined"] == 1
    assert systems[systems["metric"] == "flat"]["estimate"].isna().all()
    assert pairs["n"].tolist() == [0]
    assert pairs[["difference", "difference_low", "p", "p_holm"]].isna().all(axis=None)

    tied = RATINGS.assign(rank=2.0)
    table, systems, pairs = every_table(BEST, tied)
    assert (table.loc[0, "n"], table.loc[0, "n_pairs"], table.loc[0, "n_same_best"]) == (0, 0, 0)
    undefined = ["mean_tau", "pairwise_accuracy", "same_best", "same_best_chance"]
    assert table[[*undefined, "same_best_system"]].isna().all(axis=None)
    assert systems["estimate"].isna().all() and len(pairs) == 0


def test_one_system_has_nothing_to_be_ordered_against():
    table, systems, pairs = every_table(
        pd.concat([GOOD[GOOD["system"] == "a"], BEST[BEST["system"] == "a"]]),
        RATINGS[RATINGS["system"] == "a"].assign(rank=1.0),
    )
    assert table["n"].tolist() == [0, 0] and table["n_pairs"].tolist() == [0, 0]
    assert table[["mean_tau", "pairwise_accuracy", "same_best"]].isna().all(axis=None)
    assert table["same_best_system"].isna().all()
    assert systems["estimate"].isna().all() and pairs["p"].isna().all()


def test_of_two_systems_every_tau_is_1_or_minus_1():
    two = RATINGS[RATINGS["system"] != "c"].copy()
    two["rank"] = two.groupby("instruction_id")["rank"].rank()
    table, systems, _ = every_table(BEST[BEST["system"] != "c"], two)
    assert (table.loc[0, "n"], table.loc[0, "mean_tau"]) == (3, 1)
    by_rank = systems[systems["rating"] == "mean_rank"]
    assert by_rank["estimate"].tolist() == pytest.approx([1, 1, 1], abs=1e-12)
    assert systems[systems["rating"] == "accuracy"]["estimate"].isna().all()  # both always correct


def test_one_instruction_or_one_patient_has_estimates_and_no_interval():
    one = RATINGS["instruction_id"] == "i1"
    for table, systems, pairs in (
        every_table(pd.concat([GOOD[one], BEST[one]]), RATINGS[one]),
        every_table(pd.concat([GOOD, BEST]), RATINGS, INSTRUCTIONS.assign(person_id="p")),
    ):
        assert table[["mean_tau", "pairwise_accuracy", "same_best"]].notna().all(axis=None)
        bounds = [name for name in table if name.endswith(("_low", "_high"))]
        assert table[bounds].isna().all(axis=None)
        assert systems[["estimate_low", "estimate_high"]].isna().all(axis=None)
        assert pairs["difference"].notna().all() and pairs["difference_low"].isna().all()
        assert pairs["p"].tolist() == [1.0]


def test_a_nan_score_costs_its_pairs_and_its_instruction():
    spoilt = BEST.copy()
    spoilt.loc[0, "score"] = np.nan
    table, systems, _ = every_table(spoilt, RATINGS)
    # One response of i0 has two of its three pairs.
    assert (table.loc[0, "n_pairs"], table.loc[0, "n_same_best"]) == (7, 2)
    assert set(systems["n"]) == {3}


def test_a_metric_without_any_score_has_no_best_system():
    table, systems, _ = every_table(BEST.assign(score=np.nan), RATINGS)
    assert table.loc[0, "best_system"] == "" and table.loc[0, "share_undefined"] == 1
    assert table[["mean_tau", "same_best", "same_best_system"]].isna().all(axis=None)
    assert set(systems["n"]) == {0} and systems["estimate"].isna().all()


def test_same_best_with_ties_on_both_sides():
    # Two score highest, one of them is among the two ranked best: 1/2; 2 of 3 are ranked best.
    picked, chance = same_best(np.array([[1.0, 1.0, 0.0]]), np.array([[1.5, 3.0, 1.5]]))
    assert (picked.tolist(), chance.tolist()) == ([0.5], [2 / 3])


def test_skipped_metrics_stand_below_with_their_reason_and_whole_counts():
    reasons = ["no weights", "another", "no weights"]
    skipped = pd.DataFrame({"metric": ["lens"] * 3, "reason": reasons})
    table = add_skipped(correlate(GOOD), skipped)
    assert table["metric"].tolist() == ["good", "lens"]
    assert table["not_scored"].tolist() == ["", "no weights; another"]
    assert table["n"].tolist() == [2, 0] and str(table["n"].dtype) == "Int64"
    assert np.isnan(table.loc[1, "mean_tau"])
    assert add_skipped(correlate(GOOD), skipped[:0])["not_scored"].tolist() == [""]
