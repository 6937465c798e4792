"""Estimate a run before anything is sent: prompts, tokens, share of the EHRs, time and cost."""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from medalign_utils import paths
from medalign_utils.data.release import Release
from medalign_utils.data.store import read_lines
from medalign_utils.errors import MedAlignError
from medalign_utils.generation.system import concurrency, max_new_tokens, system_tokenizer
from medalign_utils.generation.tasks import instructions_to_ask, packed_instructions
from medalign_utils.generation.terms import check_terms
from medalign_utils.stats.rounding import rounded

PLAN_COLUMNS = (
    "system prompts prompt_tokens response_tokens kept_q1 kept_median kept_q3 whole hours cost "
    "problem"
).split()


def plan_experiment(
    release: Release,
    systems: Iterable[Mapping[str, Any]],
    experiment: str,
    *,
    progress: bool = False,
) -> pd.DataFrame:
    """Return one row of `plan_system` per system; ``problem`` says why it cannot run."""
    rows = []
    for system in systems:
        try:
            row = plan_system(release, system, experiment, progress=progress)
        except MedAlignError as error:
            row = {"problem": str(error)}
        rows.append({"system": system["system"]} | row)
    return pd.DataFrame(rows, columns=PLAN_COLUMNS)


def plan_system(
    release: Release, system: Mapping[str, Any], experiment: str, *, progress: bool = False
) -> dict[str, Any]:
    """Return what answering a whole release with one system would take; nothing is sent.

    - prompts
    - prompt_tokens, response_tokens: totals; upper bounds
    - kept_q1, kept_median, kept_q3: quartiles over instructions of the share of the EHR's tokens
      that the system sees, in [0, 1]
    - whole: share of instructions whose EHR the system sees in full
    - hours: from ``tokens_per_second``, or else from earlier responses of the experiment
    - cost: an upper bound, in the currency of ``price_per_million``
    - problem: with the terms of use

    Unknown values are NaN.
    """
    tokenizer = system_tokenizer(system)
    instructions = instructions_to_ask(release)
    limit = max_new_tokens(system)
    prompts = tokens = 0
    kept = []
    tasks = packed_instructions(release, instructions, system, tokenizer)
    for task in tqdm(tasks, system["system"], len(instructions), disable=not progress):
        prompts += 1 + len(task.later)
        tokens += task.prompt_tokens
        for part in task.later:
            text = tokenizer.fill(task.prompt.instruction, part, "").text
            tokens += len(tokenizer.prompt_ids(text)) + limit
        total = task.ehr_tokens_total
        kept.append(task.ehr_tokens_kept / total if total else 1.0)
    q1, median, q3 = np.quantile(kept, [0.25, 0.5, 0.75])
    price = system.get("price_per_million") or dict.fromkeys(("input", "output"), math.nan)
    row = {
        "prompts": prompts,
        "prompt_tokens": tokens,
        "response_tokens": prompts * limit,
        "kept_q1": q1,
        "kept_median": median,
        "kept_q3": q3,
        "whole": float(np.mean(np.array(kept) == 1)),
        "hours": _hours(system, experiment, prompts, tokens),
        "cost": (tokens * price["input"] + prompts * limit * price["output"]) / 1e6,
        "problem": "",
    }
    try:
        check_terms(release, system)
    except MedAlignError as error:
        row["problem"] = str(error)
    return row


def report(plan: pd.DataFrame) -> str:
    """Return the plan as text, with an explanation of its columns."""
    formats = dict.fromkeys(("prompts", "prompt_tokens", "response_tokens"), _number(0))
    formats |= dict.fromkeys(
        ("kept_q1", "kept_median", "kept_q3", "whole"), lambda share: f"{rounded(share, 2):.0%}"
    )
    formats |= {"hours": _number(2), "cost": _number(2)}
    planned = plan[plan["prompts"].notna()].drop(columns="problem")
    lines = []
    if len(planned):
        table = planned.astype({column: "float64" for column in formats})
        lines = [table.to_string(index=False, formatters=formats, na_rep="not known"), ""]
    lines += [f"{row.system}: {row.problem}" for row in plan.itertuples() if row.problem]
    lines += [
        "kept: the share of a record's tokens that the system sees, quartiles over instructions; "
        "whole: the share of instructions whose record it sees in full.",
        "Responses are counted at their limit (max_new_tokens), so tokens and cost are upper "
        "bounds. hours: by tokens_per_second in the system's YAML, or by its earlier responses; "
        "cost: by price_per_million.",
        "Nothing was sent.",
    ]
    return "\n".join(lines)


def _hours(system: Mapping[str, Any], experiment: str, prompts: int, tokens: int) -> float:
    if (speed := system.get("tokens_per_second")) is not None:
        new_tokens = prompts * max_new_tokens(system)
        seconds = tokens / speed["input"] + new_tokens / speed["output"]
        return seconds / 3600
    stores = paths.responses(experiment, system["system"]).with_suffix("").glob("store*.jsonl")
    rows = (row for file in stores for row in read_lines(file, {"key"}, growing=True))
    earlier = [row for row in rows if "n_prompts" in row]
    if not earlier:
        return math.nan
    seconds = sum(row["seconds"] for row in earlier) / sum(row["n_prompts"] for row in earlier)
    return seconds * prompts / concurrency(system) / 3600


def _number(decimals: int) -> Callable[[float], str]:
    return lambda value: f"{rounded(value, decimals):,}"
