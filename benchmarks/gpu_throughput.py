"""How long a language model on this machine's GPU takes per prompt, by prompt length.

    python benchmarks/gpu_throughput.py     # a few minutes; a GPU with 40 GB, 16 GB of disk

The model has the shape of Llama 3.1 8B and random bfloat16 weights: its answers are nonsense, only
the time matters. It generates 256 tokens per prompt with the generator `huggingface`, as in a
system's job. The table is written to benchmarks/gpu_throughput.csv.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
import torch
from tqdm import tqdm
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from medalign_utils.generation.huggingface import huggingface
from medalign_utils.prompts.templates import RESPONSE_TOKENS, fill
from medalign_utils.prompts.tokenizers import load_tokenizer

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from tests.builders.tiny_models import byte_level_tokenizer  # noqa: E402

# Prompt tokens -> batch sizes.
BATCHES = {2_048: (1, 8), 8_192: (1, 4), 32_768: (1, 2), 98_304: (1,)}
SHAPE = {
    "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
    "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128_256,
    "max_position_embeddings": 131_072, "rope_theta": 500_000.0,
}  # fmt: skip
REPEATS = 2


def write_model(folder: Path, layers: int) -> None:
    """Write a model folder; its answers almost never end before the limit."""
    byte_level_tokenizer(["<|begin|>", "<|end|>"], bos="<|begin|>", eos="<|end|>").save_pretrained(
        folder
    )
    torch.manual_seed(1)
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("cuda"):
        model = LlamaForCausalLM(LlamaConfig(**SHAPE | {"num_hidden_layers": layers}))
    torch.set_default_dtype(torch.float32)
    model.save_pretrained(folder)
    del model
    torch.cuda.empty_cache()


def main(layers: int) -> None:
    if not torch.cuda.is_available():
        sys.exit("gpu_throughput: PyTorch finds no GPU on this machine")
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_model(folder, layers)
        words = AutoTokenizer.from_pretrained(folder)
        unit = "2014-08-10 09:12 measurement LOINC/2160-0 Creatinine: 1.4 mg/dL\n"
        unit_tokens = len(words(unit * 100)["input_ids"]) / 100
        most = max(max(batches) for batches in BATCHES.values())
        answer = huggingface(load_tokenizer(str(folder)), model=str(folder), batch_size=most).answer
        answer([fill("Which?", unit)])  # loads the model
        for tokens, batch in tqdm([(t, b) for t, batches in BATCHES.items() for b in batches]):
            ehr = unit * int((tokens - RESPONSE_TOKENS - 60) / unit_tokens)
            prompts = [fill(f"What was creatinine {i}?", ehr) for i in range(batch)]
            torch.cuda.reset_peak_memory_stats()
            took = []
            for _ in range(REPEATS):
                began = time.perf_counter()
                answers = answer(prompts)
                took.append(time.perf_counter() - began)
            rows.append(
                {
                    "prompt_tokens": len(words(prompts[0].text)["input_ids"]),
                    "batch_size": batch,
                    "response_tokens": sum(answer.tokens for answer in answers) / batch,
                    "seconds_a_prompt": min(took) / batch,
                    "peak_gb": torch.cuda.max_memory_allocated() / 1e9,
                    "layers": layers,
                    "gpu": torch.cuda.get_device_name(),
                }
            )
            pd.DataFrame(rows).round(3).to_csv(HERE / "gpu_throughput.csv", index=False)
    print(pd.DataFrame(rows).round(3).to_string())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--layers", type=int, default=32, help="fewer for a smaller GPU")
    main(parser.parse_args().layers)
