"""Models of Hugging Face: from a folder, the cache, or the hub if it can be reached."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from medalign_utils.errors import MedAlignError, NotAvailableError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

# The files that transformers loads a model from, its weights last.
_SETTINGS = ("*.json", "*.txt", "*.model")
TRANSFORMERS = ((*_SETTINGS, "*.safetensors"), (*_SETTINGS, "*.bin"))
# For an encoder whose weights are in a metric's own checkpoint.
ENCODER = (*_SETTINGS, "config.json")

TIMEOUT_SECONDS = 5  # until the hub's first answer


class Checkpoint(NamedTuple):
    """A model's name, its folder, and the files that it is loaded from."""

    name: str
    folder: Path
    files: list[Path]


def find_checkpoint(name: str, *forms: Sequence[str]) -> Checkpoint:
    """Return the files of a model, a folder or a hub id, downloaded unless they are cached.

    Each form is a list of file patterns, the last one for the weights; the first form whose weights
    exist counts.

    Raises: NotAvailableError if the hub's weights are out of reach; MedAlignError if the folder has
    none, or the hub has no such repository.
    """
    is_folder = Path(name).is_dir()
    for patterns in forms:
        folder = Path(name) if is_folder else _fetch(name, patterns)
        if any(folder.glob(patterns[-1])):
            files = {file for pattern in patterns for file in folder.glob(pattern)}
            return Checkpoint(name, folder, sorted(files))
    wanted = " or ".join(patterns[-1] for patterns in forms)
    if is_folder:
        raise MedAlignError(f"{name} holds no {wanted}")
    raise NotAvailableError(f"{_unavailable(name)} (found no {wanted})")


def describe(checkpoint: Checkpoint, what: str = "model") -> str:
    """Return a checkpoint's name and the first 12 digits of a SHA-256 over its files' contents.

    >>> from medalign_utils.minilm import minilm_path
    >>> describe(find_checkpoint(str(minilm_path()), *TRANSFORMERS))  # doctest: +ELLIPSIS
    'model:model|sha256:...'
    """
    digest = hashlib.sha256()
    for file in checkpoint.files:
        with file.open("rb") as opened:
            content = hashlib.file_digest(opened, "sha256").hexdigest()
        digest.update(f"{file.relative_to(checkpoint.folder).as_posix()} {content}\n".encode())
    folder = Path(checkpoint.name)
    name = folder.resolve().name if folder.is_dir() else checkpoint.name
    return f"{what}:{name}|sha256:{digest.hexdigest()[:12]}"


def load_network(checkpoint: Checkpoint, auto_class: str, **config: object):
    """Return a model's tokenizer and network, on the GPU if there is one.

    `auto_class` names a class of transformers; `config` is what the model's configuration must say.

    Raises: MedAlignError if the files are not such a model or lack weights, which transformers
    would draw at random.
    """
    import torch
    import transformers
    from safetensors import SafetensorError

    folder = {"pretrained_model_name_or_path": checkpoint.folder, "local_files_only": True}
    try:
        with quiet():
            found = transformers.AutoConfig.from_pretrained(**folder)
            for key, value in config.items():
                if getattr(found, key, None) != value:
                    raise ValueError(f"{key} is {getattr(found, key, None)}, expected {value}")
            network, report = getattr(transformers, auto_class).from_pretrained(
                **folder, output_loading_info=True
            )
            if missing := sorted(report["missing_keys"]):
                raise ValueError(f"it lacks {len(missing)} weights, the first is {missing[0]}")
            tokenizer = transformers.AutoTokenizer.from_pretrained(**folder)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise MedAlignError(
            f"{checkpoint.name} does not load as {auto_class}: {in_one_line(error)}"
        ) from error
    return tokenizer, network.to("cuda" if torch.cuda.is_available() else "cpu").eval()


def has_tokenizer_config(name: str) -> bool:
    """Return whether a folder or repository has a ``tokenizer_config.json``; if unknown, True."""
    if Path(name).is_dir():
        return Path(name, "tokenizer_config.json").is_file()
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    try:
        hf_hub_download(name, "tokenizer_config.json")
    except (OSError, ValueError) as error:  # which EntryNotFoundError is, too
        is_absent = isinstance(error, EntryNotFoundError)
        return not is_absent or isinstance(error, LocalEntryNotFoundError)
    return True


def load_pretrained_tokenizer(name: str) -> "PreTrainedTokenizerFast":
    """Return the fast tokenizer of a folder or repository; errors are of many types."""
    from transformers import AutoTokenizer

    with quiet():
        tokenizer = AutoTokenizer.from_pretrained(name, use_fast=True)
    if not tokenizer.is_fast:
        raise ValueError(f"{type(tokenizer).__name__} has no fast version")
    return tokenizer


@contextmanager
def quiet() -> Iterator[None]:
    """Switch off transformers' progress bars and warnings inside a ``with`` block."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def in_one_line(error: Exception) -> str:
    """Return the first 200 characters of an error's message on one line."""
    return " ".join(str(error).split())[:200] or type(error).__name__


def _fetch(name: str, patterns: Sequence[str]) -> Path:
    import requests
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
    )

    try:
        try:  # snapshot_download makes the same request first, without a time limit
            HfApi().model_info(name, timeout=TIMEOUT_SECONDS)
            is_offline = False
        except (OfflineModeIsEnabled, requests.ConnectionError, requests.Timeout):
            is_offline = True
        options = {"allow_patterns": [*patterns], "local_files_only": is_offline}
        return Path(snapshot_download(name, **options))
    except GatedRepoError:
        raise NotAvailableError(f"{name} asks for a licence to be accepted on the hub") from None
    except (RepositoryNotFoundError, HFValidationError):
        raise MedAlignError(f"the hub has no {name}, and it is not a folder here") from None
    except LocalEntryNotFoundError:
        raise NotAvailableError(_unavailable(name)) from None
    except OSError as error:
        raise NotAvailableError(f"{_unavailable(name)}: {in_one_line(error)}") from None


def _unavailable(name: str) -> str:
    return f"{name} is not on this machine and cannot be downloaded now"
