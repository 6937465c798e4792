"""The clinicians' reviews of model responses in a release."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from medalign_utils.data.ids import systems_in_two_spellings
from medalign_utils.data.tables import (
    IN_PARAMS,
    Problem,
    Table,
    at_rows,
    raise_first,
    read_table,
    require_mapped,
    truth_of,
    without_repeats,
)
from medalign_utils.errors import ReleaseError, masked

RATING_COLUMNS = ("instruction_id", "system", "rater", "correct", "rank")
# Columns that only this table has.
REVIEW_COLUMNS = ("system", "response", "correct", "rank", "rater", "used")


class Reviews(NamedTuple):
    """The table of reviewed model responses, split into ratings and responses.

    Attributes:
        ratings: instruction_id, system and rater (key), correct (bool), rank (float, 1 is best, NaN
            if missing). Raters without a name become "clinician 1", "clinician 2" ... in the order
            of a response's rows ("unnamed clinician 1" ... if a name begins with "clinician").
        responses: instruction_id and system (key), response; None if the table has no responses.
        n_not_used: number of rows that ``is_used_eval`` excludes.
        problems: faulty rows, which are in neither table.
    """

    ratings: pd.DataFrame
    responses: pd.DataFrame | None
    n_not_used: int
    problems: list[Problem]

    def of(self, instruction_ids: Collection[str]) -> "Reviews":
        """Return the reviews of responses to some instructions."""
        ratings, responses = (
            table if table is None else table[table["instruction_id"].isin(instruction_ids)]
            for table in (self.ratings, self.responses)
        )
        return self._replace(ratings=ratings, responses=responses)


def read_reviews(
    file: str | Path, *, columns: Mapping[str, str] | None = None, hint: str = IN_PARAMS
) -> Reviews:
    """Return ``clinician-reviewed-model-responses``, which has one row per response and rater.

    A row is a problem if it has no verdict (`tables.truth_of`), if its rank is not a number from 1,
    if the rater already rated this response, or if the response differs from an earlier row's.
    `hint` is that of `tables.read_table`.

    Raises:
        ParamsError: `columns` maps a column to a name that the table does not have.
        ReleaseError: as `tables.read_table`.
    """
    file, key = Path(file), ["instruction_id", "system"]
    require_mapped(columns, {file: REVIEW_COLUMNS})
    verdicts, optional = ("correct", "rank"), ("rater", "used", "response")
    options: dict[str, Any] = {"may_be_empty": verdicts, "columns": columns, "hint": hint}
    table = read_table(file, (*key, *verdicts), optional, **options)
    frame = table.frame
    correct = frame["correct"].map(truth_of, na_action="ignore")
    rank = pd.to_numeric(frame["rank"], errors="coerce")
    wrong_rank = frame["rank"].notna() & ~((rank >= 1) & np.isfinite(rank))
    fault = "binary_correct {!r}, expected 1 or 0, true or false"
    unclear = frame["correct"][correct.isna()].map(masked, na_action="ignore")
    problems = [*table.problems, *systems_in_two_spellings(table)]
    problems += at_rows(file, unclear, fault)
    fault = "rank {!r}, expected a number from 1 (the best)"
    problems += at_rows(file, frame["rank"][wrong_rank].map(masked), fault)
    frame = frame.assign(correct=correct, rank=rank.astype("float64"))
    frame = frame[correct.notna() & ~wrong_rank].astype({"correct": bool})
    stem = "clinician "
    while frame["rater"].str.startswith(stem, na=False).any():
        stem = "unnamed " + stem
    unnamed = stem + (frame.groupby(key).cumcount() + 1).astype("str")
    frame["rater"] = frame["rater"].fillna(unnamed)
    _, frame, problems, _ = without_repeats(Table(file, frame, problems), [*key, "rater"])
    responses = None
    if frame["response"].notna().any():
        frame["response"] = frame["response"].fillna("")
        differs = frame["response"] != frame.groupby(key)["response"].transform("first")
        shown = frame["system"] + " to instruction " + frame["instruction_id"]
        fault = "the response of {} differs from an earlier row"
        problems += at_rows(file, shown[differs], fault)
        frame = frame[~differs]
        responses = frame.drop_duplicates(key)[[*key, "response"]].reset_index(drop=True)
    ratings = frame[list(RATING_COLUMNS)].reset_index(drop=True)
    return Reviews(ratings, responses, table.n_not_used, problems)


def load_reviews(file: str | Path, *, columns: Mapping[str, str] | None = None) -> Reviews:
    """Return `read_reviews`; ReleaseError if a row is faulty, or no row is used."""
    reviews = read_reviews(file, columns=columns)
    raise_first(reviews.problems, Path(file).parent)
    if reviews.ratings.empty:
        raise ReleaseError(f"{file}: no row is used for the evaluation")
    return reviews
