"""The release's markup.

``eventstream[person_id] > encounter > (person, caresites, providers, events > entry[timestamp] >
event[type, code, name, unit, note_id])``, the value or the note being the event's text.
"""

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from xml.parsers import expat

from medalign_utils.data.ehr.events import (
    Event,
    Events,
    NoTypeError,
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
_CHUNK = 2**15  # bytes
# Of a long comment or attribute expat begins anew with each chunk, so chunks double meanwhile.
_LARGEST_CHUNK = 2**24


def read(path: Path, events: Events, report: Report) -> Iterator[None]:
    """Add the events in the file's order, and yield after each chunk of the file.

    What an encounter's header says of the person comes before the encounter's first event, at the
    encounter's start or, if it carries none, at its first event.

    An event is at fault that has no type, stands outside an entry or an encounter or has no
    timestamp that can be read, an entry that holds something else than events, a header outside an
    encounter or that cannot be dated, and what belongs to the record dialect.

    Raises:
        EHRError: the file is not well-formed.
    """
    # Expat straight: elements as objects (ElementTree's, lxml's) take twice the time.
    parser = expat.ParserCreate()
    parser.buffer_text = True
    reader = _Reader(path, events, report, parser)
    size = _CHUNK
    try:
        with path.open("rb") as file:
            while chunk := file.read(size):
                n = reader.n
                parser.Parse(chunk)
                size = _CHUNK if reader.n > n else min(2 * size, _LARGEST_CHUNK)
                yield
        parser.Parse(b"", True)
    except (expat.ExpatError, LookupError, ValueError) as error:
        if isinstance(error, EHRError):
            raise
        yield
        fault = str(error).split(": line")[0].removeprefix("not well-formed ").strip("()")
        raise not_well_formed(path, parser.ErrorLineNumber, fault) from None
    yield


class _Reader:
    """The parser's handlers, and what they have to remember from one element to the next."""

    def __init__(self, path: Path, events: Events, report: Report, parser: expat.XMLParserType):
        self.path, self.events, self.report, self.parser = path, events, report, parser
        self.n_of_headers = 0  # events
        self.encounter = -1  # the number of the one that is open
        self.start: datetime | None = None  # of the encounter, or of its first event
        self.moment: datetime | None = None  # of the entry
        self.fault = ""  # why the entry has none, if it does not
        self.header: list[tuple[str, str, str]] = []  # name, value, text
        self.open: list[str] = [""]  # the elements that are open, the root's parent first
        self.about: int | None = None  # of the event that is open, unless it is at fault
        self.text: list[str] = []
        parser.CharacterDataHandler = self.text.append
        self.quick = self.quick_handlers()
        self.handle_with(self.begin, self.end)

    def handle_with(self, begin: Callable, end: Callable) -> None:
        """Have the parser call these two."""
        self.parser.StartElementHandler, self.parser.EndElementHandler = begin, end

    @property
    def n(self) -> int:
        """Count the file's events so far, without what headers say."""
        return self.events.n_cleared + len(self.events) - self.n_of_headers

    def quick_handlers(self) -> tuple[Callable, Callable]:
        """Handlers of nothing but events within an entry, of which a release holds millions.

        What they are not for they leave to the others.
        """
        abouts, texts, text = self.events.abouts, self.events.texts, self.text
        of_about, of_text = self.events.of_about.append, self.events.of_text.append
        clear, join = text.clear, "".join
        about = None

        def begin(name: str, attributes: dict[str, str]) -> None:
            nonlocal about
            if name == "event" and about is None:
                get = attributes.get
                try:
                    about = abouts[
                        get("type"), get("code"), get("name"), get("unit"), get("note_id")
                    ]
                    clear()
                    return
                except NoTypeError:
                    pass
            if about is not None:
                self.open.append("event")
                self.about, about = about, None
            self.handle_with(self.begin, self.end)
            self.begin(name, attributes)

        def end(name: str) -> None:
            nonlocal about
            if about is None:
                self.handle_with(self.begin, self.end)
                self.end(name)
            else:
                of_about(about)
                of_text(texts[join(text)])
                about = None

        return begin, end

    def begin(self, name: str, attributes: dict[str, str]) -> None:
        """Handle the start of an element."""
        parent = self.open[-1]
        self.open.append(name)
        if parent == "entry":
            self.text.clear()
            if name == "event":
                self.begin_event(attributes)
            else:
                self.at_fault(f": element <{name}> in <entry>, expected <event>")
        elif name == "entry":
            self.begin_entry(attributes.get("timestamp"))
        elif name == "encounter":
            self.encounter += 1
            self.begin_encounter(attributes.get("start_timestamp"))
        elif name == "event":
            self.at_fault(", timestamp: found none, it stands in no entry")
        elif parent == "events":
            self.at_fault(f": element <{name}> in <events>, expected <entry>")
        elif name == "person" and "encounter" not in self.open:
            self.at_fault(": element <person> in no encounter")
        elif name in _OF_RECORD and parent in ("eventstream", "encounter"):
            self.at_fault(f": element <{name}> in <{parent}>, as in the record dialect")
        elif name in _PERSON_NAMES and "person" in self.open:
            self.text.clear()

    def end(self, name: str) -> None:
        """Handle the end of an element."""
        self.open.pop()
        if self.open[-1] == "entry":
            if self.about is not None:
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

    def begin_entry(self, given: str | None) -> None:
        """Note when the events to come were."""
        self.moment, self.fault = None, ": it stands in no encounter"
        if "encounter" in self.open:
            try:
                self.moment, self.fault = timestamp_of(given), ""
                self.events.begin_place(self.moment, self.encounter)
            except ValueError as error:
                self.fault = f", timestamp: {error}"
        if self.moment and self.start and not self.header:
            self.handle_with(*self.quick)

    def begin_event(self, attributes: dict[str, str]) -> None:
        """Note what is said of an event, whose text follows."""
        get = attributes.get
        said = get("type"), get("code"), get("name"), get("unit"), get("note_id")
        if self.fault:
            self.at_fault(self.fault)
            return
        try:
            self.about = self.events.abouts[said]
        except NoTypeError:
            found = ", ".join(attributes) or "none"
            self.at_fault(f": no type; attributes found: {found}")

    def end_event(self) -> None:
        """Add the event that is complete now."""
        if self.start is None:
            self.start = self.moment
        if self.header:
            self.end_header()
            self.events.begin_place(self.moment, self.encounter)
        self.events.append(self.about, "".join(self.text))
        self.about = None

    def end_header(self) -> None:
        """Add the events of what the encounter's header says of the person."""
        for wanted in _PERSON_NAMES.values():
            for name, value, text in self.header:
                if name == wanted:
                    about = ("person", None, name, value, None, None, text)
                    self.events.add(Event(self.start, self.encounter, *about))
                    self.n_of_headers += 1
        self.header.clear()

    def at_fault(self, message: str) -> None:
        """Report the event that would come next."""
        line = self.parser.CurrentLineNumber
        self.report(EHRError(f"{where(self.path, line, self.n)}{message}"))

    def in_encounter(self) -> str:
        """Where the encounter that is open stands."""
        line = self.parser.CurrentLineNumber
        return f"{self.path}, line {line}: encounter {self.encounter} (from 0)"
