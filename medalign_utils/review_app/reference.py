"""The page on which a clinician writes reference responses, and marks the evidence for them."""

from typing import Any

from medalign_utils import paths
from medalign_utils.curation.cite import cite
from medalign_utils.errors import MedAlignError
from medalign_utils.explorer.html import title_of
from medalign_utils.review.folder import read_items, read_plan, review_folder
from medalign_utils.review.progress import of_rater
from medalign_utils.review.state import replay
from medalign_utils.review_app.panel import Panel
from medalign_utils.review_app.record import Record
from medalign_utils.review_app.writing import WritingPage, scripts, state_of, styles


class ReferencePanel(Panel):
    """The right side of the page: instruction, reference and evidence."""

    _esm = scripts("reference.js")
    _css = styles()


class ReferencePage(WritingPage):
    """The page of one rater: the record on the left, the panel on the right."""

    panel_class = ReferencePanel

    def __init__(self, experiment: str, rater: str) -> None:
        """Read the rater's items and journal, and show no item yet."""
        folder = review_folder(experiment)
        self.items = {item["item"]: item for item in read_items(folder, rater)}
        self._shown: str | None = None
        self.record = Record(paths.resolve(read_plan(folder)["release"]))
        self.record.show_nothing()
        super().__init__(experiment, rater, self.record)
        self.answers |= {"show": self._show, "cite": self._cite, "locate": self._locate}

    def greet(self) -> None:
        """Tell the panel which items there are."""
        items = [{"item": name, "question": i["question"]} for name, i in self.items.items()]
        states = self._states()
        told = {"items": [item | states[item["item"]] for item in items], "left": self._left()}
        self.panel.send({"kind": "review", "title": self.title} | told)

    def told(self) -> dict[str, Any]:
        """Return the states of all items, and what is written for the one on display."""
        told: dict[str, Any] = {"states": self._states(), "left": self._left()}
        if self._shown is not None:
            told |= {"item": self._shown, "written": self._written(self._shown)}
        return told

    def require_item(self, item: str) -> None:
        """Raise a MedAlignError if an item is not one of this review."""
        if item not in self.items:
            raise MedAlignError(f"this review has no item {item}")

    def _states(self) -> dict[str, dict[str, Any]]:
        found = replay(self.journal.lines)
        return {i: state_of(found[i]) if i in found else {"state": "new"} for i in self.items}

    def _left(self) -> float | None:
        row = of_rater([*self.items.values()], replay(self.journal.lines))
        return row["minutes_left"] if row["done"] > 2 else None

    def _written(self, item: str) -> dict[str, Any]:
        written = self.written(item)
        return {
            "reference": written.reference or "",
            "evidence": written.evidence,
            "unanswerable": written.unanswerable,
            "done": written.done,
            "flag": written.flag,
        }

    def _show(self, item: str) -> None:
        self.require_item(item)
        found, self._shown = self.items[item], item
        self.panel.send(
            {
                "kind": "item",
                "item": item,
                "number": [*self.items].index(item) + 1,
                "question": found["question"],
                "category": found["category"] or "",
                "written": self._written(item),
            }
        )
        self.record.show(found["person_id"])
        names = [*self.items]
        persons = [self.items[i]["person_id"] for i in names[names.index(item) :]]
        following = next((p for p in persons if p not in (found["person_id"], None)), None)
        if following is not None:
            self.record.read_ahead(following)

    def _cite(self, item: str, quote: str, place: int | None) -> None:
        """Word the event on display, or the one in a row of the table, as evidence."""
        row = self._event_at(place)
        text, is_found = cite(self.record.text, row, quote)
        event = self.record.events.loc[row]
        evidence = {"event": int(row), "quote": quote, "note": title_of(event), "text": text}
        said = f"Marked: {title_of(event)}"
        if not is_found:
            said += " (a search of the record may not find it again: select a whole sentence)"
        self.panel.send({"kind": "cited", "item": item, "evidence": evidence, "text": said})

    def _event_at(self, place: int | None) -> int:
        if place is None:
            row = self.record.notes.value
        else:
            rows = self.record.selected.index
            at = self.record.first_row + place
            row = rows[at] if at < len(rows) else None
        if row is None:
            raise MedAlignError("no note is on display: open one, or press + beside an event")
        return row

    def _locate(self, item: str, text: str) -> None:
        said = self.record.locate(text, self.items[item]["question"])
        self.panel.send({"kind": "found", "text": said})
