"""Figures of errors: what goes wrong, and whether the prompt contained the answer."""

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from medalign_utils.plots import style
from medalign_utils.plots.style import n_of
from medalign_utils.stats.bootstrap import LEAST_INTERVAL

# Okabe and Ito's colours; after seven systems, each has another marker.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MARKERS = "osD^vPX"


@style.styled
def outcome_shares(table: pd.DataFrame) -> Figure:
    """Return the shares of correct responses, contradictions and omissions by system, a page wide.

    `table` comes from `count_outcomes`.
    """
    panels = {
        "correct": "Correct",
        "contradicted": "Contradiction:\nstates something wrong",
        "omission": "Omission: lacks something,\nstates nothing wrong",
    }
    size = (style.PAGE_WIDTH, 1.0 + 0.22 * len(table))
    figure, axes = plt.subplots(1, 3, figsize=size, layout="constrained", sharex=True)
    figure.get_layout_engine().set(w_pad=0.12)  # so that tick labels of neighbours do not touch
    for ax, (measure, title) in zip(axes, panels.items(), strict=True):
        style.forest(table, measure, [""] * len(table), {}, scale=style.PERCENT, ax=ax)
        ax.set(xlim=(-0.02, 1.02), title=title)
    axes[0].set_yticks(range(len(table)), table["system"], parse_math=False)
    figure.supxlabel(
        f"Share of responses, 95% interval (n = {n_of(table)} for each system)", fontsize=7.5
    )
    return figure


@style.styled
def accuracy_by_prompt(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Return each system's accuracy with the place of the answer in the prompt, and without.

    `table` has the rows of `accuracy_by` for the grouping "prompt".
    """
    inside, outside = (
        table[table["group"] == group].set_index("system")
        for group in ("in the prompt", "not in the prompt")
    )
    systems = table["system"].unique()
    inside, outside = inside.reindex(systems), outside.reindex(systems)
    counts = {"n in": inside["n"], "n not in": outside["n"]}
    texts = {name: [_count(n) for n in column] for name, column in counts.items()}
    label = "Correct responses, 95% interval\nblue: the prompt contains the place of the answer\n"
    label += "orange: the prompt does not contain it"
    ax = style.forest(inside, "correct", systems, texts, xlabel=label, scale=style.PERCENT, ax=ax)
    style.add_diamonds(ax, outside, "correct", shift=0.25)
    highest = table[["correct", "correct_high"]].to_numpy(dtype=float)
    ax.set_xlim(-0.02, min(1.02, 1.08 * np.nanmax(highest, initial=0.1)))
    return ax


@style.styled
def accuracy_by_tokens(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Return accuracy against the number of tokens of the record that a system read.

    `table` comes from `breakdown.accuracy_by_tokens`; a system has a point for each of its groups.
    """
    systems = table["system"].unique()
    ax = ax or style.new_axes(2.4 + 0.14 * ((len(systems) + 1) // 2))  # with the legend
    drawn = table.dropna(subset=["tokens", "correct"])
    step = min(1.09, 2 ** (1 / max(len(systems), 1)))
    for i, system in enumerate(systems):
        own = drawn[drawn["system"] == system].sort_values("tokens")
        # Side by side, because many systems read equally much.
        x = own["tokens"].to_numpy(dtype=float) * step ** (i - (len(systems) - 1) / 2)
        colour, marker = _COLOURS[i % 7], _MARKERS[(i + i // 7) % 7]
        ax.vlines(x, own["correct_low"], own["correct_high"], color=colour, lw=1)
        ax.plot(x, own["correct"], marker=marker, color=colour, ms=4, lw=1, label=system)
    ax.set_xscale("log")
    low, high = drawn["tokens"].min() / 1.6, drawn["tokens"].max() * 1.6
    digits = (1,) if high > 1000 * low else (1, 3) if high > 8 * low else (1, 2, 5)
    ticks = [digit * 10**power for power in range(9) for digit in digits]
    ax.xaxis.set_major_locator(FixedLocator([n for n in ticks if low <= n <= high]))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(style.COUNT)
    ax.set_xlim(low, high)
    ax.yaxis.set_major_formatter(style.PERCENT)
    ax.set_ylim(0, min(1.02, 1.08 * np.nanmax(drawn[["correct", "correct_high"]])) or 1)
    ax.set_ylabel("Correct responses, 95% interval")
    label = "Tokens of the record in the prompts,\nmedian of each group of prompts\n"
    label += f"(n = {n_of(drawn)} instructions)"
    if drawn["correct_low"].isna().any():
        label += f"\nno interval: fewer than {LEAST_INTERVAL} patients"
    ax.set_xlabel(label)
    sns.despine(ax=ax)
    names = [style.wrapped(name).replace("$", r"\$") for name in systems]
    handles = ax.get_legend_handles_labels()[0]
    ax.figure.legend(handles, names, loc="outside upper center", ncols=2, frameon=False)
    return ax


def _count(n: object) -> str:
    return "–" if pd.isna(n) else f"{n:.0f}"
