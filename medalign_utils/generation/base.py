"""What a generator is, and what it gives back."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from medalign_utils.prompts.templates import Prompt


class Generation(NamedTuple):
    """One response.

    Attributes:
        text: the response, as generated.
        finish_reason: "stop"; "length" where the limit cut it; "content_filter" where a server's
            filter withheld it, which leaves the text empty.
        tokens: of the response, in the model's own tokenizer; None where that is not known.
    """

    text: str
    finish_reason: str
    tokens: int | None = None


class Failure(NamedTuple):
    """Why there is no response: one line, which holds nothing of the prompt."""

    reason: str


class Generator(NamedTuple):
    """How prompts are answered.

    Attributes:
        answer: takes up to `batch_size` prompts and gives one outcome for each, in order. An
            outcome depends on its prompt alone. Where `concurrency` exceeds 1, several threads call
            it at a time.
        batch_size: prompts a call.
        concurrency: calls at a time.
        stop: is called where a run ends early; calls that wait to try again then come back.
    """

    answer: Callable[[Sequence[Prompt]], Sequence[Generation | Failure]]
    batch_size: int = 1
    concurrency: int = 1
    stop: Callable[[], None] = lambda: None
