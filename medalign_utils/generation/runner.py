"""Run a system on a release; each response is stored when it arrives, so that none is lost.

``responses/<system>.jsonl`` has the responses of a complete run in the release's order.
``<system>/store.jsonl`` (``store-2-of-3.jsonl`` for a shard) has all outcomes so far, under any
settings: responses, intermediate answers of refinement, and failures with their reasons.
"""

import functools
import json
import logging
import math
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from medalign_utils.data.release import Release
from medalign_utils.data.responses import read_responses
from medalign_utils.data.store import Store
from medalign_utils.errors import IncompleteError, ParamsError, PromptError
from medalign_utils.generation.base import Failure, Generation
from medalign_utils.generation.run_store import (
    ehr_digests,
    lock_store,
    open_store,
    run_settings,
    short_digest,
)
from medalign_utils.generation.system import (
    check_system,
    make_generator,
    max_new_tokens,
    system_tokenizer,
)
from medalign_utils.generation.tasks import Task, ask_all, instructions_to_ask, packed_instructions
from medalign_utils.generation.terms import check_terms
from medalign_utils.paths import part, write_text
from medalign_utils.prompts.context import check_fits, next_prompt
from medalign_utils.prompts.tokenizers import PromptTokenizer

# A run stops after so many failures of a kind without an answer in between: before the first
# answer ever, and after it.
_IN_A_ROW = {"systemic": (3, 3), "permanent": (5, math.inf), "transient": (5, 20)}
# A server cut the prompt if it read fewer tokens than were sent, by more than both of these.
_CUT_BY, _CUT_SHARE = 256, 0.02

logger = logging.getLogger(__name__)


def run_system(
    release: Release,
    system: Mapping[str, Any],
    path: str | Path,
    *,
    shard: int = 1,
    shards: int = 1,
    retry_failed: bool = False,
    replace: bool = True,
    progress: bool = True,
) -> pd.DataFrame:
    """Return a system's responses to a release, as `read_responses` does; continue an earlier run.

    Each response is stored as soon as it arrives. When all are complete, they are written to
    ``path``, ``<system>.jsonl``, by patient, then in the release's order. Files of a restricted
    release are readable by their owner only.

    No prompt is answered twice under the same settings. These are the system (but not its name, or
    where it runs), tokenizer and chat template, the files of the model, instructions, EHRs, the
    wording of prompts, and the package's version. If any of these has changed, a message says what,
    and earlier responses stay in place. A prompt that failed for a transient reason is tried again.
    One that cannot be answered has an empty response with the reason, and is tried again only with
    `retry_failed`. Until there has been an answer, such failures may be the server's: a run stops
    after five, and the next one asks the other prompts first, then these.

    Without `replace`, a file of responses with other settings, or of another release, stays as it
    is; the new responses are in the store only.

    Several shards of one ``path`` may run at the same time. A second run of the same shard waits
    until the first has ended, and then asks only what is left. The number of shards may differ from
    that of an earlier run.

    Raises:
        ParamsError, TermsError: as `check_system`, `shard_of` and `check_terms`.
        ReleaseError, EHRError: there is no instruction to answer, or an EHR is missing, cannot be
            read, or changed after the release was checked.
        PromptError: an instruction does not fit the context; the message names it.
        IncompleteError: some prompts failed, or the run stopped because all of them would fail.
        MedAlignError: a store is damaged, cannot be locked or is in use by a run with other shards,
            or a generator returned too few or too many outcomes.
    """
    check_system(system)
    path, context_length = Path(path), system.get("context_length")
    tokenizer = system_tokenizer(system)
    terms = check_terms(release, system)
    instructions = instructions_to_ask(release)
    limit = max_new_tokens(system)
    _check_instructions(release, instructions, context_length, tokenizer, limit)
    generator = make_generator(system, tokenizer)
    own = shard_of(instructions, shard, shards)

    digests = ehr_digests(release, instructions)
    settings = run_settings(instructions, system, tokenizer, digests)
    with lock_store(path, terms["restricted"], shard, shards):
        store = open_store(path, settings, terms, shard, shards)
        output = part(path, shard, shards)
        key = short_digest(settings)
        job = _Job(path.stem, system, limit, tokenizer, store, key, terms, retry_failed)
        found = [job.find("response", i) for i in own["instruction_id"]]
        job.has_answered = any(row and not row.get("failure") for row in found)
        to_do = job.failed_last(own[[row is None for row in found]])
        keeps_output = not replace and output.is_file()
        if len(to_do):
            for file in () if keeps_output else (path, output):  # of other settings, or incomplete
                file.unlink(missing_ok=True)
            prompts = packed_instructions(release, to_do, system, tokenizer, digests)
            tasks = job.resume(prompts)
            desc = path.stem if shards == 1 else f"{path.stem} {shard}/{shards}"
            n = len(own) - len(to_do)
            with tqdm(total=len(own), initial=n, desc=desc, disable=not progress) as bar:
                ask_all(tasks, generator, functools.partial(job.handle, bar), job.check_goes_on)
            job.check_complete(len(to_do))
        # A system of another name may have answered.
        rows = [store[job.key("response", i)] for i in own["instruction_id"]]
        rows = [row | {"system": job.name} for row in rows]
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        temporary = path.with_suffix("") / f"{output.name}.new"
        write_text(text, temporary, private=terms["restricted"])
        responses = read_responses(temporary)
        if not keeps_output:
            os.replace(temporary, output)
            return responses
        temporary.unlink()
        if text != output.read_text(encoding="utf-8"):
            logger.warning("%s has other responses and is not replaced", output)
        return responses


def shard_of(instructions: pd.DataFrame, shard: int, shards: int) -> pd.DataFrame:
    """Return the instructions of one shard, counted from 1; shards are contiguous, about equal."""
    n = len(instructions)
    if shards > n > 0:
        raise ParamsError(f"shards: {shards}, expected at most {n}, one for each instruction")
    return instructions.iloc[n * (shard - 1) // shards : n * shard // shards]


@dataclass
class _Job:
    """One job of a system: it stores each outcome and decides whether the run continues."""

    name: str
    system: Mapping[str, Any]
    max_new_tokens: int
    tokenizer: PromptTokenizer
    store: Store
    settings: str  # digest
    terms: Mapping[str, Any]  # see `check_terms`
    retry_failed: bool
    has_answered: bool = False  # any prompt, under these settings
    undecided: list[tuple[Task, Failure]] = field(default_factory=list)  # before the first answer
    failures: Counter[Failure] = field(default_factory=Counter)
    in_a_row: Counter = field(default_factory=Counter)  # failures since the last answer, by kind
    stop_reason: str = ""

    def key(self, kind: str, name: str) -> str:
        return f"{self.settings} {kind} {name}"

    def find(self, kind: str, name: str) -> dict[str, Any] | None:
        """Return what is stored, unless it is to be asked for again."""
        row = self.store.get(self.key(kind, name), {})
        was_cut = row.get("prompt_tokens_read") is not None and not self._keeps_cut_prompts
        return None if was_cut or (self.retry_failed and row.get("failure")) else row or None

    @property
    def _keeps_cut_prompts(self) -> bool:
        return self.system.get("cut_prompts") == "record"

    def failed_last(self, instructions: pd.DataFrame) -> pd.DataFrame:
        """Return instructions, those last that were refused most often in earlier runs."""
        times = [self._times_refused(i) for i in instructions["instruction_id"]]
        return instructions.iloc[np.argsort(times, kind="stable")]

    def _times_refused(self, instruction_id: str) -> int:
        return self.store.get(self.key("failure", instruction_id), {}).get("times_refused", 0)

    def resume(self, tasks: Iterable[Task]) -> Iterator[Task]:
        """Yield each task with its first prompt that an earlier run did not answer."""
        for task in tasks:
            # A step counts if it answered exactly these prompts.
            while task.later and (step := self.find("step", task.digest.hexdigest())):
                tokens = step["response_tokens"], step.get("input_tokens")
                task.spend(step["seconds"], *tokens)
                task.prompt_tokens_read = step.get("prompt_tokens_read")
                self._refine(task, step["response"])
            yield task

    def handle(self, bar: tqdm, task: Task, outcome: Generation | Failure, seconds: float) -> bool:
        """Store an outcome; return whether the instruction has a next prompt."""
        if isinstance(outcome, Failure):
            task.seconds += seconds
            bar.update()
            self._handle_failure(task, outcome)
            bar.set_postfix(failed=self.failures.total())
            return False
        self.has_answered = True
        self.record_undecided()
        self.in_a_row.clear()
        task.spend(seconds, outcome.tokens, outcome.prompt_tokens)
        sent, read = task.last_prompt_tokens, outcome.prompt_tokens
        was_cut = read is not None and sent - read > max(_CUT_BY, sent * _CUT_SHARE)
        if was_cut:
            task.prompt_tokens_read = read
        has_next = bool(task.later)
        if has_next:
            about = {"step": task.n_prompts, "seconds": seconds, "input_tokens": read or sent}
            self._put("step", task, _answer(outcome) | about)
            self._refine(task, outcome.text)
        else:
            self._put_response(task, _answer(outcome))
            bar.update()
        if was_cut and not self._keeps_cut_prompts:
            self.stop_reason = (
                f"the server read {read:,} of the {sent:,} tokens of a prompt: give it a longer "
                "context (Ollama: OLLAMA_CONTEXT_LENGTH); or if `tokenizer:` is not the model's "
                "own, keep such responses by `cut_prompts: record`"
            )
        return has_next

    def _handle_failure(self, task: Task, failure: Failure) -> None:
        times = self._times_refused(task.instruction_id) + (failure.kind == "permanent")
        about = {"reason": failure.reason, "kind": failure.kind, "times_refused": times}
        self._put("failure", task, about)
        self.failures[failure] += 1
        self.in_a_row[failure.kind] += 1
        if failure.kind == "permanent":
            self.undecided.append((task, failure))
            if self.has_answered:
                self.record_undecided()
        n = self.in_a_row[failure.kind]
        if n >= _IN_A_ROW[failure.kind][self.has_answered]:
            self.stop_reason = f"{n} prompts in a row failed: {failure.reason}"

    def record_undecided(self) -> None:
        """Record that prompts have no response, since it is they that cannot be answered."""
        for task, failure in self.undecided:
            task.input_tokens = task.output_tokens = None
            none = Generation("", "failed", None, reasoning_tokens=None)
            self._put_response(task, _answer(none) | {"failure": failure.reason})
        self.undecided.clear()

    def check_goes_on(self) -> None:
        if self.stop_reason:
            raise IncompleteError(
                f"{self.name}: stopped, because {self.stop_reason}; finished responses are kept, "
                "and the next run continues"
            )

    def _put_response(self, task: Task, answer: dict[str, Any]) -> None:
        names = (
            "prompt_tokens ehr_tokens_kept ehr_tokens_total n_prompts input_tokens output_tokens "
            "seconds prompt_tokens_read"
        ).split()
        counts = {name: getattr(task, name) for name in names}
        self._put("response", task, {"system": self.name, **answer, **counts})

    def _put(self, kind: str, task: Task, row: dict[str, Any]) -> None:
        digest = task.digest.hexdigest()
        row = {"instruction_id": task.instruction_id, **row, "prompt_sha256": digest}
        # Under which agreement it was sent; a later run may be of another server.
        row |= {name: self.terms[name] for name in ("host", "covered_by") if name in self.terms}
        if kind == "step":
            row["prompt_tokens_read"] = task.prompt_tokens_read
        self.store.put(self.key(kind, digest if kind == "step" else task.instruction_id), row)

    def _refine(self, task: Task, answer: str) -> None:
        """Ask for the answer to be refined with the next part of the EHR."""
        question, later = task.prompt.instruction, task.later.popleft()
        sizes = self.system["context_length"], self.max_new_tokens
        task.ask(*next_prompt(question, later, answer, self.tokenizer, *sizes))

    def check_complete(self, n: int) -> None:
        """Check, after all prompts, that no failure may pass; record and warn of the others."""
        self.record_undecided()
        for is_permanent in (True, False):
            found = [f for f in self.failures.elements() if (f.kind == "permanent") == is_permanent]
            if not found:
                continue
            reasons = Counter(failure.reason for failure in found).most_common(5)
            reasons = "; ".join(f"{k} x {reason}" for reason, k in reasons)
            if is_permanent:
                logger.warning(
                    "%s: %d of %d instructions have no response (%s), and count as not correct; "
                    "`retry_failed: true` asks for them again",
                    *(self.name, len(found), n, reasons),
                )
                continue
            raise IncompleteError(
                f"{self.name}: {len(found)} of {n} instructions have no response yet "
                f"({reasons}); each with its reason is in {self.store.path}, finished responses "
                "are kept, and another run tries only the failed ones"
            )


def _answer(outcome: Generation) -> dict[str, Any]:
    return {
        "response": outcome.text,
        "finish_reason": outcome.finish_reason,
        "response_tokens": outcome.tokens,
        "reasoning": outcome.reasoning,
        "reasoning_tokens": outcome.reasoning_tokens,
        "failure": "",
        "device": outcome.device,
    }


def _check_instructions(
    release: Release,
    asked: pd.DataFrame,
    context_length: int | None,
    tokenizer: PromptTokenizer,
    max_new_tokens: int,
) -> None:
    for row in asked.itertuples():
        release.ehr_path(row.person_id)
        try:
            if context_length is not None:
                check_fits(row.question, tokenizer, context_length, max_new_tokens)
        except PromptError as error:
            raise PromptError(f"instruction {row.instruction_id}: {error}") from None
