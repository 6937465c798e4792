"""How far a review is, and how much wider intervals are than they will be at its end."""

from typing import NamedTuple

import pandas as pd

from medalign_utils.evaluation.ratings import patients_of, wide
from medalign_utils.review.collected import judgements_of
from medalign_utils.run import Run
from medalign_utils.stats.proportions import Proportions


class Progress(NamedTuple):
    """Numbers of instructions and of their patients: planned, and with ratings of all systems."""

    n_planned: int
    n_rated: int
    n_patients_planned: int
    n_left: int  # items of raters

    @property
    def is_provisional(self) -> bool:
        """Whether raters have items left."""
        return self.n_left > 0

    def __str__(self) -> str:
        """Return a sentence."""
        counts = f"{self.n_rated} of {self.n_planned} instructions have ratings of all systems"
        if self.is_provisional:
            return f"Provisional: {counts}, and raters have {self.n_left} items left."
        return f"The review is done: {counts}."


def progress_of(run: Run, rated: pd.DataFrame) -> Progress | None:
    """Return how far a run's review is, given its common ratings; None if none was collected."""
    if run.ratings != "collected":
        return None
    items = judgements_of(run)
    items = items[items["kind"] == "judge"]
    left = items[~items["done"]].drop_duplicates(["rater", "item"])
    n_rated = rated["instruction_id"].nunique()
    planned = items["instruction_id"].nunique(), n_rated, items["person_id"].nunique()
    return Progress(*planned, n_left=len(left))


def when_complete(
    rated: pd.DataFrame, instructions: pd.DataFrame, progress: Progress | None
) -> pd.DataFrame:
    """Return the width of each system's 95% interval now and, as expected, at the review's end.

    The columns are system, n, width, n_planned, width_planned, and wider: the part by which the
    first width exceeds the second. Share and design effect are taken to stay as they are now. The
    table is empty if the review is done, or there is none.
    """
    columns = ["system", "n", "width", "n_planned", "width_planned", "wider"]
    if progress is None or not progress.is_provisional:
        return pd.DataFrame(columns=columns)
    correct = wide(rated, "correct").astype(float)
    patients = patients_of(correct.index, instructions)
    now = Proportions.of(correct.to_numpy(), patients)
    more = progress.n_planned / len(correct)
    n_patients = max(progress.n_patients_planned, len(set(patients)))
    then = now._replace(
        effective_n=now.effective_n * more, n_patients=now.n_patients * 0 + n_patients
    )
    widths = [[i.high - i.low for i in which.intervals()] for which in (now, then)]
    table = pd.DataFrame({"system": list(correct), "n": len(correct), "width": widths[0]})
    table = table.assign(n_planned=progress.n_planned, width_planned=widths[1])
    return table.assign(wider=table["width"] / table["width_planned"] - 1)[columns]
