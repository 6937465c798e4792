"""Responses of systems: those that a run generated and those that a release contains."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from medalign_utils import paths
from medalign_utils.data.release import Release
from medalign_utils.data.reviews import Reviews
from medalign_utils.data.store import read_lines
from medalign_utils.errors import MedAlignError, ReleaseError

SOURCES = ("generated", "released")
RESPONSE_COLUMNS = {
    "instruction_id": "str",
    "system": "str",
    "response": "str",
    "prompt_tokens": "int64",
    "ehr_tokens_kept": "int64",
    "ehr_tokens_total": "int64",
    "response_tokens": "Int64",
    "reasoning": "str",
    "reasoning_tokens": "Int64",
    "n_prompts": "int64",
    "finish_reason": "str",
    "seconds": "float64",
    "prompt_sha256": "str",
}
# What responses stored by version 0.3.0 do not say.
_ADDED_COLUMNS = {"reasoning": "", "reasoning_tokens": 0}


def responses_of(
    release: Release,
    experiment: str,
    system: str,
    source: str = "generated",
    *,
    shard: int = 1,
    shards: int = 1,
) -> pd.DataFrame:
    """Return a system's responses: instruction_id, system, response; generated: `read_responses`.

    Of generated responses only those of one of `shards` shards.

    Raises:
        ReleaseError: the release has no responses of the system.
        MedAlignError: `source` is unknown, or the run's file cannot be read.
    """
    if source not in SOURCES:
        raise MedAlignError(f"responses: {source!r}, expected one of {', '.join(SOURCES)}")
    if source == "generated":
        return read_responses(paths.part(paths.responses(experiment, system), shard, shards))
    table = reviews_of(release, [system]).responses
    if table is None:
        raise ReleaseError(
            f"{release.reviews_path}: no column contains the responses; "
            "`columns: {response: <name>}` in params names one"
        )
    return table[table["system"] == system].reset_index(drop=True)


def reviews_of(release: Release, systems: Sequence[str]) -> Reviews:
    """Return the release's reviews; a ReleaseError if it, or one of the systems, has none."""
    found = sorted(release.reviews.ratings["system"].unique())
    for system in systems:
        if system not in found:
            shown = f"no ratings of {system!r}; systems: {', '.join(found)}"
            raise ReleaseError(f"{release.reviews_path}: {shown}")
    return release.reviews


def read_responses(path: str | Path) -> pd.DataFrame:
    """Return the responses that a run wrote, one row per response in the file's order.

    Columns as `RESPONSE_COLUMNS`: response is the answer alone; prompt_tokens counts special tokens
    and the chat template, of the longest prompt; response_tokens includes reasoning_tokens, and
    both may be missing; finish_reason is "stop", "length" or "content_filter"; seconds are the
    calls' wall time; the hash is of all prompts' texts.

    Raises:
        MedAlignError: the file does not exist, a line is not a response, or an instruction has two.
    """
    path = Path(path)
    if not path.is_file():
        raise MedAlignError(f"read_responses: no file {path}")
    required = RESPONSE_COLUMNS.keys() - _ADDED_COLUMNS.keys()
    rows = [_ADDED_COLUMNS | row for row in read_lines(path, sorted(required))]
    table = pd.DataFrame(rows, columns=list(RESPONSE_COLUMNS))
    repeated = table.loc[table["instruction_id"].duplicated(), "instruction_id"]
    if len(repeated):
        n = (table["instruction_id"] == repeated.iloc[0]).sum()
        raise MedAlignError(f"{path}: {n} responses to instruction {repeated.iloc[0]}, expected 1")
    try:
        return table.astype(RESPONSE_COLUMNS)
    except (TypeError, ValueError):  # whose message would quote a response
        raise MedAlignError(f"{path}: a response's counts are not numbers") from None
