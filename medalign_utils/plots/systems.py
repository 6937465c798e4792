"""Figures of systems: accuracy, pairs, contexts, groups."""

import textwrap
from collections.abc import Mapping

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, PercentFormatter

from medalign_utils.plots.style import (
    BLUE,
    GREY,
    PAGE_WIDTH,
    STYLE,
    _draw_intervals,
    _n,
    _name_rows,
    _new_axes,
    _percent,
    _right_column,
    _wrapped,
)


@mpl.rc_context(STYLE)
def accuracy_by_system(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Share of correct responses by system with 95 % intervals, the best system on top.

    Args:
        table: as `evaluation.evaluate_systems` returns it.
        ax: where to draw; a figure one column wide if None.

    >>> ax = accuracy_by_system(pd.DataFrame({"system": ["a", "b"], "n": 9, "correct": [0.4, 0.2],
    ...     "correct_low": [0.3, 0.1], "correct_high": [0.5, 0.3]}))
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['a', 'b']
    >>> plt.close(ax.figure)
    """
    table = table.sort_values("correct", ascending=False, kind="stable")
    ax = ax or _new_axes(0.75 + 0.26 * len(table))
    _draw_intervals(ax, table["system"], table[["correct", "correct_low", "correct_high"]])
    highest = np.nanmax(table[["correct", "correct_high"]].to_numpy())
    ax.set_xlim(0, min(1.0, 1.08 * highest) or 1.0)
    ax.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    interval = ", 95% interval" if table["correct_low"].notna().any() else ""
    ax.set_xlabel(f"Correct responses{interval}\n(n = {_n(table)} instructions)")
    _right_column(ax, "correct", [_percent(share) for share in table["correct"]], 32)
    return ax


@mpl.rc_context(STYLE)
def head_to_head(matrix: pd.DataFrame, ax: Axes | None = None, *, n: int | None = None) -> Axes:
    """Heat map of the win rates of each system (row) against each other one (column).

    Columns bear the rows' numbers, so that long names stand once.

    Args:
        matrix: as `evaluation.head_to_head` returns it.
        ax: where to draw; a figure one column wide if None.
        n: the number of instructions, for the label.

    >>> ax = head_to_head(pd.DataFrame([[np.nan, 0.7], [0.3, np.nan]], list("ab"), list("ab")), n=9)
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['a  1', 'b  2']
    >>> plt.close(ax.figure)
    """
    ax = ax or _new_axes(0.65 + 0.3 * len(matrix))
    names = [f"{_wrapped(name)}  {i}" for i, name in enumerate(matrix.index, start=1)]
    sns.heatmap(
        matrix,
        ax=ax,
        vmin=0,
        vmax=1,
        cmap="PuOr",
        cbar=False,  # the numbers say it
        annot=True,
        fmt=".2f",
        annot_kws={"size": 7},
        linewidths=1,
        linecolor="white",
        xticklabels=[str(i) for i in range(1, len(matrix) + 1)],
        yticklabels=names,
    )
    ax.tick_params(length=0)
    ax.tick_params(axis="y", labelrotation=0)
    ax.set_ylabel("")
    counted = "" if n is None else f" (n = {n} instructions)"
    ax.set_xlabel(f"Win rate of the row against the column,\nties left out{counted}")
    return ax


@mpl.rc_context(STYLE)
def accuracy_by_context(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Share of correct responses of one generator against its context length.

    The full record stands as a tick of its own after the logarithmic axis. Above each point is,
    where the table has it, the paired difference to the longest context in percentage points.

    Args:
        table: as `comparisons.compare_contexts` returns it; the difference columns may be missing.
        ax: where to draw; a figure one column wide if None.

    >>> ax = accuracy_by_context(pd.DataFrame({"system": ["a", "b"], "n": 9,
    ...     "context_tokens": pd.array([2048, None], "Int64"), "correct": [0.2, 0.4],
    ...     "correct_low": [0.1, 0.3], "correct_high": [0.3, 0.5]}))
    >>> [label.get_text() for label in ax.get_xticklabels()]
    ['2,048', 'full record']
    >>> plt.close(ax.figure)
    """
    ax = ax or _new_axes(2.5)
    table = table.sort_values("context_tokens", na_position="last")
    full = table["context_tokens"].isna().to_numpy()
    octaves = np.log2(table["context_tokens"].to_numpy(dtype=float, na_value=np.nan))
    last = octaves[~full].max(initial=0.0)
    x = np.where(full, last + 2, octaves)
    share = table["correct"].to_numpy()
    low, high = table["correct_low"].to_numpy(), table["correct_high"].to_numpy()
    ax.plot(x[~full], share[~full], color=BLUE, lw=1)
    if full.any():
        ax.plot(x[-2:], share[-2:], color=BLUE, lw=1, ls=(0, (2, 2)))
        ax.text(last + 1, 0, "//", transform=ax.get_xaxis_transform(), ha="center", va="center")
    ax.vlines(x, low, high, color=BLUE, lw=1.5)
    ax.plot(x, share, "o", color=BLUE, ms=4.5, clip_on=False)
    labels = ["full record" if pd.isna(t) else f"{t:,}" for t in table["context_tokens"]]
    ax.set_xticks(x, labels)
    pad = 0.4 + 0.2 * (x.max() - x.min())
    ax.set_xlim(x.min() - pad, x.max() + pad)
    top = np.nanmax([share, high])
    note = ""
    if "difference" in table:
        for at, above, row in zip(x, np.fmax(high, share), table.to_dict("records"), strict=True):
            if pd.notna(row["difference"]):
                ax.annotate(
                    _difference(row),
                    (at, above),
                    xytext=(0, 4),
                    textcoords="offset points",
                    ha="center",
                    fontsize=6.5,
                    color=GREY,
                )
        top *= 1.2
        longest = "full record" if full.any() else "longest context"
        note = f"\ngrey: paired difference to the {longest}\nin percentage points [95% interval]"
    ax.set_ylim(0, min(1.0, 1.08 * top) or 1.0)
    ax.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    ax.set_ylabel("Correct responses, 95% interval")
    ax.set_xlabel(f"Context length in tokens (n = {_n(table)} instructions){note}")
    sns.despine(ax=ax)
    return ax


@mpl.rc_context(STYLE)
def human_evaluation(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """As `accuracy_by_system`, with win rates and mean ranks beside the shares.

    Args:
        table: system, n, correct, win_rate, mean_rank, and correct_low to correct_high where
            there is an interval.
        ax: where to draw; a figure one column wide if None.

    >>> ax = human_evaluation(pd.DataFrame({"system": ["a"], "n": 9, "correct": [0.4],
    ...     "win_rate": 0.6, "mean_rank": 2.75}))
    >>> ax.get_xlabel().splitlines()
    ['Correct responses', '(n = 9 instructions)']
    >>> plt.close(ax.figure)
    """
    bounds = {name: table.get(name, np.nan) for name in ("correct_low", "correct_high")}
    table = table.assign(**bounds).sort_values("correct", ascending=False, kind="stable")
    ax = accuracy_by_system(table, ax or _new_axes(0.85 + 0.26 * len(table)))
    _right_column(ax, "win\nrate", [f"{rate:.3f}" for rate in table["win_rate"]], 58)
    _right_column(ax, "mean\nrank", [f"{rank:.2f}" for rank in table["mean_rank"]], 82)
    return ax


@mpl.rc_context(STYLE)
def paired_differences(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Difference in accuracy of each pair of systems, with 95 % intervals, the largest on top.

    Filled are the pairs whose patient-level test still has p < 0.05 after Holm's adjustment.

    Args:
        table: as `comparisons.compare_systems` returns it.
        ax: where to draw; a figure one column wide if None.

    >>> ax = paired_differences(pd.DataFrame({"system": ["a"], "opponent": ["b"], "n": 9,
    ...     "difference": [0.2], "difference_low": [0.1], "difference_high": [0.3],
    ...     "mcnemar_p_holm": [0.01], "sign_flip_p_holm": [0.0005]}))
    >>> ax.get_yticklabels()[0].get_text().splitlines()
    ['a', 'minus b']
    >>> plt.close(ax.figure)
    """
    table = table.sort_values("difference", ascending=False, kind="stable")
    pairs = table[["system", "opponent"]].itertuples(index=False, name=None)
    names = [f"{_wrapped(system)}\n{_wrapped(f'minus {opponent}')}" for system, opponent in pairs]
    lines = max((name.count("\n") + 1 for name in names), default=1)
    ax = ax or _new_axes(0.95 + 0.13 * lines * max(len(table), 1))
    bounds = ["difference", "difference_low", "difference_high"]
    _draw_intervals(ax, table["system"], table[bounds])
    _name_rows(ax, names, wrap=False)
    unclear = ~(table["sign_flip_p_holm"].to_numpy() < 0.05)
    rows = np.arange(len(table))
    ax.plot(table["difference"][unclear], rows[unclear], "o", color=BLUE, mfc="white", ms=4.5)
    ax.axvline(0, color=GREY, lw=0.7, zorder=0)
    ax.xaxis.set_major_formatter(FuncFormatter(lambda share, _: _points(share)))
    counted = f"n = {_n(table)} instructions" if len(table) else "no pair of systems"
    ax.set_xlabel(
        "Paired difference in correct responses,\npercentage points, 95% interval\n"
        f"({counted}; p after Holm;\nfilled: p over patients below 0.05)"
    )
    _right_column(ax, "p,\npatients", [_p(p) for p in table["sign_flip_p_holm"]], 32)
    _right_column(ax, "p,\nMcNemar", [_p(p) for p in table["mcnemar_p_holm"]], 70)
    return ax


@mpl.rc_context(STYLE)
def accuracy_by_group(table: pd.DataFrame) -> Figure:
    """Share of correct responses by system, one panel a group, a page wide; one axis for all.

    Each grouping begins a new row of panels, and each panel's title has its n. Wilson's interval
    stands behind the bootstrap's, which is no wider than a point where all or none are correct.

    Args:
        table: as `groups.evaluate_groups` or `suppress_small` returns it, of the groupings to draw;
            suppressed groups are left out, and without a group the one panel says so.

    >>> figure = accuracy_by_group(pd.DataFrame({"grouping": "category", "group": ["Other"] * 2,
    ...     "system": ["a", "b"], "n": 9, "n_patients": 4, "correct": [0.4, 0.2],
    ...     "correct_low": [0.3, 0.1], "correct_high": [0.5, 0.3],
    ...     "wilson_low": [0.2, 0.1], "wilson_high": [0.7, 0.5]}))
    >>> figure.axes[0].get_title().splitlines()
    ['Other', 'n = 9 (4 patients)']
    >>> plt.close(figure)
    """
    table = table[table["n"].notna()]
    if table.empty:
        figure, ax = plt.subplots(figsize=(PAGE_WIDTH, 0.6), layout="constrained")
        ax.set_axis_off()
        ax.set_title("no group of instructions", fontsize=7.5)
        return figure
    groups = {
        grouping: list(rows.groupby("group", sort=False))
        for grouping, rows in table.groupby("grouping", sort=False)
    }
    across = min(4, max(len(panels) for panels in groups.values()))
    down = sum(-(-len(panels) // across) for panels in groups.values())
    names = table["system"].unique()
    height = down * (0.5 + 0.17 * len(names)) + 0.4
    figure, axes = plt.subplots(
        down, across, figsize=(PAGE_WIDTH, height), layout="constrained", sharex=True, squeeze=False
    )
    highest = np.nanmax(table[["correct_high", "wilson_high"]].to_numpy())
    row = 0
    for grouping, panels in groups.items():
        for i, (group, rows) in enumerate(panels):
            ax = axes[row + i // across, i % across]
            wilson = rows[["wilson_low", "wilson_high"]].to_numpy().T
            ax.hlines(range(len(rows)), *wilson, color="#AAAAAA", lw=0.8)
            _draw_intervals(ax, rows["system"], rows[["correct", "correct_low", "correct_high"]])
            if i % across:
                ax.set_yticklabels([])
            n, patients = rows["n"].iloc[0], rows["n_patients"].iloc[0]
            counted = f"n = {n} ({patients} patient{'s' if patients != 1 else ''})"
            title = f"{grouping} {group}" if grouping.endswith("quartile") else group
            title = textwrap.fill(title, 24)
            ax.set_title(f"{title}\n{counted}", fontsize=7.5, parse_math=False)
        row += -(-len(panels) // across)
    for ax in axes.flat:
        ax.set_visible(bool(ax.get_title()))
        ax.tick_params(axis="x", labelbottom=True)
        ax.set_xlim(0, min(1.0, 1.08 * highest) or 1.0)
        ax.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    figure.supxlabel(
        "Correct responses of n instructions, 95% interval over patients; grey: Wilson's, as if "
        "instructions were independent",
        fontsize=7.5,
    )
    return figure


def _difference(row: Mapping[str, float]) -> str:
    """A paired difference with its interval in percentage points, with a true minus sign."""
    text = f"{100 * row['difference']:+.1f}"
    if pd.notna(row["difference_low"]):
        text += f"\n[{100 * row['difference_low']:+.1f}, {100 * row['difference_high']:+.1f}]"
    return text.replace("-", "\N{MINUS SIGN}")


def _points(share: float) -> str:
    """A share in percentage points, with a true minus sign."""
    return f"{100 * share:+.0f}".replace("-", "\N{MINUS SIGN}") if abs(share) > 1e-9 else "0"


def _p(value: float) -> str:
    return "<0.001" if value < 0.001 else f"{value:.3f}"
