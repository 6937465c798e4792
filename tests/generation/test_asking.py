"""Runs over servers that fail, and what a run of other settings leaves of an earlier one."""

import json
from collections import Counter

import pytest

from medalign_utils.data.release import load_release
from medalign_utils.data.responses import read_responses
from medalign_utils.errors import IncompleteError
from medalign_utils.generation import openai_api
from medalign_utils.generation.registry import GENERATORS, Failure, Generation, Generator
from medalign_utils.generation.runner import run_system
from tests.builders.chat_server import ChatServer, Reply, completion
from tests.builders.run_folder import kept
from tests.builders.tiny_release import write_many, write_release
from tests.generation.test_openai_api import plan


def served(port, **more):
    return {
        "generator": "openai",
        "model": "m",
        "base_url": f"http://127.0.0.1:{port}/v1",
        "concurrency": 32,
        "context_length": None,
        "format": "lines",
        "tokenizer": "minilm",
    } | more


def test_1000_instructions_over_a_faulty_server(tmp_path, monkeypatch):
    monkeypatch.setattr(openai_api, "BACKOFF_S", 0.005)
    release = load_release(write_many(tmp_path / "release", 1000))
    ids = set(release.references["instruction_id"])
    path = tmp_path / "run" / "m.jsonl"
    attempts = Counter()
    faulty = True

    def reply(request):
        attempts[request.prompt] += 1
        if not faulty:
            return Reply(completion("good"))
        return plan(1, request.prompt[-20:], attempts[request.prompt])

    with ChatServer(reply) as server:
        settings = served(server.port, attempts=3, timeout_s=1)
        with pytest.raises(IncompleteError) as caught:
            run_system(release, settings, path, progress=False)
        failures = kept(path, "failures.jsonl")
        failed = [json.loads(line) for line in failures.read_text().splitlines()]
        finished = read_responses(kept(path))
        # Each is a response or a recorded failure, once.
        outcomes = [*finished["instruction_id"], *(row["instruction_id"] for row in failed)]
        assert len(outcomes) == 1000 and set(outcomes) == ids
        assert 30 < len(failed) < 500 and all(row["reason"] for row in failed)
        assert f"{len(failed)} of 1000 instructions have no response yet" in str(caught.value)
        faulty = False
        asked_before = attempts.total()
        responses = run_system(release, settings, path, progress=False)
        assert attempts.total() - asked_before == len(failed)
    assert len(responses) == 1000 and set(responses["instruction_id"]) == ids
    same = responses.set_index("instruction_id").loc[finished["instruction_id"], "response"]
    assert same.tolist() == finished["response"].tolist()
    assert not failures.exists()


def test_as_many_requests_are_under_way_as_asked_for(tmp_path):
    release = load_release(write_many(tmp_path / "release", 40))
    with ChatServer(lambda _: Reply(completion("yes"), after=2)) as server:
        settings = served(server.port, concurrency=32)
        run_system(release, settings, tmp_path / "m.jsonl", progress=False)
    arrived = sorted(request.arrived for request in server.requests)
    # The first 32 before any of them was answered, the 33rd when one was.
    assert len(arrived) == 40
    assert arrived[31] < arrived[0] + 2 <= arrived[32]


@pytest.fixture
def answering(monkeypatch):
    """Generators of one name whose answer, or failure, the test sets."""
    outcome = {"now": Generation("first", "stop", 1)}
    asked = []

    def factory(*, mode="a", concurrency=1):
        def answer(prompts):
            asked.extend(prompts)
            return [outcome["now"] for _ in prompts]

        return Generator(answer, concurrency=concurrency)

    monkeypatch.setitem(GENERATORS, "answering", factory)
    return outcome, asked


def test_each_set_of_settings_keeps_its_responses(tmp_path, answering, caplog):
    outcome, asked = answering
    release = load_release(write_release(tmp_path / "release"))
    path = tmp_path / "run" / "m.jsonl"
    system = {
        "generator": "answering", "mode": "a", "context_length": 2048, "format": "lines",
        "tokenizer": "minilm",
    }  # fmt: skip
    first = run_system(release, system, path, progress=False)
    # Where it runs and what it costs change no response.
    same = {"concurrency": 2, "label": "M", "price_per_million": {"input": 1, "output": 1}}
    run_system(release, system | same, path, progress=False)
    assert len(asked) == 3 and caplog.text == ""
    earlier = kept(path)
    outcome["now"] = Generation("second", "stop", 1)
    other = system | {"mode": "b", "context_length": 4096}
    second = run_system(release, other, path, progress=False)
    assert set(second["response"]) == {"second"} and len(asked) == 6
    for part in (
        "starting over, because system.context_length is 4096 and was 2048",
        "system.mode is 'b' and was 'a'",
        f"what was there stays in {earlier.parent}",
    ):
        assert part in caplog.text
    again = run_system(release, system, path, progress=False)
    assert again.equals(first) and len(asked) == 6
    assert run_system(release, other, path, progress=False).equals(second)
    assert len(asked) == 6
    # Two runs' responses are never in one file.
    files = sorted(path.with_suffix("").glob("*/responses.jsonl"))
    assert [set(read_responses(f)["response"]) for f in files if f != earlier] == [{"second"}]
    assert set(read_responses(earlier)["response"]) == {"first"}


def test_a_failure_is_kept_until_it_is_mended(tmp_path, answering, capsys):
    outcome, asked = answering
    release = load_release(write_release(tmp_path / "release"))
    path = tmp_path / "run" / "m.jsonl"
    system = {
        "generator": "answering", "context_length": None, "format": "lines", "tokenizer": "minilm"
    }  # fmt: skip
    outcome["now"] = Failure("HTTP 500")
    for _ in range(2):
        with pytest.raises(IncompleteError, match=r"m: 3 of 3 .* \(3 x HTTP 500\)"):
            run_system(release, system, path)
    assert "failed=3" in capsys.readouterr().err
    assert len(kept(path, "failures.jsonl").read_text().splitlines()) == 3
    assert not path.exists()
    outcome["now"] = Generation("mended", "stop", 1)
    assert set(run_system(release, system, path, progress=False)["response"]) == {"mended"}
    assert len(asked) == 9
