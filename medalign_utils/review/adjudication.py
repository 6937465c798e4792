"""A second pass over what raters disagree on, blinded to systems and to who said what."""

import random
import secrets
import string
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from medalign_utils.errors import MedAlignError
from medalign_utils.paths import short
from medalign_utils.review import folder as files
from medalign_utils.review.collected import judgements_of
from medalign_utils.run import Run

ADJUDICATE = "adjudicate"


def disagreements(run: Run) -> pd.DataFrame:
    """Return the items to adjudicate: instruction_id, rater and item of its first judgement, why.

    Raters gave a response different verdicts, or one of them flagged the item for discussion.
    """
    table = judgements_of(run)
    judged = table[table["kind"].eq("judge") & table["done"]]
    shown = judged[judged["letter"] != ""]
    n_verdicts = shown.groupby(["instruction_id", "system"])["verdict"].nunique()
    differ = set(n_verdicts[n_verdicts > 1].index.get_level_values(0))
    flagged = set(judged.loc[judged["flag"].notna(), "instruction_id"])
    first = judged.drop_duplicates("instruction_id")[["instruction_id", "rater", "item"]]
    first = first[first["instruction_id"].isin(differ | flagged)]
    why = ["verdicts differ" if i in differ else "flagged" for i in first["instruction_id"]]
    return first.assign(why=why).reset_index(drop=True)


def add_adjudication(run: Run, rater: str = "A1") -> int:
    """Give an adjudicator what is in `disagreements` and not yet adjudicated; return how much.

    The adjudicator is added to the plan with a link; items of an earlier call stay first. Nothing
    of other raters changes, and their verdicts stay beside the adjudicator's.

    Raises:
        MedAlignError: there is no plan, raters judge nothing in it, or the rater judges in it.
    """
    folder = files.review_folder(run.experiment)
    plan = files.read_plan(folder)
    if plan["mode"] != "judge":
        raise MedAlignError(f"{short(folder)}: raters judge no responses in it to disagree on")
    is_known = rater in plan["raters"]
    items = files.read_items(folder, rater) if is_known else []
    if any(item["kind"] != ADJUDICATE for item in items):
        raise MedAlignError(f"{rater} judges in this review; choose another code, such as A1")
    key = files.read_key(folder)
    own = key.get(rater, {})
    asked = {item["instruction_id"] for item in _adjudicated(folder, plan)}
    found = disagreements(run)
    found = found[~found["instruction_id"].isin(asked)]
    if found.empty:
        return 0
    plan["round"] = plan.get("round", 1) + 1
    for number, row in enumerate(found.itertuples(), len(items) + 1):
        judged = next(i for i in files.read_items(folder, row.rater) if i["item"] == row.item)
        name = f"{rater}-{number:03}"
        seed = f"{plan['seed']} {rater} {row.instruction_id}"
        letters, systems = _relabelled(judged["responses"], key[row.rater][row.item], seed)
        changed = {"item": name, "kind": ADJUDICATE, "responses": letters, "feedback": None}
        items.append(judged | changed | {"round": plan["round"]})
        own[name] = systems
    # The plan is last, so that a kill before it leaves the review as it was.
    files.write_items(items, files.items_file(folder, rater))
    files.write_json(key | {rater: own}, files.key_file(folder))
    if not is_known:
        links = files.read_secrets(folder) | {rater: secrets.token_urlsafe(32)}
        files.write_json(links, files.secrets_file(folder))
        plan["raters"].append(rater)
    files.write_json(plan, files.plan_file(folder))
    return len(found)


def _adjudicated(folder: Path, plan: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for rater in plan["raters"]:
        items = files.read_items(folder, rater)
        yield from (item for item in items if item["kind"] == ADJUDICATE)


def _relabelled(
    responses: Mapping[str, str], systems: Mapping[str, list[str]], seed: str
) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Return responses and systems under new letters."""
    old = sorted(responses, key=lambda letter: responses[letter])
    random.Random(seed).shuffle(old)
    new = dict(zip(string.ascii_uppercase, old, strict=False))
    key = {letter: systems[before] for letter, before in new.items()}
    if "" in systems:
        key[""] = systems[""]
    return {letter: responses[before] for letter, before in new.items()}, key
