"""What raters have said, with the systems' names: journals and key put together."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from medalign_utils.data.reviews import RATING_COLUMNS
from medalign_utils.errors import MedAlignError
from medalign_utils.paths import short
from medalign_utils.review.folder import (
    key_file,
    plan_file,
    read_items,
    read_key,
    read_plan,
    review_folder,
)
from medalign_utils.review.journal import Journal
from medalign_utils.review.progress import is_done
from medalign_utils.review.state import Judgement, average_ranks, replay
from medalign_utils.run import Run

_COLUMNS = {
    "rater": "str",
    "item": "str",
    "position": "int64",
    "kind": "str",
    "round": "int64",
    "instruction_id": "str",
    "person_id": "str",
    "category": "str",
    "system": "str",
    "letter": "str",
    "verdict": "str",
    "correct": "boolean",
    "rank": "float64",
    "harm": "str",
    "marks": "object",
    "comment": "str",
    "item_comment": "str",
    "flag": "str",
    "done": "bool",
    "done_at": "str",
    "reference_seen": "bool",
    "seconds": "float64",
    "n_changes": "int64",
    "response": "str",
}


class Collected(NamedTuple):
    """The ratings of a review so far.

    Attributes:
        ratings: instruction_id, system and rater (key), correct (bool), rank (1 is best, ties share
            their average, NaN where the rater gave none), of the items that are done.
        n_unsure: responses that their rater could not judge, which have no rating.
        n_changed: ratings left out because the run's response has changed since the plan.
        n_items, n_done: items to judge, without training and repeats, and how many are done.
    """

    ratings: pd.DataFrame
    n_unsure: int
    n_changed: int
    n_items: int
    n_done: int

    def notes(self) -> list[str]:
        """Return sentences on what has no rating."""
        notes = []
        if self.n_done < self.n_items:
            notes.append(f"{self.n_done} of {self.n_items} items of the review are done")
        if self.n_unsure:
            notes.append(f"{self.n_unsure} responses that raters could not judge have no rating")
        if self.n_changed:
            notes.append(
                f"{self.n_changed} ratings are left out, because the run's responses are no longer "
                "those that were judged"
            )
        return notes


def ratings_of(run: Run) -> pd.DataFrame:
    """Return the ratings of a run's responses by its review; see `Collected.ratings`.

    A warning says what has no rating. Training, repeats and adjudication are not among them.

    Raises:
        MedAlignError: there is no review of the experiment, or nothing is done yet.
    """
    collected = collect(run)
    if collected.ratings.empty:
        folder = review_folder(run.experiment)
        raise MedAlignError(
            f"{short(folder)}: no rating yet of this run's systems; {collected.n_done} of "
            f"{collected.n_items} items are done (`python -m medalign_utils review status`)"
        )
    if notes := collected.notes():
        warnings.warn(f"{run.experiment}: {'; '.join(notes)}", stacklevel=2)
    return collected.ratings


def is_begun(experiment: str) -> bool:
    """Return whether any response of an experiment's review has been judged, training apart."""
    folder = review_folder(experiment)
    if not plan_file(folder).is_file():
        return False
    plan = read_plan(folder)
    for rater in plan["raters"] if plan["mode"] == "judge" else ():
        judgements = replay(Journal(folder, rater).lines)
        for item in read_items(folder, rater):
            if item["kind"] == "judge" and is_done(item, judgements.get(item["item"])):
                return True
    return False


def files_of(experiment: str) -> list[Path]:
    """Return the files on which the ratings of a review depend."""
    folder = review_folder(experiment)
    return [plan_file(folder), key_file(folder), *sorted(folder.glob("raters/*/*.jsonl"))]


def adjudicated_of(run: Run) -> pd.DataFrame:
    """Return the last adjudicated verdict of each response: instruction_id, system, correct."""
    table = judgements_of(run)
    final = table[table["kind"].eq("adjudicate") & table["done"] & table["correct"].notna()]
    final = final.sort_values(["round", "done_at"], kind="stable")
    key = ["instruction_id", "system"]
    final = final.drop_duplicates(key, keep="last")[[*key, "correct"]]
    return final.astype({"correct": bool}).reset_index(drop=True)


def collect(run: Run) -> Collected:
    """Return the ratings of a run's systems so far, which may be none, and counts."""
    table = judgements_of(run)
    judged = table[table["kind"] == "judge"]
    items = judged.drop_duplicates("item")
    rows = judged[judged["done"] & judged["system"].isin(run.systems)]
    texts: dict[tuple[str, str], str] = {}
    for system in run.systems:
        given = run.responses(system)
        texts |= dict(zip(zip(given["instruction_id"], given["system"], strict=True),
                          given["response"].fillna(""), strict=True))  # fmt: skip
    pairs = zip(rows["instruction_id"], rows["system"], strict=True)
    shown = rows["response"].fillna("")
    is_same = np.array([texts.get(pair) for pair in pairs], dtype=object) == shown
    is_same |= rows["letter"].eq("")  # a response that had failed was not shown
    unsure = rows["verdict"].eq("unsure")
    ratings = rows[is_same & ~unsure].astype({"correct": bool})[list(RATING_COLUMNS)]
    return Collected(
        ratings.reset_index(drop=True),
        n_unsure=int((unsure & is_same).sum()),
        n_changed=int((~is_same).sum()),
        n_items=len(items),
        n_done=int(items["done"].sum()),
    )


def judgements_of(run: Run) -> pd.DataFrame:
    """Return all that raters have said, one row per rater, item and system, in the raters' order.

    Items that are not begun are there, too. The columns are

    - rater, item, position (from 1), kind, round, instruction_id, person_id, category
    - system, letter ("" if the system failed to answer), response (as shown)
    - verdict ("correct", "incorrect", "unsure" or missing), correct (missing if unsure), rank
    - harm, marks (a list), comment
    - item_comment, flag, done, done_at, reference_seen, seconds, n_changes: of the item

    Raises:
        MedAlignError: there is no review of the experiment, or a file of it is damaged.
    """
    folder = review_folder(run.experiment)
    plan, key = read_plan(folder), read_key(folder)
    rows = [row for rater in plan["raters"] for row in _rows_of(folder, rater, key.get(rater, {}))]
    return pd.DataFrame(rows, columns=list(_COLUMNS)).astype(_COLUMNS)


def _rows_of(
    folder: Path, rater: str, key: Mapping[str, Mapping[str, Sequence[str]]]
) -> Iterator[dict[str, Any]]:
    judgements = replay(Journal(folder, rater).lines)
    for position, item in enumerate(read_items(folder, rater), 1):
        name = item["item"]
        systems = key.get(name)
        if systems is None:
            if item.get("responses"):
                raise MedAlignError(f"{short(folder)}/key.json: nothing about item {name}")
            continue
        judgement = judgements.get(name, Judgement())
        ranks = _ranks(judgement.rank, systems)
        about_item = {
            "rater": rater,
            "position": position,
            "round": item.get("round", 1),
            **{x: item[x] for x in ("item", "kind", "instruction_id", "person_id", "category")},
            "item_comment": judgement.comments.get(""),
            "flag": judgement.flag,
            "done": is_done(item, judgement),
            **{x: getattr(judgement, x) for x in ("done_at", "reference_seen", "seconds")},
            "n_changes": judgement.n_changes,
        }
        for letter, named in systems.items():
            verdict = judgement.verdicts.get(letter) if letter else "incorrect"
            for system in named:
                yield about_item | {
                    "system": system,
                    "letter": letter,
                    "verdict": verdict,
                    "correct": {"correct": True, "incorrect": False}.get(verdict),
                    "rank": ranks.get(system, np.nan),
                    "harm": judgement.harm.get(letter),
                    "marks": judgement.marks.get(letter, []),
                    "comment": judgement.comments.get(letter) if letter else None,
                    "response": item["responses"].get(letter),
                }


def _ranks(rank: Sequence[Sequence[str]], systems: Mapping[str, Sequence[str]]) -> dict[str, float]:
    """Return the ranks of systems: those with one text share a rank, those that failed are last."""
    letters = [letter for letter in systems if letter]
    rank = rank or ([letters] if len(letters) == 1 else [])
    tied = [[s for letter in group for s in systems.get(letter, ())] for group in rank]
    return average_ranks([*tied, systems.get("", [])]) if tied else {}
