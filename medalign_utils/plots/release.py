"""Figures of a release: its records, instructions and curation."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from medalign_utils.errors import MedAlignError
from medalign_utils.plots import style
from medalign_utils.plots.style import (
    BLUE,
    COUNT,
    DARK_ORANGE,
    GREY,
    ORANGE,
    n_of,
    name_rows,
    new_axes,
    wrapped,
)


@style.styled
def ehr_lengths(
    lengths: Sequence[int] | pd.Series, ax: Axes | None = None, *, contexts: Sequence[int] = ()
) -> Axes:
    """Return a histogram of EHR lengths in tokens, with context lengths as reference lines."""
    lengths = np.asarray(lengths, dtype=float)
    if not lengths.size or not (lengths > 0).all():
        raise MedAlignError("ehr_lengths: expected at least one length, all above 0 tokens")
    ax = ax or new_axes(2.1)
    edges = _bins(lengths)
    ax.set_xscale("log", base=2)
    counts, _ = np.histogram(lengths, edges)
    left, right = edges[:-1] * 1.02, edges[1:] / 1.02
    ax.bar(left, counts, right - left, align="edge", color=BLUE)
    for place, n in zip(np.sqrt(left * right), counts, strict=True):
        ax.annotate(
            f"{n}", (place, n), xytext=(0, 3), textcoords="offset points", ha="center",
            bbox={"facecolor": "white", "pad": 0.8},  # a dashed line may pass behind it
        )  # fmt: skip
    ax.set_xticks(edges[:: -(-len(edges) // 6)])
    ax.xaxis.set_major_formatter(COUNT)
    ax.minorticks_off()
    for tokens in contexts:
        ax.axvline(tokens, color=ORANGE, lw=1, ls="--")
        ax.annotate(
            f"{tokens:,}:\n{(lengths < tokens).sum()} shorter", (tokens, 1), xytext=(0, 2),
            xycoords=ax.get_xaxis_transform(), textcoords="offset points", ha="center",
            color=DARK_ORANGE, linespacing=1.0,
        )  # fmt: skip
    ax.set_ylim(0, 1.15 * counts.max())
    ax.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    ax.set_ylabel("EHRs")
    counted = f"n = {len(lengths)} EHRs, median {np.median(lengths):,.0f}"
    note = "dashed: a context length, with the number of EHRs shorter than it"
    style.label_x(ax, f"EHR length in tokens ({counted})", note * bool(len(contexts)))
    sns.despine(ax=ax)
    return ax


def _bins(lengths: np.ndarray) -> np.ndarray:
    """Return edges a power of 2 apart, as wide as it takes for 8 records per bin on average."""
    logs = np.log2(lengths)
    for octaves in (0.5, 1, 2, 4):
        first, last = np.floor(logs.min() / octaves), np.floor(logs.max() / octaves) + 1
        if len(lengths) >= 8 * (last - first):
            break
    return 2 ** (octaves * np.arange(first, last + 1))


@style.styled
def instructions_by(table: pd.DataFrame, column: str, ax: Axes | None = None) -> Axes:
    """Return the numbers of instructions with and without a reference, the largest on top.

    `table` has `column` ("category" or "specialty"), with_reference and all. If it also has
    published_with_reference and published_all, the paper's numbers are shown on the right. A dash
    stands for missing numbers, as of a category that only one side has.
    """
    ax = ax or new_axes(0.85 + 0.24 * len(table))
    table = table.sort_values("all", ascending=False, kind="stable")
    rows = np.arange(len(table))
    is_drawn = table["all"].notna().to_numpy()
    given, asked = table.loc[is_drawn, "with_reference"], table.loc[is_drawn, "all"]
    outline = {"facecolor": "white", "edgecolor": BLUE, "lw": 0.7}
    ax.barh(rows[is_drawn], asked - given, left=given, height=0.7, label="without", **outline)
    ax.barh(
        rows[is_drawn], given, height=0.7, label="with reference", **outline | {"facecolor": BLUE}
    )
    name_rows(ax, table[column].map(wrapped))
    ax.set_xlim(0, 1.02 * asked.max())
    ax.xaxis.set_major_locator(MaxNLocator(3, integer=True))
    columns = {"with\nreference": _parts(table["with_reference"], table["all"])}
    if "published_all" in table:
        texts = _parts(table["published_with_reference"], table["published_all"])
        columns[f"in the paper\n(n = {table['published_all'].sum()})"] = texts
    style.add_columns(ax, columns)
    n = f"n = {asked.sum()}, {given.sum()} with a reference"
    style.label_x(ax, f"Instructions ({n})")
    ax.legend(
        *(handles[::-1] for handles in ax.get_legend_handles_labels()),
        loc="lower left", bbox_to_anchor=(0, 1), borderpad=0, borderaxespad=0.2,
        handletextpad=0.4, handlelength=1, handleheight=0.8, labelspacing=0.2,
    )  # fmt: skip
    return ax


def _parts(some: pd.Series, of: pd.Series) -> list[str]:
    """Return texts such as "3 of 5", with a dash where numbers are missing."""
    pairs = zip(some, of, strict=True)
    return ["–" if pd.isna(n) else f"{part} of {n}" for part, n in pairs]


@style.styled
def event_years(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Return the number of events per calendar year; `table` has year and events.

    If it has last_year too, its rows are bands of years. Those without a bound are not drawn.
    """
    ax = ax or new_axes(2.0)
    last = table.get("last_year", table["year"])
    is_drawn = (table["year"].notna() & last.notna()).to_numpy()
    drawn, last = table[is_drawn].astype({"year": float}), last[is_drawn].astype(float)
    years = last - drawn["year"] + 1
    ax.bar((drawn["year"] + last) / 2, drawn["events"] / years, color=BLUE, width=years - 0.2)
    ax.xaxis.set_major_locator(MaxNLocator(7, integer=True))
    ax.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    ax.yaxis.set_major_formatter(COUNT)
    ax.set_ylabel("Events per year")
    more = table.loc[~is_drawn, "events"].sum()
    note = f"not drawn: {more:,} in earlier or later years" * bool(more)
    style.label_x(ax, f"Calendar year (n = {table['events'].sum():,} events)", note)
    sns.despine(ax=ax)
    return ax


@style.styled
def note_types(table: pd.DataFrame, ax: Axes | None = None, *, most: int = 12) -> Axes:
    """Return the number of notes of each type, the most common on top.

    `table` has note (the type), notes and, unless types are merged, patients. The `most` common
    types are drawn; the label counts the others.
    """
    table = table.sort_values("notes", ascending=False, kind="stable")
    drawn, rest = table[:most], table[most:]
    ax = ax or new_axes(0.8 + 0.22 * len(drawn))
    ax.barh(np.arange(len(drawn)), drawn["notes"], color=BLUE, height=0.7)
    name_rows(ax, drawn["note"].map(wrapped))
    ax.xaxis.set_major_locator(MaxNLocator(3, integer=True))
    ax.xaxis.set_major_formatter(COUNT)
    columns = [name for name in ("notes", "patients") if name in drawn]
    style.add_columns(ax, {name: drawn[name].map("{:,}".format) for name in columns})
    types = "type" if len(rest) == 1 else "types"
    more = f"not drawn: {len(rest)} more {types} with {rest['notes'].sum():,} notes"
    style.label_x(ax, f"Notes (n = {table['notes'].sum():,})", more * bool(len(rest)))
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
    counted = "" if pd.isna(duplicates) else f", {duplicates:,} of them duplicates"
    style.label_x(
        ax,
        f"ROUGE-L threshold (n = {submitted:,} instructions)",
        f"{submitted:,} submitted instructions{counted}" * bool(counted),
        "" if threshold is None else f"dotted: {threshold:g}, the threshold of this run",
    )
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3, columnspacing=1.2)
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
    ax = style.forest(
        table,
        "recall",
        names,
        columns,
        xlabel=f"Instructions (n = {n_of(table)})",
        notes=[
            f"whose patient is among the first of {table['pool'].max()} records; 95% interval "
            "over patients; diamond: random order"
        ],
        scale=style.PERCENT,
        ax=ax,
    )
    ax.set_xlim(0, max(ax.get_xlim()[1], min(1.0, 1.08 * table["random"].max())))
    style.add_diamonds(ax, table, "random")
    return ax
