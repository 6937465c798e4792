"""BLEURT through transformers, as a sequence classifier with one output."""

from collections.abc import Sequence
from importlib.metadata import version

import numpy as np

from medalign_utils.hub import TRANSFORMERS, describe, find_checkpoint, load_network
from medalign_utils.metrics.base import DECIMALS, check_texts, warn_of


def score_bleurt(
    responses: Sequence[str], references: Sequence[str], *, model: str, progress: bool = False
) -> np.ndarray:
    """Return BLEURT of each response and its reference: float64, shape (N,), 6 decimals.

    Scores are unbounded, but mostly between -2 and 1. `model` is the folder of a Hugging Face
    sequence classifier with one output, or a hub id. Elron/bleurt-large-512 is the largest
    published checkpoint that transformers loads without conversion; the paper does not name its
    checkpoint. Pairs beyond the model's limit are cut, the longer text first; a warning counts
    them.

    Raises: NotAvailableError if the model cannot be reached; MedAlignError if it is not a BLEURT
    model, or as `check_texts`.

    Source: Sellam et al. 2020.
    """
    check_texts("score_bleurt", responses=responses, references=references)
    if not len(responses):
        return np.empty(0)
    import torch
    from tqdm.auto import tqdm

    checkpoint = find_checkpoint(model, *TRANSFORMERS)
    tokenizer, network = load_network(
        checkpoint, "AutoModelForSequenceClassification", num_labels=1
    )
    limit, cut, scores = network.config.max_position_embeddings, 0, []
    # Use lists of one text, because an empty string would lose its separator.
    pairs = [([r], [p]) for r, p in zip(references, responses, strict=True)]
    # In a text, the names of special tokens are plain text.
    options = {"split_special_tokens": True, "verbose": False}
    with torch.inference_mode():
        # One by one: a score must not depend on other texts in its batch.
        for pair in tqdm(pairs, "bleurt", disable=not progress):
            cut += len(tokenizer(*pair, **options)["input_ids"][0]) > limit
            cutting = {"truncation": "longest_first", "max_length": limit}
            tokens = tokenizer(*pair, **options, **cutting, return_tensors="pt")
            scores.append(network(**tokens.to(network.device)).logits.item())
    fault = f"exceed the model's limit of {limit} tokens; the rest is not compared"
    warn_of("bleurt", cut, f"{len(pairs)} pairs", fault)
    return np.array(scores, dtype=np.float64).round(DECIMALS)


def signature_bleurt(*, model: str) -> str:
    """Return the settings of BLEURT."""
    weights = describe(find_checkpoint(model, *TRANSFORMERS))
    return f"bleurt|{weights}|transformers:{version('transformers')}"
