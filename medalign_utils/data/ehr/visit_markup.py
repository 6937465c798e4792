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

from medalign_utils.data.ehr.events import (
    EVENT_TYPES,
    Event,
    Faults,
    Report,
    cleaned,
    iterate,
    text_of,
    timestamp_of,
)
from medalign_utils.data.ehr.units import UNIT_PATTERN

# Label of a line in <person> -> name of its event.
_PERSON_LINES = {"birth": "birthdate", "age in days": "age_days", "age in years": "age_years"}
_PERSON_LINES |= {"gender": "gender", "race": "race", "ethnicity": "ethnicity"}
_PERSON_LINES |= {"payer plan": "payerplan"}
_DATE = re.compile(r"\s*(\d{1,2})/(\d{1,2})/(\d{4})\s*")
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
    of a known type is an event too.
    """
    faults, number = Faults(path, report), -1
    for element in iterate(path, "visit", "record"):
        parent = element.getparent()
        if parent is None:
            _add_strays(element, "visit", faults)
        elif parent.tag == "record":
            number += 1
            if (start := _start(element, None, faults)) is not None:
                name = cleaned(element.get("type"))
                yield Event(start, number, "visit", None, name, "start", None, None, None)
                faults.n += 1
            for day in element.iterchildren("day"):
                for part in day:
                    events = _part(part, day.get("start"), number, faults)
                    yield from events
                    faults.n += len(events)
                _add_strays(day, None, faults)
            _add_strays(element, "day", faults)
            element.clear(keep_tail=True)  # the tail is checked later


def _part(element: etree._Element, day: str | None, number: int, faults: Faults) -> list[Event]:
    event_type = str(element.tag).removesuffix("_occurrence")
    if event_type not in EVENT_TYPES:
        faults.add_misplaced(element, "a type of event")
    elif (moment := _start(element, day, faults)) is not None:
        if event_type == "person":
            return list(_person(element, moment, number))
        if event_type == "note":
            name, note_id = cleaned(element.get("type")), cleaned(element.get("note_id"))
            text = text_of(element)
            return [Event(moment, number, "note", None, name, cleaned(text), None, note_id, text)]
        _add_strays(element, "code", faults, may_have_text=True)
        return list(_coded(element, event_type, moment, number))
    return []


def _start(element: etree._Element, default: str | None, faults: Faults) -> datetime | None:
    try:
        return timestamp_of(element.get("start") or default, american=True)
    except ValueError as error:
        faults.add(element, f", start: {error}")
        return None


def _add_strays(
    parent: etree._Element, expected: str | None, faults: Faults, *, may_have_text: bool = False
) -> None:
    """Report children with a tag other than `expected` (None allows any), and text outside them."""
    for child in parent:
        if expected and child.tag != expected:
            faults.add_misplaced(child, f"<{expected}>")
    texts = (parent.text, *(child.tail for child in parent))
    if not may_have_text and any(cleaned(text) for text in texts):
        faults.add(parent, f": text in <{parent.tag}> outside its elements")


def _person(element: etree._Element, moment: datetime, number: int) -> Iterator[Event]:
    for line in text_of(element).splitlines():
        key, colon, value = line.partition(":")
        name = _PERSON_LINES.get(" ".join(key.split()).lower(), cleaned(key))
        if not colon:
            name, value = None, line
        elif name == "birthdate" and (date := _DATE.fullmatch(value)):
            value = f"{date[3]}-{int(date[1]):02}-{int(date[2]):02}"
        if (value := cleaned(value)) is not None:
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
