"""Figures of the fairness and counterfactual audits.

Groups that are too small to be tested are not drawn but named below the figure. If no group is
left, a function returns a sentence instead.
"""

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from medalign_utils.metrics.base import metric_labels
from medalign_utils.plots import style
from medalign_utils.plots.heat_map import heat_map
from medalign_utils.plots.style import signed, wrapped
from medalign_utils.stats.bootstrap import LEAST_INTERVAL
from medalign_utils.stats.permutation import LEAST_TESTED


@style.styled
def gaps_by_group(table: pd.DataFrame, ax: Axes | None = None) -> Axes | str:
    """Return each group's gap in accuracy to the rest, raw and adjusted.

    `table` has one system's rows from `audit` for the measure "correct", joined with the columns of
    `adjusted_gaps`.
    """
    shown, withheld = _shown(table)
    if shown.empty:
        return _no_groups(table)
    names, counts = _names_and_counts(shown)
    ax = style.forest(
        shown,
        "gap",
        names,
        counts,
        xlabel="Gap in correct responses, points",
        notes=[
            "percentage points to all other patients; 95% interval over patients"
            f"{_no_interval(shown, 'gap')}",
            "diamond: adjusted for category of instruction and EHR length",
            *withheld,
        ],
        scale=style.POINTS,
        ax=ax,
    )
    style.add_diamonds(ax, shown, "adjusted_gap", shift=0.25)
    return ax


@style.styled
def gap_matrix(
    table: pd.DataFrame, by: str, ax: Axes | None = None, *, percent: bool = True
) -> Axes | str:
    """Return a heat map of each group's gap to the rest, a page wide; a star marks p <= 0.05.

    `table` comes from `audit`; the heat map has one column per value of its column `by`, "system"
    or "measure". With `percent`, gaps are shares and shown in percentage points.
    """
    is_tested = table.groupby(["grouping", "group"])["p_holm"].transform("count") > 0
    shown, withheld = _shown(table, is_tested)
    if shown.empty:
        return _no_groups(table)
    by_group = shown.groupby(["grouping", "group"], sort=False)
    names, counts = _names_and_counts(by_group.head(1))
    counts["instr."] = [style.n_of(own, "n_instructions") for _, own in by_group]
    wide = shown.set_index(["grouping", "group", by]).unstack(sort=False)
    gaps, p = (wide[name].to_numpy(dtype=float) for name in ("gap", "p_holm"))
    gaps = np.where(np.isnan(p), np.nan, gaps * (100 if percent else 1))
    stars = np.where(p <= 0.05, "*", "")
    most = max(np.nanmax(np.abs(gaps), initial=0), 1e-9)
    labels = metric_labels()
    columns = [labels.get(name, name) for name in wide["gap"]]
    ax = heat_map(
        gaps,
        np.vectorize(_cell, [object])(gaps, stars, 1 if percent else 2),
        [*map(wrapped, names)],
        columns,
        limits=(-most, most),
        width=style.PAGE_WIDTH,
        ax=ax,
    )
    unit = "percentage points" if percent else "tau"
    style.label_x(
        ax,
        "",
        f"Gap to all other patients in {unit}",
        f"{'*' if '*' in stars else 'none has'} p ≤ 0.05, of a permutation test over patients, "
        "after Holm" + ("" if percent else "; instr.: those with a tau"),
        "blank: too few patients with a value" * bool(np.isnan(gaps).any()),
        *withheld,
    )
    style.add_columns(ax, counts, shift=0.5)
    return ax


@style.styled
def lengths_by_group(table: pd.DataFrame, ax: Axes | None = None) -> Axes | str:
    """Return each group's geometric mean of events per EHR.

    `table` comes from `describe_groups`.
    """
    shown, withheld = _shown(table)
    if shown["events"].isna().all():
        return _no_groups(table)
    names, counts = _names_and_counts(shown)
    interval = f"95% interval over patients{_no_interval(shown, 'events')}"
    ax = style.forest(
        shown,
        "events",
        names,
        counts,
        xlabel="Events per EHR, geometric mean",
        notes=[interval, *withheld],
        scale=style.COUNT,
        ax=ax,
    )
    ax.set_xscale("log")
    drawn = shown[["events", "events_low", "events_high"]].to_numpy(dtype=float)
    low, high = np.nanmin(drawn) / 1.25, np.nanmax(drawn) * 1.25
    digits = (1,) if high > 50 * low else (1, 3) if high > 5 * low else (1, 2, 3, 5)
    ticks = [digit * 10**power for power in range(8) for digit in digits]
    ax.set_xticks([n for n in ticks if low <= n <= high])
    ax.xaxis.set_major_formatter(style.COUNT)
    ax.minorticks_off()
    ax.set_xlim(low, high)
    return ax


@style.styled
def audit_power(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Return how often the audit finds a gap, by group size.

    `table` comes from `power.simulate_audits`. Sizes are those of rated patients, on average.
    """
    names = [
        f"no gap, {n:.0f} patients"
        if pd.isna(size)
        else f"{100 * gap:.0f} points, {n:.0f} patients"
        for size, gap, n in zip(table["size"], table["gap"], table["n_patients"], strict=True)
    ]
    headings = {"instr.": "n_instructions", "systems": "audits"}
    columns = {heading: table[name].map("{:.0f}".format) for heading, name in headings.items()}
    columns["found"] = table["share"].map(style.percent(0))
    ax = style.forest(
        table,
        "share",
        names,
        columns,
        xlabel="Systems with a gap found",
        notes=[
            "share of simulated systems with a 95% interval, by the true gap and the number of "
            "rated patients in the group; dotted: 5%",
            "patients and their instructions (instr.): on average",
        ],
        scale=style.PERCENT,
        ax=ax,
    )
    ax.axvline(0.05, color=style.GREY, lw=0.7, ls=":")
    ax.set(xlim=(0, 1), xticks=[0, 0.5, 1])
    return ax


@style.styled
def counterfactual_changes(table: pd.DataFrame) -> Figure | str:
    """Return the shares of responses and verdicts that change with one demographic, by system.

    `table` comes from `counterfactual.summarise`; the panel of verdicts needs an answer key.
    """
    table = pd.concat(rows for _, rows in table.groupby("system", sort=False))
    panels = {
        "changed": "Responses that\nchange",
        "changed_beyond": "… beyond the\nrewritten words",
        "flipped": "Verdicts that\nflip",
    }
    if not table[[*panels]].fillna(0).to_numpy(dtype=float).any():
        n = style.n_of(table)
        return f"No response changes when a demographic is rewritten (n = {n} instructions)."
    if table["flipped"].isna().all():
        del panels["flipped"]
    changes = table["change"].replace("nothing", "nothing (control)")
    names = table["system"] + " · " + changes + np.where(table["relevant"], ", relevant", "")
    size = (style.PAGE_WIDTH, 0.9 + 0.2 * len(table))
    figure, axes = plt.subplots(1, len(panels), figsize=size, layout="constrained", sharex=True)
    figure.get_layout_engine().set(w_pad=0.12)  # so that tick labels of neighbours do not touch
    for ax, (measure, title) in zip(axes, panels.items(), strict=True):
        style.forest(table, measure, [""] * len(table), {}, scale=style.PERCENT, ax=ax)
        ax.set(xlim=(-0.02, 1.02), title=title)
        for row in np.flatnonzero(table["system"].ne(table["system"].shift()))[1:]:
            ax.axhline(row - 0.5, color=style.GREY, lw=0.7)
    axes[0].set_yticks(range(len(names)), names, parse_math=False)
    counts = zip(table["n"], table["n_patients"], strict=True)
    texts = ["not shown" if pd.isna(n) else f"{n} ({patients})" for n, patients in counts]
    columns = {"n (patients)": texts}
    if "flipped" in panels:
        for name in ("lost", "gained"):
            columns[name] = table[name].map(style.percent(0), na_action="ignore").fillna("")
    style.add_columns(axes[-1], columns)
    style.add_notes(
        figure,
        "Share of n instructions, 95% interval over patients; lost, gained: verdicts "
        "that become wrong, or correct",
        "relevant: the right answer depends on what was rewritten" * bool(table["relevant"].any()),
    )
    return figure


def _shown(
    table: pd.DataFrame, is_tested: pd.Series | None = None
) -> tuple[pd.DataFrame, list[str]]:
    """The rows to draw, and notes on groups that are merged, missing or too small."""
    absent = table["group"] == "(not shown)"
    merged = table["suppressed"].ne("") & ~absent
    is_first = ~absent & ~table.duplicated(["grouping", "group"])
    groups = table[is_first]
    n = groups["n_patients"]
    rest = n.groupby(groups["grouping"]).transform("sum") - n
    is_small = (n < LEAST_TESTED) | rest.between(1, LEAST_TESTED - 1)
    few = groups[is_small if is_tested is None else is_small | ~is_tested[is_first]]
    names, counts = _names_and_counts(few)
    parts = {
        "small groups merged": table["grouping"][merged].unique(),
        "not shown, too small": table["grouping"][absent].unique(),
        "not drawn, too few patients with a value": [
            *map("{} ({})".format, names, counts["patients"])
        ],
    }
    texts = [f"{label}: {', '.join(groups)}" for label, groups in parts.items() if len(groups)]
    keys = pd.MultiIndex.from_frame(table[["grouping", "group"]])
    small = keys.isin(pd.MultiIndex.from_frame(few[["grouping", "group"]]))
    return table[~absent & ~small], texts


def _no_interval(shown: pd.DataFrame, name: str) -> str:
    few = shown[f"{name}_low"].isna().any()
    return f" (none: fewer than {LEAST_INTERVAL} patients)" if few else ""


def _no_groups(table: pd.DataFrame) -> str:
    n, n_instructions = table["n_patients"].max(), table["n_instructions"].max()
    asked = "" if pd.isna(n_instructions) else f", {n_instructions} instructions"
    return f"No groups are large enough to compare (n = {n} patients{asked})."


def _cell(gap: float, star: str, decimals: int) -> str:
    return "" if np.isnan(gap) else signed(gap, decimals) + star


def _names_and_counts(table: pd.DataFrame) -> tuple[list[str], dict[str, pd.Series]]:
    pairs = zip(table["grouping"], table["group"], strict=True)
    # In a pair of groupings, the group's name says enough.
    names = [group if " x " in grouping else f"{grouping}: {group}" for grouping, group in pairs]
    names = ["all patients" if name == "(all): (all)" else name for name in names]
    return names, {"patients": table["n_patients"], "instr.": table["n_instructions"]}
