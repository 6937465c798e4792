"""What a rater's actions amount to: the present judgement of each item.

Actions are lines of a journal (`review.journal`). The order is that of n, never that of the times,
because a computer's clock may be set back.
"""

import datetime
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from medalign_utils.errors import MedAlignError

MODES = ("judge", "reference", "submit")  # what raters do, by the plan
WHEN_REFERENCE = ("after", "before", "never")  # raters see the reference
VERDICTS = ("correct", "incorrect", "unsure")
HARMS = ("none", "mild", "severe")
MARKS = ("wrong", "unsupported")
LONGEST_GAP = 300.0  # seconds without an action that count as time spent

Line = Mapping[str, Any]


@dataclass
class Judgement:
    """What a rater has said of one item; what was undone does not count.

    Attributes:
        verdicts, harm: by letter, among `VERDICTS` and `HARMS`.
        marks: by letter, the marked parts of a response: start, end (characters) and kind.
        comments: by letter, or by "" about the item.
        rank: letters, the best first; those in one list are tied.
        flag: why the rater wants to discuss the item, or None.
        reference, evidence: what the rater wrote and marked in the mode `reference`.
        unanswerable: whether the record cannot answer the instruction, in the same mode.
        submission: specialty and instruction in the mode `submit`; None if withdrawn.
        seconds: time spent, without pauses; of a gap without actions, at most `LONGEST_GAP`.
        n_actions: number of lines, with those undone.
        n_changes: how often a given verdict, harm or rank was replaced by another.
        done_at: time of the last `done`, as its line has it, or None.
        history: all its lines.
    """

    opened: bool = False
    done: bool = False
    verdicts: dict[str, str] = field(default_factory=dict)
    harm: dict[str, str] = field(default_factory=dict)
    marks: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    comments: dict[str, str] = field(default_factory=dict)
    rank: list[list[str]] = field(default_factory=list)
    flag: str | None = None
    reference_seen: bool = False
    reference: str | None = None
    evidence: list[dict[str, Any]] = field(default_factory=list)
    unanswerable: bool = False
    submission: dict[str, str] | None = None
    seconds: float = 0.0
    n_actions: int = 0
    n_changes: int = 0
    done_at: str | None = None
    history: list[Line] = field(default_factory=list)

    def missing(self, letters: Collection[str]) -> list[str]:
        """Return what is missing before the item can be done, such as "a verdict on B".

        Every response needs a verdict; and a rank, unless it cannot be judged or is the only one.
        """
        lacks = [f"a verdict on {letter}" for letter in letters if letter not in self.verdicts]
        ranked = {letter for tied in self.rank for letter in tied}
        judged = [letter for letter in letters if self.verdicts.get(letter) != "unsure"]
        unranked = [letter for letter in judged if letter not in ranked and len(judged) > 1]
        return lacks + [f"a rank of {letter}" for letter in unranked]


def replay(lines: Sequence[Line]) -> dict[str, Judgement]:
    """Return the present judgement of each item that a line names, in order of first mention."""
    counting = {line["n"] for line in counting_lines(lines)}
    judgements: dict[str, Judgement] = {}
    for line, seconds in zip(lines, seconds_after(lines), strict=True):
        if line["item"] is None:
            continue
        judgement = judgements.setdefault(line["item"], Judgement())
        judgement.history.append(line)
        judgement.n_actions += 1
        judgement.seconds += seconds
        if line["n"] in counting:
            _apply(judgement, line["action"], line["response"], line["value"], line["time"])
    return judgements


def counting_lines(lines: Sequence[Line]) -> list[Line]:
    """Return the lines that were not undone; undoing an `undo` makes its line count again."""
    undone, counting = set(), []
    for line in reversed(lines):
        if line["n"] in undone:
            continue
        if line["action"] == "undo":
            undone.add(line["value"])
        counting.append(line)
    return counting[::-1]


def last_to_undo(lines: Sequence[Line], item: str | None = None) -> Line | None:
    """Return the last line that changed a judgement and still counts: what Undo would undo.

    With `item`, of this item.
    """
    for line in reversed(counting_lines(lines)):
        if line["action"] in _UNDOABLE and item in (None, line["item"]):
            return line
    return None


def submissions(lines: Sequence[Line]) -> list[dict[str, str]]:
    """Return the instructions that a rater has submitted, in order: item, specialty, instruction.

    Those withdrawn do not count, nor drafts, which are not `done`.
    """
    submitted = {item: judgement for item, judgement in replay(lines).items() if judgement.done}
    return [{"item": item} | j.submission for item, j in submitted.items() if j.submission]


def seconds_after(lines: Sequence[Line]) -> list[float]:
    """Return the time spent after each line until the next one, in seconds.

    Nothing counts while paused, or between the last action and a new session: the page was closed.
    The monotonic clock counts within a session; between two tabs, the time of day.
    """
    spent, seen = [], set()
    for line, following in zip(lines, [*lines, None][1:], strict=True):
        seen.add(line["session"])
        gap = 0.0
        if following is not None and line["action"] != "pause":
            if following["session"] == line["session"]:
                gap = following["clock"] - line["clock"]
            elif following["session"] in seen:
                times = (datetime.datetime.fromisoformat(x["time"]) for x in (line, following))
                start, end = times
                gap = (end - start).total_seconds()
        spent.append(min(max(gap, 0.0), LONGEST_GAP))
    return spent


def check_action(action: Mapping[str, Any]) -> None:
    """Check an action before it is written: item, action, response and value.

    Raises:
        MedAlignError: it is not one that `replay` knows; the message never quotes a text.
    """
    if unknown := set(action) - {"id", "item", "action", "response", "value"}:
        raise MedAlignError(f"action: unknown key {min(map(str, unknown))!r}")
    name = action.get("action")
    if not isinstance(name, str) or name not in _ACTIONS:
        raise MedAlignError(f"action: {str(name)[:20]!r}, expected one of {', '.join(_ACTIONS)}")
    for key in ("id", "item", "response"):
        if not isinstance(action.get(key), str | None):
            raise MedAlignError(f"action {name}: {key} is not text")
    needs_response, is_right = _ACTIONS[name]
    if needs_response and not action.get("response"):
        raise MedAlignError(f"action {name}: no response")
    try:
        if is_right(action.get("value")):
            return
    except (TypeError, KeyError, AttributeError):
        pass
    raise MedAlignError(f"action {name}: its value is not one of those that replay knows")


def _is_none(value: Any) -> bool:
    return value is None


def _one_of(*values: str) -> Callable[[Any], bool]:
    return lambda value: value is None or value in values


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_text_or_none(value: Any) -> bool:
    return value is None or isinstance(value, str)


def _is_span(value: Any) -> bool:
    whole = type(value["start"]) is type(value["end"]) is int
    return whole and 0 <= value["start"] < value["end"]


def _is_rank(value: Any) -> bool:
    letters = [letter for tied in value for letter in tied]
    is_lists = isinstance(value, list) and all(isinstance(tied, list) for tied in value)
    return is_lists and all(map(_is_text, letters)) and len(set(letters)) == len(letters)


def _is_evidence(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(part, dict) for part in value)


def _is_submission(value: Any) -> bool:
    return value is None or (_is_text(value["specialty"]) and _is_text(value["instruction"]))


# Action -> whether it is about one response, and whether a value is right.
_ACTIONS: dict[str, tuple[bool, Callable[[Any], bool]]] = {
    "open": (False, _is_none),
    "verdict": (True, _one_of(*VERDICTS)),
    "harm": (True, _one_of(*HARMS)),
    "mark": (True, lambda value: _is_span(value) and value["kind"] in MARKS),
    "unmark": (True, _is_span),
    "comment": (False, _is_text),
    "rank": (False, _is_rank),
    "flag": (False, _is_text_or_none),
    "show_reference": (False, _is_none),
    "pause": (False, _is_none),
    "resume": (False, _is_none),
    "done": (False, _is_none),
    "reopen": (False, _is_none),
    "undo": (False, lambda value: type(value) is int and value > 0),
    "reference": (False, _is_text),
    "evidence": (False, _is_evidence),
    "unanswerable": (False, lambda value: isinstance(value, bool)),
    "submission": (False, _is_submission),
}
_UNDOABLE = set(_ACTIONS) - {"open", "show_reference", "pause", "resume", "undo"}


def _apply(judgement: Judgement, action: str, response: str | None, value: Any, time: str) -> None:
    match action:
        case "open":
            judgement.opened = True
        case "verdict" | "harm":
            given = judgement.verdicts if action == "verdict" else judgement.harm
            judgement.n_changes += given.get(response, value) != value
            _set(given, response, value)
        case "mark" | "unmark":
            span = (value["start"], value["end"])
            marks = judgement.marks.get(response, [])
            marks = [mark for mark in marks if (mark["start"], mark["end"]) != span]
            marks += [dict(value)] * (action == "mark")
            _set(judgement.marks, response, sorted(marks, key=lambda mark: mark["start"]))
        case "comment":
            _set(judgement.comments, response or "", value)
        case "rank":
            rank = [list(tied) for tied in value if tied]
            judgement.n_changes += judgement.done and rank != judgement.rank
            judgement.rank = rank
        case "flag":
            judgement.flag = value
        case "show_reference":
            judgement.reference_seen = True
        case "done" | "reopen":
            judgement.done = action == "done"
            judgement.done_at = time if judgement.done else judgement.done_at
        case "reference":
            judgement.reference = value
        case "evidence":
            judgement.evidence = list(value)
        case "submission":
            judgement.submission = value and dict(value)
        case "unanswerable":
            judgement.unanswerable = value


def _set(values: dict[str, Any], key: str, value: Any) -> None:
    """Set a value, or remove it where the value says nothing."""
    if value in (None, "", []):
        values.pop(key, None)
    else:
        values[key] = value


def average_ranks(rank: Iterable[Sequence[str]]) -> dict[str, float]:
    """Return the rank of each of those ranked: 1 is best, ties share their average.

    >>> average_ranks([["A"], ["C", "B"]])
    {'A': 1.0, 'C': 2.5, 'B': 2.5}
    """
    ranks, before = {}, 0
    for tied in rank:
        ranks |= dict.fromkeys(tied, before + (len(tied) + 1) / 2)
        before += len(tied)
    return ranks
