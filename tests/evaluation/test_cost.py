"""What the responses of systems cost, counted by hand."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medalign_utils.data.responses import RESPONSE_COLUMNS
from medalign_utils.evaluation.cost import cost_by_system, cost_column, on_front

PRICE = {"input": 2.0, "output": 10.0}


def responses_of(name, *rows):
    """Return responses: (input tokens, output tokens, reasoning tokens, seconds, device)."""
    columns = ["input_tokens", "output_tokens", "reasoning_tokens", "seconds", "device"]
    table = pd.DataFrame(rows, columns=columns).reindex(columns=list(RESPONSE_COLUMNS))
    ids = [f"i{i}" for i in range(len(rows))]
    table = table.assign(instruction_id=ids, system=name, n_prompts=1)
    counts = {name: "Int64" for name in columns[:3]} | {"n_prompts": "int64"}
    return table.astype(counts)


RESPONSES = {
    "api": responses_of("api", (1000, 100, 60, 3.0, ""), (3000, 300, 0, 5.0, "")),
    "gpu": responses_of("gpu", (500, 10, 0, 2.0, "H200"), (500, 20, 0, 4.0, "H200")),
    "part": responses_of("part", (900, 50, 0, 1.0, "cpu"), (pd.NA, pd.NA, pd.NA, 1.0, "")),
    "dark": responses_of("dark", (4000, pd.NA, 0, 1.0, ""), (4000, pd.NA, 0, 1.0, "")),
}
TABLE = pd.DataFrame(
    {"system": list(RESPONSES), "correct": [0.5, 0.5, 0.0, 1.0], "correct_low": np.nan}
).assign(correct_high=np.nan)


def costs_of(*systems, ids=("i0", "i1"), **prices):
    run = SimpleNamespace(responses=RESPONSES.get)
    settings = {name: {"price": prices.get(name), "concurrency": 2} for name in systems}
    return cost_by_system(run, TABLE, ids, settings).set_index("system")


def test_tokens_dollars_and_times_by_hand():
    costs = costs_of(*RESPONSES, api=PRICE, part=PRICE)
    assert list(costs.index) == ["gpu", "part", "api", "dark"]  # by tokens; dark has no count
    api, gpu, part, dark = (costs.loc[name] for name in RESPONSES)
    assert (api["n"], api["input_tokens"], api["output_tokens"]) == (2, 4000, 400)
    assert api["reasoning_tokens"] == 60 and api["tokens_per_response"] == 2000
    # (4000 x 2 + 400 x 10) / 1e6; half of 2 are correct
    assert api["dollars"] == pytest.approx(0.012)
    assert api["dollars_per_response"] == pytest.approx(0.006)
    assert api["dollars_per_correct"] == pytest.approx(0.012)
    # (3 + 5) / 2 at a time
    assert api["seconds"] == 4.0 and api["responses_per_second"] == 0.5
    assert np.isnan(api["gpu_seconds"]) and np.isnan(gpu["dollars"])
    assert (gpu["gpu_seconds"], gpu["device"]) == (6.0, "H200")
    # One of two is not counted, and none is correct.
    assert (part["uncounted"], part["input_tokens"]) == (1, 900)
    assert part["dollars_per_response"] == pytest.approx((900 * 2 + 50 * 10) / 1e6)
    assert np.isnan(part["dollars_per_correct"]) and part["device"] == "cpu"
    assert np.isnan(part["gpu_seconds"])
    assert dark["uncounted"] == 2
    unknown = ["input_tokens", "output_tokens", "reasoning_tokens", "dollars", "on_front"]
    assert dark[[*unknown, "tokens_per_response"]].isna().all()


def test_only_the_given_instructions_count():
    costs = costs_of("api", ids=["i1"], api=PRICE)
    assert costs.loc["api", ["n", "input_tokens", "seconds"]].tolist() == [1, 3000, 2.5]


def test_costs_are_compared_in_dollars_only_if_all_are_known():
    assert cost_column(costs_of("api", "gpu", api=PRICE)) == "tokens_per_response"
    both = costs_of("api", "gpu", api=PRICE, gpu={"input": 100, "output": 100})
    assert cost_column(both) == "dollars_per_response"
    # As good, and dearer: 1030 x 100 / 1e6 / 2 against 0.006.
    assert both["on_front"].to_dict() == {"api": True, "gpu": False}


def test_released_responses_have_no_cost():
    costs = costs_of()
    assert costs.empty and "dollars" in costs


def test_reasoning_of_refined_answers_is_not_known():
    refined = RESPONSES["api"].assign(n_prompts=[1, 2])
    run = SimpleNamespace(responses=lambda _: refined)
    settings = {"api": {"price": None, "concurrency": 1}}
    [row] = cost_by_system(run, TABLE, ["i0", "i1"], settings).to_dict("records")
    assert pd.isna(row["reasoning_tokens"]) and row["output_tokens"] == 400


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=8))
def test_the_front_is_what_nobody_beats(points):
    cost, correct = (pd.Series(values) for values in zip(*points, strict=True))
    expected = [
        not any(c <= a and v >= b and (c, v) != (a, b) for c, v in points) for a, b in points
    ]
    assert on_front(cost, correct).tolist() == expected and any(expected)
