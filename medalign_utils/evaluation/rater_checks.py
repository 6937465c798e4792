"""Checks of a review's raters: haste, one value for all, drift, agreement with oneself and others.

They are shown, and nothing is left out because of them.
"""

from itertools import combinations

import numpy as np
import pandas as pd
from scipy.stats import fisher_exact

from medalign_utils.evaluation.inter_rater import KAPPA, TAU, inter_rater_reliability
from medalign_utils.evaluation.ratings import rate_by_each
from medalign_utils.review.collected import judgements_of
from medalign_utils.run import Run

# An item is hasty if it took less than this part of the median over all raters.
HASTE = 0.2
# So many verdicts before a remark on them.
LEAST_VERDICTS = 20
# A drift is remarked on if Fisher's exact test of the two halves gives a smaller p. It takes
# verdicts to be independent, so it remarks too often rather than too seldom.
DRIFT_P = 0.01
COLUMNS = [
    "rater_code", "n_items", "n_responses", "correct", "unsure", "seconds_per_item", "hasty_items",
    "n_shared", "agreement", "n_repeated", "self_agreement", "first_half", "second_half", "remark",
]  # fmt: skip
_BY_CATEGORY = ["category", "measure", "of", "n_instructions", "n_responses", "estimate"]
_KEY = ["instruction_id", "system"]


def check_raters(run: Run) -> pd.DataFrame:
    """Return one row per rater of a run's review, in the columns `COLUMNS`; empty without a review.

    - n_items, n_responses: done, without training and repeats; shares of responses called correct,
      and that could not be judged
    - seconds_per_item: the median, without pauses; hasty_items: see `HASTE`
    - agreement: share of equal verdicts on the n_shared responses that another rater judged, too
    - self_agreement: share of equal verdicts on the n_repeated responses of hidden repeats
    - first_half, second_half: share called correct in each half of the rater's items
    - remark: what to look into
    """
    if run.ratings != "collected":
        return pd.DataFrame(columns=COLUMNS)
    table = judgements_of(run)
    shown = table[table["done"] & table["letter"].ne("")]
    judged = shown[shown["kind"] == "judge"]
    times = judged.drop_duplicates(["rater", "item"])["seconds"]
    hasty = HASTE * times.median()
    agreed = _agreement(judged)
    rows = [
        _row(rater, own, shown[shown["rater"] == rater], hasty, agreed.get(rater, (0, np.nan)))
        for rater, own in judged.groupby("rater", sort=False)
    ]
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


def _row(
    rater: str, own: pd.DataFrame, shown: pd.DataFrame, hasty: float, agreed: tuple[int, float]
) -> list[object]:
    items = own.drop_duplicates("item")
    verdicts = own["correct"].dropna().astype(bool)
    n_hasty = int((items["seconds"] < hasty).sum())
    again = shown[shown["kind"] == "repeat"].merge(own, on=_KEY, suffixes=("", "_before"))
    again = again.dropna(subset=["correct", "correct_before"])
    self_agreement = (again["correct"] == again["correct_before"]).mean() if len(again) else np.nan
    halves = np.array_split(verdicts.to_numpy(), 2)
    remarks = []
    if len(verdicts) >= LEAST_VERDICTS:
        if verdicts.nunique() == 1:
            remarks.append("one verdict for all responses")
        counts = [[half.sum(), (~half).sum()] for half in halves]
        if fisher_exact(counts).pvalue < DRIFT_P:
            remarks.append("the two halves differ")
    if n_hasty:
        remarks.append("hasty items")
    first, second = (half.mean() if len(half) else np.nan for half in halves)
    return [
        rater,
        len(items),
        len(own),
        verdicts.mean() if len(verdicts) else np.nan,
        own["verdict"].eq("unsure").mean(),
        items["seconds"].median(),
        n_hasty,
        *agreed,
        len(again),
        self_agreement,
        first,
        second,
        "; ".join(remarks),
    ]


def _agreement(judged: pd.DataFrame) -> dict[str, tuple[int, float]]:
    """Return each rater's number of verdicts shared with others, and the share that are equal."""
    known = judged.dropna(subset=["correct"])
    by_rater = {
        rater: own.set_index(_KEY)["correct"].astype(bool)
        for rater, own in known.groupby("rater", sort=False)
    }
    equal: dict[str, list[bool]] = {rater: [] for rater in by_rater}
    for first, second in combinations(by_rater, 2):
        both = by_rater[first].to_frame("a").join(by_rater[second].rename("b"), how="inner")
        same = (both["a"] == both["b"]).tolist()
        equal[first] += same
        equal[second] += same
    return {r: (len(same), float(np.mean(same)) if same else np.nan) for r, same in equal.items()}
