"""Grade a run's kept responses again and compare with the verdicts of the last time."""

from typing import NamedTuple

import pandas as pd

from medalign_utils import paths
from medalign_utils.errors import MedAlignError
from medalign_utils.evaluation.ratings import rate
from medalign_utils.run import Run

_KEY = ["instruction_id", "system"]


class Regraded(NamedTuple):
    """What the installed grader says of a run's responses.

    Attributes:
        table: a row per system: system, n, correct (share), and, if there are earlier verdicts,
            correct_before, to_correct and to_wrong (counts of verdicts that moved).
        moved: instruction_id, system, correct, correct_before, of the verdicts that moved.
        graders: versions of the grader: (before, now); before is "" the first time.
    """

    table: pd.DataFrame
    moved: pd.DataFrame
    graders: tuple[str, str]


def regrade(run: Run) -> Regraded:
    """Grade a run's responses with the answer key, keep the verdicts, and compare with those kept.

    Nothing is generated. The verdicts are in `paths.ratings`; responses that are new since the
    last time do not count as moved.

    Raises:
        MedAlignError: clinicians rated the responses, or responses are missing.
        ReleaseError: the release has no answer key.
    """
    if run.source == "released":
        raise MedAlignError("clinicians rated these responses; only answer keys regrade")
    run.require_responses()
    ratings = rate(run)
    file = paths.ratings(run.experiment)
    types = {"instruction_id": str, "system": str, "grader": str}
    old = paths.read_csv(file, dtype=types) if file.is_file() else ratings.iloc[:0]
    before = old[[*_KEY, "correct"]].rename(columns={"correct": "correct_before"})
    both = ratings.merge(before, on=_KEY, how="left", validate="one_to_one")
    was_graded = both["correct_before"].notna()
    is_moved = was_graded & (both["correct_before"] != both["correct"])
    counted = both.assign(
        to_correct=is_moved & both["correct"], to_wrong=is_moved & ~both["correct"]
    )
    groups = counted.groupby("system", sort=False)
    table = groups["correct"].agg(n="size", correct="mean")
    if was_graded.any():
        table["correct_before"] = groups["correct_before"].agg(lambda known: known.dropna().mean())
        table = table.join(groups[["to_correct", "to_wrong"]].sum())
    text = paths.to_csv(ratings)
    paths.write_text(text, file, private=run.is_restricted)
    moved = both.loc[is_moved, [*_KEY, "correct", "correct_before"]].reset_index(drop=True)
    graders = ("".join(old["grader"].unique()[:1]), ratings["grader"].iloc[0])
    return Regraded(table.reset_index(), moved, graders)
