"""Nothing that the page has called saved is lost or doubled."""

import datetime
import json
import multiprocessing
import os
import random
import resource
import stat
import statistics
import time

import pytest

from medalign_utils.errors import MedAlignError
from medalign_utils.review import journal as module
from medalign_utils.review.folder import plan_file, write_json
from medalign_utils.review.journal import Journal

FORK = multiprocessing.get_context("fork")
COMMENT = {"item": "R1-001", "action": "comment", "response": "A"}


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "reviews" / "mine"


def comment(text, **others):
    return COMMENT | {"value": text} | others


def stored(folder):
    return [json.loads(line) for line in Journal(folder, "R1").file.read_bytes().splitlines()]


def write_until_killed(folder, first, pipe):
    """Append actions from number `first` on, and report each when it is saved."""
    journal = Journal(folder, "R1")
    os.write(pipe, b"ready\n")
    for i in range(first, 10**6):
        journal.append(comment(f"{i} " + "x" * 5000, id=str(i)))
        os.write(pipe, f"{i}\n".encode())


def write_200(folder, name, start):
    journal = Journal(folder, "R1")
    start.wait()
    for i in range(200):
        journal.append(comment(f"{name} {i}", id=f"{name} {i}"))


def test_lines_are_numbered_and_say_who_wrote_them_when(folder):
    journal = Journal(folder, "R1")
    first, second = journal.append(comment("é\u2028\ud800")), journal.append(comment("b"))
    assert [first["n"], second["n"]] == [1, 2] and second["clock"] >= first["clock"]
    assert first["session"] == second["session"] != Journal(folder, "R1").session
    assert datetime.datetime.fromisoformat(first["time"]).tzinfo
    assert stored(folder) == journal.lines == [first, second]


def test_only_the_owner_can_read_a_review(folder):
    folder.parent.mkdir(mode=0o755)
    folder.parent.parent.chmod(0o755)
    journal = Journal(folder, "R1")
    journal.append(comment("a"))
    for path in (folder.parent, *folder.parent.rglob("*")):
        assert not stat.S_IMODE(path.stat().st_mode) & 0o077
    assert stat.S_IMODE(folder.parent.parent.stat().st_mode) == 0o755


def test_an_action_sent_again_is_not_doubled(folder):
    first, other = Journal(folder, "R1"), Journal(folder, "R1")
    line = first.append(comment("a", id="x"))
    assert first.append(comment("a", id="x")) == other.append(comment("a", id="x")) == line
    assert stored(folder) == [line]


def test_a_second_tab_sees_what_the_first_wrote(folder):
    first, second = Journal(folder, "R1"), Journal(folder, "R1")
    assert not second.refresh()
    first.append(comment("a"))
    assert second.refresh() and second.lines == first.lines
    assert second.append(comment("b"))["n"] == 2
    assert first.append(comment("c"))["n"] == 3
    assert [line["value"] for line in first.lines] == ["a", "b", "c"]


@pytest.mark.parametrize("torn", [b'{"n": 2, "ti', b"\0\0\0\0", b"\xff"])
def test_a_torn_last_line_is_moved_aside_and_no_other(folder, torn):
    journal = Journal(folder, "R1")
    line = journal.append(comment("a"))
    with journal.file.open("ab") as file:
        file.write(torn)
    after = Journal(folder, "R1")
    assert after.lines == [line] and journal.file.read_bytes().endswith(torn)
    after.append(comment("b"))
    assert [x["value"] for x in stored(folder)] == ["a", "b"]
    assert journal.file.with_name("journal.jsonl.torn").read_bytes() == torn + b"\n"


def test_a_last_line_that_lacks_only_its_end_is_kept(folder):
    journal = Journal(folder, "R1")
    line = journal.append(comment("a", id="x"))
    os.truncate(journal.file, journal.file.stat().st_size - 1)
    after = Journal(folder, "R1")
    assert after.append(comment("a", id="x")) == line
    assert stored(folder) == [line]


def test_a_damaged_line_in_the_middle_is_an_error_and_stays(folder):
    journal = Journal(folder, "R1")
    journal.append(comment("secret words"))
    content = b'{"secret": 1\n' + journal.file.read_bytes()
    journal.file.write_bytes(content)
    with pytest.raises(MedAlignError, match="line 1: not a line of a journal") as error:
        Journal(folder, "R1")
    assert "secret" not in str(error.value)
    assert journal.file.read_bytes() == content


def test_a_journal_cut_by_somebody_is_an_error(folder):
    journal = Journal(folder, "R1")
    journal.append(comment("a"))
    os.truncate(journal.file, 3)
    with pytest.raises(MedAlignError, match="shorter than before"):
        journal.append(comment("b"))


def test_an_unknown_action_is_not_written(folder):
    journal = Journal(folder, "R1")
    with pytest.raises(MedAlignError, match="expected one of open, verdict"):
        journal.append(comment("a", action="veridct"))
    assert not journal.file.exists()


def test_a_full_disk_leaves_the_journal_as_it_was(folder):
    journal = Journal(folder, "R1")
    journal.append(comment("a"))
    before, limits = journal.file.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 100, limits[1]))
    try:
        with pytest.raises(MedAlignError, match=r"not saved: .*journal.jsonl: File too large"):
            journal.append(comment("b" * 1000, id="x"))
        assert journal.file.read_bytes() == before
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert journal.append(comment("b" * 1000, id="x"))["n"] == 2  # the page sends it again
    assert len(stored(folder)) == 2


def test_a_disk_that_fails_to_sync_has_not_saved(folder, monkeypatch):
    journal = Journal(folder, "R1")
    journal.append(comment("a"))
    before = journal.file.read_bytes()

    def fail(file):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(module.os, "fsync", fail)
    with pytest.raises(MedAlignError, match=r"not saved: .*Input/output error"):
        journal.append(comment("b"))
    assert journal.file.read_bytes() == before and len(journal.lines) == 1


def test_a_clock_set_back_changes_no_order(folder, monkeypatch):
    journal = Journal(folder, "R1")
    journal.append(comment("a"))

    class Earlier(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.datetime(1999, 1, 1, tzinfo=tz)

    monkeypatch.setattr(module.datetime, "datetime", Earlier)
    journal.append(comment("b"))
    lines = Journal(folder, "R1").lines
    assert [line["value"] for line in lines] == ["a", "b"]
    assert lines[1]["time"] < lines[0]["time"] and lines[1]["clock"] >= lines[0]["clock"]


def test_two_writers_at_once_lose_and_double_nothing(folder):
    start = FORK.Event()
    writers = [FORK.Process(target=write_200, args=(folder, name, start)) for name in "ab"]
    for process in writers:
        process.start()
    start.set()
    for process in writers:
        process.join(timeout=60)
    assert [process.exitcode for process in writers] == [0, 0]
    lines = stored(folder)
    assert [line["n"] for line in lines] == list(range(1, 401))
    for name in "ab":
        own = [line["value"] for line in lines if line["value"].startswith(name)]
        assert own == [f"{name} {i}" for i in range(200)]


def test_25_kills_lose_nothing_that_was_saved(folder):
    """A page with one action in flight: killed at any moment, it sends this action again."""
    rng, began, saved, kills = random.Random(1), time.monotonic(), -1, 0
    while kills < 25 and time.monotonic() - began < 20:
        ours, theirs = os.pipe()
        process = FORK.Process(target=write_until_killed, args=(folder, saved + 1, theirs))
        process.start()
        os.close(theirs)
        with os.fdopen(ours) as reports:
            assert reports.readline() == "ready\n"
            time.sleep(rng.uniform(0, 0.03))
            process.kill()  # SIGKILL
            process.join()
            numbers = reports.read().split()
        kills += 1
        saved = int(numbers[-1]) if numbers else saved
        lines = Journal(folder, "R1").lines  # as the next process will read it
        assert len(lines) in (saved + 1, saved + 2)
        assert [line["id"] for line in lines] == [str(i) for i in range(len(lines))]
    assert kills >= 10 and saved > 0


def test_an_action_on_a_former_plan_is_not_saved(folder):
    plan = {"version": 1, "created": "2026-01-01"}
    write_json(plan, plan_file(folder))
    journal = Journal(folder, "R1")
    write_json(plan | {"created": "2026-01-02"}, plan_file(folder))
    with pytest.raises(MedAlignError, match="there is a new plan; open the page again"):
        journal.append(comment("a"))
    assert not journal.file.read_bytes()
    assert Journal(folder, "R1").append(comment("a"))["n"] == 1


def test_an_append_takes_milliseconds(folder):
    journal, seconds = Journal(folder, "R1"), []
    for i in range(50):
        began = time.perf_counter()
        journal.append(comment(f"comment {i}"))
        seconds.append(time.perf_counter() - began)
    assert statistics.median(seconds) < 0.05  # some ms; more on a busy disk


def test_a_journal_without_permission_says_not_saved(folder, monkeypatch):
    journal = Journal(folder, "R1")

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(module.os, "open", refuse)
    with pytest.raises(MedAlignError, match=r"not saved: .*Permission denied"):
        journal.append(comment("a"))
