"""A small review: a release, a plan, and the items of its raters, as `review plan` writes them."""

import json
from pathlib import Path

from tests.builders import explorer_release
from tests.builders.explorer_release import CREATININE, MARKUP, PATIENT, QUESTIONS

EXPERIMENT = "mine"
# Markdown, a list, a table, markup that must not run, a sentence from the record, and a false one.
RESPONSES = (
    "The last creatinine was **1.1 mg/dL**.\n\n- Drawn in 2015.\n- Before that: 1.4 to 1.6.",
    "He denies chest pain. Eats well. Takes metformin 500 mg.",
    "| Test | Value |\n|---|---|\n| Creatinine | 2.5 |\n\nIt has risen. See *Progress note*.",
    "<script>document.title = 'run'</script><img src=x onerror=\"document.title = 1\"> No.",
    "Not documented.",
    "**Summary:** CT chest: no nodule. The patient went home with a friend.",
)
LETTERS = "ABCDEF"


def item(name: str, instruction_id: str, n_responses: int = 6, **others) -> dict:
    """Return an item about patient 40; the responses are in a different order in each."""
    question, _, reference, evidence = QUESTIONS[instruction_id]
    turn = int(name[-1]) % len(RESPONSES)
    texts = (*RESPONSES[turn:], *RESPONSES[:turn])[:n_responses]
    return {
        "item": name,
        "kind": "judge",
        "instruction_id": instruction_id,
        "person_id": PATIENT,
        "question": question,
        "category": "Retrieve & Summarize",
        "reference": reference or None,
        "evidence": evidence or None,
        "responses": dict(zip(LETTERS, texts, strict=False)),
        "feedback": None,
    } | others


def items_of(rater: str) -> list[dict]:
    """Return a training item, two to judge, one with a single response, and a repeat."""
    feedback = {letter: {"correct": letter == "B"} for letter in LETTERS}
    return [
        item(f"{rater}-001", CREATININE, kind="training", feedback=feedback),
        item(f"{rater}-002", CREATININE),
        item(f"{rater}-003", MARKUP),
        item(f"{rater}-004", MARKUP, n_responses=1),
        item(f"{rater}-005", CREATININE, kind="repeat"),
    ]


def write_review(project: Path, raters: tuple[str, ...] = ("R1",), **plan) -> Path:
    """Write a release and a review of it into a project; return the review's folder."""
    if not (project / "data" / "demo").exists():
        explorer_release.write_release(project / "data" / "demo")
    folder = project / "reviews" / EXPERIMENT
    folder.mkdir(parents=True, mode=0o700)
    plan = {
        "version": 1,
        "experiment": EXPERIMENT,
        "release": "data/demo",
        "columns": {},
        "mode": "judge",
        "reference": "after",
        "seed": 1,
        "raters": list(raters),
        "n_instructions": 2,
        "n_overlap": 0,
        "raters_per_overlap": 3,
        "created": "2026-01-01T00:00:00.000Z",
        "round": 1,
    } | plan
    (folder / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
    key = {}
    for rater in raters:
        own = folder / "raters" / rater
        own.mkdir(parents=True, mode=0o700)
        items = items_of(rater)
        lines = "".join(json.dumps(item) + "\n" for item in items)
        (own / "items.jsonl").write_text(lines, encoding="utf-8")
        key[rater] = {i["item"]: {x: f"system-{x}" for x in i["responses"]} for i in items}
    (folder / "key.json").write_text(json.dumps(key), encoding="utf-8")
    for path in folder.rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)
    return folder
