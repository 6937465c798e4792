"""Simulated widths are those of the interval that notebook 05 shows."""

import numpy as np
import pytest

from medalign_utils.errors import MedAlignError
from medalign_utils.review.sample_size import sample_size
from medalign_utils.stats.proportions import proportions


def test_the_number_is_enough_and_one_fewer_is_not():
    sizes = [4] * 100
    found = sample_size(sizes, 0.2)
    table = found.table.set_index("instructions")
    assert table.loc[found.n, "0.1"] <= 0.2 < table.loc[round(0.75 * found.n), "0.1"]
    assert table.index[-1] == 400 and table["0.0"].is_monotonic_decreasing


def test_correlated_verdicts_give_wider_intervals():
    row = sample_size([10] * 40, 0.2).table.iloc[-1]
    assert row["0.0"] < row["0.1"] < row["0.3"]


def test_a_width_out_of_reach_has_no_number_but_a_table():
    found = sample_size([3] * 10, 0.1)
    assert found.n is None and found.table["instructions"].max() == 30


def test_independent_instructions_agree_with_the_interval_itself():
    """One instruction per patient: the width is that of half of them correct."""
    [interval] = proportions(np.arange(200)[:, None] % 2, np.arange(200).astype(str))
    simulated = sample_size([1] * 200, 0.99).table.set_index("instructions").loc[200, "0.0"]
    assert simulated == pytest.approx(interval.high - interval.low, rel=0.02)


@pytest.mark.parametrize("width", [0, 1, -0.1, float("nan")])
def test_a_width_that_is_none_is_refused(width):
    with pytest.raises(MedAlignError, match="between 0 and 1"):
        sample_size([1] * 10, width)
