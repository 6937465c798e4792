"""Run a system on a release: its responses, written as they come, so that none is lost."""

import hashlib
import json
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from tokenizers import Tokenizer
from tqdm.auto import tqdm

from medalign_utils import __version__
from medalign_utils.data.jsonl import mend, read_lines, write_line
from medalign_utils.data.release import Release, instructions_to_answer
from medalign_utils.data.responses import RESPONSE_COLUMNS, _read, read_responses
from medalign_utils.errors import IncompleteError, PromptError
from medalign_utils.generation.asking import Asked, Outcome, ask_all
from medalign_utils.generation.registry import Failure, Generator
from medalign_utils.generation.sharding import shard_of
from medalign_utils.generation.store import RunFiles
from medalign_utils.generation.system import (
    check_system,
    make_generator,
    shaping_settings,
    strategy_options,
    tokenizer_name,
)
from medalign_utils.generation.terms import check_terms
from medalign_utils.paths import resolve
from medalign_utils.prompts.chat import Chat, load_chat
from medalign_utils.prompts.packing import pack_ehrs
from medalign_utils.prompts.strategies import next_prompt
from medalign_utils.prompts.templates import ANSWER, REFINE, check_fits, load_tokenizer

_STEP_KEYS = {
    "instruction_id",
    "step",
    "response",
    "finish_reason",
    "response_tokens",
    "seconds",
    "prompt_sha256",
}


def run_system(
    release: Release,
    system: Mapping[str, Any],
    path: str | Path,
    *,
    only_with_reference: bool = True,
    shard: int = 1,
    shards: int = 1,
    workers: int = 1,
    progress: bool = True,
) -> pd.DataFrame:
    """Answer a release's instructions with one system, or go on where an earlier run ended.

    Responses are written one by one, and to ``path``, in the order of the release, when all are
    there; `run_files` says where. A run with the settings of an earlier one keeps its responses,
    finished or not, and the intermediate answers of refinement; one with others says what differs
    and leaves them where they are. Settings are what shapes prompts and answers: the system (not
    its names, nor where it runs), its tokenizer and chat template, the files of a model in a
    folder, the instructions, the EHRs, the prompts' wording and the package's version. A prompt
    that fails is recorded with its reason while the others go on, and is tried again by the next
    run. Two runs must not write one ``path`` at the same time, save for different shards of it.

    Of a restricted release the files are readable by their owner only, and nothing is sent to
    another machine unless the system states the agreement that covers it; see `terms`.

    Args:
        release: as :func:`medalign_utils.data.release.load_release` gives it.
        system: what its YAML says; see :func:`medalign_utils.generation.system.check_system`.
        path: ``<system>.jsonl``, in a folder that is made if need be. The file's stem is the
            responses' ``system``.
        only_with_reference: leave out the instructions that no clinician answered.
        shard: which part of the instructions to answer, from 1; see `sharding.shard_of`. Its
            responses go to `paths.part`.
        shards: of how many; it may be another number than an earlier run's.
        workers: processes that pack prompts; see :func:`medalign_utils.prompts.packing.pack_ehrs`.
        progress: show a bar, with the rate, the time left and the failures so far.

    Returns:
        The responses; see :func:`read_responses`. Rows go by patient, then in the release's order.

    Raises:
        ParamsError: the system asks for something that does not exist, or there are more shards
            than instructions.
        TermsError: the system would send a restricted release to a machine without an agreement.
        ReleaseError: an instruction has no patient, or its EHR is absent.
        PromptError: an instruction does not fit the context; it is named.
        EHRError: an EHR cannot be read.
        IncompleteError: some prompts failed; it says how many, and why.
        MedAlignError: the working file is damaged elsewhere than at its end, or the generator gave
            another number of responses than it got prompts.

    >>> run_system(None, {"generator": "bm25_passage"}, "runs/demo/responses/bm25.jsonl")
    Traceback (most recent call last):
    ...
    medalign_utils.errors.ParamsError: the system lacks context_length, format; it has generator
    """
    path = Path(path)
    check_system(system)
    chat = load_chat(tokenizer_name(system), system.get("chat_template"))
    tokenizer = load_tokenizer(tokenizer_name(system), chat)
    terms = check_terms(release, system)
    instructions = instructions_to_answer(release, only_with_reference)
    _check_instructions(release, instructions, system["context_length"], tokenizer, chat)
    generator = make_generator(system)

    settings = _settings(release, instructions, system, tokenizer, chat)
    files = RunFiles(path, settings, terms, private=terms["restricted"], shard=shard, shards=shards)
    mend(files.responses, set(RESPONSE_COLUMNS))
    mend(files.steps, _STEP_KEYS)
    files.forget_failures()
    mine = shard_of(release, instructions, system, shard, shards)
    finished = _finished(files)
    to_do = mine[~mine["instruction_id"].isin(finished)]
    if len(to_do):
        for published in (path, files.published):  # of other settings, or not complete
            published.unlink(missing_ok=True)
        asked = _instructions(release, to_do, system, files, tokenizer, chat, workers)
        desc = files.system if shards == 1 else f"{files.system} {shard}/{shards}"
        n = len(mine) - len(to_do)
        with tqdm(total=len(mine), initial=n, desc=desc, disable=not progress) as bar:
            failures = _answer(asked, generator, system, files, tokenizer, chat, bar)
        if failures:
            raise IncompleteError(_summary(failures, len(to_do), files))
        finished = _finished(files)
    files.publish([finished[instruction_id] for instruction_id in mine["instruction_id"]])
    return read_responses(files.published)


def _finished(files: RunFiles) -> dict[str, dict[str, Any]]:
    """All responses so far, this job's and other jobs', by their instruction."""
    finished: dict[str, dict[str, Any]] = {}
    for file in files.all_of("responses"):
        for row in _read(file, growing=file != files.responses):
            finished.setdefault(row["instruction_id"], row)
    return finished


def _check_instructions(
    release: Release,
    instructions: pd.DataFrame,
    context_length: int | None,
    tokenizer: Tokenizer,
    chat: Chat | None,
) -> None:
    for person_id in instructions["person_id"].unique():
        release.ehr_path(person_id)
    if context_length is None:
        return
    for row in instructions.itertuples():
        try:
            check_fits(row.question, tokenizer, context_length, chat)
        except PromptError as error:
            raise PromptError(f"instruction {row.instruction_id}: {error}") from None


def packed_instructions(
    release: Release, instructions: pd.DataFrame, system: Mapping[str, Any], workers: int = 1
) -> Iterator[Asked]:
    """Pack a system's first prompt for each instruction.

    Args:
        release: whose EHRs are read.
        instructions: of its table, patient by patient, so that each EHR is read once.
        system: what its YAML says.
        workers: as for `packing.pack_ehrs`.

    Raises:
        EHRError, PromptError: as `packing.pack_ehr`.
    """
    groups = [group for _, group in instructions.groupby("person_id", sort=False)]
    packed_ehrs = pack_ehrs(
        [(release.ehr_path(g["person_id"].iloc[0]), g["question"].tolist()) for g in groups],
        system["format"],
        tokenizer_name(system),
        system["context_length"],
        workers=workers,
        strategy=system.get("strategy", "truncate"),
        chat_template=system.get("chat_template"),
        options=strategy_options(system),
    )
    for group, (packed, total) in zip(groups, packed_ehrs, strict=True):
        for instruction_id, one in zip(group["instruction_id"], packed, strict=True):
            yield Asked(
                instruction_id,
                one.prompt,
                one.prompt_tokens,
                one.ehr_tokens_kept,
                total,
                deque(one.later),
            )


def _instructions(
    release: Release,
    to_do: pd.DataFrame,
    system: Mapping[str, Any],
    files: RunFiles,
    tokenizer: Tokenizer,
    chat: Chat | None,
    workers: int,
) -> Iterator[Asked]:
    """What is to be asked, each instruction as far as an earlier run had got with it."""
    earlier = {}
    for file in files.all_of("steps"):
        for row in read_lines(file, _STEP_KEYS):
            if row is not None:
                earlier[row["instruction_id"], row["prompt_sha256"]] = row
    for one in packed_instructions(release, to_do, system, workers):
        # A step counts if it answers just these prompts.
        while one.later and (step := earlier.get((one.instruction_id, one.digest.hexdigest()))):
            one.seconds += step["seconds"]
            _next(one, step["response"], tokenizer, system["context_length"], chat)
        yield one


def _answer(
    asked: Iterator[Asked],
    generator: Generator,
    system: Mapping[str, Any],
    files: RunFiles,
    tokenizer: Tokenizer,
    chat: Chat | None,
    bar: tqdm,
) -> Counter:
    """Have all answered; count the failures by their reason."""
    failures: Counter = Counter()
    n_steps = 0
    with (
        files.append(files.responses) as responses,
        files.append(files.steps) as steps,
        files.append(files.failures) as failed,
    ):

        def handle(one: Asked, outcome: Outcome) -> bool:
            nonlocal n_steps
            if isinstance(outcome, Failure):
                failures[outcome.reason] += 1
                row = {"instruction_id": one.instruction_id, "reason": outcome.reason}
                write_line(failed, row | {"prompt_sha256": one.digest.hexdigest()})
                bar.set_postfix(failed=failures.total())
                bar.update()
                return False
            if one.later:
                n_steps += 1
                write_line(steps, _step(one, outcome))
                _next(one, outcome.text, tokenizer, system["context_length"], chat)
                bar.set_postfix(failed=failures.total(), parts_read=n_steps)
                return True
            write_line(responses, _row(one, outcome, files.system))
            bar.update()
            return False

        ask_all(asked, generator, handle)
    for file in (files.steps, files.failures):
        if not file.stat().st_size:
            file.unlink()
    return failures


def _next(
    one: Asked, answer: str, tokenizer: Tokenizer, context_length: int, chat: Chat | None
) -> None:
    """Ask for the answer to be refined with the next part of the EHR."""
    question, part = one.prompt.instruction, one.later.popleft()
    one.ask(*next_prompt(question, part, answer, tokenizer, context_length, chat))


def _step(one: Asked, outcome: Outcome) -> dict[str, Any]:
    return {
        "instruction_id": one.instruction_id,
        "step": one.n_prompts,
        "response": outcome.text,
        "finish_reason": outcome.finish_reason,
        "response_tokens": outcome.tokens,
        "seconds": one.last_seconds,
        "prompt_sha256": one.digest.hexdigest(),
    }


def _row(one: Asked, outcome: Outcome, system: str) -> dict[str, Any]:
    return {
        "instruction_id": one.instruction_id,
        "system": system,
        "response": outcome.text,
        "prompt_tokens": one.prompt_tokens,
        "ehr_tokens_kept": one.ehr_tokens_kept,
        "ehr_tokens_total": one.ehr_tokens_total,
        "response_tokens": outcome.tokens,
        "n_prompts": one.n_prompts,
        "finish_reason": outcome.finish_reason,
        "seconds": one.seconds,
        "prompt_sha256": one.digest.hexdigest(),
    }


def _summary(failures: Counter, n: int, files: RunFiles) -> str:
    reasons = "; ".join(f"{count} x {reason}" for reason, count in failures.most_common(5))
    return (
        f"{files.system}: {failures.total()} of {n} instructions have no response yet "
        f"({reasons}); each with its reason is in {files.failures}, what is finished is kept, and "
        "another run tries only those"
    )


def _settings(
    release: Release,
    instructions: pd.DataFrame,
    system: Mapping[str, Any],
    tokenizer: Tokenizer,
    chat: Chat | None,
) -> dict[str, Any]:
    asked = instructions[["instruction_id", "person_id", "question"]].to_numpy().tolist()
    ehrs = hashlib.sha256()
    for person_id in instructions["person_id"].unique():
        with release.ehr_path(person_id).open("rb") as file:
            ehrs.update(hashlib.file_digest(file, "sha256").digest())
    settings = {
        "system": shaping_settings(system),
        "instructions_sha256": _digest(asked),
        "ehrs_sha256": ehrs.hexdigest(),
        "tokenizer_sha256": _digest([tokenizer.to_str(), chat]),
        "templates_sha256": _digest([ANSWER, REFINE]),
        "medalign_utils": __version__,
    }
    folder = resolve(str(system.get("model", "")))
    if system.get("model") and folder.is_dir():
        # Not their content, which may take minutes to read.
        stats = {file.name: file.stat() for file in sorted(folder.iterdir()) if file.is_file()}
        files = [[name, stat.st_size, stat.st_mtime_ns] for name, stat in stats.items()]
        settings["model_files_sha256"] = _digest(files)
    return settings


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()
