"""The explorer: a patient's timeline, events and notes, instructions and responses.

`explore` shows no record until a patient is chosen, so an executed copy of the notebook contains no
patient text.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from html import escape

import ipywidgets as widgets
import pandas as pd
from IPython.display import HTML

from medalign_utils import grading, paths
from medalign_utils.data.ehr import EVENT_COLUMNS, read_events
from medalign_utils.data.ehr_files import ehr_files
from medalign_utils.data.evidence import Evidence, locate_evidence, search_pattern
from medalign_utils.data.release import Release
from medalign_utils.data.responses import read_responses
from medalign_utils.errors import MedAlignError
from medalign_utils.explorer import html as view
from medalign_utils.explorer.controls import Controls
from medalign_utils.explorer.html import number
from medalign_utils.plots.release import order_types

PAGE = 200  # events per page of the table
NOBODY = ""  # stands for the patient of instructions without one
_CLOSED = "The explorer opens here when this notebook runs in JupyterLab."
NO_EVENTS = pd.DataFrame(columns=list(EVENT_COLUMNS), dtype="str")
NO_EVENTS = NO_EVENTS.astype({"timestamp": "datetime64[s]"})
NO_RESPONSES = pd.DataFrame(columns=["instruction_id", "system", "response"], dtype="str")
NO_RATINGS = pd.DataFrame(columns=["instruction_id", "system", "rater", "correct"])


def explore(
    release: Release, responses: pd.DataFrame = NO_RESPONSES, ratings: pd.DataFrame = NO_RATINGS
) -> "Explorer":
    """Return a widget that shows a release's records; make it the last expression of a cell."""
    return Explorer(release, responses, ratings)


def show_example(release: Release) -> HTML:
    """Return an instruction as the explorer shows it, without responses, and its patient's note.

    Of a restricted release it is a sentence only, because a notebook is saved with its outputs.
    """
    given = release.references.merge(release.instructions, on="instruction_id")
    given = given.dropna(subset=["evidence", "person_id"])
    if release.is_restricted or given.empty:
        return HTML("<p>No example: the release is restricted, or it names no evidence.</p>")
    explorer = explore(release)
    explorer.patient.value = given["person_id"].iloc[0]
    explorer.instruction.value = given["instruction_id"].iloc[0]
    answer = explorer.answer.value.removesuffix(view.UNANSWERED)
    return HTML(f"<p>{explorer.person.value}</p><div>{answer}</div>{explorer.note.value}")


def responses_and_ratings(release: Release, experiment: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return all responses so far, of this experiment and of the release, and their ratings.

    Ratings come from the answer key and from clinicians; either table may be empty.
    """
    files = sorted(paths.responses(experiment, "any").parent.glob("*.jsonl"))
    responses = [NO_RESPONSES, *map(read_responses, files)]
    ratings = [NO_RATINGS]
    if release.answer_key_path:
        key = grading.load_answer_key(release.answer_key_path)
        own = pd.concat(responses)
        own = own[own["instruction_id"].isin(list(key))]
        ratings.append(grading.rate_with_answer_key(own, key, release.questions))
    if release.reviews_path:
        ratings.append(release.reviews.ratings)
        responses += [] if release.reviews.responses is None else [release.reviews.responses]
    return pd.concat(responses, ignore_index=True), pd.concat(ratings, ignore_index=True)


class Explorer(Controls):
    """The widget that `explore` returns; its controls are attributes."""

    def __init__(self, release: Release, responses: pd.DataFrame, ratings: pd.DataFrame) -> None:
        """Connect the controls, without reading a record yet."""
        super().__init__()
        self.release = release
        self.responses = view.with_verdicts(responses, ratings)
        self._instructions = release.instructions.fillna({"person_id": NOBODY})
        self._busy = False
        handlers = {
            self._list_patients: [self.find],
            self._open_patient: [self.patient],
            self._show_instruction: [self.instruction],
            self._go_to_place: [self.places],
            self._filter: [self.since, self.until, self.search],
            self._pick_note: [self.notes],
        }
        for handler, controls in handlers.items():
            for control in controls:
                control.observe(self._unless_busy(handler), "value")
        self.reset.on_click(lambda _: self._clear_filters())
        self.newer.on_click(lambda _: self._step_note(-1))
        self.older.on_click(lambda _: self._step_note(1))
        self.earlier.on_click(lambda _: self._turn_page(-1))
        self.later.on_click(lambda _: self._turn_page(1))
        self._list_patients()

    def _repr_mimebundle_(self, **kwargs) -> dict:
        """Return what a notebook saves, with a sentence for pages that have no kernel."""
        plain = {"text/plain": _CLOSED, "text/html": f"<p>{_CLOSED}</p>"}
        return super()._repr_mimebundle_(**kwargs) | plain

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

    # Patients

    def _clear(self) -> None:
        """Remove everything about the previous patient, also from the page."""
        self.events = self.selected = self._unsearched = pd.DataFrame({"type": []})
        self.evidence = Evidence([], None, [])
        self.first_row, self.marked, self._hit_times = 0, None, []
        self.record.layout.display = "none"
        with self._setting():
            texts = (self.message, self.person, self.answer, self.timeline, self.note, self.table)
            for control in (*texts, self.search):
                control.value = ""
            for control in (self.instruction, self.places, self.notes):
                control.options = []
            self.types.children = ()

    def _list_patients(self) -> None:
        wanted, ids = self.find.value.strip(), self._instructions["instruction_id"]
        found = set(self._instructions["person_id"][ids.str.contains(wanted, regex=False)])
        counts = self._instructions["person_id"].value_counts()
        # Patients may have instructions, an EHR or both.
        persons = {*counts.index, *ehr_files(self.release.path)[0].values()} - {NOBODY}
        persons = sorted(
            (p for p in persons if wanted in p or p in found), key=lambda p: (len(p), p)
        )
        count = number(len(persons), "patient")
        heading = f"{count}: choose one" if persons else "no matching ID"
        persons += [NOBODY] * (NOBODY in found)
        options = [
            (f"{p or 'no patient named'} · {number(counts.get(p, 0), 'instruction')}", p)
            for p in persons
        ]
        before = self.patient.value
        with self._setting():
            self.patient.options = [(heading, None), *options]
            self.patient.value = before if before in persons else None
            if wanted and len(persons) == 1:
                self.patient.value = persons[0]
        if self.patient.value is None or self.patient.value != before:
            self._open_patient()
        if wanted in ids.to_numpy() and self.patient.value is not None:
            self.instruction.value = wanted

    def _open_patient(self) -> None:
        self._clear()
        person_id = self.patient.value
        if person_id is None:
            return
        try:
            named = person_id != NOBODY
            events = read_events(self.release.ehr_path(person_id)) if named else NO_EVENTS
        except MedAlignError as error:
            self.message.value = f'<b style="color:#D55E00">{escape(str(error))}</b>'
            return
        self.events = events.sort_values("timestamp", kind="stable")
        own = self._instructions[self._instructions["person_id"] == person_id]
        heading = f"{number(len(own), 'instruction')}: choose one"
        options = [(f"{i}  {q}", i) for i, q in own[["instruction_id", "question"]].to_numpy()]
        with self._setting():
            self.person.value = view.person_line(self.events) if named else "no record to show"
            self.instruction.options = [(heading if options else "no instructions", None), *options]
            self.instruction.index = 0
            self.types.children = self._type_boxes()
            self._list_places()
            self.answer.layout.display = "none"
            self.tabs.selected_index = 0
        self._clear_filters()
        self.reading.layout.display = None if named else "none"
        self.record.layout.display = None

    def _type_boxes(self) -> list[widgets.Checkbox]:
        counts, boxes = self.events["type"].value_counts(), []
        for name in order_types(counts.index):
            layout = {"width": "auto", "margin": "0 18px 0 0"}
            text = f"{name} ({counts[name]:,})"
            boxes.append(widgets.Checkbox(description=text, indent=False, layout=layout))
            boxes[-1].type = name
            boxes[-1].observe(self._unless_busy(self._filter), "value")
        return boxes

    # Filters

    def _clear_filters(self) -> None:
        moments = self.events["timestamp"]
        with self._setting():
            self.search.value = ""
            self.since.value = None if self.events.empty else moments.min().date()
            self.until.value = None if self.events.empty else moments.max().date()
            for box in self.types.children:
                # Every encounter repeats the demographics, which would crowd out the rest.
                box.value = box.type != "person"
        self._filter()

    def _filter(self) -> None:
        types = {box.type for box in self.types.children if box.value}
        pattern, before = search_pattern(self.search.value), self.notes.value
        self._unsearched = self.selected = view.select_events(
            self.events, types, self.since.value, self.until.value
        )
        hits = None
        if pattern:
            hits = view.count_hits(self.selected, pattern)
            hits = hits[hits > 0]
            self.selected = self.selected.loc[hits.index]
        notes = self.selected[self.selected["type"] == "note"]
        self._hit_times = notes["timestamp"].drop_duplicates().tolist() if pattern else []
        notes = notes.sort_values("timestamp", ascending=False, kind="stable")
        titles = [view.title_of(note) for _, note in notes.iterrows()]
        if pattern:
            counts = hits[notes.index]
            titles = [f"{t}  · {number(n, 'hit')}" for t, n in zip(titles, counts, strict=True)]
        with self._setting():
            self.notes.options = [*zip(titles, notes.index, strict=True)]
            if len(notes):
                self.notes.value = before if before in notes.index else notes.index[0]
            self.tabs.titles = (f"Notes ({len(notes):,})", f"Events ({len(self.selected):,})")
        self.hits.value = "" if pattern is None else self._hits_found(hits, notes)
        self.first_row = 0
        self._show_table()
        self._show_note()

    def _hits_found(self, hits: pd.Series, notes: pd.DataFrame) -> str:
        quoted = f"“{escape(self.search.value)}”"
        if hits.empty:
            return f"<b>No hits</b> for {quoted} among the filtered notes and events."
        in_notes = number(hits[notes.index].sum(), "hit")
        coded = number(len(hits) - len(notes), "coded event")
        return f"{quoted}: <b>{in_notes}</b> in {number(len(notes), 'note')}; also in {coded}."

    # Notes and events

    def _show_note(self) -> None:
        shown = self.notes.value
        viewed = shown if self.marked is None else self.marked
        moment = None if viewed is None else self.events.at[viewed, "timestamp"]
        drawn = self._unsearched[self._unsearched["type"] != "person"]
        image = view.timeline_image(drawn, hits=self._hit_times, shown=moment)
        self.timeline.value = image or "No events match the filters."
        labels = [value for _, value in self.notes.options]
        self.newer.disabled = shown is None or shown == labels[0]
        self.older.disabled = shown is None or shown == labels[-1]
        if shown is None:
            self.note_status.value, self.note.value = "", "No notes to show."
            return
        self.note_status.value = f"{labels.index(shown) + 1:,} of {number(len(labels), 'note')}"
        evidence = self.evidence.pattern if shown in self.evidence.rows else None
        pattern = search_pattern(self.search.value)
        self.note.value = view.note_html(self.events.loc[shown], pattern, evidence)

    def _pick_note(self) -> None:
        self.marked = None
        self._show_note()

    def _step_note(self, step: int) -> None:
        self.notes.index = min(max(self.notes.index + step, 0), len(self.notes.options) - 1)

    def _show_table(self) -> None:
        n = len(self.selected)
        last = min(self.first_row + PAGE, n)
        self.earlier.disabled, self.later.disabled = self.first_row == 0, last == n
        self.page_status.value, self.table.value = "", "No events to show."
        if n:
            page, pattern = self.selected[self.first_row : last], search_pattern(self.search.value)
            self.page_status.value = f"{self.first_row + 1:,} to {last:,} of {number(n, 'event')}"
            self.table.value = view.events_html(page, pattern, self.marked)

    def _turn_page(self, step: int) -> None:
        self.first_row = max(self.first_row + step * PAGE, 0)
        self._show_table()

    # Instructions

    def _show_instruction(self) -> None:
        self.marked = None
        chosen = self.instruction.value
        references, responses = (
            table[table["instruction_id"] == chosen]
            for table in (self.release.references, self.responses)
        )
        given = references["evidence"].dropna()
        self.evidence = locate_evidence(self.events, given.iloc[0] if len(given) else None)
        self.answer.value, self.answer.layout.display = "", "none"
        if chosen is not None:
            row = self._instructions.set_index("instruction_id").loc[chosen]
            self.answer.value = view.instruction_html(row, references, responses, self.evidence)
            self.answer.layout.display = None
        self._list_places()
        self._go_to_place()

    def _list_places(self) -> None:
        rows = self.evidence.rows
        with self._setting():
            self.places.options = [
                (f"{i} of {len(rows)}: {view.title_of(self.events.loc[row])}", row)
                for i, row in enumerate(rows, start=1)
            ]
            self.places.index = 0 if rows else None
            self.places.layout.display = None if rows else "none"

    def _go_to_place(self) -> None:
        """Show the event that contains the evidence, and clear filters that hide it."""
        row = self.places.value
        if row is not None:
            if row not in self.selected.index:
                self._clear_filters()
            event_type = self.events.at[row, "type"]
            with self._setting():
                for box in self.types.children:
                    box.value = box.value or box.type == event_type
            if row not in self.selected.index:
                self._filter()
            is_note = event_type == "note"
            self.marked = None if is_note else row
            self.tabs.selected_index = 0 if is_note else 1
            if is_note:
                with self._setting():
                    self.notes.value = row
            else:
                self.first_row = self.selected.index.get_loc(row) // PAGE * PAGE
        self._show_table()
        self._show_note()
