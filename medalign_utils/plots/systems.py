"""Figures of systems: accuracy, pairs of systems, context lengths, groups of instructions."""

import textwrap
from collections.abc import Callable, Mapping
from itertools import pairwise

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator

from medalign_utils.plots import style
from medalign_utils.plots.heat_map import heat_map
from medalign_utils.plots.style import decimals, n_of, percent, signed, wrapped
from medalign_utils.stats.bootstrap import LEAST_INTERVAL

_MOST_PAIRS = 30
# Bounds and p of a difference between contexts.
_COMPARED = ("difference_low", "difference_high", "sign_flip_p_holm")


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
    ax = heat_map(
        matrix.to_numpy(dtype=float),
        matrix.map(decimals(2), na_action="ignore").fillna("").to_numpy(),
        [*map(wrapped, matrix.index)],
        matrix.columns,
        limits=(0, 1),
        width=style.COLUMN_WIDTH if len(matrix) <= 7 else style.PAGE_WIDTH,
        ax=ax,
    )
    counted = "" if n is None else f" (n = {n} instructions)"
    style.label_x(ax, "", f"Win rate of the row against the column, without ties{counted}")
    return ax


@style.styled
def accuracy_by_context(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Return the share of correct responses by context length.

    `table` comes from `compare_contexts`; above each point is its difference from the longest
    context.
    """
    ax = ax or style.new_axes(2.4)
    places = np.arange(len(table))
    low, high = table["correct_low"], table["correct_high"]
    ax.vlines(places, low, high, color=style.BLUE, lw=1.5)
    ax.plot(places, table["correct"], "o-", color=style.BLUE, lw=1, ms=4.5)
    names = ["full record" if pd.isna(n) else f"{n:,.0f}" for n in table["context_tokens"]]
    tops = high.fillna(table["correct"])
    for place, top, row in zip(places, tops, table.to_dict("records"), strict=True):
        ax.annotate(
            _difference(row), (place, top), xytext=(0, 3), textcoords="offset points",
            ha="center", va="bottom", color=style.GREY, linespacing=1.0,
        )  # fmt: skip
    ax.set_xticks(places, names)
    ax.set_xlim(-0.5, len(table) - 0.5)
    ax.yaxis.set_major_locator(FixedLocator(np.arange(0, 1.1, 0.1 if tops.max() < 0.6 else 0.2)))
    ax.yaxis.set_major_formatter(style.PERCENT)
    ax.set_ylim(0, 1.4 * tops.max() or 1)
    ax.set_ylabel("Correct responses, 95% interval")
    longest = names[-1] if pd.isna(table["context_tokens"].iloc[-1]) else "longest context"
    style.label_x(
        ax,
        f"Context length in tokens (n = {n_of(table)} instructions)",
        f"grey: paired difference from the {longest} in percentage points, with a 95% interval "
        "that holds for all differences at once, and p of a sign-flip test over patients after "
        "Holm",
    )
    sns.despine(ax=ax)
    return ax


@style.styled
def paired_differences(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Return each pair's difference in accuracy, the largest on top.

    `table` comes from `compare_systems`, whose intervals hold for all pairs at once. Filled points
    have p < 0.05 in the patient-level test, after Holm's adjustment. Of more pairs than fit on a
    page, those with the smallest p are drawn.
    """
    drawn = table.sort_values("sign_flip_p_holm", kind="stable")[:_MOST_PAIRS]
    left_out = f"the {len(drawn)} of {len(table)} pairs with the smallest p over patients"
    n_all, table = len(table), drawn.sort_values("difference", ascending=False, kind="stable")
    tests = {"p,\npatients": "sign_flip_p_holm", "p,\nMcNemar": "mcnemar_p_holm"}
    is_clear = table["sign_flip_p_holm"] < 0.05
    crosses = (table["difference_low"] <= 0) & (table["difference_high"] >= 0)
    ax = style.forest(
        table,
        "difference",
        [f"{wrapped(a)}\n{wrapped(f'minus {b}')}" for a, b in table[["system", "opponent"]].values],
        {heading: table[p].map(_p) for heading, p in tests.items()},
        xlabel="Difference in correct responses, points",
        notes=[
            f"percentage points, paired (n = {n_of(table)} instructions); the 95% intervals hold "
            "for all pairs at once",
            "p after Holm, of a sign-flip test over patients and of McNemar's; filled: p over "
            "patients below 0.05",
            "some filled points have an interval that reaches 0: Holm's test finds more than "
            "intervals that hold for all pairs at once" * bool((is_clear & crosses).any()),
            left_out * (n_all > len(table)),
        ],
        scale=style.POINTS,
        ax=ax,
    )
    unclear = ~is_clear.to_numpy()
    rows = np.arange(len(table))
    ax.plot(table["difference"][unclear], rows[unclear], "o", color=style.BLUE, mfc="white", ms=4.5)
    return ax


@style.styled
def accuracy_by_group(table: pd.DataFrame) -> Figure:
    """Return the share of correct responses by system, one panel per group, a page wide.

    `table` comes from `evaluate_subgroups`. Groups of fewer than `LEAST_INTERVAL` patients, for
    which there is no interval, are named below, unless all are as small; suppressed groups
    are left out. Each grouping begins a new row of panels.
    """
    table = table[table["n"].notna()]
    is_large = table["n_patients"] >= LEAST_INTERVAL
    is_drawn = is_large if is_large.any() else ~is_large
    few = table[~is_drawn].drop_duplicates(["grouping", "group"])
    table = table[is_drawn]
    rows = []
    for _, grouping in table.groupby("grouping", sort=False):
        groups = [group for _, group in grouping.groupby("group", sort=False)]
        # As many in each row as in the others, so that no panel is left over.
        ends = np.ceil(np.linspace(0, len(groups), -(-len(groups) // 4) + 1)).astype(int)
        rows += [groups[i:j] for i, j in pairwise(ends)]
    lines = [max(_title(group).count("\n") for group in groups) + 1 for groups in rows]
    height = sum(0.35 + style.LINE * (n + 1.3 * table["system"].nunique()) for n in lines)
    n_columns = max(map(len, rows))
    figure, axes = plt.subplots(
        len(rows),
        n_columns,
        figsize=(style.PAGE_WIDTH, height),
        layout="constrained",
        squeeze=False,
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
    names = [_title(row.to_frame().T, 99).replace("\n", ", ") for _, row in few.iterrows()]
    style.add_notes(
        figure,
        "Correct responses of n instructions, 95% interval over patients, not adjusted for the "
        "number of groups",
        f"not drawn, fewer than {LEAST_INTERVAL} patients: {'; '.join(names)}" * bool(names),
    )
    return figure


def _draw_group(table: pd.DataFrame, ax: Axes, *, named: bool) -> None:
    style.forest(table, "correct", table["system"], {}, scale=style.PERCENT, ax=ax)
    if not named:
        ax.set_yticklabels([])
    ax.set_title(_title(table), parse_math=False)


def _title(table: pd.DataFrame, width: int = 22) -> str:
    """Return a group's name and size."""
    first = table.iloc[0]
    is_quartile = first["grouping"].endswith("quartile")
    title = textwrap.fill(f"{first['grouping']} " * is_quartile + first["group"], width)
    counted = f"n = {first['n']}"
    if pd.notna(first["n_patients"]):
        counted += f" ({first['n_patients']} patient{'s' * (first['n_patients'] != 1)})"
    return f"{title}\n{counted}"


def _accuracy(table: pd.DataFrame, formats: dict[str, Callable], ax: Axes | None) -> Axes:
    table = table.sort_values("correct", ascending=False, kind="stable")
    has_interval = table.get("correct_low", pd.Series()).notna().any()
    columns = {key.replace("_", "\n"): table[key].map(text) for key, text in formats.items()}
    n = f"n = {n_of(table)} instructions"
    return style.forest(
        table,
        "correct",
        table["system"],
        columns,
        xlabel=f"Correct responses ({n})",
        notes=["95% interval over patients"] * has_interval,
        scale=style.PERCENT,
        ax=ax,
    )


def _difference(row: Mapping[str, float]) -> str:
    if np.isnan(row["difference"]):
        return ""
    low, high, p = (row.get(name, np.nan) for name in _COMPARED)
    text = signed(100 * row["difference"], 1)
    if not np.isnan(low):
        text += f"\n[{signed(100 * low, 1)}, {signed(100 * high, 1)}]"
    return text if np.isnan(p) else f"{text}\np = {_p(p)}".replace("= <", "< ")


def _p(value: float) -> str:
    return "<0.001" if value < 0.001 else decimals(3)(value)
