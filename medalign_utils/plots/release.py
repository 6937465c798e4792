"""Figures of a release: its records, instructions and curation."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from medalign_utils.errors import MedAlignError
from medalign_utils.plots import style
from medalign_utils.plots.style import BLUE, COUNT, GREY, ORANGE, n_of, name_rows, new_axes, wrapped


@style.styled
def ehr_lengths(
    lengths: Sequence[int] | pd.Series, ax: Axes | None = None, *, contexts: Sequence[int] = ()
) -> Axes:
    """Return a histogram of EHR lengths in tokens, with context lengths as reference lines."""
    lengths = np.asarray(lengths, dtype=float)
    if not lengths.size or not (lengths > 0).all():
        raise MedAlignError("ehr_lengths: expected at least one length, all above 0 tokens")
    ax = ax or new_axes(2.3)
    # Bins are one octave wide: context lengths, mostly powers of two, fall on their edges.
    octaves = np.arange(np.floor(np.log2(lengths.min())), np.floor(np.log2(lengths.max())) + 2)
    ax.set_xscale("log", base=2)
    ax.hist(lengths, bins=2**octaves, color=BLUE, edgecolor="white", lw=0.8)
    ax.set_xticks(2 ** octaves[octaves % 2 == 1])
    ax.xaxis.set_major_formatter(COUNT)
    ax.minorticks_off()
    for tokens in contexts:
        ax.axvline(tokens, color=ORANGE, lw=1, ls="--")
        ax.annotate(
            f"{tokens:,}:\n{(lengths < tokens).sum()} shorter", (tokens, 1), xytext=(0, 2),
            xycoords=ax.get_xaxis_transform(), textcoords="offset points", ha="center",
            fontsize=6.5, color=ORANGE,
        )  # fmt: skip
    ax.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    ax.set_ylabel("EHRs")
    note = "\ndashed: context length and the EHRs shorter than it" if len(contexts) else ""
    counted = f"n = {len(lengths)} EHRs, median {np.median(lengths):,.0f}"
    ax.set_xlabel(f"EHR length in tokens ({counted}){note}")
    sns.despine(ax=ax)
    return ax


@style.styled
def instructions_by(table: pd.DataFrame, column: str, ax: Axes | None = None) -> Axes:
    """Return the numbers of instructions with and without a reference, the largest on top.

    `table` has `column` ("category" or "specialty"), with_reference and all. If it also has
    published_with_reference and published_all, the paper's numbers are shown on the right.
    """
    ax = ax or new_axes(0.95 + 0.26 * len(table))
    table = table.sort_values("all", ascending=False, kind="stable")
    rows = np.arange(len(table))
    given, light = table["with_reference"], style.LIGHT
    ax.barh(rows, given, color=BLUE, height=0.7, label="with reference")
    ax.barh(rows, table["all"] - given, left=given, color=light, height=0.7, label="without")
    name_rows(ax, table[column].map(wrapped))
    counts = given.map("{} of ".format) + table["all"].map(str)
    ax.bar_label(ax.containers[1], counts, padding=3, fontsize=6.5)
    ax.set_xlim(0, 1.45 * table["all"].max())
    ax.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    ax.set_xlabel(f"Instructions (n = {table['all'].sum()},\n{given.sum()} with a reference)")
    if "published_all" in table:
        texts = table["published_with_reference"].map("{} of ".format)
        texts += table["published_all"].map(str)
        style.add_columns(ax, {f"in the paper\n(n = {table['published_all'].sum()})": texts})
    ax.legend(
        loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False, borderpad=0,
        columnspacing=0.8, handletextpad=0.4, handlelength=1, handleheight=0.8, fontsize=6.5,
    )  # fmt: skip
    return ax


@style.styled
def event_years(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Return the number of events per calendar year; `table` has year and events."""
    ax = ax or new_axes(2.0)
    ax.bar(table["year"], table["events"], color=BLUE, width=0.8)
    ax.xaxis.set_major_locator(MaxNLocator(7, integer=True))
    ax.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    ax.yaxis.set_major_formatter(COUNT)
    ax.set_ylabel("Events per year")
    ax.set_xlabel(f"Calendar year (n = {table['events'].sum():,} events)")
    sns.despine(ax=ax)
    return ax


@style.styled
def note_types(table: pd.DataFrame, ax: Axes | None = None, *, most: int = 12) -> Axes:
    """Return the number of notes of each type, the most common on top.

    `table` has note (the type), notes and patients. The `most` common types are drawn; the label
    counts the others.
    """
    table = table.sort_values("notes", ascending=False, kind="stable")
    drawn, rest = table[:most], table[most:]
    ax = ax or new_axes(0.8 + 0.22 * len(drawn))
    ax.barh(np.arange(len(drawn)), drawn["notes"], color=BLUE, height=0.7)
    name_rows(ax, drawn["note"].map(wrapped))
    ax.xaxis.set_major_locator(MaxNLocator(3, integer=True))
    ax.xaxis.set_major_formatter(COUNT)
    style.add_columns(ax, {name: drawn[name].map("{:,}".format) for name in ("notes", "patients")})
    more = ""
    if len(rest):
        types = "type" if len(rest) == 1 else "types"
        more = f"; {len(rest)} more {types}\nwith {rest['notes'].sum():,} notes not drawn"
    ax.set_xlabel(f"Notes (n = {table['notes'].sum():,}{more})")
    return ax


@style.styled
def deduplication(
    table: pd.DataFrame, ax: Axes | None = None, *, threshold: float | None = None
) -> Axes:
    """Return precision and recall of deduplication, and the share dropped, by threshold.

    `table` comes from `assess_thresholds`; if duplicates are not known, only the share dropped is
    drawn. A dotted line marks the chosen `threshold`.
    """
    ax = ax or new_axes(2.5)
    shares = table.assign(dropped=table["dropped"] / table["submitted"])
    looks = {"precision": (BLUE, "o-"), "recall": (ORANGE, "s-"), "dropped": (GREY, "^--")}
    for column, (colour, look) in looks.items():
        if shares[column].notna().any():
            ax.plot("threshold", column, look, data=shares, color=colour, lw=1, ms=3.5)
    if threshold is not None:
        ax.axvline(threshold, color=GREY, lw=0.8, ls=":", zorder=0)
    ax.set_ylim(0, 1.03)
    ax.yaxis.set_major_formatter(style.PERCENT)
    submitted, duplicates = table["submitted"].max(), table["duplicates"].max()
    known = "Precision, recall and share" if pd.notna(duplicates) else "Share"
    ax.set_ylabel(f"{known} dropped")
    counted = "" if pd.isna(duplicates) else f",\n{duplicates:,} of them duplicates"
    note = "" if threshold is None else f"; dotted: {threshold:g}"
    ax.set_xlabel(f"ROUGE-L threshold (n = {submitted:,} instructions{counted}{note})")
    ax.legend(
        loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3, frameon=False, columnspacing=1.2
    )
    sns.despine(ax=ax)
    return ax


@style.styled
def match_recall(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Return the share of instructions whose patient is among the first k records.

    `table` comes from `recall_table`; diamonds show random pairing.
    """
    names = ["first record" if k == 1 else f"first {k} records" for k in table["k"]]
    headings = {"BM25": "recall", "random": "random"}
    columns = {heading: table[name].map(style.percent(1)) for heading, name in headings.items()}
    label = "Instructions whose patient is found, 95% interval;\n"
    label += f"diamond: random pairing (n = {n_of(table)}, {table['pool'].max()} records)"
    ax = style.forest(table, "recall", names, columns, xlabel=label, scale=style.PERCENT, ax=ax)
    ax.set_xlim(0, max(ax.get_xlim()[1], min(1.0, 1.08 * table["random"].max())))
    style.add_diamonds(ax, table, "random")
    return ax
