import numpy as np
import pandas as pd
import pytest
from scipy.stats import rankdata
from statsmodels.stats.contingency_tables import mcnemar

from medalign_utils.errors import MedAlignError
from medalign_utils.evaluation.pairwise import compare_contexts, compare_systems
from medalign_utils.evaluation.systems import head_to_head
from medalign_utils.stats.bootstrap import Bootstrap
from tests.builders.tiny_ratings import (
    THREE,
    instructions_of,
    mean_interval,
    random_ratings,
    ratings_of,
)


def compared(ratings, instructions, resamples=100):
    return compare_systems(ratings, instructions, bootstrap=Bootstrap.seeded(resamples, 1))


def test_pairs_by_hand():
    # a is correct on all six, b only on the first, c on none; two patients with three each.
    correct = np.array([[1, 1, 0]] + [[1, 0, 0]] * 5, dtype=bool)
    ratings = ratings_of([[1.5, 1.5, 3]] + [[1, 2.5, 2.5]] * 5, correct)
    table = compared(ratings, instructions_of(6, per_patient=3)).set_index(["system", "opponent"])
    assert list(table.index) == [("a", "b"), ("a", "c"), ("b", "c")]
    assert table["difference"].tolist() == pytest.approx([5 / 6, 1, 1 / 6])
    assert table[["only_system", "only_opponent"]].values.tolist() == [[5, 0], [6, 0], [1, 0]]
    # 2 x (1/2)^5, 2 x (1/2)^6, 2 x 1/2; Holm: 3 x 1/32, then 2 x 1/16, then 1 x 1.
    assert table["mcnemar_p"].tolist() == pytest.approx([1 / 16, 1 / 32, 1])
    assert table["mcnemar_p_holm"].tolist() == pytest.approx([2 / 16, 3 / 32, 1])
    # Two patients flip in four ways, two of them as far from 0, so p cannot be below 1/2. b - c:
    # only the first patient's difference is not 0, and both its signs are equally far.
    assert table["sign_flip_p"].tolist() == [0.5, 0.5, 1]
    assert table["sign_flip_p_holm"].tolist() == [1, 1, 1]
    assert table["sign_flip_p_least"].tolist() == [0.5, 0.5, 1]
    assert table[["wins", "losses", "ties"]].values.tolist() == [[5, 0, 1], [6, 0, 0], [1, 0, 5]]
    assert table["win_rate"].tolist() == [1, 1, 1]
    # Only one patient has an instruction on which b and c differ.
    assert table["win_rate_low"].isna().tolist() == [False, False, True]


def test_equals_its_parts_and_the_head_to_head_matrix():
    ratings, instructions = random_ratings(np.random.default_rng(5), 40, 5)
    table = compared(ratings, instructions, resamples=200)
    matrix = head_to_head(ratings)
    wide = ratings.pivot(index="instruction_id", columns="system", values="correct")
    for row in table.to_dict("records"):
        a, b = row["system"], row["opponent"]
        assert row["difference"] == pytest.approx((wide[a].astype(float) - wide[b]).mean())
        assert row["win_rate"] == pytest.approx(matrix.loc[a, b], abs=1e-12)
        assert row["wins"] + row["losses"] + row["ties"] == row["n"] == 40
        counts = pd.crosstab(wide[a], wide[b]).reindex([False, True], axis=0, fill_value=0)
        counts = counts.reindex([False, True], axis=1, fill_value=0)
        assert row["mcnemar_p"] == pytest.approx(mcnemar(counts, exact=True).pvalue, abs=1e-9)
    assert len(table) == 10


def test_all_tied():
    table = compared(ratings_of(np.full((6, 3), 2.0), np.ones((6, 3))), instructions_of(6))
    assert (table["difference"] == 0).all()
    # 6 patients who do not differ do not show that no patient does.
    assert (table["difference_low"] < 0).all() and (table["difference_high"] > 0).all()
    tests = table.filter(regex="mcnemar|sign_flip")
    assert (tests == 1).all(axis=None) and tests.shape == (3, 5)
    assert table["ties"].tolist() == [6, 6, 6] and table["win_rate"].tolist() == [0.5] * 3
    assert table[["win_rate_low", "win_rate_high"]].isna().all(axis=None)


@pytest.mark.parametrize("n", [1, 4])
def test_one_patient_and_one_instruction_have_no_interval(n):
    ratings = THREE[THREE["instruction_id"].isin([f"i{i}" for i in range(n)])]
    table = compared(ratings, instructions_of(4, per_patient=4))
    assert table.filter(regex="_low|_high").isna().all(axis=None)
    assert table["difference"].notna().all() and (table["sign_flip_p"] == 1).all()


def test_compare_contexts_equals_its_parts():
    correct = np.random.default_rng(4).random((15, 4)) < [0.2, 0.6, 0.4, 0.9]
    ratings = ratings_of(rankdata(~correct, axis=1), correct)
    instructions, contexts = instructions_of(15, per_patient=3), {"b": None, "a": 2048, "c": 8192}
    table = compare_contexts(ratings, instructions, contexts, bootstrap=Bootstrap.seeded(200, 9))
    assert table["system"].tolist() == ["a", "c", "b"]
    assert table["context_tokens"].tolist() == [2048, 8192, pd.NA]
    wide = pd.DataFrame(correct, columns=list("abcd"), dtype=float)
    for row in table.iloc[:2].to_dict("records"):
        assert row["difference"] == pytest.approx((wide[row["system"]] - wide["b"]).mean())
    assert table.filter(regex="difference|sign_flip").iloc[2].isna().all()
    # The adjusted p of two comparisons is at most twice the p.
    p, holm = table["sign_flip_p"][:2], table["sign_flip_p_holm"][:2]
    assert (p <= holm).all() and (holm <= 2 * p).all()
    pairs = compared(ratings, instructions).set_index(["system", "opponent"])
    for row in table.iloc[:2].itertuples():  # the same test as that of the pair
        [both] = [pairs.loc[pair, "sign_flip_p"] for pair in ((row.system, "b"), ("b", row.system))
                  if pair in pairs.index]  # fmt: skip
        assert row.sign_flip_p == both


def test_intervals_of_several_differences_are_wider_than_one_alone():
    correct = np.random.default_rng(7).random((40, 4)) < [0.2, 0.4, 0.5, 0.7]
    ratings, instructions = ratings_of(rankdata(~correct, axis=1), correct), instructions_of(40)
    table = compared(ratings, instructions, resamples=2000)
    for row in table.itertuples():
        values = correct[:, "abcd".index(row.system)] - correct[:, "abcd".index(row.opponent)] * 1.0
        alone = mean_interval(values, instructions["person_id"], Bootstrap.seeded(2000))
        width = row.difference_high - row.difference_low
        assert 1.15 < width / (alone.high - alone.low) < 1.5


def test_errors_name_the_fault():
    bootstrap = Bootstrap.seeded(10)
    with pytest.raises(MedAlignError, match="no ratings of z; found a, b, c"):
        compare_contexts(THREE, instructions_of(4), {"z": None}, bootstrap=bootstrap)
    with pytest.raises(MedAlignError, match="one system per length"):
        compare_contexts(THREE, instructions_of(4), {"a": 9, "b": 9}, bootstrap=bootstrap)
    with pytest.raises(MedAlignError, match=r"no rank of \(instruction i3, c\)"):
        compare_systems(THREE[:-1], instructions_of(4), bootstrap=bootstrap)
