"""What a generator is, and what it returns."""

from collections.abc import Callable, Sequence
from typing import Annotated, Literal, NamedTuple, Required

from pydantic import ConfigDict, Field, PositiveInt
from typing_extensions import TypedDict

from medalign_utils.prompts.templates import Prompt


class Generation(NamedTuple):
    """One response: its answer, and the reasoning before it.

    `finish_reason` is "stop", "length" if the limit cut it, "content_filter" if a server withheld
    it, which leaves `text` empty, or another word of a server. `tokens` counts answer and
    reasoning, `prompt_tokens` is what a server read. Unknown counts are None.
    """

    text: str
    finish_reason: str
    tokens: int | None = None
    reasoning: str = ""
    reasoning_tokens: int | None = 0
    prompt_tokens: int | None = None


class Sampling(TypedDict, total=False):
    """How tokens are drawn, where the most probable one is not always taken."""

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    temperature: Required[Annotated[float, Field(ge=0, le=2)]]
    top_p: Annotated[float, Field(gt=0, le=1)]
    top_k: PositiveInt
    min_p: Annotated[float, Field(ge=0, le=1)]
    seed: int


class Failure(NamedTuple):
    """Why there is no response: one line, without anything of the prompt.

    A "permanent" failure lies in the prompt and comes again. A "systemic" one would meet every
    prompt, and its reason says what to do. What is "transient" may pass.
    """

    reason: str
    kind: Literal["transient", "permanent", "systemic"] = "transient"


class Generator(NamedTuple):
    """How prompts are answered: `concurrency` threads at a time call `answer`.

    It takes up to `batch_size` prompts and returns one outcome for each, in order, by its prompt
    alone. `stop` is called when a run ends early, so that no more attempts are made.
    """

    answer: Callable[[Sequence[Prompt]], Sequence[Generation | Failure]]
    batch_size: int = 1
    concurrency: int = 1
    stop: Callable[[], None] = lambda: None
