"""Ratings of responses: by a release's clinicians, by its answer key, or collected by a review."""

import warnings
from typing import NamedTuple

import numpy as np
import pandas as pd

from medalign_utils.data.responses import reviews_of
from medalign_utils.data.reviews import RATING_COLUMNS
from medalign_utils.errors import MedAlignError, ReleaseError
from medalign_utils.grading import load_answer_key, rate_with_answer_key
from medalign_utils.grading.answer_key import RATER
from medalign_utils.review import collected
from medalign_utils.run import Run
from medalign_utils.stats.rank_correlation import with_ties

RATINGS = ("given", "collected")
COMBINATIONS = ("first", "majority", "adjudicated")
_KEY = ["instruction_id", "system"]
_TOLERANCE = 1e-9


def rate(run: Run) -> pd.DataFrame:
    """Return one rating of each response of a run: instruction_id, system, rater, correct, rank.

    The answer key rates generated responses to instructions with a reference, and its grader's
    version is in the column grader. Released responses have clinicians' ratings, and a run whose
    ratings are "collected" those of its review (`review.collected`), combined by `combine_raters`;
    "adjudicated" is the majority's, but for verdicts that were adjudicated. Systems may be rated on
    different instructions; see `common_ratings`.

    Raises:
        ReleaseError: the release has no answer key or reviews, no review of one of the systems, or
            no reference for any response.
        MedAlignError: nothing is collected yet.
    """
    ratings = rate_by_each(run)
    if run.ratings != "collected" and run.source != "released":
        return ratings
    combined = combine_raters(ratings, run.combine)
    if run.combine != "adjudicated":
        return combined
    if run.ratings != "collected":
        raise MedAlignError("combine_raters: adjudicated needs `ratings: collected`")
    final = collected.adjudicated_of(run).rename(columns={"correct": "final"})
    combined = combined.merge(final, on=_KEY, how="left")
    combined["correct"] = combined["final"].fillna(combined["correct"]).astype(bool)
    return combined.drop(columns="final")


def has_ratings(run: Run) -> bool:
    """Return whether a run's responses can be rated."""
    if run.ratings == "collected":
        return collected.is_begun(run.experiment)
    return run.source == "released" or run.release.answer_key_path is not None


def rate_by_each(run: Run) -> pd.DataFrame:
    """Return every rater's ratings of a run's responses, with the columns and errors of `rate`.

    A rank is NaN if the rater gave none. Ties are kept as written, for example 1, 1, 3 or
    1.5, 1.5, 3.
    """
    if not isinstance(run, Run):
        example = 'ma.Run("demo", "data/demo", ["bm25-2k"])'
        raise MedAlignError(f"expected a Run, such as {example}, found {type(run).__name__}")
    if run.ratings == "collected":
        return collected.ratings_of(run)
    if run.source == "released":
        ratings = reviews_of(run.release, run.systems).ratings
        return ratings[ratings["system"].isin(run.systems)].reset_index(drop=True)
    if run.release.answer_key_path is None:
        raise ReleaseError(
            f"{run.release.path} has no answer-key.jsonl, so it cannot rate responses of this run; "
            "`responses: released` in params evaluates those that clinicians rated, and "
            "`ratings: collected` those that a review rates (`make review`)"
        )
    responses = pd.concat([run.responses(system) for system in run.systems], ignore_index=True)
    key = load_answer_key(run.release.answer_key_path)
    has_reference = responses["instruction_id"].isin(run.release.references["instruction_id"])
    if not has_reference.any():
        raise ReleaseError(f"{run.release.path}: no response has a reference to be evaluated with")
    responses = responses[has_reference]
    return rate_with_answer_key(responses, key, run.release.questions)


def combine_raters(ratings: pd.DataFrame, combine: str = "first") -> pd.DataFrame:
    """Return one rating per response, combined from all raters (`rate_by_each`).

    ``"first"`` takes verdict and rank from the instruction's first rater, or from the next rater if
    the first did not judge and rank the response. ``"majority"`` takes the majority verdict (in a
    tie, the first rater's) and the median rank, and so does ``"adjudicated"``. Ranks are then 1 to
    n within an instruction, ties share their average, and a response that nobody ranked has NaN.
    """
    if combine not in COMBINATIONS:
        raise MedAlignError(
            f"combine_raters: combine {combine!r}, expected one of {', '.join(COMBINATIONS)}"
        )
    groups = ratings.groupby(_KEY, sort=False)
    first = ratings.groupby("instruction_id")["rater"].transform("first")
    # Take whole rows, so that verdict and rank come from the same rater.
    by_choice = ratings.assign(unranked=ratings["rank"].isna(), other=ratings["rater"] != first)
    by_choice = by_choice.sort_values(["unranked", "other"], kind="stable")
    combined = by_choice.drop_duplicates(_KEY).set_index(_KEY).loc[groups.size().index]
    combined = combined.reset_index()
    if combine != "first":
        share = groups["correct"].mean().to_numpy()
        tied = (share == 0.5) & combined["correct"].to_numpy(dtype=bool)
        # Raters may write the same tie as 1, 1, 3, as 1, 1, 2 or as 1.5, 1.5, 3.
        averaged = ratings.groupby(["instruction_id", "rater"])["rank"].rank()
        medians = ratings.assign(rank=averaged).groupby(_KEY, sort=False)["rank"].median()
        combined = combined.assign(
            correct=(share > 0.5) | tied, rank=medians.to_numpy(), rater="majority"
        )
    combined["rank"] = combined.groupby("instruction_id")["rank"].rank()
    return combined.astype({"correct": bool})[list(RATING_COLUMNS)]


class Common(NamedTuple):
    """Ratings of the instructions on which every system is rated and ranked.

    `by_system` counts instructions for each system: rated, with a rating and a rank; missing,
    without; alone, left out only because of this system.
    """

    ratings: pd.DataFrame
    n_instructions: int  # with any rating
    n_left_out: int
    n_mixed: int  # kept, but rated by several raters, whose scales may differ
    by_system: pd.DataFrame

    def __str__(self) -> str:
        """Return one line: what was left out, because of which systems, and what is mixed."""
        lacking = self.by_system[self.by_system["missing"] > 0]
        lacks = ", ".join(f"{s} lacks {n}" for s, n in lacking[["system", "missing"]].to_numpy())
        kept = self.n_instructions - self.n_left_out
        return (
            f"{kept} of {self.n_instructions} instructions have a rating and a rank of every system"
            + (f"; {self.n_left_out} left out: {lacks}" if lacks else "")
            + (f"; {self.n_mixed} have ratings of several raters" if self.n_mixed else "")
        )


def common_ratings(ratings: pd.DataFrame) -> Common:
    """Return the ratings of the instructions on which every system is rated and ranked.

    Raises:
        MedAlignError: there is no such instruction.
    """
    usable = ratings.assign(usable=ratings["rank"].notna() & ratings["correct"].notna())
    rated = wide(usable, "usable").eq(True)
    complete, missing = rated.all(axis=1), ~rated
    alone = missing[missing.sum(axis=1) == 1].sum()
    by_system = pd.DataFrame({"rated": rated.sum(), "missing": missing.sum(), "alone": alone})
    by_system = by_system.reset_index()
    if not complete.any():
        counts = ", ".join(f"{s} {n}" for s, n in by_system[["system", "rated"]].to_numpy())
        raise MedAlignError(
            f"common_ratings: no instruction has a rating and a rank of every system; instructions "
            f"rated and ranked: {counts or 'none'}"
        )
    kept = ratings[ratings["instruction_id"].map(complete)].reset_index(drop=True)
    kept = kept.astype({"correct": bool})
    n_mixed = int((kept.groupby("instruction_id")["rater"].nunique() > 1).sum())
    return Common(kept, len(rated), int((~complete).sum()), n_mixed, by_system)


def rate_in_common(run: Run) -> pd.DataFrame:
    """Return a run's `common_ratings`; a warning counts what is left out or mixed."""
    common = common_ratings(rate(run))
    if common.n_left_out or common.n_mixed:
        warnings.warn(str(common), stacklevel=3)
    return common.ratings


def count_raters(ratings: pd.DataFrame) -> str:
    """Return who rated: "the answer key", or the number of clinicians, without their names."""
    raters = set(ratings["rater"])
    clinicians = f"{len(raters)} clinician{'s' * (len(raters) > 1)}"
    names = {RATER: "the answer key", "majority": "a majority of clinicians"}
    return names.get("".join(raters), clinicians)


def check_ratings(ratings: pd.DataFrame) -> None:
    """Check that every instruction has exactly one rating of every system.

    The columns are instruction_id, system, correct (bool) and rank (1 is best; ties share their
    average).
    """
    check_table("check_ratings", ratings, _KEY, ["correct", "rank"])
    if ratings[[*_KEY, "correct"]].isna().any(axis=None):
        raise MedAlignError(
            "check_ratings: a rating has no instruction_id, no system or no verdict"
        )
    for column, is_type, expected in (
        ("correct", pd.api.types.is_bool_dtype, "True or False"),
        ("rank", pd.api.types.is_numeric_dtype, "numbers"),
    ):
        if not is_type(ratings[column]):
            raise MedAlignError(
                f"check_ratings: column {column} is {ratings[column].dtype}, expected {expected}"
            )
    ranks = wide(ratings, "rank").astype(np.float64)
    for row, column in np.argwhere(ranks.isna())[:1]:
        raise MedAlignError(
            "check_ratings: no rating or no rank of (instruction "
            f"{ranks.index[row]}, {ranks.columns[column]}); "
            f"expected {len(ranks)} instructions x {len(ranks.columns)} systems"
        )
    expected = ranks.rank(axis=1)
    for instruction_id in ranks.index[((ranks - expected).abs() > _TOLERANCE).any(axis=1)][:1]:
        given, right = (
            ", ".join(f"{system} {rank:g}" for system, rank in table.loc[instruction_id].items())
            for table in (ranks, expected)
        )
        raise MedAlignError(
            f"check_ratings: instruction {instruction_id} has ranks {given}; expected {right} "
            "(1 is best; ties share their average)"
        )


def check_table(function: str, table: pd.DataFrame, key: list[str], columns: list[str]) -> None:
    """Check that a table has rows, these columns, and one row per key."""
    if missing := {*key, *columns} - set(table.columns):
        raise MedAlignError(
            f"{function}: no column {', '.join(sorted(missing))}; "
            f"found {', '.join(map(str, table.columns))}"
        )
    if table.empty:
        raise MedAlignError(f"{function}: the table is empty")
    repeated = table.loc[table.duplicated(key), key]
    if len(repeated):
        names = ", ".join(f"{name} {value}" for name, value in repeated.iloc[0].items())
        raise MedAlignError(f"{function}: several rows have {names}; expected one")


def patients_of(instruction_ids: pd.Index, instructions: pd.DataFrame) -> np.ndarray:
    """Return the person_id of each instruction."""
    person_id = instructions.set_index("instruction_id")["person_id"]
    unknown = instruction_ids[~instruction_ids.isin(person_id.index)]
    if len(unknown):
        raise MedAlignError(
            f"patients_of: instruction {unknown[0]} is rated but not among the "
            f"{len(person_id)} instructions ({len(unknown)} rated ones are missing)"
        )
    return person_id.loc[instruction_ids].to_numpy(dtype=object)


def wide(ratings: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return one column of the ratings as instructions x systems, both sorted."""
    return ratings.pivot(index="instruction_id", columns="system", values=column)


def wide_ranks(ratings: pd.DataFrame) -> pd.DataFrame:
    """Return the ranks as instructions x systems, best mean rank first, after `check_ratings`."""
    check_ratings(ratings)
    ranks = wide(ratings, "rank")
    means = with_ties(ranks.mean().to_numpy())
    return ranks.iloc[:, np.argsort(means, kind="stable")]
