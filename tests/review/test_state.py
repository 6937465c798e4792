"""Actions amount to the present judgement of each item."""

import time

import pytest

from medalign_utils.errors import MedAlignError
from medalign_utils.review.state import (
    check_action,
    counting_lines,
    last_to_undo,
    replay,
    seconds_after,
    submissions,
)


def lines_of(*actions, session="s"):
    """Return lines of a journal: each action is (action, response, value), a second apart."""
    lines = []
    for n, (action, *rest) in enumerate(actions, 1):
        response, value = [*rest, None, None][:2]
        check_action({"item": "R1-001", "action": action, "response": response, "value": value})
        stamp = f"2026-01-01T00:00:{n % 60:02d}.000+00:00"
        lines.append(
            {"n": n, "time": stamp, "clock": float(n), "session": session, "id": str(n)}
            | {"item": "R1-001", "action": action, "response": response, "value": value}
        )
    return lines


def judged(*actions):
    return replay(lines_of(*actions))["R1-001"]


def test_the_last_verdict_counts_and_none_withdraws_it():
    judgement = judged(
        ("open",), ("verdict", "A", "correct"), ("verdict", "B", "unsure"),
        ("verdict", "A", "incorrect"), ("harm", "A", "mild"), ("verdict", "B", None),
    )  # fmt: skip
    assert judgement.opened and judgement.verdicts == {"A": "incorrect"}
    assert judgement.harm == {"A": "mild"} and judgement.n_changes == 2


def test_undo_takes_back_and_undoing_it_restores():
    actions = [("verdict", "A", "correct"), ("verdict", "A", "incorrect"), ("undo", None, 2)]
    assert judged(*actions).verdicts == {"A": "correct"}
    assert judged(*actions, ("undo", None, 3)).verdicts == {"A": "incorrect"}
    assert judged(*actions, ("undo", None, 1)).verdicts == {}
    assert last_to_undo(lines_of(*actions))["n"] == 1
    assert [line["n"] for line in counting_lines(lines_of(*actions))] == [1, 3]


def test_marks_are_replaced_and_removed_by_their_place():
    mark = {"start": 3, "end": 9, "kind": "wrong"}
    other = {"start": 0, "end": 2, "kind": "unsupported"}
    place = {"start": 3, "end": 9}
    assert judged(("mark", "A", mark), ("mark", "A", other)).marks == {"A": [other, mark]}
    again = mark | {"kind": "unsupported"}
    assert judged(("mark", "A", mark), ("mark", "A", again)).marks == {"A": [again]}
    assert judged(("mark", "A", mark), ("unmark", "A", place)).marks == {}


def test_an_item_is_complete_with_verdicts_and_ranks():
    judgement = judged(("verdict", "A", "correct"))
    assert judgement.missing("A") == []
    assert judgement.missing("AB") == ["a verdict on B", "a rank of A", "a rank of B"]
    judgement = judged(
        ("verdict", "A", "correct"), ("verdict", "B", "unsure"), ("verdict", "C", "incorrect"),
        ("rank", None, [["A"], [], ["C"]]),
    )  # fmt: skip
    assert judgement.rank == [["A"], ["C"]] and judgement.missing("ABC") == []


def test_comments_flags_and_references():
    judgement = judged(
        ("comment", "A", "x"), ("comment", None, "of the item"), ("comment", "A", ""),
        ("flag", None, "which admission?"), ("show_reference",), ("done",), ("reopen",),
        ("reference", None, "1.1"), ("evidence", None, [{"event": 3, "quote": "1.1"}]),
    )  # fmt: skip
    assert judgement.comments == {"": "of the item"} and judgement.flag == "which admission?"
    assert judgement.reference_seen and not judgement.done and judgement.done_at
    assert judgement.reference == "1.1" and judgement.evidence[0]["event"] == 3
    assert judgement.n_actions == len(judgement.history) == 9


def test_withdrawn_undone_and_unfinished_submissions_do_not_count():
    asked = {"specialty": "Cardiology", "instruction": "Which statin?"}
    submit = [("submission", None, asked), ("done",)]
    lines = lines_of(*submit, *submit, *submit, submit[0])
    for line, item in zip(lines, "aabbccd", strict=True):
        line["item"] = item
    assert [s["item"] for s in submissions(lines)] == ["a", "b", "c"]
    lines += lines_of(("submission", None, None), ("undo", None, 6))
    for n, (line, item) in enumerate(zip(lines[7:], "bc", strict=True), 8):
        line |= {"n": n, "item": item}
    assert submissions(lines) == [{"item": "a"} | asked]


def test_a_reference_is_the_last_one_and_may_be_that_there_is_none():
    evidence = [{"event": 3, "quote": "", "text": "Note of 01/02/2015"}]
    lines = lines_of(("reference", None, "N"), ("reference", None, "No."))
    lines += lines_of(("evidence", None, evidence), ("unanswerable", None, True))
    for n, line in enumerate(lines, 1):
        line["n"] = n
    judgement = replay(lines)["R1-001"]
    assert (judgement.reference, judgement.evidence) == ("No.", evidence)
    assert judgement.unanswerable


def test_pauses_and_closed_tabs_are_no_time():
    lines = lines_of(("open",), ("verdict", "A", "correct"), ("pause",), ("resume",), ("done",))
    for line, clock in zip(lines, (0, 10, 20, 5000, 6000), strict=True):
        line["clock"] = float(clock)
    assert seconds_after(lines) == [10, 10, 0, 300, 0]  # 1000 s without an action: 300
    assert replay(lines)["R1-001"].seconds == 320
    # The next day, a new session's clock begins again.
    later = {"session": "t", "time": "2026-01-02T00:00:00.000+00:00", "clock": 0.5}
    assert seconds_after([*lines, lines[0] | later | {"n": 6}]) == [10, 10, 0, 300, 0, 0]


def test_two_tabs_do_not_count_time_twice_nor_a_clock_set_back():
    lines = lines_of(*[("open",)] * 4)
    for line, second in zip(lines, (10, 20, 30, 25), strict=True):
        line["time"] = f"2026-01-01T00:00:{second}.000+00:00"
    lines[1]["session"] = lines[3]["session"] = "t"
    assert seconds_after(lines) == [0, 10, 0, 0]


@pytest.mark.parametrize(
    "action",
    [
        {"action": "verdict", "value": "correct"},
        {"action": "verdict", "response": "A", "value": "right"},
        {"action": "rank", "value": [["A"], ["A"]]},
        {"action": "rank", "value": "AB"},
        {"action": "mark", "response": "A", "value": {"start": 2, "end": 1, "kind": "wrong"}},
        {"action": "mark", "response": "A", "value": None},
        {"action": "undo", "value": "3"},
        {"action": "comment", "value": None},
        {"action": "submission", "value": {"specialty": "x"}},
        {"action": "comment", "value": "x", "item": 3},
        {"action": "comment", "value": "x", "time": "now"},
        {"action": ["open"]},
    ],
)
def test_an_action_that_replay_does_not_know_is_refused(action):
    with pytest.raises(MedAlignError, match=r"^action"):
        check_action(action)


def test_10000_lines_are_replayed_within_half_a_second():
    lines = lines_of(*[("verdict", "ABCDEF"[i % 6], "correct") for i in range(10_000)])
    began = time.perf_counter()
    replay(lines)
    assert time.perf_counter() - began < 0.5


def test_an_empty_journal_has_no_judgements():
    assert replay([]) == {} and last_to_undo([]) is None
