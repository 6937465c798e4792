"""What the responses of systems cost: tokens, money and time, and which systems are worth it."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from medalign_utils.run import Run

# The columns that differ from run to run, so that nothing published may depend on them.
TIMES = ("seconds", "responses_per_second", "gpu_seconds")
COUNTS = ("input_tokens", "output_tokens", "reasoning_tokens")
_COLUMNS = (
    *("system", "n", *COUNTS, "uncounted", "dollars", "dollars_per_response"),
    *("dollars_per_correct", "tokens_per_response", "correct", "correct_low", "correct_high"),
    *("on_front", "device", *TIMES),
)


def cost_by_system(
    run: Run,
    table: pd.DataFrame,
    instruction_ids: Iterable[str],
    settings: Mapping[str, Mapping[str, Any]],
) -> pd.DataFrame:
    """Return what each system's responses to some instructions cost, the cheapest first.

    `table` comes from `evaluate_systems` for the same instructions, `settings` from
    `config.cost_settings`. What is not known is missing; responses of a release have no row.

    - input_tokens, output_tokens: of all prompts, and of all answers with their reasoning
    - reasoning_tokens: those of the output that are reasoning
    - uncounted: responses whose tokens are not known, which these sums and dollars leave out
    - dollars: by ``price_per_million`` of the system's file; also per response and per correct one
    - tokens_per_response: mean of input_tokens
    - on_front: whether no other system is as good at a lower cost, or better at the same cost, by
      `cost_column`
    - device: the processor that ran a model in this process
    - seconds: of all calls, divided by the number of calls at a time
    - gpu_seconds: the part of it on a GPU of this process
    """
    wanted, rows = set(instruction_ids), []
    for system, setting in settings.items():
        responses = run.responses(system)
        responses = responses[responses["instruction_id"].isin(wanted)]
        rows.append({"system": system} | _cost(responses, **setting))
    if not rows:
        return pd.DataFrame(columns=list(_COLUMNS))
    accuracy = table[["system", "correct", "correct_low", "correct_high"]]
    costs = accuracy.merge(pd.DataFrame(rows), on="system").astype(dict.fromkeys(COUNTS, "Int64"))
    costs["dollars_per_correct"] = costs["dollars_per_response"] / costs["correct"].replace(
        0, np.nan
    )
    cost = costs[cost_column(costs)]
    costs["on_front"] = on_front(cost, costs["correct"])
    order = cost.sort_values(kind="stable").index
    return costs.loc[order, list(_COLUMNS)].reset_index(drop=True)


def cost_column(costs: pd.DataFrame) -> str:
    """Return by which column costs are compared: in dollars if all are known, else in tokens."""
    in_dollars = len(costs) and costs["dollars_per_response"].notna().all()
    return "dollars_per_response" if in_dollars else "tokens_per_response"


def on_front(cost: pd.Series, correct: pd.Series) -> pd.Series:
    """Return whether each system is on the Pareto front of a low cost and a high accuracy.

    It is missing if its cost is.

    >>> on_front(pd.Series([1, 2, 2, None]), pd.Series([0.3, 0.3, 0.4, 0.9])).tolist()
    [True, False, True, <NA>]
    """
    costs, values = cost.to_numpy(float), correct.to_numpy(float)
    # Row: the system; column: another one.
    as_cheap, as_good = costs <= costs[:, None], values >= values[:, None]
    is_better = (costs < costs[:, None]) | (values > values[:, None])
    front = ~(as_cheap & as_good & is_better).any(axis=1)
    return pd.Series(front, cost.index, "boolean").mask(cost.isna())


def _cost(
    responses: pd.DataFrame, price: Mapping[str, float] | None, concurrency: int
) -> dict[str, Any]:
    counted = responses[responses[["input_tokens", "output_tokens"]].notna().all(axis=1)]
    is_on_gpu = ~responses["device"].isin(["", "cpu"])
    n = len(counted)
    row: dict[str, Any] = {"n": len(responses), "uncounted": len(responses) - n}
    # Of an answer that was refined, only the last reasoning is known.
    counts = counted.assign(
        reasoning_tokens=counted["reasoning_tokens"].where(counted["n_prompts"] == 1)
    )
    for name in COUNTS:
        row[name] = counts[name].sum(skipna=False) if n else pd.NA
    tokens = row["input_tokens"], row["output_tokens"]
    row["tokens_per_response"] = tokens[0] / n if n else np.nan
    is_priced = price is not None and n > 0
    row["dollars"] = (
        np.dot(tokens, [price["input"], price["output"]]) / 1e6 if is_priced else np.nan
    )
    row["dollars_per_response"] = row["dollars"] / n if is_priced else np.nan
    row["device"] = ", ".join(sorted({*responses["device"]} - {""})) or None
    row["seconds"] = responses["seconds"].sum() / concurrency
    row["responses_per_second"] = len(responses) / row["seconds"] if row["seconds"] else np.nan
    row["gpu_seconds"] = responses["seconds"].where(is_on_gpu).sum(min_count=1)
    return row
