"""Read one patient's EHR: as a table of events, or as the text that a prompt carries.

Two dialects of markup give the same table: `eventstream`, the release's, and `record`, that of the
paper's examples; the root element says which.
"""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from medalign_utils.data.ehr import eventstream, visit_markup
from medalign_utils.data.ehr.events import EVENT_TYPES, Event, Events, Report, read_opening
from medalign_utils.errors import EHRError

__all__ = [
    "EVENT_COLUMNS",
    "EVENT_TYPES",
    "FORMATS",
    "ehr_text",
    "events_text",
    "iterate_events",
    "read_events",
]

FORMATS = ("lines", "markup")
EVENT_COLUMNS = (
    "person_id",
    "timestamp",
    "encounter",
    "type",
    "code",
    "name",
    "value",
    "unit",
    "note_id",
    "source_text",
)
_DIALECTS = {"eventstream": eventstream, "record": visit_markup}
_AGES = ("age_days", "age_years")
_TEXT = pd.StringDtype("pyarrow", na_value=np.nan)  # what pandas calls "str"
_ARROW_TEXT = pa.large_string()
_EPOCH = datetime(1970, 1, 1)


def read_events(path: str | Path) -> pd.DataFrame:
    """Read one EHR file as a table of events, in the file's order.

    Args:
        path: ``<person_id>.xml`` or ``EHR_<person_id>.xml``, in either dialect.

    Returns:
        One row an event, indexed from 0. ``timestamp`` is datetime64[s], ``encounter`` counts the
        file's encounters (or visits) from 0, every other column is text, missing where the file has
        nothing, "NULL" or blanks. ``value`` is the event's text without surrounding blanks; in the
        record dialect it is split from the line where the line allows it. ``source_text`` is the
        event's text or line exactly as in the file. What is said of the person becomes rows of type
        "person": birthdate, age_days, age_years, gender, race, ethnicity, payerplan. A record
        without events gives an empty table.

    Raises:
        EHRError: the file is absent, is not well-formed, holds a DOCTYPE, is of no known dialect or
            of another person, or an event has no type or no timestamp that can be read, or stands
            where none should.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp(), "7.xml")
    >>> _ = file.write_text('<eventstream person_id="7"><encounter><events><entry timestamp="2014-'
    ...     '08-10 09:12"><event type="measurement" code="LOINC/2160-0" name="Creatinine" unit='
    ...     '"mg/dL">1.4</event></entry></events></encounter></eventstream>')
    >>> read_events(file)[["timestamp", "type", "value", "unit"]]
                timestamp         type value   unit
    0 2014-08-10 09:12:00  measurement   1.4  mg/dL
    """
    path = Path(path)
    opening = read_opening(path, tuple(_DIALECTS))
    events = Events()
    for _ in _DIALECTS[opening.dialect].read(path, events, _raise):
        pass
    moments, encounters = zip(*events.places, strict=True) if events.places else ((), ())
    sizes = np.diff([*events.starts, len(events)]) if moments else 0
    seconds = [int((moment - _EPOCH).total_seconds()) for moment in moments]
    table = {
        "person_id": _texts(pa.repeat(pa.scalar(opening.person_id, _ARROW_TEXT), len(events))),
        "timestamp": np.array(seconds, dtype="int64").astype("datetime64[s]").repeat(sizes),
        "encounter": np.array(encounters, dtype="int64").repeat(sizes),
    }
    # Each distinct text becomes Arrow's once, which takes much longer than to repeat it there.
    about = ("type", "code", "name", "unit", "note_id")
    table |= _columns(about, events.abouts.rows, events.of_about)
    table |= _columns(("value", "source_text"), events.texts.rows, events.of_text)
    return pd.DataFrame(table, columns=list(EVENT_COLUMNS), copy=False)


def _columns(names: tuple[str, ...], rows: list[tuple], chosen: list[int]) -> dict:
    """Those of `rows` that are `chosen`, as a column a name."""
    columns = zip(*rows, strict=True) if rows else ((),) * len(names)
    positions = pa.array(chosen, pa.int64())
    return {
        name: _texts(pa.array(column, _ARROW_TEXT).take(positions))
        for name, column in zip(names, columns, strict=True)
    }


def _texts(array: pa.Array) -> pd.api.extensions.ExtensionArray:
    # Through Arrow, which takes a third of the time that pandas needs for a list of texts.
    return _TEXT.__from_arrow__(array)


def iterate_events(path: str | Path, report: Callable[[str], None]) -> Iterator[Event]:
    """Yield the events that can be read, in the file's order, and report the others.

    Args:
        path: as for :func:`read_events`.
        report: is called with what is wrong with an event that cannot be read, which is left out.

    Raises:
        EHRError: the file as a whole cannot be read, or not from some line on.

    >>> next(iterate_events("no/such/7.xml", print))
    Traceback (most recent call last):
    ...
    medalign_utils.errors.EHRError: no/such/7.xml: cannot be read (No such file or directory)
    """
    path = Path(path)
    opening = read_opening(path, tuple(_DIALECTS))
    yield from _iterate(path, opening.dialect, lambda error: report(str(error)))


def _iterate(path: Path, dialect: str, report: Report) -> Iterator[Event]:
    """Yield the events, holding those of one chunk of the file at a time."""
    events = Events()
    for _ in _DIALECTS[dialect].read(path, events, report):
        yield from events
        events.clear()


def ehr_text(path: str | Path, format: str) -> str:
    """Give one EHR as the text of which a prompt keeps the end.

    Args:
        path: an EHR file, as for :func:`read_events`.
        format: ``"markup"``, the file's own text; or ``"lines"``, one line an event, oldest first
            (events of one minute in the file's order): timestamp, type, code, name, value, unit.
            A note's text stands on the lines after its own. What a header says of the person is
            given where it differs from what was last given; ages, which the birthdate implies, not
            at all.

    Returns:
        The text; "" for a record without events in the ``lines`` format.

    Raises:
        EHRError: as for :func:`read_events` (``markup`` looks at the opening of the file only), or
            a ``markup`` file is not UTF-8.
        ValueError: an unknown format.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp(), "7.xml")
    >>> _ = file.write_text('<eventstream person_id="7"><encounter><events><entry timestamp="2014-'
    ...     '08-10 09:12"><event type="measurement" code="LOINC/2160-0" name="Creatinine" unit='
    ...     '"mg/dL">1.4</event></entry></events></encounter></eventstream>')
    >>> ehr_text(file, "lines")
    '2014-08-10 09:12 measurement LOINC/2160-0 Creatinine: 1.4 mg/dL'
    """
    path = Path(path)
    if format not in FORMATS:
        raise ValueError(f"ehr_text: format {format!r}, expected one of {', '.join(FORMATS)}")
    opening = read_opening(path, tuple(_DIALECTS))
    if format == "markup":
        try:
            return path.read_bytes().decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise EHRError(f"{path}: not UTF-8 ({error}); convert it, or use lines") from None
    events = sorted(_iterate(path, opening.dialect, _raise), key=lambda event: event.timestamp)
    return "\n".join(_lines(events))


def events_text(events: pd.DataFrame) -> str:
    """What `ehr_text` gives in the ``lines`` format, from a table that has been read already.

    >>> rows = [["2014-08-10 09:12", "measurement", None, "Creatinine", "1.4", "mg/dL"]]
    >>> table = pd.DataFrame(rows, columns=["timestamp", "type", "code", "name", "value", "unit"])
    >>> events_text(table.astype({"timestamp": "datetime64[s]"}))
    '2014-08-10 09:12 measurement Creatinine: 1.4 mg/dL'
    """
    ordered = events.sort_values("timestamp", kind="stable").astype(object)
    return "\n".join(_lines(ordered.where(ordered.notna(), None).itertuples()))


def _lines(events: Iterable[Event]) -> Iterator[str]:
    last_given: dict[str | None, str | None] = {}
    for event in events:
        if event.type == "person":
            if event.name in _AGES or last_given.get(event.name) == event.value:
                continue
            last_given[event.name] = event.value
        head = " ".join(
            _one_line(part)
            for part in (f"{event.timestamp:%Y-%m-%d %H:%M}", event.type, event.code, event.name)
            if part is not None
        )
        if event.value is None:
            yield head
        elif event.type == "note":
            yield f"{head}:\n{event.value}"
        else:
            unit = "" if event.unit is None else f" {_one_line(event.unit)}"
            yield f"{head}: {_one_line(event.value)}{unit}"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _raise(error: EHRError) -> None:
    raise error
