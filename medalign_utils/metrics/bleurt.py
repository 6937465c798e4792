"""BLEURT through transformers, as a sequence classifier with one output."""

from collections.abc import Sequence
from importlib.metadata import version

import numpy as np

from medalign_utils.hub import TRANSFORMERS, describe, find_checkpoint, load_network
from medalign_utils.metrics.base import DECIMALS, check_texts, warn_of


def score_bleurt(
    predictions: Sequence[str], references: Sequence[str], *, model: str, progress: bool = False
) -> np.ndarray:
    """Return BLEURT of each answer and its reference: float64, shape (N,), 6 decimals.

    Unbounded, for most pairs between -2 and 1. `model` is the folder of a Hugging Face sequence
    classifier with one output, or a hub id such as Elron/bleurt-large-512, the largest published
    one that transformers loads as it is; the paper does not name its own. Pairs beyond the model's
    limit are cut, the longer text first, with a warning that counts them.

    Raises: NotAvailableError if the model is out of reach; MedAlignError if it is not a BLEURT, or
    as `check_texts`.

    Source: Sellam et al. 2020.
    """
    check_texts("score_bleurt", predictions=predictions, references=references)
    if not len(predictions):
        return np.empty(0)
    import torch
    from tqdm.auto import tqdm

    checkpoint = find_checkpoint(model, *TRANSFORMERS)
    tokenizer, network = load_network(
        checkpoint, "AutoModelForSequenceClassification", num_labels=1
    )
    limit, cut, scores = network.config.max_position_embeddings, 0, []
    # Lists of one: as a string, an empty answer would lose its separator.
    pairs = [([r], [p]) for r, p in zip(references, predictions, strict=True)]
    # In texts, special tokens are read as the characters they are spelt with.
    options = {"split_special_tokens": True, "verbose": False}
    with torch.inference_mode():
        # One by one: a score must not depend on the others of its batch.
        for pair in tqdm(pairs, "bleurt", disable=not progress):
            cut += len(tokenizer(*pair, **options)["input_ids"][0]) > limit
            cutting = {"truncation": "longest_first", "max_length": limit}
            tokens = tokenizer(*pair, **options, **cutting, return_tensors="pt")
            scores.append(network(**tokens.to(network.device)).logits.item())
    fault = f"are longer than the model's limit of {limit} tokens; what follows is not compared"
    warn_of("bleurt", cut, f"{len(pairs)} pairs", fault)
    return np.array(scores, dtype=np.float64).round(DECIMALS)


def signature_bleurt(*, model: str) -> str:
    """Return the settings of BLEURT."""
    weights = describe(find_checkpoint(model, *TRANSFORMERS))
    return f"bleurt|{weights}|transformers:{version('transformers')}"
