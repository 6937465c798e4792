"""How far each rater is, and how long the rest will take."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from medalign_utils.review.folder import read_items, read_plan
from medalign_utils.review.journal import Journal
from medalign_utils.review.state import Judgement, replay, submissions


def is_done(item: Mapping[str, Any], judgement: Judgement | None) -> bool:
    """Return whether a rater has finished an item: said so, and left nothing out."""
    if judgement is None or not judgement.done:
        return False
    return not judgement.missing(item.get("responses") or ())


def progress(folder: Path) -> pd.DataFrame:
    """Return one row per rater of a review.

    The columns are rater, items, done, left, flagged, minutes_per_item (the median of the items
    done, without pauses; NaN if there are none) and minutes_left. Where instructions are submitted,
    there are no items, and done counts submissions.
    """
    plan = read_plan(folder)
    rows = []
    for rater in plan["raters"]:
        lines = Journal(folder, rater).lines
        if plan["mode"] == "submit":
            row = {"items": 0, "done": len(submissions(lines)), "left": 0, "flagged": 0}
            rows.append({"rater": rater} | row)
        else:
            rows.append({"rater": rater} | of_rater(read_items(folder, rater), replay(lines)))
    columns = ["rater", "items", "done", "left", "flagged", "minutes_per_item", "minutes_left"]
    return pd.DataFrame(rows, columns=columns)


def of_rater(
    items: Sequence[Mapping[str, Any]], judgements: Mapping[str, Judgement]
) -> dict[str, Any]:
    """Return a row of `progress`, without rater, from a rater's items and judgements so far."""
    done = [item["item"] for item in items if is_done(item, judgements.get(item["item"]))]
    left = len(items) - len(done)
    minutes = [judgements[name].seconds / 60 for name in done]
    per_item = float(np.median(minutes)) if minutes else np.nan
    return {
        "items": len(items),
        "done": len(done),
        "left": left,
        "flagged": sum(judgement.flag is not None for judgement in judgements.values()),
        "minutes_per_item": per_item,
        "minutes_left": per_item * left if left else 0.0,
    }
