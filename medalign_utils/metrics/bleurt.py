"""BLEURT through transformers, as a sequence classifier with one output."""

import warnings
from collections.abc import Sequence
from importlib.metadata import version

import numpy as np

from medalign_utils.metrics.base import check_texts
from medalign_utils.metrics.checkpoints import (
    TRANSFORMERS,
    Checkpoint,
    describe,
    find_checkpoint,
    load_network,
)


def score_bleurt(
    predictions: Sequence[str], references: Sequence[str], *, model: str, progress: bool = False
) -> np.ndarray:
    """BLEURT: a BERT that read reference and answer together says how alike they are.

    The paper does not say which checkpoint it used. Elron/bleurt-large-512 is our default: of the
    published ones the largest that transformers loads as it is, and trained on up to 512 tokens.
    The "128" ones were trained on 128; they too are given as many here as their configuration
    allows. The newer BLEURT-20 needs a class and a tokenizer of its own.

    Args:
        predictions: N answers; an empty one is scored as the network scores it.
        references: N references, in the same order; likewise.
        model: the folder of a Hugging Face sequence classifier with one output, or a hub id.
        progress: show a progress bar.

    Returns:
        float64, shape (N,): unbounded, for most pairs between -2 and 1. Reference and answer that
        are together longer than the network's limit are cut, the longer one first, which is warned
        of with a count.

    Raises:
        NotAvailableError: the weights cannot be had now.
        MedAlignError: the lengths differ, a value is not a string, or the model is no BLEURT.

    Source: Sellam et al. 2020.

    >>> score_bleurt(["1.4"], [], model="")
    Traceback (most recent call last):
    ...
    medalign_utils.errors.MedAlignError: score_bleurt: 1 predictions, 0 references
    """
    check_texts("score_bleurt", predictions=predictions, references=references)
    if not len(predictions):
        return np.empty(0)
    import torch
    from tqdm.auto import tqdm

    tokenizer, network = load_network(
        _find(model), "AutoModelForSequenceClassification", num_labels=1
    )
    limit = network.config.max_position_embeddings
    # A pair of special tokens' spelling in a text is read as the characters it is made of.
    encoded = tokenizer([*references], [*predictions], split_special_tokens=True, verbose=False)
    cut = sum(len(ids) > limit for ids in encoded["input_ids"])
    order = sorted(range(len(predictions)), key=lambda i: (len(encoded["input_ids"][i]), i))
    scores = np.empty(len(predictions))
    batches = [[i] for i in order]  # one by one: a score must not hang on the others of its batch
    with torch.inference_mode():
        for batch in tqdm(batches, "bleurt", unit="batch", disable=not progress):
            tokens = tokenizer(
                [references[i] for i in batch],
                [predictions[i] for i in batch],
                padding=True,
                truncation="longest_first",
                max_length=limit,
                split_special_tokens=True,
                return_tensors="pt",
            ).to(network.device)
            scores[batch] = network(**tokens).logits[:, 0].cpu().numpy()
    if cut:
        warnings.warn(
            f"score_bleurt: {cut} of {len(predictions)} pairs are longer than the model's limit of "
            f"{limit} tokens; what follows is not compared",
            stacklevel=2,
        )
    return scores


def signature_bleurt(*, model: str) -> str:
    """State the settings behind a BLEURT score.

    Raises: as `score_bleurt`.

    >>> signature_bleurt(model="medalign_utils")
    Traceback (most recent call last):
    ...
    medalign_utils.errors.MedAlignError: medalign_utils holds no *.safetensors or *.bin
    """
    return f"bleurt|{describe(_find(model))}|transformers:{version('transformers')}"


def _find(model: str) -> Checkpoint:
    return find_checkpoint(model, *TRANSFORMERS)
