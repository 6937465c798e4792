"""The part of the explorer that reads one record: filters, search, notes, events and trends."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from functools import cached_property
from html import escape

import ipywidgets as widgets
import pandas as pd

from medalign_utils.curation.evidence import NO_EVIDENCE
from medalign_utils.curation.record_text import RecordText
from medalign_utils.data.ehr import EVENT_COLUMNS
from medalign_utils.data.ehr.labels import type_label
from medalign_utils.explorer import html as view
from medalign_utils.explorer.controls import Controls
from medalign_utils.explorer.filters import day_of, select_events
from medalign_utils.explorer.html import number
from medalign_utils.explorer.search import Query, count_hits, parse_query
from medalign_utils.explorer.timeline import order_types, timeline_html
from medalign_utils.explorer.trend import measure_of, measures_of, trend_html

PAGE = 200  # events per page of the table
NOTES, EVENTS, TREND = range(3)  # tabs
NO_EVENTS = pd.DataFrame(columns=list(EVENT_COLUMNS), dtype="str")
NO_EVENTS = NO_EVENTS.astype({"timestamp": "datetime64[s]", "encounter": "int64"})
_NO_HITS = pd.Series(dtype="int64")


class Reader(Controls):
    """Controls that show the notes, events and trends of `events`."""

    def __init__(self) -> None:
        """Connect the controls, without a record yet."""
        super().__init__()
        self._busy = False
        self._forget()
        self._connect(self._filter, self.since, self.until, self.search, self.order)
        self._connect(self._pick_note, self.notes)
        self._connect(self._show_trend, self.test)
        self._connect(self._show_panels, self.show_filters, self.show_timeline)
        self.tabs.observe(self._unless_busy(self._show_tab), "selected_index")
        self.reset.on_click(lambda _: self._clear_filters())
        self.newer.on_click(lambda _: self._step_note(newer=True))
        self.older.on_click(lambda _: self._step_note(newer=False))
        self.earlier.on_click(lambda _: self._turn_page(-1))
        self.later.on_click(lambda _: self._turn_page(1))
        self.next_hit.on_click(lambda _: self._step_hit(1))
        self.previous_hit.on_click(lambda _: self._step_hit(-1))

    def _connect(self, handler: Callable[[], None], *controls: widgets.Widget) -> None:
        for control in controls:
            control.observe(self._unless_busy(handler), "value")

    def _unless_busy(self, handler):
        return lambda _: None if self._busy else handler()

    @contextmanager
    def _setting(self) -> Iterator[None]:
        """Set controls without triggering their handlers."""
        before, self._busy = self._busy, True
        try:
            yield
        finally:
            self._busy = before

    def address(self, row: int) -> str:
        """Return the address of an event, for links."""
        raise NotImplementedError

    # The record

    def _forget(self) -> None:
        """Remove everything about the previous patient, also from the page."""
        self.events = self.selected = self._unsearched = NO_EVENTS
        self.evidence, self.query, self._hits = NO_EVIDENCE, None, _NO_HITS
        self.first_row, self.marked, self.current_hit = 0, None, None
        self.__dict__.pop("text", None)
        with self._setting():
            for control in (
                self.timeline,
                self.note,
                self.table,
                self.trend,
                self.search,
                self.hits,
            ):
                control.value = ""
            for control in (self.notes, self.test):
                control.options = []
            self.types.children = ()

    @cached_property
    def text(self) -> RecordText:
        """The record's texts, read when they are first needed."""
        return RecordText(self.events)

    def _read(self, events: pd.DataFrame) -> None:
        """Show a record from its most recent note."""
        self.events = events
        with self._setting():
            self.types.children = self._type_boxes()
            tests = measures_of(events)
            self.test.options = [(f"{test} · {n:,}", test) for test, n in tests.items()]
            self.test.index = 0 if tests else None
            self.tabs.selected_index = NOTES
        self._show_panels()
        self._clear_filters()

    def _type_boxes(self) -> list[widgets.Checkbox]:
        counts, boxes = self.events["type"].value_counts(), []
        for name in order_types(counts.index):
            text = f"{type_label(name)} ({counts[name]:,})"
            boxes.append(widgets.Checkbox(description=text, indent=False))
            boxes[-1].type = name
            boxes[-1].observe(self._unless_busy(self._filter), "value")
        return boxes

    # Filters and search

    def _show_panels(self) -> None:
        self.filters.layout.display = None if self.show_filters.value else "none"
        self.timeline.layout.display = None if self.show_timeline.value else "none"

    def _clear_filters(self) -> None:
        with self._setting():
            self.search.value = self.since.value = self.until.value = ""
            for box in self.types.children:
                # Every encounter repeats the demographics, which would crowd out the rest.
                box.value = box.type != "person"
        self._filter()

    def _days(self) -> tuple[date | None, date | None, str]:
        """Return the first and last day to show, and what is wrong with them."""
        try:
            return day_of(self.since.value), day_of(self.until.value, is_end=True), ""
        except ValueError as error:
            return None, None, f'<b class="ma-incorrect">{escape(str(error))}</b>'

    def _filter(self) -> None:
        types = {box.type for box in self.types.children if box.value}
        self.query, before = parse_query(self.search.value), self.notes.value
        since, until, problem = self._days()
        chosen = select_events(self.events, types, since, until)
        self._unsearched = self.selected = self._in_order(chosen)
        self._hits = _NO_HITS
        if self.query:
            hits = count_hits(self.text, self.query)[self.selected.index]
            self._hits = hits[hits > 0]
            self.selected = self.selected.loc[self._hits.index]
        notes = self.selected[self.selected["type"] == "note"]
        titles = view.titles_of(notes)
        if self.query:
            counts = self._hits[notes.index]
            titles = [f"{t}  · {number(n, 'hit')}" for t, n in zip(titles, counts, strict=True)]
        with self._setting():
            self.notes.options = [*zip(titles, notes.index, strict=True)]
            if len(notes):
                self.notes.value = before if before in notes.index else notes.index[0]
        others = len(self.selected) - len(notes)
        self.tabs.titles = self._titles(len(notes), others)
        self.hits.value = problem or self._hits_found(notes)
        is_filtered = (
            len(types) + ("person" not in types) < len(self.types.children) or since or until
        )
        self.show_filters.description = "Filters (active)" if is_filtered else "Filters"
        self.first_row = 0
        self.current_hit = 0 if self.query and len(notes) else None
        if self.query and others and not len(notes):
            self.tabs.selected_index = EVENTS
        self._allow_steps()
        self._show_tab()

    def _in_order(self, events: pd.DataFrame) -> pd.DataFrame:
        """Return events in the chosen order; simultaneous ones as in the record."""
        return events.sort_values("timestamp", ascending=not self.order.value, kind="stable")

    def _titles(self, notes: int, others: int) -> tuple[str, str, str]:
        trends = f"Trend ({len(self.test.options):,})"
        if self.query is None:
            return f"Notes ({notes:,})", f"Events ({notes + others:,})", trends
        return f"Notes ({notes:,} with hits)", f"Events ({notes + others:,} with hits)", trends

    def _hits_found(self, notes: pd.DataFrame) -> str:
        if self.query is None:
            return ""
        if self._hits.empty:
            quoted = f"“{escape(self.search.value)}”"
            return f"<b>No hits</b> for {quoted} among the filtered notes and events."
        in_notes = number(self._hits[notes.index].sum(), "hit")
        coded = number(len(self._hits) - len(notes), "coded event")
        return f"<b>{in_notes}</b> in {number(len(notes), 'note')}, and {coded} · keys n, p"

    # Steps from hit to hit, or from place to place of the evidence

    def _allow_steps(self) -> None:
        steps = len(self.notes.options) if self.query else len(self.evidence.rows)
        self.next_hit.disabled = self.previous_hit.disabled = not steps

    def _step_hit(self, step: int) -> None:
        if self.query is None:
            self._step_place(step)
            return
        rows = [row for _, row in self.notes.options]
        place = rows.index(self.notes.value)
        wanted = (self.current_hit or 0) + step
        if not 0 <= wanted < self._hits[rows[place]]:
            place = (place + step) % len(rows)
            wanted = 0 if step > 0 else int(self._hits[rows[place]]) - 1
        self.marked = None
        with self._setting():
            self.notes.value = rows[place]
            self.tabs.selected_index = NOTES
        self.current_hit = wanted
        self._show_note()

    def _step_place(self, step: int) -> None:
        raise NotImplementedError

    # Notes, events and trends

    def _show_tab(self) -> None:
        """Show what is on the open tab; the others are shown when they are opened."""
        self._show_note()
        self._show_table()
        if self.tabs.selected_index == TREND:
            self._show_trend()

    def _show_note(self) -> None:
        shown = self.notes.value
        viewed = shown if self.marked is None else self.marked
        moment = None if viewed is None else self.events.at[viewed, "timestamp"]
        drawn = self._unsearched[self._unsearched["type"] != "person"]
        hits = self.events.loc[self._hits.index, "timestamp"].drop_duplicates().tolist()
        image = timeline_html(drawn, hits, moment)
        self.timeline.value = image or "No events match the filters."
        rows = [row for _, row in self.notes.options]
        ends = (rows[0], rows[-1]) if rows else (None, None)
        newest, oldest = ends if self.order.value else ends[::-1]
        self.newer.disabled, self.older.disabled = shown in (None, newest), shown in (None, oldest)
        if shown is None:
            self.note_status.value, self.note.value = "", "No notes to show."
            return
        status = f"{rows.index(shown) + 1:,} of {number(len(rows), 'note')}"
        if self.query and self.current_hit is not None:
            status += f", hit {self.current_hit + 1:,} of {self._hits[shown]:,}"
        self.note_status.value = status
        note, query, spans = self.shown_note()
        is_possible = not self.evidence.is_sure.get(shown, True)
        self.note.value = view.note_html(
            note,
            query,
            spans,
            current=self.current_hit if query else None,
            address=self.address(shown),
            is_possible=is_possible,
        )

    def shown_note(self) -> tuple[pd.Series, Query | None, view.Spans]:
        """Return the note on display, the search, and where the evidence is in its text."""
        note = self.events.loc[self.notes.value]
        is_place = self.notes.value in self.evidence.is_sure and pd.notna(note["value"])
        spans = self.evidence.spans(self.notes.value, note["value"]) if is_place else []
        return note, self.query, spans

    def _pick_note(self) -> None:
        self.marked, self.current_hit = None, 0
        self._show_note()

    def _step_note(self, *, newer: bool) -> None:
        step = -1 if newer == self.order.value else 1
        self.notes.index = min(max(self.notes.index + step, 0), len(self.notes.options) - 1)

    def _show_table(self) -> None:
        n = len(self.selected)
        last = min(self.first_row + PAGE, n)
        self.earlier.disabled, self.later.disabled = self.first_row == 0, last == n
        self.page_status.value, self.table.value = "", "No events to show."
        if n:
            page = self.selected[self.first_row : last]
            self.page_status.value = f"{self.first_row + 1:,} to {last:,} of {number(n, 'event')}"
            self.table.value = view.events_html(page, self.query, self.marked, self.address)

    def _turn_page(self, step: int) -> None:
        self.first_row = max(self.first_row + step * PAGE, 0)
        self._show_table()

    def _show_trend(self) -> None:
        self.trend.value = "No laboratory test or vital sign with numbers."
        if self.test.value is not None:
            self.trend.value = trend_html(
                self.events,
                self.test.value,
                newest_first=self.order.value,
                marked=self.marked,
                address_of=self.address,
            )

    def show_event(self, row: int) -> None:
        """Show an event where it is in the record, and clear filters that hide it."""
        if row not in self.selected.index:
            self._clear_filters()
        event = self.events.loc[row]
        with self._setting():
            for box in self.types.children:
                box.value = box.value or box.type == event["type"]
        if row not in self.selected.index:
            self._filter()
        is_note = event["type"] == "note"
        self.marked = None if is_note else row
        with self._setting():
            self.tabs.selected_index = NOTES if is_note else EVENTS
            if is_note:
                self.notes.value, self.current_hit = row, None
            elif (test := measure_of(event)) is not None:
                self.test.value = test
        if not is_note:
            self.first_row = self.selected.index.get_loc(row) // PAGE * PAGE
        self._show_tab()
