"""BERTScore through the bert-score package."""

from collections.abc import Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np

from medalign_utils.errors import MedAlignError
from medalign_utils.hub import TRANSFORMERS, RemoteCodeError, describe, find_checkpoint, loading
from medalign_utils.metrics.base import DECIMALS, Metric, check_texts, warn_of
from medalign_utils.minilm import MINILM_NAME, MINILM_SHA256, fixed_batches, load_minilm

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def score_bertscore(
    responses: Sequence[str],
    references: Sequence[str],
    *,
    model: str,
    layer: int,
    progress: bool = False,
) -> np.ndarray:
    """Return BERTScore F1 without IDF weights or baseline rescaling: float64, shape (N,).

    Scores are at most 1 and rounded to 6 decimals. `model` is "minilm" (bundled), the folder of a
    Hugging Face model, or a hub id; `layer` is the hidden layer to compare, 0 for the embeddings.
    Empty texts score 0, and texts beyond the model's limit are cut; a warning counts both.

    The scores agree with ``bert_score.score`` to 1e-5, with one exception: a token with only
    negative cosines always counts as 0 here, but there only in pairs that are padded in their
    batch.

    Raises: NotAvailableError if the model cannot be reached; MedAlignError if it does not load or
    has fewer layers, or as `check_texts`.

    Source: Zhang et al. 2020.

    >>> score_bertscore(["atorvastatin 40 mg", ""], ["atorvastatin 40 mg"] * 2,
    ...                 model="minilm", layer=6).round(4)
    array([1., 0.])
    """
    check_texts("score_bertscore", responses=responses, references=references)
    import torch
    from bert_score.utils import greedy_cos_idf
    from torch.nn.functional import pad

    tokenizer, network = _load(model, layer)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    encoded = _encode([*responses, *references], tokenizer, network.to(device), progress)
    scores = np.zeros(len(responses))
    for i, pair in enumerate(zip(references, responses, strict=True)):
        if any(_is_empty(encoded[text]) for text in pair):
            continue
        stats = []
        for embedding, weights in (encoded[text] for text in pair):
            # Add one position of padding, which has cosine 0; its vector must not be zero.
            mask = torch.arange(len(embedding) + 1)[None] < len(embedding)
            padded = pad(embedding[None], (0, 0, 0, 1), value=1.0)
            stats += [padded, mask, pad(weights[None], (0, 1))]
        _precision, _recall, f1 = greedy_cos_idf(*stats)
        scores[i] = f1.item()

    limit = tokenizer.model_max_length
    for name, texts in (("responses", responses), ("references", references)):
        empty = sum(_is_empty(encoded[text]) for text in texts)
        full = sum(len(encoded[text][0]) >= limit for text in texts)
        warn_of("bertscore", empty, f"{len(texts)} {name}", "are empty and score 0")
        fault = f"reach the model's limit of {limit} tokens; the rest is not compared"
        warn_of("bertscore", full, f"{len(texts)} {name}", fault)
    return scores.round(DECIMALS)


def signature_bertscore(*, model: str, layer: int) -> str:
    """Return the settings of BERTScore; for "minilm", the digest covers only the weights.

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
    """Return the tokenizer, and the model cut after `layer`."""
    from bert_score.utils import get_model, get_tokenizer

    if model == "minilm":
        tokenizer, network = load_minilm()
        n_layers = len(network.encoder.layer)
        if not 0 <= layer <= n_layers:
            raise MedAlignError(
                f"score_bertscore: no layer {layer}; {MINILM_NAME} has layers 0 to {n_layers}"
            )
        network.encoder.layer = network.encoder.layer[:layer]
        return tokenizer, network
    folder = str(find_checkpoint(model, *TRANSFORMERS).folder)
    try:
        with loading(model):
            return get_tokenizer(folder), get_model(folder, layer)
    except RemoteCodeError as error:
        raise MedAlignError(f"score_bertscore: {error}") from None
    except (OSError, ValueError, TypeError, AssertionError) as error:
        raise MedAlignError(
            f"score_bertscore: cannot load layer {layer} of model {model!r}: {error}"
        ) from error


def _encode(
    texts: Sequence[str],
    tokenizer: "PreTrainedTokenizerBase",
    network: "PreTrainedModel",
    progress: bool,
) -> dict[str, tuple["torch.Tensor", "torch.Tensor"]]:
    """Return each distinct text's token vectors (tokens, units) and token weights (tokens,)."""
    import torch
    from bert_score.utils import bert_encode, sent_encode
    from tqdm.auto import tqdm

    special = torch.tensor([tokenizer.cls_token_id, tokenizer.sep_token_id])
    distinct = sorted(set(texts))
    ids = [sent_encode(tokenizer, text) for text in distinct]
    encoded = {}
    batches = list(fixed_batches(ids, tokenizer.pad_token_id))
    for places, padded, mask in tqdm(batches, "bertscore", unit="batch", disable=not progress):
        inputs = padded.to(network.device), mask.to(network.device)
        vectors = bert_encode(network, inputs[0], attention_mask=inputs[1]).cpu()
        for place, row, vector in zip(places, padded, vectors, strict=False):
            n = len(ids[place])
            encoded[distinct[place]] = vector[:n], (~torch.isin(row[:n], special)).float()
    return encoded


def _is_empty(encoded: tuple["torch.Tensor", "torch.Tensor"]) -> bool:
    return len(encoded[0]) == 2  # [CLS] and [SEP]; bert-score does the same test


BERTSCORE = Metric(
    name="bertscore",
    label="BERTScore",
    range=(-1, 1),
    compares="tokens by contextual embeddings: F1 without rescaling",
    citation="[Zhang et al. 2020](https://arxiv.org/abs/1904.09675)",
    score=score_bertscore,
    signature=signature_bertscore,
    needs_weights=True,
)
