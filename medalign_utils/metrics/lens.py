"""LENS, a COMET-like regression on RoBERTa, built from modules of unbabel-comet and transformers.

The package of LENS cannot be installed beside unbabel-comet, so this module assembles the parts of
a checkpoint: encoder, layer-wise attention and estimator.
"""

import pickle
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import yaml

from medalign_utils.errors import MedAlignError, NotAvailableError
from medalign_utils.hub import (
    ENCODER,
    Checkpoint,
    describe,
    find_checkpoint,
    in_one_line,
    loading,
    quiet,
)
from medalign_utils.metrics.base import DECIMALS, Metric, check_texts, warn_of

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

CHECKPOINT = ("hparams.yaml", "checkpoints/*.ckpt")
_CLASS = "regression_metric_multi_ref"


def score_lens(
    questions: Sequence[str],
    responses: Sequence[str],
    references: Sequence[str | Sequence[str]],
    *,
    model: str,
    progress: bool = False,
) -> np.ndarray:
    """Return LENS of each response, given its question and reference, in [0, 1], 6 decimals.

    These are lens-metric's scores with ``rescale=True``, divided by 100. LENS judges simplified
    sentences: the question takes the place of the complex sentence, and the response that of the
    simplified one. Texts are lower-cased and cut at 4 tokens less than the encoder has positions
    (510 for RoBERTa); a warning counts those cut. Of several references, given as a list, the one
    with the highest score counts.

    `model` is a folder with `hparams.yaml` and one file in `checkpoints/`, or a hub id such as
    davidheineman/lens. It also needs the encoder's configuration and tokenizer.

    Raises: NotAvailableError if the model or its encoder cannot be reached; MedAlignError if it is
    not a LENS model, or as `check_texts`.

    Source: Maddela et al. 2023.
    """
    if any(isinstance(texts, list | tuple) for texts in references):
        return _score_best(questions, responses, references, model=model, progress=progress)
    check_texts("score_lens", questions=questions, responses=responses, references=references)
    if not len(responses):
        return np.empty(0)
    import torch
    from scipy.special import ndtr

    lower = [[text.lower() for text in column] for column in (questions, responses, references)]
    tokenizer, network = _load(find_checkpoint(model, CHECKPOINT))
    vectors = _embed([text for column in lower for text in column], tokenizer, network, progress)
    s, p, r = (torch.stack([vectors[text] for text in column]) for column in lower)
    features = torch.cat([s, p, r, p * r, (p - r).abs(), p * s, (p - s).abs()], dim=1)
    with torch.inference_mode():
        estimates = torch.cat([network["estimator"](row[None]) for row in features])
    return ndtr(estimates[:, 0].cpu().numpy().astype(np.float64)).round(DECIMALS)


def signature_lens(*, model: str) -> str:
    """Return the settings of LENS."""
    checkpoint = find_checkpoint(model, CHECKPOINT)
    encoder = find_checkpoint(_hparams(checkpoint)["pretrained_model"], ENCODER)
    return (
        f"lens|src:instruction|ref:yes|case:lower|rescale:normal|{describe(checkpoint)}"
        f"|{describe(encoder, 'encoder')}"
        f"|comet:{version('unbabel-comet')}|transformers:{version('transformers')}"
    )


def _score_best(questions, responses, references, **options) -> np.ndarray:
    """Return the highest score over each response's references."""
    lists = [texts if isinstance(texts, list | tuple) else [texts] for texts in references]
    if empty := [position for position, texts in enumerate(lists) if not len(texts)]:
        raise MedAlignError(f"score_lens: references[{empty[0]}] is an empty list")
    first = [texts[0] for texts in lists]
    check_texts("score_lens", questions=questions, responses=responses, references=first)
    of_pair = np.repeat(np.arange(len(lists)), [len(texts) for texts in lists])
    repeated = ([column[position] for position in of_pair] for column in (questions, responses))
    scores = score_lens(*repeated, [text for texts in lists for text in texts], **options)
    best = np.full(len(lists), -np.inf)
    np.maximum.at(best, of_pair, scores)
    return best


def _hparams(checkpoint: Checkpoint) -> dict:
    """Return the hyperparameters; MedAlignError if they do not describe LENS."""
    hparams = yaml.safe_load((checkpoint.folder / "hparams.yaml").read_text("utf-8"))
    wanted = {"class_identifier": _CLASS, "pool": "avg", "layer": "mix"}
    if differ := {key: hparams.get(key) for key in wanted if hparams.get(key) != wanted[key]}:
        raise MedAlignError(
            f"score_lens: {checkpoint.name} is not a LENS model: {differ} in hparams.yaml, "
            f"expected { {key: wanted[key] for key in differ} }"
        )
    return hparams


def _read_weights(checkpoint: Checkpoint) -> tuple[str, dict[str, "torch.Tensor"]]:
    """Return the name of the file with the weights, and its state_dict."""
    import torch

    *_, file = [file for file in checkpoint.files if file.suffix == ".ckpt"]
    try:
        # weights_only: never run code from the file.
        return file.name, torch.load(file, map_location="cpu", weights_only=True)["state_dict"]
    except (pickle.UnpicklingError, RuntimeError, OSError, EOFError, KeyError, TypeError) as error:
        if isinstance(error, pickle.UnpicklingError) and _contains_code(file):
            raise NotAvailableError(
                f"{checkpoint.name}: {file.name} contains code as well as weights, so it is not "
                'read; if you trust it, save {"state_dict": <its state_dict>} instead'
            ) from error
        raise MedAlignError(
            f"score_lens: {file.name} of {checkpoint.name} is damaged or has no state_dict "
            f"({type(error).__name__})"
        ) from error


def _contains_code(file: Path) -> bool:
    """Return whether a file contains anything that torch refuses to run."""
    from torch.serialization import get_unsafe_globals_in_checkpoint

    try:
        return bool(get_unsafe_globals_in_checkpoint(file))
    except (pickle.UnpicklingError, RuntimeError, OSError, ValueError):  # not a torch file
        return False


def _load(checkpoint: Checkpoint) -> tuple["PreTrainedTokenizerBase", "torch.nn.ModuleDict"]:
    """Return the tokenizer, and the network with its weights."""
    import torch
    from comet.modules import FeedForward, LayerwiseAttention
    from transformers import AutoConfig, AutoModel, AutoTokenizer

    settings = _hparams(checkpoint)
    encoder = find_checkpoint(settings["pretrained_model"], ENCODER).folder
    options = {"local_files_only": True, "trust_remote_code": False}
    with quiet(), loading(encoder):
        tokenizer = AutoTokenizer.from_pretrained(encoder, **options)
        config = AutoConfig.from_pretrained(encoder, **options)
        model = AutoModel.from_config(config, add_pooling_layer=False)
    network = torch.nn.ModuleDict(
        {
            "encoder": torch.nn.ModuleDict({"model": model}),
            # layer_norm is set as in the version of COMET with which LENS was trained.
            "layerwise_attention": LayerwiseAttention(
                config.num_hidden_layers + 1, layer_norm=True, dropout=settings["dropout"]
            ),
            "estimator": FeedForward(
                in_dim=7 * config.hidden_size,
                hidden_sizes=settings["hidden_sizes"],
                activations=settings["activations"],
                final_activation=settings["final_activation"],
                dropout=settings["dropout"],
            ),
        }
    )
    weights, state = _read_weights(checkpoint)
    try:
        loaded = network.load_state_dict(state, strict=False)  # older files have position_ids too
        if missing := loaded.missing_keys:
            raise RuntimeError(f"missing weights ({len(missing)}), first {missing[0]}")
    except RuntimeError as error:
        raise MedAlignError(
            f"score_lens: {weights} of {checkpoint.name} does not fit its hparams.yaml: "
            f"{in_one_line(error)}"
        ) from error
    return tokenizer, network.to("cuda" if torch.cuda.is_available() else "cpu").eval()


def _embed(
    texts: Sequence[str],
    tokenizer: "PreTrainedTokenizerBase",
    network: "torch.nn.ModuleDict",
    progress: bool,
) -> dict[str, "torch.Tensor"]:
    """Return the vector of each distinct text: all layers mixed, averaged over the tokens."""
    import torch
    from comet.models.pooling_utils import average_pooling
    from tqdm.auto import tqdm

    model = network["encoder"]["model"]
    limit = model.config.max_position_embeddings - 4  # as in lens-metric and COMET
    special = tokenizer.pad_token_id, tokenizer.sep_token_id
    vectors, cut = {}, 0
    with torch.inference_mode():
        # One by one: a score must not depend on other texts in its batch.
        for text in tqdm(sorted(set(texts)), "lens", disable=not progress):
            cut += len(tokenizer(text, verbose=False)["input_ids"]) > limit
            tokens = tokenizer(text, truncation=True, max_length=limit, return_tensors="pt")
            ids, mask = (tokens[key].to(model.device) for key in ("input_ids", "attention_mask"))
            layers = model(ids, mask, output_hidden_states=True).hidden_states
            mixed = network["layerwise_attention"](layers, mask)
            [vectors[text]] = average_pooling(ids, mixed, mask, *special)
    fault = f"exceed the encoder's limit of {limit} tokens; the rest is not read"
    warn_of("lens", cut, f"{len(vectors)} distinct texts", fault)
    return vectors


LENS = Metric(
    name="lens",
    label="LENS",
    range=(0, 1),
    compares="response, reference and instruction, by a learned score",
    citation="[Maddela et al. 2023](https://aclanthology.org/2023.acl-long.905/)",
    score=score_lens,
    signature=signature_lens,
    needs_question=True,
    needs_weights=True,
)
