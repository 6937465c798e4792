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
    style.add_notes(
        figure,
        f"Share of responses (n = {n_of(table)} for each system), 95% interval over patients",
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
    notes = [
        "dot: the prompt contains the place of the answer; diamond: it does not",
        "n: instructions; 95% interval over patients",
    ]
    ax = style.forest(
        inside,
        "correct",
        systems,
        texts,
        xlabel="Correct responses",
        notes=notes,
        scale=style.PERCENT,
        ax=ax,
    )
    style.add_diamonds(ax, outside, "correct", shift=0.25)
    highest = table[["correct", "correct_high"]].to_numpy(dtype=float)
    ax.set_xlim(-0.02, min(1.02, 1.08 * np.nanmax(highest, initial=0.1)))
    return ax


@style.styled
def accuracy_by_tokens(table: pd.DataFrame) -> Figure:
    """Return accuracy against the tokens of the record that a system read, one panel per system.

    `table` comes from `breakdown.accuracy_by_tokens`; a system has a point for each of its groups.
    The other systems' points are pale.
    """
    drawn = table.dropna(subset=["tokens", "correct"])
    systems = drawn["system"].unique()
    n_rows = -(-len(systems) // 4)
    n_columns = -(-len(systems) // n_rows)
    figure, axes = plt.subplots(
        n_rows,
        n_columns,
        figsize=(style.PAGE_WIDTH, 0.3 + 1.5 * n_rows),
        layout="constrained",
        sharex=True,
        sharey=True,
        squeeze=False,
    )
    for i, ax in enumerate(axes.flat):
        ax.set_visible(i < len(systems))
    for system, ax in zip(systems, axes.flat, strict=False):
        own = drawn[drawn["system"] == system].sort_values("tokens")
        ax.plot(drawn["tokens"], drawn["correct"], "o", color="#C8C8C8", ms=3, zorder=1)
        ax.vlines(own["tokens"], own["correct_low"], own["correct_high"], color=style.BLUE, lw=1.5)
        ax.plot(own["tokens"], own["correct"], "o-", color=style.BLUE, ms=4.5, lw=1)
        ax.set_title(style.wrapped(system), parse_math=False)
        ax.tick_params(labelbottom=True)
        sns.despine(ax=ax)
    _scale_tokens(axes[0, 0], drawn["tokens"])
    axes[0, 0].yaxis.set_major_formatter(style.PERCENT)
    axes[0, 0].set_ylim(0, min(1.02, 1.08 * np.nanmax(drawn[["correct", "correct_high"]])) or 1)
    few = f"; none: fewer than {LEAST_INTERVAL} patients"
    plt.setp(axes[:, 0], ylabel="Correct responses")
    style.add_notes(
        figure,
        "Tokens of the record in the prompts, median of each group of prompts "
        f"(n = {n_of(drawn)} instructions); 95% interval over patients"
        f"{few * bool(drawn['correct_low'].isna().any())}; grey: the other systems",
    )
    return figure


def _scale_tokens(ax: Axes, tokens: pd.Series) -> None:
    ax.set_xscale("log")
    low, high = tokens.min() / 1.6, tokens.max() * 1.6
    digits = (1,) if high > 30 * low else (1, 3) if high > 8 * low else (1, 2, 5)
    ticks = [digit * 10**power for power in range(9) for digit in digits]
    ax.xaxis.set_major_locator(FixedLocator([n for n in ticks if low <= n <= high]))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(style.COUNT)
    ax.set_xlim(low, high)


def _count(n: object) -> str:
    return "–" if pd.isna(n) else f"{n:.0f}"
