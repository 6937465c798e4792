"""The explorer's controls and their layout; `widget` gives them their behaviour."""

from functools import partial

import ipywidgets as widgets

from medalign_utils.explorer.html import STYLE

_BOX = {"border": "1px solid #bbb", "padding": "6px 10px", "overflow": "auto"}


class Controls(widgets.VBox):
    """A page with controls for choosing a patient and reading the record."""

    def __init__(self) -> None:
        """Create and arrange the controls, still empty."""
        text = partial(widgets.Text, continuous_update=False)
        self.find = text(placeholder="patient or instruction ID", description="Find")
        self.patient = widgets.Dropdown(description="Patient", layout={"width": "340px"})
        self.person, self.message = widgets.HTML(), widgets.HTML()
        self.instruction = widgets.Dropdown(description="Instruction", layout={"width": "auto"})
        self.answer = widgets.HTML(layout=_BOX | {"max_height": "330px"})
        self.places = widgets.Dropdown(description="Evidence in", layout={"width": "520px"})
        self.timeline = widgets.HTML()
        self.types = widgets.Box(layout={"flex_flow": "row wrap", "margin": "4px 0 0 12px"})
        self.since = widgets.DatePicker(description="From", layout={"width": "240px"})
        self.until = widgets.DatePicker(description="To", layout={"width": "240px"})
        self.search = text(placeholder="word or phrase, then Enter", description="Search")
        self.reset = widgets.Button(description="Clear filters", icon="undo")
        self.hits = widgets.HTML()
        size = {"width": "36%", "height": "420px", "margin": "0 6px 0 0"}
        self.notes = widgets.Select(layout=size)
        hidden = {"margin": "0", "overflow": "hidden"}
        self.note = widgets.HTML(layout=_BOX | hidden | {"width": "64%"})
        self.newer = widgets.Button(description="Newer note", icon="arrow-up")
        self.older = widgets.Button(description="Older note", icon="arrow-down")
        self.note_status = widgets.HTML()
        self.table = widgets.HTML(layout=_BOX | {"overflow": "hidden"})
        self.earlier = widgets.Button(description="Earlier", icon="arrow-left")
        self.later = widgets.Button(description="Later", icon="arrow-right")
        self.page_status = widgets.HTML()
        row, column = widgets.HBox, widgets.VBox
        notes = [row([self.newer, self.older, self.note_status]), row([self.notes, self.note])]
        events = [row([self.earlier, self.later, self.page_status]), self.table]
        self.tabs = widgets.Tab([column(notes), column(events)])
        filters = [self.since, self.until, self.search, self.reset]
        filters = row(filters, layout={"flex_flow": "row wrap"})
        self.reading = column([self.types, filters, self.hits, self.timeline, self.tabs])
        about = [self.person, self.instruction, self.answer, self.places]
        self.record = column([*about, self.reading])
        top = row([self.find, self.patient])
        super().__init__([widgets.HTML(STYLE), top, self.message, self.record])
        self.add_class("medalign")
