"""Write a rater's items: which responses under which letters, in which order."""

import random
import string
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import pandas as pd

from medalign_utils.data.release import primary_references
from medalign_utils.errors import MedAlignError
from medalign_utils.grading import load_answer_key, rate_with_answer_key
from medalign_utils.run import Run

TRAINING = 3  # items per rater
REPEATED_SHARE = 0.05  # of a rater's items, to measure agreement with oneself
_FEWEST_REPEATS = 2
NO_CATEGORY = "no category"


class Writer:
    """Makes items: an instruction with its responses under letters."""

    def __init__(
        self,
        run: Run,
        instructions: pd.DataFrame,
        answers: Mapping[str, Mapping[str, str | None]],
        reference: str,
        seed: int,
    ) -> None:
        """Take what items are made of; see `plan.make_plan`."""
        self.rows = instructions.set_index("instruction_id").to_dict("index")
        self.answers, self.seed, self.run = answers, seed, run
        references = primary_references(run.release.references, run.annotator)
        self.references = references.set_index("instruction_id").to_dict("index")
        self.shows_reference = reference != "never"

    def item(self, rater: str, kind: str, instruction_id: str) -> tuple[dict, dict]:
        """Return an item without its name, and the systems by letter."""
        row, given = self.rows[instruction_id], self.answers.get(instruction_id, {})
        systems: dict[str | None, list[str]] = {}
        for system, text in given.items():
            systems.setdefault(text, []).append(system)
        failed = systems.pop(None, [])
        # Sorted: the seed is public, and must not give away the order of the systems.
        texts = sorted(systems)
        random.Random(f"{self.seed} {rater} {kind} {instruction_id}").shuffle(texts)
        if len(texts) > len(string.ascii_uppercase):
            raise MedAlignError(f"plan: {len(texts)} responses to rank; choose fewer systems")
        letters = dict(zip(string.ascii_uppercase, texts, strict=False))
        reference = self.references.get(instruction_id, {}) if self.shows_reference else {}
        item = {
            "item": "",
            "kind": kind,
            "instruction_id": instruction_id,
            "person_id": row["person_id"],
            "question": self.run.release.questions[instruction_id],
            "category": None if row["category"] == NO_CATEGORY else row["category"],
            "reference": _text(reference.get("reference")),
            "evidence": _text(reference.get("evidence")),
            "responses": letters,
            "feedback": None,
        }
        key = {letter: systems[text] for letter, text in letters.items()}
        return item, key | ({"": failed} if failed else {})

    @cached_property
    def correct(self) -> dict[str, dict[str, bool]]:
        """The answer key's verdicts: instruction_id -> system -> correct; empty without one."""
        path = self.run.release.answer_key_path
        if path is None:
            return {}
        key = load_answer_key(path)
        rows = [
            {"instruction_id": instruction_id, "system": system, "response": text}
            for instruction_id, given in self.answers.items()
            if instruction_id in key and instruction_id in self.rows
            for system, text in given.items()
            if text is not None
        ]
        verdicts: dict[str, dict[str, bool]] = {}
        rated = rate_with_answer_key(pd.DataFrame(rows), key, self.run.release.questions)
        for row in rated.itertuples():
            verdicts.setdefault(row.instruction_id, {})[row.system] = row.correct
        return verdicts


def items_of(
    writer: Writer,
    rater: str,
    own: Sequence[str],
    chosen: Sequence[str],
    training: int | None,
    repeats: int | None,
    notes: list[str],
) -> list[tuple[dict, dict]]:
    """Return a rater's items and systems: training, then by patient, with repeats."""
    rng = random.Random(f"{writer.seed} {rater}")
    patients = list(dict.fromkeys(writer.rows[i]["person_id"] for i in own))
    rng.shuffle(patients)
    order = rng.sample(own, len(own))
    order.sort(key=lambda i: patients.index(writer.rows[i]["person_id"]))
    parts = [("judge", instruction_id) for instruction_id in order]
    if writer.answers:
        for place, again in _repeats(rng, writer, order, repeats):
            parts.insert(place, ("repeat", again))
        parts = [
            ("training", i) for i in _training(rng, writer, own, chosen, training, notes)
        ] + parts
    items = []
    for number, (kind, instruction_id) in enumerate(parts, 1):
        item, systems = writer.item(rater, kind, instruction_id)
        item["item"] = f"{rater}-{number:03d}"
        if kind == "training":
            correct = writer.correct[instruction_id]
            letters = item["responses"]
            item["feedback"] = {x: {"correct": correct[systems[x][0]]} for x in letters}
        items.append((item, systems))
    return items


def _repeats(
    rng: random.Random, writer: Writer, order: Sequence[str], repeats: int | None
) -> list[tuple[int, str]]:
    """Return places in the order, the last first, and instructions to repeat there.

    They are from the first half and come back in the last third, between two patients.
    """
    if repeats is None:
        repeats = max(_FEWEST_REPEATS, round(REPEATED_SHARE * len(order)))
    again = rng.sample(order[: len(order) // 2], min(repeats, len(order) // 2))
    patients = [writer.rows[i]["person_id"] for i in order]
    late = range(len(order) * 2 // 3, len(order))
    places = [i for i in late if i and patients[i] != patients[i - 1]] + [len(order)]
    return sorted(((rng.choice(places), i) for i in again), reverse=True)


def _training(
    rng: random.Random,
    writer: Writer,
    own: Sequence[str],
    chosen: Sequence[str],
    training: int | None,
    notes: list[str],
) -> list[str]:
    """Return instructions to train on: judged by nobody, or by others; best with both verdicts."""
    wanted = TRAINING if training is None else training
    if not wanted:
        return []
    if not writer.correct:
        notes.append("no training items, because the release has no answer key to give feedback by")
        return []
    others = [i for i in writer.correct if i not in set(own)]
    rng.shuffle(others)
    others.sort(key=lambda i: (len(set(writer.correct[i].values())) < 2, i in set(chosen)))
    if len(others) < wanted:
        notes.append(
            f"{len(others)} training items instead of {wanted} for a rater, who judges the rest; "
            "with `--per-rater` or more raters there are others to train on"
        )
    return others[:wanted]


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
