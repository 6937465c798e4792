"""LENS, a COMET-like regression on RoBERTa, through the modules of unbabel-comet and transformers.

LENS's own package asks for versions that do not go with unbabel-comet. A checkpoint of it holds
weights of an encoder, of COMET's layer-wise attention and of an estimator; they are put together
here as its package does.
"""

import pickle
import warnings
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import yaml

from medalign_utils.errors import MedAlignError, NotAvailableError
from medalign_utils.hub import in_one_line, quiet
from medalign_utils.metrics.base import check_texts
from medalign_utils.metrics.checkpoints import ENCODER, Checkpoint, describe, find_checkpoint

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

CHECKPOINT = ("hparams.yaml", "checkpoints/*.ckpt")
_CLASS = "regression_metric_multi_ref"


def score_lens(
    sources: Sequence[str],
    predictions: Sequence[str],
    references: Sequence[str],
    *,
    model: str,
    progress: bool = False,
) -> np.ndarray:
    """LENS of each answer, given what was asked and the reference.

    LENS was made to judge simplified sentences. The instruction stands where the complex sentence
    would, the answer for the simplified one. All texts are lower-cased and each distinct one is
    encoded once.

    Args:
        sources: N instructions.
        predictions: N answers; an empty one is scored as the network scores it.
        references: N references, in the same order; likewise.
        model: a folder with `hparams.yaml` and one file in `checkpoints/`, or a hub id such as
            davidheineman/lens. The configuration and the tokenizer of the encoder that it names
            must be at hand too.
        progress: show a progress bar.

    Returns:
        float64, shape (N,), in [0, 1]: the normal distribution's share below the estimate, which is
        LENS's own rescaling divided by 100. A text longer than the encoder's limit is cut, which is
        warned of with a count.

    Raises:
        NotAvailableError: the weights, or the encoder's configuration, cannot be had now.
        MedAlignError: the lengths differ, a value is not a string, or the checkpoint is not LENS's.

    Source: Maddela et al. 2023.

    >>> score_lens(["Gait?"], ["steady"], [], model="")
    Traceback (most recent call last):
    ...
    medalign_utils.errors.MedAlignError: score_lens: 1 sources, 1 predictions, 0 references
    """
    check_texts("score_lens", sources=sources, predictions=predictions, references=references)
    if not len(predictions):
        return np.empty(0)
    import torch
    from scipy.special import ndtr

    lower = [[text.lower() for text in column] for column in (sources, predictions, references)]
    tokenizer, network = _load(_find(model))
    vectors = _embed([text for column in lower for text in column], tokenizer, network, progress)
    source, answer, reference = (
        torch.stack([vectors[text] for text in column]) for column in lower
    )
    features = torch.cat(
        [
            *(source, answer, reference),
            *(answer * reference, (answer - reference).abs()),
            *(answer * source, (answer - source).abs()),
        ],
        dim=1,
    )
    with torch.inference_mode():
        estimates = torch.cat([network["estimator"](row[None]) for row in features])
    return ndtr(estimates[:, 0].cpu().numpy().astype(np.float64))


def signature_lens(*, model: str) -> str:
    """State the settings behind a LENS score.

    Raises: as `score_lens`.

    >>> signature_lens(model="medalign_utils")
    Traceback (most recent call last):
    ...
    medalign_utils.errors.MedAlignError: medalign_utils holds no checkpoints/*.ckpt
    """
    checkpoint = _find(model)
    encoder = describe(_find_encoder(_hparams(checkpoint)), "encoder")
    return (
        f"lens|src:instruction|ref:yes|case:lower|rescale:normal|{describe(checkpoint)}|{encoder}"
        f"|comet:{version('unbabel-comet')}|transformers:{version('transformers')}"
    )


def _find(model: str) -> Checkpoint:
    return find_checkpoint(model, CHECKPOINT)


def _find_encoder(hparams: dict) -> Checkpoint:
    return find_checkpoint(hparams["pretrained_model"], ENCODER)


def _hparams(checkpoint: Checkpoint) -> dict:
    """The network's hyperparameters, which are to be LENS's."""
    hparams = yaml.safe_load((checkpoint.folder / "hparams.yaml").read_text("utf-8"))
    wanted = {"class_identifier": _CLASS, "pool": "avg", "layer": "mix"}
    if differ := {key: hparams.get(key) for key in wanted if hparams.get(key) != wanted[key]}:
        raise MedAlignError(
            f"score_lens: {checkpoint.name} is no LENS: {differ} in hparams.yaml, expected "
            f"{ {key: wanted[key] for key in differ} }"
        )
    return hparams


def _read_weights(checkpoint: Checkpoint) -> tuple[str, dict[str, "torch.Tensor"]]:
    """The name of the file of weights, and its state_dict."""
    import torch

    *_, file = [file for file in checkpoint.files if file.suffix == ".ckpt"]
    try:
        # Numbers alone: a file that would run code of its own is not read.
        return file.name, torch.load(file, map_location="cpu", weights_only=True)["state_dict"]
    except (pickle.UnpicklingError, RuntimeError, OSError, EOFError, KeyError, TypeError) as error:
        if isinstance(error, pickle.UnpicklingError) and _holds_more_than_weights(file):
            raise NotAvailableError(
                f"{checkpoint.name}: {file.name} holds more than weights and is not read; whoever "
                "trusts it can save its state_dict alone, in a dict under that name"
            ) from error
        raise MedAlignError(
            f"score_lens: {file.name} of {checkpoint.name} is torn, or no checkpoint with a "
            f"state_dict ({type(error).__name__})"
        ) from error


def _holds_more_than_weights(file: Path) -> bool:
    """Whether it is what torch refuses to run that keeps a file from being read."""
    from torch.serialization import get_unsafe_globals_in_checkpoint

    try:
        return bool(get_unsafe_globals_in_checkpoint(file))
    except (pickle.UnpicklingError, RuntimeError, OSError, ValueError):  # not torch's
        return False


def _load(checkpoint: Checkpoint) -> tuple["PreTrainedTokenizerBase", "torch.nn.ModuleDict"]:
    """Build the network that the hyperparameters describe and give it the checkpoint's weights."""
    import torch
    from comet.modules import FeedForward, LayerwiseAttention
    from transformers import AutoConfig, AutoModel, AutoTokenizer

    settings = _hparams(checkpoint)
    encoder = _find_encoder(settings).folder
    with quiet():
        tokenizer = AutoTokenizer.from_pretrained(encoder, local_files_only=True)
        config = AutoConfig.from_pretrained(encoder, local_files_only=True)
        model = AutoModel.from_config(config, add_pooling_layer=False)
    network = torch.nn.ModuleDict(
        {
            "encoder": torch.nn.ModuleDict({"model": model}),
            # With its normalisation, as in the version of COMET that LENS was trained with.
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
        loaded = network.load_state_dict(state, strict=False)  # older ones hold position_ids too
    except RuntimeError as error:
        raise MedAlignError(
            f"score_lens: {weights} of {checkpoint.name} does not fit its hparams.yaml: "
            f"{in_one_line(error)}"
        ) from error
    if loaded.missing_keys:
        raise MedAlignError(
            f"score_lens: {weights} of {checkpoint.name} lacks {len(loaded.missing_keys)} "
            f"weights, the first is {loaded.missing_keys[0]}"
        )
    return tokenizer, network.to("cuda" if torch.cuda.is_available() else "cpu").eval()


def _embed(
    texts: Sequence[str],
    tokenizer: "PreTrainedTokenizerBase",
    network: "torch.nn.ModuleDict",
    progress: bool,
) -> dict[str, "torch.Tensor"]:
    """Give each distinct text its vector: all layers mixed, averaged over the tokens."""
    import torch
    from comet.models.pooling_utils import average_pooling
    from tqdm.auto import tqdm

    model = network["encoder"]["model"]
    limit = model.config.max_position_embeddings - 2  # the package's; COMET's own is 2 less
    vectors, cut = {}, 0
    with torch.inference_mode():
        # One by one: a score must not hang on the others of its batch.
        for batch in tqdm([[text] for text in sorted(set(texts))], "lens", disable=not progress):
            lengths = [len(ids) for ids in tokenizer(batch, verbose=False)["input_ids"]]
            cut += sum(length > limit for length in lengths)
            tokens = tokenizer(
                batch, padding=True, truncation=True, max_length=limit, return_tensors="pt"
            ).to(model.device)
            ids, mask = tokens["input_ids"], tokens["attention_mask"]
            layers = model(ids, mask, output_hidden_states=True).hidden_states
            mixed = network["layerwise_attention"](layers, mask)
            pooled = average_pooling(
                ids, mixed, mask, tokenizer.pad_token_id, tokenizer.sep_token_id
            )
            vectors.update(zip(batch, pooled, strict=True))
    if cut:
        warnings.warn(
            f"score_lens: {cut} of {len(vectors)} distinct texts are longer than the encoder's "
            f"limit of {limit} tokens; what follows is not read",
            stacklevel=3,
        )
    return vectors
