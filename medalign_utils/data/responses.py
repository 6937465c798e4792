"""Responses of systems: those that a run generated and those that a release brings."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from medalign_utils import paths
from medalign_utils.data.release import Release
from medalign_utils.data.reviews import Reviews, load_reviews
from medalign_utils.data.store import read_lines
from medalign_utils.errors import MedAlignError, ReleaseError

SOURCES = ("generated", "released")


def responses_of(
    release: Release,
    experiment: str,
    system: str,
    responses: str = "generated",
    *,
    shard: int = 1,
    shards: int = 1,
) -> pd.DataFrame:
    """One system's responses: instruction_id, system, response, and of this run's more columns.

    Of `shards` shards of generated responses only those of one.

    Raises:
        ReleaseError: the release brings no responses of the system.
        MedAlignError: `responses` is unknown, or the run's file cannot be read.
    """
    if not _is_released(responses):
        return read_responses(paths.part(paths.responses(experiment, system), shard, shards))
    table = _reviews(release, [system]).responses
    if table is None:
        raise ReleaseError(
            f"{release.reviews_path}: no column holds the responses; "
            "`columns: {response: <name>}` in params names one"
        )
    return table[table["system"] == system].reset_index(drop=True)


def _is_released(responses: str) -> bool:
    if responses not in SOURCES:
        raise MedAlignError(f"responses: {responses!r}, expected one of {', '.join(SOURCES)}")
    return responses == "released"


def _reviews(release: Release, systems: Sequence[str]) -> Reviews:
    if release.reviews_path is None:
        raise ReleaseError(f"{release.path} brings no clinician-reviewed-model-responses table")
    reviews = load_reviews(release.reviews_path, columns=release.columns)
    found = sorted(reviews.ratings["system"].unique())
    for system in systems:
        if system not in found:
            raise ReleaseError(
                f"{release.reviews_path}: no ratings of {system!r}; systems: {', '.join(found)}"
            )
    return reviews


RESPONSE_COLUMNS = {
    "instruction_id": "str",
    "system": "str",
    "response": "str",
    "prompt_tokens": "int64",
    "ehr_tokens_kept": "int64",
    "ehr_tokens_total": "int64",
    "response_tokens": "Int64",
    "n_prompts": "int64",
    "finish_reason": "str",
    "seconds": "float64",
    "prompt_sha256": "str",
}


def read_responses(path: str | Path) -> pd.DataFrame:
    """Read the responses that a run wrote.

    Args:
        path: ``<system>.jsonl``.

    Returns:
        One row a response, in the file's order: instruction_id and system (key); response;
        prompt_tokens, with those that tokenizer and chat template add, of the longest prompt where
        refinement takes several; ehr_tokens_kept and ehr_tokens_total; response_tokens, missing
        where the generator does not say; n_prompts; finish_reason ("stop", "length" or
        "content_filter"); seconds (wall time of the calls that answered it); prompt_sha256, of the
        prompts' texts one after the other. An empty file gives an empty table.

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
    table = pd.DataFrame(read_lines(path, RESPONSE_COLUMNS), columns=list(RESPONSE_COLUMNS))
    for instruction_id, n in table["instruction_id"].value_counts().items():
        if n > 1:
            raise MedAlignError(
                f"{path}: {n} responses to instruction {instruction_id}, expected 1"
            )
    try:
        return table.astype(RESPONSE_COLUMNS)
    except (TypeError, ValueError):  # which would quote a response
        raise MedAlignError(f"{path}: a response's counts are no numbers") from None
