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
    "n_prompts": "int64",
    "finish_reason": "str",
    "seconds": "float64",
    "prompt_sha256": "str",
}


def responses_of(
    release: Release,
    experiment: str,
    system: str,
    source: str = "generated",
    *,
    shard: int = 1,
    shards: int = 1,
) -> pd.DataFrame:
    """Return one system's responses: instruction_id, system, response; more as `read_responses`.

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
    """Return the release's reviews, after a check that each of the systems has some.

    Raises:
        ReleaseError: the release has no reviews, or none of one of the systems.
    """
    found = sorted(release.reviews.ratings["system"].unique())
    for system in systems:
        if system not in found:
            raise ReleaseError(
                f"{release.reviews_path}: no ratings of {system!r}; systems: {', '.join(found)}"
            )
    return release.reviews


def read_responses(path: str | Path) -> pd.DataFrame:
    """Return the responses that a run wrote, one row per response in the file's order.

    instruction_id and system (key); response; prompt_tokens (with special tokens and those of the
    chat template, of the longest prompt if there are several); ehr_tokens_kept and
    ehr_tokens_total; response_tokens, missing if the generator does not report them; n_prompts;
    finish_reason ("stop", "length" or "content_filter"); seconds (wall time of the calls);
    prompt_sha256 (of the prompts' concatenated texts).

    Raises:
        MedAlignError: the file does not exist, a line is not a response, or an instruction has two.
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
    except (TypeError, ValueError):  # whose message would quote a response
        raise MedAlignError(f"{path}: a response's counts are not numbers") from None
