"""Figures of systems: accuracy, pairs, contexts, groups."""

import textwrap

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from medalign_utils.plots import style
from medalign_utils.plots.style import n_of, signed, wrapped


@style.styled
def accuracy_by_system(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Return the share of correct responses of each system (`evaluate_systems`), best on top."""
    return _accuracy(table, {"correct": "{:.1%}"}, ax)


@style.styled
def human_evaluation(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Return the same with win rates and mean ranks; correct_low and correct_high may be absent."""
    columns = {"correct": "{:.1%}", "win_rate": "{:.3f}", "mean_rank": "{:.2f}"}
    return _accuracy(table, columns, ax)


@style.styled
def head_to_head(matrix: pd.DataFrame, ax: Axes | None = None, *, n: int | None = None) -> Axes:
    """Return a heat map of the win rates of each system (row) against each other one (column).

    Args:
        matrix: as `evaluation.systems.head_to_head` returns it.
        ax: where to draw.
        n: the number of instructions, for the label.
    """
    counted = "" if n is None else f" (n = {n} instructions)"
    return style.heat_map(
        matrix.to_numpy(),
        matrix.map("{:.2f}".format).to_numpy(),
        style.numbered(matrix.index),
        limits=(0, 1),
        xlabel=f"Win rate of the row against the column,\nwithout ties{counted}",
        ax=ax or style.new_axes(0.65 + 0.3 * len(matrix)),
    )


@style.styled
def accuracy_by_context(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Return the share of correct responses of one generator by context length, the full last.

    Args:
        table: as `evaluation.pairwise.compare_contexts` returns it; without the columns of
            differences these are not written on the right.
        ax: where to draw.
    """
    table = table.sort_values("context_tokens", na_position="last")
    names = ["full record" if pd.isna(n) else f"{n:,} tokens" for n in table["context_tokens"]]
    label = "Correct responses, 95% interval;\n"
    columns = {}
    if "difference" in table:
        estimates = table[["difference", "difference_low", "difference_high"]].to_numpy(dtype=float)
        columns["difference\n[95% interval]"] = [_difference(*row) for row in 100 * estimates]
        label += f"paired difference to the {names[-1]}\nin percentage points; "
    label += f"n = {n_of(table)} instructions"
    return style.forest(table, "correct", names, columns, xlabel=label, scale=style.PERCENT, ax=ax)


@style.styled
def paired_differences(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Return the difference in accuracy of each pair (`compare_systems`), the largest on top.

    Pairs whose patient-level test still has p < 0.05 after Holm's adjustment are filled.
    """
    table = table.sort_values("difference", ascending=False, kind="stable")
    counted = f"n = {n_of(table)} instructions" if len(table) else "no pair of systems"
    tests = {"p,\npatients": "sign_flip_p_holm", "p,\nMcNemar": "mcnemar_p_holm"}
    ax = style.forest(
        table,
        "difference",
        [f"{wrapped(a)}\n{wrapped(f'minus {b}')}" for a, b in table[["system", "opponent"]].values],
        {heading: table[p].map(_p) for heading, p in tests.items()},
        xlabel="Paired difference in correct responses,\npercentage points, 95% interval\n"
        f"({counted}; p after Holm;\nfilled: p over patients below 0.05)",
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

    Each grouping begins a new row of panels. Wilson's interval is behind the bootstrap's, which is
    no wider than a point where all or none are correct.

    Args:
        table: as `evaluation.subgroups.evaluate_groups` returns it, of the groupings to draw;
            suppressed groups are left out, and without a group the one panel says so.
    """
    table = table[table["n"].notna()]
    if table.empty:
        figure, ax = plt.subplots(figsize=(style.PAGE_WIDTH, 0.6), layout="constrained")
        ax.set_axis_off()
        ax.set_title("no group of instructions")
        return figure
    groupings = [
        [group for _, group in rows.groupby("group", sort=False)]
        for _, rows in table.groupby("grouping", sort=False)
    ]
    across = min(4, max(map(len, groupings)))
    down = sum(-(-len(groups) // across) for groups in groupings)
    size = (style.PAGE_WIDTH, down * (0.5 + 0.17 * table["system"].nunique()) + 0.4)
    figure, axes = plt.subplots(
        down, across, figsize=size, layout="constrained", sharex=True, squeeze=False
    )
    row = 0
    for groups in groupings:
        for i, group in enumerate(groups):
            _draw_group(group, axes[row + i // across, i % across], named=i % across == 0)
        row += -(-len(groups) // across)
    highest = np.nanmax(table[["correct_high", "wilson_high"]].to_numpy())
    for ax in axes.flat:
        ax.set_visible(bool(ax.get_title()))
        ax.tick_params(axis="x", labelbottom=True)
        ax.set_xlim(0, min(1.0, 1.08 * highest) or 1.0)
    figure.supxlabel(
        "Correct responses of n instructions, 95% interval over patients; grey: Wilson's, which "
        "assumes that instructions are independent",
        fontsize=7.5,
    )
    return figure


def _draw_group(table: pd.DataFrame, ax: Axes, *, named: bool) -> None:
    wilson = table[["wilson_low", "wilson_high"]].to_numpy().T
    ax.hlines(range(len(table)), *wilson, color="#AAAAAA", lw=0.8)
    style.forest(table, "correct", table["system"], {}, scale=style.PERCENT, ax=ax)
    if not named:
        ax.set_yticklabels([])
    first = table.iloc[0]
    is_quartile = first["grouping"].endswith("quartile")
    title = textwrap.fill(f"{first['grouping']} " * is_quartile + first["group"], 24)
    patients = f"{first['n_patients']} patient{'s' * (first['n_patients'] != 1)}"
    ax.set_title(f"{title}\nn = {first['n']} ({patients})", parse_math=False)


def _accuracy(table: pd.DataFrame, formats: dict[str, str], ax: Axes | None) -> Axes:
    table = table.sort_values("correct", ascending=False, kind="stable")
    interval = ", 95% interval" if table.get("correct_low", pd.Series()).notna().any() else ""
    columns = {key.replace("_", "\n"): table[key].map(text.format) for key, text in formats.items()}
    label = f"Correct responses{interval}\n(n = {n_of(table)} instructions)"
    return style.forest(
        table, "correct", table["system"], columns, xlabel=label, scale=style.PERCENT, ax=ax
    )


def _difference(estimate: float, low: float, high: float) -> str:
    text = "" if np.isnan(estimate) else signed(estimate, 1)
    return text if np.isnan(low) else f"{text} [{signed(low, 1)}, {signed(high, 1)}]"


def _p(value: float) -> str:
    return "<0.001" if value < 0.001 else f"{value:.3f}"
