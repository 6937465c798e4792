"""A run with generated responses on a small release, for plans and collected ratings."""

import json
from pathlib import Path

import pandas as pd

from medalign_utils import paths
from medalign_utils.data.responses import RESPONSE_COLUMNS
from medalign_utils.review.folder import read_items, read_key
from medalign_utils.review.journal import Journal
from medalign_utils.run import Run
from tests.builders.tiny_release import (
    ANSWERED,
    ASKED,
    INSTRUCTIONS_HEADER,
    REFERENCES_HEADER,
    ehr_40,
)

SYSTEMS = ("plain", "careful", "brief")
SUBCATEGORIES = ("Retrieve & Summarize", "Care Planning")


def write_release(folder: Path, n_patients: int = 12, per_patient: int = 3) -> Path:
    """Write a release whose instructions are "<patient>-<number>"; later patients' records grow."""
    (folder / "ehrs").mkdir(parents=True)
    asked, answered = [INSTRUCTIONS_HEADER.replace("\n", "\tcategory\n")], [REFERENCES_HEADER]
    for p in range(n_patients):
        record = ehr_40().replace('"40"', f'"{p}"')
        (folder / "ehrs" / f"{p}.xml").write_text(record + "\n" * 200 * p, encoding="utf-8")
        for i in range(per_patient):
            name, category = f"{p}-{i}", SUBCATEGORIES[i % 3 == 2]
            asked.append(f"{name}\tQuestion {name}?\tCardiology\t{p}\t{category}\n")
            answered.append(
                f"{name}\tQuestion {name}?\t{p}\t\tAnnotator_1\tYes {name}.\tnote\t\t\n"
            )
    (folder / ASKED).write_text("".join(asked), encoding="utf-8")
    (folder / ANSWERED).write_text("".join(answered), encoding="utf-8")
    return folder


def response(instruction_id: str, system: str, text: str, **others) -> dict:
    """Return a line of a run's responses."""
    row = {name: 0 if kind != "str" else "" for name, kind in RESPONSE_COLUMNS.items()}
    row |= {"instruction_id": instruction_id, "system": system, "response": text, "n_prompts": 1}
    return row | {"finish_reason": "stop"} | others


def write_responses(experiment: str, system: str, rows: list[dict]) -> None:
    """Write the file of a system's responses."""
    file = paths.responses(experiment, system)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def make_run(n_patients: int = 12, per_patient: int = 3, **fields) -> Run:
    """Return a run of three systems in the present project, whose texts all differ."""
    folder = paths.resolve("data/small")
    if not folder.exists():
        write_release(folder, n_patients, per_patient)
    run = Run("mine", "data/small", **({"systems": SYSTEMS} | fields))
    for system in run.systems:
        ids = run.release.references["instruction_id"]
        rows = [response(i, system, f"{system} answers {i}.") for i in ids]
        write_responses("mine", system, rows)
    return run


def enter(folder: Path, ratings: pd.DataFrame, *, items: int | None = None) -> None:
    """Enter ratings through journals, as the raters of a plan would; of some items or all."""
    by_response = ratings.set_index(["instruction_id", "system"])
    key = read_key(folder)
    for rater in key:
        journal = Journal(folder, rater)
        for item in read_items(folder, rater)[:items]:
            name, own = item["item"], key[rater].get(item["item"], {})
            ranks = {}
            for letter, systems in own.items():
                row = by_response.loc[(item["instruction_id"], systems[0])]
                verdict = "correct" if row["correct"] else "incorrect"
                act = {"item": name, "action": "verdict", "response": letter, "value": verdict}
                journal.append(act)
                ranks.setdefault(row["rank"], []).append(letter)
            order = [ranks[rank] for rank in sorted(ranks)]
            journal.append({"item": name, "action": "rank", "value": order})
            journal.append({"item": name, "action": "done"})
