"""Who judged the responses, and how: the clinicians of a release, or the answer key.

`responses` says which responses an experiment is about: "generated" ones, of this run, which only
an answer key can rate; or the "released" ones, which a release brings together with the clinicians'
verdicts on them.
"""

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from medalign_utils import paths
from medalign_utils.data.release import Release
from medalign_utils.data.responses import SOURCES, read_responses, reviews_of
from medalign_utils.data.reviews import RATING_COLUMNS
from medalign_utils.errors import MedAlignError, ReleaseError
from medalign_utils.grading import load_answer_key, rate_with_answer_key

COMBINATIONS = ("first", "majority")


class Common(NamedTuple):
    """Ratings reduced to the instructions that every system was rated on.

    Attributes:
        ratings: those of the instructions on which each system has a rating and a rank.
        n_instructions: how many instructions had a rating, complete or not.
        n_left_out: how many of them were left out, with whatever ratings they had.
        n_mixed: on how many of those kept the ratings are of several raters, each ranking what the
            others did not, so that their ranks need not be on one scale.
        by_system: one row a system: system; rated, the instructions on which it has a rating and a
            rank; missing, the others of the `n_instructions`; alone, those that were left out
            for want of this system only.
    """

    ratings: pd.DataFrame
    n_instructions: int
    n_left_out: int
    n_mixed: int
    by_system: pd.DataFrame

    def __str__(self) -> str:
        """One line: what was left out, for want of which systems' ratings, and what is mixed."""
        lacking = self.by_system[self.by_system["missing"] > 0]
        lacks = ", ".join(f"{s} lacks {n}" for s, n in lacking[["system", "missing"]].to_numpy())
        kept = self.n_instructions - self.n_left_out
        return (
            f"{kept} of {self.n_instructions} instructions have a rating and a rank of every system"
            + (f"; {self.n_left_out} left out: {lacks}" if lacks else "")
            + (f"; {self.n_mixed} have theirs from several raters" if self.n_mixed else "")
        )


def common_ratings(ratings: pd.DataFrame) -> Common:
    """Leave out the instructions that some system has no rating of, and count them.

    Systems are only ever compared on the same instructions. A system that answered few of them
    costs the others theirs: `Common.by_system` says which, so that it can be taken out instead.

    Args:
        ratings: instruction_id, system (key), rater, correct, rank, as `combine_raters` gives them.

    Raises:
        MedAlignError: no instruction is left.

    >>> ratings = pd.DataFrame({"instruction_id": ["1", "1", "2"], "system": ["a", "b", "a"],
    ...     "rater": "x", "correct": True, "rank": [1.5, 1.5, 1.0]})
    >>> common = common_ratings(ratings)
    >>> print(common)
    1 of 2 instructions have a rating and a rank of every system; 1 left out: b lacks 1
    >>> common.by_system.values.tolist()
    [['a', 2, 0, 0], ['b', 1, 1, 1]]
    """
    usable = ratings.assign(usable=ratings["rank"].notna() & ratings["correct"].notna())
    rated = usable.pivot(index="instruction_id", columns="system", values="usable").eq(True)
    complete = rated.all(axis=1)
    by_system = pd.DataFrame(
        {
            "system": rated.columns.to_numpy(),
            "rated": rated.sum().to_numpy(),
            "missing": (~rated).sum().to_numpy(),
            "alone": (~rated[(~rated).sum(axis=1) == 1]).sum().to_numpy(),
        }
    )
    if not complete.any():
        counts = ", ".join(f"{s} {n}" for s, n in by_system[["system", "rated"]].to_numpy())
        raise MedAlignError(
            f"common_ratings: no instruction has a rating and a rank of every system; rated and "
            f"ranked are {counts or 'none'}"
        )
    kept = ratings[ratings["instruction_id"].map(complete)].reset_index(drop=True)
    n_mixed = int((kept.groupby("instruction_id")["rater"].nunique() > 1).sum())
    n_left_out = int((~complete).sum())
    return Common(kept.astype({"correct": bool}), len(rated), n_left_out, n_mixed, by_system)


def combine_raters(ratings: pd.DataFrame, combine: str = "first") -> pd.DataFrame:
    """One rating a response, from those of all raters.

    Args:
        ratings: as `Reviews` has them.
        combine: ``"first"`` takes the verdict and the rank of the instruction's first rater in the
            table's order, and of a response that this rater did not judge or did not rank those of
            the first who did (`common_ratings` counts such instructions); ``"majority"`` the
            verdict of most raters (of as many each way, that of the first) and the median of their
            ranks, counted among what each rater ranked, ties sharing their average.

    Returns:
        instruction_id, system, rater ("first" keeps the name, "majority" says "majority"), correct,
        rank. Ranks are made 1 to n within each instruction, equal ones sharing their average, so
        that n of them sum to n (n + 1) / 2 however the raters wrote ties down; a rank that no
        rater gave is NaN.

    Raises:
        MedAlignError: `combine` is neither.

    >>> ratings = pd.DataFrame({
    ...     "instruction_id": ["1"] * 4, "system": ["a", "a", "b", "b"],
    ...     "rater": ["x", "y"] * 2, "correct": [True, False, True, True],
    ...     "rank": [1.0, 4.0, 1.0, 2.0]})
    >>> combine_raters(ratings)[["correct", "rank"]].values.tolist()
    [[True, 1.5], [True, 1.5]]
    >>> combine_raters(ratings, "majority")[["correct", "rank"]].values.tolist()
    [[True, 2.0], [True, 1.0]]
    """
    if combine not in COMBINATIONS:
        raise MedAlignError(
            f"combine_raters: combine {combine!r}, expected one of {', '.join(COMBINATIONS)}"
        )
    key = ["instruction_id", "system"]
    groups = ratings.groupby(key, sort=False)
    first = ratings.groupby("instruction_id")["rater"].transform("first")
    # Whole rows: a verdict and a rank are only ever taken together.
    by_choice = ratings.assign(unranked=ratings["rank"].isna(), other=ratings["rater"] != first)
    by_choice = by_choice.sort_values(["unranked", "other"], kind="stable")
    one = by_choice.drop_duplicates(key).set_index(key).loc[groups.size().index].reset_index()
    if combine == "majority":
        share = groups["correct"].mean().to_numpy()
        one["correct"] = (share > 0.5) | ((share == 0.5) & one["correct"].to_numpy(dtype=bool))
        # Ties written 1, 1, 3 or 1, 1, 2 by one rater and 1.5, 1.5, 3 by another are the same.
        averaged = ratings.groupby(["instruction_id", "rater"])["rank"].rank()
        averaged = ratings.assign(rank=averaged).groupby(key, sort=False)["rank"]
        one["rank"] = averaged.median().to_numpy()
        one["rater"] = "majority"
    one["rank"] = one.groupby("instruction_id")["rank"].rank()
    one["correct"] = one["correct"].astype(bool)
    return one[list(RATING_COLUMNS)]


def one_rating(ratings: pd.DataFrame, combine: str = "first") -> pd.DataFrame:
    """As `combine_raters`, and only the instructions rated throughout (`common_ratings`).

    A warning says how many instructions that leaves out, for want of which systems' ratings, and
    how many have theirs from several raters.
    """
    return _complete(combine_raters(ratings, combine))


def rate(
    release: Release,
    experiment: str,
    systems: Sequence[str],
    *,
    responses: str = "generated",
    combine: str = "first",
) -> pd.DataFrame:
    """The ratings by which an experiment's systems are compared, all on the same instructions.

    As `rate_responses`, reduced to the instructions rated throughout (`common_ratings`); a warning
    says how many that leaves out, and for want of which systems' ratings.
    """
    return _complete(
        rate_responses(release, experiment, systems, responses=responses, combine=combine)
    )


def rate_responses(
    release: Release,
    experiment: str,
    systems: Sequence[str],
    *,
    responses: str = "generated",
    combine: str = "first",
) -> pd.DataFrame:
    """One rating of each response of an experiment, as far as there are.

    Args:
        release: as `dataset.load_release` gives it.
        experiment: whose responses are rated, if they are generated.
        systems: their names; of released ones as the release's table has them.
        responses: one of `SOURCES`.
        combine: as for `combine_raters`.

    Returns:
        The columns of `RATING_COLUMNS`, one row a response.

    Raises:
        ReleaseError: there is no answer key for generated responses, no table of reviews for
            released ones, or no row of one of the systems in it.
        MedAlignError: `responses` or `combine` is unknown, or a generated response cannot be rated.
    """
    if responses not in SOURCES:
        raise MedAlignError(f"responses: {responses!r}, expected one of {', '.join(SOURCES)}")
    if responses == "released":
        ratings = reviews_of(release, systems).ratings
        return combine_raters(ratings[ratings["system"].isin(systems)], combine)
    if release.answer_key_path is None:
        raise ReleaseError(
            f"{release.path} has no answer-key.jsonl, so it cannot rate responses of this run; "
            "`responses: released` in params evaluates those that clinicians rated"
        )
    files = [paths.responses(experiment, system) for system in systems]
    table = pd.concat([read_responses(file) for file in files], ignore_index=True)
    return rate_with_answer_key(table, load_answer_key(release.answer_key_path))


def rate_by_each(
    release: Release, experiment: str, systems: Sequence[str], *, responses: str = "generated"
) -> pd.DataFrame:
    """Every rater's ratings of an experiment's systems, as they were given.

    Args:
        release: as `dataset.load_release` gives it.
        experiment: whose responses are rated, if they are generated.
        systems: their names; of released ones as the release's table has them.
        responses: one of `SOURCES`. Released ones have as many raters as their table, generated
            ones the answer key alone.

    Returns:
        The columns of `RATING_COLUMNS`, one row a response and rater. A rank is NaN where the rater
        gave none, and ties are as the rater wrote them (1, 1, 3 as well as 1.5, 1.5, 3).

    Raises:
        As `rate_responses`.
    """
    if responses != "released":
        return rate_responses(release, experiment, systems, responses=responses)
    ratings = reviews_of(release, systems).ratings
    return ratings[ratings["system"].isin(systems)].reset_index(drop=True)


def _complete(ratings: pd.DataFrame) -> pd.DataFrame:
    """The common set, with a warning where something is left out or mixed."""
    common = common_ratings(ratings)
    if common.n_left_out or common.n_mixed:
        warnings.warn(str(common), stacklevel=3)
    return common.ratings


_TOLERANCE = 1e-9


def check_ratings(ratings: pd.DataFrame) -> None:
    """Hold that ratings are complete: every instruction has every system exactly once.

    Args:
        ratings: instruction_id, system, correct (bool), rank (1 is best, equal ones share the
            average of their places, so an instruction's n ranks sum to n (n + 1) / 2).

    Raises:
        MedAlignError: naming the first instruction and system at fault.

    >>> check_ratings(pd.DataFrame({
    ...     "instruction_id": ["1", "1"], "system": ["a", "b"],
    ...     "correct": [True, False], "rank": [1.0, 1.0]}))
    Traceback (most recent call last):
    medalign_utils.errors.MedAlignError: check_ratings: instruction 1 has ranks a 1, b 1; expected\
 a 1.5, b 1.5 (1 is best, equal ones share the average)
    """
    missing = {"instruction_id", "system", "correct", "rank"} - set(ratings.columns)
    if missing:
        raise MedAlignError(
            f"check_ratings: no column {', '.join(sorted(missing))}; "
            f"found {', '.join(map(str, ratings.columns))}"
        )
    if ratings.empty:
        raise MedAlignError("check_ratings: no ratings; expected one a response")
    key = ["instruction_id", "system"]
    if ratings[key].isna().any(axis=None):
        raise MedAlignError("check_ratings: a rating has no instruction_id or no system")
    repeated = ratings[ratings.duplicated(key, keep=False)]
    if len(repeated):
        instruction_id, system = repeated.iloc[0][key]
        rows = ((repeated[key] == (instruction_id, system)).all(axis=1)).sum()
        raise MedAlignError(
            f"check_ratings: {rows} ratings of (instruction {instruction_id}, {system}); "
            "expected 1 (several raters? keep one)"
        )
    if not pd.api.types.is_bool_dtype(ratings["correct"]) or ratings["correct"].isna().any():
        raise MedAlignError(
            f"check_ratings: column correct is {ratings['correct'].dtype}; "
            "expected True or False in every row"
        )
    ranks = ratings.pivot(index="instruction_id", columns="system", values="rank")
    rated = pd.crosstab(ratings["instruction_id"], ratings["system"]).to_numpy()
    for row, column in np.argwhere(rated == 0)[:1]:
        raise MedAlignError(
            f"check_ratings: no rating of (instruction {ranks.index[row]}, {ranks.columns[column]})"
            f"; expected {len(ranks)} instructions x {len(ranks.columns)} systems"
        )
    if not pd.api.types.is_numeric_dtype(ratings["rank"]):
        raise MedAlignError(
            f"check_ratings: column rank is {ratings['rank'].dtype}; expected numbers"
        )
    given = ranks.to_numpy(dtype=np.float64, na_value=np.nan)
    for row, column in np.argwhere(np.isnan(given))[:1]:
        raise MedAlignError(
            f"check_ratings: no rank of (instruction {ranks.index[row]}, {ranks.columns[column]})"
        )
    expected = rankdata(given, axis=1)
    for row in np.flatnonzero(~(np.abs(given - expected) < _TOLERANCE).all(axis=1))[:1]:
        raise MedAlignError(
            f"check_ratings: instruction {ranks.index[row]} has ranks "
            f"{_listed(ranks.columns, given[row])}; expected "
            f"{_listed(ranks.columns, expected[row])} (1 is best, equal ones share the average)"
        )


def patients_of(instruction_ids: pd.Index, instructions: pd.DataFrame) -> np.ndarray:
    """Return the person_id of each instruction, shape (N,).

    Raises:
        MedAlignError: if an instruction is not in the table, or is in it twice.

    >>> table = pd.DataFrame({"instruction_id": ["1", "2"], "person_id": ["p", "q"]})
    >>> patients_of(pd.Index(["2", "1"]), table).tolist()
    ['q', 'p']
    """
    repeated = instructions.loc[instructions["instruction_id"].duplicated(), "instruction_id"]
    if len(repeated):
        raise MedAlignError(f"patients_of: instruction {repeated.iloc[0]} is in the table twice")
    person_id = instructions.set_index("instruction_id")["person_id"]
    unknown = instruction_ids[~instruction_ids.isin(person_id.index)]
    if len(unknown):
        raise MedAlignError(
            f"patients_of: instruction {unknown[0]} is rated but not among the "
            f"{len(person_id)} instructions ({len(unknown)} such)"
        )
    return person_id.loc[instruction_ids].to_numpy(dtype=object)


def wide(ratings: pd.DataFrame, column: str) -> pd.DataFrame:
    """One column of the ratings as instructions x systems, both sorted.

    >>> wide(pd.DataFrame({"instruction_id": ["1", "1"], "system": ["b", "a"], "rank": [2, 1]}),
    ...     "rank").values.tolist()
    [[1, 2]]
    """
    return ratings.pivot(index="instruction_id", columns="system", values=column)


def _listed(systems: pd.Index, ranks: np.ndarray) -> str:
    return ", ".join(f"{system} {rank:g}" for system, rank in zip(systems, ranks, strict=True))
