"""Run a system on a release: its responses, written as they come, so that none is lost.

Beside ``<system>.jsonl`` lie ``<system>.settings.json``, which says what the responses depend on,
and, until the run is complete, ``<system>.partial.jsonl``, which holds those that are finished.
"""

import hashlib
import json
import logging
import os
import time
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from tokenizers import Tokenizer
from tqdm.auto import tqdm

from medalign_utils import __version__
from medalign_utils.dataset import Release
from medalign_utils.errors import MedAlignError, PromptError, ReleaseError
from medalign_utils.generators import GENERATORS
from medalign_utils.packing import pack_ehrs
from medalign_utils.prompts import Packed, Prompt, check_fits
from medalign_utils.systems import check_system, generator_options, shaping_settings

RESPONSE_COLUMNS = {
    "instruction_id": "str",
    "system": "str",
    "response": "str",
    "prompt_tokens": "int64",
    "ehr_tokens_kept": "int64",
    "ehr_tokens_total": "int64",
    "finish_reason": "str",
    "seconds": "float64",
}

logger = logging.getLogger(__name__)


class _Asked(NamedTuple):
    instruction_id: str
    packed: Packed
    ehr_tokens_total: int
    at: float


def run_system(
    release: Release,
    system: Mapping[str, Any],
    path: str | Path,
    *,
    only_with_reference: bool = True,
    workers: int = 1,
    progress: bool = True,
) -> pd.DataFrame:
    """Answer a release's instructions with one system, or go on where an earlier run ended.

    Responses are written to the working file one by one and moved to ``path`` when all are there.
    A run with the settings of an earlier one keeps its responses, finished or not; a run with
    others starts over and logs so. Settings are what shapes prompts and answers: the system (its
    names aside), the instructions, the EHR files and the package's version. Two runs must not
    write one ``path`` at the same time.

    Args:
        release: as :func:`medalign_utils.dataset.load_release` gives it.
        system: what its YAML says; see :func:`medalign_utils.systems.check_system`.
        path: ``<system>.jsonl``, in a folder that is made if need be. The file's stem is the
            responses' ``system``.
        only_with_reference: leave out the instructions that no clinician answered.
        workers: processes that pack prompts; see :func:`medalign_utils.packing.pack_ehrs`.
        progress: show a bar.

    Returns:
        The responses; see :func:`read_responses`. Rows go by patient, then in the release's order.

    Raises:
        ParamsError: the system asks for something that does not exist.
        ReleaseError: an instruction has no patient, or its EHR is absent.
        PromptError: an instruction does not fit the context; it is named.
        EHRError: an EHR cannot be read.
        MedAlignError: the working file is damaged elsewhere than at its end, or the generator gave
            another number of responses than it got prompts.

    >>> run_system(None, {"generator": "bm25_passage"}, "runs/demo/responses/bm25.jsonl")
    Traceback (most recent call last):
    ...
    medalign_utils.errors.ParamsError: the system lacks context_length, format, tokenizer; it has \
generator
    """
    path = Path(path)
    tokenizer = check_system(system)
    instructions = _to_answer(release, only_with_reference)
    _check_instructions(release, instructions, system["context_length"], tokenizer)

    path.parent.mkdir(parents=True, exist_ok=True)
    working = path.with_suffix(".partial.jsonl")
    settings_path = path.with_suffix(".settings.json")
    settings = _settings(release, instructions, system)
    if _same_settings(settings_path, settings, (path, working)):
        if path.exists():
            responses = read_responses(path)
            if set(responses["instruction_id"]) == set(instructions["instruction_id"]):
                return responses
            os.replace(path, working)  # lines were taken out of it: make those again
    else:
        # In this order a kill between any two steps never pairs responses with others' settings.
        path.unlink(missing_ok=True)
        working.unlink(missing_ok=True)
        _write_json(settings_path, settings)

    _drop_torn_line(working)
    finished = set(read_responses(working)["instruction_id"]) if working.exists() else set()
    to_do = instructions[~instructions["instruction_id"].isin(finished)]
    bar = tqdm(total=len(instructions), initial=len(finished), desc=path.stem, disable=not progress)
    with working.open("a", encoding="utf-8", newline="\n") as file, bar:
        for row in _respond(release, to_do, system, workers):
            row["system"] = path.stem
            line = json.dumps({name: row[name] for name in RESPONSE_COLUMNS}, ensure_ascii=False)
            file.write(line + "\n")
            file.flush()
            bar.update()
    os.replace(working, path)
    return read_responses(path)


def read_responses(path: str | Path) -> pd.DataFrame:
    """Read the responses that a run wrote.

    Args:
        path: ``<system>.jsonl``.

    Returns:
        One row a response, in the file's order: instruction_id and system (key), response,
        prompt_tokens (with those that the tokenizer adds), ehr_tokens_kept, ehr_tokens_total,
        finish_reason ("stop" or "length"), seconds (wall time from the prompt being handed to the
        generator to its response). An empty file gives an empty table.

    Raises:
        MedAlignError: the file is absent, a line is not one response, or an instruction has two.

    >>> read_responses("no/such/file.jsonl")
    Traceback (most recent call last):
    ...
    medalign_utils.errors.MedAlignError: read_responses: no file no/such/file.jsonl
    """
    path = Path(path)
    if not path.is_file():
        raise MedAlignError(f"read_responses: no file {path}")
    rows: list[dict[str, Any]] = []
    # By bytes: text may hold characters that str.splitlines takes for a line's end.
    for number, line in enumerate(path.read_bytes().split(b"\n"), start=1):
        if not line:
            continue
        row = _parse_line(line)
        if row is None:
            raise MedAlignError(
                f"{path}, line {number}: not a response, expected a JSON object with "
                f"{', '.join(RESPONSE_COLUMNS)}; delete the file to have it made again"
            )
        rows.append(row)
    table = pd.DataFrame(rows, columns=list(RESPONSE_COLUMNS)).astype(RESPONSE_COLUMNS)
    repeated = table[table.duplicated(["instruction_id", "system"])]
    if len(repeated):
        raise MedAlignError(
            f"{path}: 2 responses to instruction {repeated['instruction_id'].iloc[0]}, expected 1"
        )
    return table


def _to_answer(release: Release, only_with_reference: bool) -> pd.DataFrame:
    instructions = release.instructions
    if only_with_reference:
        with_reference = instructions["instruction_id"].isin(release.references["instruction_id"])
        instructions = instructions[with_reference]
    nobody = instructions.loc[instructions["person_id"].isna(), "instruction_id"]
    if len(nobody):
        raise ReleaseError(
            f"{release.path}: {len(nobody)} instructions name no patient, the first being "
            f"{nobody.iloc[0]}; they cannot be answered"
        )
    # Patient by patient, each EHR is read once.
    return instructions.sort_values("person_id", kind="stable")


def _check_instructions(
    release: Release, instructions: pd.DataFrame, context_length: int | None, tokenizer: Tokenizer
) -> None:
    for person_id in instructions["person_id"].unique():
        release.ehr_path(person_id)
    if context_length is None:
        return
    for row in instructions.itertuples():
        try:
            check_fits(row.question, tokenizer, context_length)
        except PromptError as error:
            raise PromptError(f"instruction {row.instruction_id}: {error}") from None


def _respond(
    release: Release, to_do: pd.DataFrame, system: Mapping[str, Any], workers: int
) -> Iterator[dict[str, Any]]:
    asked: deque[_Asked] = deque()  # a generator may ask for several prompts before it answers

    def prompts() -> Iterator[Prompt]:
        groups = [group for _, group in to_do.groupby("person_id", sort=False)]
        ehrs = [(release.ehr_path(g["person_id"].iloc[0]), g["question"].tolist()) for g in groups]
        packed_ehrs = pack_ehrs(
            ehrs,
            system["format"],
            system["tokenizer"],
            system["context_length"],
            workers=workers,
        )
        for group, (packed, total) in zip(groups, packed_ehrs, strict=True):
            for instruction_id, one in zip(group["instruction_id"], packed, strict=True):
                asked.append(_Asked(instruction_id, one, total, time.perf_counter()))
                yield one.prompt

    if to_do.empty:
        return
    generate = GENERATORS[system["generator"]](**generator_options(system))
    answered = 0
    for generation in generate(prompts()):
        if not asked:
            raise MedAlignError(f"{system['generator']}: more responses than prompts")
        question = asked.popleft()
        answered += 1
        yield {
            "instruction_id": question.instruction_id,
            "response": generation.text,
            "prompt_tokens": question.packed.prompt_tokens,
            "ehr_tokens_kept": question.packed.ehr_tokens_kept,
            "ehr_tokens_total": question.ehr_tokens_total,
            "finish_reason": generation.finish_reason,
            "seconds": time.perf_counter() - question.at,
        }
    if answered < len(to_do):
        raise MedAlignError(
            f"{system['generator']}: {answered} responses to {len(to_do)} prompts; "
            "those finished are kept"
        )


def _settings(
    release: Release, instructions: pd.DataFrame, system: Mapping[str, Any]
) -> dict[str, Any]:
    asked = instructions[["instruction_id", "person_id", "question"]].to_numpy().tolist()
    ehrs = hashlib.sha256()
    for person_id in instructions["person_id"].unique():
        with release.ehr_path(person_id).open("rb") as file:
            ehrs.update(hashlib.file_digest(file, "sha256").digest())
    return {
        "system": shaping_settings(system),
        "instructions_sha256": hashlib.sha256(json.dumps(asked).encode()).hexdigest(),
        "ehrs_sha256": ehrs.hexdigest(),
        "medalign_utils": __version__,
    }


def _same_settings(file: Path, settings: dict[str, Any], responses: tuple[Path, Path]) -> bool:
    """Whether responses that lie there may be kept; say so if some may not."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        found = None
    if found == settings:
        return True
    if any(path.exists() for path in responses):
        if isinstance(found, dict):
            changed = sorted(key for key in settings if found.get(key) != settings[key])
            reason = f"{', '.join(changed)} changed"
        else:
            reason = f"{file.name} is missing or unreadable"
        logger.warning("%s: starting over, because %s", responses[0], reason)
    return False


def _write_json(path: Path, content: dict[str, Any]) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    os.replace(temporary, path)


def _drop_torn_line(working: Path) -> None:
    """Mend the end of a file whose writer was killed."""
    if not working.exists():
        return
    content = working.read_bytes()
    end = content.rfind(b"\n") + 1
    last = content[end:]
    if not last:
        return
    with working.open("r+b") as file:
        if _parse_line(last) is not None:
            file.seek(0, os.SEEK_END)
            file.write(b"\n")
        else:
            file.truncate(end)
            logger.warning("%s: dropped a torn last line of %d bytes", working, len(last))


def _parse_line(line: bytes) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except ValueError:
        return None
    if not isinstance(row, dict) or set(row) != set(RESPONSE_COLUMNS):
        return None
    return row
