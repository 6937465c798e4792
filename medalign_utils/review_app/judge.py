"""The page on which one rater judges responses: the record on the left, the panel on the right."""

from collections.abc import Callable
from statistics import median
from typing import Any

import ipywidgets as widgets

from medalign_utils import paths
from medalign_utils.errors import MedAlignError
from medalign_utils.review import folder
from medalign_utils.review.journal import Journal
from medalign_utils.review.state import Judgement, last_to_undo, replay
from medalign_utils.review_app.panel import Panel
from medalign_utils.review_app.record import Record
from medalign_utils.review_app.sentences import response_html

_FEWEST = 3  # items done before the time left is estimated


class JudgingPage(widgets.HBox):
    """The page of one rater; `answer` is what it does with each message of the panel."""

    def __init__(self, experiment: str, rater: str) -> None:
        """Read the rater's own items and journal, and show no item yet."""
        place = folder.review_folder(experiment)
        self.plan = folder.read_plan(place)
        self.items = {item["item"]: item for item in folder.read_items(place, rater)}
        self.title, self._shown = f"{experiment}, rater {rater}", None
        self.journal = Journal(place, rater)
        self.record = Record(paths.resolve(self.plan["release"]))
        self.record.show_nothing()
        self.panel = Panel(self.answer)
        super().__init__([self.record, self.panel])
        self.add_class("medalign-review")

    def answer(self, message: dict[str, Any]) -> None:
        """Answer a message of the panel; the panel hears of every error."""
        answers: dict[str, Callable[..., None]] = {
            "hello": self._greet,
            "show": self._show_item,
            "do": self._save,
            "locate": self._locate,
            "beat": self._beat,
        }
        kind = message.pop("kind")
        try:
            answers[kind](**message)
        except MedAlignError as error:
            self.panel.send({"kind": "problem", "text": str(error)})

    def _beat(self) -> None:
        is_new = self.journal.refresh()
        self.panel.send({"kind": "beat"})
        if is_new:
            self._tell_changes()

    def _tell_changes(self) -> None:
        """Send the state of all items, because another tab has changed some."""
        message = {"kind": "changed", "elsewhere": True, "states": self._states()}
        if self._shown:
            message |= self._state_of(self._shown)
        self.panel.send(message)

    # What the page is told

    def _greet(self) -> None:
        items = [
            {"item": name, "question": item["question"], "responses": len(item["responses"])}
            for name, item in self.items.items()
        ]
        states = self._states()
        self.panel.send(
            {
                "kind": "review",
                "title": self.title,
                "items": [item | states[item["item"]] for item in items],
                "left": self._minutes_left(),
            }
        )
        first = next((name for name in self.items if states[name]["state"] != "done"), None)
        if first is not None and self.items[first]["person_id"]:
            self.record.read_ahead(self.items[first]["person_id"])

    def _judgements(self) -> dict[str, Judgement]:
        return replay(self.journal.lines)

    def _judgement(self, name: str) -> Judgement:
        own = [line for line in self.journal.lines if line["item"] == name]
        return replay(own).get(name) or Judgement()

    def _states(self) -> dict[str, dict[str, Any]]:
        judgements = self._judgements()
        return {name: _state(judgements.get(name) or Judgement()) for name in self.items}

    def _state_of(self, name: str) -> dict[str, Any]:
        """Return what the page shows of an item that may have changed."""
        item, judgement = self.items[name], self._judgement(name)
        told = {"item": name, "judgement": _for_page(judgement)}
        if self._may_see_reference(judgement):
            told["reference"] = item["reference"]
        if judgement.done and item["kind"] == "training":
            told["feedback"] = item["feedback"]
        return told

    def _may_see_reference(self, judgement: Judgement) -> bool:
        rule = self.plan["reference"]
        return rule == "before" or (rule == "after" and judgement.reference_seen)

    def _minutes_left(self) -> float | None:
        """Return the minutes that the other items take at the median so far."""
        judgements = self._judgements()
        seconds = [j.seconds for j in judgements.values() if j.done]
        if len(seconds) < _FEWEST:
            return None
        return median(seconds) * (len(self.items) - len(seconds)) / 60

    # What the page asks for

    def _show_item(self, item: str) -> None:
        found = self.items[item]
        self._shown = item
        rule, has_reference = self.plan["reference"], bool(found["reference"])
        told = self._state_of(item)
        waits = has_reference and rule != "never" and not told["judgement"]["reference_seen"]
        responses = {}
        for letter, text in found["responses"].items():
            html, spans = response_html(text)
            responses[letter] = {"html": html, "sentences": spans}
        self.panel.send(
            {
                "kind": "item",
                "number": [*self.items].index(item) + 1,
                "training": found["kind"] == "training",
                "question": found["question"],
                "category": found["category"] or "",
                "responses": responses,
                "reference": None,
                "referenceWaits": rule if waits else None,
                "noReference": "none" if rule != "never" and not has_reference else rule,
                "feedback": None,
            }
            | told
        )
        self.record.show(found["person_id"])
        self._read_ahead(item)

    def _read_ahead(self, name: str) -> None:
        """Read the record of the next other patient while the rater judges."""
        names = [*self.items]
        persons = [self.items[i]["person_id"] for i in names[names.index(name) :]]
        following = next((p for p in persons if p not in (persons[0], None)), None)
        if following is not None:
            self.record.read_ahead(following)

    def _locate(self, item: str, response: str, sentence: int) -> None:
        found = self.items[item]
        _, spans = response_html(found["responses"][response])
        start, end = spans[sentence]
        text = found["responses"][response][start:end]
        self.panel.send({"kind": "found", "text": self.record.locate(text, found["question"])})

    def _save(self, actions: list[dict[str, Any]]) -> None:
        """Append actions in their order; none after one that could not be saved."""
        ids, undone, known = [], {}, len(self.journal.lines)
        for action in actions:
            try:
                undone |= self._append(action)
            except MedAlignError as error:
                self.panel.send({"kind": "failed", "why": str(error)})
                break
            ids.append(action["id"])
        if not ids:
            return
        lines = self.journal.lines[known:]
        touched = {line["item"] for line in lines}
        states = {name: _state(self._judgement(name)) for name in touched & self.items.keys()}
        told = {"kind": "saved", "ids": ids, "states": states} | undone
        told |= self._state_of(self._shown) if self._shown else {}
        if any(line["action"] in ("done", "reopen") for line in lines):
            told["left"] = self._minutes_left()
        self.panel.send(told)
        if any(line["id"] not in ids for line in lines):
            self._tell_changes()

    def _append(self, action: dict[str, Any]) -> dict[str, Any]:
        """Append an action; of an undo, return what the page says of it."""
        if action["item"] not in self.items:
            raise MedAlignError(f"this review has no item {action['item']}")
        if action["action"] != "undo":
            self.journal.append(action)
            return {}
        self.journal.refresh()
        line = last_to_undo(self.journal.lines, action["item"])
        if line is None:
            return {"undone": {"text": "Nothing to undo in this item.", "response": None}}
        self.journal.append(action | {"value": line["n"]})
        text = " ".join(filter(None, ["Undone:", line["action"], line["response"]]))
        return {"undone": {"text": f"{text}.", "response": line["response"]}}


def _state(judgement: Judgement) -> dict[str, Any]:
    """Return what the list of items shows of one."""
    begun = bool(judgement.verdicts)
    state = "done" if judgement.done else "begun" if begun else "new"
    return {"state": state, "flag": judgement.flag is not None}


def _for_page(judgement: Judgement) -> dict[str, Any]:
    names = ("done", "verdicts", "harm", "marks", "comments", "rank", "flag", "reference_seen")
    return {name: getattr(judgement, name) for name in names}
