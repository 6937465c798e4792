"""The controls of `browse`'s explorer and where they stand; what they do is in `browse`."""

import ipywidgets as widgets

from medalign_utils.explorer.html import STYLE

_BOX = {"border": "1px solid #bbb", "padding": "6px 10px", "overflow": "auto"}


class Controls(widgets.VBox):
    """A page to pick a patient from and to read the record in."""

    def __init__(self) -> None:
        """Lay the controls out, empty."""
        height = "420px"
        self.find = widgets.Text(
            placeholder="id of a patient or an instruction",
            description="Find",
            continuous_update=False,
        )
        self.patient = widgets.Dropdown(description="Patient", layout={"width": "340px"})
        self.person = widgets.HTML()
        self.message = widgets.HTML()
        self.instruction = widgets.Dropdown(description="Instruction", layout={"width": "auto"})
        self.answer = widgets.HTML(layout=_BOX | {"max_height": "330px"})
        self.places = widgets.Dropdown(description="Evidence in", layout={"width": "520px"})
        self.timeline = widgets.HTML()
        self.types = widgets.Box(layout={"flex_flow": "row wrap", "margin": "4px 0 0 12px"})
        self.since = widgets.DatePicker(description="From", layout={"width": "240px"})
        self.until = widgets.DatePicker(description="To", layout={"width": "240px"})
        self.search = widgets.Text(
            placeholder="word or phrase, then Enter", description="Search", continuous_update=False
        )
        self.reset = widgets.Button(description="Clear filters", icon="undo")
        self.hits = widgets.HTML()
        self.notes = widgets.Select(
            layout={"width": "36%", "height": height, "margin": "0 6px 0 0"}
        )
        self.note = widgets.HTML(
            layout=_BOX | {"width": "64%", "margin": "0", "overflow": "hidden"}
        )
        self.newer = widgets.Button(description="Newer note", icon="arrow-up")
        self.older = widgets.Button(description="Older note", icon="arrow-down")
        self.note_status = widgets.HTML()
        self.table = widgets.HTML(layout=_BOX | {"overflow": "hidden"})
        self.back = widgets.Button(description="Earlier", icon="arrow-left")
        self.forth = widgets.Button(description="Later", icon="arrow-right")
        self.page_status = widgets.HTML()
        self.tabs = widgets.Tab(
            [
                widgets.VBox(
                    [
                        widgets.HBox([self.newer, self.older, self.note_status]),
                        widgets.HBox([self.notes, self.note]),
                    ]
                ),
                widgets.VBox([widgets.HBox([self.back, self.forth, self.page_status]), self.table]),
            ]
        )
        self.reading = widgets.VBox(
            [
                self.types,
                widgets.HBox(
                    [self.since, self.until, self.search, self.reset],
                    layout={"flex_flow": "row wrap"},
                ),
                self.hits,
                self.timeline,
                self.tabs,
            ]
        )
        self.record = widgets.VBox(
            [self.person, self.instruction, self.answer, self.places, self.reading]
        )
        top = widgets.HBox([self.find, self.patient])
        super().__init__([widgets.HTML(STYLE), top, self.message, self.record])
        self.add_class("medalign")
