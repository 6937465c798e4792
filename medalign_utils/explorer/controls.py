"""The explorer's controls and their layout; `reader` and `widget` give them their behaviour."""

from functools import partial

import ipywidgets as widgets

from medalign_utils.explorer.style import SCRIPT, STYLE


class Controls(widgets.VBox):
    """A page with controls for choosing a patient and reading the record."""

    def __init__(self) -> None:
        """Create and arrange the controls, still empty."""
        self._create_choices()
        self._create_search()
        self._create_tabs()
        row, column = widgets.HBox, widgets.VBox
        top = _named(row([self.find, self.patient, self.instruction]), "ma-top")
        self.left = _named(column([self.answer, self.places, self.responses_shown]), "ma-left")
        search = [self.search, self.previous_hit, self.next_hit, self.order]
        search = _named(row([*search, self.show_filters, self.show_timeline]), "ma-bar")
        dates = _named(row([self.since, self.until, self.reset]), "ma-bar")
        self.filters = column([self.types, dates])
        reading = [search, self.hits, self.filters, self.timeline, self.tabs]
        self.reading = _named(column(reading), "ma-right")
        self.record = _named(row([self.left, self.reading]), "ma-main")
        script = {"output_type": "display_data", "metadata": {}}
        script = widgets.Output(outputs=[script | {"data": {"application/javascript": SCRIPT}}])
        about = [self.person, self.message, self.start]
        parts = [widgets.HTML(STYLE), top, *about, self.record, _named(script, "ma-script")]
        super().__init__(parts)
        self.add_class("medalign")

    def _create_choices(self) -> None:
        text = partial(widgets.Text, continuous_update=False)
        self.find = _named(text(placeholder="ID or link", description="Find"), "ma-find")
        self.patient = _named(widgets.Dropdown(description="Patient"), "ma-patient")
        self.person, self.message = _named(widgets.HTML(), "ma-person"), widgets.HTML()
        self.start = widgets.HTML()
        self.instruction = _named(widgets.Dropdown(description="Instruction"), "ma-grow")
        self.answer, self.responses_shown = widgets.HTML(), widgets.HTML()
        self.places = widgets.Dropdown(description="Evidence in")

    def _create_search(self) -> None:
        text = partial(widgets.Text, continuous_update=False)
        example = 'Search: words, "a phrase", OR'
        self.search = _named(text(placeholder=example, description="Search"), "ma-search-box")
        button, what = partial(widgets.Button, disabled=True), "hit, or place of the evidence"
        self.previous_hit = button(icon="chevron-up", tooltip=f"Previous {what} (key p)")
        self.next_hit = button(icon="chevron-down", tooltip=f"Next {what} (key n)")
        _named(self.previous_hit, "ma-previous")
        _named(self.next_hit, "ma-next")
        orders = [("Newest first", True), ("Oldest first", False)]
        self.order = _named(widgets.Dropdown(options=orders), "ma-order")
        self.order.tooltip = "Order of notes, events and values"
        toggle = widgets.ToggleButton
        self.show_filters = toggle(description="Filters")
        self.show_timeline = _named(toggle(True, description="Timeline"), "ma-short")
        self.hits, self.timeline = widgets.HTML(), widgets.HTML()
        self.types = _named(widgets.Box(), "ma-types")
        day = partial(text, placeholder="YYYY-MM-DD")
        self.since = _named(day(description="From"), "ma-date")
        self.until = _named(day(description="To"), "ma-date")
        self.reset = widgets.Button(description="Clear filters", icon="undo")

    def _create_tabs(self) -> None:
        row, column, button = widgets.HBox, widgets.VBox, widgets.Button
        self.notes = _named(widgets.Select(), "ma-notes")
        self.note = _named(widgets.HTML(), "ma-fill")
        self.newer = button(description="Newer note", icon="arrow-up")
        self.older = button(description="Older note", icon="arrow-down")
        self.note_status = widgets.HTML()
        self.table = _named(widgets.HTML(), "ma-fill")
        self.earlier = button(description="Previous page", icon="arrow-left")
        self.later = button(description="Next page", icon="arrow-right")
        self.page_status = widgets.HTML()
        self.test = widgets.Dropdown(description="Test or sign")
        self.trend = _named(widgets.HTML(), "ma-fill")
        note_bar = _named(row([self.newer, self.older, self.note_status]), "ma-bar")
        page_bar = _named(row([self.earlier, self.later, self.page_status]), "ma-bar")
        self.tabs = widgets.Tab(
            [
                column([note_bar, self.notes, self.note]),
                column([page_bar, self.table]),
                column([self.test, self.trend]),
            ]
        )


def _named(control: widgets.DOMWidget, name: str) -> widgets.DOMWidget:
    """Return a control after giving it a class for the style sheet and the script."""
    control.add_class(name)
    return control
