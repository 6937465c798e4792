"""The release's markup.

``eventstream[person_id] > encounter > (person, caresites, providers, events > entry[timestamp] >
event[type, code, name, unit, note_id])``, the value or the note being the event's text.

A release holds millions of events, so there are two ways through a file. The short one takes what
is regular, an entry at a time. At the first thing that is not, the careful one begins anew, which
takes twice the time, knows on which line it is, and says what is wrong there.
"""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from xml.etree import ElementTree
from xml.parsers import expat

from medalign_utils.ehr.markup import (
    Cleaned,
    Columns,
    Event,
    Report,
    cleaned,
    not_well_formed,
    timestamp_of,
    where,
)
from medalign_utils.errors import EHRError

# The header element that holds it -> name of the person event, in the order of the events.
_PERSON_NAMES = {
    "birthdate": "birthdate",
    "days": "age_days",
    "years": "age_years",
    "gender": "gender",
    "race": "race",
    "ethnicity": "ethnicity",
    "payerplan": "payerplan",
}
_OF_RECORD = ("visit", "day")  # elements that hold a record's events in the other dialect
_CHUNK = 2**14  # bytes; more elements at once would not stay in the cache
# Of a long comment or attribute expat begins anew with each chunk, so chunks double meanwhile.
_LARGEST_CHUNK = 2**24
_SHORT = 12  # characters


def iterate_events(path: Path, report: Report) -> Iterator[Event]:
    """Yield the events in the file's order, holding those of one chunk of the file at a time.

    As `iterate_columns`.
    """
    for columns in iterate_columns(path, report):
        yield from map(Event._make, zip(*columns, strict=True))


def iterate_columns(path: Path, report: Report) -> Iterator[Columns]:
    """Yield the fields of the events of one chunk of the file after the other, in its order.

    What an encounter's header says of the person comes before the encounter's first event, at the
    encounter's start or, if it carries none, at its first entry.

    An event is at fault that has no type, stands outside an entry or an encounter or has no
    timestamp that can be read, an entry that holds something else than events, a header outside an
    encounter or that cannot be dated, and what belongs to the record dialect.

    Raises:
        EHRError: the file is not well-formed.
    """
    read = 0
    try:
        for columns in _read_regular(path):
            yield columns
            read += len(columns[0])
    except _Irregular:
        for columns in _read_carefully(path, report):
            yield tuple(column[read:] for column in columns)
            read = max(read - len(columns[0]), 0)


class _Irregular(Exception):
    """An encounter, or what follows the last one, is for the careful way."""


def _read_regular(path: Path) -> Iterator[Columns]:
    """Yield the events of one encounter after the other, as long as they are regular.

    Raises:
        _Irregular: the next one is not.
    """
    known, abouts = Cleaned(), {}
    columns = _no_events()
    moments, encounters, types, codes, names, values, units, notes, texts = columns
    header: list[Event] = []
    number = n_entries = n_persons = 0
    try:
        for _, element in _elements(path):
            tag = element.tag
            if tag == "event":
                continue  # its entry comes next
            if tag == "entry":
                n_entries += 1
                moments += [timestamp_of(element.get("timestamp"))] * len(element)
                for event in element:
                    get = event.attrib.get
                    # What is said of an event comes again and again; so do values, not notes.
                    said = get("type"), get("code"), get("name"), get("unit")
                    about = abouts.get(said)
                    if about is None:
                        about = abouts[said] = tuple(map(cleaned, said))
                    event_type, code, name, unit = about
                    if event_type is None or event.tag != "event":
                        raise _Irregular
                    text = "".join(event.itertext()) if len(event) else event.text or ""
                    note_id = get("note_id")
                    types.append(event_type)
                    codes.append(code)
                    names.append(name)
                    value = known[text] if len(text) < _SHORT else cleaned(text)
                    values.append(value)
                    units.append(unit)
                    notes.append(note_id and cleaned(note_id))
                    texts.append(value if value == text else text)  # one object for both
                element.clear()
            elif tag == "person":
                n_persons += 1
                if n_persons > 1 or n_entries:
                    raise _Irregular
                header = _person(element)
            elif tag == "encounter":
                given = element.get("start_timestamp")
                start = timestamp_of(given) if cleaned(given) else moments[0] if moments else None
                within = _count(element, "entry"), _count(element, "person")
                if _holds_others(element) or within != (n_entries, n_persons):
                    raise _Irregular  # something stands beside what it should stand in
                if header and start is None:
                    raise _Irregular
                encounters += [number] * len(moments)
                person = [about._replace(timestamp=start, encounter=number) for about in header]
                yield tuple([e[i] for e in person] + column for i, column in enumerate(columns))
                for column in columns:
                    column.clear()
                element.clear()
                header, number, n_entries, n_persons = [], number + 1, 0, 0
    except (ElementTree.ParseError, LookupError, ValueError):
        # Not well-formed, of an unknown encoding, or a timestamp that is none.
        raise _Irregular from None
    if n_entries or n_persons or _holds_others(element):
        raise _Irregular


def _elements(path: Path) -> Iterator[tuple[str, ElementTree.Element]]:
    """Yield a file's elements, each when it ends, so the root last, with "end"."""
    parser = ElementTree.XMLPullParser(("end",))
    size = _CHUNK
    with path.open("rb") as file:
        while chunk := file.read(size):
            parser.feed(chunk)
            size = min(2 * size, _LARGEST_CHUNK)
            for each in parser.read_events():
                size = _CHUNK
                yield each
    parser.close()
    yield from parser.read_events()


def _count(element: ElementTree.Element, tag: str) -> int:
    """How many such elements are in it; events within entries have been dropped by then."""
    return sum(1 for _ in element.iter(tag))


def _holds_others(element: ElementTree.Element) -> bool:
    """Whether it holds events beside its entries, or what belongs to the other dialect."""
    return (
        _count(element, "event") > 0
        or any(child.tag in _OF_RECORD for child in element)
        or any(len(events) != len(events.findall("entry")) for events in element.iter("events"))
    )


def _person(element: ElementTree.Element) -> list[Event]:
    """What a header says of the person, not yet dated."""
    said = [found for wanted in _PERSON_NAMES for found in element.iter(wanted)]
    if any(len(found) for found in said):
        raise _Irregular
    texts = [(_PERSON_NAMES[found.tag], found.text or "") for found in said]
    return [
        Event(None, -1, "person", None, name, value, None, None, text)
        for name, text in texts
        if (value := cleaned(text)) is not None
    ]


def _no_events() -> Columns:
    return tuple([] for _ in Event._fields)


def _read_carefully(path: Path, report: Report) -> Iterator[Columns]:
    """Yield the events of one chunk of the file after the other, and report what is at fault."""
    parser = expat.ParserCreate()
    parser.buffer_text = True
    reader = _Reader(path, report, parser)
    size = _CHUNK
    try:
        with path.open("rb") as file:
            while chunk := file.read(size):
                parser.Parse(chunk)
                columns = reader.take()
                size = _CHUNK if columns[0] else min(2 * size, _LARGEST_CHUNK)
                yield columns
        parser.Parse(b"", True)
    except (expat.ExpatError, LookupError, ValueError) as error:
        if isinstance(error, EHRError):
            raise
        fault = str(error).split(": line")[0].removeprefix("not well-formed ").strip("()")
        raise not_well_formed(path, parser.ErrorLineNumber, fault) from None
    yield reader.take()


class _Reader:
    """The parser's handlers, and what they have to remember from one element to the next."""

    def __init__(self, path: Path, report: Report, parser: expat.XMLParserType):
        self.path, self.report, self.parser = path, report, parser
        self.columns = _no_events()
        self.n, self.encounter = 0, -1  # of the event to come; of the encounter that is open
        self.start: datetime | None = None  # of the encounter, or of its first entry
        self.moment: datetime | None = None  # of the entry
        self.fault = ""  # why the entry has none
        self.header: list[tuple[str, str, str]] = []  # name, value, text
        self.open: list[str] = [""]  # the elements that are open, the root's parent first
        self.attributes: dict[str, str] = {}  # of the event that is open
        self.line = 0
        self.text: list[str] = []
        self.known = Cleaned()
        parser.StartElementHandler = self.begin
        parser.EndElementHandler = self.end
        parser.CharacterDataHandler = self.text.append

    def take(self) -> Columns:
        """The fields of the events that have been read since this was last asked."""
        taken, self.columns = self.columns, _no_events()
        return taken

    def begin(self, name: str, attributes: dict[str, str]) -> None:
        """Handle the start of an element."""
        parent = self.open[-1]
        self.open.append(name)
        if parent == "entry":
            self.attributes, self.line = attributes, self.parser.CurrentLineNumber
            self.text.clear()
            if name != "event":
                self.at_fault(self.line, f": element <{name}> in <entry>, expected <event>")
        elif name == "entry":
            self.moment, self.fault = None, ": it stands in no encounter"
            if "encounter" in self.open:
                try:
                    self.moment = timestamp_of(attributes.get("timestamp"))
                except ValueError as error:
                    self.fault = f", timestamp: {error}"
        elif name == "encounter":
            self.encounter += 1
            self.begin_encounter(attributes.get("start_timestamp"))
        elif name == "event":
            line = self.parser.CurrentLineNumber
            self.at_fault(line, ", timestamp: found none, it stands in no entry")
        elif parent == "events":
            line = self.parser.CurrentLineNumber
            self.at_fault(line, f": element <{name}> in <events>, expected <entry>")
        elif name == "person" and "encounter" not in self.open:
            self.at_fault(self.parser.CurrentLineNumber, ": element <person> in no encounter")
        elif name in _OF_RECORD and parent in ("eventstream", "encounter"):
            line = self.parser.CurrentLineNumber
            self.at_fault(line, f": element <{name}> in <{parent}>, as in the record dialect")
        elif name in _PERSON_NAMES and "person" in self.open:
            self.text.clear()

    def end(self, name: str) -> None:
        """Handle the end of an element."""
        self.open.pop()
        if self.open[-1] == "entry":
            if name == "event":
                self.end_event()
        elif name in _PERSON_NAMES and "person" in self.open and "encounter" in self.open:
            text = "".join(self.text)
            if (value := cleaned(text)) is not None:
                self.header.append((_PERSON_NAMES[name], value, text))
        elif name == "encounter" and self.header:
            if self.start is None:
                fault = (
                    f"{self.in_encounter()} describes the person, but has neither a "
                    "start_timestamp nor an event to date it by"
                )
                self.report(EHRError(fault))
                self.header.clear()
            self.end_header()

    def begin_encounter(self, given: str | None) -> None:
        """Note when an encounter starts, if it says so."""
        self.start = None
        if cleaned(given) is not None:
            try:
                self.start = timestamp_of(given)
            except ValueError as error:
                self.report(EHRError(f"{self.in_encounter()}, start_timestamp: {error}"))

    def end_event(self) -> None:
        """Make the event that is complete now."""
        get, known, moment = self.attributes.get, self.known, self.moment
        event_type = known[get("type")]
        if moment is None:
            self.at_fault(self.line, self.fault)
            return
        if event_type is None:
            found = ", ".join(self.attributes) or "none"
            self.at_fault(self.line, f": no type; attributes found: {found}")
            return
        if self.start is None:
            self.start = moment
        if self.header:
            self.end_header()
        text = "".join(self.text)
        note_id = get("note_id")
        self.add(
            Event(
                moment,
                self.encounter,
                event_type,
                known[get("code")],
                known[get("name")],
                known[text] if len(text) < _SHORT else cleaned(text),
                known[get("unit")],
                note_id and cleaned(note_id),
                text,
            )
        )
        self.n += 1

    def end_header(self) -> None:
        """Make the events of what the encounter's header says of the person."""
        for wanted in _PERSON_NAMES.values():
            for name, value, text in self.header:
                if name == wanted:
                    about = ("person", None, name, value, None, None, text)
                    self.add(Event(self.start, self.encounter, *about))
        self.header.clear()

    def add(self, event: Event) -> None:
        """Keep an event."""
        for column, item in zip(self.columns, event, strict=True):
            column.append(item)

    def at_fault(self, line: int, message: str) -> None:
        """Report the event that would come next."""
        self.report(EHRError(f"{where(self.path, line, self.n)}{message}"))

    def in_encounter(self) -> str:
        """Where the encounter that is open stands."""
        line = self.parser.CurrentLineNumber
        return f"{self.path}, line {line}: encounter {self.encounter} (from 0)"
