"""Grades numbers: finds the claims that a response makes about a fact and chooses the answer."""

import calendar
import re
from collections.abc import Iterator
from datetime import date
from typing import NamedTuple

from medalign_utils.data.ehr.units import Unit, convert, parse_unit
from medalign_utils.grading import roles
from medalign_utils.grading.attribution import UNRELATED, bond, is_denied, overlap
from medalign_utils.grading.clauses import clause_of, concerns, names_nothing
from medalign_utils.grading.dates import Date, read_dates
from medalign_utils.grading.facts import SIDE, Fact, Piece, Result
from medalign_utils.grading.quantities import Quantity, mask, read_quantities
from medalign_utils.grading.text import Reading, Statement

_OR = re.compile(
    r"(?i)\s*(?:on \x01+)?,?\s*(?:or|and/or|vs\.?|versus)\s*(?:\w+ly\s|maybe\s|perhaps\s)?"
)
OTHER_TIME, UNDATED, ITS_TIME = range(3)


class Claim(NamedTuple):
    """One value that a response gives, and how well it answers what was asked."""

    statement: Statement
    quantity: Quantity
    is_right: bool
    is_rival: bool  # whether it contradicts if it is wrong
    # The best claims in this order are the response's answer.
    time: int  # ITS_TIME or UNDATED
    is_timely: bool  # the latest value if that is asked for, or else not the latest
    bond: int  # to the topic, from attribution
    has_unit: bool
    is_main: bool  # not in parentheses

    @property
    def rank(self) -> tuple:
        """How well the claim answers, for comparison with the others."""
        return self.time, self.is_timely, self.bond, self.has_unit, self.is_main


def grade_number(fact: Fact, reading: Reading, facts: list[Fact]) -> Result:
    """Return the result of a number fact: share and contradictions are 0 or 1."""
    claims = list(_claims(fact, reading, facts))
    past = [c.quantity.value for c in claims if c.time == OTHER_TIME and not c.is_right]
    # "Raised from 2.5 mg to 5 mg ... cancel the 2.5 mg tablets": both are the former dose.
    claims = [c for c in claims if c.time != OTHER_TIME]
    if not fact.day:
        claims = [c for c in claims if c.is_right or c.quantity.value not in past]
    if reading.is_part or is_denied(fact, reading):
        claims = [claim for claim in claims if claim.bond > UNRELATED]
    if not claims:
        return _by_count(fact, reading)
    best = max(claim.rank for claim in claims)
    answers = [claim for claim in claims if claim.rank == best]
    if len({claim.is_right for claim in answers}) > 1:
        shared = [overlap(c.statement, c.quantity, reading) for c in answers]
        answers = [c for c, words in zip(answers, shared, strict=True) if words == max(shared)]
    results = [c for c in answers if _is_result(c)]  # of several steps, the last one's
    answers = [c for c in answers if c not in results[:-1]]
    beside: dict[int, list[Claim]] = {}
    for answer in answers:
        beside.setdefault(id(answer.statement), []).append(answer)
    answers += [
        c for c in claims if any(_is_alternative(c, a) for a in beside.get(id(c.statement), ()))
    ]
    right = [_piece("found", claim) for claim in answers if claim.is_right]
    wrong = [c for c in answers if not c.is_right and c.is_rival]
    if not right:  # a claim about something else is an omission
        wrong = [c for c in wrong if c.bond > UNRELATED or names_nothing(c.statement.text)]
    wrong = [_piece("contradicted", claim) for claim in wrong]
    return Result(float(bool(right)), int(bool(wrong)), (*right, *wrong))


def _by_count(fact: Fact, reading: Reading) -> Result:
    """Return the result of a list of the things that are to be counted, one a line."""
    items = [s for s in reading.spoken if s.is_item]
    if not fact.is_count or len(items) < 2 or abs(len(items) - fact.values[0]) > fact.tolerance:
        return Result(0.0, 0)
    span = items[0].own_span[0], items[-1].own_span[1]
    return Result(1.0, 0, (Piece("found", *span),))


def _is_result(claim: Claim) -> bool:
    return claim.statement.text[: claim.quantity.start].rstrip().endswith("=")


def _is_alternative(claim: Claim, answer: Claim) -> bool:
    """Return whether the claim stands beside the answer with "or", and only one is right."""
    if claim.statement is not answer.statement or claim.is_right == answer.is_right:
        return False
    first, second = sorted((claim.quantity, answer.quantity), key=lambda q: q.start)
    return _OR.fullmatch(mask(claim.statement.text)[first.end : second.start]) is not None


def _piece(verdict: str, claim: Claim) -> Piece:
    return Piece(verdict, *claim.statement.span(claim.quantity.start, claim.quantity.end))


def _claims(fact: Fact, reading: Reading, facts: list[Fact]) -> Iterator[Claim]:
    judged: dict[tuple, tuple | None] = {}
    for statement, quantity, numbers, strength in _values(fact, reading):
        key = statement.content, quantity.start
        if key not in judged:
            judged[key] = _judge(fact, facts, reading, statement, quantity, numbers, strength)
        if judged[key] is not None:
            yield Claim(statement, quantity, *judged[key])


def _judge(
    fact: Fact,
    facts: list[Fact],
    reading: Reading,
    statement: Statement,
    quantity: Quantity,
    numbers: list[tuple[float, float]],
    strength: int,
) -> tuple | None:
    """Return the other fields of a value's claim, or None if it claims nothing about the fact."""
    asked, text = reading.instruction.text, statement.text
    is_highest_asked = roles.asks_highest(asked)
    is_right = _near(fact, numbers)
    time, is_rival = _time(fact, facts, reading, statement, quantity)
    if not fact.is_time and roles.is_home_dose(text, quantity, asked):
        return None
    is_extreme = roles.is_extreme(text, quantity)
    if is_highest_asked and is_extreme and time == UNDATED:
        time = ITS_TIME
    is_excused = is_extreme and not is_highest_asked
    if not is_right and (is_excused or _is_of(facts, fact, numbers, time)):
        return None
    if is_highest_asked:
        is_timely = is_extreme
    elif fact.since or roles.asks_latest(asked):
        is_timely = bool(fact.day) or roles.is_latest(text, quantity)
    else:
        is_timely = not roles.is_now(text, quantity)
    is_timely = (is_timely or fact.is_limit) and not statement.is_beside
    has_unit = fact.unit is None or quantity.unit is not None
    is_main = not roles.is_aside(text, quantity)
    return is_right, is_rival, time, is_timely, strength, has_unit, is_main


def _time(fact: Fact, facts: list, reading: Reading, statement: Statement, quantity: Quantity):
    """Return the time of a value, compared with the fact's, and whether it can contradict."""
    text = statement.text
    when = _when(statement, quantity)
    asked = reading.instruction.dates
    if when is not None and not (fact.day and any(d.agrees(fact.day) for d in asked)):
        # The instruction's own date, taken over: "During the stay that began on 05/22/2009".
        when = None if any(when[:3] == d[:3] for d in asked) else when
    if not fact.day and not fact.since:
        when = None  # the fact has no time
    days = _days(fact, facts)
    if when is None and len(days) > 1 and (order := _order(fact, statement)):
        # "From 8.1 to 7.2": the values of several days, in order.
        if len(order) == len(days) and quantity in order:
            is_its = days[order.index(quantity)] == fact.day
            return (ITS_TIME if is_its else OTHER_TIME), True
    is_last = len(days) > 1 and fact.day == days[-1]
    is_other = when is None and (
        roles.is_earlier(text, quantity)
        or (fact.day is not None and not is_last and roles.is_later(text, quantity))
        or (fact.since is not None and roles.is_stopped(text, quantity))
    )
    if is_other:
        return OTHER_TIME, False
    if fact.day:
        if when is None:
            return UNDATED, True
        return (ITS_TIME if when.agrees(fact.day) else OTHER_TIME), True
    if fact.since and when is not None and when.year is not None:
        if roles.is_earlier(text, quantity):
            return OTHER_TIME, False  # "10 mg until January 2009"
        # On the day of a change, the record contains both the old value and the new one.
        last = _last(when)
        return (UNDATED if last >= fact.since else OTHER_TIME), last > fact.since
    offset = statement.start
    here = quantity._replace(start=quantity.start - offset, end=quantity.end - offset)
    is_now = roles.is_now(statement.own, here) and not roles.asks_latest(reading.instruction.text)
    is_past = fact.since is None and is_now and bool(reading.instruction.text)
    return (OTHER_TIME if is_past else UNDATED), True


def _last(when: Date) -> date:
    """Return the last day that `when` may mean; it must have a year."""
    year = when.year if when.year >= 100 else when.year + (2000 if when.year < 50 else 1900)
    month = when.month or 12
    last = calendar.monthrange(year, month)[1]
    return date(year, month, min(when.day or last, last))


def _values(fact: Fact, reading: Reading) -> Iterator[tuple[Statement, Quantity, list, int]]:
    """Yield each value with its numbers (fact's unit), their tolerances, and its bond."""
    halves: dict[tuple, dict[int, tuple[Statement, Quantity]]] = {}
    bonds: dict[tuple, int] = {}
    for statement in reading.spoken:
        for quantity in read_quantities(statement.text):
            if quantity.start < statement.start:
                continue
            if len(fact.values) == 2 and quantity.second is None:
                side = _side(statement.text, quantity)
                if side is not None and _compare(fact, side, quantity) is not None:
                    when = _when(statement, quantity)
                    sides = halves.setdefault(when[:3] if when else None, {})
                    sides[side] = statement, quantity
            elif numbers := _numbers(fact, statement.text, quantity):
                key = statement.content, quantity.start
                if key not in bonds:
                    bonds[key] = bond(fact, statement, quantity, reading)
                if bonds[key]:
                    yield statement, quantity, numbers, bonds[key]
    for sides in halves.values():  # "Systolic blood pressure: 138", "Diastolic ...: 82"
        if len(sides) == 2:
            (statement, upper), (_, lower) = sides[0], sides[1]
            if concerns(fact, statement, upper, reading):
                numbers = [_compare(fact, 0, upper), _compare(fact, 1, lower)]
                yield statement, upper, numbers, UNRELATED + 1


def _side(text: str, quantity: Quantity) -> int | None:
    sides = list(SIDE.finditer(text, 0, quantity.start))
    return None if not sides else int(sides[-1][2] is not None)


def _numbers(fact: Fact, text: str, quantity: Quantity) -> list[tuple[float, float]] | None:
    """Return numbers in the fact's unit with their tolerances; None if they cannot be compared."""
    if quantity.is_range or (quantity.is_bound and not fact.is_limit):
        return None
    if quantity.label is not None:
        label = re.match(r"\w+", text[quantity.label :])[0].lower()
        if not any(s.lower().split()[-1] == label for s in fact.topic):
            return None
    sides = [0]
    if quantity.second is not None:
        sides = [0, 1] if len(fact.values) == 2 else [fact.side]
    elif fact.side is not None and _side(text, quantity) not in (None, fact.side):
        return None
    numbers = [side if side is None else _compare(fact, side, quantity) for side in sides]
    return None if None in numbers else numbers


def _compare(fact: Fact, side: int, quantity: Quantity) -> tuple[float, float] | None:
    value = quantity.second if side and quantity.second is not None else quantity.value
    if quantity.scale is not None:  # 8/10 is a score
        return (value, fact.tolerance) if fact.unit is None else None
    if quantity.unit is None or quantity.unit.lower() == (fact.unit_text or "").lower():
        is_share = quantity.unit is None and fact.unit_text == "%" and 0 < value <= 1
        return (100 * value if is_share else value), fact.tolerance  # 0.59 is 59 %
    unit = parse_unit(quantity.unit)
    if unit is not None and dict(unit.dimension) == {"times": 1} and fact.is_count:
        return value, fact.tolerance
    if fact.unit is None or unit is None:
        return None
    things = {k: n for k, n in fact.unit.dimension if (k, n) != ("time", -1)}
    if dict(unit.dimension) == {"time": -1} and list(things.values()) == [1]:
        unit = Unit(fact.unit.dimension, unit.size)  # "5 a week" counts drinks if they are asked
    is_daily = dict(unit.dimension) == {**dict(fact.unit.dimension), "time": -1}
    if (
        is_daily
        and "time" not in dict(fact.unit.dimension)
        and re.search(r"(?i)day$", quantity.unit)
    ):
        unit = Unit(fact.unit.dimension, unit.size * 86400)  # a dose "a day"
    converted = convert(value, unit, fact.unit)
    if converted is None or unit == fact.unit:
        return None if converted is None else (converted, fact.tolerance)
    # The number was rounded in the unit in which it is written.
    rounding = abs(convert(value + quantity.step / 2, unit, fact.unit) - converted)
    return converted, max(fact.tolerance, rounding)


def _when(statement: Statement, quantity: Quantity) -> Date | None:
    """Return a quantity's date: of its clause, or else the nearest, or else of the record line."""
    text = statement.text
    dates = read_dates(text)
    begin, end = clause_of(text, quantity.start)
    own = [d for d in dates if begin <= d.start < end]
    if "respectively" in text and (date := _respective(text, dates, quantity)):
        return date
    if not own and (roles.is_earlier(text, quantity) or roles.is_later(text, quantity)):
        return None
    # A date beside another number is that number's: "5 a week, up from 2 in 2009".
    clauses = {clause_of(text, q.start): q.end for q in read_quantities(text)}
    is_others = [clauses.get(clause_of(text, d.start), d.end) < d.start for d in dates]
    candidates = own or [d for d, other in zip(dates, is_others, strict=True) if not other]
    # The statement's own dates come before those of its headings.
    candidates = [d for d in candidates if d.start >= statement.start] or candidates
    if not candidates:
        return statement.date
    # A statement that begins with a date puts dates first throughout: "8/10: 1.4, 9/2: 1.6".
    starts = [q.start for q in read_quantities(text) if q.start >= (begin if own else 0)]
    before = [d for d in candidates if d.end <= quantity.start]
    after = [d for d in candidates if d.start >= quantity.end]
    if candidates[0].start < min(starts, default=quantity.start):
        return (before or after)[-1 if before else 0]
    return (after or before)[0 if after else -1]


def _respective(text: str, dates: tuple[Date, ...], quantity: Quantity) -> Date | None:
    """Return the date of "1.4 and 1.6 on 8/10 and 9/2, respectively"."""
    quantities = read_quantities(text)
    same = len(quantities) == len(dates)
    return dates[quantities.index(quantity)] if same else None


def _days(fact: Fact, facts: list[Fact]) -> list[date]:
    """Return the days for which the instruction asks for the fact's topic, in order."""
    same = [f for f in facts if f.topic == fact.topic and f.kind == fact.kind]
    return sorted({f.day for f in same if f.day})


def _order(fact: Fact, statement: Statement) -> list[Quantity]:
    """Return the values of an undated statement in order of time."""
    text = statement.text
    quantities = [q for q in read_quantities(text) if q.start >= statement.start]
    values = [
        q
        for q in quantities
        if _numbers(fact, text, q) and not roles.is_calculation(text, q, is_measured=True)
    ]
    has_date = any(d.start >= statement.start for d in read_dates(text))
    return [] if has_date else sorted(values, key=lambda q: not roles.is_earlier(text, q))


def _is_of(facts: list[Fact], fact: Fact, numbers: list, time: int) -> bool:
    """Return whether another fact of the instruction asks for this value of the topic."""
    return any(
        other is not fact
        and not (time == ITS_TIME and fact.day != other.day)
        and len(other.values) == len(fact.values)
        and set(other.topic) & set(fact.topic)
        and _near(other, numbers)
        for other in facts
    )


def _near(fact: Fact, numbers: list[tuple[float, float]]) -> bool:
    return all(
        abs(number - value) <= tolerance + 1e-9
        for (number, tolerance), value in zip(numbers, fact.values, strict=True)
    )
