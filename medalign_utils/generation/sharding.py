"""A system's instructions cut into shards, one a job, and the jobs' outputs joined again.

Shards are stretches of the instructions as a run takes them, patient by patient: an EHR is read by
one job, or by two where a cut goes through it, and shards set end to end are the whole.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from medalign_utils.data.release import Release
from medalign_utils.errors import MedAlignError, ParamsError
from medalign_utils.paths import write_scores
from medalign_utils.prompts.templates import RESPONSE_TOKENS

# Of synthetic EHRs by MiniLM's tokenizer. Shards need the sizes of prompts relative to each other
# alone, so this matters only for which EHRs the context cuts off.
BYTES_PER_TOKEN = {"markup": 2.75, "lines": 4.5}


def shard_of(
    release: Release,
    instructions: pd.DataFrame,
    system: Mapping[str, Any],
    shard: int,
    shards: int,
) -> pd.DataFrame:
    """The instructions that one job answers.

    Args:
        release: whose EHRs lie there.
        instructions: all, as `running.instructions_to_answer` gives them.
        system: what its YAML says.
        shard: which, from 1.
        shards: of how many. They differ in their prompts' estimated tokens by no more than the
            largest prompt, as far as each has an instruction.

    Raises:
        ParamsError: there are fewer instructions than shards.
    """
    if shards == 1:
        return instructions
    if shards > len(instructions):
        raise ParamsError(
            f"shards: {shards}, expected at most {len(instructions)}, one for each instruction"
        )
    bounds = cut(estimated_tokens(release, instructions, system), shards)
    return instructions.iloc[bounds[shard - 1] : bounds[shard]]


def estimated_tokens(
    release: Release, instructions: pd.DataFrame, system: Mapping[str, Any]
) -> np.ndarray:
    """Estimate the tokens of all of each instruction's prompts, without reading an EHR.

    Its file's size by `BYTES_PER_TOKEN`, at most what the context holds unless refinement reads it
    whole, and the question.

    Returns: float64, shape (N,).
    """
    sizes = {
        person_id: release.ehr_path(person_id).stat().st_size
        for person_id in instructions["person_id"].unique()
    }
    tokens = instructions["person_id"].map(sizes).to_numpy() / BYTES_PER_TOKEN[system["format"]]
    context_length = system["context_length"]
    if context_length is not None and system.get("strategy") != "refine":
        tokens = np.minimum(tokens, context_length - RESPONSE_TOKENS)
    return tokens + instructions["question"].str.len().to_numpy() / BYTES_PER_TOKEN["lines"]


def cut(costs: Sequence[float], shards: int) -> list[int]:
    """Cut a list into stretches of about equal cost, none of them empty.

    Args:
        costs: of the N items, in their order, each at least 0.
        shards: how many stretches, at most N.

    Returns:
        ``shards`` + 1 bounds from 0 to N; stretch k, from 0, is ``bounds[k]:bounds[k + 1]``. An
        item goes where its middle falls when the total is cut evenly.

    >>> cut([1, 1, 1, 1, 4], 2), cut([9, 1, 1], 3)
    ([0, 4, 5], [0, 1, 2, 3])
    """
    costs = np.asarray(costs, dtype=np.float64)
    middles = np.cumsum(costs) - costs / 2
    k = np.arange(1, shards)
    bounds = np.searchsorted(middles, costs.sum() * k / shards)
    bounds = np.maximum.accumulate(bounds - k) + k  # one item at least to each
    return [0, *np.clip(bounds, k, len(costs) - shards + k).tolist(), len(costs)]


def join_scores(parts: Sequence[Path], out: Path, *, private: bool) -> None:
    """Join the scores of a system's shards into the table that one job would have written.

    Args:
        parts: Parquet files, in the order of the shards.
        out: Parquet; metric by metric, within each in the order of the shards.
        private: as for `paths.write_scores`.

    Raises:
        MedAlignError: the shards were scored by other metrics or settings.
    """
    tables = [pd.read_parquet(part) for part in parts]
    scored_by = [table[["metric", "signature"]].drop_duplicates().to_numpy().tolist()
                 for table in tables]  # fmt: skip
    for part, settings in zip(parts, scored_by, strict=True):
        if settings != scored_by[0]:
            raise MedAlignError(
                f"join_scores: {part} has {settings}, expected {scored_by[0]} as {parts[0]}"
            )
    table = pd.concat(tables, ignore_index=True)
    blocks = [table[table["metric"] == metric] for metric in table["metric"].unique()]
    write_scores(pd.concat(blocks, ignore_index=True), out, private=private)
