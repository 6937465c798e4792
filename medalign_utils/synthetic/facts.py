"""The facts of the answer key, by which an answer is checked.

A topic is given as spellings or as one text of them, separated by commas.
"""

from collections.abc import Sequence
from datetime import date, datetime

from medalign_utils.synthetic.catalogue import spellings


def _iso(moment: date | datetime | None) -> str | None:
    return f"{moment:%Y-%m-%d}" if moment else None


def _listed(topic: str | Sequence[str]) -> list[str]:
    return list(spellings(topic) if isinstance(topic, str) else topic)


def number(topic, value, unit: str, tolerance=0.4, on=None, since=None, **more) -> dict:
    """Return a number that the answer must hold, measured `on` a day or true `since` one."""
    more = {"from": _iso(since), **more} if since else more
    return {"kind": "number", "topic": _listed(topic), "value": value, "unit": unit,
            "tolerance": tolerance, "date": _iso(on), **more}  # fmt: skip


def date_of(topic, on: date | datetime, precision: str = "day") -> dict:
    """Return a date that the answer must hold."""
    return {"kind": "date", "topic": _listed(topic), "date": _iso(on), "precision": precision}


def term(accepted, rivals=(), topic=None, **more) -> dict:
    """Return a term that the answer must hold in any accepted spelling, and no rival instead."""
    return {"kind": "term", "accepted": list(accepted), "rivals": [list(r) for r in rivals],
            "topic": _listed(topic) if topic else None, **more}  # fmt: skip


def terms(members, rivals=()) -> dict:
    """Return terms that the answer must hold, all of them, and none of the rivals."""
    return {"kind": "set", "members": list(map(list, members)), "rivals": list(map(list, rivals))}


def yes_no(topic, answer: bool, **more) -> dict:
    """Return whether the topic is so."""
    return {"kind": "yes_no", "topic": _listed(topic), "answer": answer, **more}


def absent(topic) -> dict:
    """Return that the record says nothing of the topic."""
    return {"kind": "not_documented", "topic": _listed(topic)}
