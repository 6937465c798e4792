"""Who judged the responses, and how: the clinicians of a release, or the answer key.

`responses` says which responses an experiment is about: "generated" ones, of this run, which only
an answer key can rate; or the "released" ones, which a release brings together with the clinicians'
verdicts on them.
"""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from medalign_utils import paths
from medalign_utils.dataset import REVIEW_COLUMNS, Release
from medalign_utils.errors import MedAlignError, ReleaseError
from medalign_utils.grading import load_answer_key, rate_with_answer_key
from medalign_utils.running import read_responses
from medalign_utils.tables import (
    Problem,
    Table,
    raise_first,
    read_table,
    repeated_rows,
    require_mapped,
    truth_of,
)

RATING_COLUMNS = ("instruction_id", "system", "rater", "correct", "rank")
COMBINATIONS = ("first", "majority")
SOURCES = ("generated", "released")


class Reviews(NamedTuple):
    """The table of reviewed model responses, taken apart.

    Attributes:
        ratings: instruction_id, system, rater (key), correct (bool), rank (float, 1 is best; NaN
            where the rater gave none). A rater who is not named is "clinician 1" for a response's
            first row, "clinician 2" for its second ("unnamed clinician 1" where raters are really
            called so).
        responses: instruction_id, system (key), response; None where the table has no column for
            it. An empty response is "".
        n_not_used: rows that ``is_used_eval`` leaves out of the evaluation, whatever they hold.
        problems: rows at fault, which are in neither table.
    """

    ratings: pd.DataFrame
    responses: pd.DataFrame | None
    n_not_used: int
    problems: list[Problem]


def read_reviews(file: str | Path, *, columns: Mapping[str, str] | None = None) -> Reviews:
    """Read ``clinician-reviewed-model-responses``, a row a response and rater.

    ``binary_correct`` and ``is_used_eval`` are read in the spellings 1, 0, true, false, yes, no, y,
    n, correct, incorrect, in any case; without a column ``is_used_eval`` every row is used.

    Args:
        file: the table, ``.tsv`` or ``.csv``.
        columns: our column -> the table's, tried before those of `tables.COLUMN_NAMES`.

    Returns:
        See :class:`Reviews`. Rows without a verdict, with a rank that is no number from 1, rated
        twice by one rater, or whose response differs from the one given further up are problems.

    Raises:
        ReleaseError: as `tables.read_table`, for a missing column among others.
        ParamsError: the table lacks a column that only it may have and that `columns` maps.
    """
    file = Path(file)
    require_mapped(columns, {file: REVIEW_COLUMNS})
    table = read_table(
        file,
        ("instruction_id", "system", "correct", "rank"),
        ("rater", "used", "response"),
        may_be_empty=("correct", "rank"),
        columns=columns,
    )
    frame, problems = table.frame, list(table.problems)
    correct = frame["correct"].map(truth_of, na_action="ignore")
    rank = pd.to_numeric(frame["rank"], errors="coerce")
    wrong_rank = frame["rank"].notna() & ~((rank >= 1) & np.isfinite(rank))
    for row in frame.index[correct.isna()]:
        fault = f"binary_correct {frame.at[row, 'correct']!r}, expected 1 or 0, true or false"
        problems.append(Problem(file, f"row {row}", fault))
    for row in frame.index[wrong_rank]:
        fault = f"rank {frame.at[row, 'rank']!r}, expected a number from 1 (the best)"
        problems.append(Problem(file, f"row {row}", fault))
    kept = frame[correct.notna() & ~wrong_rank]
    order = kept.groupby(["instruction_id", "system"]).cumcount() + 1
    stem = "clinician "
    while kept["rater"].str.startswith(stem, na=False).any():
        stem = "unnamed " + stem  # nobody gets the name of a rater who has one
    unnamed = stem + order.astype("str")
    kept = kept.assign(
        rater=kept["rater"].fillna(unnamed),
        correct=correct[kept.index].astype(bool),
        rank=rank[kept.index].astype("float64"),
    )
    problems += repeated_rows(Table(file, kept, []), ["instruction_id", "system", "rater"])
    kept = kept.drop_duplicates(["instruction_id", "system", "rater"])
    responses, conflicts = _responses(file, kept)
    return Reviews(
        ratings=kept[list(RATING_COLUMNS)].reset_index(drop=True),
        responses=responses,
        n_not_used=table.n_left_out,
        problems=problems + conflicts,
    )


def load_reviews(file: str | Path, *, columns: Mapping[str, str] | None = None) -> Reviews:
    """As `read_reviews`, but a table with problems is refused.

    Raises:
        ReleaseError: also for a row at fault; the message names it.
    """
    reviews = read_reviews(file, columns=columns)
    raise_first(reviews.problems, Path(file).parent)
    if reviews.ratings.empty:
        raise ReleaseError(f"{file}: no row is used for the evaluation")
    return reviews


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
    if _is_released(responses):
        ratings = _reviews(release, systems).ratings
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
    if not _is_released(responses):
        return rate_responses(release, experiment, systems, responses=responses)
    ratings = _reviews(release, systems).ratings
    return ratings[ratings["system"].isin(systems)].reset_index(drop=True)


def responses_of(
    release: Release,
    experiment: str,
    system: str,
    responses: str = "generated",
    *,
    shard: int = 1,
    shards: int = 1,
) -> pd.DataFrame:
    """One system's responses: instruction_id, system, response, and of this run's more columns.

    Of `shards` shards of generated responses only those of one.

    Raises:
        ReleaseError: the release brings no responses of the system.
        MedAlignError: `responses` is unknown, or the run's file cannot be read.
    """
    if not _is_released(responses):
        return read_responses(paths.part(paths.responses(experiment, system), shard, shards))
    table = _reviews(release, [system]).responses
    if table is None:
        raise ReleaseError(
            f"{release.reviews_path}: no column holds the responses; "
            "`columns: {response: <name>}` in params names one"
        )
    return table[table["system"] == system].reset_index(drop=True)


def _complete(ratings: pd.DataFrame) -> pd.DataFrame:
    """The common set, with a warning where something is left out or mixed."""
    common = common_ratings(ratings)
    if common.n_left_out or common.n_mixed:
        warnings.warn(str(common), stacklevel=3)
    return common.ratings


def _is_released(responses: str) -> bool:
    if responses not in SOURCES:
        raise MedAlignError(f"responses: {responses!r}, expected one of {', '.join(SOURCES)}")
    return responses == "released"


def _reviews(release: Release, systems: Sequence[str]) -> Reviews:
    if release.reviews_path is None:
        raise ReleaseError(f"{release.path} brings no clinician-reviewed-model-responses table")
    reviews = load_reviews(release.reviews_path, columns=release.columns)
    found = sorted(reviews.ratings["system"].unique())
    for system in systems:
        if system not in found:
            raise ReleaseError(
                f"{release.reviews_path}: no ratings of {system!r}; systems: {', '.join(found)}"
            )
    return reviews


def _responses(file: Path, kept: pd.DataFrame) -> tuple[pd.DataFrame | None, list[Problem]]:
    if kept["response"].isna().all():
        return None, []
    filled = kept.assign(response=kept["response"].fillna(""))
    first = filled.drop_duplicates(["instruction_id", "system"])
    texts = first.set_index(["instruction_id", "system"])["response"]
    problems = [
        Problem(
            file,
            f"row {row}",
            f"another response of {values.system} to instruction {values.instruction_id} than "
            "further up",
        )
        for row, values in zip(filled.index, filled.itertuples(index=False), strict=True)
        if values.response != texts[(values.instruction_id, values.system)]
    ]
    return first[["instruction_id", "system", "response"]].reset_index(drop=True), problems
