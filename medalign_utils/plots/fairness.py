"""Figures of the fairness and counterfactual audits."""

import textwrap

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, PercentFormatter

from medalign_utils.plots.metrics import METRIC_LABELS
from medalign_utils.plots.style import (
    GREY,
    ORANGE,
    PAGE_WIDTH,
    STYLE,
    _draw_intervals,
    _name_rows,
    _new_axes,
    _right_column,
    _wrapped,
)


@mpl.rc_context(STYLE)
def gaps_by_group(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Each group's gap in accuracy to the rest, as it is and adjusted, with 95 % intervals.

    Args:
        table: rows of one system as `fairness.audit` returns them for "correct", with the columns
            of `confounding.adjusted_gaps`.
        ax: where to draw; a figure one column wide if None.

    >>> ax = gaps_by_group(pd.DataFrame({"grouping": "gender", "group": ["F", "M"],
    ...     "n_patients": [90, 80], "n_instructions": [99, 88], "gap": [0.1, -0.1], "gap_low": 0,
    ...     "gap_high": 0, "adjusted_gap": [0.0, np.nan], "adjusted_gap_low": 0, "adjusted_gap_high": 0,
    ...     "suppressed": ""}))
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['gender: F', 'gender: M']
    >>> plt.close(ax.figure)
    """
    shown, withheld = _shown(table)
    if shown.empty:
        return _no_groups(table, ax)
    ax = ax or _new_axes(1.15 + 0.27 * len(shown))
    _draw_intervals(ax, _group_names(shown), 100 * shown[["gap", "gap_low", "gap_high"]])
    rows = np.arange(len(shown)) + 0.25
    adjusted = 100 * shown[["adjusted_gap", "adjusted_gap_low", "adjusted_gap_high"]].astype(float)
    ax.hlines(rows, adjusted["adjusted_gap_low"], adjusted["adjusted_gap_high"], color=ORANGE, lw=1)
    ax.plot(adjusted["adjusted_gap"], rows, "D", color=ORANGE, mfc="white", ms=3)
    ax.axvline(0, color=GREY, lw=0.7, zorder=0)
    ax.set_xlabel(
        "Correct responses: gap to all other patients in\npercentage points, 95% interval;\n"
        f"diamond: adjusted for category and EHR length{withheld}"
    )
    _counts_of_groups(ax, shown)
    return ax


@mpl.rc_context(STYLE)
def gap_matrix(
    table: pd.DataFrame, by: str, ax: Axes | None = None, *, percent: bool = True
) -> Axes:
    """Heat map of the gaps to the rest: a row a group, a column a system or metric.

    Columns bear numbers; what they stand for is said below. A star marks what Holm's method finds
    at 5 %.

    Args:
        table: rows of one measure as `fairness.audit` returns them; or of several.
        by: the column of the table that the picture's columns are: "system" or "measure".
        ax: where to draw; a figure one column wide if None.
        percent: whether gaps are shares, shown in percentage points.

    >>> ax = gap_matrix(pd.DataFrame({"system": ["a", "a"], "grouping": "gender",
    ...     "group": ["F", "M"], "n_patients": 90, "n_instructions": 99, "gap": [0.1, -0.1],
    ...     "p_holm": [0.01, 0.01], "suppressed": ""}), "system")
    >>> [text.get_text() for text in ax.texts[:2]]
    ['+10.0*', '−10.0*']
    >>> plt.close(ax.figure)
    """
    shown, withheld = _shown(table)
    if shown.empty:
        return _no_groups(table, ax)
    rows = shown.drop_duplicates(["grouping", "group"])
    ax = ax or _new_axes(1.4 + 0.25 * len(rows) + 0.06 * shown[by].nunique())
    columns = list(shown[by].unique())
    wide = shown.pivot(index=["grouping", "group"], columns=by, values=["gap", "p_holm"])
    wide = wide.loc[list(zip(rows["grouping"], rows["group"], strict=True))]
    gaps = wide["gap"][columns].to_numpy(dtype=float) * (100 if percent else 1)
    starred = wide["p_holm"][columns].to_numpy(dtype=float) <= 0.05
    texts = [[_signed(g, percent, s) for g, s in zip(*row, strict=True)]
             for row in zip(gaps, starred, strict=True)]  # fmt: skip
    most = max(np.nanmax(np.abs(gaps), initial=0), 1e-9)
    sns.heatmap(
        gaps, ax=ax, vmin=-most, vmax=most, cmap="PuOr", cbar=False, annot=np.array(texts), fmt="",
        annot_kws={"size": 6.5}, linewidths=1, linecolor="white",
        xticklabels=[str(i) for i in range(1, len(columns) + 1)], yticklabels=False,
    )  # fmt: skip
    names = [_wrapped(name) for name in _group_names(rows)]
    ax.set_yticks(np.arange(len(rows)) + 0.5, names, linespacing=1.0, parse_math=False)
    ax.tick_params(length=0)
    ax.set_ylabel("")
    named = ", ".join(
        f"{i} {METRIC_LABELS.get(column, column)}" for i, column in enumerate(columns, start=1)
    )
    unit = "in percentage points" if percent else "in tau"
    ax.set_xlabel(
        f"Gap to all other patients {unit};\n* p ≤ 0.05 by Holm's method; columns:\n"
        + textwrap.fill(named, 52, break_on_hyphens=False)
        + ("\nblank: fewer than 11 patients with a value" if np.isnan(gaps).any() else "")
        + withheld
    )
    _counts_of_groups(ax, rows, 0.5)
    return ax


@mpl.rc_context(STYLE)
def lengths_by_group(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Geometric mean number of events in the EHRs of each group, with 95 % intervals.

    Args:
        table: as `confounding.describe_groups` returns it.
        ax: where to draw; a figure one column wide if None.

    >>> ax = lengths_by_group(pd.DataFrame({"grouping": ["(all)"], "group": ["(all)"],
    ...     "n_patients": [90], "n_instructions": [99], "events": [4000.0], "events_low": [3000.0],
    ...     "events_high": [5000.0], "suppressed": [""]}))
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['all patients']
    >>> plt.close(ax.figure)
    """
    shown, withheld = _shown(table)
    if shown["events_low"].isna().all():
        return _no_groups(table, ax)
    ax = ax or _new_axes(1.0 + 0.26 * len(shown))
    ax.set_xscale("log")
    _draw_intervals(ax, _group_names(shown), shown[["events", "events_low", "events_high"]])
    low, high = np.nanmin(shown["events_low"]), np.nanmax(shown["events_high"])
    ticks = [n for power in range(8) for n in (10**power, 3 * 10**power)]
    ax.set_xlim(low / 1.25, high * 1.25)
    ax.set_xticks([n for n in ticks if low / 1.25 <= n <= high * 1.25])
    ax.xaxis.set_major_formatter(FuncFormatter(lambda n, _: f"{n:,.0f}"))
    ax.minorticks_off()
    ax.set_xlabel(f"Events in an EHR, geometric mean, 95% interval{withheld}")
    _counts_of_groups(ax, shown)
    return ax


@mpl.rc_context(STYLE)
def audit_power(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Share of simulated systems of which the audit finds whom they fail, by the group's size.

    Args:
        table: as `power.simulate_audits` returns it, of one gap.
        ax: where to draw; a figure one column wide if None.

    >>> ax = audit_power(pd.DataFrame({"size": pd.array([None, 69], "Int64"), "gap": [0, 0.2],
    ...     "audits": 300, "n_patients": [180, 46.4], "n_instructions": [303, 76.2],
    ...     "share": [0.04, 0.4], "share_low": [0.02, 0.3], "share_high": [0.06, 0.5]}))
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['no gap: false alarm', '20-point gap: found']
    >>> plt.close(ax.figure)
    """
    ax = ax or _new_axes(1.1 + 0.26 * len(table))
    names = [
        "no gap: false alarm" if pd.isna(size) else f"{100 * gap:.0f}-point gap: found"
        for size, gap in zip(table["size"], table["gap"], strict=True)
    ]
    _draw_intervals(ax, names, table[["share", "share_low", "share_high"]])
    ax.axvline(0.05, color=GREY, lw=0.7, ls=":")
    ax.set_xlim(0, 1)
    ax.set_xticks([0, 0.5, 1])
    ax.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    ax.set_xlabel(
        "Simulated systems, 95% interval of the simulation;\ndotted: 5%; n: patients and "
        "instructions concerned,\non average, and simulated systems"
    )
    for offset, heading, column in (
        (30, "patients", "n_patients"),
        (58, "instr.", "n_instructions"),
        (90, "systems", "audits"),
    ):
        _right_column(ax, heading, [f"{n:.0f}" for n in table[column]], offset)
    return ax


@mpl.rc_context(STYLE)
def counterfactual_changes(table: pd.DataFrame) -> Figure:
    """Shares of responses and verdicts that change with one demographic, with 95 % intervals.

    Instructions whose right answer rests on what is rewritten stand in rows of their own. Where no
    verdict is known there is no panel of verdicts.

    Args:
        table: as `counterfactual.summarise` or `counterfactual.suppress_small` returns it.

    >>> row = {"change": "age", "system": "a", "relevant": True, "n": 9, "n_patients": 4}
    >>> for measure in ("changed", "changed_beyond", "flipped"):
    ...     row |= {measure: 0.5, f"{measure}_low": 0.2, f"{measure}_high": 0.7}
    >>> figure = counterfactual_changes(pd.DataFrame([row]))
    >>> figure.axes[0].get_yticklabels()[0].get_text()
    'age, relevant · a'
    >>> plt.close(figure)
    """
    panels = {
        "changed": "Responses that\nchange",
        "changed_beyond": "… beyond the\nrewritten words",
        "flipped": "Verdicts that\nflip",
    }
    if table["flipped"].isna().all():
        del panels["flipped"]
    names = [
        f"{row.change}{', relevant' if row.relevant else ''} · {row.system}"
        for row in table.itertuples()
    ]
    size = (PAGE_WIDTH, 0.9 + 0.2 * len(table))
    figure, axes = plt.subplots(1, len(panels), figsize=size, layout="constrained", sharex=True)
    for i, (ax, (measure, title)) in enumerate(zip(axes, panels.items(), strict=True)):
        _draw_intervals(ax, names, table[[measure, f"{measure}_low", f"{measure}_high"]])
        _name_rows(ax, [""] * len(names) if i else names, wrap=False)
        ax.set_xlim(-0.02, 1.02)
        ax.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        ax.set_title(title, fontsize=7.5)
    counts = zip(table["n"], table["n_patients"], strict=True)
    shown = ["not shown" if pd.isna(n) else f"{n} ({patients})" for n, patients in counts]
    _right_column(axes[-1], "n (patients)", shown, 44)
    figure.supxlabel(
        "Share of n instructions, 95% interval over patients; relevant: the right answer rests on "
        "what was rewritten",
        fontsize=7.5,
    )
    return figure


def _shown(table: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """The rows of groups, and which groupings are merged or missing, for a label."""
    absent = table["group"] == "(not shown)"
    merged = table["suppressed"].ne("") & ~absent
    parts = [
        f"{what}: {', '.join(dict.fromkeys(table.loc[rows, 'grouping']))}"
        for what, rows in (("small groups merged", merged), ("not shown, too small", absent))
        if rows.any()
    ]
    lines = textwrap.fill("; ".join(parts), 52)
    return table[~absent], f"\n{lines}" if parts else ""


def _no_groups(table: pd.DataFrame, ax: Axes | None) -> Axes:
    """A picture that says that there is nothing to show, and of how many patients."""
    ax = ax or _new_axes(0.9)
    n = table[["n_patients", "n_instructions"]].max()
    names = ", ".join(dict.fromkeys(table["grouping"])).replace("(all), ", "")
    ax.set_axis_off()
    text = textwrap.fill(f"Not shown, groups too small: {names}", 48)
    text += f"\n(n = {n['n_patients']} patients, {n['n_instructions']} instructions)"
    ax.text(0.5, 0.5, text, ha="center", va="center", transform=ax.transAxes)
    return ax


def _group_names(table: pd.DataFrame) -> list[str]:
    pairs = zip(table["grouping"], table["group"], strict=True)
    # Of two groupings the groups' own names say which they are.
    names = [b if " x " in a else f"{a}: {b}" for a, b in pairs]
    return ["all patients" if name == "(all): (all)" else name for name in names]


def _counts_of_groups(ax: Axes, table: pd.DataFrame, shift: float = 0) -> None:
    _right_column(ax, "patients", [f"{n}" for n in table["n_patients"]], 32, shift)
    _right_column(ax, "instr.", [f"{n}" for n in table["n_instructions"]], 58, shift)


def _signed(gap: float, percent: bool, starred: bool) -> str:
    if np.isnan(gap):
        return ""
    text = f"{gap:+.1f}" if percent else f"{gap:+.2f}"
    return text.replace("-", "\N{MINUS SIGN}") + "*" * bool(starred)
