import errno
import fcntl
import logging
import multiprocessing
import stat
import threading
import time

import pytest

from medalign_utils.__main__ import main
from medalign_utils.data import store as store_module
from medalign_utils.data.store import Store, is_locked, locked, read_lines
from medalign_utils.errors import MedAlignError


@pytest.fixture
def path(tmp_path):
    return tmp_path / "new" / "a.jsonl"


def test_values_are_found_again_and_the_last_one_of_a_key_counts(path):
    store = Store(path, private=False)
    assert not path.parent.exists() and len(store) == 0 and store.get("a") is None
    store.put("a", {"text": "one\u2028é\n"})
    store.put("b", {"text": ""})
    store.put("a", {"text": "two"})
    for again in (store, Store(path, private=False)):
        assert dict(again) == {"a": {"text": "two"}, "b": {"text": ""}}
    assert path.read_bytes().count(b"\n") == 3


@pytest.mark.parametrize("left", [0, 1, -1, -2])
def test_a_torn_last_line_is_dropped_or_ended(path, caplog, left):
    for key in "ab":
        Store(path, private=False).put(key, {"x": key})
    first, second = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + (second[:left] if left else b""))
    # Another job's file is read up to the torn line, and not changed.
    found = {"a", "b"} if left == -1 else {"a"}
    before = path.read_bytes()
    other = Store(path.with_name("b.jsonl"), private=False, readable=[path])
    assert set(other) == found and path.read_bytes() == before and caplog.text == ""
    with caplog.at_level(logging.WARNING):
        store = Store(path, private=False)
    assert set(store) == found
    assert ("dropped an incomplete last line" in caplog.text) == (left in (1, -2))
    store.put("c", {"x": "c"})
    assert set(Store(path, private=False)) == found | {"c"}


@pytest.mark.parametrize("damage", ["{", "[]", '{"x": 1}', "[" * 100_000, "\0\0\0"])
def test_a_damaged_line_is_named(path, damage):
    Store(path, private=False).put("a", {})
    path.write_text(damage + "\n" + path.read_text())
    with pytest.raises(MedAlignError, match=r"a\.jsonl, line 1: expected a JSON object with key"):
        Store(path, private=False)
    path.write_text('{"key": "a"}\n{"key": ')
    with pytest.raises(MedAlignError, match="line 2: "):
        read_lines(path, {"key"})


def test_own_lines_take_precedence_over_those_of_other_jobs(path):
    other = path.with_name("b.jsonl")
    Store(path, private=False).put("a", {"x": 1})
    Store(other, private=False).put("a", {"x": 2})
    Store(other, private=False).put("b", {"x": 3})
    store = Store(path, private=False, readable=[other, path.with_name("none.jsonl")])
    assert dict(store) == {"a": {"x": 1}, "b": {"x": 3}}


def test_only_its_owner_can_read_a_private_store(path):
    Store(path, private=False).put("a", {})
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    new = path.with_name("b.jsonl")
    Store(new, private=True).put("a", {})
    Store(path, private=True)
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(new.stat().st_mode) == 0o600


def test_a_damaged_store_is_repaired_by_the_command_that_the_error_names(path, capsys):
    Store(path, private=True).put("a", {"x": 1})
    with path.open("a") as file:
        file.write('{"key": "b", "x": \n' + "[" * 100_000 + "\n")
    Store(path.with_name("b.jsonl"), private=True).put("c", {"x": 3})
    with path.open("a") as file:
        file.write(path.with_name("b.jsonl").read_text())
    with pytest.raises(MedAlignError) as caught:
        Store(path, private=True)
    command = str(caught.value).partition("`python -m medalign_utils ")[2].partition("`")[0]
    with locked(path.with_suffix(".lock"), private=True):
        assert main(command.split()) == 2
    assert "a run is writing to it" in capsys.readouterr().err
    assert main(command.split()) == 0
    assert "2 damaged lines" in capsys.readouterr().out
    assert dict(Store(path, private=True)) == {"a": {"x": 1}, "c": {"x": 3}}
    damaged = path.with_name(f"{path.name}.damaged")
    assert damaged.read_text().count("\n") == 2
    assert {stat.S_IMODE(file.stat().st_mode) for file in (path, damaged)} == {0o600}
    assert main(command.split()) == 0  # nothing is left to repair


def test_lines_whose_key_is_no_text_are_damaged_and_set_aside(path):
    Store(path, private=False).put("a", {"x": 1})
    with path.open("a") as file:
        file.write('{"key": ["b"]}\n{"instruction_id": {"c": 1}}\n{"key": null}\n')
    with pytest.raises(MedAlignError, match="line 2: expected a JSON object with key"):
        Store(path, private=False)
    assert main(["repair", str(path)]) == 0
    assert dict(Store(path, private=False)) == {"a": {"x": 1}}
    assert path.with_name(f"{path.name}.damaged").read_text().count("\n") == 3


def _put_many(path, name):
    store = Store(path, private=False)
    for number in range(200):
        store.put(f"{name}{number}", {"text": name * 20_000})


def test_two_processes_that_write_to_one_file_mix_no_lines(path):
    Store(path, private=False).put("0", {})
    processes = [multiprocessing.Process(target=_put_many, args=(path, name)) for name in "ab"]
    for process in processes:
        process.start()
    while any(process.is_alive() for process in processes):
        Store(path, private=False)  # mends an incomplete last line, but not one under way
    assert [process.exitcode for process in processes] == [0, 0]
    assert len(Store(path, private=False)) == 401


def _hold(file, is_held):
    with locked(file, private=False):
        is_held.set()
        time.sleep(60)


def test_a_lock_ends_with_its_process_and_says_who_holds_it(path, caplog):
    file = path.with_suffix(".lock")
    spawn = multiprocessing.get_context("spawn")
    is_held = spawn.Event()
    holder = spawn.Process(target=_hold, args=(file, is_held))
    holder.start()
    assert is_held.wait(60) and is_locked(file)
    threading.Timer(0.3, holder.kill).start()
    with caplog.at_level(logging.WARNING), locked(file, private=False):
        assert is_locked(file)
    assert f"waiting, because process {holder.pid} on " in caplog.text
    assert not is_locked(file) and file.read_text() == ""
    holder.join()


def test_a_file_system_without_shared_locks_is_refused(path, monkeypatch, tmp_path):
    file = path.with_suffix(".lock")
    mounts = tmp_path / "mounts"
    monkeypatch.setattr(store_module, "_MOUNTS", mounts)
    for kind, options, fault in [
        ("nfs4", "rw,local_lock=all", "mounted with local_lock=all"),
        ("nfs", "rw,nolock", "mounted with nolock"),
        ("lustre", "rw,localflock", "mounted with localflock"),
        ("fuse.sshfs", "rw", "does not share locks between machines"),
        ("nfs4", "rw,local_lock=none", None),
        ("ext4", "rw", None),
    ]:
        mounts.write_text(f"/dev/x / ext4 rw 0 0\nx {path.parent.parent} {kind} {options} 0 0\n")
        if fault:
            with pytest.raises(MedAlignError, match=fault), locked(file, private=False):
                pass
        else:
            with locked(file, private=False):
                pass

    def fails(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", fails)
    with pytest.raises(MedAlignError, match="has no locks"), locked(file, private=False):
        pass


def test_an_answer_key_is_not_repaired(tmp_path, capsys):
    (tmp_path / "answer-key.jsonl").write_text('{"instruction_id": "1"}\n{\n')
    assert main(["repair", str(tmp_path / "answer-key.jsonl")]) == 2
    assert "a table of a release" in capsys.readouterr().err


@pytest.mark.parametrize(
    "name", ["hostname", "notes.jsonl", "clinician-instruction-responses.jsonl"]
)
def test_a_file_that_is_none_of_a_run_is_not_repaired(tmp_path, name):
    file = tmp_path / name
    content = '{"instruction_id": "1"}\n' * 2 if name.startswith("clin") else "some text\n"
    file.write_text(content)
    assert main(["repair", str(file)]) == 2
    assert file.read_text() == content and [*tmp_path.iterdir()] == [file]
