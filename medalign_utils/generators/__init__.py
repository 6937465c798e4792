"""Generators turn prompts into responses.

`GENERATORS` maps a name to a factory. The factory takes the generator's options as keywords and
returns ``generate(prompts) -> iterator of Generation``: one for each prompt, in order, computed as
they are asked for, from nothing but the prompt. A new generator is one function and one line here.
"""

from collections.abc import Callable

from medalign_utils.generators.extractive import (
    bm25_passage,
    minilm_passage,
    random_passage,
    recent_note,
)
from medalign_utils.generators.generation import Generate, Generation

GENERATORS: dict[str, Callable[..., Generate]] = {
    "bm25_passage": bm25_passage,
    "minilm_passage": minilm_passage,
    "random_passage": random_passage,
    "recent_note": recent_note,
}

__all__ = [
    "GENERATORS",
    "Generate",
    "Generation",
    "bm25_passage",
    "minilm_passage",
    "random_passage",
    "recent_note",
]
