"""Checks the facts of an answer key and prepares their spellings and units for grading."""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import date
from functools import cached_property, lru_cache
from typing import Annotated, Literal, NamedTuple

import pydantic
from pydantic import AfterValidator, Field

from medalign_utils.data.ehr.units import Unit, parse_unit
from medalign_utils.errors import MedAlignError
from medalign_utils.grading.characters import normalise
from medalign_utils.grading.names import LIMIT, with_synonyms

_KEYS = {  # kind: (required, optional)
    "number": ({"topic", "value", "unit", "tolerance"}, {"date", "from"}),
    "date": ({"topic", "date", "precision"}, set()),
    "term": ({"accepted"}, {"rivals", "topic"}),
    "set": ({"members"}, {"rivals"}),
    "yes_no": ({"topic", "answer"}, set()),
    "not_documented": ({"topic"}, set()),
}
SIDE = re.compile(r"(?i)\b(?:(systolic|SBP)|(diastolic|DBP))\b")


def _readable(spelling: str) -> str:
    if not re.search(r"[^\W_]", normalise(spelling)):
        raise ValueError("a spelling needs a letter or a digit")
    return spelling


_Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]


def _day(text: str) -> date:
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", text):
        raise ValueError("expected YYYY-MM-DD")
    return date.fromisoformat(text)


_Iso = Annotated[str, AfterValidator(_day)]
_Spellings = Annotated[tuple[Annotated[str, AfterValidator(_readable)], ...], Field(min_length=1)]


class Fact(pydantic.BaseModel):
    """A checked fact; `topic` includes synonyms of tests; fields of other kinds are empty."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)
    kind: str
    subject: Literal["patient", "family"] = "patient"
    topic: Annotated[_Spellings, AfterValidator(with_synonyms)] = ()
    values: tuple[_Number, ...] = Field((), alias="value", min_length=1, max_length=2)
    unit_text: str | None = Field(None, alias="unit")
    tolerance: _Number = Field(0.0, ge=0)
    day: _Iso | None = Field(None, alias="date")
    since: _Iso | None = Field(None, alias="from")
    precision: Literal["day", "month", "year"] = "day"
    answer: pydantic.StrictBool = False
    accepted: _Spellings = ()
    members: tuple[_Spellings, ...] = Field((), min_length=1)
    rivals: tuple[_Spellings, ...] = ()

    @pydantic.model_validator(mode="before")
    @classmethod
    def _by_kind(cls, fact: dict) -> dict:
        kind = fact.get("kind")
        if not isinstance(kind, str) or kind not in _KEYS:
            raise ValueError(f"kind {kind!r}, expected one of {', '.join(_KEYS)}")
        required, optional = _KEYS[kind]
        if missing := sorted(required - set(fact)):
            raise ValueError(f"no {missing[0]!r}")
        if unknown := sorted(set(fact) - required - optional - {"kind", "subject"}):
            allowed = ", ".join(sorted(required | optional))
            raise ValueError(f"key {unknown[0]!r}, expected only {allowed}")
        fact = {key: v for key, v in fact.items() if v is not None or key not in optional}
        if kind == "number" and not isinstance(fact["value"], list):
            fact["value"] = [fact["value"]]
        return fact

    @cached_property
    def unit(self) -> Unit | None:
        """The unit of a number."""
        return parse_unit(normalise(self.unit_text or ""))

    @cached_property
    def is_count(self) -> bool:
        """Whether a number counts things: appointments, polyps."""
        return self.unit is None and bool(self.unit_text) and self.unit_text != "points"

    @cached_property
    def is_time(self) -> bool:
        """Whether a number is an age or a duration."""
        return self.unit is not None and dict(self.unit.dimension) == {"time": 1}

    @cached_property
    def is_limit(self) -> bool:
        """Whether the topic is a goal, a target or a cutoff."""
        return LIMIT.search(" ".join(self.topic)) is not None

    @cached_property
    def side(self) -> int | None:
        """The half of a blood pressure asked about: 0 systolic, 1 diastolic, None both."""
        sides = {int(match[2] is not None) for match in SIDE.finditer(" ".join(self.topic))}
        return sides.pop() if len(sides) == 1 else None


def check_facts(facts: Sequence[Mapping]) -> list[Fact]:
    """Return the facts of one instruction, ready for grading.

    Raises:
        MedAlignError: there are no facts, or one is malformed; the message says which and why.
    """
    if not isinstance(facts, list | tuple) or not facts:
        raise MedAlignError(f"grade: facts are {facts!r}, expected a list of at least one fact")
    checked = []
    for n, fact in enumerate(facts):
        if not isinstance(fact, Mapping):
            raise MedAlignError(f"grade: fact {n} is {fact!r}, expected a mapping with a 'kind'")
        try:
            checked.append(_parse(json.dumps(dict(fact), sort_keys=True, default=str)))
        except pydantic.ValidationError as invalid:
            error = invalid.errors()[0]
            place = ".".join(map(str, error["loc"]))
            found = f"{place} is {error['input']!r}: " if place else ""
            reason = error["msg"].removeprefix("Value error, ")
            fault = found + reason.replace("Tuple", "List").replace("a valid tuple", "a list")
            raise MedAlignError(f"grade: fact {n} ({fact.get('kind')}): {fault}") from None
    return checked


@lru_cache(maxsize=8192)
def _parse(text: str) -> Fact:
    return Fact.model_validate(json.loads(text))


class Piece(NamedTuple):
    """The part `start:end` of a response that finds or contradicts a fact."""

    verdict: Literal["found", "contradicted"]
    start: int
    end: int


class Result(NamedTuple):
    """How a response compares with one fact."""

    share: float  # found, 0 to 1
    contradictions: int
    evidence: tuple[Piece, ...] = ()
