"""Shards: cut evenly, answered apart and at the same time, joined to what one job makes."""

import json
import multiprocessing
import os
import random
import subprocess
import sys
import time
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medalign_utils import paths
from medalign_utils.data.release import instructions_to_answer, load_release
from medalign_utils.data.responses import read_responses
from medalign_utils.errors import IncompleteError, MedAlignError, ParamsError
from medalign_utils.generation.registry import GENERATORS, Failure, Generation, Generator
from medalign_utils.generation.runner import run_system
from medalign_utils.generation.sharding import cut, estimated_tokens, join_scores, shard_of
from medalign_utils.metrics.scoring import score_responses
from medalign_utils.synthetic import write_release
from tests.builders.run_folder import kept
from tests.builders.tiny_release import write_many

SYSTEM = {
    "generator": "bm25_passage", "context_length": 2048, "format": "lines", "tokenizer": "minilm",
}  # fmt: skip


@given(st.lists(st.integers(0, 50), min_size=1, max_size=30), st.data())
def test_a_cut_is_whole_has_no_empty_part_and_is_even(costs, data):
    shards = data.draw(st.integers(1, len(costs)))
    bounds = cut(costs, shards)
    assert bounds[0] == 0 and bounds[-1] == len(costs)
    assert all(low < high for low, high in pairwise(bounds))
    # An item goes where its middle falls, so a part has at most its even share and half an item at
    # either end; where that left parts empty they took an item of their neighbours, which adds none
    # to the largest but one item that stands alone.
    parts = [sum(costs[low:high]) for low, high in pairwise(bounds)]
    assert max(parts) <= sum(costs) / shards + max(costs)


def test_a_prompts_size_is_the_records_within_the_context(tmp_path):
    release = load_release(write_many(tmp_path / "release", 3))
    instructions = instructions_to_answer(release)
    size = (tmp_path / "release/ehrs/40.xml").stat().st_size
    # "Question 0?" has 11 characters, at 4.5 a token.
    whole = size / 4.5 + 11 / 4.5
    for change, expected in (
        ({"context_length": None}, whole),
        ({"context_length": 256 + 20}, 20 + 11 / 4.5),
        ({"context_length": 256 + 20, "strategy": "refine"}, whole),
        ({"context_length": None, "format": "markup"}, size / 2.75 + 11 / 4.5),
    ):
        tokens = estimated_tokens(release, instructions, SYSTEM | change)
        np.testing.assert_allclose(tokens, [expected] * 3)


def test_shards_are_the_instructions_in_their_order(tmp_path):
    release = load_release(write_many(tmp_path / "release", 10))
    instructions = instructions_to_answer(release)
    parts = [shard_of(release, instructions, SYSTEM, k, 3) for k in (1, 2, 3)]
    pd.testing.assert_frame_equal(pd.concat(parts), instructions)
    assert [len(part) for part in parts] == [3, 4, 3]  # alike, so by the middles of 10 thirds
    with pytest.raises(ParamsError, match="shards: 11, expected at most 10, one for each"):
        shard_of(release, instructions, SYSTEM, 1, 11)


@pytest.fixture
def asked(monkeypatch):
    """A generator that counts its prompts, and fails for the instructions in `refused`."""
    counts = {"refused": set(), "asked": []}

    def factory():
        def answer(prompts):
            questions = [prompt.instruction for prompt in prompts]
            counts["asked"] += questions
            return [
                Failure("no") if question in counts["refused"] else Generation(question, "stop")
                for question in questions
            ]

        return Generator(answer, batch_size=2)

    monkeypatch.setitem(GENERATORS, "counting", factory)
    return counts


def run_all(release, system, path, shards):
    """All shards one after the other; what they publish, set end to end."""
    for shard in range(1, shards + 1):
        run_system(release, system, path, shard=shard, shards=shards, progress=False)
    return b"".join(paths.part(path, k, shards).read_bytes() for k in range(1, shards + 1))


def without_seconds(lines):
    rows = [json.loads(line) for line in lines.splitlines()]
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


def test_another_number_of_shards_asks_nothing_anew_and_changes_no_byte(tmp_path, asked):
    release = load_release(write_many(tmp_path / "release", 10))
    system, path = SYSTEM | {"generator": "counting"}, tmp_path / "runs" / "s.jsonl"
    published = {n: run_all(release, system | {"shards": n}, path, n) for n in (3, 1, 4)}
    assert len(asked["asked"]) == len(set(asked["asked"])) == 10
    assert len(set(published.values())) == 1
    alone = tmp_path / "alone" / "s.jsonl"
    run_system(release, system, alone, progress=False)
    assert without_seconds(published[3]) == without_seconds(alone.read_bytes())


def test_a_shard_that_failed_or_was_lost_is_made_again_alone(tmp_path, asked):
    release = load_release(write_many(tmp_path / "release", 10))
    system, path = SYSTEM | {"generator": "counting"}, tmp_path / "runs" / "s.jsonl"
    asked["refused"] = {"Question 4?"}
    with pytest.raises(IncompleteError, match="s: 1 of 4 instructions have no response yet"):
        run_system(release, system, path, shard=2, shards=3, progress=False)
    assert kept(path, "failures-2-of-3.jsonl").is_file()
    run_system(release, system, path, shard=1, shards=3, progress=False)
    run_system(release, system, path, shard=3, shards=3, progress=False)
    assert not paths.part(path, 2, 3).exists()
    asked["asked"].clear()
    asked["refused"] = set()
    run_system(release, system, path, shard=2, shards=3, progress=False)
    assert asked["asked"] == ["Question 4?"]
    assert not kept(path, "failures-2-of-3.jsonl").exists()
    # What a shard has published is lost, then also what it kept.
    before = paths.part(path, 1, 3).read_bytes()
    paths.part(path, 1, 3).unlink()
    run_system(release, system, path, shard=1, shards=3, progress=False)
    assert paths.part(path, 1, 3).read_bytes() == before and len(asked["asked"]) == 1
    kept(path, "responses-1-of-3.jsonl").unlink()
    run_system(release, system, path, shard=1, shards=3, progress=False)
    assert asked["asked"][1:] == [f"Question {i}?" for i in range(3)]


def test_failures_of_another_number_of_shards_are_forgotten(tmp_path, asked):
    release = load_release(write_many(tmp_path / "release", 10))
    system, path = SYSTEM | {"generator": "counting"}, tmp_path / "runs" / "s.jsonl"
    asked["refused"] = {"Question 0?", "Question 9?"}
    for shard in (1, 3):
        with pytest.raises(IncompleteError):
            run_system(release, system, path, shard=shard, shards=3, progress=False)
    names = ("failures-1-of-3.jsonl", "failures-3-of-3.jsonl")
    assert all(kept(path, name).is_file() for name in names)  # each shard keeps the other's
    with pytest.raises(IncompleteError):
        run_system(release, system, path, progress=False)
    assert [file.name for file in kept(path).parent.glob("failures*")] == ["failures.jsonl"]


def test_a_torn_line_in_another_jobs_file_is_not_taken_and_not_touched(tmp_path, asked):
    release = load_release(write_many(tmp_path / "release", 10))
    system, path = SYSTEM | {"generator": "counting"}, tmp_path / "runs" / "s.jsonl"
    run_system(release, system, path, shard=1, shards=2, progress=False)
    file = kept(path, "responses-1-of-2.jsonl")
    torn = file.read_bytes()[:-30]
    file.write_bytes(torn)
    asked["asked"].clear()
    assert len(run_system(release, system, path, progress=False)) == 10
    assert file.read_bytes() == torn
    assert asked["asked"] == [f"Question {i}?" for i in range(4, 10)]


def _answer_shards(folder, path, shards):
    """In a process of its own: every shard from several processes, each killed now and then."""
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


def test_shards_at_the_same_time_that_are_killed_lose_and_repeat_nothing(tmp_path):
    folder = tmp_path / "release"
    write_release(folder, patients=3, instructions=20, seed=1)
    release = load_release(folder)
    alone = run_system(release, SYSTEM, tmp_path / "alone" / "s.jsonl", progress=False)
    path = tmp_path / "runs" / "s.jsonl"
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=_answer_shards, args=(folder, path, 3))
    process.start()
    process.join()
    assert process.exitcode == 0
    responses = pd.concat([read_responses(paths.part(path, k, 3)) for k in (1, 2, 3)])
    pd.testing.assert_frame_equal(
        responses.drop(columns="seconds").reset_index(drop=True), alone.drop(columns="seconds")
    )
    files = [kept(path, f"responses-{k}-of-3.jsonl") for k in (1, 2, 3)]
    assert sum(len(file.read_text().splitlines()) for file in files) == len(alone)


def test_joined_scores_are_those_of_one_job_byte_by_byte(tmp_path):
    # Repeated texts and unequal lengths: what a batch would let hang together.
    texts = ["No.", "Creatinine was 1.4 mg/dL.", "x " * 40, "", "No."] * 3
    ids = [str(i) for i in range(len(texts))]
    responses = pd.DataFrame({"instruction_id": ids, "system": "s", "response": texts})
    instructions = pd.DataFrame({"instruction_id": ids, "question": "What?"})
    references = pd.DataFrame(
        {"instruction_id": ids, "annotator": "Annotator_1", "reference": [*texts[1:], "Yes."]}
    )
    references.loc[references["reference"] == "", "reference"] = "None known."

    def score(table, out):
        scored = score_responses(
            table, instructions, references, ["bertscore", "rouge_l", "chrf"],
            weights={"bertscore": "minilm"}, bertscore_layer=6, progress=False,
        )  # fmt: skip
        return paths.write_scores(scored.scores, out, private=False)

    whole = score(responses, tmp_path / "whole.parquet")
    bounds = [0, 4, 5, 15]
    parts = [
        score(responses.iloc[low:high], tmp_path / f"{low}.parquet")
        for low, high in pairwise(bounds)
    ]
    command = [sys.executable, "-m", "medalign_utils", "join-scores", tmp_path / "joined.parquet"]
    subprocess.run([*command, *parts], check=True)
    assert (tmp_path / "joined.parquet").read_bytes() == whole.read_bytes()


def test_scores_of_other_settings_are_not_joined(tmp_path):
    row = {"instruction_id": ["1"], "system": ["s"], "metric": ["chrf"], "score": [0.5]}
    parts = []
    for signature in ("a", "b"):
        frame = pd.DataFrame(row | {"signature": [signature]})
        parts.append(paths.write_scores(frame, tmp_path / f"{signature}.parquet", private=False))
    with pytest.raises(MedAlignError, match=r"join_scores: .*b.parquet has \[\['chrf', 'b'\]\]"):
        join_scores(parts, tmp_path / "joined.parquet", private=False)
