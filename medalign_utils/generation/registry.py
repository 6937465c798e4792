"""Generators by name: functions that return a `Generator`.

A function's keyword parameters are the options that a system's file may set. A parameter
`tokenizer` receives the system's tokenizer.
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
