"""The explorer: a patient's record beside the instructions about it and the systems' responses.

Of a restricted release `explore` shows no record until a patient is chosen, and notebook 01 has a
button in its place (`explore_on_request`), so an executed copy of the notebook contains no text and
no id of a patient. Of a synthetic release it opens the first instruction with evidence.
"""

from html import escape
from urllib.parse import quote, unquote

import ipywidgets as widgets
import pandas as pd
from IPython.display import HTML

from medalign_utils import grading, paths
from medalign_utils.curation.evidence import NO_EVIDENCE, locate_evidence
from medalign_utils.data.ehr import read_events
from medalign_utils.data.ehr_files import ehr_files
from medalign_utils.data.release import Release
from medalign_utils.data.responses import read_responses
from medalign_utils.errors import MedAlignError
from medalign_utils.explorer import answers
from medalign_utils.explorer import html as view
from medalign_utils.explorer.html import number
from medalign_utils.explorer.reader import NO_EVENTS, Reader
from medalign_utils.explorer.style import STYLE

NOBODY = ""  # stands for the patient of instructions without one
_CLOSED = "The explorer opens here when this notebook runs in JupyterLab."
NO_RESPONSES = pd.DataFrame(columns=["instruction_id", "system", "response"], dtype="str")
NO_RATINGS = pd.DataFrame(columns=["instruction_id", "system", "rater", "correct"])
_START = """<p><b>Choose a patient</b> above, or find one by the ID of a patient or an instruction.
The record then opens here, with the responses to each instruction beside it.</p>
<p>{patients}, {instructions}: {references} with a reference, {answered} with responses of
{systems}.</p><p>Keys: <kbd>/</kbd> search, <kbd>n</kbd> and <kbd>p</kbd> next and previous hit or
place of the evidence.</p>"""


def explore(
    release: Release, responses: pd.DataFrame = NO_RESPONSES, ratings: pd.DataFrame = NO_RATINGS
) -> "Explorer":
    """Return a widget that shows a release's records; make it the last expression of a cell."""
    return Explorer(release, responses, ratings)


def explore_on_request(
    release: Release, responses: pd.DataFrame = NO_RESPONSES, ratings: pd.DataFrame = NO_RATINGS
) -> "Explorer | widgets.VBox":
    """Return `explore`; of a restricted release, a button that opens it.

    A program that executes a notebook may save the state of its widgets, and the explorer's has the
    ids of all patients. Nobody clicks in such a run.
    """
    if not release.is_restricted:
        return explore(release, responses, ratings)
    button = widgets.Button(description="Open the explorer")
    box = widgets.VBox([button])
    button.on_click(lambda _: box.set_trait("children", [explore(release, responses, ratings)]))
    return box


def show_example(release: Release) -> HTML:
    """Return an instruction as the explorer shows it, without responses, and its patient's note.

    Of a restricted release it is a sentence only, because a notebook is saved with its outputs.
    """
    given = release.references.merge(release.instructions, on="instruction_id")
    given = given.dropna(subset=["evidence", "person_id"])
    if release.is_restricted or given.empty:
        return HTML("<p>No example: the release is restricted, or it names no evidence.</p>")
    explorer = explore(release)
    explorer.show(given["person_id"].iloc[0], given["instruction_id"].iloc[0])
    note = view.note_html(*explorer.shown_note())
    return HTML(
        f"{STYLE}<div>{explorer.person.value}</div><div>{explorer.answer.value}</div>"
        f'<div style="max-height:400px;overflow:auto">{note}</div>'
    )


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


class Explorer(Reader):
    """The widget that `explore` returns; its controls are attributes."""

    def __init__(self, release: Release, responses: pd.DataFrame, ratings: pd.DataFrame) -> None:
        """Connect the controls; read a record only if the release is synthetic."""
        super().__init__()
        self.release = release
        self.responses = answers.with_verdicts(responses, ratings)
        self._key = (
            grading.load_answer_key(release.answer_key_path) if release.answer_key_path else {}
        )
        self._instructions = release.instructions.fillna({"person_id": NOBODY})
        self._connect(self._find, self.find)
        self._connect(self._open_patient, self.patient)
        self._connect(self._show_instruction, self.instruction)
        self._connect(self._go_to_place, self.places)
        self.start.value = self._overview()
        self._list_patients()
        if not release.is_restricted:
            self._open_first()

    def _repr_mimebundle_(self, **kwargs) -> dict:
        """Return what a notebook saves, with a sentence for pages that have no kernel."""
        plain = {"text/plain": _CLOSED, "text/html": f"<p>{_CLOSED}</p>"}
        return super()._repr_mimebundle_(**kwargs) | plain

    # Patients

    def _overview(self) -> str:
        ids = set(self._instructions["instruction_id"])
        answered = self.responses["instruction_id"]
        return _START.format(
            patients=number(len(self._persons()), "patient"),
            instructions=number(len(ids), "instruction"),
            references=f"{self.release.references['instruction_id'].nunique():,}",
            answered=f"{len(ids & set(answered)):,}",
            systems=number(self.responses["system"].nunique(), "system"),
        )

    def _persons(self) -> set[str]:
        """Return the patients, who may have instructions, an EHR or both."""
        asked = self._instructions["person_id"]
        return {*asked, *ehr_files(self.release.path)[0].values()} - {NOBODY}

    def _open_first(self) -> None:
        """Open the first instruction with a record, evidence and most responses."""
        counts = self.responses["instruction_id"].value_counts()
        given = self.release.references.dropna(subset=["evidence"])["instruction_id"]
        asked = self._instructions[self._instructions["person_id"] != NOBODY]
        asked = asked.assign(
            n=asked["instruction_id"].map(counts).fillna(0),
            has_evidence=asked["instruction_id"].isin(given),
        ).sort_values(["has_evidence", "n"], ascending=False, kind="stable")
        if len(asked):
            first = asked.iloc[0]
            self.show(first["person_id"], first["instruction_id"])

    def show(
        self, person_id: str, instruction_id: str | None = None, row: int | None = None
    ) -> None:
        """Open a patient, then an instruction, then an event (its number in the EHR's file)."""
        self.find.value = ""
        if person_id not in [value for _, value in self.patient.options]:
            self.message.value = _warning(f"This release has no patient {person_id}.")
            return
        self.patient.value = person_id
        if instruction_id in [value for _, value in self.instruction.options]:
            self.instruction.value = instruction_id
        if row is not None and row in self.events.index:
            self.show_event(row)

    def address(self, row: int) -> str:
        """Return the address of an event: patient, event and instruction."""
        parts = (self.patient.value or "", str(row), self.instruction.value or "")
        return "/".join(quote(part, safe="") for part in parts)

    def _find(self) -> None:
        """List the patients that match, or open the address of an event."""
        person_id, *rest = map(unquote, self.find.value.strip().rpartition("=")[2].split("/"))
        if not rest:
            self._list_patients()
            return
        row = int(rest[0]) if rest[0].isdecimal() else None
        self.show(person_id, rest[1] if len(rest) > 1 else None, row)

    def _list_patients(self) -> None:
        wanted, ids = self.find.value.strip(), self._instructions["instruction_id"]
        found = set(self._instructions["person_id"][ids.str.contains(wanted, regex=False)])
        counts = self._instructions["person_id"].value_counts()
        persons = sorted(
            (p for p in self._persons() if wanted in p or p in found), key=lambda p: (len(p), p)
        )
        heading = f"{number(len(persons), 'patient')}: choose one" if persons else "no matching ID"
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

    def _clear(self) -> None:
        """Remove everything about the previous patient, also from the page."""
        self._forget()
        self.record.layout.display = "none"
        with self._setting():
            for control in (self.message, self.person, self.answer, self.responses_shown):
                control.value = ""
            for control in (self.instruction, self.places):
                control.options = []

    def _open_patient(self) -> None:
        self._clear()
        person_id = self.patient.value
        self.start.layout.display = None if person_id is None else "none"
        if person_id is None:
            return
        named = person_id != NOBODY
        try:
            events = read_events(self.release.ehr_path(person_id)) if named else NO_EVENTS
        except MedAlignError as error:
            self.message.value = _warning(str(error))
            return
        events = events.sort_values("timestamp", kind="stable")
        own = self._instructions[self._instructions["person_id"] == person_id]
        heading = f"{number(len(own), 'instruction')}: choose one"
        options = [(f"{i}  {q}", i) for i, q in own[["instruction_id", "question"]].to_numpy()]
        with self._setting():
            self.person.value = view.person_line(events) if named else "no record to show"
            self.instruction.options = [(heading if options else "no instructions", None), *options]
            self.instruction.index = 0
        self._read(events)
        self._show_answer()
        self.reading.layout.display = None if named else "none"
        self.record.layout.display = None

    # Instructions

    def _show_instruction(self) -> None:
        self.marked = None
        self._show_answer()
        if self.evidence.rows:
            self._clear_filters()
        self._go_to_place()

    def _show_answer(self) -> None:
        """Show the chosen instruction, and find its evidence."""
        chosen = self.instruction.value
        self.evidence = NO_EVIDENCE
        self.answer.value = "<p>Choose an instruction to see the responses to it.</p>"
        self.responses_shown.value = ""
        if chosen is not None:
            row = self._instructions.set_index("instruction_id").loc[chosen]
            references, responses = (
                table[table["instruction_id"] == chosen]
                for table in (self.release.references, self.responses)
            )
            first = references.dropna(subset=["evidence"]).head(1)
            for given in first.itertuples():
                context = (given.reference, row["question"])
                self.evidence = locate_evidence(self.text, given.evidence, context)
            key = self._key.get(chosen)
            self.answer.value = answers.instruction_html(row, references, self.evidence)
            self.responses_shown.value = answers.responses_html(responses, row["question"], key)
        self._list_places()
        self._allow_steps()

    def _list_places(self) -> None:
        rows = self.evidence.rows
        titles = view.titles_of(self.events.loc[rows])
        options = []
        for i, (row, title) in enumerate(zip(rows, titles, strict=True), start=1):
            possibly = "" if self.evidence.is_sure[row] else "possibly "
            options.append((f"{i} of {len(rows)}: {possibly}{title}", row))
        with self._setting():
            self.places.options = options
            self.places.index = 0 if rows else None
            self.places.layout.display = None if rows else "none"

    def _go_to_place(self) -> None:
        """Show the event that contains the evidence."""
        if self.places.value is not None:
            self.show_event(self.places.value)
        else:
            self._show_tab()

    def _step_place(self, step: int) -> None:
        rows = self.evidence.rows
        if rows:
            with self._setting():
                self.places.index = (self.places.index + step) % len(rows)
            self._go_to_place()


def _warning(text: str) -> str:
    return f'<b class="ma-incorrect" role="alert">{escape(text)}</b>'
