"""The figure of what accuracy costs, with the Pareto front."""

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from scipy.optimize import isotonic_regression

from medalign_utils.evaluation.cost import cost_column
from medalign_utils.plots import style
from medalign_utils.plots.style import n_of

_AXES = {
    "tokens_per_response": ("Tokens read per response", style.COUNT),
    "dollars_per_response": ("US dollars per response", FuncFormatter(lambda x, _: f"{x:g}")),
}
_LINE = 0.14  # height of a name, in inches


@style.styled
def accuracy_by_cost(costs: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Return each system's share of correct responses by cost, with the Pareto front as a line.

    `costs` comes from `cost_by_system` and has at least one known cost. Systems that are not on the
    front are pale and have no interval, because those of many cost the same; `accuracy_by_system`
    shows all.
    """
    column = cost_column(costs)
    label, scale = _AXES[column]
    is_known = costs[column].notna()
    shown, left_out = costs[is_known], costs.loc[~is_known, "system"]
    cost, is_log = shown[column].to_numpy(float), bool((shown[column] > 0).all())
    height = max(2.8, 1.1 + _LINE * len(shown))
    ax = ax or style.new_axes(height, style.PAGE_WIDTH)
    on_front = shown["on_front"].to_numpy(bool)
    correct, top = shown["correct"].to_numpy(float), _top(shown)
    of_front = shown[on_front]
    bounds = (of_front["correct_low"], of_front["correct_high"])
    ax.vlines(cost[on_front], *bounds, color=style.BLUE, lw=1.5)
    colours = np.where(on_front, style.BLUE, style.PALE)
    ax.scatter(cost, correct, s=16, color=colours, zorder=3)
    if is_log:
        ax.set_xscale("log")
        subs = (1, 2, 5) if cost.max() < 500 * cost.min() else (1,)
        ax.xaxis.set_major_locator(LogLocator(subs=subs, numticks=12))
        ax.xaxis.set_minor_formatter(NullFormatter())
        ax.set_xlim(cost.min() / 1.5, cost.max() * 1.5)
    front = pd.Series(correct[on_front], cost[on_front]).sort_index()
    front.loc[ax.get_xlim()[1]] = front.iloc[-1]
    ax.step(front.index, front, where="post", color=style.BLUE, lw=0.8, alpha=0.6, zorder=1)
    ax.set_xlim(ax.get_xlim())
    ax.set_ylim(0, top)
    places = _apart(correct / top, _LINE / (height - 0.9))
    for i, (name, place) in enumerate(zip(shown["system"], places, strict=True)):
        ax.annotate(
            name, (cost[i], correct[i]), xytext=(1.03, place), textcoords="axes fraction",
            va="center", color="black" if on_front[i] else style.GREY,
            parse_math=False, annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": "#C8C8C8", "lw": 0.5, "relpos": (0, 0.5)},
        )  # fmt: skip
    ax.xaxis.set_major_formatter(scale)
    ax.yaxis.set_major_formatter(style.PERCENT)
    ax.set_ylabel("Correct responses, 95% interval")
    style.label_x(
        ax,
        f"{label}{', log scale' * is_log} (n = {n_of(shown)} instructions)",
        "blue: the Pareto front, with 95% intervals over patients; grey: another "
        "system is as good for less, or better for the same",
        f"not drawn, cost unknown: {', '.join(left_out)}" * bool(len(left_out)),
    )
    sns.despine(ax=ax)
    return ax


def _top(shown: pd.DataFrame) -> float:
    highest = np.nanmax(shown[["correct", "correct_high"]].to_numpy(float))
    return min(1.0, 1.08 * highest) or 1.0


def _apart(heights: np.ndarray, least: float) -> np.ndarray:
    """Return the nearest heights from 0 to 1 that are `least` apart, as far as there is room."""
    order = np.argsort(heights, kind="stable")
    least = min(least, 1 / max(len(heights) - 1, 1))
    shift = least * np.arange(len(heights))
    places = isotonic_regression(heights[order] - shift).x.clip(0, 1 - shift[-1]) + shift
    return places[np.argsort(order)]
