"""Read one patient's EHR: as a table of events, or as the text that a prompt carries.

The dialect read here is the release's *eventstream* markup:
``eventstream[person_id] > encounter > (person, caresites, providers, events > entry[timestamp] >
event[type, code, name, unit, note_id])``, the value or the note being the event's text.
"""

from collections.abc import Iterator
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from lxml import etree

from medalign_utils.errors import EHRError

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
# The types that the release uses, and "person" for what stands in an encounter's header.
EVENT_TYPES = (
    "condition",
    "death",
    "device_exposure",
    "drug_exposure",
    "image",
    "measurement",
    "note",
    "observation",
    "person",
    "procedure",
    "visit",
    "visit_detail",
)

# Name of a person event -> the header element that holds its value.
_PERSON_ELEMENTS = {
    "birthdate": "birthdate",
    "age_years": "years",
    "gender": "gender",
    "race": "race",
    "ethnicity": "ethnicity",
    "payerplan": "payerplan",
}
_SAFE_PARSER = {
    "resolve_entities": False,
    "load_dtd": False,
    "no_network": True,
    "remove_comments": True,
    "remove_pis": True,
}


class _Event(NamedTuple):
    timestamp: datetime
    encounter: int
    type: str
    code: str | None
    name: str | None
    value: str | None
    unit: str | None
    note_id: str | None
    source_text: str


def read_events(path: str | Path) -> pd.DataFrame:
    """Read one EHR file as a table of events, in the file's order.

    Args:
        path: ``<person_id>.xml`` or ``EHR_<person_id>.xml`` in the eventstream dialect.

    Returns:
        One row an event, indexed from 0. ``timestamp`` is datetime64[s], ``encounter`` counts the
        file's encounters from 0, every other column is text, missing where the file has nothing,
        "NULL" or blanks. ``value`` is the event's text without surrounding blanks, ``source_text``
        the text exactly as in the file. What an encounter's header says of the person becomes rows
        of type "person" at the encounter's start (or at its first entry, if the encounter carries
        no start): birthdate, age_years, gender, race, ethnicity, payerplan. A record without
        events gives an empty table.

    Raises:
        EHRError: the file is absent, is not well-formed, holds a DOCTYPE, is of another dialect or
            another person, or an event has no type or no timestamp that can be read.

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
    person_id = _check_opening(path)
    columns: dict[str, list] = {name: [] for name in _Event._fields}
    for event in _iterate_events(path):
        for name, item in zip(_Event._fields, event, strict=True):
            columns[name].append(item)
    table = {
        name: pd.Series(items, dtype="str")
        for name, items in columns.items()
        if name not in ("timestamp", "encounter")
    }
    table["timestamp"] = pd.Series(np.array(columns["timestamp"], dtype="datetime64[s]"))
    table["encounter"] = pd.Series(columns["encounter"], dtype="int64")
    table["person_id"] = pd.Series([person_id] * len(columns["type"]), dtype="str")
    return pd.DataFrame(table, columns=list(EVENT_COLUMNS))


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
    _check_opening(path)
    if format == "markup":
        try:
            return path.read_bytes().decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise EHRError(f"{path}: not UTF-8 ({error}); convert it, or use lines") from None
    events = sorted(_iterate_events(path), key=lambda event: event.timestamp)
    return "\n".join(_lines(events))


def _lines(events: list[_Event]) -> Iterator[str]:
    last_given: dict[str | None, str | None] = {}
    for event in events:
        if event.type == "person":
            if event.name == "age_years" or last_given.get(event.name) == event.value:
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


def _check_opening(path: Path) -> str:
    """Check what stands before the first event, and return the person_id."""
    # libxml2 expands entities in attributes whatever resolve_entities says, and huge_tree lifts
    # its limits on that. So a DOCTYPE is looked for first, with the limits on, up to the root only.
    try:
        parser = etree.iterparse(str(path), events=("start",), **_SAFE_PARSER)
    except OSError as error:
        raise EHRError(f"{path}: cannot be read ({error.strerror})") from None
    try:
        _, root = next(parser)
    except etree.XMLSyntaxError as error:
        raise _syntax_error(path, parser, error) from None
    if root.getroottree().docinfo.doctype:
        raise EHRError(f"{path}: holds a DOCTYPE, which may define entities; remove it")
    if root.tag != "eventstream":
        raise EHRError(f"{path}: root element <{root.tag}>, expected <eventstream>")
    person_id = root.get("person_id")
    expected = path.stem.removeprefix("EHR_")
    if person_id != expected:
        raise EHRError(
            f"{path}: person_id {person_id!r}, but the file's name says {expected!r}; "
            "one of the two names another patient"
        )
    return person_id


def _iterate_events(path: Path) -> Iterator[_Event]:
    """Yield the events in the file's order, holding one entry of the file at a time."""
    encounter, n_events = -1, 0
    start: datetime | None = None  # of the encounter, or of its first entry
    timestamp: str | None = None
    header: list[tuple[str, str, str]] = []
    # huge_tree: a long note may exceed libxml2's 10 MB for one text.
    parser = etree.iterparse(
        str(path),
        events=("start", "end"),
        tag=("encounter", "person", "entry", "event"),
        huge_tree=True,
        **_SAFE_PARSER,
    )
    try:
        for action, element in parser:
            where = f"{path}, line {element.sourceline}"
            if action == "start":
                if element.tag == "encounter":
                    encounter += 1
                    start = None
                    if _text(element.get("start_timestamp")) is not None:
                        what = f"{where}: encounter {encounter} (from 0), start_timestamp"
                        start = _timestamp(element.get("start_timestamp"), what)
                elif element.tag == "entry":
                    timestamp = element.get("timestamp")
            elif element.tag == "person":
                header.extend(_header(element))
            elif element.tag == "event":
                what = f"{where}: event {n_events} (from 0), timestamp"
                moment = _timestamp(timestamp, what)
                start = start or moment
                yield from _person_events(header, start, encounter)
                header.clear()
                yield _event(element, moment, encounter, f"{where}: event {n_events} (from 0)")
                n_events += 1
            elif element.tag == "entry":
                timestamp = None
                _free(element)
            else:
                if header and start is None:
                    raise EHRError(
                        f"{where}: encounter {encounter} (from 0) describes the person, but has "
                        "neither a start_timestamp nor an event to date it by"
                    )
                yield from _person_events(header, start, encounter)
                header.clear()
                _free(element)
    except etree.XMLSyntaxError as error:
        raise _syntax_error(path, parser, error) from None


def _event(element: etree._Element, timestamp: datetime, encounter: int, where: str) -> _Event:
    attributes = [_text(element.get(name)) for name in ("type", "code", "name", "unit", "note_id")]
    event_type, code, name, unit, note_id = attributes
    if event_type is None:
        raise EHRError(f"{where}: no type; attributes found: {', '.join(element.keys()) or 'none'}")
    source_text = "".join(element.itertext())
    value = _text(source_text)
    return _Event(timestamp, encounter, event_type, code, name, value, unit, note_id, source_text)


def _header(person: etree._Element) -> Iterator[tuple[str, str, str]]:
    for name, tag in _PERSON_ELEMENTS.items():
        for element in person.iter(tag):
            source_text = "".join(element.itertext())
            value = _text(source_text)
            if value is not None:
                yield name, value, source_text


def _person_events(
    header: list[tuple[str, str, str]], timestamp: datetime | None, encounter: int
) -> Iterator[_Event]:
    for name, value, source_text in header:
        yield _Event(timestamp, encounter, "person", None, name, value, None, None, source_text)


def _text(found: str | None) -> str | None:
    stripped = (found or "").strip()
    return None if stripped in ("", "NULL") else stripped


def _timestamp(found: str | None, what: str) -> datetime:
    moment = _parse_timestamp(found)
    if moment is None:
        shown = "none" if found is None else repr(found)
        raise EHRError(f"{what}: found {shown}, expected YYYY-MM-DD HH:MM or YYYY-MM-DD HH:MM:SS")
    return moment


@lru_cache(maxsize=4096)
def _parse_timestamp(found: str | None) -> datetime | None:
    try:
        moment = datetime.fromisoformat((found or "").strip())
    except ValueError:
        return None
    return None if moment.tzinfo else moment.replace(microsecond=0)


def _free(element: etree._Element) -> None:
    """Drop an element that has been read, and what stands before it in its parent."""
    element.clear()
    parent = element.getparent()
    while element.getprevious() is not None:
        del parent[0]


def _syntax_error(path: Path, parser: etree.iterparse, error: etree.XMLSyntaxError) -> EHRError:
    # What is raised may only say that no element was found; the log then has the cause. An empty
    # file leaves no log.
    line, message = error.lineno, error.msg
    if len(parser.error_log):
        line, message = parser.error_log[0].line, parser.error_log[0].message
    return EHRError(f"{path}, line {line or 1}: not well-formed XML ({message})")
