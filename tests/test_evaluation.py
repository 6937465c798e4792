import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import rankdata

from medalign_utils.comparisons import compare_contexts, paired_difference
from medalign_utils.errors import MedAlignError
from medalign_utils.evaluation import check_ratings, evaluate_systems, head_to_head, win_rates


def ratings_of(ranks, correct=None, systems="abcdefgh"):
    """Ratings from ranks of shape (instructions, systems)."""
    ranks = np.asarray(ranks, dtype=float)
    correct = ranks <= 1 if correct is None else np.asarray(correct, dtype=bool)
    rows = [
        (f"i{i}", systems[j], "test", bool(correct[i, j]), ranks[i, j])
        for i, j in np.ndindex(ranks.shape)
    ]
    columns = ["instruction_id", "system", "rater", "correct", "rank"]
    return pd.DataFrame(rows, columns=columns)


def instructions_of(n, per_patient=1):
    return pd.DataFrame(
        {
            "instruction_id": [f"i{i}" for i in range(n)],
            "person_id": [f"p{i // per_patient}" for i in range(n)],
        }
    )


THREE = ratings_of([[1, 2, 3], [1, 2, 3], [1.5, 1.5, 3], [2, 2, 2]])


def test_win_rates_by_hand():
    table = win_rates(THREE)
    # a-b: 2 wins, 2 ties -> 2/2; a-c: 3 wins, 1 tie -> 3/3; b-c: the same.
    # a (1 + 1)/2, b (0 + 1)/2, c 0. They sum to 3/2.
    assert table["win_rate"].to_dict() == {"a": 1.0, "b": 0.5, "c": 0.0}
    # Ties half: a (2 + 1 + 3 + 0.5)/8, b (0 + 1 + 3 + 0.5)/8, c (0.5 + 0.5)/8.
    assert table["win_rate_ties_half"].to_dict() == {"a": 6.5 / 8, "b": 4.5 / 8, "c": 1 / 8}
    # a (1 + 1 + 1.5 + 2)/4 = 1.375 = 3 - 2 x 6.5/8.
    assert table["mean_rank"].to_dict() == {"a": 1.375, "b": 1.875, "c": 2.75}


def test_a_pair_that_never_differs_counts_half():
    # a and b always tie; both always beat c. a: (0.5 + 1)/2.
    table = win_rates(ratings_of([[1.5, 1.5, 3]] * 4))
    assert table["win_rate"].to_dict() == {"a": 0.75, "b": 0.75, "c": 0.0}


def test_head_to_head_is_a_square_with_the_best_first():
    matrix = head_to_head(ratings_of([[3, 1, 2], [3, 2, 1], [3, 1, 2]]))
    # b beats a thrice and c twice of three; mean ranks 4/3, 5/3, 3.
    assert list(matrix.index) == list(matrix.columns) == ["b", "c", "a"]
    assert matrix.loc["b", "c"] == pytest.approx(2 / 3)
    assert matrix.loc["b", "a"] == 1
    assert np.isnan(np.diag(matrix)).all()


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    st.tuples(st.integers(1, 12), st.integers(2, 7)).flatmap(
        lambda shape: arrays(int, shape, elements=st.integers(0, 3))
    )
)
def test_sums_and_identity_hold(quality):
    ranks = rankdata(-quality, axis=1)
    n = ranks.shape[1]
    ratings = ratings_of(ranks)
    table = win_rates(ratings)
    assert table["win_rate"].sum() == pytest.approx(n / 2)
    assert table["win_rate_ties_half"].sum() == pytest.approx(n / 2)
    assert table["mean_rank"].sum() == pytest.approx(n * (n + 1) / 2)
    by_rate = n - (n - 1) * table["win_rate_ties_half"]
    assert table["mean_rank"].to_numpy() == pytest.approx(by_rate.to_numpy())
    matrix = head_to_head(ratings).fillna(0.5).to_numpy()
    assert matrix + matrix.T == pytest.approx(np.ones((n, n)))
    # The same by a plain count over pairs.
    for i, a in enumerate("abcdefg"[:n]):
        rates = []
        for j in set(range(n)) - {i}:
            wins, losses = (ranks[:, i] < ranks[:, j]).sum(), (ranks[:, i] > ranks[:, j]).sum()
            rates.append(wins / (wins + losses) if wins + losses else 0.5)
        assert table.loc[a, "win_rate"] == pytest.approx(np.mean(rates))


def test_one_system_has_no_opponent():
    table = win_rates(ratings_of([[1], [1]]))
    assert table["mean_rank"].tolist() == [1.0]
    assert table[["win_rate", "win_rate_ties_half"]].isna().all(axis=None)


def test_evaluate_systems(tmp_path):
    ratings = ratings_of([[2, 1, 3], [1, 2, 3], [2.5, 1, 2.5], [2, 1, 3]])
    table = evaluate_systems(
        ratings,
        instructions_of(4),
        {"a": 2048, "b": None, "c": 8192},
        resamples=500,
        rng=np.random.default_rng(1),
    )
    assert list(table.columns) == [
        "system",
        "context_tokens",
        "n",
        "correct",
        "correct_low",
        "correct_high",
        "win_rate",
        "win_rate_ties_half",
        "mean_rank",
    ]
    assert table["system"].tolist() == ["b", "a", "c"]
    assert table["correct"].tolist() == [0.75, 0.25, 0.0]
    assert table["n"].tolist() == [4, 4, 4]
    assert str(table["context_tokens"].dtype) == "Int64"
    assert (table["correct_low"] <= table["correct"]).all()
    assert (table["correct"] <= table["correct_high"]).all()
    table.to_csv(tmp_path / "table.csv", index=False)
    written = (tmp_path / "table.csv").read_text().splitlines()
    assert written[1].startswith("b,,4,0.75,") and written[2].startswith("a,2048,4,0.25,")


def test_intervals_do_not_depend_on_row_order_or_on_other_systems():
    rng = np.random.default_rng(6)
    correct = rng.random((12, 3)) < 0.5
    ranks = rankdata(~correct, axis=1)
    ratings, instructions = ratings_of(ranks, correct), instructions_of(12, per_patient=3)
    contexts = dict.fromkeys("abc", 2048)
    kwargs = {"resamples": 100}
    table = evaluate_systems(
        ratings, instructions, contexts, **kwargs, rng=np.random.default_rng(1)
    )
    shuffled = evaluate_systems(
        ratings.sample(frac=1, random_state=1),
        instructions.sample(frac=1, random_state=2),
        contexts,
        **kwargs,
        rng=np.random.default_rng(1),
    )
    pd.testing.assert_frame_equal(table, shuffled)
    single = ratings_of(np.ones((12, 1)), correct[:, :1])
    alone = evaluate_systems(
        single, instructions, {"a": 2048}, **kwargs, rng=np.random.default_rng(1)
    )
    shares = ["correct", "correct_low", "correct_high"]
    assert table.set_index("system").loc["a", shares].tolist() == alone.loc[0, shares].tolist()


def test_paired_difference_is_narrower_than_unpaired():
    # b is a with one of 20 answers spoilt: the difference is 1/20 and hardly varies, while each
    # share alone has a standard error of 1/9.
    correct = np.array([[1, 1]] * 9 + [[1, 0]] + [[0, 0]] * 10, dtype=bool)
    ratings = ratings_of(rankdata(~correct, axis=1), correct)
    instructions = instructions_of(20)
    rng = np.random.default_rng(1)
    difference = paired_difference(ratings, instructions, "a", "b", resamples=1000, rng=rng)
    assert difference.estimate == pytest.approx(0.05)
    # The count of the spoilt answer in a resample is binomial(20, 1/20): 0 to 3 of 20.
    assert (difference.low, difference.high) == (0.0, 0.15)
    rng = np.random.default_rng(1)
    reverse = paired_difference(ratings, instructions, "b", "a", resamples=1000, rng=rng)
    assert reverse == pytest.approx((-0.05, -0.15, 0.0))


def test_one_patient_has_no_interval():
    rng = np.random.default_rng(1)
    instructions = instructions_of(4, per_patient=4)
    difference = paired_difference(THREE, instructions, "a", "b", resamples=10, rng=rng)
    assert np.isnan(difference.low) and np.isnan(difference.high)
    table = evaluate_systems(THREE, instructions, dict.fromkeys("abc", 1), resamples=10, rng=rng)
    assert table[["correct_low", "correct_high"]].isna().all(axis=None)


def test_compare_contexts_equals_its_parts():
    correct = np.random.default_rng(4).random((15, 4)) < [0.2, 0.6, 0.4, 0.9]
    ratings = ratings_of(rankdata(~correct, axis=1), correct)
    instructions = instructions_of(15, per_patient=3)
    table = compare_contexts(
        ratings,
        instructions,
        {"b": None, "a": 2048, "c": 8192},
        resamples=200,
        rng=np.random.default_rng(9),
    )
    assert table["system"].tolist() == ["a", "c", "b"]
    assert table["context_tokens"].tolist() == [2048, 8192, pd.NA]
    for row in table.iloc[:2].to_dict("records"):
        expected = paired_difference(
            ratings,
            instructions,
            row["system"],
            "b",
            resamples=200,
            rng=np.random.default_rng(9),
        )
        found = (row["difference"], row["difference_low"], row["difference_high"])
        assert found == pytest.approx(expected)
    assert table.filter(like="difference").iloc[2].isna().all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r.drop(columns="rank"), "no column rank"),
        (lambda r: r.iloc[:0], "no ratings"),
        (lambda r: r.drop(index=5), r"no rating of \(instruction i1, c\); expected 4 instructions"),
        (lambda r: pd.concat([r, r.iloc[[4]]]), r"2 ratings of \(instruction i1, b\)"),
        (lambda r: r.assign(correct="yes"), "column correct is str"),
        (lambda r: r.assign(rank="1"), "column rank is str"),
        (lambda r: r.assign(system=r["system"].replace("c", np.nan)), "no system"),
        (lambda r: r.assign(rank=r["rank"].where(r.index != 4)), r"no rank of \(instruction i1, b"),
        (lambda r: r.assign(rank=r["rank"] - 1), "instruction i0 has ranks a 0, b 1, c 2"),
        # 1, 1, 4 sums to 6 as it should, yet is no ranking.
        (lambda r: r.assign(rank=[1, 1, 4] * 4), "expected a 1.5, b 1.5, c 3"),
    ],
)
def test_check_ratings_names_the_fault(change, message):
    with pytest.raises(MedAlignError, match=message):
        check_ratings(change(THREE))


def test_errors_name_the_fault():
    rng = np.random.default_rng(1)
    with pytest.raises(MedAlignError, match="contexts names a, b; ratings has a, b, c"):
        evaluate_systems(THREE, instructions_of(4), {"a": 1, "b": 2}, resamples=10, rng=rng)
    with pytest.raises(MedAlignError, match=r"instruction i3 is rated but not among the 3"):
        paired_difference(THREE, instructions_of(3), "a", "b", resamples=10, rng=rng)
    with pytest.raises(MedAlignError, match="i0 is in the table twice"):
        twice = pd.concat([instructions_of(4)] * 2)
        paired_difference(THREE, twice, "a", "b", resamples=10, rng=rng)
    with pytest.raises(MedAlignError, match="no ratings of z; found a, b, c"):
        paired_difference(THREE, instructions_of(4), "a", "z", resamples=10, rng=rng)
    with pytest.raises(MedAlignError, match="no ratings of z"):
        compare_contexts(THREE, instructions_of(4), {"z": None}, resamples=10, rng=rng)
    with pytest.raises(MedAlignError, match="one system a context length"):
        compare_contexts(THREE, instructions_of(4), {"a": 9, "b": 9}, resamples=10, rng=rng)
