import numpy as np
import pandas as pd
import pytest

from medalign_utils.data.disclosure import disclosable_instructions
from medalign_utils.errors import MedAlignError
from medalign_utils.evaluation.subgroups import (
    ehr_lengths,
    evaluate_context_lengths,
    evaluate_subgroups,
    find_subgroups,
)
from medalign_utils.evaluation.systems import evaluate_systems
from medalign_utils.run import Run
from medalign_utils.stats.bootstrap import Bootstrap
from medalign_utils.stats.proportions import proportions
from tests.builders.tiny_ratings import (
    THREE,
    instructions_of,
    random_ratings,
    ratings_of,
)
from tests.builders.tiny_release import write_release


def described(instructions, **columns):
    missing = dict.fromkeys(("category", "subcategory", "submitter_specialty"))
    return instructions.assign(**missing | columns)


def test_quartiles_divide_patients_and_keep_equal_lengths_together():
    # Eight patients with lengths 1, 2, 3, 3, 5, 6, 7, 8: the second, fourth and sixth are the
    # bounds 2, 3 and 6; p0 has three instructions but counts once.
    lengths = [1, 2, 3, 3, 5, 6, 7, 8]
    people = ["p0", "p0", *(f"p{i}" for i in range(8))]
    instructions = pd.DataFrame({"instruction_id": [f"i{i}" for i in range(10)]})
    groups = find_subgroups(
        instructions["instruction_id"],
        described(instructions.assign(person_id=people)),
        pd.Series(lengths, index=[f"p{i}" for i in range(8)], name="bytes"),
    )
    sizes = groups.members.groupby("group", sort=False).size()
    labels = ["1 (shortest): up to 2 bytes", "2: up to 3 bytes", "3: up to 6 bytes"]
    labels.append("4 (longest): over 6 bytes")
    assert sizes.to_dict() == dict(zip(labels, [4, 2, 2, 2], strict=True))
    assert set(groups.left_out) == {"category", "subcategory", "specialty"}
    assert groups.left_out["specialty"] == "the rated instructions have no specialty"


def test_only_rated_patients_count_and_fewer_than_four_have_no_quartiles():
    instructions = described(instructions_of(5), category="Other")
    lengths = pd.Series(
        {"p0": 0, "p1": 1234, "p2": 23456, "p3": 345678, "p4": 4567890}, name="tokens"
    )
    three = find_subgroups(["i2", "i3", "i4"] * 2, instructions, lengths)
    assert three.left_out["EHR length quartile"] == "quartiles of EHR length need 4 patients"
    assert three.members.values.tolist() == [[f"i{i}", "category", "Other"] for i in (2, 3, 4)]
    four = find_subgroups(["i1", "i2", "i3", "i4"], instructions, lengths).members
    # Labels have two digits, so that no bound reveals a record's length.
    assert four.query("grouping != 'category'")["group"].tolist() == [
        *("1 (shortest): up to 1,200 tokens", "2: up to 23,000 tokens", "3: up to 350,000 tokens"),
        "4 (longest): over 350,000 tokens",
    ]


def test_small_quartiles_of_a_restricted_release_are_merged():
    n = 4 * 13
    instructions = described(instructions_of(n), category=["A"] * 45 + ["B"] * 7)
    # 26 records are equally long, so the second quartile is in the first, and 12 are in the last.
    lengths = pd.Series([1] * 26 + [2] * 14 + [*range(10, 22)], name="bytes")
    lengths.index = instructions["person_id"].to_numpy()
    ids, references = instructions["instruction_id"], instructions[["instruction_id"]]
    merged = disclosable_instructions(instructions, references, ids)
    groups = find_subgroups(ids, merged, lengths[:n], merge=True)
    sizes = groups.members.groupby("grouping")["group"].value_counts()
    assert sizes.min() >= 11 and set(groups.members["grouping"]) == {"EHR length quartile"}
    assert groups.left_out["category"] == "no two groups by category have 11 patients"


def test_a_subgroup_is_evaluated_by_itself():
    ratings, instructions = random_ratings(np.random.default_rng(2), 30, 3)
    instructions = described(instructions, category=["A"] * 20 + [None] * 9 + ["B"])
    lengths = pd.Series(1, index=instructions["person_id"].unique(), name="bytes")
    members = find_subgroups(instructions["instruction_id"], instructions, lengths).members
    table = evaluate_subgroups(ratings, instructions, members, bootstrap=Bootstrap.seeded(100))
    is_quartile = table["grouping"] == "EHR length quartile"
    # All records are equally long, so all are in the first quartile.
    assert table.loc[is_quartile, "n"].tolist() == [30] * 3
    groups = table[~is_quartile].drop_duplicates("group")
    assert groups[["group", "n"]].values.tolist() == [["A", 20], ["(none)", 9], ["B", 1]]
    subset = ratings[ratings["instruction_id"].isin([f"i{i}" for i in range(20)])]
    alone = evaluate_systems(subset, instructions, bootstrap=Bootstrap.seeded(100))
    shared = [column for column in table if column in alone and column != "system"]
    first = table.head(3).set_index("system").loc[alone["system"], shared]
    pd.testing.assert_frame_equal(first.reset_index(drop=True), alone[shared], check_dtype=False)
    single = table[table["group"] == "B"]
    assert single["n_patients"].tolist() == [1] * 3
    assert single[["correct_low", "win_rate_low", "mean_rank_high"]].isna().all(axis=None)
    assert single[["correct", "win_rate"]].notna().all(axis=None)


def test_no_grouping_gives_an_empty_table():
    lengths = pd.Series({"p0": 1}, name="bytes")
    instructions = described(instructions_of(4, per_patient=4))
    groups = find_subgroups(THREE["instruction_id"], instructions, lengths)
    assert groups.members.empty and len(groups.left_out) == 4
    table = evaluate_subgroups(THREE, instructions, groups.members, bootstrap=Bootstrap.seeded(9))
    assert table.empty and "mean_rank_high" in table


def test_context_lengths_pool_systems_with_the_same_length():
    correct = np.array([[1, 0, 1], [1, 1, 0], [0, 0, 0], [1, 0, 0]], dtype=bool)
    ranks = [[1.5, 3, 1.5], [1.5, 1.5, 3], [2, 2, 2], [1, 2.5, 2.5]]
    ratings, instructions = ratings_of(ranks, correct), instructions_of(4)
    contexts = {"a": None, "b": 2048, "c": 2048}
    bootstrap = Bootstrap.seeded(50)
    table = evaluate_context_lengths(ratings, instructions, contexts, bootstrap=bootstrap)
    assert table["group"].tolist() == ["2,048 tokens"] * 3 + ["full record"]
    pooled = table.iloc[2]
    assert pooled["system"] == "mean of 2 systems"
    # b 1/4 and c 1/4; mean ranks 9/4 and 9/4; three systems' ranks sum to 6, a has 6/4.
    assert pooled["correct"] == 0.25 and pooled["mean_rank"] == 2.25
    rates = table.set_index("system")["win_rate"]
    assert rates["mean of 2 systems"] == pytest.approx((rates["b"] + rates["c"]) / 2)
    # The share of 8 responses, two of each patient.
    [expected] = proportions(correct[:, 1:].reshape(-1, 1), np.repeat(list("pqrs"), 2))
    assert pooled[["correct_low", "correct_high"]].tolist() == list(expected[1:])
    systems = evaluate_systems(ratings, instructions, bootstrap=Bootstrap.seeded(50))
    systems = systems.set_index("system").reindex(columns=table.columns[3:])
    single = table.set_index("system").loc[systems.index, systems.columns]
    pd.testing.assert_frame_equal(single, systems, check_dtype=False)


def test_a_system_without_a_comparable_length_is_only_an_opponent():
    comparable, none = (
        evaluate_context_lengths(THREE, instructions_of(4), lengths, bootstrap=Bootstrap.seeded(9))
        for lengths in ({"a": 2048}, {})
    )
    assert comparable["system"].tolist() == ["a"] and comparable["mean_rank"].tolist() == [1.375]
    assert none.empty and list(none) == list(comparable)


def test_lengths_of_released_records_are_bytes(tmp_path):
    write_release(tmp_path / "release")
    lengths = ehr_lengths(Run("mine", tmp_path / "release", ["a"], "released"))
    files = {"40": "40.xml", "007": "EHR_007.xml"}
    sizes = {k: (tmp_path / "release/ehrs" / name).stat().st_size for k, name in files.items()}
    assert lengths.name == "bytes" and lengths.to_dict() == sizes


def test_errors_name_the_fault():
    lengths = pd.Series({"p0": 1}, name="bytes")
    with pytest.raises(MedAlignError, match="no EHR length for patient p1"):
        find_subgroups(["i0", "i1"], described(instructions_of(2)), lengths)
    with pytest.raises(MedAlignError, match="no ratings of z; found a, b, c"):
        evaluate_context_lengths(THREE, instructions_of(4), {"z": 1}, bootstrap=Bootstrap.seeded(9))
