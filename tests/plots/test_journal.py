"""Every figure is as a journal wants it, at the size at which it is printed."""

import inspect

import pytest
from matplotlib import pyplot as plt

from medalign_utils import plots
from medalign_utils.plots import style
from medalign_utils.plots.heat_map import contrast, text_colour
from tests.builders.figure_faults import faults
from tests.builders.plot_tables import CASES, HARD, PANELS


def drawn(name, case):
    arguments, options = case
    result = getattr(plots, name.split(",")[0])(*arguments, **options)
    return result if hasattr(result, "savefig") else result.figure


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def test_every_function_is_looked_at():
    functions = {name for name, f in vars(plots).items() if inspect.isfunction(f)}
    assert functions == {name.split(",")[0] for name in (*CASES, *PANELS)}


@pytest.mark.parametrize("name", [*CASES, *PANELS])
def test_text_is_large_dark_and_apart_inside_the_figure(name):
    assert faults(drawn(name, (CASES | PANELS)[name])) == []


@pytest.mark.parametrize("name", HARD)
def test_text_is_large_dark_and_apart_in_hard_cases(name):
    assert faults(drawn(name, HARD[name])) == []


def test_faults_are_found():
    figure, ax = plt.subplots(figsize=(3.4, 2), layout="constrained")
    ax.set_xticks([0, 1], ["a", "a"])
    ax.text(0.5, 0.5, "small", fontsize=6)
    ax.text(0.5, 0.8, "faint", color="#A0A0A0", fontsize=7)
    ax.text(0.2, 0.2, "one", fontsize=7)
    ax.text(0.21, 0.2, "other", fontsize=7)
    figure.text(0.9, 0.9, "a long text that leaves", fontsize=7)
    assert faults(figure) == [
        "'small' is small",
        "'a long text that leaves' leaves the figure",
        "'one' is on 'other'",
        "'a' is 2 ticks",
        "'faint' is faint",
    ]
    assert faults(plt.subplots(figsize=(5, 2), layout="constrained")[0]) == ["width"]


@pytest.mark.parametrize("colour", ["#B2ABD2", "#8073AC", "#E08214", "#767676", "white", "black"])
def test_text_on_any_colour_has_contrast(colour):
    # Lavender, on which seaborn writes white, is the first.
    assert contrast(text_colour(colour), colour) >= 4.5


def test_panels_of_a_figure_have_one_scale():
    figure = drawn("side_by_side", PANELS["side_by_side"])
    figure.canvas.draw()
    left, right = figure.axes
    assert left.get_xlim() == right.get_xlim()
    assert left.get_position().width == pytest.approx(right.get_position().width, rel=0.02)


def test_ticks_show_the_digits_that_they_need():
    assert [style.PERCENT(x, 0) for x in (0.3, 0.025, 1)] == ["30%", "2.5%", "100%"]
    assert [style.POINTS(x, 0) for x in (-0.1, 1e-12, 0.005)] == ["−10", "0", "+0.5"]
    assert [style.COUNT(x, 0) for x in (0.5, 12_000)] == ["0.5", "12,000"]
