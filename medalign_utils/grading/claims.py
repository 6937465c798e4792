"""Grades dates."""

from medalign_utils.grading.assertions import NEGATED, judge
from medalign_utils.grading.clauses import clause_of, clauses, names_nothing, topic_of
from medalign_utils.grading.dates import Date, read_dates
from medalign_utils.grading.facts import Fact, Piece, Result
from medalign_utils.grading.names import topic_mentions
from medalign_utils.grading.spelling import Mention
from medalign_utils.grading.text import Reading


def grade_date(fact: Fact, reading: Reading, facts: list[Fact]) -> Result:
    """Return the share found (0 or 1) and the contradictions (0 or 1) of a date fact."""
    days = [f.day for f in facts if f.day and f is not fact]
    finer = {"day": (), "month": ("day",), "year": ("month", "day")}[fact.precision]
    found: list[Piece] = []
    other: list[Piece] = []
    for statement in reading.spoken:
        text = statement.text
        given: list[Date] = []
        for mention in topic_of(fact, statement, reading):
            if judge(text, mention) != NEGATED:
                given += _dates_of(text, mention) or ([statement.date] if statement.date else [])
        if reading.is_bare and names_nothing(text) and not topic_mentions(fact.topic, text)[0]:
            given += read_dates(text)
        for day in given:
            # The date of a quoted line is outside the statement's own text.
            is_quoted = day is statement.date
            span = statement.own_span if is_quoted else statement.span(day.start, day.end)
            if day.states(fact.day, fact.precision):
                found.append(Piece("found", *span))
            is_note_date = day is statement.date and statement.is_note
            if not is_note_date and not any(day.agrees(d) for d in days):
                if not day._replace(**dict.fromkeys(finer)).agrees(fact.day):
                    other.append(Piece("contradicted", *span))
    if found:
        return Result(1.0, 0, tuple(found))
    return Result(0.0, int(bool(other)), tuple(other))


def _dates_of(text: str, mention: Mention) -> list[Date]:
    """Return the dates in a mention's clause and in date-only clauses after it, or the nearest."""
    dates = read_dates(text)
    begin, end = clause_of(text, mention.start)
    for a, b in clauses(text):
        if a == end and names_nothing(text[a:b]):
            end = b
    own = [d for d in dates if begin <= d.start < end]
    nearest = sorted(dates, key=lambda d: max(d.start - mention.end, mention.start - d.end))
    return own or nearest[:1]
