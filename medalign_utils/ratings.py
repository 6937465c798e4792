"""Who judged the responses, and how: the clinicians of a release, or the answer key.

`responses` says which responses an experiment is about: "generated" ones, of this run, which only
an answer key can rate; or the "released" ones, which a release brings together with the clinicians'
verdicts on them.
"""

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


def one_rating(ratings: pd.DataFrame, combine: str = "first") -> pd.DataFrame:
    """One rating a response, from those of all raters, and only instructions rated throughout.

    Args:
        ratings: as `Reviews` has them.
        combine: ``"first"`` takes the verdict and the rank of the instruction's first rater in the
            table's order, and of a response that this rater did not judge or did not rank those of
            the first who did; ``"majority"`` the verdict of most raters (of as many each way, that
            of the first) and the median rank.

    Returns:
        instruction_id, system, rater ("first" keeps the name, "majority" says "majority"), correct,
        rank. Left out are instructions that lack a system's rating or a rank. Ranks are then made
        1 to n within each instruction, equal ones sharing their average, so they sum to
        n (n + 1) / 2 however the raters wrote ties down.

    Raises:
        MedAlignError: `combine` is neither.

    >>> ratings = pd.DataFrame({
    ...     "instruction_id": ["1"] * 4, "system": ["a", "a", "b", "b"],
    ...     "rater": ["x", "y"] * 2, "correct": [True, False, True, True],
    ...     "rank": [1.0, 4.0, 1.0, 2.0]})
    >>> one_rating(ratings)[["correct", "rank"]].values.tolist()
    [[True, 1.5], [True, 1.5]]
    >>> one_rating(ratings, "majority")[["correct", "rank"]].values.tolist()
    [[True, 2.0], [True, 1.0]]
    """
    if combine not in COMBINATIONS:
        raise MedAlignError(
            f"one_rating: combine {combine!r}, expected one of {', '.join(COMBINATIONS)}"
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
        one["rank"] = groups["rank"].median().to_numpy()
        one["rater"] = "majority"
    n_systems = one["system"].nunique()
    rated = one["rank"].notna().groupby(one["instruction_id"]).transform("sum")
    one = one[rated == n_systems].reset_index(drop=True)
    one["rank"] = one.groupby("instruction_id")["rank"].rank()
    one["correct"] = one["correct"].astype(bool)
    return one[list(RATING_COLUMNS)]


def rate(
    release: Release,
    experiment: str,
    systems: Sequence[str],
    *,
    responses: str = "generated",
    combine: str = "first",
) -> pd.DataFrame:
    """The ratings by which an experiment's systems are evaluated.

    Args:
        release: as `dataset.load_release` gives it.
        experiment: whose responses are rated, if they are generated.
        systems: their names; of released ones as the release's table has them.
        responses: one of `SOURCES`.
        combine: as for `one_rating`.

    Returns:
        The columns of `RATING_COLUMNS`, one row a response.

    Raises:
        ReleaseError: there is no answer key for generated responses, no table of reviews for
            released ones, or no row of one of the systems in it.
        MedAlignError: `responses` or `combine` is unknown, or a generated response cannot be rated.
    """
    if _is_released(responses):
        ratings = _reviews(release, systems).ratings
        return one_rating(ratings[ratings["system"].isin(systems)], combine)
    if release.answer_key_path is None:
        raise ReleaseError(
            f"{release.path} has no answer-key.jsonl, so it cannot rate responses of this run; "
            "`responses: released` in params evaluates those that clinicians rated"
        )
    files = [paths.responses(experiment, system) for system in systems]
    table = pd.concat([read_responses(file) for file in files], ignore_index=True)
    return rate_with_answer_key(table, load_answer_key(release.answer_key_path))


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
