"""Grades dates: finds the dates that a response gives for an event and chooses the answer."""

import re
from typing import NamedTuple

from medalign_utils.grading.assertions import NEGATED, judge
from medalign_utils.grading.attribution import (
    ANOTHERS,
    ASKED,
    NAMED,
    NAMED_IN_CLAUSE,
    UNRELATED,
    names_other,
    stems,
)
from medalign_utils.grading.clauses import clause_of, clauses, names_nothing, topic_of
from medalign_utils.grading.dates import Date, read_dates
from medalign_utils.grading.facts import Fact, Piece, Result
from medalign_utils.grading.modality import is_supposed
from medalign_utils.grading.names import topic_mentions
from medalign_utils.grading.text import Reading, Statement

_LATEST = re.compile(
    r"(?i)\b(?:latest|newest|most recent(?:ly)?|last|lately|current(?:ly)?|how recent)\b"
    r"(?! (?:year|month))"
)
_FIRST = re.compile(r"(?i)\b(?:first|since(?: when)?|start(?:ed)?|begin|onset|initial(?:ly)?)\b")
_HIGHEST = re.compile(r"(?i)\b(?:highest|peak(?:ed)?|max(?:imum)?)\b")
_ORDERED = (_LATEST, _FIRST, _HIGHEST)
_NOT_IT = re.compile(
    r"(?i)\b(?:cancel\w*|rescheduled from|no-?show|missed|already past|has passed|in the past"
    r"|date of birth|DOB|birth(?:day|date)?|born|the one before|before (?:that|this)"
    r"|(?:next|second)[- ](?:highest|lowest|latest|most recent|earliest)"
    r"|previous(?:ly)?|prior to|prior one|earlier)\b"
)
# The verbs of one event exclude those of the others.
_EVENTS = tuple(
    re.compile(rf"(?i)\b(?:{words})\b")
    for words in (
        r"start(?:ed|ing)?|began|begun|begin|initiated|picked up|took up|prescribed|added",
        r"stop(?:ped)?|quit|discontinued|ended|gave up|give up|gave (?:it|them) up|ceased|end date",
        r"booked (?:on|at)|booking made|scheduled on|requested on|ordered on|made on",
    )
)
_FREE_SINCE = re.compile(r"(?i)[- ]free (?:since|as of|from)\b")
_ASIDE = re.compile(r"\([^()]*[a-z][^()]*\)")
_MANY = 4  # different dates
_OR = re.compile(r"(?i)\s*,?\s*(?:or|and/or)\b(?:\s+[\w.,/%]+){0,3}\s*")


class Claim(NamedTuple):
    """One date that a response gives, and how well it answers what was asked."""

    statement: Statement
    day: Date
    # The best claims in this order are the response's answer.
    is_choice: bool  # marked as the latest or highest of several, as asked
    is_marked: bool  # the latest, first or highest, as asked
    bond: int  # to the topic
    is_main: bool  # not in parentheses
    overlap: int  # words shared with the instruction

    @property
    def rank(self) -> tuple:
        """How well the claim answers, for comparison with the others."""
        return self.is_choice, self.bond, self.is_marked, self.is_main, self.overlap


def grade_date(fact: Fact, reading: Reading, facts: list[Fact]) -> Result:
    """Return the result of a date fact: share and contradictions are 0 or 1."""
    claims = [c for statement in reading.spoken for c in _claims(fact, reading, statement)]
    claims = [c for c in claims if not _is_others(c, fact, facts)]
    # The visit that the instruction names is no answer, if there is another date.
    asked = [d for d in reading.instruction.dates if not d.agrees(fact.day)]
    claims = [c for c in claims if not any(c.day[:3] == d[:3] for d in asked)] or claims
    # "since Valentine's Day 2012, that is February 2012": within a statement, the precise one.
    precise = [c.statement for c in claims if _is_precise(c.day, fact)]
    claims = [c for c in claims if _is_precise(c.day, fact) or c.statement not in precise]
    if reading.is_part or any(c.bond >= NAMED for c in claims):
        claims = [c for c in claims if c.bond > UNRELATED]
    if not claims:
        return Result(0.0, 0)
    best = max(c.rank for c in claims)
    answers = _in_order([c for c in claims if c.rank == best], reading)
    if len({c.day[:3] for c in answers}) >= _MANY:
        answers = [c for c in answers if not c.day.agrees(fact.day)]  # a list is not a choice
    right = [c for c in answers if c.day.states(fact.day, fact.precision)]
    if right and not any(_is_hedged(c, fact) for c in right):
        return Result(1.0, 0, tuple(Piece("found", *_span(c)) for c in right))
    wrong = [c for c in answers if not _coarsened(c.day, fact).agrees(fact.day)]
    wrong = [c for c in wrong or right if not (c.day is c.statement.date and c.statement.is_note)]
    if not right:  # a claim about something else is an omission
        wrong = [c for c in wrong if c.bond > UNRELATED or names_nothing(c.statement.text)]
    return Result(0.0, int(bool(wrong)), tuple(Piece("contradicted", *_span(c)) for c in wrong))


def _claims(fact: Fact, reading: Reading, statement: Statement) -> list[Claim]:
    text, asked = statement.text, reading.instruction.text
    markers = [pattern for pattern in _ORDERED if pattern.search(asked)]
    mentions = topic_of(fact, statement, reading)
    affirmed = [m for m in mentions if judge(text, m) != NEGATED or _FREE_SINCE.match(text, m.end)]
    dates = [d for d in read_dates(text) if d.start >= statement.start]
    years = {d.year for d in reading.instruction.dates}
    if len(years) == 1:  # "May 29th" is of the year that the instruction names
        dates = [d._replace(year=d.year or min(years)) for d in dates]
    claims = []
    for day in dates:
        begin, end = clause_of(text, day.start)
        bond = _bond(fact, reading, statement, day, affirmed)
        around = text[max(begin, statement.start) : end]
        if (
            bond == ANOTHERS
            or (mentions and not affirmed)
            or _is_not_it(_ASIDE.sub("", around), text[: day.start], asked)
            or is_supposed(text, day.start, day.end, asked)
        ):
            continue
        # In "Highest: 4.4 mmol/L, 19 October 2004" the mark is in another clause.
        where = text[statement.start : end] if names_nothing(around) else around
        marks = [pattern for pattern in markers if pattern.search(where)]
        is_choice = bond >= ASKED and bool({_LATEST, _HIGHEST} & set(marks))
        before = text[statement.start : day.start]
        is_main = before.count("(") <= before.count(")")
        shared = len(stems(around) & stems(asked))
        claims.append(Claim(statement, day, is_choice, bool(marks), bond, is_main, shared))
    if statement.date and affirmed and not dates:
        claims.append(Claim(statement, statement.date, False, False, NAMED_IN_CLAUSE, True, 0))
    return claims


def _bond(fact: Fact, reading: Reading, statement: Statement, day: Date, affirmed) -> int:
    """Return how closely a date is tied to the topic, as `attribution.bond` does for numbers."""
    text = statement.text
    begin, end = clause_of(text, day.start)
    own, others = topic_mentions(fact.topic, text)
    if any(begin <= m.start < end for m in affirmed):
        return NAMED_IN_CLAUSE
    if any(begin <= o.start < day.start for o in others):
        return ANOTHERS
    if affirmed:
        # "Colonoscopy, done by Dr. Roe, 5/17/2012": clauses without words belong to the one before.
        words = text[begin:end]
        return NAMED_IN_CLAUSE if names_nothing(words) and (begin, end) in clauses(text) else NAMED
    if own:
        return ANOTHERS  # of another subject, or denied
    if not reading.instruction.text:
        return ASKED if reading.is_bare and names_nothing(text) else ANOTHERS
    if statement is reading.spoken[0] and day.start == statement.start:
        return ASKED  # the response opens with it
    words = text[max(begin, statement.start) : day.start]
    if not re.search(r"[^\W\d_]", words):  # "11/06/2006: apixaban started"
        words = text[day.end : end]
    return UNRELATED if names_other(words, reading) else ASKED


def _is_not_it(text: str, before: str, asked: str) -> bool:
    """Return whether the clause gives the date of something else: a birth, a cancelled visit."""
    if _NOT_IT.search(text) and not _NOT_IT.search(asked):
        return True
    if _EVENTS[1].search(asked) and re.search(r"(?i)\bfrom\s+$", before):
        return True  # "smoked from 1995 until 2001"
    wanted = [event for event in _EVENTS if event.search(asked)]
    given = [event for event in _EVENTS if event.search(text)]
    is_booking = _EVENTS[2] in given and _EVENTS[2] not in wanted
    return is_booking or bool(wanted and given and not set(wanted) & set(given))


def _is_others(claim: Claim, fact: Fact, facts: list[Fact]) -> bool:
    """Return whether another fact of the instruction asks for this date."""
    days = {f.day for f in facts if f.day and f is not fact} - {fact.day}
    return any(claim.day.agrees(day) for day in days) and not claim.day.agrees(fact.day)


def _in_order(claims: list[Claim], reading: Reading) -> list[Claim]:
    """Return the latest or the first of the claims if the instruction asks for that one."""
    asked = reading.instruction.text
    known = [c for c in claims if c.day.year is not None]
    if len(known) < 2 or known != claims:
        return claims
    if _LATEST.search(asked):
        latest = max(_ordinal(c.day) for c in known)
        return [c for c in known if _ordinal(c.day) == latest]
    if _FIRST.search(asked):
        first = min(_ordinal(c.day)[0] for c in known)
        return [c for c in known if c.day.year % 100 == first % 100]
    return claims


def _ordinal(day: Date) -> tuple[int, int, int]:
    year = day.year if day.year >= 100 else day.year + (2000 if day.year < 50 else 1900)
    return year, day.month or 0, day.day or 0


def _is_hedged(claim: Claim, fact: Fact) -> bool:
    """Return whether another date stands beside it with "or"."""
    text = claim.statement.text
    for day in read_dates(text):
        first, second = sorted((day, claim.day), key=lambda d: d.start)
        is_other = not _coarsened(day, fact).agrees(fact.day)
        if is_other and _OR.fullmatch(text[first.end : second.start]):
            return True
    return False


def _is_precise(day: Date, fact: Fact) -> bool:
    needed = {"day": 3, "month": 2, "year": 1}[fact.precision]
    return None not in (day.year, day.month, day.day)[:needed]


def _coarsened(day: Date, fact: Fact) -> Date:
    finer = {"day": (), "month": ("day",), "year": ("month", "day")}[fact.precision]
    return day._replace(**dict.fromkeys(finer))


def _span(claim: Claim) -> tuple[int, int]:
    if claim.day is claim.statement.date:  # the quoted line's date is outside its own text
        return claim.statement.own_span
    return claim.statement.span(claim.day.start, claim.day.end)
