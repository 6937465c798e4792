"""The release's markup.

``eventstream[person_id] > encounter > (person, caresites, providers, events > entry[timestamp] >
event[type, code, name, unit, note_id])``, the value or the note being the event's text.
"""

from collections.abc import Iterator
from datetime import datetime
from functools import partial
from pathlib import Path

from lxml import etree

from medalign_utils.ehr.markup import (
    Cleaned,
    Event,
    Report,
    at,
    cleaned,
    free,
    iterate,
    text_of,
    timestamp_of,
)
from medalign_utils.errors import EHRError

# Name of a person event -> the header element that holds its value.
_PERSON_ELEMENTS = {
    "birthdate": "birthdate",
    "age_days": "days",
    "age_years": "years",
    "gender": "gender",
    "race": "race",
    "ethnicity": "ethnicity",
    "payerplan": "payerplan",
}

_SHORT = 12  # characters


def iterate_events(path: Path, report: Report) -> Iterator[Event]:
    """Yield the events in the file's order, holding one entry of the file at a time.

    What an encounter's header says of the person comes before the encounter's first event, at the
    encounter's start or, if it carries none, at its first entry.

    An event is at fault that has no type, stands outside an entry or has no timestamp that can be
    read, an entry that holds something else than events, a header that cannot be dated.

    Raises:
        EHRError: the file is not well-formed.
    """
    tags = ("eventstream", "encounter", "person", "events", "entry")
    return iterate(path, tags, partial(_read, path, report))


def _read(
    path: Path, report: Report, parser: Iterator[tuple[str, etree._Element]]
) -> Iterator[Event]:
    encounter, n = -1, 0
    start: datetime | None = None  # of the encounter, or of its first entry
    header: list[tuple[str, str, str]] = []
    known = Cleaned()
    for action, element in parser:
        tag = element.tag
        if action == "start":
            if tag == "encounter":
                encounter += 1
                start = _start(path, report, element, encounter)
        elif tag == "entry":
            stamp, moment = element.get("timestamp"), None
            for event in element:
                try:
                    moment = moment or timestamp_of(stamp)
                except ValueError as error:
                    report(EHRError(f"{at(path, event, n)}, timestamp: {error}"))
                    continue
                item = _event(event, moment, encounter, known)
                if item is None:
                    report(_not_an_event(path, event, n))
                    continue
                if header:
                    start = start or moment
                    yield from _person_events(header, start, encounter)
                    header.clear()
                yield item
                n += 1
            start = start or moment
            free(element)
        elif tag == "person":
            header.extend(_header(element))
        else:
            # Entries have been freed, so whatever is left of them here stands at the wrong place.
            for fault in _misplaced(path, element, n):
                report(fault)
            if tag == "encounter":
                if header and start is None:
                    fault = (
                        f"{path}, line {element.sourceline}: encounter {encounter} (from 0) "
                        "describes the person, but has neither a start_timestamp nor an event to "
                        "date it by"
                    )
                    report(EHRError(fault))
                else:
                    yield from _person_events(header, start, encounter)
                header.clear()
                free(element)


def _start(path: Path, report: Report, element: etree._Element, encounter: int) -> datetime | None:
    given = element.get("start_timestamp")
    if cleaned(given) is None:
        return None
    where = f"{path}, line {element.sourceline}: encounter {encounter} (from 0), start_timestamp"
    try:
        return timestamp_of(given)
    except ValueError as error:
        report(EHRError(f"{where}: {error}"))
        return None


def _misplaced(path: Path, parent: etree._Element, n: int) -> Iterator[EHRError]:
    for other in parent:
        if other.tag == "event":
            yield EHRError(f"{at(path, other, n)}, timestamp: found none, it stands in no entry")
        elif parent.tag == "events" and other.tag != "entry":
            yield EHRError(
                f"{path}, line {other.sourceline}: element <{other.tag}> in <events>, "
                "expected <entry>"
            )


def _event(
    element: etree._Element, moment: datetime, encounter: int, known: Cleaned
) -> Event | None:
    """The event that an element is, or None if it is none. Called millions of times."""
    get = element.get
    event_type = known[get("type")]
    if event_type is None or element.tag != "event":
        return None
    text = text_of(element) if len(element) else element.text or ""
    note_id = get("note_id")
    fields = (
        moment,
        encounter,
        event_type,
        known[get("code")],
        known[get("name")],
        # Values come again and again, notes do not.
        known[text] if len(text) < _SHORT else cleaned(text),
        known[get("unit")],
        note_id and cleaned(note_id),
        text,
    )
    return tuple.__new__(Event, fields)  # in half the time of Event(...)


def _not_an_event(path: Path, element: etree._Element, n: int) -> EHRError:
    where = at(path, element, n)
    if element.tag != "event":
        return EHRError(f"{where}: element <{element.tag}> in <entry>, expected <event>")
    found = ", ".join(element.keys()) or "none"
    return EHRError(f"{where}: no type; attributes found: {found}")


def _header(person: etree._Element) -> Iterator[tuple[str, str, str]]:
    found = [(element.tag, text_of(element)) for element in person.iter(*_PERSON_ELEMENTS.values())]
    for name, tag in _PERSON_ELEMENTS.items():
        for other, source_text in found:
            if other == tag and (value := cleaned(source_text)) is not None:
                yield name, value, source_text


def _person_events(
    header: list[tuple[str, str, str]], timestamp: datetime | None, encounter: int
) -> Iterator[Event]:
    for name, value, source_text in header:
        yield Event(timestamp, encounter, "person", None, name, value, None, None, source_text)
