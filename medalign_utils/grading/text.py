"""Splits a response into statements and finds spellings in it."""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from medalign_utils.grading.dates import Date, read_dates
from medalign_utils.grading.source import Source

# Of one statement: more are a model that repeats itself, which would take minutes.
WORD_LIMIT, CHARACTER_LIMIT = 256, 5_000
BARE = 8  # words

_WRITTEN_OUT = {
    **dict(zip("’‘′“”–−‐‑µμ×·•", "'''\"\"----uux**", strict=True)),
    "—": " - ", "→": " to ", "≥": ">=", "≤": "<=", "²": "^2", "³": "^3", "⁶": "^6", "⁹": "^9",
    "\u200b": "", "\x01": " ", "\x02": " ", "\x85": "\n", "\u2028": "\n", "\u2029": "\n",
    "¹²": "^12", "->": " to ", "\r\n": "\n", "\r": "\n", "\v": "\n", "\f": "\n",
}  # fmt: skip
_TO_WRITE_OUT = re.compile(r"¹²|->|\r\n?|[\v\f\x01\x02]|[^\x00-\x7f]|[a-zA-Z][\u0300-\u036f]+")
_SPACES = re.compile(r"[^\S\n]+")
_MARKDOWN = re.compile(r"\*\*|__|`|^\s*#+\s|(?<!\w)\*(?=\w)|(?<=\w)\*(?!\w)", re.MULTILINE)


def _written_out(match: re.Match) -> str:
    found = match[0]
    plain = _WRITTEN_OUT.get(found)
    if plain is None:
        plain = unicodedata.normalize("NFKC", found)
        plain = "".join(_WRITTEN_OUT.get(character, character) for character in plain)
    return plain


def normalised(text: str) -> Source:
    """Return the text without Markdown marks and with uniform quotes, dashes and the like."""
    source = Source.of(text).replace(_TO_WRITE_OUT, _written_out)
    return source.replace(_SPACES, " ").replace(_MARKDOWN, "")


@lru_cache(maxsize=4096)
def normalise(text: str) -> str:
    """Return the text as the grader reads it (`normalised`), without its places."""
    return normalised(text).text


class Statement(NamedTuple):
    """One statement; `text` also has the note's title, question and heading that introduce it."""

    source: Source
    heading: int  # where in `text` the heading begins
    start: int  # where the statement's own words begin
    date: Date | None  # of the quoted record line that contains it
    is_note: bool  # whether that line is a note, so `date` is when the note was written
    is_question: bool
    in_family_history: bool

    @property
    def text(self) -> str:
        """The statement's text, introduction included."""
        return self.source.text

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


class Reading(NamedTuple):
    """A response as the grader reads it."""

    statements: tuple[Statement, ...]
    n_words: int
    n_quoted: int  # lines quoted from a record
    instruction: Instruction = Instruction()

    @property
    def spoken(self) -> list[Statement]:
        """The statements that are not questions."""
        return [statement for statement in self.statements if not statement.is_question]

    @property
    def is_bare(self) -> bool:
        """Whether the response is short enough to answer without naming its topic."""
        return self.n_words <= BARE and not self.n_quoted


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
_SENTENCE_END = re.compile(r"(?P<mark>[.!?]+[\"')\]]*)\s+|;\s*")
_ABBREVIATIONS = frozenset(
    "dr mr mrs ms prof st vs etc approx dept jr sr inc fig al cf ca no e.g i.e a.m p.m".split()
)
_PRONOUN = re.compile(
    r"(?:It|This|That|These|Those|The (?:most recent |last |latest )?(?:value|result|level|reading"
    r"|one|dose|test|study)|The (?:most recent|last|latest))\b"
)
_BULLET = re.compile(r"^\s*(?:[-*+>|]\s+|\(?[0-9]{1,2}[.)]\s+)?")
RELATIVE = re.compile(
    r"(?i)\b(?:(?:grand)?(?:mother|father|parent|son|daughter)s?|moms?|dads?|brothers?|sisters?"
    r"|siblings?|aunts?|uncles?|cousins?|nieces?|nephews?|husband|wife|spouse|partner|relatives?"
    r"|maternal|paternal|family (?:medical )?(?:history|hx)|f\.?hx|FH|family members?"
    r"|in (?:the|her|his|their) family|first-degree)\b(?:'s)?"
)
_FAMILY_HEADING = re.compile(r"(?i)(?:family (?:medical )?(?:history|hx)|f\.?hx?|fam hx)\s*[:-]")
_HEADING = re.compile(r"[A-Z][A-Za-z/ ]{1,30}:")
_PATIENT = re.compile(r"(?i)(?:she|he|they|the patient|patient|pt)\b")


def _sentences(line: Source) -> Iterator[Source]:
    text, begin = line.text, 0
    for match in _SENTENCE_END.finditer(text):
        following = text[match.end() :]
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


_LONGEST = re.compile(rf"(?:\S+\s*){{0,{WORD_LIMIT}}}")


@lru_cache(maxsize=4096)
def read(response: str, instruction: str = "") -> Reading:
    """Return a response cut into statements, each of at most `WORD_LIMIT` words.

    A line that ends in a colon is the heading of the lines below it, up to the next heading or
    empty line; a question introduces the next statement.

    >>> [s.text for s in read("Creatinine was 1.4 mg/dL. It fell; Dr. Roe agrees.").statements]
    ['Creatinine was 1.4 mg/dL. It fell', 'Dr. Roe agrees.']
    """
    whole = normalised(response)
    statements: list[Statement] = []
    nothing = Source("", [])
    date, is_note, title, heading, question, unused = None, False, *[nothing] * 3, False

    def add(own: Source, in_family_history: bool = False) -> None:
        nonlocal question, unused
        own = own.strip()
        own = own.part(0, _LONGEST.match(own.text[:CHARACTER_LIMIT]).end()).strip()
        if re.search(r"\w", own.text):
            before = title.join(": ") if title.text else nothing
            before = before.join(question, " ") if question.text else before
            under = before.join(heading, ": ") if heading.text else before
            is_question = own.text.endswith("?")
            places = len(before.text), len(under.text)
            flags = date, is_note, is_question, in_family_history
            statements.append(Statement(under.join(own), *places, *flags))
            question, unused = own if is_question else nothing, False

    record_lines = list(_RECORD_LINE.finditer(whole.text))
    cuts = {match.start() for match in record_lines}
    cuts |= {m.end() for m in re.finditer("\n", whole.text)} | {0, len(whole.text)}
    for begin, end in pairwise(sorted(cuts)):
        line = whole.part(begin, end).strip("\n")
        if not line.text.strip():
            heading = heading if unused else nothing
            continue
        if match := _RECORD_LINE.match(line.text):
            date = next(iter(read_dates(match["date"])), None)
            is_note = (match["type"] or match["type2"]) == "note"
            title = heading = question = nothing
            line = line.part(match.end(), len(line.text))
            if is_note:
                named = _NOTE_TITLE.match(line.text)
                add(line.part(*named.span("title")) if named else line)
                title = line.part(*named.span("title")).strip() if named else nothing
                line = line.part(named.end(), len(line.text)) if named else nothing
        line = line.part(_BULLET.match(line.text).end(), len(line.text)).strip()
        if line.text.endswith(":") and len(line.text.split()) <= 12:
            heading, unused = line.strip(": "), True
            continue
        family = bool(_FAMILY_HEADING.match(line.text) or _FAMILY_HEADING.match(f"{heading.text}:"))
        for sentence in _sentences(line):
            if family and not _FAMILY_HEADING.match(sentence.text):
                is_new = _HEADING.match(sentence.text) and not RELATIVE.match(sentence.text)
                family = not (is_new or _PATIENT.match(sentence.text))
            add(sentence, family)
    if unused:
        heading, own = nothing, heading
        add(own)
    n_quoted = len(record_lines) + whole.text.count("<event ")
    asked = Instruction(normalise(instruction))
    return Reading(tuple(statements), len(response.split()), n_quoted, asked)


class Mention(NamedTuple):
    """Where a spelling is in a text; `is_non` if non- precedes it (nonsmoker)."""

    start: int
    end: int
    is_non: bool

    def is_part_of(self, others: "Iterable[Mention]") -> bool:
        """Return whether it lies within a longer one of the others."""
        within = [o for o in others if o.start <= self.start and self.end <= o.end]
        return any(o.end - o.start > self.end - self.start for o in within)


def _spelling(text: str) -> str:
    words = re.split(r"[\s-]+", normalise(text).strip())
    last = words[-1]
    pattern = r"[\s-]*".join(re.escape(w) for w in words)
    if re.fullmatch(r"[A-Za-z]{3,}", last):
        if last[-1] in "yY" and last[-2] not in "aeiouAEIOU":
            pattern = pattern[:-1] + "(?:y|ies)"
        elif last[-1] in "sS" and len(last) > 4 and last[-2] not in "usiUSI":
            pattern += "?"
        else:
            pattern += "(?:'?s|es)?"
    # In another case, an abbreviation of one or two letters may be another word (MI, mi).
    pattern = pattern if len("".join(words)) <= 2 else f"(?i:{pattern})"
    after = r"(?![A-Za-z0-9]|\.[0-9])" if last[-1:].isdigit() else "(?![A-Za-z0-9])"
    # K/uL is a unit.
    return pattern + (after + "(?!/)" if len(last) == 1 else after)


@lru_cache(maxsize=8192)
def _spellings_pattern(spellings: tuple[str, ...]) -> re.Pattern:
    any_of = "|".join(_spelling(s) for s in sorted(spellings, key=len, reverse=True))
    return re.compile(rf"(?<![A-Za-z0-9])(?<![0-9]\.)(?P<non>(?i:non))?(?:{any_of})")


@lru_cache(maxsize=65536)
def find(spellings: tuple[str, ...], text: str) -> tuple[Mention, ...]:
    """Return all mentions of any of the spellings in `text`, in order."""
    found = []
    for match in _spellings_pattern(spellings).finditer(text):
        before = text[max(0, match.start() - 4) : match.start()].lower()
        is_non = match["non"] is not None or before in ("non-", "non ")
        found.append(Mention(match.start(), match.end(), is_non))
    return tuple(found)
