"""How much faster a server answers many prompts at a time, and how soon a dead one is given up.

A server on 127.0.0.1 answers every prompt after 200 ms. `run_system` asks it at concurrency 1 and
32 in turn; the result is the median ratio of the two rates over five pairs of runs. Then it asks
servers that are dead. `make benchmark` runs this as part of `speed.py`; by itself it takes about
two minutes.
"""

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from medalign_utils.data.release import Release
from medalign_utils.errors import IncompleteError
from medalign_utils.generation.runner import run_system
from tests.builders.chat_server import ChatServer, error

SERVER = Path(__file__).parents[1] / "tests/builders/chat_server.py"
CONCURRENCY, PROMISED = 32, 25
REPEATS = 5
# A dead server may cost so many seconds.
PROMISED_DEAD = 15
EHR = (
    '<eventstream person_id="1"><encounter><events><entry timestamp="2014-08-10 09:12">'
    '<event type="measurement" code="LOINC/2160-0" name="Creatinine" unit="mg/dL">1.4</event>'
    "</entry></events></encounter></eventstream>"
)


def release_of(folder: Path, n: int) -> Release:
    """Return a release with one short EHR and n instructions, so that packing costs nothing."""
    (folder / "ehrs").mkdir(parents=True, exist_ok=True)
    (folder / "ehrs" / "1.xml").write_text(EHR)
    ids = [str(i) for i in range(n)]
    columns = ["category", "subcategory", "submitter_specialty"]
    instructions = pd.DataFrame({"instruction_id": ids, "person_id": "1"}).assign(
        question=[f"What was creatinine number {i}?" for i in ids], **dict.fromkeys(columns)
    )
    references = pd.DataFrame({"instruction_id": ids, "annotator": "Annotator_1"}).assign(
        reference="1.4 mg/dL", evidence=None
    )
    return Release(folder, instructions, references, "Annotator_1", {}, None, None, None)


def rate(folder: Path, port: int, n: int, concurrency: int) -> float:
    """Return one run's responses per second."""
    system = {
        "generator": "openai", "model": "any", "base_url": f"http://127.0.0.1:{port}/v1",
        "concurrency": concurrency, "context_length": None, "format": "lines",
        "tokenizer": "minilm",
    }  # fmt: skip
    path = folder / f"at-{concurrency}.jsonl"
    shutil.rmtree(path.with_suffix(""), ignore_errors=True)  # or nothing is asked again
    start = time.perf_counter()
    run_system(release_of(folder, n), system, path, progress=False)
    return n / (time.perf_counter() - start)


def throughput(repeats: int = REPEATS) -> dict[str, float]:
    """Return responses per second one by one and at `CONCURRENCY`, and their median ratio."""
    server = subprocess.Popen(
        [sys.executable, str(SERVER), "0.2"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with server, tempfile.TemporaryDirectory() as folder:
        port = int(server.stdout.readline())
        rate(Path(folder), port, 4, 1)  # load everything once
        pairs = [
            (rate(Path(folder), port, 20, 1), rate(Path(folder), port, 1280, CONCURRENCY))
            for _ in tqdm(range(repeats), "asking")
        ]
        server.stdin.close()
    alone, together = np.array(pairs).T
    return {
        "alone": float(np.median(alone)),
        "together": float(np.median(together)),
        "ratio": float(np.median(together / alone)),
    }


def dead_servers() -> list[tuple[str, int, float]]:
    """Return what is dead, the concurrency, and the seconds until the run stops."""
    rows = []
    with ChatServer(lambda _: None) as gone:
        pass  # nothing listens on its port any more
    for concurrency in (1, 8):
        rows.append(("nothing listens", concurrency, seconds_until_stop(gone.port, concurrency)))
        for status in (502, 503):
            with ChatServer(lambda _, status=status: error(status)) as proxy:
                seconds = seconds_until_stop(proxy.port, concurrency)
            rows.append((f"a proxy answers HTTP {status}", concurrency, seconds))
    return rows


def seconds_until_stop(port: int, concurrency: int) -> float:
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        try:
            rate(Path(folder), port, 40, concurrency)
        except IncompleteError:
            return time.perf_counter() - start
    raise SystemExit("a dead server answered")


if __name__ == "__main__":
    print(throughput(), *dead_servers(), sep="\n")
