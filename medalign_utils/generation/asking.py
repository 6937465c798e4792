"""Ask a generator many prompts, in batches and from several threads."""

import hashlib
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import islice

from medalign_utils.errors import MedAlignError
from medalign_utils.generation.registry import Failure, Generation, Generator
from medalign_utils.prompts.templates import Prompt

Outcome = Generation | Failure


@dataclass
class Asked:
    """An instruction that is being answered.

    Attributes:
        instruction_id: which.
        prompt: what is to be asked next.
        prompt_tokens: of the longest prompt so far.
        ehr_tokens_kept: of the EHR, in all its prompts.
        ehr_tokens_total: of the EHR.
        later: parts of the EHR that further prompts will hold.
        n_prompts: how many have been made so far, with `prompt`.
        digest: of the texts of these prompts.
        seconds: spent on the answers to them, `last_seconds` on the last one.
    """

    instruction_id: str
    prompt: Prompt
    prompt_tokens: int
    ehr_tokens_kept: int
    ehr_tokens_total: int
    later: deque[str]
    n_prompts: int = 0
    seconds: float = 0.0
    last_seconds: float = 0.0
    digest: "hashlib._Hash" = field(default_factory=hashlib.sha256)

    def __post_init__(self) -> None:
        """Count the first prompt."""
        self.ask(self.prompt, self.prompt_tokens)

    def ask(self, prompt: Prompt, prompt_tokens: int) -> None:
        """Make a prompt the next one."""
        self.prompt = prompt
        self.prompt_tokens = max(self.prompt_tokens, prompt_tokens)
        self.n_prompts += 1
        self.digest.update(prompt.text.encode())


def ask_all(
    asked: Iterable[Asked], generator: Generator, handle: Callable[[Asked, Outcome], bool]
) -> None:
    """Have every instruction answered.

    Args:
        asked: the instructions, taken as the generator has room for them.
        generator: whose `answer` is called in threads, `concurrency` at a time.
        handle: is called in this thread with each outcome as it comes, in any order; it returns
            whether the instruction has a next prompt, which then goes before new ones.

    Raises:
        Whatever `asked`, the generator or `handle` raises, or KeyboardInterrupt. What is on its way
        by then is waited for and handled before.
    """
    new, waiting = iter(asked), deque[Asked]()

    def take() -> Asked | None:
        return waiting.popleft() if waiting else next(new, None)

    def settle(future: Future, batch: list[Asked]) -> None:
        seconds, outcomes = future.result()
        if len(outcomes) != len(batch):
            raise MedAlignError(
                f"the generator gave {len(outcomes)} outcomes for {len(batch)} prompts; what was "
                "finished before is kept"
            )
        for one, outcome in zip(batch, outcomes, strict=True):
            one.last_seconds = seconds
            one.seconds += seconds
            if handle(one, outcome):
                waiting.append(one)

    running: dict[Future, list[Asked]] = {}
    with ThreadPoolExecutor(generator.concurrency) as pool:
        try:
            while True:
                while len(running) < generator.concurrency:
                    batch = list(islice(iter(take, None), generator.batch_size))
                    if not batch:
                        break
                    running[pool.submit(_timed, generator, batch)] = batch
                if not running:
                    return
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    settle(future, running.pop(future))
        except BaseException:
            generator.stop()
            # What is on its way may have been paid for.
            for future in wait(running).done:
                if future.exception() is None:
                    settle(future, running[future])
            raise


def _timed(generator: Generator, batch: list[Asked]) -> tuple[float, list[Outcome]]:
    start = time.perf_counter()
    outcomes = list(generator.answer([one.prompt for one in batch]))
    return time.perf_counter() - start, outcomes
