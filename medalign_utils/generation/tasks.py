"""Instructions being answered: their prompts, which are asked in batches until all are answered."""

import contextlib
import hashlib
import logging
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import pandas as pd

from medalign_utils.data.release import Release, instructions_to_answer
from medalign_utils.errors import MedAlignError, ReleaseError
from medalign_utils.generation.base import Failure, Generation, Generator
from medalign_utils.generation.system import strategy_options
from medalign_utils.prompts.context import pack_ehr
from medalign_utils.prompts.templates import Prompt
from medalign_utils.prompts.tokenizers import PromptTokenizer

# Signals that end a run after the answers that are under way. A second one ends it at once.
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

logger = logging.getLogger(__name__)


@dataclass
class Task:
    """An instruction being answered; `prompt` is its next prompt."""

    instruction_id: str
    prompt: Prompt
    prompt_tokens: int  # of the longest prompt so far
    ehr_tokens_kept: int  # in all its prompts
    ehr_tokens_total: int
    later: deque[str]  # parts of the EHR for further prompts
    n_prompts: int = 0  # with `prompt`
    last_prompt_tokens: int = 0  # of `prompt`
    prompt_tokens_read: int | None = None  # of a prompt that the server cut
    # Spent on all answers so far; None if a count is unknown.
    input_tokens: int | None = 0
    output_tokens: int | None = 0
    seconds: float = 0.0
    digest: "hashlib._Hash" = field(default_factory=hashlib.sha256)  # of its prompts so far

    def __post_init__(self) -> None:
        """Count the first prompt."""
        self.ask(self.prompt, self.prompt_tokens)

    def spend(self, seconds: float, tokens: int | None, prompt_tokens: int | None) -> None:
        """Add what an answer took; `prompt_tokens` are those that a server counted."""
        self.seconds += seconds
        self.input_tokens += prompt_tokens or self.last_prompt_tokens
        is_known = tokens is not None and self.output_tokens is not None
        self.output_tokens = self.output_tokens + tokens if is_known else None

    def ask(self, prompt: Prompt, prompt_tokens: int) -> None:
        """Set the next prompt."""
        self.prompt, self.last_prompt_tokens = prompt, prompt_tokens
        self.prompt_tokens = max(self.prompt_tokens, prompt_tokens)
        self.n_prompts += 1
        self.digest.update(prompt.text.encode())


def instructions_to_ask(release: Release) -> pd.DataFrame:
    """Return `instructions_to_answer`; ReleaseError if there is none."""
    instructions = instructions_to_answer(release)
    if instructions.empty:
        hint = "; `only_with_reference: false` asks those of all patients with an EHR"
        raise ReleaseError(
            f"{release.path}: no instruction has a "
            + (f"reference{hint}" if release.only_with_reference else "patient with an EHR")
        )
    return instructions


def packed_instructions(
    release: Release,
    instructions: pd.DataFrame,
    system: Mapping[str, Any],
    tokenizer: PromptTokenizer,
    digests: Mapping[str, str] | None = None,
) -> Iterator[Task]:
    """Yield each instruction with a system's first prompt; each EHR is read once.

    Raises:
        ReleaseError: an EHR does not have its SHA-256 in `digests`, or in the release's manifest.
    """
    for person_id, group in instructions.groupby("person_id", sort=False):
        prompts = pack_ehr(
            release.ehr_path(person_id),
            group["question"].tolist(),
            system["format"],
            tokenizer,
            system["context_length"],
            system.get("strategy", "truncate"),
            **strategy_options(system),
        )
        path = release.ehr_path(person_id)
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        expected = {release.proven_digest(person_id), (digests or {}).get(person_id)} - {None}
        if expected - {digest}:
            raise ReleaseError(
                f"{path} has changed since the release was checked, so that it is not sent; "
                "restart the kernel or the run"
            )
        for instruction_id, packed in zip(group["instruction_id"], prompts, strict=True):
            yield Task(instruction_id, **packed._asdict() | {"later": deque(packed.later)})


def ask_all(
    tasks: Iterable[Task],
    generator: Generator,
    handle: Callable[[Task, Generation | Failure, float], bool],
    check_goes_on: Callable[[], None],
) -> None:
    """Get an answer to every instruction, with `concurrency` batches at a time.

    Outcomes are handled in this thread as they arrive; follow-up prompts go before new
    instructions. `check_goes_on` raises an error to end the run. After an error, a
    KeyboardInterrupt or one of `SIGNALS`, answers that are under way are awaited and handled.
    """
    new, waiting = _by_length(tasks, generator.batch_size), deque[Task]()
    running: dict[Future, list[Task]] = {}

    def take() -> Task | None:
        return waiting.popleft() if waiting else next(new, None)

    def answer(batch: list[Task]) -> tuple[list[Generation | Failure], float]:
        start = time.perf_counter()
        outcomes = list(generator.answer([task.prompt for task in batch]))
        return outcomes, (time.perf_counter() - start) / len(batch)

    def settle(future: Future) -> None:
        batch = running.pop(future)
        outcomes, seconds = future.result()
        if len(outcomes) != len(batch):
            raise MedAlignError(
                f"the generator returned {len(outcomes)} outcomes for {len(batch)} prompts; "
                "finished responses are kept"
            )
        for task, outcome in zip(batch, outcomes, strict=True):
            if handle(task, outcome, seconds):
                waiting.append(task)

    with _deferred(generator.stop) as received, ThreadPoolExecutor(generator.concurrency) as pool:
        try:
            while True:
                while len(running) < generator.concurrency and (
                    batch := list(islice(iter(take, None), generator.batch_size))
                ):
                    running[pool.submit(answer, batch)] = batch
                if not running:
                    return
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    settle(future)
                if received:
                    raise KeyboardInterrupt
                check_goes_on()
        except BaseException:
            generator.stop()
            # Answers under way may have been paid for.
            for future in wait(running).done:
                if future.exception() is None:
                    settle(future)
            raise


@contextlib.contextmanager
def _deferred(stop: Callable[[], None]) -> Iterator[list[int]]:
    """Collect `SIGNALS` in a ``with`` block, and deliver the first at its end.

    Python would raise an exception at any place, such as while an answer is being stored.
    """
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received  # only the main thread may handle signals
        return

    def receive(number: int, _: object) -> None:
        received.append(number)
        signal.signal(number, before[number])
        logger.warning("%s: waiting for answers under way", signal.Signals(number).name)
        stop()

    # Signals that are ignored, as by nohup, or that another library handles in C, stay so.
    before = {number: signal.getsignal(number) for number in SIGNALS}
    before = {n: h for n, h in before.items() if h not in (signal.SIG_IGN, None)}
    for number in before:
        signal.signal(number, receive)
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if received and received[0] != signal.SIGINT:  # which is a KeyboardInterrupt
            signal.raise_signal(received[0])


def _by_length(tasks: Iterable[Task], batch_size: int) -> Iterator[Task]:
    """Yield tasks in an order in which a batch has prompts of similar length: less padding.

    They are sorted within 16 batches, since all prompts may not fit in memory. The longest come
    first, because they are the first to run out of a device's memory.
    """
    tasks = iter(tasks)
    n = 16 * batch_size if batch_size > 1 else 1
    while window := list(islice(tasks, n)):
        yield from sorted(window, key=lambda task: task.prompt_tokens, reverse=True)
