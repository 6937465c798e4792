"""Read one patient's EHR, as a table of events or as text for a prompt."""

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from medalign_utils.data.ehr import eventstream, visit_markup
from medalign_utils.data.ehr.events import Event, Report
from medalign_utils.data.ehr.order import arranged
from medalign_utils.data.ehr.parsing import read_opening, read_text
from medalign_utils.errors import EHRError

FORMATS = ("lines", "markup")
_TEXT_COLUMNS = ("type", "code", "name", "value", "unit", "note_id", "source_text")
EVENT_COLUMNS = ("person_id", "timestamp", "encounter", *_TEXT_COLUMNS)
# Root element -> module that reads it, for the release's markup and the paper's examples.
_DIALECTS = {"eventstream": eventstream, "record": visit_markup}
# How each event's line begins, and no line of a note.
EVENT_LINE = re.compile(r"^(\d{4}-\d\d-\d\d \d\d:\d\d \S.*)$", re.ASCII | re.MULTILINE)
_AGES = ("age_days", "age_years")
_TEXT = pd.StringDtype("pyarrow", na_value=np.nan)  # what pandas calls "str"


def read_events(path: str | Path) -> pd.DataFrame:
    """Return one EHR as a table, one row per event in the file's order.

    `path` is ``<person_id>.xml`` or ``EHR_<person_id>.xml``. Columns:

    - person_id
    - timestamp: datetime64[s]
    - encounter: number from 0
    - type, code, name, unit, note_id: text, missing if absent, blank or a word of
      `missing.MISSING`, such as "NULL"
    - value: the event's text without surrounding blanks, missing as above
    - source_text: the event's text exactly as in the file

    Facts about the person are rows of type "person", named birthdate, age_days, age_years, gender,
    race, ethnicity or payerplan.

    Raises:
        EHRError: the file is missing, is not well-formed, or has a DOCTYPE, an unknown root element
            or another person_id; or an event is misplaced, or has no type or no valid timestamp.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp(), "7.xml")
    >>> _ = file.write_text('<eventstream person_id="7"><encounter><events><entry timestamp="2014-'
    ...     '08-10 09:12"><event type="measurement" code="LOINC/2160-0" name="Creatinine" unit='
    ...     '"mg/dL">1.4</event></entry></events></encounter></eventstream>')
    >>> read_events(file)[["timestamp", "type", "value", "unit"]]
                timestamp         type value   unit
    0 2014-08-10 09:12:00  measurement   1.4  mg/dL
    """
    person_id, iterator = _open(path, _raise)
    events = list(iterator)
    columns = dict(zip(Event._fields, zip(*events, strict=True), strict=True)) if events else {}
    # Arrow is three times as fast as pandas here.
    table = {
        name: _TEXT.__from_arrow__(pa.array(columns.get(name, ()), pa.large_string()))
        for name in _TEXT_COLUMNS
    }
    table["person_id"] = pd.array([person_id] * len(events), dtype=_TEXT)
    table["timestamp"] = pa.array(columns.get("timestamp", ()), pa.timestamp("s")).to_numpy()
    table["encounter"] = np.array(columns.get("encounter", ()), dtype="int64")
    return pd.DataFrame(table, columns=list(EVENT_COLUMNS), copy=False)


def iterate_events(path: str | Path, report: Callable[[str], None]) -> Iterator[Event]:
    """Yield the valid events and report the others; EHRError if the rest cannot be read."""
    yield from _open(path, lambda error: report(str(error)))[1]


def ehr_text(path: str | Path, format: str) -> str:
    """Return one EHR as text, in order of time.

    ``"markup"`` is the text of the file; if its encounters or entries are not in order, they are
    put in order, and encounters that repeat another are left out. Types, and demographics, are not
    checked. ``"lines"`` has one line per event with timestamp, type, code, name, value and unit; a
    note's text follows on the next lines, which get a "- " in front where they would look like an
    event's line. Events that are simultaneous keep the file's order. Facts about the person appear
    only when they change, and ages never.

    Raises:
        EHRError: as `read_events`.
        ValueError: `format` is unknown.
    """
    if format not in FORMATS:
        raise ValueError(f"ehr_text: format {format!r}, expected one of {', '.join(FORMATS)}")
    path = Path(path)
    if format == "markup":
        read_opening(path, _DIALECTS)
        return arranged(path).text or read_text(path)
    _, events = _open(path, _raise)
    return "\n".join(_lines(sorted(events, key=lambda event: event.timestamp)))


def events_text(events: pd.DataFrame) -> str:
    """Return the ``"lines"`` of `ehr_text` from the table of `read_events`."""
    ordered = events.sort_values("timestamp", kind="stable").astype(object)
    return "\n".join(_lines(ordered.where(ordered.notna(), None).itertuples()))


def _lines(events: Iterable[Event]) -> Iterator[str]:
    last_given: dict[str | None, str | None] = {}
    for event in events:
        if event.type == "person":
            if event.name in _AGES or last_given.get(event.name) == event.value:
                continue
            last_given[event.name] = event.value
        parts = (f"{event.timestamp:%Y-%m-%d %H:%M}", event.type, event.code, event.name)
        head = _one_line(*parts)
        if event.value is None:
            yield head
        elif event.type == "note":
            yield head + ":\n" + EVENT_LINE.sub(r"- \1", event.value)
        else:
            yield f"{head}: {_one_line(event.value, event.unit)}"


def _one_line(*parts: str | None) -> str:
    return " ".join(word for part in parts if part is not None for word in part.split())


def _open(path: str | Path, report: Report) -> tuple[str, Iterator[Event]]:
    """Return the patient and the events of a file, after checking its opening."""
    dialect, person_id = read_opening(Path(path), _DIALECTS)
    return person_id, _DIALECTS[dialect].read(Path(path), report)


def _raise(error: EHRError) -> None:
    raise error
