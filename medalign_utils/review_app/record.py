"""One patient's record on the page of a review: the explorer without its choice of patients."""

import contextlib
import gc
import threading
from functools import lru_cache
from pathlib import Path

import pandas as pd

from medalign_utils.curation.evidence import NO_EVIDENCE, locate_evidence
from medalign_utils.curation.passage import Passage
from medalign_utils.data.ehr import read_events
from medalign_utils.data.ehr_files import find_ehr
from medalign_utils.errors import MedAlignError
from medalign_utils.explorer import html as view
from medalign_utils.explorer.html import number
from medalign_utils.explorer.reader import Reader

_WORDS_SEARCHED = 3  # of a sentence that is nowhere as such


class Record(Reader):
    """A widget that shows one record; it has no links, whose addresses would name the patient."""

    def __init__(self, release: Path) -> None:
        """Create the controls, without a record yet."""
        self._release, self._person, self._place = release, None, 0
        super().__init__()
        style, script = self.children[0], self.children[-1]
        self.children = [style, self.person, self.message, self.reading, script]
        self.add_class("ma-one-record")

    def address(self, row: int) -> str:
        """Return no address."""
        return ""

    def show(self, person_id: str | None) -> None:
        """Show a patient's record, or none.

        Raises:
            MedAlignError: the record cannot be read; the page then shows none.
        """
        if person_id == self._person:
            return
        self.show_nothing()
        if person_id is None:
            return
        events = _read_record(self._release, person_id)
        self._person = person_id
        self.person.value = view.person_line(events)
        self._read(events)
        self.reading.layout.display = None

    def show_nothing(self) -> None:
        """Remove the record, also from the page."""
        self._forget()
        self._person, self.person.value = None, ""
        self.reading.layout.display = "none"

    def read_ahead(self, person_id: str) -> threading.Thread:
        """Read another patient's record in the background, so that `show` will be quick."""
        thread = threading.Thread(target=_try_to_read, args=(self._release, person_id), daemon=True)
        thread.start()
        return thread

    def locate(self, sentence: str, question: str = "") -> str:
        """Show where the record has a sentence, or its rarest words; return what was found."""
        if self._person is None:
            return "No record is open."
        self.evidence, self._place = locate_evidence(self.text, sentence, (question,)), 0
        if self.evidence.rows:
            self._clear_filters()
            self._go_to_place()
            return self._place_found()
        self.evidence = NO_EVIDENCE
        self.search.value = " OR ".join(words := self._rarest_words(sentence))
        if not words:
            return "Not found: the record has none of its words."
        return "Not found as a sentence; searching for its rarest words instead."

    def stop_locating(self) -> None:
        """Show the record without marks."""
        self.evidence = NO_EVIDENCE
        if self._person is not None:
            self._clear_filters()

    @property
    def row(self) -> int | None:
        """The event on display: its index label, or None."""
        return self.notes.value if self.marked is None else self.marked

    def _place_found(self) -> str:
        rows = self.evidence.rows
        row = rows[self._place]
        possibly = "" if self.evidence.is_sure[row] else "possibly "
        title = view.title_of(self.events.loc[row])
        if len(rows) == 1:
            return f"Found: {possibly}{title}"
        return f"Found {self._place + 1} of {number(len(rows), 'place')}: {possibly}{title}"

    def _go_to_place(self) -> None:
        self.show_event(self.evidence.rows[self._place])
        self.hits.value = f"{self._place_found()} · keys n, p"

    def _step_place(self, step: int) -> None:
        if self.evidence.rows:
            self._place = (self._place + step) % len(self.evidence.rows)
            self._go_to_place()

    def _rarest_words(self, sentence: str) -> list[str]:
        """Return searches for words and numbers of a sentence that the record has."""
        counts = {}
        for token in Passage(sentence).content:
            n = int(self.text.counts[self.text.with_key(token.key)].sum()) if token.key else 0
            if n and token.kind == "word":
                counts[token.key] = n  # a stem, which is found with any ending
            elif n and token.kind == "number":
                counts[f'"{sentence[token.start : token.end]}"'] = n
        return sorted(counts, key=counts.get)[:_WORDS_SEARCHED]


_reading = threading.Lock()


def _read_record(release: Path, person_id: str) -> pd.DataFrame:
    with _reading:  # a record that is being read ahead is not read twice
        return _cached(release, person_id)


@lru_cache(maxsize=2)
def _cached(release: Path, person_id: str) -> pd.DataFrame:
    gc.disable()  # it would look at each event again and again, and find nothing to free
    try:
        events = read_events(find_ehr(release, person_id, None))
    finally:
        gc.enable()
    return events.sort_values("timestamp", kind="stable")


def _try_to_read(release: Path, person_id: str) -> None:
    with contextlib.suppress(MedAlignError):  # `show` will raise it where the rater sees it
        _read_record(release, person_id)
