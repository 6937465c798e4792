import json

import numpy as np
import pandas as pd
import pytest

import medalign_utils as ma
from medalign_utils.data.responses import RESPONSE_COLUMNS
from medalign_utils.errors import MedAlignError, ReleaseError
from medalign_utils.evaluation.ratings import (
    check_ratings,
    combine_raters,
    common_ratings,
    count_raters,
    rate,
    rate_by_each,
    rate_in_common,
)
from medalign_utils.grading import GRADER_VERSION
from medalign_utils.run import Run
from medalign_utils.synthetic import write_release
from tests.builders import tiny_release
from tests.builders.tiny_ratings import COLUMNS, THREE

HEADER = "instruction_id\tmodel_name\tbinary_correct\tis_used_eval\tmodel_output\trank\treviewer\n"


def ratings_of(rows):
    return pd.DataFrame(rows, columns=COLUMNS)


def test_majority_and_median_follow_the_first_rater_in_a_tied_vote():
    rows = [("7", "a", r, c, k) for r, c, k in [("x", True, 3), ("y", False, 1), ("z", False, 2)]]
    rows += [("7", "b", r, c, k) for r, c, k in [("x", True, 1), ("y", False, 2)]]
    majority = combine_raters(ratings_of(rows), "majority").set_index("system")
    # a: 1 of 3 say correct; x ranks it second, y first, z, who ranks nothing else, first: median 1.
    # b: 1 of 2 say correct, so the first rater's verdict counts; first and second: median 1.5.
    assert majority["correct"].to_dict() == {"a": False, "b": True}
    assert majority["rank"].to_dict() == {"a": 1.0, "b": 2.0}
    first = combine_raters(ratings_of(rows)).set_index("system")
    assert first["correct"].to_dict() == {"a": True, "b": True}
    assert first["rater"].to_dict() == {"a": "x", "b": "x"}
    with pytest.raises(MedAlignError, match="combine 'mean', expected one of first, majority"):
        combine_raters(ratings_of(rows), "mean")


def test_the_first_rater_is_per_instruction_and_ranks_what_was_judged():
    rows = [("7", "a", "x", True, 2), ("7", "b", "y", False, 1), ("7", "b", "x", True, 3)]
    rows += [("7", "c", "x", False, np.nan), ("7", "c", "y", True, 2), ("7", "d", "y", False, 4)]
    combined = combine_raters(ratings_of(rows)).set_index("system")
    # x judged b after y, gave c no rank and did not judge d; ranks 2, 3, 2, 4 become 1.5 to 4.
    assert combined["rater"].to_dict() == {"a": "x", "b": "x", "c": "y", "d": "y"}
    assert combined["correct"].to_dict() == {"a": True, "b": True, "c": True, "d": False}
    assert combined["rank"].to_dict() == {"a": 1.5, "b": 3.0, "c": 1.5, "d": 4.0}


@pytest.mark.parametrize("by_x", [(1, 1, 1, 2, 1), (1, 1, 1, 5, 1), (2.5, 2.5, 2.5, 5, 2.5)])
def test_a_median_rank_does_not_depend_on_how_ties_are_written(by_x):
    rows = [("7", s, "x", True, rank) for s, rank in zip("abcde", by_x, strict=True)]
    rows += [("7", s, "y", True, rank) for s, rank in zip("abcde", (2, 3, 4, 1, 5), strict=True)]
    # With ties averaged, x gives 2.5, and 5 to d; medians with y 2.25, 2.75, 3.25, 3, 3.75.
    assert combine_raters(ratings_of(rows), "majority")["rank"].tolist() == [1, 2, 4, 3, 5]


def test_instructions_with_several_raters_are_counted():
    # x gives c no rank, so y's rank counts, from another order; x ranks all of 8.
    rows = [("7", "a", "x", True, 3), ("7", "b", "x", True, 6), ("7", "c", "y", True, 1)]
    rows += [("8", s, "x", True, 1.0) for s in "abc"]
    common = common_ratings(combine_raters(ratings_of(rows)))
    assert str(common).startswith("2 of 2 ")
    assert str(common).endswith("; 1 have ratings of several raters") and common.n_mixed == 1
    majority = common_ratings(combine_raters(ratings_of(rows), "majority"))
    assert majority.n_mixed == 0
    assert count_raters(common.ratings) == "2 clinicians"
    assert count_raters(majority.ratings) == "a majority of clinicians"


def test_the_common_set_counts_instructions_lost_to_each_system():
    # b lacks 8, c lacks 9 and has no rank on 8: 8 lacks two systems, 9 only c.
    rows = [(i, s, "x", s == "a", 1.0) for i in "789" for s in "abc"]
    rated = ratings_of([row for row in rows if row[:2] not in {("8", "b"), ("9", "c")}])
    rated.loc[(rated["instruction_id"] == "8") & (rated["system"] == "c"), "rank"] = np.nan
    common = common_ratings(combine_raters(rated))
    assert str(common) == (
        "1 of 3 instructions have a rating and a rank of every system; 2 left out: "
        "b lacks 1, c lacks 2"
    )
    assert common.ratings["instruction_id"].tolist() == ["7"] * 3
    assert common.ratings["rank"].tolist() == [2.0] * 3  # from ties written as 1, 1, 1
    assert (common.n_instructions, common.n_left_out) == (3, 2)
    assert common.by_system.values.tolist() == [["a", 3, 0, 0], ["b", 2, 1, 0], ["c", 1, 2, 1]]
    check_ratings(common.ratings)
    assert common_ratings(common.ratings).n_left_out == 0


def test_systems_without_a_common_instruction_are_refused():
    ratings = ratings_of([("7", "a", "x", True, 1.0), ("8", "b", "x", True, 1.0)])
    with pytest.raises(MedAlignError, match=r"rating and a rank of every .* ranked: a 1, b 1"):
        common_ratings(ratings)


@pytest.mark.parametrize("function", [ma.rate, ma.evaluate, ma.correlate])
def test_something_other_than_a_run_is_refused(function):
    with pytest.raises(MedAlignError, match=r"^expected a Run, such as ma\.Run\(.*, found str$"):
        function("demo")


def test_a_run_with_missing_responses_is_rated_on_the_rest(tmp_path, monkeypatch):
    (tmp_path / "Snakefile").write_text("")
    monkeypatch.chdir(tmp_path)
    write_release(tmp_path / "data", patients=1, instructions=8, seed=1)
    run = Run("mine", "data", ["a", "b"])
    ids = run.release.references["instruction_id"].unique()
    empty = dict.fromkeys(RESPONSE_COLUMNS, 0) | {"response": "", "finish_reason": "stop"}
    for system, answered in (("a", ids), ("b", ids[1:])):
        empty |= {"system": system, "prompt_sha256": ""}
        rows = [empty | {"instruction_id": instruction_id} for instruction_id in answered]
        file = tmp_path / "runs/mine/responses" / f"{system}.jsonl"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.warns(UserWarning, match="1 left out: b lacks 1"):
        ratings = rate_in_common(run)
    assert ratings["instruction_id"].nunique() == len(ids) - 1
    assert set(rate(run)["grader"]) == {GRADER_VERSION}
    check_ratings(ratings)
    run.release.answer_key_path.unlink()
    with pytest.raises(ReleaseError, match=r"has no answer-key\.jsonl, so it cannot rate"):
        rate(Run("mine", "data", ["a", "b"]))
    with pytest.raises(MedAlignError, match="'other', expected one of generated, released"):
        write_release(tmp_path / "other", patients=1, instructions=8, seed=1)
        rate(Run("mine", "other", ["a", "b"], "other"))


def test_each_raters_ratings_of_a_release_are_returned_unchanged(tmp_path):
    folder = tiny_release.write_release(tmp_path / "release")
    rows = [
        ("02", "a", "1", "yes", "No.", "1", "R"),
        ("02", "b", "0", "yes", "Yes.", "1", "R"),  # a tie, written as 1, 1
        ("02", "a", "0", "yes", "No.", "", "S"),  # judged but not ranked
        ("3", "c", "1", "yes", "Statin.", "1", "R"),  # a system that was not asked for
    ]
    (folder / "clinician-reviewed-model-responses.tsv").write_text(
        HEADER + "".join("\t".join(row) + "\n" for row in rows)
    )
    run = Run("any", folder, ["a", "b"], "released")
    ratings = rate_by_each(run)
    assert ratings["rater"].tolist() == ["R", "R", "S"]
    assert ratings["correct"].tolist() == [True, False, False]
    assert ratings["rank"].fillna(0).tolist() == [1.0, 1.0, 0.0]
    assert rate(run)[["rater", "rank"]].values.tolist() == [["R", 1.5], ["R", 1.5]]
    with pytest.raises(ReleaseError, match="no ratings of 'z'; systems: a, b, c"):
        rate(Run("any", folder, ["a", "z"], "released"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r.drop(columns="rank"), "no column rank"),
        (lambda r: r.iloc[:0], "the table is empty"),
        (lambda r: r.drop(index=5), r"no rank of \(instruction i1, c\); expected 4 instructions"),
        (lambda r: pd.concat([r, r.iloc[[4]]]), "several rows have instruction_id i1, system b"),
        (lambda r: r.assign(correct="yes"), "column correct is str"),
        (lambda r: r.assign(rank="1"), "column rank is str"),
        (lambda r: r.assign(system=r["system"].replace("c", np.nan)), "no system"),
        (lambda r: r.assign(rank=r["rank"].where(r.index != 4)), r"no rank of \(instruction i1, b"),
        (lambda r: r.assign(rank=r["rank"] - 1), "instruction i0 has ranks a 0, b 1, c 2"),
        # 1, 1, 4 has the right sum, 6, but is not a ranking.
        (lambda r: r.assign(rank=[1, 1, 4] * 4), "expected a 1.5, b 1.5, c 3"),
    ],
)
def test_check_ratings_names_the_error(change, message):
    with pytest.raises(MedAlignError, match=message):
        check_ratings(change(THREE))
