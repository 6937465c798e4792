import json

import numpy as np
import pandas as pd
import pytest

from medalign_utils.data.release import load_release
from medalign_utils.data.responses import RESPONSE_COLUMNS
from medalign_utils.data.reviews import load_reviews, read_reviews
from medalign_utils.errors import MedAlignError, ParamsError, ReleaseError
from medalign_utils.evaluation.ratings import (
    check_ratings,
    combine_raters,
    common_ratings,
    one_rating,
    rate,
    rate_by_each,
)
from medalign_utils.synthetic import write_release
from tests.builders import tiny_release

HEADER = "instruction_id\tmodel_name\tbinary_correct\tis_used_eval\tmodel_output\trank\treviewer\n"


@pytest.fixture
def write(tmp_path):
    def write(rows, header=HEADER):
        file = tmp_path / "clinician-reviewed-model-responses.tsv"
        file.write_text(header + "".join("\t".join(row) + "\n" for row in rows), "utf-8")
        return file

    return write


def test_verdicts_are_read_in_their_spellings(write):
    spellings = ["1", "1.0", "True", "YES", "correct", "0", "0.0", "false", "No", "Incorrect"]
    rows = [("7", f"s{n}", word, "yes", "text", "1", "R") for n, word in enumerate(spellings)]
    ratings = load_reviews(write(rows)).ratings
    assert ratings["correct"].tolist() == [True] * 5 + [False] * 5
    assert ratings["correct"].dtype == bool and ratings["rank"].dtype == "float64"


def test_rows_that_are_not_used_are_left_out_and_counted(write):
    rows = [
        ("7", "a", "1", "yes", "x", "1", "R"),
        ("7", "b", "", "no", "y", "", "R"),  # no verdict, but none is needed
        ("8", "a", "0", "TRUE", "z", "2", "R"),
        ("8", "b", "0", "0", "z", "2", "R"),
        ("8", "", "?", "no", "", "best", ""),
    ]
    reviews = load_reviews(write(rows))
    assert reviews.n_not_used == 3
    assert reviews.ratings["instruction_id"].tolist() == ["7", "8"]
    assert reviews.responses["response"].tolist() == ["x", "z"]


def test_a_table_without_optional_columns(write):
    header = "instruction_id\tmodel_name\tbinary_correct\tranking\n"
    rows = [("7", "a", "1", "1"), ("7", "a", "0", "2"), ("7", "b", "0", "1")]
    reviews = load_reviews(write(rows, header))
    assert reviews.ratings["rater"].tolist() == ["clinician 1", "clinician 2", "clinician 1"]
    assert reviews.responses is None and reviews.n_not_used == 0


def test_a_rater_without_a_name_is_no_rater_who_has_one(write):
    rows = [("7", "a", "1", "yes", "x", "1", name) for name in ("clinician 2", "", " R ", "R2")]
    ratings = load_reviews(write(rows)).ratings
    assert ratings["rater"].tolist() == ["clinician 2", "unnamed clinician 2", "R", "R2"]


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        (("7", "a", "maybe", "yes", "x", "1", "R"), "row 2: binary_correct 'maybe', expected 1 or"),
        (("7", "a", "1", "perhaps", "x", "1", "R"), "row 2: is_used_eval 'perhaps', expected yes"),
        (("7", "a", "1", "yes", "x", "0", "R"), "row 2: rank '0', expected a number from 1"),
        (("7", "a", "1", "yes", "x", "inf", "R"), "row 2: rank 'inf', expected a number from 1"),
        (("7", "a", "1", "yes", "x", "best", "R"), "row 2: rank 'best', expected a number from 1"),
        (("7", "", "1", "yes", "x", "1", "R"), "row 2: no system"),
        (("6", "a", "1", "yes", "x", "1", "R"), "row 2: instruction_id 6, system a, rater R is a"),
        (("6", "a", "1", "yes", "y", "1", "S"), "row 2: another response of a to instruction 6"),
    ],
)
def test_a_row_at_fault_is_named(write, row, fault):
    file = write([("6", "a", "1", "yes", "x", "1", "R"), row])
    with pytest.raises(ReleaseError) as error:
        load_reviews(file)
    assert fault in str(error.value)
    reviews = read_reviews(file)
    assert len(reviews.problems) == 1 and reviews.ratings["instruction_id"].tolist()[0] == "6"


def test_a_missing_column_names_what_was_tried_and_how_to_map_it(write):
    file = write([("7", "a", "1", "3")], "instruction_id\tmodel_name\tbinary_correct\tmy_rank\n")
    with pytest.raises(ReleaseError) as error:
        load_reviews(file)
    assert "no column for rank; tried rank, model_rank, ranking, model_ranking" in str(error.value)
    assert "`columns: {rank: <name>}`" in str(error.value)
    assert load_reviews(file, columns={"rank": "my_rank"}).ratings["rank"].tolist() == [3.0]


@pytest.mark.parametrize("ours", ["used", "rater", "rank"])
def test_a_mapped_column_that_the_table_lacks(write, ours):
    file = write([("7", "a", "1", "no", "x", "1", "R")])
    with pytest.raises(ParamsError, match=f"columns: {ours}: no column 'is_used_evla'; clinician"):
        read_reviews(file, columns={ours: "is_used_evla"})
    # Another table may have a patient's id under this name.
    assert read_reviews(file, columns={"person_id": "patient"}).n_not_used == 1


def test_a_table_of_which_nothing_is_used(write):
    with pytest.raises(ReleaseError, match="no row is used for the evaluation"):
        load_reviews(write([("7", "a", "1", "no", "x", "1", "R")]))


def ratings_of(rows):
    return pd.DataFrame(rows, columns=["instruction_id", "system", "rater", "correct", "rank"])


def test_majority_and_median_with_an_even_vote_going_to_the_first_rater():
    rows = [("7", "a", r, c, k) for r, c, k in [("x", True, 3), ("y", False, 1), ("z", False, 2)]]
    rows += [("7", "b", r, c, k) for r, c, k in [("x", True, 1), ("y", False, 2)]]
    majority = one_rating(ratings_of(rows), "majority").set_index("system")
    # a: 1 of 3 say correct; x has it second, y first, z, who ranks nothing else, first: median 1.
    # b: 1 of 2 say correct, so the first rater's; first and second, median 1.5.
    assert majority["correct"].to_dict() == {"a": False, "b": True}
    assert majority["rank"].to_dict() == {"a": 1.0, "b": 2.0}
    first = one_rating(ratings_of(rows)).set_index("system")
    assert first["correct"].to_dict() == {"a": True, "b": True}
    assert first["rater"].to_dict() == {"a": "x", "b": "x"}


def test_the_first_rater_is_an_instructions_and_ranks_what_was_judged():
    rows = [("7", "a", "x", True, 2), ("7", "b", "y", False, 1), ("7", "b", "x", True, 3)]
    rows += [("7", "c", "x", False, np.nan), ("7", "c", "y", True, 2), ("7", "d", "y", False, 4)]
    with pytest.warns(UserWarning, match="; 1 have theirs from several raters"):
        one = one_rating(ratings_of(rows)).set_index("system")
    # x judged b after y did, gave c no rank and did not judge d; ranks 2, 3, 2, 4 become 1.5 to 4.
    assert one["rater"].to_dict() == {"a": "x", "b": "x", "c": "y", "d": "y"}
    assert one["correct"].to_dict() == {"a": True, "b": True, "c": True, "d": False}
    assert one["rank"].to_dict() == {"a": 1.5, "b": 3.0, "c": 1.5, "d": 4.0}


@pytest.mark.parametrize("ties", [(1, 1, 3), (1.5, 1.5, 3), (1, 1, 2)])
def test_a_median_rank_does_not_depend_on_how_ties_are_written(ties):
    # Averaged, x gives 1.5, 1.5, 3 and y 2, 1, 3: medians 1.75, 1.25, 3, so the ranks are 2, 1, 3.
    rows = [("7", s, "x", True, k) for s, k in zip("abc", ties, strict=True)]
    rows += [("7", s, "y", True, k) for s, k in zip("abc", (2, 1, 3), strict=True)]
    one = combine_raters(ratings_of(rows), "majority").set_index("system")
    assert one["rank"].to_dict() == {"a": 2.0, "b": 1.0, "c": 3.0}


def test_dense_ties_weigh_as_much_as_ties_with_gaps():
    # x: all but d tied first, d last; as written 1, 1, 1, 2, 1 it would be hardly worse than they.
    # Averaged 2.5, 2.5, 2.5, 5, 2.5; y 2, 3, 4, 1, 5: medians 2.25, 2.75, 3.25, 3, 3.75.
    rows = [("7", s, "x", True, k) for s, k in zip("abcde", (1, 1, 1, 2, 1), strict=True)]
    rows += [("7", s, "y", True, k) for s, k in zip("abcde", (2, 3, 4, 1, 5), strict=True)]
    one = combine_raters(ratings_of(rows), "majority")
    assert one["rank"].tolist() == [1, 2, 4, 3, 5]


def test_instructions_of_several_raters_are_counted_and_said():
    # x gives c no rank, so its rank is y's, of another order; of 8 x ranks all.
    rows = [("7", "a", "x", True, 3), ("7", "b", "x", True, 6), ("7", "c", "y", True, 1)]
    rows += [("8", s, "x", True, 1.0) for s in "abc"]
    common = common_ratings(combine_raters(ratings_of(rows)))
    assert common.n_mixed == 1
    assert str(common) == (
        "2 of 2 instructions have a rating and a rank of every system; "
        "1 have theirs from several raters"
    )
    assert common_ratings(combine_raters(ratings_of(rows), "majority")).n_mixed == 0


def test_instructions_that_are_not_rated_throughout_are_left_out():
    rows = [("7", "a", "x", True, 1.0), ("7", "b", "x", True, 1.0), ("8", "a", "x", True, 1.0)]
    rows += [("9", "a", "x", True, 1.0), ("9", "b", "x", True, np.nan)]
    with pytest.warns(UserWarning, match=r"1 of 3 instructions have .* 2 left out: b lacks 2"):
        one = one_rating(ratings_of(rows))
    assert one["instruction_id"].tolist() == ["7", "7"]
    # Ties written as 1, 1 share 1.5.
    assert one["rank"].tolist() == [1.5, 1.5]
    check_ratings(one)


def test_the_common_set_counts_what_each_system_costs():
    # b lacks 8, c lacks 9 and has no rank on 8: 8 lacks two systems, 9 only c.
    rows = [(i, s, "x", s == "a", 1.0) for i in "789" for s in "abc"]
    rated = ratings_of([row for row in rows if row[:2] not in {("8", "b"), ("9", "c")}])
    rated.loc[(rated["instruction_id"] == "8") & (rated["system"] == "c"), "rank"] = np.nan
    common = common_ratings(combine_raters(rated))
    assert common.ratings["instruction_id"].tolist() == ["7"] * 3
    assert common.ratings["rank"].tolist() == [2.0] * 3
    assert (common.n_instructions, common.n_left_out) == (3, 2)
    assert common.by_system.values.tolist() == [["a", 3, 0, 0], ["b", 2, 1, 0], ["c", 1, 2, 1]]
    assert str(common) == (
        "1 of 3 instructions have a rating and a rank of every system; 2 left out: "
        "b lacks 1, c lacks 2"
    )
    check_ratings(common.ratings)


def test_of_a_complete_set_nothing_is_left_out(recwarn):
    ratings = ratings_of([("7", s, "x", True, 1.5) for s in "ab"])
    assert not common_ratings(ratings).n_left_out and len(one_rating(ratings)) == 2
    assert not recwarn.list


def test_systems_without_a_common_instruction_are_refused():
    ratings = ratings_of([("7", "a", "x", True, 1.0), ("8", "b", "x", True, 1.0)])
    with pytest.raises(MedAlignError, match=r"rating and a rank of every .* ranked are a 1, b 1"):
        common_ratings(ratings)


def test_a_run_of_which_a_response_is_missing_is_rated_on_the_rest(tmp_path, monkeypatch):
    (tmp_path / "Snakefile").write_text("")
    monkeypatch.chdir(tmp_path)
    write_release(tmp_path / "data", patients=1, instructions=8, seed=1)
    release = load_release(tmp_path / "data")
    ids = release.references["instruction_id"].unique()
    empty = dict.fromkeys(RESPONSE_COLUMNS, 0) | {"response": "", "finish_reason": "stop"}
    for system, answered in (("a", ids), ("b", ids[1:])):
        empty |= {"system": system, "prompt_sha256": ""}
        rows = [empty | {"instruction_id": instruction_id} for instruction_id in answered]
        file = tmp_path / "runs/mine/responses" / f"{system}.jsonl"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.warns(UserWarning, match="1 left out: b lacks 1"):
        ratings = rate(release, "mine", ["a", "b"])
    assert ratings["instruction_id"].nunique() == len(ids) - 1
    check_ratings(ratings)


def test_an_unknown_combination():
    with pytest.raises(MedAlignError, match="combine 'mean', expected one of first, majority"):
        one_rating(ratings_of([]), "mean")


def test_each_raters_ratings_of_a_release_are_given_as_they_are(tmp_path):
    folder = tiny_release.write_release(tmp_path / "release")
    rows = [
        ("02", "a", "1", "yes", "No.", "1", "R"),
        ("02", "b", "0", "yes", "Yes.", "1", "R"),  # a tie, written 1, 1
        ("02", "a", "0", "yes", "No.", "", "S"),  # judged, not ranked
        ("3", "c", "1", "yes", "Statin.", "1", "R"),  # of a system not asked about
    ]
    (folder / "clinician-reviewed-model-responses.tsv").write_text(
        HEADER + "".join("\t".join(row) + "\n" for row in rows)
    )
    ratings = rate_by_each(load_release(folder), "any", ["a", "b"], responses="released")
    assert ratings["rater"].tolist() == ["R", "R", "S"]
    assert ratings["correct"].tolist() == [True, False, False]
    assert ratings["rank"].fillna(0).tolist() == [1.0, 1.0, 0.0]
