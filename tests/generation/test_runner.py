"""Runs that end, are killed, fail or are split into shards, and what they keep."""

import dataclasses
import json
import logging
import multiprocessing
import os
import random
import signal
import threading
import time
from collections import Counter

import pandas as pd
import pytest

from medalign_utils import __version__, paths
from medalign_utils.__main__ import main
from medalign_utils.data.limit import limited
from medalign_utils.data.release import instructions_to_answer, load_release
from medalign_utils.data.responses import RESPONSE_COLUMNS, read_responses
from medalign_utils.data.store import locked
from medalign_utils.errors import (
    EHRError,
    IncompleteError,
    MedAlignError,
    ParamsError,
    PromptError,
    ReleaseError,
)
from medalign_utils.explorer.widget import NO_RATINGS, Explorer
from medalign_utils.generation import run_store, runner, tasks
from medalign_utils.generation.base import Failure, Generation, Generator
from medalign_utils.generation.cost import plan_system
from medalign_utils.generation.registry import GENERATORS
from medalign_utils.generation.runner import run_system, shard_of
from medalign_utils.prompts import context
from medalign_utils.prompts.tokenizers import PromptTokenizer, load_tokenizer
from medalign_utils.synthetic import write_release as synthesize
from tests.builders.chat_server import ChatServer, Reply, chunk, completion, error, stream
from tests.builders.run_folder import forget, kept, stored
from tests.builders.tiny_release import QUESTIONS, edit, write_many, write_release

SYSTEM = {
    "generator": "bm25_passage",
    "context_length": 2048,
    "strategy": "truncate",
    "format": "lines",
    "tokenizer": "minilm",
}
ANSWERING = SYSTEM | {"generator": "answering"}
# By patient ("007" < "40"), then in the release's order.
ORDER = ["02", "3", "5479314876123"]


@pytest.fixture
def folder(tmp_path):
    return write_release(tmp_path / "release")


@pytest.fixture
def many(tmp_path):
    return load_release(write_many(tmp_path / "release", 10))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "runs" / "bm25-2k.v1.jsonl"


@pytest.fixture
def answering(monkeypatch):
    """Return a generator with outcomes set by instruction, or for all by None, and its log."""
    outcomes: dict = {None: Generation("first\u2028é\n", "stop", 1)}
    asked = []

    def factory(*, mode="a", model=None, concurrency=1, batch_size=1):
        def answer(prompts):
            questions = [prompt.instruction for prompt in prompts]
            found = [outcomes.get(question, outcomes[None]) for question in questions]
            if KeyboardInterrupt in found:
                raise KeyboardInterrupt
            asked.extend(questions)
            return found

        return Generator(answer, batch_size, concurrency)

    monkeypatch.setitem(GENERATORS, "answering", factory)
    return outcomes, asked


def run(folder, path, **system):
    return run_system(load_release(folder), ANSWERING | system, path, progress=False)


def files(path):
    return sorted(file.name for file in path.parent.iterdir())


def replace(folder, pattern, old, new):
    for file in folder.glob(pattern):
        file.write_text(file.read_text().replace(old, new))


def assert_same(responses, expected):
    columns = [column for column in RESPONSE_COLUMNS if column != "seconds"]
    pd.testing.assert_frame_equal(
        responses[columns].reset_index(drop=True), expected[columns].reset_index(drop=True)
    )


def test_responses_have_their_columns_order_and_values(folder, path, monkeypatch):
    read, counted = [], []
    ehr_text, count = context.ehr_text, PromptTokenizer.count
    monkeypatch.setattr(context, "ehr_text", lambda p, f: read.append(p.stem) or ehr_text(p, f))
    monkeypatch.setattr(PromptTokenizer, "count", lambda k, t: counted.append(t) or count(k, t))
    responses = run(folder, path, generator="bm25_passage")
    assert read == ["EHR_007", "40"] and len(counted) == 2
    assert list(responses.columns) == list(RESPONSE_COLUMNS)
    assert responses["instruction_id"].tolist() == ORDER
    assert set(responses["system"]) == {"bm25-2k.v1"}
    assert responses["response"].tolist() == [
        "2014-08-10 10:00 note STANFORD_NOTE/1 Progress note:\n"
        "Denies chest pain.\nOn atorvastatin 40 mg.",
        "2014-08-11 10:00 drug_exposure RxNorm/1 atorvastatin: start",
        "2015-01-02 08:00 measurement LOINC/2160-0 Creatinine: 1.1 mg/dL",
    ]
    assert (responses["ehr_tokens_kept"] == responses["ehr_tokens_total"]).all()
    assert (responses["prompt_tokens"] > responses["ehr_tokens_kept"]).all()
    assert (responses["seconds"] >= 0).all()
    pd.testing.assert_frame_equal(read_responses(path), responses)
    assert files(path) == ["bm25-2k.v1", "bm25-2k.v1.jsonl"]
    assert files(kept(path)) == ["store.jsonl", "store.lock"]
    assert path.read_text(encoding="utf-8").count("\n") == 3


@pytest.mark.parametrize("batch_size", [1, 2])
def test_an_interrupted_run_goes_on_and_a_finished_one_is_not_repeated(
    folder, path, answering, capsys, batch_size
):
    outcomes, asked = answering
    whole = run(folder, path, batch_size=batch_size)
    assert capsys.readouterr().err == ""
    path.unlink()  # as a workflow does before running a job
    pd.testing.assert_frame_equal(run(folder, path), whole)
    order = asked.copy()
    assert sorted(order) == sorted(QUESTIONS[instruction][0] for instruction in ORDER)
    forget(path)
    asked.clear()
    outcomes[order[-1]] = KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        run(folder, path, batch_size=batch_size)
    assert "bm25-2k.v1.jsonl" not in files(path)
    assert [QUESTIONS[row["instruction_id"]][0] for row in stored(path)] == order[:-1]
    outcomes.popitem()
    assert_same(run(folder, path, batch_size=batch_size), whole)
    assert asked == order


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("mode", "system.mode is 'b' and was None"),
        ("ehr", "ehrs changed"),
        ("question", "instructions changed"),
        ("version", f"medalign_utils is '0.0.0' and was '{__version__}'"),
        ("wording", "templates changed"),
        ("model", "model_files changed"),
        ("model_file", "model_files changed"),
    ],
)
def test_other_settings_start_over_and_say_so(
    folder, path, answering, monkeypatch, caplog, change, reason
):
    _, asked = answering
    weights = path.parent / "model" / "weights"
    weights.parent.mkdir(parents=True)
    weights.write_text("1")
    system = {"model": str(weights if change == "model_file" else weights.parent)}
    run(folder, path, **system)
    # An unfinished run counts as well.
    path.unlink()
    lines = kept(path).read_bytes().splitlines(keepends=True)
    kept(path).write_bytes(b"".join(lines[:2]))
    asked.clear()
    if change == "mode":
        system["mode"] = "b"
    elif change == "ehr":
        replace(folder, "ehrs/40.xml", "1.4", "1.5")
    elif change == "question":
        replace(folder, "*.tsv", "Any chest", "Had any chest")
    elif change == "version":
        monkeypatch.setattr(run_store, "__version__", "0.0.0")
    elif change == "wording":
        monkeypatch.setattr(run_store, "_templates", lambda wording: ["Answer"])
    else:
        weights.write_text("22")
    with caplog.at_level(logging.WARNING):
        run(folder, path, **system)
    assert len(asked) == 3
    assert f"starting over, because {reason}; earlier responses stay in" in caplog.text
    assert len(stored(path)) == 1 + 3
    caplog.clear()
    run(folder, path, **system)
    assert caplog.text == "" and len(asked) == 3


def test_each_set_of_settings_keeps_its_responses(folder, path, answering, caplog):
    outcomes, asked = answering
    first = run(folder, path)
    # Settings of location and cost change no response.
    run(folder, path, concurrency=2, shards=1, price_per_million={"input": 1, "output": 1})
    assert len(asked) == 3 and caplog.text == ""
    outcomes[None] = Generation("second", "stop", 1)
    other = {"mode": "b", "context_length": 4096}
    second = run(folder, path, **other)
    assert set(second["response"]) == {"second"} and len(asked) == 6
    both = "because system.context_length is 4096 and was 2048; system.mode is 'b' and was None;"
    assert both in caplog.text
    for settings, expected in (({}, first), (other, second)):
        caplog.clear()
        assert run(folder, path, **settings).equals(expected)
        assert len(asked) == 6 and caplog.text == ""


def test_a_renamed_system_keeps_its_responses(folder, path, answering, caplog):
    _, asked = answering
    first = run(folder, path)
    run(folder, path.with_name("other.jsonl"), mode="b")
    asked.clear()
    renamed = path.with_name("renamed.jsonl")
    with caplog.at_level(logging.INFO):
        again = run(folder, renamed)
    assert asked == [] and set(again["system"]) == {"renamed"}
    assert "bm25-2k.v1/store.jsonl: its responses have the same settings" in caplog.text
    assert_same(again.assign(system=path.stem), first)
    forget(path)
    assert run(folder, renamed).equals(again) and asked == []


def test_a_failure_is_kept_until_it_is_resolved(folder, path, answering, capsys):
    outcomes, asked = answering
    outcomes[None] = Failure("HTTP 500")
    for _ in range(2):
        with pytest.raises(IncompleteError, match=r"v1: 3 of 3 .* \(3 x HTTP 500\).*store.jsonl"):
            run_system(load_release(folder), ANSWERING, path)
    shown = capsys.readouterr().err
    assert "bm25-2k.v1" in shown and "failed=3" in shown
    assert len(stored(path, "failure")) == 6
    assert not path.exists()
    outcomes[None] = Generation("mended", "stop", 1)
    assert set(run(folder, path)["response"]) == {"mended"}
    assert len(asked) == 9


def test_a_permanent_failure_is_a_result_until_it_is_asked_for_again(
    folder, path, answering, caplog
):
    outcomes, asked = answering
    question = QUESTIONS[ORDER[1]][0]
    outcomes[question] = Failure("HTTP 400", "permanent")
    responses = run(folder, path).set_index("instruction_id")
    assert responses["failure"].tolist() == ["", "HTTP 400", ""]
    failed = responses.loc[ORDER[1]]
    assert (failed["response"], failed["finish_reason"]) == ("", "failed")
    assert pd.isna(failed["response_tokens"]) and failed["prompt_tokens"] > 0
    assert "1 of 3 instructions have no response (1 x HTTP 400), and count as not" in caplog.text
    [row] = stored(path, "failure")
    assert (row["kind"], row["reason"]) == ("permanent", "HTTP 400")
    outcomes[question] = Generation("now", "stop", 1)
    assert run(folder, path)["failure"].tolist() == ["", "HTTP 400", ""] and len(asked) == 3
    again = run_system(load_release(folder), ANSWERING, path, retry_failed=True, progress=False)
    assert again["response"].tolist()[1] == "now" and asked[3:] == [question]
    assert run(folder, path)["failure"].tolist() == [""] * 3 and len(asked) == 4


def test_a_failure_that_would_meet_every_prompt_stops_the_run(many, path, answering):
    outcomes, asked = answering
    outcomes[None] = Failure("HTTP 401: mend the key", "systemic")
    for _ in range(2):
        with pytest.raises(IncompleteError, match=r"v1: stopped, because 3 .*: HTTP 401: mend"):
            run_system(many, ANSWERING, path, progress=False)
    assert len(asked) == 6 and stored(path) == []
    # Not in a row: the server does answer.
    outcomes |= {f"Question {i}?": Generation("yes", "stop", 1) for i in range(1, 10, 2)}
    with pytest.raises(IncompleteError, match="5 of 10 instructions have no response yet"):
        run_system(many, ANSWERING, path, progress=False)


def test_a_server_that_refuses_the_first_prompts_alike_is_not_asked_for_all(many, path, answering):
    outcomes, asked = answering
    outcomes[None] = Failure("HTTP 400", "permanent")
    with pytest.raises(IncompleteError, match="because 5 prompts in a row failed: HTTP 400;"):
        run_system(many, ANSWERING, path, progress=False)
    # Nothing is recorded, since it may be the server; other prompts come first the next time.
    for n in (10, 15):
        with pytest.raises(IncompleteError, match="because 5 prompts in a row failed: HTTP 400;"):
            run_system(many, ANSWERING, path, progress=False)
        assert len(asked) == n and stored(path) == []
    first, second, third = asked[:5], asked[5:10], asked[10:]
    assert third == first and not {*first} & {*second}
    outcomes |= dict.fromkeys(second, Generation("yes", "stop", 1))
    responses = run_system(many, ANSWERING, path, progress=False)
    assert Counter(responses["failure"]) == {"HTTP 400": 5, "": 5}
    asked.clear()
    run_system(many, ANSWERING, path, progress=False)
    assert asked == []
    outcomes[None] = Generation("mended", "stop", 1)
    run_system(many, ANSWERING, path, retry_failed=True, progress=False)
    assert sorted(asked) == sorted(first)


def test_a_server_that_answers_nothing_for_long_is_given_up(tmp_path, path, answering):
    outcomes, asked = answering
    release = load_release(write_many(tmp_path / "release", 40))
    outcomes[None] = Failure("HTTP 503")
    with pytest.raises(IncompleteError, match="because 5 prompts in a row failed: HTTP 503;"):
        run_system(release, ANSWERING, path, progress=False)
    assert len(asked) == 5
    outcomes[asked[0]] = Generation("yes", "stop", 1)
    with pytest.raises(IncompleteError, match="because 20 prompts in a row failed: HTTP 503;"):
        run_system(release, ANSWERING, path, progress=False)
    assert len(asked) == 5 + 1 + 20


@pytest.mark.parametrize("batch_size", [1, 2])
def test_the_prompts_of_a_batch_are_of_similar_length(tmp_path, path, answering, batch_size):
    folder = write_many(tmp_path / "release", 4)
    # In the release's order, from 1 to 7 words more.
    for i, words in enumerate((5, 1, 7, 3)):
        replace(folder, "*.tsv", f"Question {i}?", f"Question {i}{' why' * words}?")
    responses = run(folder, path, batch_size=batch_size)
    _, asked = answering
    order = "2031" if batch_size > 1 else "0123"
    assert "".join(question.split()[1] for question in asked) == order
    assert responses["instruction_id"].tolist() == ["i0", "i1", "i2", "i3"]


def test_a_batch_is_kept_whole_when_the_run_stops(many, path, answering):
    outcomes, _ = answering
    outcomes |= {f"Question {i}?": Failure("HTTP 401", "systemic") for i in range(3)}
    with pytest.raises(IncompleteError, match="HTTP 401"):
        run_system(many, ANSWERING | {"batch_size": 5}, path, progress=False)
    assert [row["instruction_id"] for row in stored(path)] == ["i3", "i4"]


def test_a_prompt_that_the_server_cut_stops_the_run_or_is_recorded(many, path, monkeypatch):
    asked = []

    def factory(*, keep=0):
        def answer(prompts):
            asked.extend(prompts)
            return [Generation("yes", "stop", 1, prompt_tokens=n) for n in counts(prompts)]

        return Generator(answer)

    def counts(prompts):
        return [20 if "Question 4?" in prompt.text else 5000 for prompt in prompts]

    monkeypatch.setitem(GENERATORS, "cutting", factory)
    monkeypatch.setattr(runner, "_CUT_BY", 5)
    system = SYSTEM | {"generator": "cutting"}
    for n in (5, 6):  # what a cut prompt got is not taken for its answer
        with pytest.raises(IncompleteError, match=r"the server read 20 of the \d+ tokens of a"):
            run_system(many, system, path, progress=False)
        assert len(asked) == n
    responses = run_system(many, system | {"cut_prompts": "record"}, path, progress=False)
    assert len(asked) == 11
    assert responses["prompt_tokens_read"].dropna().tolist() == [20]
    assert sorted(responses["input_tokens"]) == [20, *[5000] * 9]  # by the server's count


def test_a_server_that_is_not_there_costs_seconds(many, path):
    with ChatServer(lambda _: None) as gone:
        pass
    start = time.monotonic()
    with pytest.raises(IncompleteError, match=r"no connection to 127\.0\.0\.1 .*: is it running"):
        run_system(many, served(gone.port) | {"concurrency": 1}, path, progress=False)
    assert time.monotonic() - start < 15


def test_errors_are_reported_before_any_answer(folder, path, answering):
    with pytest.raises(ParamsError, match="shards"):
        run_system(None, SYSTEM | {"shards": 0}, path)
    replace(folder, "*.tsv", "creatinine?", "creatinine? " + "please " * 300)
    with pytest.raises(PromptError, match="instruction 5479314876123: pack: instruction and"):
        run(folder, path, context_length=512)
    (folder / "ehrs" / "40.xml").rename(folder / "ehrs" / "41.xml")
    with pytest.raises(ReleaseError, match="no EHR for patient 40"):
        run(folder, path)
    assert answering[1] == [] and not path.parent.exists()


def test_broken_ehr_keeps_what_is_finished(folder, path, answering):
    replace(folder, "ehrs/40.xml", "</eventstream>", "")
    with pytest.raises(EHRError, match=r"40\.xml, line"):
        run(folder, path)
    assert [row["instruction_id"] for row in stored(path)] == ORDER[:2]


@pytest.mark.parametrize("n", [2, 4])
def test_a_generator_with_the_wrong_number_of_responses(folder, path, monkeypatch, n):
    answers = [Generation("", "stop")] * n
    monkeypatch.setitem(GENERATORS, "wrong", lambda: Generator(lambda _: answers, batch_size=3))
    with pytest.raises(MedAlignError, match=f"returned {n} outcomes for 3 prompts; finished"):
        run(folder, path, generator="wrong")
    assert not path.exists()


def test_read_responses(tmp_path):
    file = tmp_path / "x.jsonl"
    file.write_text("")
    assert dict(read_responses(file).dtypes.astype(str)) == RESPONSE_COLUMNS
    texts = {"instruction_id": "007", "system": "x", "response": "", "finish_reason": "stop"}
    texts |= {"reasoning": "", "failure": "", "device": "cpu"}
    row = dict.fromkeys(RESPONSE_COLUMNS, 1) | {"seconds": 0.0, "prompt_sha256": "e3"} | texts
    line = json.dumps(row) + "\n"
    file.write_text(line)
    table = read_responses(file)
    assert table.iloc[0].to_dict() == row
    assert dict(table.dtypes.astype(str)) == RESPONSE_COLUMNS
    file.write_text(line + '{"instruction_id": "1"}\n')
    with pytest.raises(MedAlignError, match=r"x\.jsonl, line 2: expected a JSON object"):
        read_responses(file)
    file.write_text(line * 2)
    assert len(read_responses(file)) == 1
    file.write_text(line + json.dumps(row | {"response": "another"}) + "\n")
    with pytest.raises(MedAlignError, match="2 responses to instruction 007, expected 1"):
        read_responses(file)


def served(port, **more):
    url = f"http://127.0.0.1:{port}/v1"
    server = {"generator": "openai", "model": "m", "base_url": url, "concurrency": 32}
    return SYSTEM | server | more


def plan(name, attempt):
    """Draw a server's reaction to an attempt at a prompt."""
    draw = random.Random(f"1 {name}")
    hopeless = draw.random() < 0.05
    faults = [
        error(429, "rate_limit_exceeded", ("Retry-After", "0.02")),
        error(500),
        Reply(completion(name), cut=True),
        Reply(b'{"choices": [{"mess'),
        Reply(completion(None)),
        error(400),
        stream(chunk(content=name), end=b""),
    ]
    good = [Reply(completion(name)), stream(chunk(content=name), chunk("stop"))]
    for _ in range(attempt):
        kind = draw.random()
        reply = draw.choice(faults if kind < 0.4 or hopeless else good)
        if kind < 0.01:
            reply = Reply(completion(name), after=30)
    return reply


def test_1000_instructions_over_a_faulty_server(tmp_path, monkeypatch):
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.005)
    release = load_release(write_many(tmp_path / "release", 1000))
    path = tmp_path / "run" / "m.jsonl"
    attempts = Counter()
    faulty = True

    def reply(request):
        attempts[request.prompt] += 1
        if not faulty:
            return Reply(completion("good"))
        return plan(request.prompt[-20:], attempts[request.prompt])

    with ChatServer(reply) as server:
        settings = served(server.port, attempts=3, timeout_s=1)
        with pytest.raises(IncompleteError) as caught:
            run_system(release, settings, path, progress=False)
        failures, finished = stored(path, "failure"), stored(path)
        failed = [row for row in failures if row["kind"] != "permanent"]
        permanent = [row for row in finished if row["failure"]]
        assert 0 < len(permanent) == len(failures) - len(failed)
        # Each has one response or one recorded failure.
        ids = [row["instruction_id"] for row in [*finished, *failed]]
        assert len(ids) == 1000 and set(ids) == set(release.references["instruction_id"])
        assert 30 < len(failed) < 500 and all(row["reason"] for row in failed)
        assert f"{len(failed)} of 1000 instructions have no response yet" in str(caught.value)
        faulty = False
        asked_before = attempts.total()
        responses = run_system(release, settings | {"timeout_s": 30}, path, progress=False)
        assert attempts.total() - asked_before == len(failed)
    texts = responses.set_index("instruction_id")["response"]
    assert len(texts) == 1000
    assert all(texts[row["instruction_id"]] == row["response"] for row in finished)


def test_concurrency_sets_the_number_of_open_requests(tmp_path):
    release = load_release(write_many(tmp_path / "release", 40))
    with ChatServer(lambda _: Reply(completion("yes"), after=2)) as server:
        run_system(release, served(server.port), tmp_path / "m.jsonl", progress=False)
    arrived = sorted(request.arrived for request in server.requests)
    # The first 32 arrive before any is answered, the 33rd after one is.
    assert len(arrived) == 40
    assert arrived[31] < arrived[0] + 2 <= arrived[32]


def test_shards_are_the_instructions_in_their_order(many):
    instructions = instructions_to_answer(many)
    for shards in range(1, 11):
        parts = [shard_of(instructions, k + 1, shards) for k in range(shards)]
        pd.testing.assert_frame_equal(pd.concat(parts), instructions)
        sizes = [len(part) for part in parts]
        assert max(sizes) - min(sizes) <= 1
    with pytest.raises(ParamsError, match="shards: 11, expected at most 10, one for each"):
        shard_of(instructions, 1, 11)


def run_all(release, path, shards):
    """Run all shards in turn and return what they write, concatenated."""
    for shard in range(1, shards + 1):
        run_system(release, ANSWERING, path, shard=shard, shards=shards, progress=False)
    return b"".join(paths.part(path, k, shards).read_bytes() for k in range(1, shards + 1))


def test_a_different_number_of_shards_asks_nothing_again_and_changes_no_byte(many, path, answering):
    _, asked = answering
    written = {run_all(many, path, n) for n in (3, 1, 4)}
    assert len(asked) == len(set(asked)) == 10
    assert len(written) == 1


def test_only_a_failed_or_lost_shard_is_made_again(many, path, answering):
    outcomes, asked = answering
    outcomes["Question 4?"] = Failure("no")
    with pytest.raises(IncompleteError, match="v1: 1 of 3 instructions have no response yet"):
        run_system(many, ANSWERING, path, shard=2, shards=3, progress=False)
    assert not paths.part(path, 2, 3).exists()
    asked.clear()
    del outcomes["Question 4?"]
    written = run_all(many, path, 3)
    assert asked.count("Question 4?") == 1 and len(asked) == 8
    # First a shard's output is lost, then also its store.
    asked.clear()
    paths.part(path, 1, 3).unlink()
    assert run_all(many, path, 3) == written and asked == []
    kept(path, "store-1-of-3.jsonl").unlink()
    run_all(many, path, 3)
    assert asked == [f"Question {i}?" for i in range(3)]


def test_a_torn_line_in_another_jobs_file_is_ignored_and_not_changed(many, path, answering):
    _, asked = answering
    run_system(many, ANSWERING, path, shard=1, shards=2, progress=False)
    file = kept(path, "store-1-of-2.jsonl")
    torn = file.read_bytes()[:-30]
    file.write_bytes(torn)
    asked.clear()
    assert len(run_system(many, ANSWERING, path, progress=False)) == 10
    assert file.read_bytes() == torn
    assert asked == [f"Question {i}?" for i in range(4, 10)]


def _answer_shards(folder, path, shards):
    """Run every shard in several processes that are killed at random; itself in a process."""
    release = load_release(folder)
    rng = random.Random(shards)
    left = set(range(1, shards + 1))
    while left:
        children = {}
        for shard in left:
            child = os.fork()
            if child == 0:
                run_system(release, SYSTEM, path, shard=shard, shards=shards, progress=False)
                os._exit(0)
            children[child] = shard
        if rng.random() < 0.5:
            time.sleep(rng.uniform(0, 0.4))
            os.kill(rng.choice(list(children)), 9)
        for child, shard in children.items():
            if os.waitpid(child, 0)[1] == 0:
                left.discard(shard)


def test_concurrent_shards_that_are_killed_lose_and_repeat_nothing(tmp_path, path):
    folder = tmp_path / "release"
    synthesize(folder, patients=3, instructions=20, seed=1)
    alone = run_system(load_release(folder), SYSTEM, tmp_path / "alone" / path.name, progress=False)
    spawn = multiprocessing.get_context("spawn")
    process = spawn.Process(target=_answer_shards, args=(folder, path, 3))
    process.start()
    process.join()
    assert process.exitcode == 0
    assert_same(pd.concat([read_responses(paths.part(path, k, 3)) for k in (1, 2, 3)]), alone)
    stores = [f"store-{k}-of-3.jsonl" for k in (1, 2, 3)]
    assert sum(len(stored(path, name=name)) for name in stores) == len(alone)


def _answer_here(folder, port, path):
    system = SERVED | {"base_url": f"http://127.0.0.1:{port}/v1"}
    run_system(load_release(folder), system, path, progress=False)


SERVED = SYSTEM | {"generator": "openai", "model": "m", "concurrency": 2}


def test_two_runs_of_one_system_ask_each_prompt_once(tmp_path, path):
    folder = write_many(tmp_path / "release", 8)
    spawn = multiprocessing.get_context("spawn")
    with ChatServer(lambda _: Reply(completion("yes"), after=0.5)) as server:
        runs = [
            spawn.Process(target=_answer_here, args=(folder, server.port, path)) for _ in range(2)
        ]
        for process in runs:
            process.start()
        for process in runs:
            process.join()
        assert [process.exitcode for process in runs] == [0, 0]
        assert len(server.requests) == 8
    assert len(read_responses(path)) == len(stored(path)) == 8


def test_a_run_in_other_shards_meanwhile_is_refused(many, path, answering):
    folder = path.with_suffix("")
    for mine, other in (((1, 1), "store-2-of-3.lock"), ((1, 3), "store.lock")):
        shard, shards = mine
        with locked(folder / other, private=False):
            with pytest.raises(MedAlignError, match="in other shards; run it again"):
                run_system(many, ANSWERING, path, shard=shard, shards=shards, progress=False)
    with locked(folder / "store-2-of-3.lock", private=False):
        assert len(run_system(many, ANSWERING, path, shard=1, shards=3, progress=False)) == 3


def test_of_equal_responses_the_first_counts_and_others_are_repaired(folder, path, answering):
    run(folder, path)
    lines = [f"{line}\n" for line in path.read_text().split("\n")[:-1]]
    path.write_text("".join([*lines, lines[0].replace('"seconds": ', '"seconds": 1')]))
    assert len(read_responses(path)) == 3
    path.write_text("".join([*lines, lines[0].replace("first", "second")]))
    with pytest.raises(MedAlignError, match="2 responses to instruction 02") as caught:
        read_responses(path)
    command = str(caught.value).partition("`python -m medalign_utils ")[2].partition("`")[0]
    assert main(command.split()) == 0
    assert path.read_text() == "".join(lines)


@pytest.mark.parametrize("count", [1e25, 10**25, -1, 2**63, True, "7", None, [1], {"a": 1}])
def test_nonsense_as_a_count_of_tokens_is_no_count(folder, path, count):
    body = completion("yes")
    details = {"reasoning_tokens": count}
    body["usage"] = {"completion_tokens": count, "prompt_tokens": count}
    body["usage"]["completion_tokens_details"] = details
    with ChatServer(lambda _: Reply(json.dumps(body).encode())) as server:
        system = SERVED | {"base_url": server.base_url}
        responses = run_system(load_release(folder), system, path, progress=False)
    assert responses["response"].tolist() == ["yes"] * 3
    assert responses["response_tokens"].isna().all()
    # An earlier version stored it.
    row = json.loads(path.read_text().splitlines()[0]) | {"response_tokens": count}
    path.write_text(json.dumps(row) + "\n")
    assert read_responses(path)["response_tokens"].isna().all()


def test_a_deeply_nested_reply_or_line_is_no_traceback(folder, path):
    deep = b'{"choices": ' + b"[" * 100_000
    with ChatServer(lambda _: Reply(deep)) as server:
        system = SERVED | {"base_url": server.base_url, "attempts": 1}
        with pytest.raises(IncompleteError):
            run_system(load_release(folder), system, path, progress=False)
    with kept(path).open("a") as file:
        file.write("[" * 100_000 + "\n")
    with ChatServer(lambda _: Reply(completion("yes"))) as server:
        system = SERVED | {"base_url": server.base_url}
        with pytest.raises(MedAlignError, match="medalign_utils repair"):
            run_system(load_release(folder), system, path, progress=False)
        assert main(["repair", str(kept(path))]) == 0
        assert len(run_system(load_release(folder), system, path, progress=False)) == 3


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_lets_requests_in_flight_finish(tmp_path, path, number):
    folder = write_many(tmp_path / "release", 10)
    arrived = threading.Event()

    def reply(_):
        arrived.set()
        return Reply(completion("yes"), after=1)

    spawn = multiprocessing.get_context("spawn")
    with ChatServer(reply) as server:
        process = spawn.Process(target=_answer_here, args=(folder, server.port, path))
        process.start()
        assert arrived.wait(300)
        time.sleep(0.2)  # the second request
        os.kill(process.pid, number)
        process.join()
        asked = len(server.requests)
    assert process.exitcode == (1 if number == signal.SIGINT else -number)
    assert 0 < asked < 10 and len(stored(path)) == asked


def test_an_ignored_hangup_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        handlers = []
        with tasks._deferred(lambda: None) as received:
            handlers.append(signal.getsignal(signal.SIGHUP))
            os.kill(os.getpid(), signal.SIGHUP)
        assert handlers == [signal.SIG_IGN] and received == []
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_record_that_changes_after_the_check_is_not_sent(tmp_path, path, answering):
    """Neither one of a synthetic release, nor one that changes during a run."""
    _, asked = answering
    folder = tmp_path / "release"
    synthesize(folder, patients=2, instructions=6, seed=1)
    release = load_release(folder)
    assert not release.is_restricted
    for file in (folder / "ehrs").iterdir():
        file.write_text(file.read_text().replace("note", "n0te"))
    with pytest.raises(ReleaseError, match="has changed since the release was checked"):
        run_system(release, ANSWERING, path, progress=False)
    assert not asked
    restricted = load_release(write_release(tmp_path / "restricted"))
    digests = run_store.ehr_digests(restricted, instructions_to_answer(restricted))
    edit(restricted.ehr_path("40"), "Walks", "Runs")
    tokenizer = load_tokenizer("minilm")
    to_ask = instructions_to_answer(restricted)
    prompts = tasks.packed_instructions(restricted, to_ask, ANSWERING, tokenizer, digests)
    with pytest.raises(ReleaseError, match=r"40\.xml has changed"):
        list(prompts)


def test_instructions_without_a_reference_are_answered_on_request(folder, path, answering):
    asked = "family history of stroke?\tCardiology\t"
    edit(folder / "all-instructions-rouge.tsv", f"{asked}\n", f"{asked}40\n")
    release = load_release(folder)
    every = dataclasses.replace(release, only_with_reference=False)
    responses = run_system(every, ANSWERING, path, progress=False)
    assert responses["instruction_id"].tolist() == ["02", "3", "5479314876123", "4"]
    assert len(limited(every, 3).instructions) == 3
    assert set(limited(every, 3).instructions["instruction_id"]) == set(ORDER)
    assert len(plan_system(every, ANSWERING | {"system": "x"}, "none")) > 0
    # Explorer and metrics take what there is.
    shown = Explorer(every, responses, NO_RATINGS)
    shown.show("40", "4")


def test_a_release_without_any_reference_is_answered_or_says_why_not(folder, path, answering):
    file = folder / "clinician-instruction-responses.tsv"
    file.write_text(file.read_text().splitlines(keepends=True)[0])
    edit(folder / "all-instructions-rouge.tsv", "\tCardiology\t\n", "\tCardiology\t40\n")
    release = load_release(folder)
    for ask in (
        lambda: run_system(release, ANSWERING, path, progress=False),
        lambda: plan_system(release, ANSWERING | {"system": "x"}, "none"),
    ):
        with pytest.raises(ReleaseError, match="no instruction has a reference; `only_with_ref"):
            ask()
    every = dataclasses.replace(release, only_with_reference=False)
    assert len(run_system(every, ANSWERING, path, progress=False)) == 4
    file.unlink()
    with pytest.raises(ReleaseError, match="without any reference, it has only its header"):
        load_release(folder)
