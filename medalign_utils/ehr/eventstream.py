"""The release's markup.

``eventstream[person_id] > encounter > (person, caresites, providers, events > entry[timestamp] >
event[type, code, name, unit, note_id])``, the value or the note being the event's text.

It is read with expat: a release holds millions of events, and an object for each of its elements,
as lxml makes them, would take most of the time.
"""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from xml.parsers import expat

from medalign_utils.ehr.markup import (
    Cleaned,
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
_CHUNK = 2**16  # bytes
_SHORT = 12  # characters


def iterate_events(path: Path, report: Report) -> Iterator[Event]:
    """Yield the events in the file's order, holding those of one chunk of the file at a time.

    What an encounter's header says of the person comes before the encounter's first event, at the
    encounter's start or, if it carries none, at its first entry.

    An event is at fault that has no type, stands outside an entry or has no timestamp that can be
    read, an entry that holds something else than events, a header that cannot be dated.

    Raises:
        EHRError: the file is not well-formed.
    """
    parser = expat.ParserCreate()
    parser.buffer_text = True
    reader = _Reader(path, report, parser)
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                parser.Parse(chunk)
                yield from reader.take()
        parser.Parse(b"", True)
    except (expat.ExpatError, LookupError, ValueError) as error:
        if isinstance(error, EHRError):
            raise
        fault = str(error).split(": line")[0].removeprefix("not well-formed ").strip("()")
        raise not_well_formed(path, parser.ErrorLineNumber, fault) from None
    yield from reader.take()


class _Reader:
    """The parser's handlers, and what they have to remember from one element to the next."""

    def __init__(self, path: Path, report: Report, parser: expat.XMLParserType):
        self.path, self.report, self.parser = path, report, parser
        self.events: list[Event] = []
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

    def take(self) -> list[Event]:
        """The events that have been read since this was last asked."""
        taken, self.events = self.events, []
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
            try:
                self.moment = timestamp_of(attributes.get("timestamp"))
            except ValueError as error:
                self.moment, self.fault = None, str(error)
        elif name == "encounter":
            self.encounter += 1
            self.begin_encounter(attributes.get("start_timestamp"))
        elif name == "event":
            line = self.parser.CurrentLineNumber
            self.at_fault(line, ", timestamp: found none, it stands in no entry")
        elif parent == "events":
            line = self.parser.CurrentLineNumber
            self.at_fault(line, f": element <{name}> in <events>, expected <entry>")
        elif name in _PERSON_NAMES and "person" in self.open:
            self.text.clear()

    def end(self, name: str) -> None:
        """Handle the end of an element."""
        self.open.pop()
        if self.open[-1] == "entry":
            if name == "event":
                self.end_event()
        elif name in _PERSON_NAMES and "person" in self.open:
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
        """Make the event that is complete now. Called millions of times."""
        get, known, moment = self.attributes.get, self.known, self.moment
        event_type = known[get("type")]
        if moment is None:
            self.at_fault(self.line, f", timestamp: {self.fault}")
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
        fields = (
            moment,
            self.encounter,
            event_type,
            known[get("code")],
            known[get("name")],
            # Values come again and again, notes do not.
            known[text] if len(text) < _SHORT else cleaned(text),
            known[get("unit")],
            note_id and cleaned(note_id),
            text,
        )
        self.events.append(tuple.__new__(Event, fields))  # in half the time of Event(...)
        self.n += 1

    def end_header(self) -> None:
        """Make the events of what the encounter's header says of the person."""
        for wanted in _PERSON_NAMES.values():
            for name, value, text in self.header:
                if name == wanted:
                    about = ("person", None, name, value, None, None, text)
                    self.events.append(Event(self.start, self.encounter, *about))
        self.header.clear()

    def at_fault(self, line: int, message: str) -> None:
        """Report the event that would come next."""
        self.report(EHRError(f"{where(self.path, line, self.n)}{message}"))

    def in_encounter(self) -> str:
        """Where the encounter that is open stands."""
        line = self.parser.CurrentLineNumber
        return f"{self.path}, line {line}: encounter {self.encounter} (from 0)"
