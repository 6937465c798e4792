import logging
import stat

import pytest

from medalign_utils.data.store import Store, read_lines
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


@pytest.mark.parametrize("damage", ["{", "[]", '{"x": 1}'])
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
