"""Grades dates, terms, sets of terms, yes/no answers and "not documented"."""

import re
from collections.abc import Iterator
from itertools import chain

from medalign_utils.grading.assertions import AFFIRMED, ENDED, NAMED, NEGATED, OPEN, STOPPED, judge
from medalign_utils.grading.clauses import clause_of, clauses, concerns, names_nothing, topic_of
from medalign_utils.grading.dates import Date, read_dates
from medalign_utils.grading.facts import Fact, Piece, Result
from medalign_utils.grading.names import is_named, topic_mentions
from medalign_utils.grading.quantities import read_quantities
from medalign_utils.grading.spelling import Mention, find
from medalign_utils.grading.text import Reading, Statement


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


def grade_terms(fact: Fact, reading: Reading, facts: list[Fact]) -> Result:
    """Return the share of terms found and the number of rivals affirmed, for a term or a set."""
    if fact.topic and not reading.is_bare and not is_named(fact.topic, reading):
        return Result(0.0, 0)
    wanted = fact.members or (fact.accepted,)
    found = [False] * len(wanted)
    claimed: set[int] = set()
    stopped: set[int] = set()
    evidence: list[Piece] = []
    for statement in reading.spoken:
        members = [find(m, statement.text) for m in wanted]
        rivals = [find(r, statement.text) for r in fact.rivals]
        verdicts = [_verdicts(fact, reading, statement, m, rivals) for m in members]
        against = [_verdicts(fact, reading, statement, m, members) for m in rivals]
        # "Differential: gout or cellulitis" names neither as the diagnosis.
        unsettled = {NEGATED, OPEN} if any(OPEN in rival for rival in against) else {NEGATED}
        named = [bool(now - unsettled) for now in verdicts]
        found = [was or now for was, now in zip(found, named, strict=True)]
        claiming = {n for n, rival in enumerate(against) if rival & {AFFIRMED, NAMED}}
        claimed |= claiming
        evidence += [Piece("found", *statement.own_span)] if any(named) else []
        evidence += [Piece("contradicted", *statement.own_span)] if claiming else []
        stopped |= {n for n, rival in enumerate(against) if rival & {STOPPED, ENDED}}
    others = [m for f in facts if f is not fact for m in (*f.members, f.accepted)]
    asked = {s.casefold() for m in others for s in m}
    contradictions = [
        n for n in claimed - stopped if asked.isdisjoint(s.casefold() for s in fact.rivals[n])
    ]
    if not contradictions:
        evidence = [piece for piece in evidence if piece.verdict == "found"]
    return Result(sum(found) / len(found), len(contradictions), tuple(evidence))


def _verdicts(fact: Fact, reading: Reading, statement: Statement, mentions, others) -> set[str]:
    """Return what the statement says about mentions, except those within a longer `others`."""
    return {
        judge(statement.text, m)
        for m in mentions
        if m.start >= statement.heading
        and not m.is_part_of(chain.from_iterable(others))
        and concerns(fact, statement, m, reading)
    }


_LEADING = re.compile(
    r"(?i)(?:(?:the )?(?:answer|response|a)(?:\s*:| is)\s*)?"
    r"(?:(?P<yes>yes|yeah|affirmative)|(?P<no>no|nope))\b"
    r"(?=\s*(?:[,.;:!-]|$)|\s+(?:she|he|they|the|there|it|this|that|patient|pt|her|his)\b)"
)
_ELLIPTIC = re.compile(
    r"(?i)(?:(?:the )?(?:patient|pt|she|he)\s+)?(?:(?P<no>den(?:ies|ied)|none|never|not|negative"
    r"|absent)|(?P<yes>reports|endorses|positive|present))\b"
)
# Words that add no content: about the record, the question or the patient.
_CONTENTLESS = frozenset(
    """a an the this that these those it its is are was were be been being has have had do does
    did not no never none any of in on at to for from by with as about regarding and or so if
    whether patient patient's pt she he you they her his their him there here i we could can
    cannot can't couldn't unable find found locate located identify identified determine
    determined documented recorded mentioned noted stated specified available listed provided
    reported described addressed record records chart charts ehr emr note notes medical health
    information info data documentation mention evidence answer question requested asked such
    within based given see seen say says said state states contain contains include includes
    indicate indicates specify specifies document documents mentions yes unknown unclear
    explicitly clearly specifically one anything nothing what according per undocumented i'm
    it's there's isn't aren't wasn't weren't doesn't don't didn't appears anywhere specific
    relevant result results unfortunately current currently""".split()
)


def _without_content(text: str) -> bool:
    words = re.findall(r"[a-z][a-z'-]*|[0-9]+", text.lower())
    return all(word in _CONTENTLESS for word in words)


def grade_yes_no(fact: Fact, reading: Reading, facts: list[Fact]) -> Result:
    """Return the share found (0 or 1) and the contradictions (0 or 1) of a yes_no fact."""
    verdicts: dict[str, list[tuple[int, int]]] = {}
    lead = None
    spoken = reading.spoken
    for statement in spoken:
        own = statement.text[statement.start :]
        if statement is spoken[0] and not reading.n_quoted and (match := _LEADING.match(own)):
            lead = match["yes"] is not None
        for mention in topic_of(fact, statement, reading):
            if mention.start >= statement.heading:
                verdict = judge(statement.text, mention)
                verdicts.setdefault(verdict, []).append(statement.own_span)
            elif match := _ELLIPTIC.match(own):
                verdict = NEGATED if match["no"] else AFFIRMED
                verdicts.setdefault(verdict, []).append(statement.own_span)
    if lead is not None:
        is_bare_answer = all(_without_content(s.text[s.start :]) for s in spoken)
        if not is_bare_answer and not is_named(fact.topic, reading):
            return Result(0.0, 0)
        against = {NEGATED, ENDED} if lead else {AFFIRMED}
        agree = {AFFIRMED, NAMED, STOPPED} if lead else {NEGATED, ENDED, NAMED, OPEN}
        answers = (
            {lead, not lead} if against & set(verdicts) and not agree & set(verdicts) else {lead}
        )
    else:
        answers = {verdict not in (NEGATED, ENDED) for verdict in set(verdicts) - {OPEN}}
    evidence = [
        Piece("found" if answer is fact.answer else "contradicted", *span)
        for answer, span in _spans(verdicts, lead, spoken)
        if answer in answers
    ]
    return Result(float(fact.answer in answers), int((not fact.answer) in answers), tuple(evidence))


def _spans(verdicts: dict, lead: bool | None, spoken: list) -> Iterator[tuple[bool, tuple]]:
    """Yield each answer that the statements give, with where they give it."""
    if lead is not None:
        yield lead, spoken[0].own_span
    for verdict, spans in verdicts.items():
        if verdict != OPEN:
            yield from ((verdict not in (NEGATED, ENDED), span) for span in spans)


_ABOUT = r"(?:documented|recorded|mentioned|noted|reported|stated|specified|available|found|listed"
_ABOUT += r"|provided|indicated|described|addressed|discussed|included|on (?:file|record))"
_SILENT = re.compile(
    rf"(?i)\b(?:not|never|n't)(?: been| explicitly| clearly| specifically| otherwise| currently)*"
    rf" {_ABOUT}\b|\w+n't (?:been )?{_ABOUT}\b"
    rf"|\bnot (?:in|part of|present in) the (?:\w+ )?(?:record|chart|EHR|notes?)\b|\bundocumented\b"
    r"|\bno (?:\w+ )?(?:record|documentation|mention|information|info|data|note|entry|entries|notes"
    r"|records|results?) (?:of|about|on|regarding|for|concerning|that|in|is|are|was|were|available"
    r"|found|exists?)\b"
    rf"|\b(?:no|none|nothing|neither)\b(?: [\w/-]+){{0,6}}? (?:(?:is|are|was|were|has been"
    rf"|have been|could be|can be) )?{_ABOUT}\b|\bno (?:evidence|sign) in the (?:record|chart|EHR)"
    r"|\bnothing (?:about|on|in the (?:record|chart))\b|\b(?:does|do|did)(?: not"
    r"|n't) (?:\w+ly )?(?:mention|document|record|say|state|contain|include|indicate|specify|list"
    r"|provide|describe|address|give|report|show)\b|\b(?:cannot|can't|can not|could not|couldn't"
    r"|unable to|not possible to|impossible to|not able to|did not|didn't) (?:be )?(?:determined?"
    r"|find|found|tell|answer(?:ed)?|located?|identif\w+|see|confirm(?:ed)?)\b|\b(?:unclear"
    r"|unknown) from the\b|\bwithout (?:any )?(?:documentation|record|mention)\b|\b(?:record|chart"
    r"|EHR|notes?) (?:is|are) silent\b"
)
_BUT = re.compile(r"(?i)\b(?:but|however|although|though)\b")


def grade_not_documented(fact: Fact, reading: Reading, facts: list[Fact]) -> Result:
    """Return the share found (0 or 1) and the contradictions (0 or 1) of such a fact."""
    found: list[Piece] = []
    asserted: list[Piece] = []
    for statement in reading.spoken:
        text = statement.text
        mentions = topic_of(fact, statement, reading)
        silent = _SILENT.search(text, statement.heading)
        if silent and (mentions or _without_content(text[statement.start :])):
            found.append(Piece("found", *statement.own_span))
            # "is not documented, but was 7.2 in 2013"
            turn = _BUT.search(text, silent.end())
            rest = text[turn.end() :] if turn else ""
            if read_quantities(rest) or read_dates(rest):
                asserted.append(Piece("contradicted", *statement.own_span))
        for mention in mentions:
            begin = max([0, *(m.end() for m in _BUT.finditer(text, 0, mention.start))])
            turn = _BUT.search(text, mention.end)
            part = text[begin : turn.start() if turn else len(text)]
            if mention.start >= statement.heading and not _SILENT.search(part):
                if judge(text, mention) not in (NEGATED, OPEN):
                    asserted.append(Piece("contradicted", *statement.own_span))
    if asserted:
        return Result(0.0, 1, tuple(asserted))
    return Result(float(bool(found)), 0, tuple(found))
