"""The clinicians' reviews of model responses that a release brings."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from medalign_utils.data.release import REVIEW_COLUMNS
from medalign_utils.data.tables import (
    Problem,
    Table,
    raise_first,
    read_table,
    repeated_rows,
    require_mapped,
    truth_of,
)
from medalign_utils.errors import ReleaseError

RATING_COLUMNS = ("instruction_id", "system", "rater", "correct", "rank")


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
