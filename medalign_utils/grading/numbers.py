"""Grades numbers: finds which values in a response belong to the topic, and their dates."""

import calendar
import re
from collections.abc import Iterator
from datetime import date

from medalign_utils.data.ehr.units import Unit, convert, parse_unit
from medalign_utils.grading.clauses import clause_of, concerns, names_nothing, names_something
from medalign_utils.grading.dates import Date, read_dates
from medalign_utils.grading.facts import SIDE, Fact, Piece, Result
from medalign_utils.grading.names import LIMIT, topic_mentions
from medalign_utils.grading.quantities import Quantity, mask, read_quantities
from medalign_utils.grading.spelling import find
from medalign_utils.grading.text import Reading, Statement

_EARLIER = re.compile(
    r"(?i)\b(?:previous(?:ly)?|prior|compared|versus|vs|formerly|baseline|up from|down from)\b"
    r"|\bfrom(?: an?| \w+ of)?\s*$"
)
_EARLIER_AFTER = re.compile(
    r"(?i)\b(?:ago|previously|last (?:year|month|week|visit)|at baseline)\b"
)
_ASIDE = re.compile(
    r"(?i)\b(?:earlier|before|initial(?:ly)?|first|peak(?:ed)?|highest|lowest|nadir|max(?:imum)?"
    r"|min(?:imum)?|average|mean|median|usual(?:ly)?|typical(?:ly)?|used to)\b"
)
_REFERENCE = re.compile(
    r"(?i)(?:\breference|\bref\.?|\bnormal (?:range|values?|limits?)|\brang(?:e|ed|es|ing)"
    r"|\bbetween|\bgoal|\btarget|\blimits?|\bULN|\bcut-?off|\bthreshold|\bvaried)\b[^,;]{0,30}$"
    r"|\bnormal\s*[:=(<]?\s*$"
)
_NOT_BEFORE = re.compile(r"(?i)(?:\bnot|n't|\bnever)\s+(?:\w+\s+){0,2}$")
_OF = re.compile(r"\s+of\s+(?=[A-Za-z]{3})")


def grade_number(fact: Fact, reading: Reading, facts: list[Fact]) -> Result:
    """Return the result of a number fact: share and contradictions are 0 or 1."""
    found: list[Piece] = []
    contradicted: list[Piece] = []
    for statement, quantity, numbers in _values(fact, reading):
        when, is_other_time = _when(statement, quantity)
        undated = when is None and not is_other_time
        if fact.day:
            is_its_time = undated or (when is not None and when.agrees(fact.day))
            is_rival_time = is_its_time
        elif fact.since and when is not None and when.year is not None:
            # On the day of a change, the record contains both the old value and the new one.
            is_its_time, is_rival_time = _last(when) >= fact.since, _last(when) > fact.since
        else:
            is_its_time = undated or not fact.since or when is not None
            is_rival_time = undated
        span = statement.span(quantity.start, quantity.end)
        if _near(fact, numbers):
            found += [Piece("found", *span)] if is_its_time else []
        elif not is_other_time and not _is_aside(fact, facts, statement.text, quantity, numbers):
            contradicted += [Piece("contradicted", *span)] if is_rival_time else []
    return Result(float(bool(found)), int(bool(contradicted)), (*found, *contradicted))


def _last(when: Date) -> date:
    """Return the last day that `when` may mean; it must have a year."""
    year = when.year if when.year >= 100 else when.year + (2000 if when.year < 50 else 1900)
    month = when.month or 12
    last = calendar.monthrange(year, month)[1]
    return date(year, month, min(when.day or last, last))


def _values(fact: Fact, reading: Reading) -> Iterator[tuple[Statement, Quantity, list]]:
    """Yield each value of the topic with its numbers (fact's unit) and their tolerances."""
    halves: dict[tuple, dict[int, tuple[Statement, Quantity]]] = {}
    for statement in reading.spoken:
        for quantity in read_quantities(statement.text):
            if quantity.start < statement.heading:
                continue
            if len(fact.values) == 2 and quantity.second is None:
                side = _side(statement.text, quantity)
                if side is not None and _compare(fact, side, quantity) is not None:
                    when = _when(statement, quantity)[0]
                    sides = halves.setdefault(when[:3] if when else None, {})
                    sides[side] = statement, quantity
            elif numbers := _numbers(fact, statement.text, quantity):
                if _belongs(fact, statement, quantity, reading):
                    yield statement, quantity, numbers
    for sides in halves.values():  # "Systolic blood pressure: 138", "Diastolic ...: 82"
        if len(sides) == 2:
            (statement, upper), (_, lower) = sides[0], sides[1]
            if concerns(fact, statement, upper, reading):
                yield statement, upper, [_compare(fact, 0, upper), _compare(fact, 1, lower)]


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
        return value, fact.tolerance
    unit = parse_unit(quantity.unit)
    if fact.unit is None or unit is None:
        return None
    if dict(unit.dimension) == {**dict(fact.unit.dimension), "time": -1} and re.search(
        r"(?i)day$", quantity.unit
    ):
        unit = Unit(fact.unit.dimension, unit.size * 86400)  # a dose "a day"
    converted = convert(value, unit, fact.unit)
    if converted is None or unit == fact.unit:
        return None if converted is None else (converted, fact.tolerance)
    # The number was rounded in the unit in which it is written.
    rounding = abs(convert(value + quantity.step / 2, unit, fact.unit) - converted)
    return converted, max(fact.tolerance, rounding)


def _belongs(fact: Fact, statement: Statement, quantity: Quantity, reading: Reading) -> bool:
    """Return whether the quantity is a value of the fact's topic."""
    text, start, end = statement.text, quantity.start, quantity.end
    own, others = topic_mentions(fact.topic, text)
    if not own and fact.side is not None:
        own = find(("blood pressure", "BP"), text)
        others = tuple(o for o in others if o not in own)
    if not concerns(fact, statement, quantity, reading) or _NOT_BEFORE.search(text[:start]):
        return False
    if fact.is_limit:
        if not LIMIT.search(text) and not reading.is_bare:
            return False
    elif _REFERENCE.search(mask(text)[:start]):
        if not any(m.start <= start and _REFERENCE.search(text[m.start : m.end]) for m in own):
            return False
    before = [m for m in own if m.end <= start]
    foreign = [o.start for o in others if o.start < start]
    if foreign and (not before or before[-1].start < foreign[-1]):
        return False
    if before:
        # "creatinine 1.4 and selenium 3.0": the second number has its own name.
        quantities = read_quantities(text)
        earlier = [q.end for q in quantities if before[-1].end <= q.start and q.end <= start]
        if earlier and names_something(_since_joint(text, max(earlier), start)):
            return False
        # "10 mg of lisinopril" is a value of lisinopril; it counts only if that is the topic.
        follows = _OF.match(text, end)
        return follows is None or any(m.start == follows.end() for m in own)
    after = [m.start for m in own if m.start >= start]
    if after:
        # "3 polyps at the colonoscopy" counts polyps, "a 1.4 creatinine" is its value.
        counts_other = quantity.unit is None and names_something(text[end : after[0]])
        in_reach = after[0] <= clause_of(text, start)[1]
        return in_reach and not (counts_other and fact.unit is not None)
    return not others and reading.is_bare and names_nothing(text)


def _since_joint(text: str, begin: int, end: int) -> str:
    """Return the words before `end` back to the last number, date, comma, "and" or "with"."""
    return re.split(r"(?i)[,;()]|\b(?:and|or|with)\b|[\x01\x02]+", mask(text)[begin:end])[-1]


def _when(statement: Statement, quantity: Quantity) -> tuple[Date | None, bool]:
    """Return a quantity's date, and whether it is from before the dates given ("up from 1.1")."""
    text = statement.text
    dates = read_dates(text)
    begin, end = clause_of(text, quantity.start)
    own = [d for d in dates if begin <= d.start < end]
    if not own and _is_earlier(text, quantity):
        return None, bool(dates or statement.date)
    candidates = own or dates
    if not candidates:
        return statement.date, False
    # A statement that begins with a date puts dates first throughout: "8/10: 1.4, 9/2: 1.6".
    starts = [q.start for q in read_quantities(text) if q.start >= (begin if own else 0)]
    before = [d for d in candidates if d.end <= quantity.start]
    after = [d for d in candidates if d.start >= quantity.end]
    if candidates[0].start < min(starts, default=quantity.start):
        return (before or after)[-1 if before else 0], False
    return (after or before)[0 if after else -1], False


def _is_earlier(text: str, quantity: Quantity) -> bool:
    begin, end = clause_of(text, quantity.start)
    before, after = text[begin : quantity.start], text[quantity.end : end]
    return bool(_EARLIER.search(before) or _EARLIER_AFTER.search(after))


def _is_aside(fact: Fact, facts: list[Fact], text: str, quantity: Quantity, numbers: list) -> bool:
    """Return whether a value contradicts nothing, being a peak, earlier, or another fact's."""
    before = text[clause_of(text, quantity.start)[0] : quantity.start]
    return bool(
        quantity.is_word
        or _is_earlier(text, quantity)
        or _ASIDE.search(before)
        or (quantity.unit is None and not _is_introduced(fact, text, quantity))
        or any(
            other is not fact
            and len(other.values) == len(fact.values)
            and set(other.topic) & set(fact.topic)
            and _near(other, numbers)
            for other in facts
        )
    )


def _near(fact: Fact, numbers: list[tuple[float, float]]) -> bool:
    return all(
        abs(number - value) <= tolerance + 1e-9
        for (number, tolerance), value in zip(numbers, fact.values, strict=True)
    )


def _is_introduced(fact: Fact, text: str, quantity: Quantity) -> bool:
    """Return whether a number without a unit is a value: "creatinine was 1.4", not "bed 12"."""
    mentions, _ = topic_mentions(fact.topic, text)
    if before := [m.end for m in mentions if m.end <= quantity.start]:
        words = _since_joint(text, before[-1], quantity.start)
        return not names_something(words.rpartition(":")[2])
    after = [m.start for m in mentions if m.start >= quantity.start]
    return not after or len(text[quantity.end : after[0]].split()) <= 3
