"""Generators turn prompts into responses.

`GENERATORS` maps a name to a function that returns a `Generator`; its keyword parameters are the
generator's options, and keys of the system that it needs. A new generator is one line here.
"""

from collections.abc import Callable

from medalign_utils.generation import extractive
from medalign_utils.generation.base import Generator
from medalign_utils.generation.huggingface import huggingface
from medalign_utils.generation.openai_api import openai

GENERATORS: dict[str, Callable[..., Generator]] = {
    "bm25_passage": extractive.bm25_passage,
    "huggingface": huggingface,
    "minilm_passage": extractive.minilm_passage,
    "openai": openai,
    "random_passage": extractive.random_passage,
    "recent_note": extractive.recent_note,
}
