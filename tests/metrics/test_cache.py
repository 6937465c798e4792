import multiprocessing
import sqlite3

import pytest

from medalign_utils.errors import MedAlignError
from medalign_utils.metrics.cache import digest, recall, store


def test_a_score_is_kept_to_the_last_bit(tmp_path):
    path = tmp_path / "runs" / "cache.sqlite"
    assert recall(path, ["a"]) == {}
    store(path, {"a": 0.1 + 0.2, "b": -1e-300}, private=False)
    assert recall(path, ["b", "a", "c"]) == {"a": 0.1 + 0.2, "b": -1e-300}


def test_the_first_score_of_a_key_stands(tmp_path):
    path = tmp_path / "cache.sqlite"
    store(path, {"a": 0.5}, private=False)
    assert store(path, {"a": 0.50001, "b": 1.0}, private=False) == {"a": 0.5, "b": 1.0}
    assert recall(path, ["a"]) == {"a": 0.5}


def test_a_nan_is_not_kept(tmp_path):
    path = tmp_path / "cache.sqlite"
    assert store(path, {"a": float("nan")}, private=False)["a"] != 0
    assert recall(path, ["a"]) == {}


def test_a_private_cache_is_for_its_owner_and_holds_no_text(tmp_path):
    path = tmp_path / "cache.sqlite"
    store(path, {digest("chrf", "What was the creatinine?", "1.4"): 0.5}, private=True)
    assert path.stat().st_mode & 0o777 == 0o600
    assert b"creatinine" not in path.read_bytes()
    with sqlite3.connect(path) as connection:
        [(key, score)] = connection.execute("SELECT * FROM scores")
    assert len(key) == 64 and set(key) <= set("0123456789abcdef") and score == 0.5


def test_a_digest_tells_where_one_text_ends_and_what_is_absent():
    assert len({digest("ab", "c"), digest("a", "bc"), digest("abc"), digest("", "abc")}) == 4


def test_a_file_that_is_no_cache_is_named(tmp_path):
    path = tmp_path / "cache.sqlite"
    path.write_text("not a database, and long enough to be read as one" * 20)
    with pytest.raises(MedAlignError, match=r"cache\.sqlite: not usable as a cache of scores"):
        recall(path, ["a"])


def write_many(path, job):
    for i in range(30):
        store(path, {f"{j}": float(job) for j in range(i, i + 5)}, private=False)


def test_two_jobs_at_once_agree(tmp_path):
    path = tmp_path / "cache.sqlite"
    jobs = [
        multiprocessing.get_context("spawn").Process(target=write_many, args=(path, job))
        for job in (1, 2)
    ]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
        assert job.exitcode == 0
    scores = recall(path, [f"{j}" for j in range(34)])
    assert len(scores) == 34 and set(scores.values()) <= {1.0, 2.0}
    write_many(path, 3)
    assert recall(path, scores) == scores
