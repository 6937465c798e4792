"""Code shared by both dialects of EHR markup: safe parsing, fault messages and timestamps."""

import re
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from lxml import etree

from medalign_utils.data.missing import MISSING
from medalign_utils.errors import EHRError

# The release's types, and "person" for facts about the patient.
EVENT_TYPES = tuple(
    "condition death device_exposure drug_exposure image measurement note observation person "
    "procedure visit visit_detail".split()
)
_SAFE_PARSER = {"resolve_entities": False, "load_dtd": False, "no_network": True}
_SAFE_PARSER |= {"remove_comments": True, "remove_pis": True}
_ISO = re.compile(r"[0-9]{4}(-[0-9]{2}){2}([ T][0-9]{2}(:[0-9]{2}){1,2}(\.[0-9]+)?)?")
_AMERICAN_TIMES = ("", " %H:%M", " %I:%M %p", " %H:%M:%S", " %I:%M:%S %p")


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


def read_opening(path: Path, dialects: Collection[str]) -> tuple[str, str]:
    """Return a file's dialect and person_id, after checking its root element.

    Raises:
        EHRError: the file cannot be read, is not well-formed, has a DOCTYPE, has a root that is not
            in `dialects`, or has another person_id than its file name (a <record> may have none).
    """
    # libxml2 expands entities in attributes even without resolve_entities, and huge_tree removes
    # the limit on their size. So look for a DOCTYPE first, with the limit, up to the root.
    try:
        with path.open("rb") as file:
            parser = etree.iterparse(file, events=("start",), **_SAFE_PARSER)
            try:
                _, root = next(parser)
            except etree.XMLSyntaxError as error:
                raise _syntax_error(path, parser, error) from None
    except OSError as error:
        raise EHRError(f"{path}: cannot be read ({error.strerror})") from None
    if root.getroottree().docinfo.doctype:
        raise EHRError(f"{path}: has a DOCTYPE, which may define entities; remove it")
    if root.tag not in dialects:
        names = " or ".join(f"<{name}>" for name in dialects)
        raise EHRError(f"{path}: root element <{root.tag}>, expected {names}")
    patient = path.stem.removeprefix("EHR_")
    person_id = root.get("person_id")
    if person_id is None and root.tag == "record":
        person_id = patient
    if person_id != patient:
        found = "no" if person_id is None else "another"
        raise EHRError(f"{path}: {found} person_id, expected {patient!r} as in the file name")
    return root.tag, person_id


def iterate(path: Path, *tags: str) -> Iterator[etree._Element]:
    """Yield the elements with these tags when they end, inner ones first."""
    # huge_tree, because a long note may exceed libxml2's limit of 10 MB per text.
    with path.open("rb") as file:
        parser = etree.iterparse(file, tag=tags, huge_tree=True, **_SAFE_PARSER)
        try:
            for _, element in parser:
                yield element
        except etree.XMLSyntaxError as error:
            raise _syntax_error(path, parser, error) from None


def _syntax_error(path: Path, parser: etree.iterparse, error: etree.XMLSyntaxError) -> EHRError:
    # The exception may only say that no element was found; the log, if there is one, has the cause.
    line, message = error.lineno, error.msg
    if len(parser.error_log):
        line, message = parser.error_log[0].line, parser.error_log[0].message
    return EHRError(f"{path}, line {line or 1}: not well-formed XML ({message})")


class Faults:
    """Reports the faults of a file's events; `n` is the number of the next event, from 0.

    After line 65,535, libxml2 knows only the line of an element's text, so the reported line may be
    that of the next element or of the end of a note.
    """

    def __init__(self, path: Path, report: Report):
        """Start before the first event."""
        self.path, self.report, self.n = path, report, 0

    def add(self, element: etree._Element, fault: str) -> None:
        """Report a fault of the next event."""
        place = f"{self.path}, line {element.sourceline}: event {self.n} (from 0)"
        self.report(EHRError(place + fault))

    def add_misplaced(self, element: etree._Element, expected: str) -> None:
        """Report an element that does not belong in its parent."""
        parent = element.getparent().tag
        self.add(element, f": element <{element.tag}> in <{parent}>, expected {expected}")


def text_of(element: etree._Element) -> str:
    """Return an element's text, including the elements inside it, as in the file."""
    return (element.text or "") if len(element) == 0 else "".join(element.itertext())


def cleaned(text: str | None) -> str | None:
    """Return a text without surrounding blanks; None if it is blank or `MISSING`."""
    stripped = (text or "").strip()
    return None if not stripped or stripped in MISSING else stripped


def masked(text: str) -> str:
    """Return a text with its letters and digits masked: error messages must not quote an EHR.

    >>> masked("10/08/2014 9 AM"), masked("seen by Dr. Who")
    ('##/##/#### # AA', 'aaaa aa Aa. Aaa')
    """
    form = re.sub(r"[^\W\d_]", lambda letter: "A" if letter[0].isupper() else "a", text[:40])
    return re.sub(r"\d", "#", form) + ("..." if text[40:] else "")


def timestamp_of(text: str | None, *, american: bool = False) -> datetime:
    """Return a timestamp, to the second; ValueError, with the `masked` text, if it is invalid."""
    if (moment := _parse_timestamp(text, american)) is not None:
        return moment
    shown = "nothing" if text is None else repr(masked(text))
    expected = "MM/DD/YYYY" if american else "YYYY-MM-DD"
    times = "HH:MM (AM or PM optional)" if american else "HH:MM or HH:MM:SS"
    raise ValueError(f"found {shown}, expected {expected}, optionally with {times}")


@lru_cache(maxsize=4096)
def _parse_timestamp(text: str | None, american: bool) -> datetime | None:
    text = " ".join((text or "").split())
    if _ISO.fullmatch(text):
        with suppress(ValueError):
            return datetime.fromisoformat(text).replace(microsecond=0)
    for time in _AMERICAN_TIMES if american else ():
        with suppress(ValueError):
            return datetime.strptime(text, f"%m/%d/%Y{time}")
    return None
