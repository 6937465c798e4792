"""The facts of an answer key: checked, with spellings and units made ready for reading."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache

from medalign_utils.data.ehr.units import Unit, parse_unit
from medalign_utils.errors import MedAlignError
from medalign_utils.grading.names import LIMIT, with_synonyms
from medalign_utils.grading.text import normalise

_KEYS = {  # kind: (required, optional)
    "number": ({"topic", "value", "unit", "tolerance"}, {"date", "from"}),
    "date": ({"topic", "date", "precision"}, set()),
    "term": ({"accepted"}, {"rivals", "topic"}),
    "set": ({"members"}, {"rivals"}),
    "yes_no": ({"topic", "answer"}, set()),
    "not_documented": ({"topic"}, set()),
}


@dataclass(frozen=True)
class Fact:
    """A checked fact; `topic` includes the synonyms of tests, what does not apply is empty."""

    kind: str
    is_family: bool
    topic: tuple[str, ...] = ()
    values: tuple[float, ...] = ()
    unit_text: str = ""
    unit: Unit | None = None
    tolerance: float = 0.0
    day: date | None = None
    since: date | None = None
    precision: str = "day"
    answer: bool = False
    members: tuple[tuple[str, ...], ...] = ()
    rivals: tuple[tuple[str, ...], ...] = ()
    is_limit: bool = False
    side: int | None = None  # of a blood pressure: 0 systolic, 1 diastolic


def check_facts(facts: Sequence[Mapping]) -> list[Fact]:
    """Return the facts of one instruction, ready for grading.

    Raises:
        MedAlignError: there is none, or one is malformed; the message says which and why.
    """
    if isinstance(facts, (str, Mapping)) or not isinstance(facts, Sequence) or not facts:
        raise MedAlignError(f"grade: facts are {facts!r}, expected a list of at least one fact")
    checked = []
    for n, fact in enumerate(facts):
        if not isinstance(fact, Mapping):
            raise MedAlignError(f"grade: fact {n} is {fact!r}, expected a mapping with a 'kind'")
        try:
            checked.append(_parse_fact(json.dumps(dict(fact), sort_keys=True)))
        except (TypeError, ValueError) as error:
            raise MedAlignError(f"grade: fact {n} ({fact.get('kind')}): {error}") from None
    return checked


@lru_cache(maxsize=8192)
def _parse_fact(text: str) -> Fact:
    fact = json.loads(text)
    kind = fact.get("kind")
    if kind not in _KEYS:
        raise ValueError(f"kind {kind!r}, expected one of {', '.join(_KEYS)}")
    required, optional = _KEYS[kind]
    given = set(fact) - {"kind", "subject"}
    if missing := sorted(required - given):
        raise ValueError(f"no {missing[0]!r}")
    if unknown := sorted(given - required - optional):
        allowed = ", ".join(sorted(required | optional))
        raise ValueError(f"key {unknown[0]!r}, expected only {allowed}")
    subject = fact.get("subject", "patient")
    if subject not in ("patient", "family"):
        raise ValueError(f"subject {subject!r}, expected patient or family")

    topic = fact.get("topic")
    if topic is not None or "topic" in required:
        topic = _spellings(topic, "topic")
    rivals = fact.get("rivals") or []
    if not isinstance(rivals, list):
        raise ValueError(f"rivals are {rivals!r}, expected lists of spellings")
    parts: dict = {"topic": with_synonyms(topic) if topic else ()}
    parts["rivals"] = tuple(_spellings(rival, "a rival") for rival in rivals)
    if kind == "term":
        parts["members"] = (_spellings(fact["accepted"], "accepted"),)
    elif kind == "set":
        if not isinstance(fact["members"], list) or not fact["members"]:
            raise ValueError(f"members are {fact['members']!r}, expected lists of spellings")
        parts["members"] = tuple(_spellings(member, "a member") for member in fact["members"])
    elif kind == "yes_no":
        if not isinstance(fact["answer"], bool):
            raise ValueError(f"answer is {fact['answer']!r}, expected true or false")
        parts["answer"] = fact["answer"]
    elif kind == "date":
        if fact["precision"] not in ("day", "month", "year"):
            raise ValueError(f"precision {fact['precision']!r}, expected day, month or year")
        parts.update(day=_day(fact, "date"), precision=fact["precision"])
    elif kind == "number":
        value, unit = fact["value"], "" if fact["unit"] is None else fact["unit"]
        if isinstance(value, list) and len(value) != 2:
            raise ValueError(f"value is {value!r}, expected a number or a pair")
        if not isinstance(unit, str):
            raise ValueError(f"unit is {unit!r}, expected text")
        words = " ".join(topic)
        systolic = re.search(r"(?i)\bsystolic\b|\bSBP\b", words) is not None
        diastolic = re.search(r"(?i)\bdiastolic\b|\bDBP\b", words) is not None
        parts.update(
            values=tuple(
                _number(v, "value") for v in (value if isinstance(value, list) else [value])
            ),
            tolerance=_number(fact["tolerance"], "tolerance"),
            unit_text=unit,
            unit=parse_unit(normalise(unit)),
            day=None if fact.get("date") is None else _day(fact, "date"),
            since=None if fact.get("from") is None else _day(fact, "from"),
            is_limit=LIMIT.search(words) is not None,
            side=None if systolic == diastolic else int(diastolic),
        )
        if parts["tolerance"] < 0:
            raise ValueError(f"tolerance is {fact['tolerance']!r}, expected at least 0")
    return Fact(kind, subject == "family", **parts)


def _spellings(given: object, what: str) -> tuple[str, ...]:
    is_list = isinstance(given, list) and given and all(isinstance(s, str) for s in given)
    if not is_list or not all(re.search(r"[^\W_]", normalise(s)) for s in given):
        raise ValueError(f"{what} is {given!r}, expected a list of spellings")
    return tuple(given)


def _number(given: object, what: str) -> float:
    is_number = isinstance(given, (int, float)) and not isinstance(given, bool)
    if not is_number or not math.isfinite(given):
        raise ValueError(f"{what} is {given!r}, expected a number or a pair of numbers")
    return float(given)


def _day(fact: Mapping, key: str) -> date:
    try:
        if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", fact[key]):
            return date.fromisoformat(fact[key])
    except (TypeError, ValueError):
        pass
    raise ValueError(f"{key} is {fact[key]!r}, expected YYYY-MM-DD")
