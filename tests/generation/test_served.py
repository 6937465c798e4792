"""A model behind a server answers like the same model loaded locally."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from medalign_utils.config import load_system
from medalign_utils.data.release import load_release
from medalign_utils.generation.huggingface import huggingface
from medalign_utils.generation.openai_api import openai
from medalign_utils.generation.runner import run_system
from medalign_utils.prompts.gguf import convert
from medalign_utils.prompts.templates import fill
from medalign_utils.prompts.tokenizers import load_tokenizer
from medalign_utils.synthetic import write_release
from tests.builders.tiny_models import TRAINING, write_tiny_llama

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")

START_S = 90
QUESTIONS = [
    "Any pain?", "Leidet die Patientin an Übelkeit?", "患者有糖尿病吗？", "Is she 😀 or 😢?",
    "Wie groß ist er: 5′3″?", "¿Tiene alergias?", "Température > 38,5 °C ?", "Any\ncough?",
    "Creatinine, µmol/L?", "है?",
]  # fmt: skip
PROMPTS = [
    fill(question, " ".join(TRAINING[i % 3] for i in range(1 + place % 4)))
    for place, question in enumerate(QUESTIONS)
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(write_tiny_llama(tmp_path_factory.mktemp("llama"), seed=1))


@pytest.fixture(scope="module")
def base_url(tmp_path_factory):
    """Run `transformers serve` on this machine during the tests."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # The server loads the model that a request names.
    command = [
        sys.executable, "-c", "from transformers.commands.transformers_cli import main; main()",
        "serve", "--host", "127.0.0.1", "--port", str(port), "--device", "cpu",
        "--dtype", "float32", "--log_level", "error",
    ]  # fmt: skip
    log = tmp_path_factory.mktemp("serve") / "log"
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
    with log.open("wb") as output:
        server = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)
    try:
        wait_for(f"http://127.0.0.1:{port}/health", server, log)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def wait_for(url, server, log):
    # A proxy in the environment does not apply to this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    end = time.monotonic() + START_S
    while time.monotonic() < end and server.poll() is None:
        try:
            with opener.open(url, timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"no server after {START_S} s: {log.read_text()[-2000:]}")


def test_a_served_model_answers_like_the_same_local_model(folder, base_url):
    here = huggingface(load_tokenizer(folder), model=folder, device="cpu", batch_size=4)
    served = openai(model=folder, base_url=base_url, concurrency=2)
    expected = [answer for i in range(0, 10, 4) for answer in here.answer(PROMPTS[i : i + 4])]
    found = [answer for prompt in PROMPTS for answer in served.answer([prompt])]
    assert [answer.text for answer in found] == [answer.text for answer in expected]
    assert len({answer.text for answer in found}) == len(PROMPTS)


@pytest.mark.slow
def test_a_real_language_model_answers_three_instructions_here_and_behind_a_server(
    base_url, tmp_path
):
    write_release(tmp_path / "release", patients=1, instructions=4)
    release = load_release(tmp_path / "release")
    here = load_system("smollm2-135m-retrieve") | {"batch_size": 1}
    folder = str(tmp_path / "smollm2")
    convert(here["model"], Path(folder))
    same = ("format", "strategy", "context_length", "max_new_tokens")
    served = {key: here[key] for key in same}
    served |= {"generator": "openai", "model": folder, "tokenizer": folder, "base_url": base_url}
    served |= {"timeout_s": 900, "concurrency": 1}
    found = [
        run_system(release, system, tmp_path / f"{system['generator']}.jsonl", progress=False)
        for system in (here, served)
    ]
    # The server says "stop" of responses that it has cut, too.
    columns = ["instruction_id", "response", "prompt_tokens"]
    assert found[0][columns].equals(found[1][columns])
    assert len(found[0]) == 3 and found[0]["response"].str.len().min() > 10
