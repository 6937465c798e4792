"""Figures of systems: accuracy, pairs of systems, context lengths, groups of instructions."""

import textwrap
from collections.abc import Callable

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator

from medalign_utils.plots import style
from medalign_utils.plots.style import decimals, n_of, percent, signed, wrapped


@style.styled
def accuracy_by_system(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Return each system's share of correct responses, the best on top.

    `table` comes from `evaluate_systems`.
    """
    return _accuracy(table, {"correct": percent(1)}, ax)


@style.styled
def human_evaluation(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Return `accuracy_by_system` with win rates and mean ranks; intervals are optional."""
    columns = {"correct": percent(1), "win_rate": decimals(3), "mean_rank": decimals(2)}
    return _accuracy(table, columns, ax)


@style.styled
def head_to_head(matrix: pd.DataFrame, ax: Axes | None = None, *, n: int | None = None) -> Axes:
    """Return a heat map of each system's win rate (row) against every other system (column)."""
    counted = "" if n is None else f" (n = {n} instructions)"
    return style.heat_map(
        matrix.to_numpy(),
        matrix.map(decimals(2)).to_numpy(),
        style.numbered(matrix.index),
        limits=(0, 1),
        xlabel=f"Win rate of the row against the column,\nwithout ties{counted}",
        ax=ax or style.new_axes(0.65 + 0.3 * len(matrix)),
    )


@style.styled
def accuracy_by_context(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Return the share of correct responses by context length.

    `table` comes from `compare_contexts`; above each point is its difference from the longest
    context.
    """
    ax = ax or style.new_axes(2.5)
    places = np.arange(len(table))
    low, high = table["correct_low"], table["correct_high"]
    ax.vlines(places, low, high, color=style.BLUE, lw=1.5)
    ax.plot(places, table["correct"], "o-", color=style.BLUE, lw=1, ms=4.5)
    names = ["full record" if pd.isna(n) else f"{n:,.0f}" for n in table["context_tokens"]]
    tops = high.fillna(table["correct"])
    differences = table[["difference", "difference_low", "difference_high"]].to_numpy(dtype=float)
    for place, top, difference in zip(places, tops, 100 * differences, strict=True):
        ax.annotate(
            _difference(*difference), (place, top), xytext=(0, 3), textcoords="offset points",
            ha="center", va="bottom", color=style.GREY, fontsize=7,
        )  # fmt: skip
    ax.set_xticks(places, names)
    ax.set_xlim(-0.5, len(table) - 0.5)
    ax.yaxis.set_major_locator(FixedLocator(np.arange(0, 1.1, 0.1 if tops.max() < 0.6 else 0.2)))
    ax.yaxis.set_major_formatter(style.PERCENT)
    ax.set_ylim(0, 1.3 * tops.max() or 1)
    ax.set_ylabel("Correct responses, 95% interval")
    longest = names[-1] if pd.isna(table["context_tokens"].iloc[-1]) else "longest context"
    ax.set_xlabel(
        f"Context length in tokens (n = {n_of(table)} instructions)\n"
        f"grey: paired difference to the {longest}\nin percentage points [95% interval]"
    )
    sns.despine(ax=ax)
    return ax


@style.styled
def paired_differences(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Return each pair's difference in accuracy, the largest on top.

    `table` comes from `compare_systems`. Filled points have p < 0.05 in the patient-level test,
    after Holm's adjustment.
    """
    table = table.sort_values("difference", ascending=False, kind="stable")
    tests = {"p,\npatients": "sign_flip_p_holm", "p,\nMcNemar": "mcnemar_p_holm"}
    ax = style.forest(
        table,
        "difference",
        [f"{wrapped(a)}\n{wrapped(f'minus {b}')}" for a, b in table[["system", "opponent"]].values],
        {heading: table[p].map(_p) for heading, p in tests.items()},
        xlabel="Paired difference in correct responses,\npercentage points, 95% interval\n"
        f"(n = {n_of(table)} instructions; p after Holm;\nfilled: p over patients below 0.05)",
        scale=style.POINTS,
        ax=ax,
    )
    unclear = ~(table["sign_flip_p_holm"].to_numpy() < 0.05)
    rows = np.arange(len(table))
    ax.plot(table["difference"][unclear], rows[unclear], "o", color=style.BLUE, mfc="white", ms=4.5)
    return ax


@style.styled
def accuracy_by_group(table: pd.DataFrame) -> Figure:
    """Return the share of correct responses by system, one panel per group, a page wide.

    `table` comes from `evaluate_subgroups`; suppressed groups are left out. Each grouping begins a
    new row of panels.
    """
    table = table[table["n"].notna()]
    rows = []
    for _, grouping in table.groupby("grouping", sort=False):
        groups = [group for _, group in grouping.groupby("group", sort=False)]
        rows += [groups[i : i + 4] for i in range(0, len(groups), 4)]
    size = (style.PAGE_WIDTH, len(rows) * (0.5 + 0.17 * table["system"].nunique()) + 0.4)
    figure, axes = plt.subplots(
        len(rows), max(map(len, rows)), figsize=size, layout="constrained", squeeze=False
    )
    highest = np.nanmax(table[["correct", "correct_high"]].to_numpy(dtype=float))
    for groups, row in zip(rows, axes, strict=True):
        for i, ax in enumerate(row):
            ax.set_visible(i < len(groups))
            if i < len(groups):
                _draw_group(groups[i], ax, named=i == 0)
            ax.set_xlim(0, min(1.0, 1.08 * highest) or 1.0)
            if highest > 0.75:  # more labels would touch
                ax.set_xticks([0, 0.5, 1] if 1.08 * highest >= 1 else [0, 0.4, 0.8])
    figure.supxlabel(
        "Correct responses of n instructions, 95% interval over patients", fontsize=7.5
    )
    return figure


def _draw_group(table: pd.DataFrame, ax: Axes, *, named: bool) -> None:
    style.forest(table, "correct", table["system"], {}, scale=style.PERCENT, ax=ax)
    if not named:
        ax.set_yticklabels([])
    first = table.iloc[0]
    is_quartile = first["grouping"].endswith("quartile")
    title = textwrap.fill(f"{first['grouping']} " * is_quartile + first["group"], 24)
    patients = f"{first['n_patients']} patient{'s' * (first['n_patients'] != 1)}"
    ax.set_title(f"{title}\nn = {first['n']} ({patients})", parse_math=False)


def _accuracy(table: pd.DataFrame, formats: dict[str, Callable], ax: Axes | None) -> Axes:
    table = table.sort_values("correct", ascending=False, kind="stable")
    interval = ", 95% interval" if table.get("correct_low", pd.Series()).notna().any() else ""
    columns = {key.replace("_", "\n"): table[key].map(text) for key, text in formats.items()}
    label = f"Correct responses{interval}\n(n = {n_of(table)} instructions)"
    return style.forest(
        table, "correct", table["system"], columns, xlabel=label, scale=style.PERCENT, ax=ax
    )


def _difference(estimate: float, low: float, high: float) -> str:
    text = "" if np.isnan(estimate) else signed(estimate, 1)
    return text if np.isnan(low) else f"{text}\n[{signed(low, 1)}, {signed(high, 1)}]"


def _p(value: float) -> str:
    return "<0.001" if value < 0.001 else decimals(3)(value)
