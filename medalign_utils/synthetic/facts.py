"""Builds the facts of the answer key, against which responses are graded.

A topic is a sequence of spellings or one comma-separated string.
"""

from collections.abc import Sequence
from datetime import date, datetime

from medalign_utils.synthetic.catalogue import spellings


def _iso(moment: date | datetime | None) -> str | None:
    return f"{moment:%Y-%m-%d}" if moment else None


def _listed(topic: str | Sequence[str]) -> list[str]:
    return list(spellings(topic) if isinstance(topic, str) else topic)


def number(topic, value, unit: str, tolerance=0.4, on=None, since=None, **more) -> dict:
    """Return a number that the answer must contain, measured `on` a day or valid `since` a day."""
    more = {"from": _iso(since), **more} if since else more
    return {"kind": "number", "topic": _listed(topic), "value": value, "unit": unit,
            "tolerance": tolerance, "date": _iso(on), **more}  # fmt: skip


def date_of(topic, on: date | datetime, precision: str = "day") -> dict:
    """Return a date that the answer must contain."""
    return {"kind": "date", "topic": _listed(topic), "date": _iso(on), "precision": precision}


def term(accepted, rivals=(), topic=None, **more) -> dict:
    """Return a term that the answer must contain in an accepted spelling, without any rival."""
    return {"kind": "term", "accepted": list(accepted), "rivals": [list(r) for r in rivals],
            "topic": _listed(topic) if topic else None, **more}  # fmt: skip


def terms(members, rivals=()) -> dict:
    """Return terms that the answer must all contain, without any rival."""
    return {"kind": "set", "members": list(map(list, members)), "rivals": list(map(list, rivals))}


def yes_no(topic, answer: bool, **more) -> dict:
    """Return the answer, yes or no, that the response must give about the topic."""
    return {"kind": "yes_no", "topic": _listed(topic), "answer": answer, **more}


def absent(topic) -> dict:
    """Return the fact that the record says nothing about the topic."""
    return {"kind": "not_documented", "topic": _listed(topic)}
