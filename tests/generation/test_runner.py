import json
import logging
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from medalign_utils import __version__
from medalign_utils.data.release import load_release
from medalign_utils.data.responses import RESPONSE_COLUMNS, read_responses
from medalign_utils.errors import EHRError, MedAlignError, ParamsError, PromptError, ReleaseError
from medalign_utils.generation import runner
from medalign_utils.generation.registry import GENERATORS, Generation, Generator
from medalign_utils.generation.runner import run_system
from medalign_utils.prompts import packing
from medalign_utils.prompts.templates import count_tokens, load_tokenizer
from tests.builders.run_folder import forget, kept
from tests.builders.tiny_release import QUESTIONS, write_many, write_release

SYSTEM = {
    "label": "BM25",
    "generator": "bm25_passage",
    "context_length": 2048,
    "strategy": "truncate",
    "format": "lines",
    "tokenizer": "minilm",
}
# By patient ("007" < "40"), within one as the release has them.
ORDER = ["02", "3", "5479314876123"]


@pytest.fixture
def folder(tmp_path):
    return write_release(tmp_path / "release")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "runs" / "bm25-2k.v1.jsonl"


@pytest.fixture
def echo(monkeypatch):
    """A generator that repeats the instruction, and what it was asked so far."""
    asked = []

    def factory(*, stop_after=None, read_ahead=1):
        def answer(prompts):
            if stop_after is not None and len(asked) >= stop_after:
                raise KeyboardInterrupt
            asked.extend(prompt.instruction for prompt in prompts)
            return [Generation(p.instruction + "\u2028é\n", "stop") for p in prompts]

        return Generator(answer, batch_size=read_ahead)

    monkeypatch.setitem(GENERATORS, "echo", factory)
    return asked


def run(folder, path, **system):
    return run_system(load_release(folder), SYSTEM | system, path, progress=False)


def files(path):
    return sorted(file.name for file in path.parent.iterdir())


def test_responses_have_their_columns_order_and_values(folder, path):
    responses = run(folder, path)
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
    assert files(kept(path)) == ["responses.jsonl", "settings.json"]
    assert path.read_text(encoding="utf-8").count("\n") == 3


def test_short_context_keeps_less(folder, path, echo):
    whole = run(folder, path, generator="echo", context_length=None)
    short = run(folder, path.with_name("short.jsonl"), generator="echo", context_length=256 + 60)
    assert (whole["ehr_tokens_kept"] == whole["ehr_tokens_total"]).all()
    assert (short["ehr_tokens_total"] == whole["ehr_tokens_total"]).all()
    assert (short["ehr_tokens_kept"] < short["ehr_tokens_total"]).all()
    assert (short["prompt_tokens"] <= 60).all()


def test_markup_is_the_file(folder, path):
    responses = run(folder, path, format="markup")
    tokens = count_tokens((folder / "ehrs" / "40.xml").read_text(), load_tokenizer("minilm"))
    assert responses["ehr_tokens_total"].iloc[-1] == tokens


def test_each_ehr_is_read_and_counted_once_a_patient(folder, path, monkeypatch):
    read, counted = [], []
    ehr_text, count = packing.ehr_text, packing.count_tokens
    monkeypatch.setattr(packing, "ehr_text", lambda p, f: read.append(p.stem) or ehr_text(p, f))
    monkeypatch.setattr(packing, "count_tokens", lambda t, k: counted.append(t) or count(t, k))
    run(folder, path)
    assert read == ["EHR_007", "40"]
    assert len(counted) == 2


def test_instructions_without_reference_on_request(folder, path):
    release = load_release(folder)
    with pytest.raises(ReleaseError, match="1 instructions name no patient, the first being 4;"):
        run_system(release, SYSTEM, path, only_with_reference=False, progress=False)
    table = folder / "all-instructions-rouge.tsv"
    (question, person) = QUESTIONS["4"]
    text = table.read_text().replace(
        f"{question}\tCardiology\t", f"{question}\tCardiology\t{person}"
    )
    table.write_text(text)
    responses = run_system(
        load_release(folder), SYSTEM, path, only_with_reference=False, progress=False
    )
    assert responses["instruction_id"].tolist() == [*ORDER, "4"]
    # A default run of the same system answers others, so it starts over.
    assert run(folder, path)["instruction_id"].tolist() == ORDER


def test_progress_goes_to_stderr_and_can_be_switched_off(folder, path, capsys):
    run(folder, path)
    assert capsys.readouterr().err == ""
    forget(path)
    run_system(load_release(folder), SYSTEM, path)
    assert "bm25-2k.v1" in capsys.readouterr().err


def test_finished_run_is_not_repeated(folder, path, echo):
    first = run(folder, path, generator="echo")
    again = run(folder, path, generator="echo", label="Another label")
    assert len(echo) == 3
    pd.testing.assert_frame_equal(first, again)
    forget(path)
    run(folder, path, generator="echo")
    assert len(echo) == 6


@pytest.mark.parametrize("read_ahead", [1, 2])
def test_interrupted_run_goes_on(folder, path, echo, monkeypatch, read_ahead):
    whole = run(folder, path, generator="echo")
    forget(path)
    echo.clear()

    def interrupted(*, read_ahead):
        return factory(stop_after=2, read_ahead=read_ahead)

    factory = GENERATORS["echo"]
    monkeypatch.setitem(GENERATORS, "echo", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(folder, path, generator="echo", read_ahead=read_ahead)
    assert "bm25-2k.v1.jsonl" not in files(path)
    working = kept(path)
    assert read_responses(working)["instruction_id"].tolist() == ORDER[:2]
    monkeypatch.setitem(GENERATORS, "echo", factory)
    responses = run(folder, path, generator="echo", read_ahead=read_ahead)
    assert echo == [QUESTIONS[instruction][0] for instruction in ORDER]
    unchanging = [column for column in RESPONSE_COLUMNS if column != "seconds"]
    pd.testing.assert_frame_equal(responses[unchanging], whole[unchanging])


@pytest.mark.parametrize("left", [0, 1, -1, -2])
def test_torn_last_line_is_dropped_and_said(folder, path, echo, caplog, left):
    run(folder, path, generator="echo")
    echo.clear()
    lines = path.read_bytes().splitlines(keepends=True)
    torn = lines[1][:left] if left else b""
    kept(path).write_bytes(lines[0] + torn)
    with caplog.at_level(logging.WARNING):
        responses = run(folder, path, generator="echo")
    assert responses["instruction_id"].tolist() == ORDER
    # Without its line break alone (-1) the line is whole, and its response is not asked for again.
    assert len(echo) == (1 if left == -1 else 2)
    assert ("dropped a torn last line" in caplog.text) == (left in (1, -2))


def test_lines_taken_out_are_made_again(folder, path, echo):
    run(folder, path, generator="echo")
    lines = path.read_bytes().splitlines(keepends=True)
    kept(path).write_bytes(b"".join(lines[:2]))
    assert run(folder, path, generator="echo")["instruction_id"].tolist() == ORDER
    assert len(echo) == 4


@pytest.mark.parametrize("change", ["option", "ehr", "question", "version", "wording"])
@pytest.mark.parametrize("unfinished", [True, False])
def test_other_settings_start_over_and_say_so(
    folder, path, echo, monkeypatch, caplog, change, unfinished
):
    first = run(folder, path, generator="echo")
    earlier = kept(path)
    echo.clear()
    if unfinished:
        path.unlink()
        earlier.write_bytes(earlier.read_bytes().splitlines(keepends=True)[0])
    system = {"generator": "echo"}
    if change == "option":
        system["read_ahead"] = 2
    elif change == "ehr":
        file = folder / "ehrs" / "40.xml"
        file.write_text(file.read_text().replace("1.4", "1.5"))
    elif change == "question":
        for file in folder.glob("*.tsv"):
            file.write_text(file.read_text().replace("Any chest", "Had any chest"))
    elif change == "version":
        monkeypatch.setattr(runner, "__version__", "0.0.0")
    else:
        monkeypatch.setattr(runner, "REFINE", ("Refine", "it"))
    with caplog.at_level(logging.WARNING):
        run(folder, path, **system)
    assert len(echo) == 3
    said = {
        "option": "system.read_ahead is 2 and was None",
        "ehr": "ehrs changed",
        "question": "instructions changed",
        "version": f"medalign_utils is '0.0.0' and was '{__version__}'",
        "wording": "templates changed",
    }
    assert f"starting over, because {said[change]}; what was there stays in" in caplog.text
    assert len(read_responses(earlier)) == (1 if unfinished else len(first))
    caplog.clear()
    run(folder, path, **system)
    assert caplog.text == ""


def test_another_model_in_the_same_folder_is_noticed(folder, path, echo, monkeypatch, caplog):
    model = path.parent / "model"
    model.mkdir(parents=True)
    (model / "weights").write_text("1")
    factory = GENERATORS["echo"]
    monkeypatch.setitem(GENERATORS, "echo", lambda *, model: factory())
    run(folder, path, generator="echo", model=str(model))
    run(folder, path, generator="echo", model=str(model))
    assert len(echo) == 3
    (model / "weights").write_text("22")
    run(folder, path, generator="echo", model=str(model))
    assert len(echo) == 6 and "because model_files changed" in caplog.text


def test_published_responses_that_are_deleted_are_not_asked_for_again(folder, path, echo):
    first = run(folder, path, generator="echo")
    path.unlink()  # as a workflow does before it runs a job
    pd.testing.assert_frame_equal(run(folder, path, generator="echo"), first)
    assert len(echo) == 3


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"generator": "oracle"}, "no generator 'oracle'; there are bm25_passage, "),
        ({"format": "xml"}, "no format 'xml'; there are lines, markup"),
        ({"strategy": "rerank"}, "no strategy 'rerank'; there are refine, retrieve, truncate"),
        ({"strategy": "refine", "context_length": None}, "strategy refine needs a context_length"),
        ({"strategy": "retrieve", "format": "markup"}, "strategy retrieve needs format: lines"),
        ({"strategy": "retrieve", "retriever": 1, "seed": 1}, "no option 'seed'"),
        ({"seed": 1}, "generator bm25_passage with strategy truncate; there are: none"),
        ({"covered_by": "BAA"}, "covered_by: expected {host: agreement}"),
        ({"price_per_million": 3}, "price_per_million: found 3, expected {input"),
        ({"tokens_per_second": {"input": 0, "output": 1}}, "tokens_per_second: found {"),
        ({"generator": "random_passage"}, "generator random_passage needs the option seed"),
        ({"context_length": 256}, "context_length: found 256, expected a whole number above 256"),
        ({"context_length": "2048"}, "context_length: found '2048'"),
        ({"context_length": True}, "context_length: found True"),
        ({"tokenizer": None}, "tokenizer: found None"),
        ({"tokenizer": "no/such"}, "load_chat: no tokenizer 'no/such'"),
    ],
)
def test_wrong_system_is_said_before_anything_is_read(path, monkeypatch, change, fault):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ParamsError) as caught:
        run_system(None, SYSTEM | change, path)
    assert fault in str(caught.value)
    with pytest.raises(ParamsError, match="the system lacks context_length; it has"):
        run_system(None, {"generator": "recent_note", "format": "lines"}, path)
    assert not path.parent.exists()


def test_wrong_release_is_said_before_any_answer(folder, path, echo):
    release = load_release(folder)
    (folder / "ehrs" / "40.xml").unlink()
    with pytest.raises(ReleaseError, match="no EHR of patient 40"):
        run_system(release, SYSTEM | {"generator": "echo"}, path, progress=False)
    assert echo == []


def test_instruction_too_long_is_named_before_any_answer(folder, path, echo):
    for file in folder.glob("*.tsv"):
        file.write_text(file.read_text().replace("creatinine?", "creatinine? " + "please " * 300))
    with pytest.raises(PromptError, match="instruction 5479314876123: pack: the instruction takes"):
        run(folder, path, generator="echo", context_length=512)
    assert echo == []
    assert not path.parent.exists()


def test_broken_ehr_keeps_what_is_finished(folder, path, echo):
    whole = (folder / "ehrs" / "40.xml").read_text()
    (folder / "ehrs" / "40.xml").write_text(whole[:-20])
    with pytest.raises(EHRError, match=r"40\.xml, line"):
        run(folder, path, generator="echo")
    working = kept(path)
    assert read_responses(working)["instruction_id"].tolist() == ORDER[:2]


@pytest.mark.parametrize(
    ("answers", "fault"),
    [(2, "gave 2 outcomes for 3 prompts; what was finished"), (4, "gave 4 outcomes for 3")],
)
def test_generator_with_another_number_of_responses(folder, path, monkeypatch, answers, fault):
    def short():
        return Generator(lambda prompts: [Generation("", "stop")] * answers, batch_size=3)

    monkeypatch.setitem(GENERATORS, "short", short)
    with pytest.raises(MedAlignError, match=fault):
        run(folder, path, generator="short")
    assert not path.exists()


def test_read_responses(tmp_path):
    file = tmp_path / "x.jsonl"
    file.write_text("")
    empty = read_responses(file)
    assert dict(empty.dtypes.astype(str)) == RESPONSE_COLUMNS
    row = {
        "instruction_id": "007",
        "system": "x",
        "response": "",
        "prompt_tokens": 9,
        "ehr_tokens_kept": 1,
        "ehr_tokens_total": 2,
        "response_tokens": 3,
        "n_prompts": 1,
        "finish_reason": "stop",
        "seconds": 0,
        "prompt_sha256": "e3",
    }
    line = json.dumps(row) + "\n"
    file.write_text(line)
    table = read_responses(file)
    assert table.iloc[0].to_dict() == row
    assert dict(table.dtypes.astype(str)) == RESPONSE_COLUMNS
    for damage in ("{\n", "[]\n", '{"instruction_id": "1"}\n'):
        file.write_text(line + damage)
        with pytest.raises(MedAlignError, match=r"x\.jsonl, line 2: not a response, expected a"):
            read_responses(file)
    file.write_text(line * 2)
    with pytest.raises(MedAlignError, match="2 responses to instruction 007, expected 1"):
        read_responses(file)


SLOW_RUN = """
import sys, time
from medalign_utils.dataset import load_release
from medalign_utils.generators import GENERATORS, Failure, Generation, Generator
from medalign_utils.running import run_system

def slow():
    def answer(prompts):
        with open(sys.argv[3], "a") as log:
            log.write(prompts[0].instruction + "\\n")
        time.sleep(0.02)
        return [Generation(prompts[0].instruction * 500, "stop")]
    return Generator(answer)

GENERATORS["slow"] = slow
system = {"generator": "slow", "context_length": None, "format": "lines", "tokenizer": "minilm"}
print("ready", flush=True)
run_system(load_release(sys.argv[1]), system, sys.argv[2], progress=False)
"""


def test_killed_run_loses_no_response_and_repeats_none(tmp_path):
    n = 40
    folder = write_many(tmp_path / "release", n)
    path, log = tmp_path / "slow.jsonl", tmp_path / "log"
    command = [sys.executable, "-c", SLOW_RUN, str(folder), str(path), str(log)]
    rng = random.Random(1)
    kills = 0
    while not path.exists():
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert process.stdout.readline() == b"ready\n"
        deadline = time.monotonic() + 60
        while not path.with_suffix("").exists():
            assert time.monotonic() < deadline
            time.sleep(0.005)
        working = kept(path)
        before = whole_lines(working)
        while len(whole_lines(working)) < len(before) + 8 and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        time.sleep(rng.uniform(0, 0.02))
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        kills += process.returncode != 0
        assert path.exists() or whole_lines(working)[: len(before)] == before
    responses = read_responses(path)
    assert responses["instruction_id"].tolist() == [f"i{i}" for i in range(n)]
    assert kills >= 2
    # Only the one in hand at a kill may have been asked for again.
    asked = log.read_text().splitlines()
    assert len(asked) <= n + kills
    assert set(asked) == {f"Question {i}?" for i in range(n)}


def whole_lines(file: Path) -> list[bytes]:
    return file.read_bytes().split(b"\n")[:-1] if file.exists() else []
