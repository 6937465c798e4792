"""The markup of the release's EHRs.

``eventstream[person_id] > encounter[start_timestamp] > (person, caresites, providers, events >
entry[timestamp] > event[type, code, name, unit, note_id])``; an event's text is its value or note.
"""

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from lxml import etree

from medalign_utils.data.ehr.events import (
    Event,
    Faults,
    Report,
    cleaned,
    iterate,
    text_of,
    timestamp_of,
)
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
    of the encounter, or of its first event if the encounter has no start.
    """
    faults, number = Faults(path, report), -1
    for element in iterate(path, "encounter", "eventstream"):
        if element.tag == "encounter":
            _skip([*element.itersiblings(preceding=True)][::-1], faults)
            number += 1
            events = list(_events(element, number, faults))
            yield from _header(element, number, events, faults)
            yield from events
            element.clear()
        else:
            _skip([*element], faults)


def _skip(siblings: list[etree._Element], faults: Faults) -> None:
    """Remove elements outside encounters, and report those that belong inside one."""
    for element in siblings:
        _add_outside(element, "an encounter", faults)
        element.getparent().remove(element)


def _add_outside(element: etree._Element, place: str, faults: Faults) -> None:
    """Report each event in a misplaced element, or its first known element if it has no event."""
    known = [*element.iter(*_KNOWN)]
    for inside in [inside for inside in known if inside.tag == "event"] or known[:1]:
        faults.add(inside, f": element <{inside.tag}> outside {place}")


def _add_misplaced(element: etree._Element, faults: Faults) -> None:
    faults.add_misplaced(element, _INSIDE.get(element.getparent().tag, "text"))


def _events(encounter: etree._Element, number: int, faults: Faults) -> Iterator[Event]:
    for part in encounter:
        if part.tag in ("events", "entry"):
            for entry in part if part.tag == "events" else [part]:
                if entry.tag == "entry":
                    yield from _entry(entry, number, faults)
                else:
                    _add_misplaced(entry, faults)
        elif part.tag != "person":
            _add_outside(part, "<events>", faults)


def _entry(entry: etree._Element, number: int, faults: Faults) -> Iterator[Event]:
    moment, undated = None, ""
    try:
        moment = timestamp_of(entry.get("timestamp"))
    except ValueError as error:
        undated = f", timestamp: {error}"
    for event in entry:
        if event.tag != "event":
            _add_misplaced(event, faults)
            continue
        for inside in event.iterdescendants(*_KNOWN) if len(event) else ():
            _add_misplaced(inside, faults)
        get, text = event.get, text_of(event)
        event_type = _attribute(get("type"))
        if moment is None or event_type is None:
            found = ", ".join(event.keys()) or "none"
            faults.add(event, undated or f": no type; attributes found: {found}")
            continue
        faults.n += 1
        code, name, unit, note_id = map(_attribute, map(get, ("code", "name", "unit", "note_id")))
        yield Event(moment, number, event_type, code, name, cleaned(text), unit, note_id, text)


def _header(
    encounter: etree._Element, number: int, events: list[Event], faults: Faults
) -> Iterator[Event]:
    place = f"{faults.path}, line {encounter.sourceline}: encounter {number} (from 0)"
    start, given = None, encounter.get("start_timestamp")
    if cleaned(given) is not None:
        try:
            start = timestamp_of(given)
        except ValueError as error:
            faults.report(EHRError(f"{place}, start_timestamp: {error}"))
    start = start or (events[0].timestamp if events else None)
    for tag, name in _PERSON_NAMES.items():
        for element in encounter.iterfind(f"person//{tag}"):
            text = text_of(element)
            if cleaned(text) is None:
                continue
            if start is None:
                fault = "describes the person, but has neither a start_timestamp nor an event"
                faults.report(EHRError(f"{place} {fault}"))
                return
            yield Event(start, number, "person", None, name, cleaned(text), None, None, text)
