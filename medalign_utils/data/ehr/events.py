"""What both dialects of EHR markup share: events, their faults and texts."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from lxml import etree

from medalign_utils.data.ehr.dates import birthdate_of, check_age
from medalign_utils.data.ehr.event_types import EVENT_TYPES
from medalign_utils.data.missing import MISSING
from medalign_utils.errors import EHRError, masked

# Names that messages may tell; others may be the text of a record.
_TAGS = {*EVENT_TYPES, *"eventstream encounter events entry event record visit day code".split()}
_TAGS |= set("caresites providers birthdate age demographics payerplan".split())
_ATTRIBUTES = set(
    "type code name unit note_id provider_id care_site_id visit_id timestamp start".split()
)
_DAYS_PER_YEAR = {"age_days": 365, "age_years": 1}


class Event(NamedTuple):
    """One event as read from a file; absent, blank and `MISSING` values are None."""

    timestamp: datetime
    encounter: int
    type: str
    code: str | None
    name: str | None
    value: str | None
    unit: str | None
    note_id: str | None
    source_text: str | None


# Called with the fault of an event, which it raises or records; a recorded event is left out.
Report = Callable[[EHRError], None]


class Reading:
    """The state of reading one file.

    After line 65,535, libxml2 knows only the line of an element's text, so a fault's line may be
    that of the next element or of the end of a note.

    Attributes:
        n: the number of the next event, from 0.
        born: the patient's year of birth, once it is known.
    """

    def __init__(self, path: Path, report: Report):
        """Start before the first event."""
        self.path, self.report = path, report
        self.n: int = 0
        self.born: int | None = None
        self._birthdate = ""

    def add(self, element: etree._Element, fault: str) -> None:
        """Report a fault of the next event."""
        place = f"{self.path}, line {element.sourceline}: event {self.n} (from 0)"
        self.report(EHRError(place + fault))

    def add_misplaced(self, element: etree._Element, expected: str) -> None:
        """Report an element that does not belong in its parent."""
        parent = tag_label(element.getparent())
        self.add(element, f": element {tag_label(element)} in {parent}, expected {expected}")

    def add_stray_text(self, parent: etree._Element) -> None:
        """Report text in an element between the elements inside it."""
        if any(cleaned(text) for text in (parent.text, *(child.tail for child in parent))):
            self.add(parent, f": text in {tag_label(parent)} outside its elements")

    def fact(self, name: str | None, text: str) -> str | None:
        """Return the value of a fact about the person; ValueError if no person has it."""
        value = cleaned(text)
        if value is not None and name == "birthdate":
            value = birthdate_of(value)
            shorter, longer = sorted((value, self._birthdate or value), key=len)
            if not longer.startswith(shorter):
                raise ValueError("differs from an earlier birth date of the patient")
            self._birthdate = longer
            self.born = int(value[:4]) if value[:4].isdecimal() else None
        elif value is not None and name in _DAYS_PER_YEAR:
            check_age(value, _DAYS_PER_YEAR[name])
        return value


def tag_label(element: etree._Element) -> str:
    """Return an element's tag for a message; only the form of a tag that no EHR has."""
    tag = str(element.tag)
    return f"<{tag}>" if tag in _TAGS else f"of the form {masked(tag.rpartition('}')[2])!r}"


def attribute_labels(element: etree._Element) -> str:
    """Return an element's attributes for a message; others than an event's are only counted."""
    names = [name for name in element.keys() if name in _ATTRIBUTES]
    others = len(element.keys()) - len(names)
    return ", ".join(names + [f"{others} of another name"] * bool(others)) or "none"


def text_of(element: etree._Element) -> str:
    """Return an element's text, including the elements inside it, as in the file."""
    return (element.text or "") if len(element) == 0 else "".join(element.itertext())


def cleaned(text: str | None) -> str | None:
    """Return a text without surrounding blanks; None if it is blank or `MISSING`."""
    stripped = (text or "").strip()
    return None if not stripped or stripped in MISSING else stripped
