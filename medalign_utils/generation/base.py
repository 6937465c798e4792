"""What a generator is, and what it returns."""

from collections.abc import Callable, Sequence
from typing import Annotated, Literal, NamedTuple, Required

from pydantic import ConfigDict, Field, PositiveInt
from typing_extensions import TypedDict

from medalign_utils.prompts.templates import Prompt

# How servers name the most tokens of a response.
LENGTH_KEYS = ("max_tokens", "max_completion_tokens")


class Generation(NamedTuple):
    """One response: its answer, and the reasoning before it.

    `finish_reason` is "stop", "length" if the limit cut it, "content_filter" if a server withheld
    it (`text` is then empty), or another reason that a server gives. `tokens` counts answer and
    reasoning; `prompt_tokens` counts what a server read. Unknown counts are None. `device` is the
    processor that ran a model in this process: "cpu", or the name of a GPU; "" otherwise.
    """

    text: str
    finish_reason: str
    tokens: int | None = None
    reasoning: str = ""
    reasoning_tokens: int | None = 0
    prompt_tokens: int | None = None
    device: str = ""


class Sampling(TypedDict, total=False):
    """How tokens are sampled; without it, decoding is greedy."""

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    temperature: Required[Annotated[float, Field(ge=0, le=2)]]
    top_p: Annotated[float, Field(gt=0, le=1)]
    top_k: PositiveInt
    min_p: Annotated[float, Field(ge=0, le=1)]
    seed: int


class Failure(NamedTuple):
    """Why there is no response, in one line that does not quote the prompt.

    "transient" failures may not happen again; "permanent" ones will, because the prompt causes
    them; "systemic" ones would affect every prompt, and the reason says what to do.
    """

    reason: str
    kind: Literal["transient", "permanent", "systemic"] = "transient"


class Generator(NamedTuple):
    """How prompts are answered: up to `concurrency` threads call `answer` at the same time.

    `answer` takes up to `batch_size` prompts and returns their outcomes in order; an outcome
    depends only on its own prompt. `stop` is called when a run ends early; it prevents further
    attempts.
    """

    answer: Callable[[Sequence[Prompt]], Sequence[Generation | Failure]]
    batch_size: int = 1
    concurrency: int = 1
    stop: Callable[[], None] = lambda: None
