"""A run of a language model that is killed repeatedly ends like an undisturbed one."""

import json
import os
import subprocess
import sys

import pandas as pd
import pytest

from medalign_utils.data.release import load_release
from medalign_utils.data.responses import read_responses
from medalign_utils.generation.runner import run_system
from medalign_utils.synthetic import write_release
from tests.builders.tiny_models import write_tiny_llama

KILLS = 25
# Forks a process that has loaded everything, so that it spends most of its time in the run.
KILLED_RUNS = """
import json, logging, os, random, signal, sys, time
import torch, transformers
from medalign_utils.data.release import load_release
from medalign_utils.generation.runner import run_system

release, system, path, kills = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3], int(sys.argv[4])
release = load_release(release)
rng = random.Random(1)
killed = 0
while not os.path.exists(path):
    child = os.fork()
    if child == 0:
        run_system(release, system, path, progress=False)
        os._exit(0)
    if killed < kills:
        time.sleep(rng.uniform(0, float(sys.argv[5])))
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    killed += os.WIFSIGNALED(status)
    assert os.WIFSIGNALED(status) or os.waitstatus_to_exitcode(status) == 0
print(killed)
"""


@pytest.mark.slow
def test_25_kills_change_no_response(tmp_path):
    folder = tmp_path / "release"
    write_release(folder, patients=24, instructions=120, seed=1)  # the demo
    release = load_release(folder)
    model = str(write_tiny_llama(tmp_path / "llama"))
    system = {
        "generator": "huggingface", "model": model, "device": "cpu", "batch_size": 4,
        "context_length": 600, "format": "lines",
    }  # fmt: skip
    alone = run_system(release, system, tmp_path / "alone" / "m.jsonl", progress=False)
    path = tmp_path / "killed" / "m.jsonl"
    command = [sys.executable, "-c", KILLED_RUNS, folder, json.dumps(system), path, KILLS, 1.6]
    done = subprocess.run(
        list(map(str, command)),
        env=os.environ | {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == KILLS
    responses = read_responses(path)
    assert len(responses) == release.references["instruction_id"].nunique()
    pd.testing.assert_frame_equal(responses.drop(columns="seconds"), alone.drop(columns="seconds"))
    assert sorted(file.name for file in path.parent.iterdir()) == ["m", "m.jsonl"]
