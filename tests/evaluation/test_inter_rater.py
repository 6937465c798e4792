import numpy as np
import pandas as pd
import pytest
from krippendorff import alpha
from scipy.stats import kendalltau
from statsmodels.stats.inter_rater import cohens_kappa

from medalign_utils.errors import MedAlignError
from medalign_utils.evaluation.inter_rater import (
    KAPPA,
    NOMINAL,
    ORDINAL,
    TAU,
    inter_rater_reliability,
)
from medalign_utils.stats.bootstrap import Bootstrap, percentile_levels
from tests.builders.tiny_ratings import COLUMNS

SYSTEMS = "abcd"


def random_ratings(seed, n=30, raters="xyz", per_instruction=3, gaps=0.0):
    """Return ratings of four systems by some raters per instruction, with ties and gaps."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(n):
        merit = rng.normal(size=4)
        for rater in rng.choice(list(raters), per_instruction, replace=False):
            seen = np.round(merit + rng.normal(size=4) * 0.8)
            rank = pd.Series(-seen).rank(method="min")
            rows += [
                (f"i{i:02}", system, rater, seen[s] > 0, rank[s])
                for s, system in enumerate(SYSTEMS)
                if rng.random() >= gaps
            ]
    instructions = pd.DataFrame({"instruction_id": [f"i{i:02}" for i in range(n)]})
    instructions["person_id"] = [str(i // 2) for i in range(n)]
    return pd.DataFrame(rows, columns=COLUMNS), instructions


def reliability(ratings, instructions, seed=1, resamples=50):
    return inter_rater_reliability(
        ratings, instructions, bootstrap=Bootstrap.seeded(resamples, seed)
    ).set_index("measure")


def ratings_of(*raters):
    """Return ratings of one instruction by x, y, ..., each given as (correct, ranks)."""
    return pd.DataFrame(
        [
            ("i", system, name, bool(right), float(rank))
            for name, (correct, ranks) in zip("xyz", raters, strict=False)
            for system, right, rank in zip(SYSTEMS, correct, ranks, strict=False)
        ],
        columns=COLUMNS,
    )


ONE = pd.DataFrame({"instruction_id": ["i"], "person_id": ["p"]})


def test_by_hand():
    ratings = ratings_of(((1, 1, 0, 0), (1, 2, 3, 4)), ((1, 0, 0, 0), (1, 2, 4, 3)))
    table = reliability(ratings, ONE)
    # Ranks: 5 of 6 pairs agree, one disagrees: 4/6.
    assert table.loc[TAU, "estimate"] == pytest.approx(2 / 3)
    # Correct: 3 of 4 agree; by chance 2/4 x 1/4 + 2/4 x 3/4 = 1/2; (3/4 - 1/2) / (1/2) = 1/2.
    assert table.loc[KAPPA, "estimate"] == pytest.approx(1 / 2)
    # Alpha: 3 ones and 5 zeros; the disagreeing unit counts twice in 8: 1/4; expected
    # 2 x 3 x 5 / (8 x 7) = 15/28; 1 - (1/4) / (15/28) = 8/15.
    assert table.loc[NOMINAL, "estimate"] == pytest.approx(8 / 15)
    # Ordinal: each rank occurs twice, so neighbours are 2 apart. Two units differ: 4 x 2^2 / 8 = 2.
    # Expected: 2 x 2 x 2 x (3 x 2^2 + 2 x 4^2 + 6^2) / (8 x 7) = 80/7; 1 - 14/80 = 0.825.
    assert table.loc[ORDINAL, "estimate"] == pytest.approx(0.825)
    assert table["n_raters"].tolist() == [2] * 4 and table["n_responses"].tolist() == [4] * 4
    assert table[["estimate_low", "estimate_high"]].isna().all(axis=None)  # one patient
    assert table["reason"].tolist() == [""] * 4


@pytest.mark.parametrize("gaps", [0.0, 0.3])
def test_tau_equals_scipys_averaged_over_pairs_then_instructions(gaps):
    ratings, instructions = random_ratings(1, raters="vwxyz", gaps=gaps)
    of_instructions = []
    for _, rows in ratings.groupby("instruction_id"):
        ranks = rows.pivot(index="system", columns="rater", values="rank")
        taus = []
        for i, first in enumerate(ranks):
            for second in ranks.columns[i + 1 :]:
                both = ranks[[first, second]].dropna()
                if len(both) > 1 and (both.nunique() > 1).all():
                    taus.append(kendalltau(both[first], both[second]).statistic)
        if taus:
            of_instructions.append(np.mean(taus))
    row = reliability(ratings, instructions).loc[TAU]
    assert row["estimate"] == pytest.approx(np.mean(of_instructions), abs=1e-9)
    assert row["n_instructions"] - row["n_undefined"] == len(of_instructions)
    assert row["estimate_low"] < row["estimate"] < row["estimate_high"]


@pytest.mark.parametrize(("raters", "per_instruction"), [("xy", 2), ("vwxyz", 3)])
def test_kappa_pools_pairs_of_raters_and_equals_cohens_for_two(raters, per_instruction):
    ratings, instructions = random_ratings(3, 30, raters, per_instruction, gaps=0.2)
    wide = ratings.pivot(index=["instruction_id", "system"], columns="rater", values="correct")
    agreement, room = 0.0, 0.0
    for i, first in enumerate(wide):
        for second in wide.columns[i + 1 :]:
            both = wide[[first, second]].dropna().astype(int)
            table = pd.crosstab(both[first], both[second]).reindex([0, 1]).reindex(columns=[0, 1])
            table = table.fillna(0).to_numpy()
            kappa, observed = cohens_kappa(table).kappa, np.trace(table) / table.sum()
            chance = (observed - kappa) / (1 - kappa)
            agreement += table.sum() * (observed - chance)
            room += table.sum() * (1 - chance)
    estimate = reliability(ratings, instructions).loc[KAPPA, "estimate"]
    assert estimate == pytest.approx(agreement / room, abs=1e-9)


@pytest.mark.parametrize(
    ("level", "measure", "column", "gaps"),
    [
        ("nominal", NOMINAL, "correct", 0.0),
        ("nominal", NOMINAL, "correct", 0.3),
        ("ordinal", ORDINAL, "rank", 0.0),
    ],
)
def test_alpha_equals_the_librarys(level, measure, column, gaps):
    ratings, instructions = random_ratings(4, raters="vwxyz", gaps=gaps)
    averaged = ratings.groupby(["instruction_id", "rater"])["rank"].rank()
    units = ratings.assign(rank=averaged).pivot(
        index=["instruction_id", "system"], columns="rater", values=column
    )
    expected = alpha(units.to_numpy(dtype=float).T, level_of_measurement=level)
    estimate = reliability(ratings, instructions).loc[measure, "estimate"]
    assert estimate == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("measure", [KAPPA, NOMINAL, ORDINAL])
def test_intervals_equal_a_loop_that_copies_patients(measure):
    ratings, instructions = random_ratings(8, n=16)
    wide = ratings.merge(instructions, on="instruction_id")
    people = np.unique(instructions["person_id"])
    row = reliability(ratings, instructions, seed=3, resamples=12).loc[measure]
    # The preceding measures draw equally often: tau, then kappa, then alpha.
    rng = np.random.default_rng(3)
    for _ in range([TAU, KAPPA, NOMINAL, ORDINAL].index(measure) + 1):
        drawn = rng.integers(0, len(people), (12, len(people)))
    found = []
    for patients in drawn:
        copies = [
            wide[wide["person_id"] == people[i]].assign(
                instruction_id=lambda rows, n=n: rows["instruction_id"] + f" copy {n}"
            )
            for n, i in enumerate(patients)
        ]
        rows = pd.concat(copies)
        of_copies = rows[["instruction_id", "person_id"]].drop_duplicates()
        found.append(
            reliability(rows.drop(columns="person_id"), of_copies, resamples=1).loc[
                measure, "estimate"
            ]
        )
    expected = np.quantile(found, percentile_levels(len(people)))
    assert row[["estimate_low", "estimate_high"]].tolist() == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("rater", "by"),
    [("answer key", "the answer key"), ("Dr. Doe", "1 clinician"), (None, "4 clinicians")],
)
def test_one_rater_gives_a_reason_and_clinicians_are_counted_but_not_named(rater, by):
    ratings, instructions = random_ratings(1, n=4, raters="x", per_instruction=1)
    table = reliability(
        ratings.assign(rater=rater or "Dr. " + ratings["instruction_id"]), instructions
    )
    assert set(table["reason"]) == {f"no response has two raters (rated by {by})"}
    assert table["estimate"].isna().all() and (table["n_instructions"] == 0).all()


def test_raters_who_judged_different_responses_are_not_compared():
    ratings = ratings_of(((1, 0), (1, 2)), ((1, 0), (1, 2)))
    ratings.loc[2:, "system"] = ["c", "d"]
    assert set(reliability(ratings, ONE)["n_responses"]) == {0}
    # They share one response, so there are verdicts to compare but no order.
    ratings.loc[2, "system"] = "a"
    table = reliability(ratings, ONE)
    assert table["n_responses"].tolist() == [1, 1, 1, 0]
    assert table["estimate"].isna().all()
    assert set(table["reason"][:3]) == {"all shared ratings are equal"}
    no_order = "no instruction has two responses that all of its raters ranked"
    assert table.loc[ORDINAL, "reason"] == no_order
    assert table.loc[TAU, "n_undefined"] == 1


def test_alpha_uses_only_responses_that_all_raters_ranked():
    # z did not rank b. Without b, all three rank a, c, d as 1, 2, 3.
    ratings = ratings_of(
        ((1, 1, 1, 1), (1, 2, 3, 4)), ((1, 1, 1, 1), (2, 1, 3, 4)), ((1, 1, 1, 1), (1, 9, 2, 3))
    )
    ratings.loc[ratings["rank"] == 9, "rank"] = np.nan
    table = reliability(ratings, ONE)
    assert table.loc[ORDINAL, "estimate"] == 1
    # x and y disagree on one pair of six: 2/3. Both agree with z.
    assert table.loc[TAU, "estimate"] == pytest.approx((2 / 3 + 1 + 1) / 3)
    # All verdicts are "correct", so kappa is undefined.
    assert table.loc[[KAPPA, NOMINAL], "estimate"].isna().all()


def test_alpha_of_ranks_counts_and_resamples_only_the_responses_it_uses():
    # x and y rank four responses to one instruction and one response to each of four others.
    ratings, _ = random_ratings(1, n=1, raters="xy", per_instruction=2)
    more = [(f"j{i}", "a", rater, rater == "x", 1.0) for i in range(4) for rater in "xy"]
    ratings = pd.concat([ratings, pd.DataFrame(more, columns=ratings.columns)])
    ids = ratings["instruction_id"].unique()
    table = reliability(ratings, pd.DataFrame({"instruction_id": ids, "person_id": ids}))
    counts = ["n_instructions", "n_responses"]
    assert table.loc[[KAPPA, ORDINAL], counts].values.tolist() == [[5, 8], [1, 4]]
    bounds = ["estimate_low", "estimate_high"]
    assert table.loc[KAPPA, bounds].notna().all()
    # With only one patient, there is an estimate but nothing to resample.
    assert not np.isnan(table.loc[ORDINAL, "estimate"])
    assert table.loc[ORDINAL, bounds].isna().all()


def test_errors_name_the_fault():
    ratings, instructions = random_ratings(1)
    with pytest.raises(MedAlignError, match=r"no column rank, rater; found instruction_id"):
        reliability(ratings.drop(columns=["rank", "rater"]), instructions)
    with pytest.raises(
        MedAlignError, match="several rows have instruction_id i00, system a, rater"
    ):
        reliability(pd.concat([ratings, ratings[:1]]), instructions)
    with pytest.raises(MedAlignError, match="instruction i00 is rated but not among"):
        reliability(ratings, instructions[1:])
