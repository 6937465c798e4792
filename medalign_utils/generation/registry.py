"""Generators turn prompts into responses.

`GENERATORS` maps a name to a factory. The factory takes the generator's options as keywords, and of
the system's own keys those that it names as parameters, and returns a `Generator`. A new generator
is one function and one line here.
"""

from collections.abc import Callable

from medalign_utils.generation.base import Failure, Generation, Generator
from medalign_utils.generation.extractive import (
    bm25_passage,
    minilm_passage,
    random_passage,
    recent_note,
)
from medalign_utils.generation.huggingface import huggingface
from medalign_utils.generation.openai_api import openai

GENERATORS: dict[str, Callable[..., Generator]] = {
    "bm25_passage": bm25_passage,
    "huggingface": huggingface,
    "minilm_passage": minilm_passage,
    "openai": openai,
    "random_passage": random_passage,
    "recent_note": recent_note,
}

__all__ = [
    "GENERATORS",
    "Failure",
    "Generation",
    "Generator",
    "bm25_passage",
    "huggingface",
    "minilm_passage",
    "openai",
    "random_passage",
    "recent_note",
]
