"""Figures of accuracy from few labels."""

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from medalign_utils.plots import style

_MARKERS = "osD^vP*X"


@style.styled
def accuracy_by_labels(table: pd.DataFrame) -> Figure:
    """Return widths of intervals and estimates by number of labels, for each predictor.

    `table` comes from `width_by_labels`.
    """
    names = list(table["predictor"].unique())
    numbers = sorted(table["labels"].unique())
    height = 2.5 + 2 * style.LINE * (len(names) // 3 + 1)
    figure, (widths, estimates) = plt.subplots(
        1, 2, figsize=(style.PAGE_WIDTH, height), layout="constrained"
    )
    colours = [style.GREY, *sns.color_palette("colorblind", max(len(names) - 1, 1))]
    places = np.arange(len(numbers))
    step = 0.7 / len(names)
    for i, (name, colour) in enumerate(zip(names, colours, strict=False)):
        own = table[table["predictor"] == name].set_index("labels").reindex(numbers)
        look = {"color": colour, "marker": _MARKERS[i % len(_MARKERS)], "ms": 4}
        label = style.wrapped(name).replace("$", r"\$")
        widths.plot(numbers, 100 * own["width"], lw=1.2, label=label, **look)
        x = places + step * (i - (len(names) - 1) / 2)
        estimates.vlines(x, own["low"], own["high"], color=colour, lw=1.2)
        estimates.plot(x, own["estimate"], ls="", **look)
    truth = estimates.axhline(table["truth"].iloc[0], color="black", lw=0.8, ls="--", zorder=0)
    widths.set_xscale("log")
    widths.set_xticks(numbers, [f"{n}" for n in numbers])
    widths.xaxis.set_minor_formatter(NullFormatter())
    widths.tick_params(axis="x", which="minor", length=0)
    widths.set_ylim(0)
    widths.set_ylabel("Mean width of 95% interval, points")
    widths.set_title("Width")
    estimates.set_xticks(places, [f"{n}" for n in numbers])
    estimates.set_ylabel("Correct responses")
    estimates.yaxis.set_major_formatter(style.PERCENT)
    estimates.set_title("One random sample of each size")
    for ax in (widths, estimates):
        ax.set_xlabel("Labels")
        ax.grid(axis="y", color="#E5E5E5", lw=0.6)
        ax.set_axisbelow(True)
        sns.despine(ax=ax)
    handles, labels = widths.get_legend_handles_labels()
    figure.legend(
        [*handles, truth],
        [*labels, f"accuracy over all {table['n'].iloc[0]} responses"],
        loc="outside upper left",
        ncols=3,
    )
    return figure
