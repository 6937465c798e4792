"""BLEURT through transformers: a BERT, or for BLEURT-20 a RemBERT, with one output."""

import json
import pickle
from collections.abc import Callable, Sequence
from importlib.metadata import version
from math import inf
from pathlib import Path

import numpy as np

from medalign_utils.errors import MedAlignError
from medalign_utils.hub import (
    TRANSFORMERS,
    Checkpoint,
    describe,
    find_checkpoint,
    in_one_line,
    load_network,
    loading,
    quiet,
)
from medalign_utils.metrics.base import DECIMALS, Metric, check_texts, warn_of

_FAULTS = (OSError, ValueError, KeyError, RuntimeError, EOFError, pickle.UnpicklingError)
Encode = Callable[[str], list[int]]


def score_bleurt(
    responses: Sequence[str], references: Sequence[str], *, model: str, progress: bool = False
) -> np.ndarray:
    """Return BLEURT of each response and its reference: float64, shape (N,), 6 decimals.

    Scores are unbounded, but mostly between 0 and 1 by BLEURT-20, the checkpoint that its authors
    recommend, and between -2 and 1 by older ones. `model` is the folder or hub id of a checkpoint
    for PyTorch: lucadiliello/BLEURT-20 and others in that form, or any sequence classifier with one
    output, such as Elron/bleurt-large-512. The paper does not name its checkpoint. Pairs beyond
    the model's limit are cut, the longer text first; a warning counts them.

    Raises: NotAvailableError if the model cannot be reached; MedAlignError if it is not a BLEURT
    model, or as `check_texts`.

    Source: Sellam et al. 2020; Pu et al. 2021.
    """
    check_texts("score_bleurt", responses=responses, references=references)
    if not len(responses):
        return np.empty(0)
    import torch
    from tqdm.auto import tqdm

    encode, (cls, sep), network = _load(_find(model))
    limit, cut, scores = network.config.max_position_embeddings, 0, []
    pairs = list(zip(references, responses, strict=True))
    with torch.inference_mode():
        # One by one: a score must not depend on other texts in its batch.
        for pair in tqdm(pairs, "bleurt", disable=not progress):
            first, second = map(encode, pair)
            cut += len(first) + len(second) > limit - 3
            while len(first) + len(second) > limit - 3:
                (first if len(first) > len(second) else second).pop()
            ids = [cls, *first, sep, *second, sep]
            segments = [0] * (len(first) + 2) + [1] * (len(second) + 1)
            inputs = torch.tensor([[ids], [segments]], device=network.device)
            scores.append(network(inputs[0], token_type_ids=inputs[1]).logits.item())
    fault = f"exceed the model's limit of {limit} tokens; the rest is not compared"
    warn_of("bleurt", cut, f"{len(pairs)} pairs", fault)
    return np.array(scores, dtype=np.float64).round(DECIMALS)


def signature_bleurt(*, model: str) -> str:
    """Return the settings of BLEURT."""
    return f"bleurt|{describe(_find(model))}|transformers:{version('transformers')}"


def _find(model: str) -> Checkpoint:
    if Path(model, "saved_model.pb").is_file():
        raise MedAlignError(
            f"score_bleurt: {model} is a checkpoint for TensorFlow, which is not read; "
            "lucadiliello/BLEURT-20 on the hub is BLEURT-20 for PyTorch"
        )
    return find_checkpoint(model, *TRANSFORMERS)


def _load(checkpoint: Checkpoint):
    """Return a function from a text to its tokens, the ids of [CLS] and [SEP], and the network."""
    file = checkpoint.folder / "config.json"
    config = json.loads(file.read_text("utf-8")) if file.is_file() else {}
    if config.get("model_type") == "bleurt":
        return _load_bleurt(checkpoint, config)
    classifier = "AutoModelForSequenceClassification"
    tokenizer, network = load_network(checkpoint, classifier, num_labels=1)
    return *_encoder(tokenizer), network


def _load_bleurt(checkpoint: Checkpoint, config: dict):
    """Return the same for a checkpoint of bleurt-pytorch, which has other names of weights.

    Those with an `embedding_size` are RemBERTs, others BERTs.
    """
    import torch
    import transformers
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    size = config.pop("embedding_size", None)
    kind = "RemBert" if size else "Bert"
    if size:
        config |= {"input_embedding_size": size, "output_embedding_size": size}
    *_, file = [file for file in checkpoint.files if file.suffix in (".safetensors", ".bin")]
    try:
        with quiet(), loading(checkpoint.name):
            settings = getattr(transformers, f"{kind}Config").from_dict(config, num_labels=1)
            network = getattr(transformers, f"{kind}ForSequenceClassification")(settings)
            # weights_only: never run code from the file.
            read = load_file if file.suffix == ".safetensors" else torch.load
            options = {} if read is load_file else {"map_location": "cpu", "weights_only": True}
            state = {}
            for name, weights in read(file, **options).items():
                name = name.replace("embedding_projection", "embedding_hidden_mapping_in")
                state[name.replace("bleurt.", f"{kind.lower()}.", 1)] = weights
            # Older files have position_ids too.
            if missing := network.load_state_dict(state, strict=False).missing_keys:
                raise ValueError(f"missing weights ({len(missing)}), first {missing[0]}")
            pieces = [file for file in checkpoint.files if file.suffix == ".model"]
            if pieces:
                encode, ends = _sentencepiece(pieces[0])
            else:
                tokenizer = transformers.BertTokenizerFast.from_pretrained(checkpoint.folder)
                encode, ends = _encoder(tokenizer)
    except (*_FAULTS, SafetensorError) as error:
        raise MedAlignError(
            f"{checkpoint.name} does not load as BLEURT: {in_one_line(error)}"
        ) from error
    return encode, ends, network.to("cuda" if torch.cuda.is_available() else "cpu").eval()


def _encoder(tokenizer) -> tuple[Encode, tuple[int, int]]:
    # In a text, the names of special tokens are plain text.
    options = {"add_special_tokens": False, "split_special_tokens": True, "verbose": False}

    def encode(text: str) -> list[int]:
        return tokenizer(text, **options)["input_ids"]

    return encode, (tokenizer.cls_token_id, tokenizer.sep_token_id)


def _sentencepiece(file: Path) -> tuple[Encode, tuple[int, int]]:
    from sentencepiece import SentencePieceProcessor

    pieces = SentencePieceProcessor(model_file=str(file))
    ends = pieces.piece_to_id("[CLS]"), pieces.piece_to_id("[SEP]")
    if pieces.unk_id() in ends:
        raise ValueError(f"{file.name} has no [CLS] or [SEP]")
    return pieces.encode, ends


BLEURT = Metric(
    name="bleurt",
    label="BLEURT",
    range=(-inf, inf),
    compares="response and reference, by a learned score",
    citation="[Sellam et al. 2020](https://aclanthology.org/2020.acl-main.704/)",
    score=score_bleurt,
    signature=signature_bleurt,
    needs_weights=True,
)
