"""What the pages for references and for instructions share: a panel, a journal, and their talk."""

from collections.abc import Callable
from typing import Any

import ipywidgets as widgets

from medalign_utils.errors import MedAlignError
from medalign_utils.review.folder import read_plan, review_folder
from medalign_utils.review.journal import Journal
from medalign_utils.review.state import Judgement, last_to_undo, replay
from medalign_utils.review_app.panel import Panel, read_files


class WritingPage(widgets.HBox):
    """The page of one rater; subclasses have a panel, and answers to more messages."""

    panel_class = Panel

    def __init__(self, experiment: str, rater: str, *left: widgets.Widget) -> None:
        """Read the rater's own journal; `left` is shown beside the panel."""
        folder = review_folder(experiment)
        self.plan, self.rater = read_plan(folder), rater
        self.title = f"{experiment}, rater {rater}"
        self.journal = Journal(folder, rater)
        self.panel = self.panel_class(self.answer)
        self.answers: dict[str, Callable[..., None]] = {
            "hello": self.greet,
            "do": self._save,
            "beat": self._beat,
        }
        super().__init__([*left, self.panel])
        self.add_class("medalign-review")

    def answer(self, message: dict[str, Any]) -> None:
        """Answer a message of the panel, which hears of every error."""
        kind = message.pop("kind")
        try:
            self.answers[kind](**message)
        except MedAlignError as error:
            self.panel.send({"kind": "problem", "text": str(error)})

    def greet(self) -> None:
        """Tell the panel what there is to do."""
        raise NotImplementedError

    def told(self) -> dict[str, Any]:
        """Return what the panel shows and may have changed."""
        raise NotImplementedError

    def require_item(self, item: str) -> None:
        """Raise a MedAlignError if an item is not one of this review."""
        raise NotImplementedError

    def written(self, item: str) -> Judgement:
        """Return what the rater has written for an item."""
        own = [line for line in self.journal.lines if line["item"] == item]
        return replay(own).get(item) or Judgement()

    def _beat(self) -> None:
        is_new = self.journal.refresh()
        self.panel.send({"kind": "beat"})
        if is_new:
            self.panel.send({"kind": "changed", "elsewhere": True} | self.told())

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
        if ids:
            others = {line["id"] for line in self.journal.lines[known:]} - set(ids)
            told = {"kind": "saved", "ids": ids, "elsewhere": bool(others)}
            self.panel.send(told | undone | self.told())

    def _append(self, action: dict[str, Any]) -> dict[str, Any]:
        """Append an action; of an undo, return what the page says of it."""
        self.require_item(action["item"])
        if action["action"] != "undo":
            self.journal.append(action)
            return {}
        self.journal.refresh()
        if any(line["id"] == action["id"] for line in self.journal.lines):
            return {}  # sent again
        line = last_to_undo(self.journal.lines, action["item"])
        if line is None:
            return {"undone": {"text": "Nothing to undo."}}
        self.journal.append(action | {"value": line["n"]})
        return {"undone": {"text": f"Undone: {line['action']}."}}


def scripts(name: str) -> str:
    """Return the JavaScript of a page for writing, as one module."""
    return read_files("outbox.js", "writing.js", name)


def styles() -> str:
    """Return the style sheet of a page for writing."""
    return read_files("panel.css", "writing.css")


def state_of(written: Judgement) -> dict[str, Any]:
    """Return what the list of items shows of one."""
    is_begun = bool(written.reference or written.evidence or written.submission)
    state = "done" if written.done else "begun" if is_begun else "new"
    return {"state": state, "flag": written.flag is not None}
