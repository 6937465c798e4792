"""Which of several topics a value belongs to: the reaction to latex, the relative with glaucoma."""

import re
from collections.abc import Sequence
from itertools import pairwise

from medalign_utils.grading.spelling import Mention

_GROUP_END = re.compile(r"[;|\n]|[.!?]\s")
_CLAUSE_END = re.compile(r"(?i),|\b(?:and|but|while|whereas|because|y|pero|mientras)\b")


_REASON = re.compile(r"(?i)because\b")


def _cut(pattern: re.Pattern, start: int, end: int, text: str) -> list[tuple[int, int]]:
    cuts = [match.start() for match in pattern.finditer(text, start, end)]
    return list(pairwise([start, *cuts, end]))


def _clauses_around(text: str, place: int) -> tuple[list[tuple[int, int]], int]:
    """Return the clauses of the group that contains `place`, and the number of its own clause."""
    start, end = next((a, b) for a, b in _cut(_GROUP_END, 0, len(text), text) if place < b)
    clauses = _cut(_CLAUSE_END, start, end, text)
    return clauses, next(n for n, (_, b) in enumerate(clauses) if place < b)


def _nearest(text: str, place: int, candidates: Sequence[Mention]) -> list[Mention]:
    """Return the candidates in the clause of `place`, or else in the closest before or after it."""
    clauses, own = _clauses_around(text, place)
    for a, b in [clauses[own], *reversed(clauses[:own]), *clauses[own + 1 :]]:
        if found := [c for c in candidates if a <= c.start < b]:
            return found
    return []


def belongs(
    text: str,
    value: Mention,
    values: Sequence[Mention],
    topics: Sequence[Mention],
    others: Sequence[Mention],
) -> bool | None:
    """Return whether `value` belongs to one of the `topics` rather than to one of the `others`.

    A clause without a topic continues the one before, and so does one without a value:
    "latex and codeine cause hives", "her mother had a stroke and glaucoma". None if the text
    names no topic at all.
    """
    if not topics and not others:
        return None
    near = _nearest(text, value.start, [*topics, *others])
    clauses, own = _clauses_around(text, value.start)
    start, end = clauses[own]
    if _REASON.match(text, start) and near and not any(t in topics for t in near):
        if all(start <= other.start < end for other in near):
            return False  # "pantoprazole, because omeprazole had caused bloating"
    if not near or any(topic in topics for topic in near):
        return bool(near) or None
    return any(value in _nearest(text, topic.start, values) for topic in topics)
