"""Look at a release in a notebook: a patient's timeline, events and notes, instructions, responses.

`explore` shows nothing of a record until a patient is picked, so an executed copy of the notebook
holds no patient's text.
"""

from contextlib import contextmanager
from html import escape

import ipywidgets as widgets
import pandas as pd

from medalign_utils import grading, paths
from medalign_utils.data.ehr import EVENT_COLUMNS, read_events
from medalign_utils.data.release import Release, ehr_files
from medalign_utils.errors import MedAlignError
from medalign_utils.explorer import html as view
from medalign_utils.explorer.controls import Controls
from medalign_utils.explorer.evidence import Evidence, locate_evidence, search_pattern
from medalign_utils.explorer.html import number
from medalign_utils.generation import runner
from medalign_utils.plots.release import EVENT_COLOURS

PAGE = 200  # events on a page of the table
NO_RESPONSES = pd.DataFrame(columns=["instruction_id", "system", "response"], dtype="str")
NOBODY = ""  # whom instructions are asked of that name no patient
NO_EVENTS = pd.DataFrame(columns=list(EVENT_COLUMNS), dtype="str").astype(
    {"timestamp": "datetime64[s]"}
)
NO_RATINGS = pd.DataFrame(columns=["instruction_id", "system", "rater", "correct"])


def explore(
    release: Release,
    responses: pd.DataFrame | None = None,
    ratings: pd.DataFrame | None = None,
) -> "Explorer":
    """Look at a release's records; the widget is shown where it is a cell's last expression.

    Args:
        release: as `dataset.load_release` gives it.
        responses: instruction_id, system, response; None if there are none.
        ratings: instruction_id, system, rater, correct; None if there are none.
    """
    return Explorer(release, responses, ratings)


def responses_and_ratings(release: Release, experiment: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What systems have answered so far, in this experiment and in the release, and the verdicts.

    Verdicts are the answer key's on the experiment's responses, where the release has one, and the
    clinicians' on those that the release brings.

    Returns: the two tables that `explore` takes; empty ones where there is nothing.

    Raises: MedAlignError where a file cannot be read.
    """
    responses, ratings = [NO_RESPONSES], [NO_RATINGS]
    files = paths.responses(experiment, "any").parent.glob("*.jsonl")
    for file in sorted(files):
        responses.append(runner.read_responses(file))
    if release.answer_key_path:
        key = grading.load_answer_key(release.answer_key_path)
        own = pd.concat(responses)
        own = own[own["instruction_id"].isin(list(key))]
        ratings.append(grading.rate_with_answer_key(own, key))
    if release.reviews_path:
        ratings.append(release.reviews.ratings)
        responses += [] if release.reviews.responses is None else [release.reviews.responses]
    return _joined(responses), _joined(ratings)


class Explorer(Controls):
    """The widget that `explore` gives; its controls are attributes."""

    def __init__(
        self,
        release: Release,
        responses: pd.DataFrame | None = None,
        ratings: pd.DataFrame | None = None,
    ) -> None:
        """Connect the controls; no record is read yet."""
        super().__init__()
        self.release = release
        self.responses = view.with_verdicts(
            NO_RESPONSES if responses is None else responses,
            NO_RATINGS if ratings is None else ratings,
        )
        self._asked = release.instructions.fillna({"person_id": NOBODY})
        self._busy = False
        for control, handler in (
            (self.find, self._list_patients),
            (self.patient, self._open_patient),
            (self.instruction, self._show_instruction),
            (self.places, self._go_to_place),
            (self.since, self._filter),
            (self.until, self._filter),
            (self.search, self._filter),
            (self.notes, self._pick_note),
        ):
            control.observe(self._unless_busy(handler), "value")
        self.reset.on_click(lambda _: self._clear_filters())
        self.newer.on_click(lambda _: self._step_note(-1))
        self.older.on_click(lambda _: self._step_note(1))
        self.back.on_click(lambda _: self._turn_page(-1))
        self.forth.on_click(lambda _: self._turn_page(1))
        self._list_patients()

    def _unless_busy(self, handler):
        return lambda _: None if self._busy else handler()

    @contextmanager
    def _setting(self):
        """While controls are set from here, they call nothing."""
        before, self._busy = self._busy, True
        try:
            yield
        finally:
            self._busy = before

    # Patients

    def _clear(self) -> None:
        """Leave nothing of the last patient, in the page neither."""
        self.events = self.selected = pd.DataFrame({"type": []})
        self.evidence = Evidence([], None, [])
        self.first_row, self.marked = 0, None
        self._in_time, self._hit_times = self.events, []
        self.record.layout.display = "none"
        with self._setting():
            for shown in (self.message, self.person, self.answer, self.timeline):
                shown.value = ""
            self.note.value = self.table.value = self.search.value = ""
            for listed in (self.instruction, self.places, self.notes):
                listed.options = []
            self.types.children = ()

    def _list_patients(self) -> None:
        wanted = self.find.value.strip()
        with_instruction = self._asked["instruction_id"].str.contains(wanted, regex=False)
        holders = set(self._asked["person_id"][with_instruction])
        asked = self._asked["person_id"].value_counts()
        known = _persons(self.release)
        persons = [p for p in known if wanted in p or p in holders]
        heading = number(len(persons), "patient") if persons else "no such id"
        persons += [NOBODY] * (NOBODY in holders)
        options = [
            (f"{p or 'no patient named'} · {number(asked.get(p, 0), 'instruction')}", p)
            for p in persons
        ]
        opened = self.patient.value
        with self._setting():
            self.patient.options = [(f"{heading}: choose one", None), *options]
            self.patient.value = opened if opened in persons else None
            if wanted and len(persons) == 1:
                self.patient.value = persons[0]
        if self.patient.value is None or self.patient.value != opened:
            self._open_patient()
        if wanted in self._asked["instruction_id"].to_numpy() and self.patient.value is not None:
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
        asked = self._asked[self._asked["person_id"] == person_id]
        heading = number(len(asked), "instruction") if len(asked) else "no instructions"
        with self._setting():
            self.person.value = view.person_line(self.events) if named else "no record to show"
            self.instruction.options = [
                (heading if asked.empty else f"{heading}: choose one", None),
                *((f"{i}  {q}", i) for i, q in asked[["instruction_id", "question"]].to_numpy()),
            ]
            self.instruction.index = 0
            self._list_types()
            self._list_places()
            self.answer.layout.display = "none"
            self.tabs.selected_index = 0
        self._clear_filters()
        self.reading.layout.display = None if named else "none"
        self.record.layout.display = None

    def _list_types(self) -> None:
        counts = self.events["type"].value_counts()
        boxes = []
        for name in sorted(counts.index, key=lambda name: (name == "person", _row(name))):
            box = widgets.Checkbox(
                description=f"{name} ({counts[name]:,})",
                indent=False,
                layout={"width": "auto", "margin": "0 18px 0 0"},
            )
            box.type = name
            box.observe(self._unless_busy(self._filter), "value")
            boxes.append(box)
        self.types.children = boxes

    # Filters

    def _clear_filters(self) -> None:
        moments = self.events["timestamp"]
        with self._setting():
            self.search.value = ""
            self.since.value = None if self.events.empty else moments.min().date()
            self.until.value = None if self.events.empty else moments.max().date()
            for box in self.types.children:
                # What headers say of the person would crowd out the rest, encounter by encounter.
                box.value = box.type != "person"
        self._filter()

    def _filter(self) -> None:
        types = {box.type for box in self.types.children if box.value}
        pattern = search_pattern(self.search.value)
        in_time = view.select_events(self.events, None, self.since.value, self.until.value)
        self.selected = in_time[in_time["type"].isin(types)]
        notes = self.selected[self.selected["type"] == "note"]
        n_hits = None
        self._hit_times = []
        if pattern:
            n_hits = view.count_hits(self.selected, pattern)
            n_hits = n_hits[n_hits > 0]
            self.selected = self.selected.loc[n_hits.index]
            notes = notes.loc[notes.index.intersection(n_hits.index)]
            self._hit_times = notes["timestamp"].drop_duplicates().tolist()
        self._in_time = in_time[in_time["type"].isin(types)]
        notes = notes.sort_values("timestamp", ascending=False, kind="stable")
        shown = self.notes.value
        with self._setting():
            self.notes.options = [
                (view.title_of(row) + _hits_of(n_hits, index), index)
                for index, row in notes.iterrows()
            ]
            if len(notes):
                self.notes.value = shown if shown in notes.index else notes.index[0]
            self.tabs.titles = (f"Notes ({len(notes):,})", f"Events ({len(self.selected):,})")
        self.hits.value = "" if pattern is None else self._hits_found(n_hits, notes)
        self.first_row = 0
        self._show_table()
        self._show_note()

    def _hits_found(self, n_hits: pd.Series, notes: pd.DataFrame) -> str:
        quoted = f"“{escape(self.search.value)}”"
        if n_hits.empty:
            return f"<b>No hits</b> for {quoted} in what the filters leave."
        in_notes = number(n_hits[notes.index].sum(), "hit")
        coded = number(len(n_hits) - len(notes), "coded event")
        return f"{quoted}: <b>{in_notes}</b> in {number(len(notes), 'note')}, and in {coded}."

    # What is shown

    def _show_timeline(self, shown: int | None) -> None:
        moment = None if shown is None else self.events.at[shown, "timestamp"]
        drawn = self._in_time[self._in_time["type"] != "person"]
        image = view.timeline_image(drawn, hits=self._hit_times, shown=moment)
        self.timeline.value = image or "The filters leave no events."

    def _show_note(self) -> None:
        shown = self.notes.value
        labels = [value for _, value in self.notes.options]
        self.newer.disabled = shown is None or shown == labels[0]
        self.older.disabled = shown is None or shown == labels[-1]
        self._show_timeline(shown if self.marked is None else self.marked)
        if shown is None:
            self.note_status.value = ""
            self.note.value = "No notes to show."
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
        self.back.disabled, self.forth.disabled = self.first_row == 0, last == n
        self.page_status.value = f"{self.first_row + 1:,} to {last:,} of {number(n, 'event')}"
        if not n:
            self.page_status.value, self.table.value = "", "No events to show."
            return
        page = self.selected.iloc[self.first_row : last]
        pattern = search_pattern(self.search.value)
        self.table.value = view.events_html(page, pattern, self.marked)

    def _turn_page(self, step: int) -> None:
        self.first_row = max(self.first_row + step * PAGE, 0)
        self._show_table()

    # Instructions

    def _show_instruction(self) -> None:
        self.marked = None
        instruction_id = self.instruction.value
        of_it = self.release.references["instruction_id"] == instruction_id
        references = self.release.references[of_it]
        given = references["evidence"].dropna()
        self.evidence = locate_evidence(self.events, given.iloc[0] if len(given) else None)
        if instruction_id is None:
            self.answer.value, self.answer.layout.display = "", "none"
        else:
            row = self._asked.set_index("instruction_id", drop=False).loc[instruction_id]
            responses = self.responses[self.responses["instruction_id"] == instruction_id]
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
        """Show the event that holds the evidence, clearing filters that hide it."""
        row = self.places.value
        if row is None:
            self._show_note()
            self._show_table()
            return
        if row not in self.selected.index:
            self._clear_filters()
        with self._setting():
            for box in self.types.children:
                box.value = box.value or box.type == self.events.at[row, "type"]
        if row not in self.selected.index:
            self._filter()
        if self.events.at[row, "type"] == "note":
            self.marked = None
            with self._setting():
                self.notes.value = row
            self.tabs.selected_index = 0
        else:
            self.marked = row
            self.first_row = self.selected.index.get_loc(row) // PAGE * PAGE
            self.tabs.selected_index = 1
        self._show_table()
        self._show_note()


def _persons(release: Release) -> list[str]:
    """Patients with instructions, and those who only have an EHR; by number."""
    persons = {*release.instructions["person_id"].dropna(), *ehr_files(release.path)[0].values()}
    return sorted(persons, key=lambda person_id: (len(person_id), person_id))


def _joined(tables: list[pd.DataFrame]) -> pd.DataFrame:
    filled = [table for table in tables if len(table)]
    return pd.concat(filled, ignore_index=True) if filled else tables[0]


def _hits_of(n_hits: pd.Series | None, index: int) -> str:
    return "" if n_hits is None else f"  · {number(n_hits[index], 'hit')}"


def _row(event_type: str) -> tuple[int, str]:
    """Where a type stands among the rows of a timeline."""
    known = list(EVENT_COLOURS)
    return (known.index(event_type) if event_type in known else len(known), event_type)
