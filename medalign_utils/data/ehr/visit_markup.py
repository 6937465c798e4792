"""The markup of the paper's own examples.

``record > visit[type, start] > day[start] > (person, condition_occurrence, measurement, ...,
note[type])``: a coded event is one ``<code>`` line such as ``[LOINC/8480-6] Systolic blood
pressure 165``, the person is described in lines such as ``Gender: FEMALE``.
"""

import re
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from pathlib import Path

from lxml import etree

from medalign_utils.data.ehr.events import (
    EVENT_TYPES,
    Event,
    Events,
    Report,
    cleaned,
    iterate,
    text_of,
    timestamp_of,
    where,
)
from medalign_utils.data.ehr.units import UNIT_PATTERN
from medalign_utils.errors import EHRError

# What a line of <person> begins with -> the name of the person event.
_PERSON_LINES = {
    "birth": "birthdate",
    "age in days": "age_days",
    "age in years": "age_years",
    "gender": "gender",
    "race": "race",
    "ethnicity": "ethnicity",
    "payer plan": "payerplan",
}
# What holds events -> what it stands in.
_PLACES = {"record": None, "visit": "record", "day": "visit"}
_CODE = re.compile(r"\[(?P<code>[^\]/\s]+/[^\]\s]+)\]\s*(?P<rest>.*)", re.DOTALL)
# A number at the end of the line, or before a unit that is known, is the value. In a drug's line
# it is a strength and belongs to the name, as numbers elsewhere in a line do ("12 lead ECG").
_WITH_VALUE = ("measurement", "observation")
_VALUE = re.compile(
    rf"(?P<name>.*[^\s<>=])\s+(?P<value>[<>]?=?\s?[-+]?\d+(?:\.\d+)?(?:/\d+)?)"
    rf"(?:\s*(?P<unit>{UNIT_PATTERN}))?",
    re.DOTALL,
)


def read(path: Path, events: Events, report: Report) -> Iterator[None]:
    """Add the events in the file's order, and yield after each.

    A visit is an encounter; it gives an event of type "visit" whose name is the visit's type. What
    a day says of the person becomes events at the day's start. An event without a start of its own
    is dated by its day's; an element of a known type that says nothing more is an event, too. An
    element is at fault that is of no known type, that nothing dates or that stands elsewhere than
    in a day, and so is text beside the elements.

    Raises:
        EHRError: the file is not well-formed.
    """
    for event in iterate(path, tuple(_PLACES), partial(_read, path, report)):
        events.add(event)
        yield


def _read(
    path: Path, report: Report, parser: Iterator[tuple[str, etree._Element]]
) -> Iterator[Event]:
    encounter, n = -1, 0
    for action, element in parser:
        parent = element.getparent()
        if _PLACES[element.tag] != (None if parent is None else parent.tag):
            continue  # it is reported with what it stands in
        if element.tag == "visit" and action == "start":
            encounter += 1
            name = cleaned(element.get("type"))
            try:
                start = _moment(element.get("start"), where(path, element.sourceline, n))
            except EHRError as error:
                report(error)
                continue
            yield Event(start, encounter, "visit", None, name, "start", None, None, None)
            n += 1
        elif action == "end":
            for fault in _strays(path, element):
                report(fault)
            for part in element if element.tag == "day" else ():
                try:
                    events = _part(path, report, part, element.get("start"), encounter, n)
                except EHRError as error:
                    report(error)
                    continue
                yield from events
                n += len(events)
            element.clear(keep_tail=True)  # which may be text that is yet to be reported


def _part(
    path: Path, report: Report, element: etree._Element, day: str | None, encounter: int, n: int
) -> list[Event]:
    place = where(path, element.sourceline, n)
    moment = _moment(element.get("start") or day, place)
    if element.tag == "person":
        return list(_person(element, moment, encounter))
    event_type = str(element.tag).removesuffix("_occurrence")
    if event_type not in EVENT_TYPES:
        raise EHRError(f"{place}: element <{element.tag}>, expected one of an event's type")
    if event_type == "note":
        return [_note(element, moment, encounter)]
    for fault in _others(path, element, "code"):
        report(fault)
    return list(_coded(element, event_type, moment, encounter))


def _moment(found: str | None, place: str) -> datetime:
    try:
        return timestamp_of(found, american=True)
    except ValueError as error:
        raise EHRError(f"{place}, start: {error}") from None


def _others(path: Path, parent: etree._Element, expected: str) -> Iterator[EHRError]:
    for other in parent:
        if other.tag != expected:
            yield EHRError(
                f"{path}, line {other.sourceline}: element <{other.tag}> in <{parent.tag}>, "
                f"expected <{expected}>"
            )


def _strays(path: Path, parent: etree._Element) -> Iterator[EHRError]:
    """What stands in a record, a visit or a day beside the elements that it is for."""
    if parent.tag != "day":
        yield from _others(path, parent, "visit" if parent.tag == "record" else "day")
    if any(cleaned(text) for text in (parent.text, *(child.tail for child in parent))):
        fault = f"text in <{parent.tag}> beside its elements"
        yield EHRError(f"{path}, line {parent.sourceline}: {fault}")


def _person(element: etree._Element, moment: datetime, encounter: int) -> Iterator[Event]:
    for line in text_of(element).splitlines():
        key, colon, value = line.partition(":")
        name = _PERSON_LINES.get(" ".join(key.split()).lower(), cleaned(key))
        if not colon:
            name, value = None, line
        elif name == "birthdate":
            value = _iso_date(value)
        if cleaned(value) is not None:
            yield Event(
                moment, encounter, "person", None, name, cleaned(value), None, None, line.strip()
            )


def _iso_date(text: str) -> str:
    found = re.fullmatch(r"\s*(\d{1,2})/(\d{1,2})/(\d{4})\s*", text)
    return f"{found[3]}-{int(found[1]):02}-{int(found[2]):02}" if found else text


def _note(element: etree._Element, moment: datetime, encounter: int) -> Event:
    text = text_of(element)
    name, note_id = cleaned(element.get("type")), cleaned(element.get("note_id"))
    return Event(moment, encounter, "note", None, name, cleaned(text), None, note_id, text)


def _coded(
    element: etree._Element, event_type: str, moment: datetime, encounter: int
) -> Iterator[Event]:
    # Text beside the <code> lines is an event that has no code.
    loose = [element.text, *(line.tail for line in element)]
    for text in [*map(text_of, element), *filter(cleaned, loose)] or [element.text or ""]:
        code, name, value, unit = split_line(event_type, text)
        yield Event(moment, encounter, event_type, code, name, value, unit, None, text)


def split_line(event_type: str, line: str) -> tuple[str | None, str | None, str | None, str | None]:
    """Split a coded line into code, name, value and unit, where the line allows it.

    >>> split_line("measurement", "[LOINC/8478-0] Mean blood pressure 122 mm Hg")
    ('LOINC/8478-0', 'Mean blood pressure', '122', 'mm Hg')
    >>> split_line("procedure", "[SNOMED/268400002] 12 lead ECG")
    ('SNOMED/268400002', '12 lead ECG', None, None)
    >>> split_line("drug_exposure", "[RxNorm/6185] Labetalol 5mg IV x 1")
    ('RxNorm/6185', 'Labetalol 5mg IV x 1', None, None)
    """
    found = _CODE.fullmatch(line.strip())
    code, rest = (found["code"], found["rest"]) if found else (None, line)
    name = cleaned(rest)
    if event_type in _WITH_VALUE and name is not None and (split := _VALUE.fullmatch(name)):
        return code, split["name"], split["value"], split["unit"]
    return code, name, None, None
