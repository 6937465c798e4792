"""What a generator is, and what it gives back."""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from medalign_utils.prompts import Prompt


class Generation(NamedTuple):
    """One response; ``finish_reason`` is "stop", or "length" where the limit cut it."""

    text: str
    finish_reason: str


Generate = Callable[[Iterable[Prompt]], Iterator[Generation]]
