"""Load tokenizers through transformers, without its bars and warnings.

transformers is imported by the functions that need it, so importing this module costs nothing.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

_CONFIG = "tokenizer_config.json"


@contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers' progress bars and warnings off while something runs."""
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


def has_tokenizer_config(name: str) -> bool:
    """Say whether a folder or a repository has a ``tokenizer_config.json``.

    A repository that cannot be asked is taken for one that has it, as nearly all do.
    """
    folder = Path(name)
    if folder.is_dir():
        return (folder / _CONFIG).is_file()
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    try:
        hf_hub_download(name, _CONFIG)
    except LocalEntryNotFoundError:
        return True
    except EntryNotFoundError:
        return False
    except (OSError, ValueError):
        return True
    return True


def load_pretrained_tokenizer(name: str) -> "PreTrainedTokenizerFast":
    """Load the tokenizer that transformers gives the model of a folder or repository.

    What it raises has many kinds; :func:`in_one_line` makes a message of it.
    """
    from transformers import AutoTokenizer

    with quiet():
        loaded = AutoTokenizer.from_pretrained(name, use_fast=True)
    if not loaded.is_fast:
        raise ValueError(f"{type(loaded).__name__} has no fast version")
    return loaded


def in_one_line(error: Exception) -> str:
    """The opening of an error's message, on one line."""
    return " ".join(str(error).split())[:200] or type(error).__name__
