"""Splits a response into statements, each with the context in which it is made."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import NamedTuple

from medalign_utils.grading.characters import characters, normalise
from medalign_utils.grading.dates import Date, read_dates
from medalign_utils.grading.markup import ANSWERED, CONCLUDED, CORRECTED, Line, read_lines
from medalign_utils.grading.source import Source
from medalign_utils.grading.structured import without_json

# Of one statement: more are a model that repeats itself, which would take minutes.
WORD_LIMIT, CHARACTER_LIMIT = 256, 5_000
BARE = 8  # words


class Statement(NamedTuple):
    """One statement; `text` also has the note's title, question and headings that introduce it."""

    source: Source
    heading: int  # where in `text` the headings begin
    start: int  # where the statement's own words begin
    date: Date | None  # of the quoted record line that contains it
    is_note: bool  # whether that line is a note, so `date` is when the note was written
    is_question: bool
    in_family_history: bool
    weight: int  # markup.PLAIN to CORRECTED
    is_item: bool  # of a list

    @property
    def text(self) -> str:
        """The statement's text, introduction included."""
        return self.source.text

    @property
    def own(self) -> str:
        """The statement's own words."""
        return self.source.text[self.start :]

    @property
    def is_general(self) -> bool:
        """Whether it is about people in general: "People who quit smoking live longer"."""
        return _is_general(self.own)

    @property
    def is_beside(self) -> bool:
        """Whether its heading says that it is not the answer: "Comparison with other stays"."""
        return _BESIDE.search(self.source.text[self.heading : self.start]) is not None

    @property
    def content(self) -> tuple:
        """Everything but the statement's place; a response may say the same thing often."""
        return self.source.text, *self[1:]

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Return where `text[start:end]` begins and ends in the response."""
        return self.source.span(start, end)

    @property
    def own_span(self) -> tuple[int, int]:
        """Where the statement's own words begin and end in the response."""
        return self.span(self.start, len(self.text))


class Instruction(NamedTuple):
    """What was asked, as far as grading needs it; `text` is empty if it is not known."""

    text: str = ""

    @property
    def dates(self) -> tuple[Date, ...]:
        """The dates that the instruction names."""
        return read_dates(self.text)


_UNKNOWN = Instruction()


@dataclass(frozen=True)
class Reading:
    """A response, or its most decisive part, as the grader reads it."""

    statements: tuple[Statement, ...]
    n_words: int
    n_quoted: int  # lines quoted from a record
    instruction: Instruction = _UNKNOWN
    is_part: bool = False  # whether it is the final answer, without what leads up to it

    @cached_property
    def spoken(self) -> list[Statement]:
        """The statements about the patient that are not questions."""
        return [s for s in self.statements if not (s.is_question or s.is_general)]

    @cached_property
    def decided(self) -> "Reading":
        """The reading without statements that guess, or say that they cannot tell."""
        kept = tuple(s for s in self.statements if not _UNDECIDED.match(s.own))
        return self if len(kept) == len(self.statements) else replace(self, statements=kept)

    @property
    def is_bare(self) -> bool:
        """Whether the response is short enough to answer without naming its topic."""
        return self.n_words <= BARE and not self.n_quoted

    @cached_property
    def parts(self) -> tuple["Reading", ...]:
        """The parts that outweigh the rest, the most decisive first, and at last the whole."""
        parts = []
        for weight in (CORRECTED, ANSWERED, CONCLUDED):
            part = tuple(s for s in self.statements if s.weight >= weight)
            if part and any(s.weight == weight for s in part):
                n_words = sum(len(s.own.split()) for s in part)
                parts.append(replace(self, statements=part, n_words=n_words, is_part=True))
        return (*parts, self)


_UNDECIDED = re.compile(
    r"(?i)(?:(?:it(?:'s| is| remains)|that is|i am|i'm) )?(?:unclear|uncertain|unsure|unknown"
    r"|not (?:sure|certain|clear|known|able to|possible to|determinable|enough info\w*))"
    r"(?: (?:if|whether)\b| from\b| \w+\W*$|\W*$|, )"
    r"|(?:(?:i|we)(?:'d| would| can only|'m|'re| am| are)? |just )?guess(?:ing)?\b"
    r"|(?:please )?(?:ask|check|find out|verify|confirm) (?:\w+ ){0,3}(?:if|whether)\b"
    r"|(?:perhaps|maybe|possibly)[,:]?\s"
)
_GENERAL = re.compile(
    r"(?i)(?:in general|generally|normally|typically|as a rule|(?:most |many )?(?:people"
    r"|patients|adults|women|men|individuals|persons)\b(?! (?:is|was|has)\b)"
    r"|(?:the |current |most )*(?:[A-Z][\w/-]+ )*guidelines?\b"
    r"|for (?:patients|people|adults|women|men) (?:over|who|with|aged|under)\b"
    r"|(?:the )?(?:usual|normal|typical|reference) (?:adult )?(?:range|values?|limits?)\b)"
)
_EFFECT = re.compile(
    r"(?i)\b(?:can|may|might|could) (?:cause|lead to|lower|raise|increase|reduce)\b"
    r"|\b(?:guidelines?|guidance)(?: \w+){0,3} (?:recommends?|suggests?|advises?|calls? for|sets?"
    r"|limits?|is|are)\b"
)
THIS_PATIENT = re.compile(
    r"(?i)\b(?:he|she|his|hers?|him|(?:the|this|our|my) patient(?:'s)?|pt|you|your|su|usted"
    r"|(?:la|el) paciente|in this (?:case|patient))\b"
)
_BESIDE = re.compile(
    r"(?i)\b(?:other|comparison|context|additional|background|previous|prior|related|caveats?)\b"
)


@lru_cache(maxsize=16384)
def _is_general(text: str) -> bool:
    is_general = _GENERAL.match(text) or _EFFECT.search(text)
    return is_general is not None and not THIS_PATIENT.search(text)


_TYPES = (
    "visit_detail|visit|condition|drug_exposure|procedure|measurement|observation|note"
    "|image|device_exposure|death|person"
)
_CODED = r"(?:[A-Z][\w ]{1,30}/\S+)"
_RECORD_LINE = re.compile(
    rf"(?<!\S)(?P<date>[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}})"
    rf"(?: [0-9]{{2}}:[0-9]{{2}}(?::[0-9]{{2}})? (?P<type>{_TYPES})\b"
    rf"| (?P<type2>{_TYPES}) (?={_CODED}))"
)
_NOTE_TITLE = re.compile(rf" ?(?:{_CODED} )?(?P<title>[^:\n]{{0,80}}?)(?::|$)")
_SENTENCE_END = re.compile(r"(?P<mark>(?<![.!?])[.!?]+[\"')\]]*)\s+|;\s*")
_ABBREVIATIONS = frozenset(
    "dr mr mrs ms prof st vs etc approx dept jr sr inc fig al cf ca no e.g i.e a.m p.m".split()
)
_PRONOUN = re.compile(
    r"(?:It|This|That|These|Those|The (?:most recent |last |latest )?(?:value|result|level|reading"
    r"|one|dose|test|study)|The (?:most recent|last|latest))\b"
)
_LONGEST_PRONOUN = 80  # characters, and more
_CONCLUSION = re.compile(
    r"(?i)(?:(?:and )?(?:so|therefore|thus|hence|overall|accordingly|ultimately)\b(?! far\b)"
    r"|in (?:summary|conclusion|short|sum)\b|to (?:summari[sz]e|conclude)\b|por (?:lo )?tanto\b"
    r"|en (?:resumen|conclusi[oó]n)\b)[,:]?\s*"
)
_CORRECTION = re.compile(
    r"(?i)(?:\.\.+\s*)?(?:correction|(?:wait|actually|no|sorry|apologies),? (?:actually|wait|that"
    r"|the|let me|i)\b|let me correct|on (?:second|closer) (?:thought|look|inspection)"
    r"|scratch that)"
)
RELATIVE = re.compile(
    r"(?i)\b(?:(?:grand)?(?:mother|father|parent|son|daughter)s?|moms?|dads?|brothers?|sisters?"
    r"|siblings?|aunts?|uncles?|cousins?|nieces?|nephews?|husband|wife|spouse|partner|relatives?"
    r"|maternal|paternal|family (?:medical )?(?:history|hx)|f\.?hx|FH|family members?"
    r"|in (?:the|her|his|their) family|first-degree)\b(?:'s)?"
)
_FAMILY_HEADING = re.compile(r"(?i)(?:family (?:medical )?(?:history|hx)|f\.?hx?|fam hx)\s*[:-]")
_HEADING = re.compile(r"[A-Z][A-Za-z/ ]{1,30}:")
_PATIENT = re.compile(r"(?i)(?:she|he|they|the patient|patient|pt)\b")
_LONGEST = re.compile(rf"(?:\S+\s*){{0,{WORD_LIMIT}}}")
_WORD = re.compile(r"\w")
_NOTHING = Source.of("")


def _sentences(line: Source) -> Iterator[Source]:
    text, begin = line.text, 0
    for match in _SENTENCE_END.finditer(text):
        following = text[match.end() : match.end() + _LONGEST_PRONOUN]
        said = text[begin : match.start()]
        if not match["mark"] and said.count("(") > said.count(")"):
            continue
        if match["mark"] and "?" not in match["mark"]:
            before, _, word = text[begin : match.start()].rpartition(" ")
            word = word.strip("(\"'")
            # "approx. 40", "pain. has cough": short words before a small letter are abbreviated.
            short = 1 if following[:1].isupper() else 4
            if (
                word.lower() in _ABBREVIATIONS
                or (word.isalpha() and len(word) <= short)
                or (word.isdigit() and len(word) <= 2 and not before)  # "2. Potassium"
                or re.fullmatch(r"(?:[A-Za-z]\.)+[A-Za-z]", word)
                or _PRONOUN.match(following)
            ):
                continue
        yield line.part(begin, match.end()).strip("; ")
        begin = match.end()
    yield line.part(begin, len(text)).strip()


def _split(whole: Source) -> list[Source]:
    """Return the lines; a quoted record line always begins one."""
    cuts = {match.start() for match in _RECORD_LINE.finditer(whole.text)}
    cuts |= {match.end() for match in re.finditer("\n", whole.text)} | {0, len(whole.text)}
    return [whole.part(a, b).strip("\n") for a, b in pairwise(sorted(cuts))]


class _Reader:
    """Collects statements and the state that one leaves for the next."""

    def __init__(self) -> None:
        self.statements: list[Statement] = []
        self.date: Date | None = None
        self.is_note = False
        self.title = self.question = _NOTHING

    def read(self, line: Line) -> None:
        text, weight = line.text, line.weight
        if match := _RECORD_LINE.match(text.text):
            text, line = self._record_line(text, match), line._replace(context=())
        headings = "".join(f"{heading.text}:" for heading in line.context)
        family = bool(_FAMILY_HEADING.match(text.text) or _FAMILY_HEADING.search(headings))
        for sentence in _sentences(text):
            own = sentence.text
            if family and not _FAMILY_HEADING.match(own):
                is_new = _HEADING.match(own) and not RELATIVE.match(own)
                family = not (is_new or _PATIENT.match(own))
            if _CORRECTION.match(own):
                weight = CORRECTED
            elif _CONCLUSION.match(own):
                weight = max(weight, CONCLUDED)
            self.add(sentence, line.context, family, weight, line.is_item)

    def _record_line(self, text: Source, match: re.Match) -> Source:
        self.date = next(iter(read_dates(match["date"])), None)
        self.is_note = (match["type"] or match["type2"]) == "note"
        self.title = self.question = _NOTHING
        text = text.part(match.end(), len(text.text))
        if not self.is_note:
            return text
        named = _NOTE_TITLE.match(text.text)
        self.add(text.part(*named.span("title")) if named else text)
        self.title = text.part(*named.span("title")).strip() if named else _NOTHING
        return text.part(named.end(), len(text.text)) if named else _NOTHING

    def add(self, own: Source, context=(), in_family=False, weight=0, is_item=False) -> None:
        own = own.strip()
        if len(own.text) > WORD_LIMIT:
            own = own.part(0, _LONGEST.match(own.text[:CHARACTER_LIMIT]).end()).strip()
        if not _WORD.search(own.text):
            return
        before = self.title.join(": ") if self.title.text else _NOTHING
        before = before.join(self.question, " ") if self.question.text else before
        under = before
        for heading in context:
            under = under.join(heading, ": ")
        is_question = own.text.endswith("?")
        flags = self.date, self.is_note, is_question, in_family, weight, is_item
        places = len(before.text), len(under.text)
        self.statements.append(Statement(under.join(own), *places, *flags))
        self.question = own if is_question else _NOTHING


@lru_cache(maxsize=64)
def read(response: str, instruction: str = "") -> Reading:
    """Return a response cut into statements, each of at most `WORD_LIMIT` words.

    A heading is part of each statement under it; a question introduces the next statement.

    >>> [s.text for s in read("Creatinine was 1.4 mg/dL. It fell; Dr. Roe agrees.").statements]
    ['Creatinine was 1.4 mg/dL. It fell', 'Dr. Roe agrees.']
    """
    whole = without_json(characters(response))
    reader = _Reader()
    for line in read_lines(_split(whole)):
        reader.read(line)
    n_quoted = len(_RECORD_LINE.findall(whole.text)) + whole.text.count("<event ")
    asked = Instruction(normalise(instruction))
    return Reading(tuple(reader.statements), len(response.split()), n_quoted, asked)
