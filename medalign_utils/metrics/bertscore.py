"""BERTScore through the bert-score package."""

import warnings
from collections.abc import Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np

from medalign_utils.errors import MedAlignError
from medalign_utils.metrics.base import check_texts
from medalign_utils.metrics.checkpoints import TRANSFORMERS, describe, find_checkpoint
from medalign_utils.minilm import MINILM_NAME, MINILM_SHA256, fixed_batches, load_minilm

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def score_bertscore(
    predictions: Sequence[str],
    references: Sequence[str],
    *,
    model: str,
    layer: int,
    progress: bool = False,
) -> np.ndarray:
    """BERTScore F1 without IDF weights and without baseline rescaling.

    Each distinct text is encoded once, to the same bits whatever it is scored with, and the pairs
    are then matched one by one with the package's own functions; ``bert_score.score`` gives the
    same to 1e-5. As there, [CLS] and [SEP] may be matched but carry no weight themselves, and a
    text longer than the model's limit is cut, which is warned of with a count. A token whose
    cosines are all negative counts 0. In the package that is so for every pair that its batch pads,
    so that there a pair's score can hang on its neighbours; here it always is.

    Args:
        predictions: N answers.
        references: N references, in the same order.
        model: "minilm" (comes with the package), the folder of a Hugging Face model, or a hub id.
        layer: the hidden layer compared; 0 is the embedding layer.
        progress: show a progress bar.

    Returns:
        float64, shape (N,): a harmonic mean of mean cosines, at most 1 and in practice above 0. An
        empty answer or reference scores 0 and is warned of with a count.

    Raises:
        NotAvailableError: a hub's model is not here and cannot be had now.
        MedAlignError: the lengths differ, a value is not a string, there is no such model, or it
            has fewer layers.

    Source: Zhang et al. 2020.

    >>> score_bertscore(["atorvastatin 40 mg", ""], ["atorvastatin 40 mg"] * 2,
    ...                 model="minilm", layer=6).round(4)
    array([1., 0.])
    """
    check_texts("score_bertscore", predictions=predictions, references=references)
    import torch
    from bert_score.utils import greedy_cos_idf
    from torch.nn.functional import pad

    tokenizer, network = _load(model, layer)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    encoded = _encode([*predictions, *references], tokenizer, network.to(device), progress)

    scores = np.zeros(len(predictions))
    for i, pair in enumerate(zip(references, predictions, strict=True)):
        embeddings = [encoded[text][0] for text in pair]
        if any(_is_empty(embedding) for embedding in embeddings):
            continue
        stats = []
        for text, embedding in zip(pair, embeddings, strict=True):
            # One position of padding, which matches with cosine 0 (its vector must not be null).
            mask = torch.arange(len(embedding) + 1)[None] < len(embedding)
            weights = encoded[text][1]
            stats += [
                pad(embedding[None], (0, 0, 0, 1), value=1.0),
                mask,
                pad(weights[None], (0, 1)),
            ]
        _precision, _recall, f1 = greedy_cos_idf(*stats)
        scores[i] = f1.item()

    for name, texts in (("predictions", predictions), ("references", references)):
        _warn(name, texts, encoded, tokenizer.model_max_length)
    return scores


def signature_bertscore(*, model: str, layer: int) -> str:
    """State the settings behind a BERTScore; of "minilm" the digest is of the weights alone.

    Raises: as `score_bertscore`.

    >>> signature_bertscore(model="minilm", layer=6)  # doctest: +ELLIPSIS
    'bertscore|model:all-MiniLM-L6-v2|sha256:53aa51172d14|layer:6|idf:no|rescale:no|v:...'
    """
    if model == "minilm":
        weights = f"model:{MINILM_NAME}|sha256:{MINILM_SHA256[:12]}"
    else:
        weights = describe(find_checkpoint(model, *TRANSFORMERS))
    return (
        f"bertscore|{weights}|layer:{layer}|idf:no|rescale:no"
        f"|v:{version('bert-score')}|transformers:{version('transformers')}"
    )


def _load(model: str, layer: int) -> tuple["PreTrainedTokenizerBase", "PreTrainedModel"]:
    """Load the tokenizer and the model up to `layer`."""
    from bert_score.utils import get_model, get_tokenizer

    if model == "minilm":
        tokenizer, network = load_minilm()
        n_layers = len(network.encoder.layer)
        if not 0 <= layer <= n_layers:
            raise MedAlignError(
                f"score_bertscore: layer {layer} of {MINILM_NAME}, which has {n_layers}"
            )
        network.encoder.layer = network.encoder.layer[:layer]
        return tokenizer, network
    folder = str(find_checkpoint(model, *TRANSFORMERS).folder)
    try:
        return get_tokenizer(folder), get_model(folder, layer)
    except (OSError, ValueError, AssertionError) as error:
        raise MedAlignError(
            f"score_bertscore: cannot load layer {layer} of model {model!r}: {error}"
        ) from error


def _encode(
    texts: Sequence[str],
    tokenizer: "PreTrainedTokenizerBase",
    network: "PreTrainedModel",
    progress: bool,
) -> dict[str, tuple["torch.Tensor", "torch.Tensor"]]:
    """Give each distinct text its token vectors (tokens, units) and token weights (tokens,)."""
    import torch
    from bert_score.utils import bert_encode, sent_encode
    from tqdm.auto import tqdm

    unweighted = (tokenizer.cls_token_id, tokenizer.sep_token_id)
    distinct = sorted(set(texts))
    ids = [sent_encode(tokenizer, text) for text in distinct]
    encoded = {}
    # Not the package's own batches, in which a text's last bits hang on its neighbours.
    batches = list(fixed_batches(ids, tokenizer.pad_token_id))
    bar = tqdm(batches, "bertscore", unit="batch", disable=not progress)
    for places, padded, mask in bar:
        inputs = (padded.to(network.device), mask.to(network.device))
        vectors = bert_encode(network, inputs[0], attention_mask=inputs[1]).cpu()
        for place, vector in zip(places, vectors, strict=False):
            weights = torch.tensor([float(id not in unweighted) for id in ids[place]])
            encoded[distinct[place]] = (vector[: len(ids[place])], weights)
    return encoded


def _is_empty(embedding: "torch.Tensor") -> bool:
    """Whether only the two special tokens are left, the package's own test."""
    return len(embedding) == 2


def _warn(name: str, texts: Sequence[str], encoded: dict, max_tokens: int) -> None:
    """Say how many texts were empty or were cut."""
    empty = sum(_is_empty(encoded[text][0]) for text in texts)
    full = sum(len(encoded[text][0]) >= max_tokens for text in texts)
    if empty:
        warnings.warn(
            f"score_bertscore: {empty} of {len(texts)} {name} are empty and score 0", stacklevel=3
        )
    if full:
        warnings.warn(
            f"score_bertscore: {full} of {len(texts)} {name} reach the model's limit of "
            f"{max_tokens} tokens; what follows is not compared",
            stacklevel=3,
        )
