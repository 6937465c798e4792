import numpy as np
import pandas as pd
import pytest
from scipy.stats import permutation_test, rankdata
from statsmodels.stats.contingency_tables import mcnemar

from medalign_utils.errors import MedAlignError
from medalign_utils.evaluation.pairwise import (
    compare_contexts,
    compare_systems,
    holm,
    mcnemar_exact,
    sign_flip,
)
from medalign_utils.evaluation.systems import head_to_head
from medalign_utils.stats.bootstrap import Bootstrap, bootstrap_mean
from tests.builders.tiny_ratings import THREE, instructions_of, random_ratings, ratings_of


def compared(ratings, instructions, resamples=100):
    bootstrap = Bootstrap.seeded(resamples, 1)
    return compare_systems(ratings, instructions, bootstrap=bootstrap)


def test_pairs_by_hand():
    # a is right on all of six, b on the first alone, c on none; two patients of three each.
    correct = np.array([[1, 1, 0]] + [[1, 0, 0]] * 5, dtype=bool)
    ratings = ratings_of([[1.5, 1.5, 3]] + [[1, 2.5, 2.5]] * 5, correct)
    table = compared(ratings, instructions_of(6, per_patient=3)).set_index(["system", "opponent"])
    assert list(table.index) == [("a", "b"), ("a", "c"), ("b", "c")]
    assert table["difference"].tolist() == pytest.approx([5 / 6, 1, 1 / 6])
    assert table[["only_system", "only_opponent"]].values.tolist() == [[5, 0], [6, 0], [1, 0]]
    # 2 x (1/2)^5, 2 x (1/2)^6, 2 x 1/2; Holm: 3 x 1/32, then 2 x 1/16, then 1 x 1.
    assert table["mcnemar_p"].tolist() == pytest.approx([1 / 16, 1 / 32, 1])
    assert table["mcnemar_p_holm"].tolist() == pytest.approx([2 / 16, 3 / 32, 1])
    # Two patients flip in four ways, of which two are as far from 0: p is 1/2 at best. b - c: only
    # the first patient's difference is not 0, and both its signs are as far.
    assert table["sign_flip_p"].tolist() == [0.5, 0.5, 1]
    assert table["sign_flip_p_holm"].tolist() == [1, 1, 1]
    assert table[["wins", "losses", "ties"]].values.tolist() == [[5, 0, 1], [6, 0, 0], [1, 0, 5]]
    assert table["win_rate"].tolist() == [1, 1, 1]
    # Only one patient has an instruction on which b and c differ.
    assert table["win_rate_low"].isna().tolist() == [False, False, True]


def test_equals_its_parts_and_the_matrix():
    ratings, instructions = random_ratings(np.random.default_rng(5), 40, 5)
    table = compared(ratings, instructions, resamples=200)
    matrix = head_to_head(ratings)
    wide = ratings.pivot(index="instruction_id", columns="system", values="correct")
    for row in table.to_dict("records"):
        a, b = row["system"], row["opponent"]
        rng = np.random.default_rng(1)
        steps = wide[a].astype(float) - wide[b]
        patients = instructions.set_index("instruction_id")["person_id"][wide.index]
        expected = bootstrap_mean(steps, patients, bootstrap=Bootstrap(200, rng))
        found = [row["difference"], row["difference_low"], row["difference_high"]]
        assert found == pytest.approx(list(expected), abs=1e-12)
        assert row["win_rate"] == pytest.approx(matrix.loc[a, b], abs=1e-12)
        assert row["wins"] + row["losses"] + row["ties"] == row["n"] == 40
        counts = pd.crosstab(wide[a], wide[b]).reindex([False, True], axis=0, fill_value=0)
        theirs = mcnemar(counts.reindex([False, True], axis=1, fill_value=0), exact=True)
        assert row["mcnemar_p"] == pytest.approx(theirs.pvalue, abs=1e-9)
    assert len(table) == 10


@pytest.mark.parametrize(("only_a", "only_b"), [(0, 0), (0, 1), (3, 3), (9, 2), (2, 9), (40, 21)])
def test_mcnemar_is_statsmodels(only_a, only_b):
    theirs = mcnemar([[7, only_a], [only_b, 5]], exact=True).pvalue
    assert mcnemar_exact(only_a, only_b) == pytest.approx(theirs, abs=1e-9)


def test_sign_flip_is_scipys_with_every_flip():
    rng = np.random.default_rng(7)
    for n in (2, 5, 17, 30):
        patients = rng.integers(0, 9, size=n).astype(str)
        differences = rng.choice([-1.0, 0.0, 1.0], p=[0.2, 0.4, 0.4], size=n)
        totals = pd.Series(differences).groupby(patients).sum().to_numpy()
        # 2^9 flips at most, so scipy does each of them once.
        theirs = permutation_test(
            *((totals,), np.sum), permutation_type="samples", vectorized=False, n_resamples=1000
        )
        assert sign_flip(differences, patients) == pytest.approx(theirs.pvalue, abs=1e-9)


def test_sign_flip_with_one_instruction_a_patient_is_mcnemar():
    rng = np.random.default_rng(2)
    for n in (1, 6, 40, 303):
        differences = rng.choice([-1, 0, 1], p=[0.2, 0.5, 0.3], size=n)
        expected = mcnemar_exact((differences > 0).sum(), (differences < 0).sum())
        assert sign_flip(differences, np.arange(n)) == pytest.approx(expected, abs=1e-9)


def test_only_the_sign_flip_keeps_its_level_where_patients_instructions_agree():
    # No system is better, but all ten instructions of a patient go the same way.
    rng = np.random.default_rng(4)
    patients = np.repeat(np.arange(30), 10)
    rejected = np.zeros(2)
    for _ in range(300):
        differences = rng.choice([-1, 1], size=30)[patients]
        plain = mcnemar_exact((differences > 0).sum(), (differences < 0).sum())
        rejected += [sign_flip(differences, patients) < 0.05, plain < 0.05]
    # Level 0.05, plus 2.5 standard errors of 0.013; ten equal instructions are no ten witnesses.
    assert rejected[0] / 300 < 0.085 and rejected[1] / 300 > 0.4


def test_holm_equals_a_loop():
    p = np.round(np.random.default_rng(1).random(15) ** 3, 2)  # with ties
    order = np.argsort(p)
    adjusted, highest = np.empty(15), 0.0
    for place, i in enumerate(order):
        highest = max(highest, min(1.0, (15 - place) * p[i]))
        adjusted[i] = highest
    assert holm(list(p)) == pytest.approx(adjusted, abs=1e-9)
    assert holm([]) == []


def test_all_tied():
    table = compared(ratings_of(np.full((6, 3), 2.0), np.ones((6, 3))), instructions_of(6))
    assert (table[["difference", "difference_low", "difference_high"]] == 0).all(axis=None)
    tests = table.filter(regex="mcnemar|sign_flip")
    assert (tests == 1).all(axis=None) and tests.shape == (3, 4)
    assert table["ties"].tolist() == [6, 6, 6] and table["win_rate"].tolist() == [0.5] * 3
    assert table[["win_rate_low", "win_rate_high"]].isna().all(axis=None)


def test_one_system_has_no_pair():
    table = compared(ratings_of([[1], [1]]), instructions_of(2))
    assert table.empty and "mcnemar_p_holm" in table


@pytest.mark.parametrize("n", [1, 4])
def test_one_patient_and_one_instruction_have_no_interval(n):
    ratings = THREE[THREE["instruction_id"].isin([f"i{i}" for i in range(n)])]
    table = compared(ratings, instructions_of(4, per_patient=4))
    assert table.filter(regex="_low|_high").isna().all(axis=None)
    assert table["difference"].notna().all() and (table["sign_flip_p"] == 1).all()


def test_a_paired_difference_is_narrower_than_unpaired():
    # b is a with one of 20 answers spoilt: the difference is 1/20 and hardly varies, while each
    # share alone has a standard error of 1/9.
    correct = np.array([[1, 1]] * 9 + [[1, 0]] + [[0, 0]] * 10, dtype=bool)
    ratings = ratings_of(rankdata(~correct, axis=1), correct)
    instructions = instructions_of(20)
    [row] = compared(ratings, instructions, resamples=1000).to_dict("records")
    assert row["difference"] == pytest.approx(0.05)
    # The count of the spoilt answer in a resample is binomial(20, 1/20), whose quantile at 0.9841
    # lies on the edge from 3 to 4.
    assert row["difference_low"] == 0 and row["difference_high"] in (0.15, 0.2)


def test_compare_contexts_equals_its_parts():
    correct = np.random.default_rng(4).random((15, 4)) < [0.2, 0.6, 0.4, 0.9]
    ratings = ratings_of(rankdata(~correct, axis=1), correct)
    instructions = instructions_of(15, per_patient=3)
    table = compare_contexts(
        ratings,
        instructions,
        {"b": None, "a": 2048, "c": 8192},
        bootstrap=Bootstrap.seeded(200, 9),
    )
    assert table["system"].tolist() == ["a", "c", "b"]
    assert table["context_tokens"].tolist() == [2048, 8192, pd.NA]
    for row in table.iloc[:2].to_dict("records"):
        wide = pd.DataFrame(correct, columns=list("abcd"), dtype=float)
        expected = bootstrap_mean(
            *(wide[row["system"]] - wide["b"], instructions["person_id"]),
            bootstrap=Bootstrap.seeded(200, 9),
        )
        found = (row["difference"], row["difference_low"], row["difference_high"])
        assert found == pytest.approx(expected)
    assert table.filter(like="difference").iloc[2].isna().all()


def test_errors_name_the_fault():
    rng = np.random.default_rng(1)
    kwargs = {"bootstrap": Bootstrap(10, rng)}
    with pytest.raises(MedAlignError, match="no ratings of z; found a, b, c"):
        compare_contexts(THREE, instructions_of(4), {"z": None}, **kwargs)
    with pytest.raises(MedAlignError, match="one system a context length"):
        compare_contexts(THREE, instructions_of(4), {"a": 9, "b": 9}, **kwargs)
    with pytest.raises(MedAlignError, match=r"no rating of \(instruction i3, c\)"):
        compare_systems(THREE[:-1], instructions_of(4), **kwargs)
