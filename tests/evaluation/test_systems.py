from itertools import permutations
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import rankdata

from medalign_utils.errors import MedAlignError
from medalign_utils.evaluation import systems
from medalign_utils.evaluation.systems import (
    OUTCOMES,
    count_outcomes,
    evaluate_systems,
    head_to_head,
)
from medalign_utils.stats.bootstrap import Bootstrap, percentile_levels
from tests.builders.tiny_ratings import THREE, instructions_of, random_ratings, ratings_of


def test_responses_that_are_not_whole_answers_are_counted_once():
    columns = ["response", "finish_reason", "prompt_tokens_read"]
    responses = {
        "a": [("", "failed", None), ("", "content_filter", None), ("x", "length", 3)],
        "b": [("x", "stop", 3), (" \n", "stop", None), ("x", "end", None)],
        "c": [("x", "stop", None)] * 3,
    }
    run = SimpleNamespace(
        systems=["c", "a", "b"],
        source="generated",
        responses=lambda name: pd.DataFrame(responses[name], columns=columns).assign(system=name),
    )
    table = count_outcomes(run).set_index("system")
    assert list(table.index) == run.systems and list(table) == list(OUTCOMES)
    assert table.to_numpy().tolist() == [[0] * 5, [1, 1, 1, 0, 0], [0, 0, 0, 1, 1]]
    run.systems = ["c"]
    assert list(count_outcomes(run)) == ["system"]
    run.source = "released"
    assert list(count_outcomes(run)) == ["system"]


def test_a_script_sees_what_the_notebook_sees(monkeypatch):
    monkeypatch.setattr(systems, "rate_in_common", lambda run: THREE)
    texts = {"a": ("x", "length"), "b": ("", "failed"), "c": ("x", "stop")}
    run = SimpleNamespace(
        systems=list(texts),
        source="generated",
        release=SimpleNamespace(instructions=instructions_of(4)),
        bootstrap=Bootstrap.seeded(10, 1),
        responses=lambda name: pd.DataFrame(
            [texts[name]], columns=["response", "finish_reason"]
        ).assign(prompt_tokens_read=None, system=name),
    )
    table = systems.evaluate(run).set_index("system")
    assert table["n"].tolist() == [4, 4, 4]
    assert table["no_response"].to_dict() == {"a": 0, "b": 1, "c": 0}
    assert table["cut"].to_dict() == {"a": 1, "b": 0, "c": 0}


def evaluated(ratings, instructions, resamples=100):
    return evaluate_systems(ratings, instructions, bootstrap=Bootstrap.seeded(resamples, 1))


def win_rates(ratings):
    instructions = instructions_of(ratings["instruction_id"].nunique())
    return evaluated(ratings, instructions, resamples=1).set_index("system")


def test_win_rates_by_hand():
    table = win_rates(THREE)
    # a-b: 2 wins, 2 ties -> 2/2; a-c: 3 wins, 1 tie -> 3/3; b-c: the same.
    # a (1 + 1)/2, b (0 + 1)/2, c 0. They sum to 3/2.
    assert table["win_rate"].to_dict() == {"a": 1.0, "b": 0.5, "c": 0.0}
    # Counting ties half: a (2 + 1 + 3 + 0.5)/8, b (0 + 1 + 3 + 0.5)/8, c (0.5 + 0.5)/8.
    assert table["win_rate_ties_half"].to_dict() == {"a": 6.5 / 8, "b": 4.5 / 8, "c": 1 / 8}
    # a (1 + 1 + 1.5 + 2)/4 = 1.375 = 3 - 2 x 6.5/8.
    assert table["mean_rank"].to_dict() == {"a": 1.375, "b": 1.875, "c": 2.75}


def test_a_pair_that_never_differs_counts_half():
    # a and b always tie; both always beat c. a: (0.5 + 1)/2.
    table = win_rates(ratings_of([[1.5, 1.5, 3]] * 4))
    assert table["win_rate"].to_dict() == {"a": 0.75, "b": 0.75, "c": 0.0}
    # b beats c in 2 of 3 and a in 3 of 3; mean ranks 4/3, 5/3, 3: the best comes first.
    matrix = head_to_head(ratings_of([[3, 1, 2], [3, 2, 1], [3, 1, 2]]))
    assert list(matrix.index) == list(matrix.columns) == ["b", "c", "a"]
    assert matrix.loc["b"].fillna(0).tolist() == pytest.approx([0, 2 / 3, 1])


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
    matrix = head_to_head(ratings)
    assert table["win_rate"].to_numpy() == pytest.approx(matrix.mean(axis=1).to_numpy())
    # The same, by counting pairs.
    for i, j in permutations(range(n), 2):
        wins, losses = (ranks[:, i] < ranks[:, j]).sum(), (ranks[:, i] > ranks[:, j]).sum()
        rate = wins / (wins + losses) if wins + losses else 0.5
        assert matrix.loc["abcdefg"[i], "abcdefg"[j]] == pytest.approx(rate)


def test_evaluate_systems():
    ratings = ratings_of([[2, 1, 3], [1, 2, 3], [2.5, 1, 2.5], [2, 1, 3]])
    contexts = {"a": 2048, "b": None, "c": 8192}
    bootstrap = Bootstrap.seeded(500, 1)
    table = evaluate_systems(ratings, instructions_of(4), contexts, bootstrap=bootstrap)
    assert " ".join(table) == (
        "system context_tokens n correct correct_low correct_high win_rate win_rate_ties_half "
        "mean_rank n_patients win_rate_low win_rate_high mean_rank_low mean_rank_high"
    )
    assert table["system"].tolist() == ["b", "a", "c"]
    assert table["correct"].tolist() == [0.75, 0.25, 0.0]
    assert table["n"].tolist() == [4, 4, 4]
    assert table["context_tokens"].tolist() == [pd.NA, 2048, 8192]
    assert (table["correct_low"] <= table["correct"]).all()
    assert (table["correct"] <= table["correct_high"]).all()


def test_intervals_do_not_depend_on_row_order_or_on_other_systems():
    rng = np.random.default_rng(6)
    correct = rng.random((12, 3)) < 0.5
    ranks = rankdata(~correct, axis=1)
    ratings, instructions = ratings_of(ranks, correct), instructions_of(12, per_patient=3)
    table = evaluated(ratings, instructions)
    shuffled = evaluated(
        ratings.sample(frac=1, random_state=1), instructions.sample(frac=1, random_state=2)
    )
    pd.testing.assert_frame_equal(table, shuffled)
    single = ratings_of(np.ones((12, 1)), correct[:, :1])
    alone = evaluated(single, instructions)
    shares = ["correct", "correct_low", "correct_high"]
    assert table.set_index("system").loc["a", shares].tolist() == alone.loc[0, shares].tolist()


@pytest.mark.parametrize("n", [1, 4])
def test_one_patient_and_one_instruction_have_no_bootstrap_interval(n):
    ratings = THREE[THREE["instruction_id"].isin([f"i{i}" for i in range(n)])]
    table = evaluated(ratings, instructions_of(4, per_patient=4))
    bounds = table.filter(regex="(correct|win_rate|mean_rank)_(low|high)")
    assert bounds.shape == (3, 6) and bounds.isna().all(axis=None)
    assert table["n_patients"].tolist() == [1, 1, 1]
    assert table[["correct", "win_rate", "mean_rank"]].notna().all(axis=None)


def test_none_or_all_correct_is_no_certainty_and_bounds_are_exactly_0_and_1():
    table = evaluated(ratings_of(np.full((24, 2), 1.5), [[1, 0]] * 24), instructions_of(24))
    bounds = table[["correct_low", "correct_high"]].values
    # Wilson's: t^2 / (n + t^2) with t = 2.07; a bootstrap's bounds would both be 0.
    assert bounds[1].tolist() == [0.0, pytest.approx(2.0687**2 / (24 + 2.0687**2), abs=1e-4)]
    assert bounds[0].tolist() == [pytest.approx(1 - bounds[1, 1]), 1.0]


def test_one_system_has_no_opponent():
    table = evaluated(ratings_of([[1], [1], [1]], [[1], [0], [1]]), instructions_of(3))
    assert table["correct"].tolist() == [2 / 3]
    assert table.filter(like="win_rate").isna().all(axis=None)
    assert table[["mean_rank", "mean_rank_low", "mean_rank_high"]].values.tolist() == [[1, 1, 1]]


def test_all_tied():
    correct = np.array([[1, 0, 0]] * 6)
    table = evaluated(ratings_of(np.full((6, 3), 2.0), correct), instructions_of(6))
    assert table["correct"].tolist() == [1, 0, 0]
    # No pair ever differs: 0.5 by definition, without an interval; the mean rank is (1 + 2 + 3) / 3
    # in every resample.
    assert table["win_rate"].tolist() == [0.5] * 3
    assert table[["win_rate_low", "win_rate_high"]].isna().all(axis=None)
    assert (table[["mean_rank", "mean_rank_low", "mean_rank_high"]] == 2).all(axis=None)


def test_intervals_of_rates_and_ranks_equal_a_loop_over_resampled_ratings():
    ratings, instructions = random_ratings(np.random.default_rng(8), 30, 4)
    table = evaluated(ratings, instructions, resamples=15).set_index("system")
    people = np.unique(instructions["person_id"])
    drawn = np.random.default_rng(1).integers(0, len(people), size=(15, len(people)))
    tables = []
    for row in drawn:
        ids = pd.concat([instructions[instructions["person_id"] == people[i]] for i in row])
        copies = [
            ratings[ratings["instruction_id"] == id_].assign(instruction_id=f"i{n}")
            for n, id_ in enumerate(ids["instruction_id"])
        ]
        tables.append(win_rates(pd.concat(copies, ignore_index=True)))
    for column in ("win_rate", "mean_rank"):
        for system in "abcd":
            values = [resample.loc[system, column] for resample in tables]
            bounds = table.loc[system, [f"{column}_low", f"{column}_high"]].tolist()
            levels = percentile_levels(len(people))
            assert bounds == pytest.approx(np.quantile(values, levels), abs=1e-12)


def test_errors_name_the_fault():
    bootstrap = Bootstrap.seeded(10)
    with pytest.raises(MedAlignError, match="contexts names a, b; ratings has a, b, c"):
        evaluate_systems(THREE, instructions_of(4), {"a": 1, "b": 2}, bootstrap=bootstrap)
    with pytest.raises(MedAlignError, match=r"instruction i3 is rated but not among the 3"):
        evaluated(THREE, instructions_of(3))
