import numpy as np
import pandas as pd
import pytest

from medalign_utils.data.disclosure import SUPPRESSED, suppress_small_groups
from medalign_utils.data.release import load_release
from medalign_utils.errors import MedAlignError
from medalign_utils.evaluation.subgroups import (
    EHRLengths,
    ehr_lengths,
    evaluate_context_lengths,
    evaluate_groups,
    group_instructions,
)
from medalign_utils.evaluation.systems import evaluate_systems
from medalign_utils.reporting.provenance import suppressed_groups
from medalign_utils.stats.bootstrap import Bootstrap, bootstrap_mean
from tests.builders.tiny_ratings import THREE, instructions_of, random_ratings, ratings_of
from tests.builders.tiny_release import write_release


def described(instructions, **columns):
    missing = dict.fromkeys(("category", "subcategory", "submitter_specialty"))
    return instructions.assign(**missing | columns)


def rng():
    return np.random.default_rng(1)


def test_quartiles_are_of_the_patients_and_equal_lengths_stay_together():
    # Eight patients with lengths 1, 2, 3, 3, 5, 6, 7, 8: the second, fourth and sixth are the
    # bounds 2, 3 and 6; p0 has three instructions, which count once.
    lengths = [1, 2, 3, 3, 5, 6, 7, 8]
    people = ["p0", "p0", *(f"p{i}" for i in range(8))]
    instructions = pd.DataFrame({"instruction_id": [f"i{i}" for i in range(10)]})
    by_patient = pd.Series(lengths, index=[f"p{i}" for i in range(8)])
    groups = group_instructions(
        instructions["instruction_id"],
        described(instructions.assign(person_id=people)),
        EHRLengths(by_patient, "bytes"),
    )
    sizes = groups.members.groupby("group", sort=False).size()
    labels = ["1 (shortest): up to 2 bytes", "2: up to 3 bytes", "3: up to 6 bytes"]
    labels.append("4 (longest): over 6 bytes")
    assert sizes.to_dict() == dict(zip(labels, [4, 2, 2, 2], strict=True))
    assert set(groups.left_out) == {"category", "subcategory", "specialty"}
    assert groups.left_out["specialty"] == "the release gives no specialty of a rated instruction"


def test_only_rated_patients_count_and_fewer_than_four_have_no_quartiles():
    instructions = described(instructions_of(5), category="Other")
    lengths = EHRLengths(pd.Series({f"p{i}": 10 * i for i in range(5)}), "tokens")
    three = group_instructions(["i2", "i3", "i4"] * 2, instructions, lengths)
    assert three.left_out["EHR length quartile"] == "3 patients, expected 4 or more"
    assert three.members.values.tolist() == [[f"i{i}", "category", "Other"] for i in (2, 3, 4)]
    four = group_instructions(["i1", "i2", "i3", "i4"], instructions, lengths).members
    assert four.query("grouping != 'category'")["group"].tolist() == [
        *("1 (shortest): up to 10 tokens", "2: up to 20 tokens", "3: up to 30 tokens"),
        "4 (longest): over 30 tokens",
    ]


def test_the_quartiles_names_hold_no_records_exact_length():
    lengths = EHRLengths(pd.Series([1234, 23456, 345678, 4567890], list("pqrs")), "tokens")
    instructions = described(
        pd.DataFrame({"instruction_id": list("1234"), "person_id": list("pqrs")})
    )
    names = group_instructions(list("1234"), instructions, lengths).members["group"].tolist()
    assert names == [
        *("1 (shortest): up to 1,200 tokens", "2: up to 23,000 tokens", "3: up to 350,000 tokens"),
        "4 (longest): over 350,000 tokens",
    ]


def suppressed(members, instructions, systems=1):
    ratings = ratings_of(np.tile(np.arange(1.0, systems + 1), (len(instructions), 1)))
    table = evaluate_groups(ratings, instructions, members, bootstrap=Bootstrap(9, rng()))
    return table, suppress_small_groups(table, members, instructions)


def members_of(**groupings):
    return pd.concat(
        pd.DataFrame({"instruction_id": [f"i{i}" for i in range(len(of))], "grouping": name,
                      "group": of})
        for name, of in groupings.items()
    )  # fmt: skip


def shown_in(table):
    return table.loc[table["n"].notna(), "group"].unique().tolist()


def test_groups_under_11_patients_and_the_next_smallest_have_no_figures():
    members = members_of(category=["A"] * 20 + ["B"] * 12 + ["C"] * 11 + ["D"] * 10)
    table, safe = suppressed(members, instructions_of(53), systems=2)
    # Without C, D would be what the whole has more than A, B and C.
    assert shown_in(table) == list("ABCD") and shown_in(safe) == ["A", "B"]
    hidden = safe["group"].isin(["C", "D"])
    assert safe["group"].tolist() == table["group"].tolist()
    figures = safe.columns.drop(["grouping", "group", "system", "suppressed"])
    assert safe.loc[hidden, figures].isna().all(axis=None)
    assert set(safe.loc[hidden, "suppressed"]) == {SUPPRESSED}
    assert set(safe.loc[~hidden, "suppressed"]) == {""}
    pd.testing.assert_frame_equal(
        safe.loc[~hidden, figures], table.loc[~hidden, figures], check_dtype=False
    )
    [gap] = suppressed_groups({"groups": safe.replace("", np.nan)})
    assert gap == ("groups by category", SUPPRESSED, False)


def test_patients_count_and_not_instructions():
    members = members_of(category=["A"] * 24 + ["B"] * 24)
    _, safe = suppressed(members, instructions_of(48, per_patient=3))  # 8 patients each
    assert shown_in(safe) == []


def test_two_small_groups_that_have_11_patients_together_cost_no_third():
    members = members_of(category=["A"] * 20 + ["B"] * 12 + ["C"] * 6 + ["D"] * 5)
    assert shown_in(suppressed(members, instructions_of(43))[1]) == ["A", "B"]
    fewer = members_of(category=["A"] * 20 + ["B"] * 12 + ["C"] * 6 + ["D"] * 4)
    assert shown_in(suppressed(fewer, instructions_of(42))[1]) == ["A"]


def test_a_small_subcategory_does_not_follow_from_its_category():
    # y of 5 and z of 6 patients are 11 together. But x is all of A less y, so it goes too.
    category = ["A"] * 20 + ["B"] * 26
    members = members_of(
        category=category, subcategory=["x"] * 15 + ["y"] * 5 + ["w"] * 20 + ["z"] * 6
    )
    _, safe = suppressed(members, instructions_of(46))
    # And w is all of B less z.
    assert shown_in(safe) == ["A", "B"]


def test_a_group_is_evaluated_by_itself():
    ratings, instructions = random_ratings(np.random.default_rng(2), 30, 3)
    instructions = described(instructions, category=["A"] * 20 + [None] * 9 + ["B"])
    lengths = EHRLengths(pd.Series(1, index=instructions["person_id"].unique()), "bytes")
    members = group_instructions(instructions["instruction_id"], instructions, lengths).members
    table = evaluate_groups(ratings, instructions, members, bootstrap=Bootstrap(100, rng()))
    every = table["grouping"] == "EHR length quartile"
    # Every record is as long as the others, so all are in the first quartile.
    assert table.loc[every, "n"].tolist() == [30] * 3
    of = table[~every].drop_duplicates("group")
    assert of[["group", "n"]].values.tolist() == [["A", 20], ["(none)", 9], ["B", 1]]
    subset = ratings[ratings["instruction_id"].isin([f"i{i}" for i in range(20)])]
    alone = evaluate_systems(
        subset, instructions, dict.fromkeys("abc"), bootstrap=Bootstrap(100, rng())
    )
    shared = [column for column in table if column in alone and column != "system"]
    first = table.head(3).set_index("system").loc[alone["system"], shared]
    pd.testing.assert_frame_equal(first.reset_index(drop=True), alone[shared], check_dtype=False)
    one = table[table["group"] == "B"]
    assert one["n_patients"].tolist() == [1] * 3
    assert one[["correct_low", "win_rate_low", "mean_rank_high"]].isna().all(axis=None)
    assert one[["correct", "win_rate", "wilson_low", "wilson_high"]].notna().all(axis=None)


def test_no_grouping_gives_an_empty_table():
    lengths = EHRLengths(pd.Series({"p0": 1}), "bytes")
    instructions = described(instructions_of(4, per_patient=4))
    groups = group_instructions(THREE["instruction_id"], instructions, lengths)
    assert groups.members.empty and len(groups.left_out) == 4
    table = evaluate_groups(THREE, instructions, groups.members, bootstrap=Bootstrap(9, rng()))
    assert table.empty and "mean_rank_high" in table


def test_context_lengths_pool_systems_of_one_length():
    correct = np.array([[1, 0, 1], [1, 1, 0], [0, 0, 0], [1, 0, 0]], dtype=bool)
    ranks = [[1.5, 3, 1.5], [1.5, 1.5, 3], [2, 2, 2], [1, 2.5, 2.5]]
    ratings, instructions = ratings_of(ranks, correct), instructions_of(4)
    contexts = {"a": None, "b": 2048, "c": 2048}
    table = evaluate_context_lengths(
        ratings, instructions, contexts, bootstrap=Bootstrap(50, rng())
    )
    assert table["group"].tolist() == ["2,048 tokens"] * 3 + ["full record"]
    pooled = table.iloc[2]
    assert pooled["system"] == "mean of 2 systems" and np.isnan(pooled["wilson_low"])
    # b 1/4 and c 1/4; mean ranks 9/4 and 9/4; three systems' ranks sum to 6, a has 6/4.
    assert pooled["correct"] == 0.25 and pooled["mean_rank"] == 2.25
    rates = table.set_index("system")["win_rate"]
    assert rates["mean of 2 systems"] == pytest.approx((rates["b"] + rates["c"]) / 2)
    expected = bootstrap_mean(
        *(correct[:, 1:].mean(axis=1), ["p0", "p1", "p2", "p3"]), bootstrap=Bootstrap(50, rng())
    )
    assert pooled[["correct_low", "correct_high"]].tolist() == pytest.approx(expected[1:])
    every = evaluate_systems(
        ratings, instructions, dict.fromkeys("abc"), bootstrap=Bootstrap(50, rng())
    ).set_index("system")
    single = table[table["system"].isin(list("abc"))].set_index("system")
    shared = [column for column in single if column in every]
    pd.testing.assert_frame_equal(
        single[shared], every.loc[single.index, shared], check_dtype=False
    )


def test_a_system_without_a_comparable_length_is_an_opponent_only():
    one = evaluate_context_lengths(
        THREE, instructions_of(4), {"a": 2048}, bootstrap=Bootstrap(9, rng())
    )
    assert one["system"].tolist() == ["a"] and one["mean_rank"].tolist() == [1.375]
    none = evaluate_context_lengths(THREE, instructions_of(4), {}, bootstrap=Bootstrap(9, rng()))
    assert none.empty and "context length" not in none


def test_lengths_of_released_records_are_bytes(tmp_path):
    release = load_release(write_release(tmp_path / "release"))
    lengths = ehr_lengths(release, "mine", ["a"], "released")
    files = {"40": "40.xml", "007": "EHR_007.xml"}
    sizes = {k: (tmp_path / "release/ehrs" / name).stat().st_size for k, name in files.items()}
    assert lengths.unit == "bytes" and lengths.by_patient.to_dict() == sizes


def test_errors_name_the_fault():
    lengths = EHRLengths(pd.Series({"p0": 1}), "bytes")
    with pytest.raises(MedAlignError, match="no length of the EHR of patient p1"):
        group_instructions(["i0", "i1"], described(instructions_of(2)), lengths)
    with pytest.raises(MedAlignError, match="no ratings of z; found a, b, c"):
        evaluate_context_lengths(THREE, instructions_of(4), {"z": 1}, bootstrap=Bootstrap(9, rng()))
