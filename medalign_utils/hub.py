"""Load Hugging Face models from a folder, the cache, or the hub, without running their code."""

import functools
import hashlib
import importlib
import importlib.util
import os
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from medalign_utils.errors import MedAlignError, NotAvailableError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

# The files that transformers loads, weights last.
TOKENIZER = ("*.json", "*.txt", "*.model")
TRANSFORMERS = ((*TOKENIZER, "*.safetensors"), (*TOKENIZER, "*.bin"))
# For an encoder whose weights are in a metric's checkpoint.
ENCODER = (*TOKENIZER, "config.json")

TIMEOUT_SECONDS = 5  # for the first request to the hub

# Where transformers runs code of a model, and code of the hub that a model's configuration names.
_DOORS = {
    "transformers.dynamic_module_utils": "get_class_in_module",
    "transformers.generation.utils": "get_class_in_module",
    "transformers.integrations.hub_kernels": "get_kernel",
}
_CUSTOM = "custom code"  # as transformers calls it
# With these, libraries read pickles, which may run code, from the files of a model.
_VARIABLES = ("TRUST_REMOTE_CODE", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD")

_is_trusted: ContextVar[bool] = ContextVar("_is_trusted", default=False)


class RemoteCodeError(MedAlignError):
    """A model comes with code that would have to run."""


class Checkpoint(NamedTuple):
    """A model's name, its folder, and the files to load."""

    name: str
    folder: Path
    files: list[Path]


def find_checkpoint(name: str, *forms: Sequence[str]) -> Checkpoint:
    """Return the files of a model (a folder or hub id) in the first of `forms` that has weights.

    A form is a list of file patterns; the last is for the weights.

    Raises: MedAlignError if a folder has no weights; other errors as `fetch`.
    """
    for patterns in forms:
        folder = fetch(name, patterns)
        if any(folder.glob(patterns[-1])):
            files = {file for pattern in patterns for file in folder.glob(pattern)}
            return Checkpoint(name, folder, sorted(files))
    wanted = " or ".join(patterns[-1] for patterns in forms)
    if Path(name).is_dir():
        raise MedAlignError(f"{name} contains no {wanted}")
    raise NotAvailableError(f"{_unavailable(name)} (found no {wanted})")


def describe(checkpoint: Checkpoint, role: str = "model") -> str:
    """Return a checkpoint's name and the first 12 digits of the SHA-256 of its files.

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
    return f"{role}:{name}|sha256:{digest.hexdigest()[:12]}"


def load_network(checkpoint: Checkpoint, auto_class: str, **config: object):
    """Return a model's tokenizer and network, on the GPU if there is one.

    `auto_class` is a class in transformers; `config` has required values of the model's
    configuration.

    Raises: MedAlignError if the files are not such a model, or weights are missing, which
    transformers would initialize at random, or the model comes with code, which is never run.
    """
    import torch
    import transformers
    from safetensors import SafetensorError

    folder = {"pretrained_model_name_or_path": checkpoint.folder, "local_files_only": True}
    folder["trust_remote_code"] = False
    try:
        with quiet(), loading(checkpoint.name):
            settings = transformers.AutoConfig.from_pretrained(**folder)
            for key, value in config.items():
                if getattr(settings, key, None) != value:
                    raise ValueError(f"{key} is {getattr(settings, key, None)}, expected {value}")
            network, report = getattr(transformers, auto_class).from_pretrained(
                **folder, output_loading_info=True
            )
            if missing := sorted(report["missing_keys"]):
                raise ValueError(f"missing weights ({len(missing)}), first {missing[0]}")
            tokenizer = transformers.AutoTokenizer.from_pretrained(**folder)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise MedAlignError(
            f"{checkpoint.name} does not load as {auto_class}: {in_one_line(error)}"
        ) from error
    return tokenizer, network.to("cuda" if torch.cuda.is_available() else "cpu").eval()


def load_pretrained_tokenizer(
    folder: Path, *, trust_remote_code: bool = False
) -> "PreTrainedTokenizerFast":
    """Return the fast tokenizer in a folder; transformers raises errors of many types."""
    from transformers import AutoTokenizer

    with quiet(), loading(folder, trust_remote_code=trust_remote_code):
        tokenizer = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, use_fast=True, trust_remote_code=trust_remote_code
        )
    if not tokenizer.is_fast:
        raise ValueError(f"{type(tokenizer).__name__} has no fast version")
    return tokenizer


@contextmanager
def quiet() -> Iterator[None]:
    """Hide transformers' progress bars and warnings in a ``with`` block."""
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
    """Return about the first 200 characters of an error's message, cut between words."""
    return textwrap.shorten(str(error), 200, placeholder=" ...") or type(error).__name__


def fetch(name: str, patterns: Sequence[str]) -> Path:
    """Return the folder with a model's files: `name` itself, or for a hub id the local cache.

    Raises: NotAvailableError if the hub cannot be reached and nothing is cached; MedAlignError if
    the hub has no such repository.
    """
    if Path(name).is_dir():
        return Path(name)
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
        try:  # snapshot_download starts with the same request, but without a timeout
            HfApi().model_info(name, timeout=TIMEOUT_SECONDS)
            is_offline = False
        except (OfflineModeIsEnabled, requests.ConnectionError, requests.Timeout):
            is_offline = True
        options = {"allow_patterns": [*patterns], "local_files_only": is_offline}
        return Path(snapshot_download(name, **options))
    except GatedRepoError:
        raise NotAvailableError(
            f"{name} is gated: accept its terms on the hub, then run `huggingface-cli login`"
        ) from None
    except (RepositoryNotFoundError, HFValidationError):
        raise MedAlignError(f"{name!r} is neither a folder nor a model on the hub") from None
    except LocalEntryNotFoundError:
        raise NotAvailableError(_unavailable(name)) from None
    except OSError as error:
        raise NotAvailableError(f"{_unavailable(name)}: {in_one_line(error)}") from None


def _unavailable(name: str) -> str:
    return f"{name} is not on this machine and the hub cannot be reached"


@contextmanager
def loading(name: str | Path, *, trust_remote_code: bool = False) -> Iterator[None]:
    """Let transformers load a model in a ``with`` block, and run its code only if it is trusted.

    From the first block on, no code of a model runs outside of blocks that trust it. transformers'
    own `trust_remote_code=False` is not enough: the configurations of some models bring a flag of
    their own (CVE-2026-5241), and a `custom_generate/` in a local folder is run in any case.

    Raises: RemoteCodeError if code would have to run; the message has the model's `name`.
    """
    _block()
    token = _is_trusted.set(trust_remote_code)
    try:
        yield
    except Exception as error:
        if _CUSTOM in str(error):  # ours, within an error of transformers, or its own
            raise RemoteCodeError(
                f"{name} comes with Python code, which is not run; only `trust_remote_code: true` "
                "in a system's own YAML lets its model's code run, so read the code first"
            ) from None
        raise
    finally:
        _is_trusted.reset(token)


def _block() -> None:
    import transformers.dynamic_module_utils as dynamic

    dynamic.TIME_OUT_REMOTE_CODE = 0  # seconds to answer on the terminal, which is then not asked
    for variable in _VARIABLES:
        os.environ.pop(variable, None)
    if importlib.util.find_spec("kernels"):
        importlib.import_module("transformers.integrations.hub_kernels")
    # Modules that are imported later take the functions from these.
    for name, function in _DOORS.items():
        module = sys.modules.get(name)
        run = getattr(module, function, None)
        if run is not None and not hasattr(run, "is_guarded"):
            setattr(module, function, _guarded(run))


def _guarded(run: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(run)
    def run_if_trusted(*args: Any, **options: Any) -> Any:
        if not _is_trusted.get():
            raise RemoteCodeError(_CUSTOM)
        return run(*args, **options)

    run_if_trusted.is_guarded = True
    return run_if_trusted
