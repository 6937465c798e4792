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
    for action, element in parser:
        tag = element.tag
        if action == "start":
            if tag == "encounter":
                encounter += 1
                start = _start(path, report, element, encounter)
        elif tag == "entry":
            for event in element:
                try:
                    moment = timestamp_of(
                        element.get("timestamp"), f"{at(path, event, n)}, timestamp"
                    )
                    item = _event(path, event, moment, encounter, n)
                except EHRError as error:
                    report(error)
                    continue
                start = start or moment
                if header:
                    yield from _person_events(header, start, encounter)
                    header.clear()
                yield item
                n += 1
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
        return timestamp_of(given, where)
    except EHRError as error:
        report(error)
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


def _event(path: Path, element: etree._Element, moment: datetime, encounter: int, n: int) -> Event:
    if element.tag != "event":
        raise EHRError(
            f"{path}, line {element.sourceline}: element <{element.tag}> in <entry>, "
            "expected <event>"
        )
    get = element.get
    event_type = cleaned(get("type"))
    if event_type is None:
        found = ", ".join(element.keys()) or "none"
        raise EHRError(f"{at(path, element, n)}: no type; attributes found: {found}")
    source_text = text_of(element)
    return Event(
        moment,
        encounter,
        event_type,
        cleaned(get("code")),
        cleaned(get("name")),
        cleaned(source_text),
        cleaned(get("unit")),
        cleaned(get("note_id")),
        source_text,
    )


def _header(person: etree._Element) -> Iterator[tuple[str, str, str]]:
    for name, tag in _PERSON_ELEMENTS.items():
        for element in person.iter(tag):
            source_text = text_of(element)
            value = cleaned(source_text)
            if value is not None:
                yield name, value, source_text


def _person_events(
    header: list[tuple[str, str, str]], timestamp: datetime | None, encounter: int
) -> Iterator[Event]:
    for name, value, source_text in header:
        yield Event(timestamp, encounter, "person", None, name, value, None, None, source_text)
