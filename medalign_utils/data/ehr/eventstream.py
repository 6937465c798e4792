"""The markup of the release's EHRs.

``eventstream[person_id] > encounter[start_timestamp] > (person, caresites, providers, events >
entry[timestamp] > event[type, code, name, unit, note_id])``; an event's text is its value or note.
An event without text may have its value in an attribute ``value``.
"""

from collections.abc import Iterator
from datetime import datetime
from functools import lru_cache
from pathlib import Path

from lxml import etree

from medalign_utils.data.ehr.dates import timestamp_of
from medalign_utils.data.ehr.event_types import event_type_of
from medalign_utils.data.ehr.events import (
    Event,
    Reading,
    Report,
    attribute_labels,
    cleaned,
    text_of,
)
from medalign_utils.data.ehr.parsing import Seen, iterate
from medalign_utils.errors import EHRError

# Element in an encounter's <person> -> name of its event; the order is that of the events.
_PERSON_NAMES = {"birthdate": "birthdate", "days": "age_days", "years": "age_years"}
_PERSON_NAMES |= {name: name for name in ("gender", "race", "ethnicity", "payerplan")}
# Element -> its expected content.
_INSIDE = {"events": "<entry>", "entry": "<event>", "event": "text"}
_KNOWN = ("person", "events", "entry", "event", "visit", "day")
_attribute = lru_cache(maxsize=2**16)(cleaned)


def read(path: Path, report: Report) -> Iterator[Event]:
    """Yield the events in the file's order, with one encounter at a time in memory.

    An encounter's facts about the person come before its first event. Their timestamp is the start
    of the encounter, or of its first event if the encounter has no start; without either, the
    encounter has no events. An encounter that repeats an earlier one is left out.
    """
    reading, number, seen = Reading(path, report), -1, Seen()
    for element in iterate(path, "encounter", "eventstream"):
        if [*element.iterancestors("encounter")]:
            reading.add(element, ": an encounter inside another")
            element.clear()
        elif element.tag == "encounter":
            _skip([*element.itersiblings(preceding=True)][::-1], reading)
            number += 1
            if seen.repeats(element):
                element.clear()
                continue
            facts = list(_facts(element, number, reading))
            events = list(_events(element, number, reading))
            start = _start(element, number, reading) or (events[0].timestamp if events else None)
            for name, value, text in facts if start else ():
                yield Event(start, number, "person", None, name, value, None, None, text)
            yield from events
            element.clear()
        else:
            _skip([*element], reading)


def _skip(siblings: list[etree._Element], reading: Reading) -> None:
    """Remove elements outside encounters, and report those that belong inside one."""
    for element in siblings:
        _add_outside(element, "an encounter", reading)
        element.getparent().remove(element)


def _add_outside(element: etree._Element, place: str, reading: Reading) -> None:
    """Report each event in a misplaced element, or its first known element if it has no event."""
    known = [*element.iter(*_KNOWN)]
    for inside in [inside for inside in known if inside.tag == "event"] or known[:1]:
        reading.add(inside, f": element <{inside.tag}> outside {place}")


def _add_misplaced(element: etree._Element, reading: Reading) -> None:
    reading.add_misplaced(element, _INSIDE.get(element.getparent().tag, "text"))


def _events(encounter: etree._Element, number: int, reading: Reading) -> Iterator[Event]:
    for part in encounter:
        if part.tag in ("events", "entry"):
            for entry in part if part.tag == "events" else [part]:
                if entry.tag == "entry":
                    reading.add_stray_text(entry)
                    yield from _entry(entry, number, reading)
                else:
                    _add_misplaced(entry, reading)
            if part.tag == "events":
                reading.add_stray_text(part)
        elif part.tag != "person":
            _add_outside(part, "<events>", reading)


def _entry(entry: etree._Element, number: int, reading: Reading) -> Iterator[Event]:
    moment, undated = None, ""
    try:
        moment = timestamp_of(entry.get("timestamp"), born=reading.born)
    except ValueError as error:
        undated = f", timestamp: {error}"
    for event in entry:
        if event.tag != "event":
            _add_misplaced(event, reading)
            continue
        for inside in event.iterdescendants(*_KNOWN) if len(event) else ():
            _add_misplaced(inside, reading)
        get, text = event.get, text_of(event)
        event_type = _attribute(get("type"))
        if moment is None or event_type is None:
            found = attribute_labels(event)
            reading.add(event, undated or f": no type; attributes found: {found}")
            continue
        reading.n += 1
        if not text or text.isspace():
            text = get("value", text)
        code, name, unit, note_id = map(_attribute, map(get, ("code", "name", "unit", "note_id")))
        event_type = event_type_of(event_type)
        yield Event(moment, number, event_type, code, name, cleaned(text), unit, note_id, text)


def _facts(
    encounter: etree._Element, number: int, reading: Reading
) -> Iterator[tuple[str, str, str]]:
    """Yield the name, value and text of each fact about the person."""
    for tag, name in _PERSON_NAMES.items():
        for element in encounter.iterfind(f"person//{tag}"):
            text = text_of(element)
            try:
                value = reading.fact(name, text)
            except ValueError as error:
                reading.report(EHRError(f"{_place(element, number, reading)}, {name}: {error}"))
            else:
                if value is not None:
                    yield name, value, text


def _start(encounter: etree._Element, number: int, reading: Reading) -> datetime | None:
    given = encounter.get("start_timestamp")
    try:
        return timestamp_of(given, born=reading.born) if cleaned(given) else None
    except ValueError as error:
        fault = f"{_place(encounter, number, reading)}, start_timestamp: {error}"
        reading.report(EHRError(fault))
        return None


def _place(element: etree._Element, number: int, reading: Reading) -> str:
    return f"{reading.path}, line {element.sourceline}: encounter {number} (from 0)"
