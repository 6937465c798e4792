import numpy as np
import pandas as pd
import pytest
from scipy.stats import kendalltau, pearsonr, permutation_test, rankdata, spearmanr

from medalign_utils.errors import MedAlignError
from medalign_utils.evaluation.metric_correlation import (
    add_skipped,
    compare_metrics,
    correlate_metrics,
    correlate_systems,
)
from medalign_utils.evaluation.ratings import wide
from medalign_utils.stats.bootstrap import Bootstrap, percentile_levels
from medalign_utils.stats.permutation import holm
from medalign_utils.stats.rank_correlation import kendall_tau_b
from tests.builders.tiny_ratings import mean_interval, ratings_of

RATINGS = ratings_of([[1, 2, 3], [3, 2, 1], [2, 2, 2], [1, 2, 3]], np.ones((4, 3)))
INSTRUCTIONS = pd.DataFrame(
    {"instruction_id": ["i0", "i1", "i2", "i3"], "person_id": ["p", "q", "r", "q"]}
)


def scores_of(metric, values, signature="v1"):
    scores = RATINGS[["instruction_id", "system"]].assign(metric=metric, signature=signature)
    return scores.assign(score=np.asarray(values, dtype=float).ravel())


# Taus with minus the rank: 1, -1/3 (one of three pairs agrees), undefined (ranks tied), undefined.
GOOD = scores_of("good", [[0.9, 0.5, 0.1], [0.5, 0.1, 0.4], [3, 2, 1], [7, 7, 7]])
BEST = scores_of("best", [[3, 2, 1], [1, 2, 3], [3, 2, 1], [3, 2, 1]], "v2")


def correlate(scores):
    bootstrap = Bootstrap.seeded(200)
    return correlate_metrics(scores, RATINGS, INSTRUCTIONS, bootstrap=bootstrap)


def every_table(scores, ratings, instructions=INSTRUCTIONS):
    return [
        function(scores, ratings, instructions, bootstrap=Bootstrap.seeded(30, 1))
        for function in (correlate_metrics, correlate_systems, compare_metrics)
    ]


def test_correlate_metrics_by_hand():
    unrated = GOOD.iloc[:3].assign(instruction_id="i9")  # not used
    table = correlate(pd.concat([GOOD, BEST, unrated]))
    assert " ".join(table) == (
        "metric n n_undefined mean_tau mean_tau_low mean_tau_high mean_tau_undefined_as_0 "
        "signature share_undefined n_pairs pairwise_accuracy pairwise_accuracy_low "
        "pairwise_accuracy_high n_same_best same_best same_best_low same_best_high "
        "same_best_chance best_system same_best_system same_best_system_resampled"
    )
    assert table["metric"].tolist() == ["best", "good"]
    assert table["signature"].tolist() == ["v2", "v1"]
    assert table["n"].tolist() == [3, 2] and table["n_undefined"].tolist() == [1, 2]
    # best: three taus of 1; 3/4 if the undefined one counts as 0.
    assert table.loc[0, "mean_tau"] == 1 and table.loc[0, "mean_tau_undefined_as_0"] == 0.75
    # good: (1 - 1/3)/2 = 1/3; over four instructions 1/6.
    interval = mean_interval([1, -1 / 3, np.nan, np.nan], list("pqrq"), Bootstrap.seeded(200))
    assert table.loc[1, ["mean_tau", "mean_tau_low", "mean_tau_high"]].tolist() == pytest.approx(
        [1 / 3, interval.low, interval.high]
    )
    assert table.loc[1, "mean_tau_undefined_as_0"] == pytest.approx(1 / 6)
    assert table["share_undefined"].tolist() == [0.25, 0.5]
    # Three instructions have an order, with three pairs each. good: 3 pairs agree; with a 3rd, b
    # 2nd, c 1st and scores 0.5, 0.1, 0.4 only b and c; then three ties: (3 + 1 + 3 / 2) / 9.
    assert table["n_pairs"].tolist() == [9, 9]
    assert table["pairwise_accuracy"].tolist() == pytest.approx([1, 5.5 / 9])
    low, high = table.loc[1, ["pairwise_accuracy_low", "pairwise_accuracy_high"]]
    assert low < 5.5 / 9 < high
    # good: right on i0, wrong on i1; on i3 it picks all three, one of which is best.
    assert table["n_same_best"].tolist() == [3, 3]
    assert table["same_best"].tolist() == pytest.approx([1, (1 + 0 + 1 / 3) / 3])
    assert table["same_best_chance"].tolist() == pytest.approx([1 / 3, 1 / 3])
    # Mean ranks a 7/4, b 2, c 9/4. best: mean scores 10/4, 8/4, 6/4; good: 11.4/4, 9.6/4, 8.5/4.
    assert table["best_system"].tolist() == ["a", "a"]
    assert table["same_best_system"].tolist() == [1, 1]


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        (GOOD.drop(columns="signature"), "scores: no column signature"),
        (GOOD.iloc[:0], "scores: the table is empty"),
        (GOOD.replace({"system": {"b": "z"}}), r"no good score of \(instruction i0, b\).*4 such"),
        (
            GOOD.assign(signature=["v1"] * 11 + ["v2"]),
            r"good was scored with 2 signatures \(v1, v2\)",
        ),
        (pd.concat([GOOD, GOOD.iloc[[4]]]), "rows have metric good, instruction_id i1, system b"),
    ],
)
def test_errors_name_the_fault(scores, message):
    with pytest.raises(MedAlignError, match=message):
        correlate(scores)
    with pytest.raises(MedAlignError, match="no rating or no rank of"):
        correlate_metrics(GOOD, RATINGS[1:], INSTRUCTIONS, bootstrap=Bootstrap.seeded(10))


def random_data(seed, n=60, n_systems=5, n_patients=20, n_metrics=3):
    """Return ratings with ties, and scores with ties and NaN from ever noisier metrics."""
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
    return wide(of_metric, "score"), wide(ratings, "rank"), wide(ratings, "correct")


def test_systems_correlations_equal_scipys():
    scores, ratings, instructions = random_data(2)
    _, table, _ = every_table(scores, ratings, instructions)
    table = table.set_index(["metric", "rating", "coefficient"])
    assert len(table) == 3 * 2 * 3
    functions = {"kendall_tau_b": kendalltau, "pearson": pearsonr, "spearman": spearmanr}
    for (metric, rating, coefficient), row in table.iterrows():
        score, rank, correct = matrices(scores, ratings, metric)
        complete = score.notna().all(axis=1)
        assert 0 < complete.sum() < len(score)  # there are gaps
        means = {"mean_rank": -rank[complete].mean(), "accuracy": correct[complete].mean()}
        expected = functions[coefficient](score[complete].mean(), means[rating]).statistic
        assert row["estimate"] == pytest.approx(expected, abs=1e-9)
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


def test_the_best_system_is_compared_with_each_resamples_ratings():
    # Two patients; a is ranked and scored first for p, b for q. In a resample pp or qq, metric and
    # raters agree on the best. Overall all mean ranks are equal, so no pick is right or wrong.
    ratings = ratings_of([[1, 2], [2, 1]])
    scores = ratings[["instruction_id", "system"]].assign(
        metric="m", score=[5.0, 1.0, 1.0, 2.0], signature="v"
    )
    bootstrap = Bootstrap.seeded(50)
    [row] = correlate_metrics(scores, ratings, INSTRUCTIONS, bootstrap=bootstrap).to_dict("records")
    assert row["best_system"] == "a" and np.isnan(row["same_best_system"])
    assert row["same_best_system_resampled"] == 1


def test_differences_and_their_sign_flip_test_equal_scipys():
    scores, ratings, instructions = random_data(5, n=40)
    instructions["person_id"] = [str(i % 12) for i in range(40)]
    *_, table = every_table(scores, ratings, instructions)
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
        expected = permutation_test(
            (sums,), np.sum, permutation_type="samples", n_resamples=np.inf, vectorized=True
        )
        assert row.p == pytest.approx(expected.pvalue, abs=1e-9)
        bounds = (row.difference, row.difference_low, row.difference_high)
        interval = mean_interval(difference, instructions["person_id"], Bootstrap.seeded(30, 1))
        assert bounds == pytest.approx(interval, abs=1e-9)
    assert table["p_holm"].tolist() == holm(table["p"]).tolist()


def test_means_that_differ_by_rounding_do_not_order_systems():
    # Both systems' scores are 0.1, 0.2 and 0.3, whose sum depends on their order; so do the ranks.
    scores = np.array([[0.1, 0.3], [0.2, 0.2], [0.3, 0.1]])
    assert scores.mean(axis=0)[0] != scores.mean(axis=0)[1]
    frame = pd.DataFrame(
        [(f"i{i}", "ab"[j], "m", "v1", scores[i, j]) for i, j in np.ndindex(scores.shape)],
        columns=["instruction_id", "system", "metric", "signature", "score"],
    )
    ratings = ratings_of([[1, 2], [1, 2], [1, 2]], [[1, 0]] * 3)
    instructions = pd.DataFrame({"instruction_id": ["i0", "i1", "i2"], "person_id": list("pqr")})
    bootstrap = Bootstrap.seeded(9, 1)
    table = correlate_systems(frame, ratings, instructions, bootstrap=bootstrap)
    assert table["estimate"].isna().all()
    table = correlate_metrics(frame, ratings, instructions, bootstrap=bootstrap)
    assert table["best_system"].tolist() == ["a, b"]
    assert table["same_best_system"].tolist() == [0.5]


def test_all_tied_scores_and_ranks():
    flat = scores_of("flat", np.zeros(12))
    table, systems, pairs = every_table(pd.concat([flat, BEST]), RATINGS)
    row = table.set_index("metric").loc["flat"]
    # Every pair is tied and every response scores highest, so the results are those of chance.
    assert (row["pairwise_accuracy"], row["same_best"]) == (0.5, pytest.approx(1 / 3))
    assert (row["n"], row["n_undefined"], row["mean_tau_undefined_as_0"]) == (0, 4, 0.0)
    assert table["metric"].tolist() == ["best", "flat"] and np.isnan(row["mean_tau_low"])
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

    a = RATINGS["system"] == "a"  # alone, so without pairs
    table, systems, pairs = every_table(BEST[a], RATINGS[a].assign(rank=1.0))
    assert table[["n", "n_pairs", "n_same_best"]].values.tolist() == [[0, 0, 0]]
    assert systems["estimate"].isna().all() and pairs.empty


def test_one_instruction_or_one_patient_has_estimates_but_no_interval():
    is_i1 = RATINGS["instruction_id"] == "i1"
    for table, systems, pairs in (
        every_table(pd.concat([GOOD[is_i1], BEST[is_i1]]), RATINGS[is_i1]),
        every_table(pd.concat([GOOD, BEST]), RATINGS, INSTRUCTIONS.assign(person_id="p")),
    ):
        assert table[["mean_tau", "pairwise_accuracy", "same_best"]].notna().all(axis=None)
        bounds = [name for name in table if name.endswith(("_low", "_high"))]
        assert table[bounds].isna().all(axis=None)
        assert systems[["estimate_low", "estimate_high"]].isna().all(axis=None)
        assert pairs["difference"].notna().all() and pairs["difference_low"].isna().all()
        assert pairs["p"].tolist() == [1.0]


def test_a_nan_score_removes_its_pairs_and_its_instruction():
    table, systems, _ = every_table(BEST.assign(score=np.nan), RATINGS)
    assert table.loc[0, "best_system"] == "" and table.loc[0, "share_undefined"] == 1
    assert table[["mean_tau", "same_best", "same_best_system"]].isna().all(axis=None)
    assert set(systems["n"]) == {0} and systems["estimate"].isna().all()
    spoilt = BEST.copy()
    spoilt.loc[0, "score"] = np.nan
    table, systems, _ = every_table(spoilt, RATINGS)
    assert (table.loc[0, "n"], table.loc[0, "n_undefined"]) == (2, 2)
    # One response of i0 is in two of its three pairs.
    assert (table.loc[0, "n_pairs"], table.loc[0, "n_same_best"]) == (7, 2)
    assert set(systems["n"]) == {3}


def test_skipped_metrics_come_last_with_their_reason_and_whole_counts():
    reasons = ["no weights", "another", "no weights"]
    skipped = pd.DataFrame({"metric": ["lens"] * 3, "reason": reasons})
    table = add_skipped(correlate(GOOD), skipped)
    assert table["metric"].tolist() == ["good", "lens"]
    assert table["not_scored"].tolist() == ["", "no weights; another"]
    assert table["n"].tolist() == [2, 0] and str(table["n"].dtype) == "Int64"
    assert np.isnan(table.loc[1, "mean_tau"])
    assert add_skipped(correlate(GOOD), skipped[:0])["not_scored"].tolist() == [""]
