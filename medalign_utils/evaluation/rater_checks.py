"""Checks of a review's raters: haste, one verdict for all, drift, order, agreement.

They are shown, and nothing is left out because of them.
"""

import numpy as np
import pandas as pd
from scipy.stats import fisher_exact

from medalign_utils.evaluation.inter_rater import KAPPA, TAU, inter_rater_reliability
from medalign_utils.evaluation.ratings import rate_by_each
from medalign_utils.review.collected import judgements_of
from medalign_utils.run import Run
from medalign_utils.stats.bootstrap import Interval
from medalign_utils.stats.proportions import Proportions

# An item is hasty if it took less than this part of the median over all raters, or of the rater's.
HASTE = 0.2
# So many verdicts before a remark on them.
LEAST_VERDICTS = 20
# Two parts of a rater's verdicts are remarked on if Fisher's exact test gives a smaller p. It takes
# verdicts to be independent, so it remarks too often rather than too seldom.
DIFFERENCE_P = 0.01
ALL = "all raters"
COLUMNS = [
    "rater_code", "n_items", "n_responses", "correct", "unsure", "seconds_per_item", "hasty_items",
    "n_shared", "agreement", "agreement_low", "agreement_high", "agreement_first_half",
    "agreement_second_half", "n_repeated", "self_agreement", "first_half", "second_half",
    "first_letters", "last_letters", "remark",
]  # fmt: skip
_BY_CATEGORY = ["category", "measure", "of", "n_instructions", "n_responses", "estimate"]
_KEY = ["instruction_id", "system"]


def check_raters(run: Run) -> pd.DataFrame:
    """Return one row per rater of a run's review, and one of all; empty without a review.

    The columns are `COLUMNS`:

    - n_items, n_responses: done, without training and repeats; a text that several systems gave
      counts once. Shares of responses called correct, and that could not be judged.
    - seconds_per_item: the median, without pauses; hasty_items: see `HASTE`
    - agreement: share of equal verdicts among n_shared, each a response with the verdict of one
      other rater, with its interval over patients; and in each half of the rater's items
    - self_agreement: share of equal verdicts on the n_repeated responses of hidden repeats
    - first_half, second_half: share called correct in each half of the rater's items
    - first_letters, last_letters: in the upper and the lower half of the page; letters are drawn by
      lot, so the two differ by chance only, unless the order sways a rater
    - remark: what to look into

    A rater's patients are drawn by lot, so their number reveals nothing of a patient.
    """
    if run.ratings != "collected":
        return pd.DataFrame(columns=COLUMNS)
    table = judgements_of(run)
    shown = table[table["done"] & table["letter"].ne("")]
    # Systems that gave the same text share a letter, and its verdict.
    shown = shown.drop_duplicates(["rater", "item", "letter"])
    judged = _with_places(shown[shown["kind"] == "judge"])
    pairs = _pairs(judged)
    again = shown[shown["kind"] == "repeat"].merge(
        judged, on=["rater", *_KEY], suffixes=("", "_before")
    )
    rows = [
        _row(rater, own, *(part[part["rater"] == rater] for part in (pairs, again)))
        for rater, own in judged.groupby("rater", sort=False)
    ]
    if len(rows) > 1:
        rows.append(_row(ALL, judged, pairs[pairs["rater"] < pairs["other"]], again))
    return pd.DataFrame(rows, columns=COLUMNS)


def agreement_by_category(run: Run) -> pd.DataFrame:
    """Return kappa and tau-b between the raters of a review, by category of instruction.

    Categories of the release, merged if it is restricted; see `Run.grouped_instructions`. Empty
    without a review.
    """
    if run.ratings != "collected":
        return pd.DataFrame(columns=[*_BY_CATEGORY, "estimate_low", "estimate_high"])
    ratings, instructions = rate_by_each(run), run.release.instructions
    grouped = run.grouped_instructions(ratings["instruction_id"])
    category = grouped.set_index("instruction_id")["category"]
    parts = []
    for name, own in ratings.groupby(ratings["instruction_id"].map(category)):
        found = inter_rater_reliability(own, instructions, bootstrap=run.bootstrap)
        found = found[found["measure"].isin([KAPPA, TAU]) & found["reason"].eq("")]
        parts.append(found.assign(category=name))
    columns = [*_BY_CATEGORY, "estimate_low", "estimate_high"]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def _with_places(judged: pd.DataFrame) -> pd.DataFrame:
    """Add whether a response is late in its rater's work, low on its page, and hasty."""
    items = judged.drop_duplicates(["rater", "item"])
    middle = items.groupby("rater")["position"].median()
    usual = items.groupby("rater")["seconds"].median().clip(lower=items["seconds"].median())
    letters = judged.groupby(["rater", "item"])["letter"]
    return judged.assign(
        is_late=judged["position"] > judged["rater"].map(middle),
        is_low=letters.rank() > (letters.transform("size") + 1) / 2,
        is_hasty=judged["seconds"] < HASTE * judged["rater"].map(usual),
    )


def _pairs(judged: pd.DataFrame) -> pd.DataFrame:
    """Return one row per verdict and verdict of another rater on the same response."""
    known = judged.dropna(subset="correct")
    others = known[[*_KEY, "rater", "correct"]].rename(columns={"rater": "other", "correct": "by"})
    pairs = known.merge(others, on=_KEY)
    pairs = pairs[pairs["rater"] != pairs["other"]]
    return pairs.assign(same=(pairs["correct"] == pairs["by"]).astype(float))


def _row(
    rater: str, own: pd.DataFrame, pairs: pd.DataFrame, again: pd.DataFrame
) -> dict[str, object]:
    items, known = own.drop_duplicates(["rater", "item"]), own.dropna(subset="correct")
    known = known.astype({"correct": bool})
    again = again.dropna(subset=["correct", "correct_before"])
    agreement = Interval(np.nan, np.nan, np.nan)
    if len(pairs):
        same = pairs["same"].to_numpy()[:, np.newaxis]
        [agreement] = Proportions.of(same, pairs["person_id"].to_numpy()).intervals()
    n_hasty = int(items["is_hasty"].sum())
    remarks = []
    if len(known) >= LEAST_VERDICTS:
        if known["correct"].nunique() == 1:
            remarks.append("one verdict for all responses")
        if _differ(known, "is_late"):
            remarks.append("the two halves differ")
        if _differ(known, "is_low"):
            remarks.append("first and last letters differ")
    if n_hasty:
        remarks.append("hasty items")
    return {
        "rater_code": rater,
        "n_items": len(items),
        "n_responses": len(own),
        "correct": known["correct"].mean(),
        "unsure": own["verdict"].eq("unsure").mean(),
        "seconds_per_item": items["seconds"].median(),
        "hasty_items": n_hasty,
        "n_shared": len(pairs),
        "agreement": agreement.estimate,
        "agreement_low": agreement.low,
        "agreement_high": agreement.high,
        "agreement_first_half": pairs.loc[~pairs["is_late"], "same"].mean(),
        "agreement_second_half": pairs.loc[pairs["is_late"], "same"].mean(),
        "n_repeated": len(again),
        "self_agreement": (again["correct"] == again["correct_before"]).astype(float).mean(),
        "first_half": known.loc[~known["is_late"], "correct"].mean(),
        "second_half": known.loc[known["is_late"], "correct"].mean(),
        "first_letters": known.loc[~known["is_low"], "correct"].mean(),
        "last_letters": known.loc[known["is_low"], "correct"].mean(),
        "remark": "; ".join(remarks),
    }


def _differ(known: pd.DataFrame, column: str) -> bool:
    """Return whether the share called correct differs by a column of true and false."""
    parts = [known.loc[known[column] == value, "correct"] for value in (False, True)]
    counts = [[part.sum(), (~part).sum()] for part in parts]
    return fisher_exact(counts).pvalue < DIFFERENCE_P
