"""How much faster a local model answers if prompts of similar length share a batch.

A Llama with random weights, made on the spot, answers prompts of mixed lengths through
`run_system`, in the release's order and sorted by length, in turn. `make benchmark` runs this as
part of `speed.py`; by itself it takes about two minutes.
"""

import itertools
import shutil
import tempfile
import time
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm
from transformers import LlamaConfig, LlamaForCausalLM

from medalign_utils.data.release import Release
from medalign_utils.generation import tasks
from medalign_utils.generation.runner import run_system
from tests.builders.tiny_models import byte_level_tokenizer

N, BATCH, NEW_TOKENS, CONTEXT = 64, 8, 8, 2048
REPEATS = 5
EHR = '<eventstream person_id="{}"><encounter><events>{}</events></encounter></eventstream>'
ENTRY = (
    '<entry timestamp="2014-08-10 09:{:02}"><event type="measurement" code="LOINC/2160-0" '
    'name="Creatinine" unit="mg/dL">1.4</event></entry>'
)


def write_model(folder: Path) -> Path:
    """Write a Llama of four layers, large enough that padding costs time."""
    tokenizer = byte_level_tokenizer(["<|end|>"], eos="<|end|>")
    tokenizer.save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=192,
        intermediate_size=384,
        num_hidden_layers=4,
        num_attention_heads=4,
        max_position_embeddings=CONTEXT,
        bos_token_id=0,
        eos_token_id=0,
    )
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def write_mixed(folder: Path) -> Release:
    """Write N EHRs of lognormal lengths, half of them between about 4 and 15 entries."""
    (folder / "ehrs").mkdir(parents=True)
    entries = np.random.default_rng(1).lognormal(2.0, 1.0, N).clip(1, 59).astype(int)
    for i, n in enumerate(entries):
        text = EHR.format(i, "".join(ENTRY.format(minute) for minute in range(n)))
        (folder / f"ehrs/{i}.xml").write_text(text)
    ids = [str(i) for i in range(N)]
    columns = ["category", "subcategory", "submitter_specialty"]
    instructions = pd.DataFrame({"instruction_id": ids, "person_id": ids}).assign(
        question="What was the last creatinine?", **dict.fromkeys(columns)
    )
    references = pd.DataFrame({"instruction_id": ids, "annotator": "Annotator_1"}).assign(
        reference="1.4 mg/dL", evidence=None
    )
    return Release(folder, instructions, references, "Annotator_1", {}, None, None, None)


def padded(lengths: np.ndarray) -> float:
    """Return how many tokens batches of these prompts have, over those of the prompts."""
    batches = lengths.reshape(-1, BATCH)
    return float(batches.max(axis=1).sum() * BATCH / lengths.sum())


def batching(repeats: int = REPEATS) -> dict[str, float]:
    """Return CPU seconds in both orders, their ratio with its range, and the padding."""
    ways = {"unsorted": lambda found, _: iter(found), "sorted": tasks._by_length}
    took: dict[str, list[float]] = {name: [] for name in ways}
    texts = {}
    with tempfile.TemporaryDirectory() as name:
        release, model = write_mixed(Path(name, "release")), write_model(Path(name, "model"))
        system = {
            "generator": "huggingface", "model": str(model), "device": "cpu", "format": "lines",
            "context_length": CONTEXT, "batch_size": BATCH, "max_new_tokens": NEW_TOKENS,
        }  # fmt: skip
        for i, way in tqdm(list(itertools.product(range(-1, repeats), ways)), "batching"):
            path = Path(name, f"{way}.jsonl")
            shutil.rmtree(path.with_suffix(""), ignore_errors=True)
            # A system of another name would have answered.
            for other in ways:
                shutil.rmtree(Path(name, other), ignore_errors=True)
            with patch.object(tasks, "_by_length", ways[way]):
                start = time.process_time()  # other processes do not count
                responses = run_system(release, system, path, progress=False)
            if i >= 0:  # the first turn loads everything
                took[way].append(time.process_time() - start)
            texts[way] = responses["response"]
    if not texts["sorted"].equals(texts["unsorted"]):
        raise SystemExit("the order of prompts changes a response")
    lengths = responses["prompt_tokens"].to_numpy()
    ratios = np.array(took["unsorted"]) / np.array(took["sorted"])
    return {
        "unsorted": float(np.median(took["unsorted"])),
        "sorted": float(np.median(took["sorted"])),
        "ratio": float(np.median(ratios)),
        "lowest": float(ratios.min()),
        "highest": float(ratios.max()),
        "padded_unsorted": padded(lengths),
        "padded_sorted": padded(np.sort(lengths)),
    }


if __name__ == "__main__":
    print(batching())
