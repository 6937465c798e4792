"""What both dialects of EHR markup share: safe parsing, where a fault stands, and timestamps."""

import re
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from lxml import etree

from medalign_utils.errors import EHRError

# The types that the release uses, and "person" for what a header says of the patient.
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

_SAFE_PARSER = {
    "resolve_entities": False,
    "load_dtd": False,
    "no_network": True,
    "remove_comments": True,
    "remove_pis": True,
}
# Both dialects write minutes, with seconds or without; the record dialect also in American order.
_ISO = re.compile(r"[0-9]{4}(-[0-9]{2}){2}([ T][0-9]{2}(:[0-9]{2}){1,2}(\.[0-9]+)?)?")
_AMERICAN_TIMES = ("", " %H:%M", " %I:%M %p", " %H:%M:%S", " %I:%M:%S %p")
_SHORT = 12  # characters; longer texts seldom come again
_EXPECTED = "expected YYYY-MM-DD, alone or with HH:MM or HH:MM:SS"
_EXPECTED_AMERICAN = "expected MM/DD/YYYY, alone or with HH:MM, with AM or PM or without"


class Event(NamedTuple):
    """One event as read from a file: what is absent, "NULL" or blank is None."""

    timestamp: datetime
    encounter: int
    type: str
    code: str | None
    name: str | None
    value: str | None
    unit: str | None
    note_id: str | None
    source_text: str | None


# Takes a fault of one event; it raises it, or keeps it, and then the event is left out.
Report = Callable[[EHRError], None]


class Opening(NamedTuple):
    """What stands before the first event."""

    dialect: str
    person_id: str


def read_opening(path: Path, dialects: tuple[str, ...]) -> Opening:
    """Check what stands before a file's first event.

    Raises:
        EHRError: the file cannot be read, is not well-formed up to its root element, holds a
            DOCTYPE, has a root that is none of `dialects`, or names a person that its own name
            does not; or the eventstream dialect names none.
    """
    # libxml2 expands entities in attributes whatever resolve_entities says, and huge_tree lifts
    # its limits on that. So a DOCTYPE is looked for first, with the limits on, up to the root only.
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
        raise EHRError(f"{path}: holds a DOCTYPE, which may define entities; remove it")
    if root.tag not in dialects:
        expected = " or ".join(f"<{name}>" for name in dialects)
        raise EHRError(f"{path}: root element <{root.tag}>, expected {expected}")
    expected = path.stem.removeprefix("EHR_")
    person_id = root.get("person_id")
    if person_id is None and root.tag == "record":
        person_id = expected
    if person_id != expected:
        found = "no" if person_id is None else "another"
        raise EHRError(f"{path}: {found} person_id, where the file's name says {expected!r}")
    return Opening(root.tag, person_id)


def iterate(
    path: Path, tags: tuple[str, ...], read: Callable[[Iterator], Iterator[Event]]
) -> Iterator[Event]:
    """Give `read` the starts and ends of the elements `tags`, and yield the events that it makes.

    Raises:
        EHRError: as `read` does, or the file is not well-formed.
    """
    # huge_tree: a long note may exceed libxml2's 10 MB for one text.
    with path.open("rb") as file:
        parser = etree.iterparse(
            file, events=("start", "end"), tag=tags, huge_tree=True, **_SAFE_PARSER
        )
        try:
            yield from read(parser)
        except etree.XMLSyntaxError as error:
            raise _syntax_error(path, parser, error) from None


def where(path: Path, line: int, event: int) -> str:
    """Where an event stands, for a message; events count from 0.

    >>> where(Path("7.xml"), 12, 0)
    '7.xml, line 12: event 0 (from 0)'
    """
    return f"{path}, line {line}: event {event} (from 0)"


def not_well_formed(path: Path, line: int, fault: str) -> EHRError:
    """What to raise where a file is no XML from some line on."""
    return EHRError(f"{path}, line {line}: not well-formed XML ({fault})")


def text_of(element: etree._Element) -> str:
    """An element's text with that of the elements inside it, as in the file.

    >>> text_of(etree.fromstring("<note>No <b>chest</b> pain</note>"))
    'No chest pain'
    """
    return (element.text or "") if len(element) == 0 else "".join(element.itertext())


def cleaned(found: str | None) -> str | None:
    """A text without the blanks around it; None for what stands for no text.

    >>> cleaned(" mg/dL "), cleaned("NULL"), cleaned(" ")
    ('mg/dL', None, None)
    """
    if found is None:
        return None
    stripped = found.strip()
    return None if stripped in ("", "NULL") else stripped


class NoTypeError(ValueError):
    """An event has no type."""


class Events:
    """Many events, with what comes again and again kept once.

    Attributes:
        places: timestamp and encounter, of events that follow each other.
        starts: of each place the number of events before it.
        abouts: type, code, name, unit and note_id as in a file -> position in its `rows`, which
            hold them cleaned. One without a type raises NoTypeError.
        texts: an event's text -> position in its `rows`, which hold value and source_text.
        of_about: of each event the position in `abouts.rows`; likewise `of_text`.

    >>> events = Events()
    >>> events.add(Event(datetime(2014, 8, 10), 0, "visit", None, "Office", None, None, None, ""))
    >>> len(events), next(iter(events)).name
    (1, 'Office')
    """

    def __init__(self) -> None:
        """Begin without events."""
        self.places: list[tuple[datetime, int]] = []
        self.starts: list[int] = []
        self.abouts = _Numbered(_about)
        self.texts = _Numbered(lambda text: (cleaned(text), text), longest=_SHORT)
        self.of_about: list[int] = []
        self.of_text: list[int] = []
        self.n_cleared = 0

    def __len__(self) -> int:
        """Count the events."""
        return len(self.of_about)

    def __iter__(self) -> Iterator[Event]:
        """Give the events one by one."""
        ends = [*self.starts, len(self)][1:]
        for place, start, end in zip(self.places, self.starts, ends, strict=True):
            for about, text in zip(self.of_about[start:end], self.of_text[start:end], strict=True):
                event_type, code, name, unit, note_id = self.abouts.rows[about]
                value, source_text = self.texts.rows[text]
                yield Event(*place, event_type, code, name, value, unit, note_id, source_text)

    def begin_place(self, timestamp: datetime, encounter: int) -> None:
        """Say when the events to come were."""
        self.places.append((timestamp, encounter))
        self.starts.append(len(self))

    def append(self, about: int, text: str) -> None:
        """Add an event of which `abouts` knows what is said."""
        self.of_about.append(about)
        self.of_text.append(self.texts[text])

    def add(self, event: Event) -> None:
        """Add an event at a place of its own, its fields cleaned."""
        self.begin_place(event.timestamp, event.encounter)
        about = event.type, event.code, event.name, event.unit, event.note_id
        self.of_about.append(self.abouts[about])
        self.of_text.append(self.texts.add((event.value, event.source_text)))

    def clear(self) -> None:
        """Drop all events; those that are appended next are still at the last place."""
        self.n_cleared += len(self)
        del self.places[:-1]
        self.starts[:] = [0] * len(self.places)
        for part in (self.of_about, self.of_text, self.texts):
            part.clear()


class _Numbered(dict):
    """Items by number, each made into a row once, and texts of a length each time they come."""

    def __init__(self, row: Callable, longest: int | None = None):
        self.row, self.longest = row, longest
        self.rows: list[tuple] = []

    def __missing__(self, item):
        number = self.add(self.row(item))
        if self.longest is None or len(item) < self.longest:
            self[item] = number
        return number

    def add(self, row: tuple) -> int:
        """Add a row that no item stands for."""
        self.rows.append(row)
        return len(self.rows) - 1

    def clear(self) -> None:
        """Forget all items."""
        super().clear()
        self.rows.clear()


def _about(said: tuple[str | None, ...]) -> tuple[str | None, ...]:
    event_type, *others = map(cleaned, said)
    if event_type is None:
        raise NoTypeError
    return event_type, *others


def masked(found: str) -> str:
    """The form of what an EHR holds, for a message: what it says stays in the EHR.

    >>> masked("10/08/2014 9 AM"), masked("seen by Dr. Who")
    ('##/##/#### # AA', 'aaaa aa Aa. Aaa')
    """
    form = re.sub(r"[^\W\d_]", lambda letter: "A" if letter[0].isupper() else "a", found[:40])
    return re.sub(r"\d", "#", form) + ("..." if found[40:] else "")


def timestamp_of(found: str | None, *, american: bool = False) -> datetime:
    """Read a timestamp, to the second.

    Raises:
        ValueError: it is none; the message says of what form it is, and what was expected.

    >>> timestamp_of("10/08/2018 9:00 PM", american=True)
    datetime.datetime(2018, 10, 8, 21, 0)
    """
    moment = _parse_timestamp(found, american)
    if moment is None:
        shown = "none" if found is None else repr(masked(found))
        raise ValueError(f"found {shown}, {_EXPECTED_AMERICAN if american else _EXPECTED}")
    return moment


@lru_cache(maxsize=4096)
def _parse_timestamp(found: str | None, american: bool) -> datetime | None:
    text = " ".join((found or "").split())
    if _ISO.fullmatch(text):
        try:
            return datetime.fromisoformat(text).replace(microsecond=0)
        except ValueError:
            return None
    for time in _AMERICAN_TIMES if american else ():
        try:
            return datetime.strptime(text, f"%m/%d/%Y{time}")
        except ValueError:
            continue
    return None


def _syntax_error(path: Path, parser: etree.iterparse, error: etree.XMLSyntaxError) -> EHRError:
    # What is raised may only say that no element was found; the log then has the cause. An empty
    # file leaves no log.
    line, message = error.lineno, error.msg
    if len(parser.error_log):
        line, message = parser.error_log[0].line, parser.error_log[0].message
    return not_well_formed(path, line or 1, message)
