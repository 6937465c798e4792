"""What asking a server many prompts at a time gains over asking one by one.

A server on 127.0.0.1 answers every prompt after 200 ms. `run_system` asks it at concurrency 1 and
at 32, in turn; the ratio of the two rates is that of one pair of runs, the median of five counts.
`make benchmark` runs this as part of `speed.py`; by itself it takes about a minute.
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
from medalign_utils.generation.runner import run_system

TESTS = Path(__file__).parents[1] / "tests"
CONCURRENCY, PROMISED = 32, 25
REPEATS = 5
EHR = (
    '<eventstream person_id="1"><encounter><events><entry timestamp="2014-08-10 09:12">'
    '<event type="measurement" code="LOINC/2160-0" name="Creatinine" unit="mg/dL">1.4</event>'
    "</entry></events></encounter></eventstream>"
)


def release_of(folder: Path, n: int) -> Release:
    """One short EHR and n instructions, so that packing takes next to no time."""
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
    """Responses a second of one run."""
    system = {
        "generator": "openai", "model": "any", "base_url": f"http://127.0.0.1:{port}/v1",
        "concurrency": concurrency, "context_length": None, "format": "lines",
        "tokenizer": "minilm",
    }  # fmt: skip
    path = folder / f"at-{concurrency}.jsonl"
    shutil.rmtree(path.with_suffix(""), ignore_errors=True)  # or nothing would be asked again
    start = time.perf_counter()
    run_system(release_of(folder, n), system, path, progress=False)
    return n / (time.perf_counter() - start)


def throughput(repeats: int = REPEATS) -> dict[str, float]:
    """Responses a second one by one and at `CONCURRENCY`, and the median of their ratios."""
    server = subprocess.Popen(
        [sys.executable, str(TESTS / "chat_server.py"), "0.2"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with server, tempfile.TemporaryDirectory() as folder:
        port = int(server.stdout.readline())
        rate(Path(folder), port, 4, 1)  # what is loaded once
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


if __name__ == "__main__":
    print(throughput())
