"""Splits a response into statements and finds spellings in it."""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

from medalign_utils.grading.dates import Date, read_dates

# Of one statement: more are a model that repeats itself, which would take minutes.
WORD_LIMIT, CHARACTER_LIMIT = 256, 5_000
BARE = 8  # words

_SAME = str.maketrans("’‘′“”–−‐‑µμ×·•", "'''\"\"----uux**")
_WRITTEN_OUT = {
    "—": " - ", "→": " to ", "->": " to ", "≥": ">=", "≤": "<=", "²": "^2", "³": "^3", "⁶": "^6",
    "⁹": "^9", "¹²": "^12", "\u200b": "", "\x01": " ", "\x02": " ",
}  # fmt: skip
_MARKDOWN = re.compile(r"\*\*|__|`|^\s*#+\s|(?<!\w)\*(?=\w)|(?<=\w)\*(?!\w)", re.MULTILINE)


@lru_cache(maxsize=4096)
def normalise(text: str) -> str:
    """Return the text without Markdown marks and with uniform quotes, dashes and the like."""
    for symbol, plain in _WRITTEN_OUT.items():
        text = text.replace(symbol, plain)
    text = unicodedata.normalize("NFKC", text.translate(_SAME)).translate(_SAME)
    text = re.sub(r"\r\n?|[\v\f\x85\u2028\u2029]", "\n", text)
    return _MARKDOWN.sub("", re.sub(r"[^\S\n]+", " ", text))


class Statement(NamedTuple):
    """One statement; `text` also has the note's title, question and heading that introduce it."""

    text: str
    heading: int  # where in `text` the heading begins
    start: int  # where the statement's own words begin
    date: Date | None  # of the quoted record line that contains it
    is_note: bool  # whether that line is a note, so `date` is when the note was written
    is_question: bool
    in_family_history: bool


class Reading(NamedTuple):
    """A response as the grader reads it."""

    statements: tuple[Statement, ...]
    n_words: int
    n_quoted: int  # lines quoted from a record

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


def _sentences(line: str) -> Iterator[str]:
    begin = 0
    for match in _SENTENCE_END.finditer(line):
        following = line[match.end() :]
        if match["mark"] and "?" not in match["mark"]:
            before, _, word = line[begin : match.start()].rpartition(" ")
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
        yield line[begin : match.end()].rstrip("; ")
        begin = match.end()
    yield line[begin:]


@lru_cache(maxsize=4096)
def read(response: str) -> Reading:
    """Return a response cut into statements, each of at most `WORD_LIMIT` words.

    A line that ends in a colon is the heading of the lines below it, up to the next heading or
    empty line; a question introduces the next statement.

    >>> [s.text for s in read("Creatinine was 1.4 mg/dL. It fell; Dr. Roe agrees.").statements]
    ['Creatinine was 1.4 mg/dL. It fell', 'Dr. Roe agrees.']
    """
    text = normalise(response)
    text = _RECORD_LINE.sub(lambda match: "\n" + match[0], text)
    statements: list[Statement] = []
    date, is_note, title, heading, question, unused = None, False, "", "", "", False

    def add(own: str, in_family_history: bool = False) -> None:
        nonlocal question, unused
        own = re.match(rf"(?:\S+\s*){{0,{WORD_LIMIT}}}", own.strip()[:CHARACTER_LIMIT])[0].strip()
        if re.search(r"\w", own):
            before = (f"{title}: " if title else "") + (f"{question} " if question else "")
            under = before + (f"{heading}: " if heading else "")
            is_question = own.endswith("?")
            places = len(before), len(under)
            flags = date, is_note, is_question, in_family_history
            statements.append(Statement(under + own, *places, *flags))
            question, unused = own if is_question else "", False

    for line in text.split("\n"):
        if not line.strip():
            heading = heading if unused else ""
            continue
        if match := _RECORD_LINE.match(line):
            date = next(iter(read_dates(match["date"])), None)
            is_note = (match["type"] or match["type2"]) == "note"
            title, heading, question = "", "", ""
            line = line[match.end() :]
            if is_note:
                named = _NOTE_TITLE.match(line)
                add((named["title"] if named else line).strip())
                title = named["title"].strip() if named else ""
                line = line[named.end() :] if named else ""
        line = _BULLET.sub("", line, count=1).rstrip()
        if line.endswith(":") and len(line.split()) <= 12:
            heading, unused = line.rstrip(": "), True
            continue
        family = bool(_FAMILY_HEADING.match(line) or _FAMILY_HEADING.match(f"{heading}:"))
        for sentence in _sentences(line):
            opening = sentence.strip()
            if family and not _FAMILY_HEADING.match(opening):
                is_new = _HEADING.match(opening) and not RELATIVE.match(opening)
                family = not (is_new or _PATIENT.match(opening))
            add(sentence, family)
    if unused:
        heading, own = "", heading
        add(own)
    n_quoted = len(_RECORD_LINE.findall(text)) + text.count("<event ")
    return Reading(tuple(statements), len(response.split()), n_quoted)


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
