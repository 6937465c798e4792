"""The markup of the paper's examples.

``record > visit[type, start] > day[start] > (person, condition_occurrence, measurement, ...,
note[type])``. A coded event is a ``<code>`` line such as ``[LOINC/8480-6] Systolic blood pressure
165``; facts about the person are lines such as ``Gender: FEMALE``.
"""

import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from lxml import etree

from medalign_utils.data.ehr.dates import timestamp_of
from medalign_utils.data.ehr.event_types import EVENT_TYPES, event_type_of
from medalign_utils.data.ehr.events import Event, Reading, Report, cleaned, text_of
from medalign_utils.data.ehr.parsing import Seen, iterate
from medalign_utils.data.ehr.units import UNIT_PATTERN

# Label of a line in <person> -> name of its event.
_PERSON_LINES = {"birth": "birthdate", "age in days": "age_days", "age in years": "age_years"}
_PERSON_LINES |= {"gender": "gender", "race": "race", "ethnicity": "ethnicity"}
_PERSON_LINES |= {"payer plan": "payerplan"}
_CODE = re.compile(r"\[(?P<code>[^\]/\s]+/[^\]\s]+)\]\s*(?P<rest>.*)", re.DOTALL)
# A number at the end of the line, or before a known unit, is the value. Other numbers belong to the
# name ("12 lead ECG"), as does the strength of a drug.
_WITH_VALUE = ("measurement", "observation")
_VALUE = re.compile(
    rf"(?P<name>.*[^\s<>=])\s+(?P<value>[<>]?=?\s?[-+]?\d+(?:\.\d+)?(?:/\d+)?)"
    rf"(?:\s*(?P<unit>{UNIT_PATTERN}))?",
    re.DOTALL,
)


def read(path: Path, report: Report) -> Iterator[Event]:
    """Yield the events in the file's order.

    A visit is an encounter, and also an event of type "visit" named by the visit's type. Events
    without a start, such as facts about the person, take the start of their day. An empty element
    of a known type is an event too. A visit that repeats an earlier one is left out.
    """
    reading, number, seen = Reading(path, report), -1, Seen()
    for element in iterate(path, "visit", "record"):
        parent = element.getparent()
        if parent is None:
            _add_strays(element, "visit", reading)
        elif parent.tag == "record":
            number += 1
            if seen.repeats(element):
                element.clear(keep_tail=True)
                continue
            # A visit without a start begins with its first day; without either, it has no events.
            days = [day.get("start") for day in element.iterchildren("day")]
            is_empty = len(element) == 0 and not cleaned(element.get("start"))
            start = (
                None if is_empty else _start(element, next(filter(cleaned, days), None), reading)
            )
            if start is not None:
                name = cleaned(element.get("type"))
                yield Event(start, number, "visit", None, name, "start", None, None, None)
                reading.n += 1
            for day in element.iterchildren("day"):
                for part in day:
                    events = _part(part, day.get("start"), number, reading)
                    yield from events
                    reading.n += len(events)
                _add_strays(day, None, reading)
            _add_strays(element, "day", reading)
            element.clear(keep_tail=True)  # the tail is checked later


def _part(element: etree._Element, day: str | None, number: int, reading: Reading) -> list[Event]:
    event_type = event_type_of(str(element.tag))
    if event_type not in EVENT_TYPES:
        reading.add_misplaced(element, "a type of event")
    elif (moment := _start(element, day, reading)) is not None:
        if event_type == "person":
            return list(_person(element, moment, number, reading))
        if event_type == "note":
            name, note_id = cleaned(element.get("type")), cleaned(element.get("note_id"))
            text = text_of(element)
            return [Event(moment, number, "note", None, name, cleaned(text), None, note_id, text)]
        _add_strays(element, "code", reading, may_have_text=True)
        return list(_coded(element, event_type, moment, number))
    return []


def _start(element: etree._Element, default: str | None, reading: Reading) -> datetime | None:
    try:
        return timestamp_of(
            cleaned(element.get("start")) or default, american=True, born=reading.born
        )
    except ValueError as error:
        reading.add(element, f", start: {error}")
        return None


def _add_strays(
    parent: etree._Element, expected: str | None, reading: Reading, *, may_have_text: bool = False
) -> None:
    """Report children with a tag other than `expected` (None allows any), and text outside them."""
    for child in parent:
        if expected and child.tag != expected:
            reading.add_misplaced(child, f"<{expected}>")
    if not may_have_text:
        reading.add_stray_text(parent)


def _person(
    element: etree._Element, moment: datetime, number: int, reading: Reading
) -> Iterator[Event]:
    for line in text_of(element).splitlines():
        key, colon, value = line.partition(":")
        name = _PERSON_LINES.get(" ".join(key.split()).lower(), cleaned(key))
        if not colon:
            name, value = None, line
        try:
            value = reading.fact(name, value)
        except ValueError as error:
            reading.add(element, f", {name}: {error}")
            continue
        if value is not None:
            yield Event(moment, number, "person", None, name, value, None, None, line.strip())


def _coded(
    element: etree._Element, event_type: str, moment: datetime, number: int
) -> Iterator[Event]:
    # Text outside <code> is an event without a code.
    loose = [element.text, *(line.tail for line in element)]
    for text in [*map(text_of, element), *filter(cleaned, loose)] or [element.text or ""]:
        code, name, value, unit = split_line(event_type, text)
        yield Event(moment, number, event_type, code, name, value, unit, None, text)


def split_line(event_type: str, line: str) -> tuple[str | None, str | None, str | None, str | None]:
    """Return the code, name, value and unit of a coded line; None for missing parts."""
    match = _CODE.fullmatch(line.strip())
    code, rest = (match["code"], match["rest"]) if match else (None, line)
    name = cleaned(rest)
    if event_type in _WITH_VALUE and name is not None and (split := _VALUE.fullmatch(name)):
        return code, split["name"], split["value"], split["unit"]
    return code, name, None, None
