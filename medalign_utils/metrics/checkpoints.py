"""The weights of learned metrics: a folder's, or a hub's where it can be reached."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from medalign_utils.errors import MedAlignError, NotAvailableError
from medalign_utils.hub import in_one_line, quiet

# The files that a model of transformers is loaded from, its weights' last. Of two forms of the
# weights the first that there is counts.
_SETTINGS = ("*.json", "*.txt", "*.model")
TRANSFORMERS = ((*_SETTINGS, "*.safetensors"), (*_SETTINGS, "*.bin"))
# Those of an encoder whose weights a metric's own checkpoint holds.
ENCODER = (*_SETTINGS, "config.json")

# Of the hub's first answer. Without a network each metric of each job waits at most this long.
TIMEOUT_SECONDS = 5


class Checkpoint(NamedTuple):
    """Where weights lie, and the files among them that count."""

    name: str
    folder: Path
    files: list[Path]


def find_checkpoint(name: str, *forms: Sequence[str]) -> Checkpoint:
    """Find the files of a model; a hub's are fetched, or found in the cache.

    Args:
        name: a folder or a hub id.
        forms: one or more lists of files, as patterns, the weights' own last; the first counts of
            which there are weights.

    Returns:
        The checkpoint, its files sorted.

    Raises:
        NotAvailableError: a hub's weights are not here and cannot be had now.
        MedAlignError: the folder holds no weights, or the hub has no such repository.

    >>> find_checkpoint("medalign_utils", *TRANSFORMERS)
    Traceback (most recent call last):
    ...
    medalign_utils.errors.MedAlignError: medalign_utils holds no *.safetensors or *.bin
    """
    for patterns in forms:
        folder = Path(name) if Path(name).is_dir() else _fetch(name, patterns)
        if any(folder.glob(patterns[-1])):
            files = {file for pattern in patterns for file in folder.glob(pattern)}
            return Checkpoint(name, folder, sorted(files))
    wanted = " or ".join(patterns[-1] for patterns in forms)
    if folder == Path(name):
        raise MedAlignError(f"{name} holds no {wanted}")
    raise NotAvailableError(f"{_cannot_be_had(name)} (found no {wanted})")


def describe(checkpoint: Checkpoint, what: str = "model") -> str:
    """Name a checkpoint in a signature, with the first 12 digits of a SHA-256 over its files.

    The digest hangs on the files' names and contents, not on where they lie: a hub id and a copy in
    a folder differ in their names alone.

    >>> from medalign_utils.minilm import minilm_path
    >>> describe(find_checkpoint(str(minilm_path()), *TRANSFORMERS))  # doctest: +ELLIPSIS
    'model:model|sha256:...'
    """
    digest = hashlib.sha256()
    for file in checkpoint.files:
        with file.open("rb") as opened:
            content = hashlib.file_digest(opened, "sha256").hexdigest()
        digest.update(f"{file.relative_to(checkpoint.folder).as_posix()} {content}\n".encode())
    is_folder = Path(checkpoint.name).is_dir()
    name = Path(checkpoint.name).resolve().name if is_folder else checkpoint.name
    return f"{what}:{name}|sha256:{digest.hexdigest()[:12]}"


def load_network(checkpoint: Checkpoint, auto_class: str, **config: object):
    """Load the tokenizer and the network of a model of transformers, for inference.

    Args:
        checkpoint: as `find_checkpoint(name, *TRANSFORMERS)` gives it.
        auto_class: the class of transformers that it is to be, by name.
        config: what its configuration must say.

    Returns:
        The tokenizer, and the network on this machine's device.

    Raises:
        MedAlignError: the files are no such model, hold weights of other shapes, or lack weights,
            which transformers would draw at random.

    >>> from medalign_utils.minilm import minilm_path
    >>> minilm = find_checkpoint(str(minilm_path()), *TRANSFORMERS)
    >>> load_network(minilm, "AutoModel")[1].config.num_hidden_layers
    6
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
        try:  # snapshot_download asks the same first, and would wait for ever
            HfApi().model_info(name, timeout=TIMEOUT_SECONDS)
            is_reached = True
        except (OfflineModeIsEnabled, requests.ConnectionError, requests.Timeout):
            is_reached = False
        return Path(
            snapshot_download(name, allow_patterns=[*patterns], local_files_only=not is_reached)
        )
    except GatedRepoError:
        raise NotAvailableError(f"{name} asks for a licence to be accepted on the hub") from None
    except (RepositoryNotFoundError, HFValidationError):
        raise MedAlignError(f"the hub has no {name}, and it is no folder here") from None
    except LocalEntryNotFoundError:
        raise NotAvailableError(_cannot_be_had(name)) from None
    except OSError as error:
        raise NotAvailableError(f"{_cannot_be_had(name)}: {in_one_line(error)}") from None


def _cannot_be_had(name: str) -> str:
    return f"{name} is not on this machine and cannot be downloaded now"
