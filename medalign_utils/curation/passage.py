"""Reads one passage of evidence, and finds it in a text as whole words, numbers and dates.

Numbers are equal by value (0.40 and 0.4), units by meaning (Cel and C) and dates by day, however
they are written. Words in upper or lower case are equal.
"""

import re
from collections.abc import Iterator
from datetime import date, timedelta
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

from nltk.stem import PorterStemmer

from medalign_utils.data.ehr.units import UNIT_PATTERN, parse_unit
from medalign_utils.grading.assertions import NEGATED, Mention, judge
from medalign_utils.grading.dates import Date, read_dates

_FILLERS = frozenset(
    "a an and as at by for from had has have her his in is of on or she he the their to was were "
    "with".split()
)
_BEFORE_DATES = frozenset(("of", "on", "from", "date"))
_NEGATIONS = frozenset("no not none never without deni den denies neg negat absent".split())
# Nouns that name a document, as their stems.
_DOCUMENTS = frozenset(
    "note report summari messag letter encount consult discharg imag scan h&p".split()
)
_NUMBER = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+"
_TOKEN = re.compile(
    rf"(?<![\w.,])(?P<number>(?:{_NUMBER})(?:\s?/\s?(?:{_NUMBER}))*)"
    rf"(?:(?:\s|-)?(?P<unit>{UNIT_PATTERN}))?"
    r"|(?P<word>[^\W_]+(?:['’.][^\W_]+)*)"
)
# Between two words of a phrase: no end of a sentence, no new item of a list.
_GAP = r"(?:\s+|[^\w\n.!?;]{1,6})"
_GAP_OF_SENTENCES = r"[^\w]{1,6}"
_SENTENCE_END = re.compile(r"[.!?;](?=\s|$)\s*|\n\s*\n\s*|\n\s*(?=[-*#•]|[A-Z][\w/ ]{0,30}:)")
_LONGEST_SENTENCE = 600  # characters
_WRITTEN = re.compile(r"\w+(?:[.,/]\w+)*")
_ENDINGS = r"(?:e|s|es|d|ed|er|ing|y|ies|ied|ion|ions|ation|ations)?"
_MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()
_YEARS = re.compile(r"(?i)(?P<age>\d{1,3})(?:\s|-)?(?:y/?o|y\.o\.|years?[\s-]olds?)\b")
_stem = PorterStemmer().stem


class Token(NamedTuple):
    """A word, a number with its unit, or a date of a passage."""

    kind: str  # word, number or date
    key: str  # text that every match contains, in lower case; "" if none is sure
    pattern: str  # whole words, with a group `unit` if the passage gives one
    similar: str  # also other endings, and the number without its unit
    unit: str | None
    start: int
    end: int


class Phrase(NamedTuple):
    """A passage, or the part of it that remains without the date or the document that it names."""

    tokens: list[Token]
    pattern: re.Pattern
    is_whole: bool
    document: frozenset[str]  # stems of the words that name a document before it


class Passage:
    """One passage of evidence."""

    def __init__(self, text: str) -> None:
        """Read the passage."""
        self.text = text
        self.dates = [d for d in read_dates(text) if d.month and d.year]
        self.tokens = list(_tokens(text, self.dates))

    @cached_property
    def days(self) -> list[tuple[date, date]]:
        """The first and last day of each date that the passage names, months included."""
        return [span for d in self.dates if (span := days_of(d))]

    @cached_property
    def place_days(self) -> list[tuple[date, date]]:
        """Those at an end of the passage, which say when the place was written."""
        bare = _without_dates(self.tokens)
        inner = [t.start for t in bare]
        return [s for d in self.dates if d.start not in inner and (s := days_of(d))]

    def days_outside(self, phrase: Phrase) -> list[tuple[date, date]]:
        """Return the days that the passage names outside a phrase of it."""
        inside = {t.start for t in phrase.tokens}
        return [s for d in self.dates if d.start not in inside and (s := days_of(d))]

    @cached_property
    def content(self) -> list[Token]:
        """The tokens that distinguish a place: no fillers, words that negate or dates at an end."""
        words = _without_dates(self.tokens)
        telling = [t for t in words if t.key not in _FILLERS]
        return [t for t in telling if t.key not in _NEGATIONS] or telling or words

    @property
    def documents(self) -> frozenset[str]:
        """The stems of the words that name a kind of document: report, note."""
        return self.words & _DOCUMENTS

    @cached_property
    def words(self) -> frozenset[str]:
        """The words' stems."""
        return frozenset(t.key for t in self.tokens if t.kind == "word")

    @cached_property
    def phrases(self) -> list[Phrase]:
        """The passage as it is, without dates at its ends, and without a document named first."""
        bare, before = _without_dates(self.tokens), []
        variants = [self.tokens, bare]
        colon = re.search(r":\s", self.text)
        if colon and (before := [t for t in self.tokens if t.start < colon.start()]):
            if _DOCUMENTS & {t.key for t in before} or any(t.kind == "date" for t in before):
                variants.append([t for t in bare if t.start > colon.start()])
        lengths = dict.fromkeys(len(v) for v in variants if v)
        different = [next(v for v in variants if len(v) == n) for n in lengths]
        document = frozenset(t.key for t in before if t.kind == "word" and t.key not in _FILLERS)
        return [
            Phrase(
                v, self._pattern(v), v is self.tokens, frozenset() if v[0] in before else document
            )
            for v in different
        ]

    def _pattern(self, tokens: list[Token]) -> re.Pattern:
        parts = [tokens[0].pattern.replace("<unit>", "<unit0>")]
        for i, (before, token) in enumerate(pairwise(tokens), start=1):
            crosses = re.search(r"[.!?]", self.text[before.end : token.start])
            parts += [_GAP_OF_SENTENCES if crosses else _GAP]
            parts.append(token.pattern.replace("<unit>", f"<unit{i}>"))
        return re.compile("".join(parts), re.IGNORECASE)

    def find_phrase(self, phrase: Phrase, text: str) -> Iterator[tuple[int, int]]:
        """Yield where a phrase is in a text, word for word and with the same units."""
        for match in phrase.pattern.finditer(text):
            units = ((t.unit, match[f"unit{i}"]) for i, t in enumerate(phrase.tokens) if t.unit)
            if all(_same_unit(own, found) for own, found in units):
                yield match.span()

    def is_literal(self, phrase: Phrase, found: str) -> bool:
        """Return whether a text has the phrase's words and numbers as they are written."""
        own = self.text[phrase.tokens[0].start : phrase.tokens[-1].end]
        written, expected = (_WRITTEN.findall(text.lower()) for text in (found, own))
        return written == expected

    def find_word(self, token: Token, text: str) -> Iterator[tuple[int, int]]:
        """Yield where a token is in a text, also with another ending or without its unit."""
        for match in re.finditer(token.similar, text, re.IGNORECASE):
            if not token.unit or match["unit"] is None or _same_unit(token.unit, match["unit"]):
                yield match.span()

    def phrase_agrees(self, phrase: Phrase, text: str, start: int) -> bool:
        """Return whether a text affirms or negates a phrase at `start` as the passage does."""
        tokens = phrase.tokens
        token = next((t for t in tokens if t in self.content), None)
        if token is None or any(t.key in _NEGATIONS for t in tokens):
            return True
        found = next(self.find_word(token, text[start:]), None)
        return found is None or self.agrees(token, text, start + found[0], start + found[1])

    def agrees(self, token: Token, text: str, start: int, end: int) -> bool:
        """Return whether a text affirms or negates a token as the passage does."""
        sentence, at = sentence_around(text, start)
        own, own_at = sentence_around(self.text, token.start)
        mention = Mention(own_at, own_at + token.end - token.start, False)
        found = judge(sentence, Mention(at, at + end - start, False))
        return (judge(own, mention) == NEGATED) == (found == NEGATED)


def sentences(text: str) -> Iterator[tuple[int, int]]:
    """Yield where the sentences and list items of a text are."""
    start = 0
    for end in _SENTENCE_END.finditer(text):
        yield start, end.start()
        start = end.end()
    yield start, len(text)


def sentence_around(text: str, position: int) -> tuple[str, int]:
    """Return the sentence around a position, and the position within it."""
    # Sentences are shorter than this, and notes much longer.
    begin = max(0, position - _LONGEST_SENTENCE)
    start = max((m.end() for m in _SENTENCE_END.finditer(text, begin, position)), default=begin)
    end = _SENTENCE_END.search(text, position)
    return text[start : end.start() if end else len(text)], position - start


def with_ages(text: str) -> str:
    """Return a text in which "70 yo" and "70-year-old" read "age 70"."""
    return _YEARS.sub(lambda m: f"age {m['age']}", text)


def days_of(found: Date) -> tuple[date, date] | None:
    """Return the first and last day of a date with a year and a month; None if invalid."""
    year = found.year + 2000 * (found.year < 100)
    try:
        if found.day:
            day = date(year, found.month, found.day)
            return day, day
        first = date(year, found.month, 1)
        following = date(year + found.month // 12, found.month % 12 + 1, 1)
        return first, following - timedelta(days=1)
    except ValueError:
        return None


def _without_dates(tokens: list[Token]) -> list[Token]:
    """Return tokens without dates at their ends and the words that introduce these."""
    while tokens and (tokens[-1].kind == "date" or tokens[-1].key in _BEFORE_DATES):
        tokens = tokens[:-1]
    while tokens and tokens[0].kind == "date":
        tokens = tokens[1:]
    return tokens


def _tokens(text: str, dates: list[Date]) -> Iterator[Token]:
    position, ends = 0, [*((d.start, d) for d in dates), (len(text), None)]
    for start, found in ends:
        for match in _TOKEN.finditer(text[:start], position):
            yield _number(match) if match["number"] else _word(match)
        if found:
            pattern = _date_pattern(found)
            yield Token("date", "", pattern, pattern, None, found.start, found.end)
            position = found.end


def _word(match: re.Match) -> Token:
    word = match["word"].lower().replace("’", "'")
    pattern = rf"(?<!\w){re.escape(word)}(?!\w)"
    stem, similar = _stem(word), pattern
    if not word.startswith(stem):  # "smoke" of "smoking"
        stem = stem[:-1] if stem[-1] == "e" else stem
    if len(stem) > 3 and word.isalpha():
        root = re.escape(stem[:-1]) + ("[iy]" if stem[-1] == "i" else re.escape(stem[-1]))
        similar = rf"(?<!\w)(?:{re.escape(word)}|{root}{_ENDINGS})(?!\w)"
        stem = stem[:-1] if stem[-1] == "i" else stem
    else:
        stem = word
    return Token("word", stem, pattern, similar, None, *match.span("word"))


def _number(match: re.Match) -> Token:
    parts = [p.strip().replace(",", "") for p in match["number"].split("/")]
    value = r"\s?/\s?".join(map(_value_pattern, parts))
    bounded = rf"(?<![\d.])(?<!\d[,/])(?<!\w){value}(?![.,/]?\d)"
    unit = match["unit"]
    if unit is None:
        pattern = similar = bounded + r"(?!\w*\d)"
    else:
        pattern = rf"{bounded}(?:\s|-)?(?P<unit>{UNIT_PATTERN})"
        similar = rf"{bounded}(?:(?:\s|-)?(?P<unit>{UNIT_PATTERN}))?"
    whole = parts[0].split(".")[0]
    key = whole[-3:] if len(whole.lstrip("0")) else ""
    end = match.end("unit") if unit else match.end("number")
    return Token("number", key, pattern, similar, unit, match.start(), end)


def _value_pattern(number: str) -> str:
    whole, _, fraction = number.partition(".")
    whole = whole.lstrip("0")
    grouped = ",?".join(re.findall(r"\d{1,3}(?=(?:\d{3})*$)", whole)) if whole else ""
    fraction = fraction.rstrip("0")
    return (grouped or "0?" * bool(fraction) or "0") + (
        rf"\.{fraction}0*" if fraction else r"(?:\.0+)?"
    )


def _date_pattern(found: Date) -> str:
    year, month = found.year + 2000 * (found.year < 100), found.month
    name = rf"{_MONTHS[month - 1]}[a-z]*\.?"
    years = rf"(?:{year}|{year % 100:02d})"
    if found.day is None:
        forms = [rf"0?{month}/{year}", f"{year}-{month:02d}", rf"{name},?\s+(?:of\s+)?{year}"]
    else:
        day = rf"0?{found.day}"
        forms = [rf"0?{month}[/-]{day}[/-]{years}", rf"{year}[-/]{month:02d}[-/]{found.day:02d}"]
        forms += [
            rf"{name}\s+{day}(?:st|nd|rd|th)?,?\s+{year}",
            rf"{day}(?:st|nd|rd|th)?[\s-]+{name},?[\s-]+{year}",
        ]
    return rf"(?<![\w/])(?:{'|'.join(forms)})(?![\w/])"


def _same_unit(own: str, found: str) -> bool:
    if own.lower() == found.lower():
        return True
    parsed = parse_unit(own)
    return parsed is not None and parsed == parse_unit(found)
