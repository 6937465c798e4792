"""What an instruction template is, and the facts by which its answer is checked.

A template looks at a simulated patient and yields candidates: questions that can be asked of this
patient, each with its true answer. `TEMPLATES` holds the benchmark's by name.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime
from typing import NamedTuple

from medalign_utils.synthetic.catalogue import OF_ONE_SEX
from medalign_utils.synthetic.patient import Patient


class Candidate(NamedTuple):
    """A question that can be asked of one patient, and its answer.

    `time` is the newest place of the record where the answer stands, None where it stands nowhere;
    `where` says whether it stands there in codes, in notes, in both or nowhere. `relevant` holds
    "sex" or "age" where the right answer rests on them, or is of what only one sex has.
    """

    values: dict[str, str]
    facts: list[dict]
    reference: str
    evidence: str
    where: str
    time: datetime | None
    relevant: tuple[str, ...] = ()


class Template(NamedTuple):
    """A template: its phrasings have the keys of a candidate's `values` and of `pronouns`."""

    name: str
    subcategory: str
    phrasings: tuple[str, ...]
    candidates: Callable[[Patient], Iterator[Candidate]]


TEMPLATES: dict[str, Template] = {}


def template(subcategory: str, *phrasings: str, into: dict[str, Template] = TEMPLATES):
    """Registers the decorated generator of candidates as a template under its own name."""

    def register(function: Callable[[Patient], Iterator[Candidate]]):
        name = function.__name__
        into[name] = Template(name, subcategory, phrasings, function)
        return function

    return register


def pronouns(patient: Patient) -> dict[str, str]:
    """The words for the patient in a phrasing or a reference."""
    if patient.gender == "FEMALE":
        return {"she": "she", "She": "She", "her": "her", "Her": "Her", "him": "her", "s": "woman"}
    return {"she": "he", "She": "He", "her": "his", "Her": "His", "him": "him", "s": "man"}


def of_sex(name: str) -> tuple[str, ...]:
    """What makes `Candidate.relevant` where the instruction is about this test or operation."""
    return ("sex",) if name in OF_ONE_SEX else ()


def day(moment: date | datetime) -> str:
    """03/09/2011, as most clinicians type it."""
    return f"{moment:%m/%d/%Y}"


def long_day(moment: date | datetime) -> str:
    """March 9, 2011."""
    return f"{moment:%B} {moment.day}, {moment.year}"


def _iso(moment: date | datetime | None) -> str | None:
    return f"{moment:%Y-%m-%d}" if moment else None


def number_fact(topic: Sequence[str], value, unit: str, tolerance: float, on=None, **more) -> dict:
    """A number the answer must hold; `on` the day it was measured, if there is one."""
    return {"kind": "number", "topic": list(topic), "value": value, "unit": unit,
            "tolerance": tolerance, "date": _iso(on), **more}  # fmt: skip


def date_fact(topic: Sequence[str], on: date | datetime, precision: str = "day") -> dict:
    """A date the answer must hold."""
    return {"kind": "date", "topic": list(topic), "date": _iso(on), "precision": precision}


def term_fact(accepted, rivals=(), topic=None, **more) -> dict:
    """A term the answer must hold, in any accepted spelling, and no rival in its stead."""
    return {"kind": "term", "accepted": list(accepted), "rivals": [list(r) for r in rivals],
            "topic": list(topic) if topic else None, **more}  # fmt: skip


def set_fact(members, rivals=()) -> dict:
    """Terms the answer must hold, all of them, and none of the rivals."""
    return {"kind": "set", "members": [list(m) for m in members],
            "rivals": [list(r) for r in rivals]}  # fmt: skip


def yes_no_fact(topic: Sequence[str], answer: bool, **more) -> dict:
    """Whether the topic is so."""
    return {"kind": "yes_no", "topic": list(topic), "answer": answer, **more}


def absent_fact(topic: Sequence[str]) -> dict:
    """The record does not say."""
    return {"kind": "not_documented", "topic": list(topic)}
