"""Figures of a release: its records, instructions and curation."""

from collections.abc import Sequence
from datetime import datetime

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter

from medalign_utils.errors import MedAlignError
from medalign_utils.plots.style import (
    BLUE,
    GREY,
    LIGHT,
    ORANGE,
    STYLE,
    _draw_intervals,
    _n,
    _name_rows,
    _new_axes,
    _percent,
    _right_column,
)

# By type of event, in the order of a timeline's rows.
EVENT_COLOURS = {
    "visit": "#000000",
    "visit_detail": "#666666",
    "condition": "#D55E00",
    "procedure": "#AA4499",
    "drug_exposure": "#007A5A",
    "device_exposure": "#882255",
    "measurement": "#B87A00",
    "observation": "#2A8FCB",
    "image": "#44679F",
    "note": "#0072B2",
    "death": "#000000",
}


@mpl.rc_context(STYLE)
def ehr_lengths(
    lengths: Sequence[int] | pd.Series, ax: Axes | None = None, *, contexts: Sequence[int] = ()
) -> Axes:
    """Histogram of EHR lengths in tokens, on a logarithmic axis.

    Args:
        lengths: tokens of each EHR, all above 0.
        ax: where to draw; a figure one column wide if None.
        contexts: context lengths in tokens, drawn as reference lines with the number of EHRs
            shorter than that.

    Raises:
        MedAlignError: without lengths, or with one of 0 tokens or fewer.

    >>> ax = ehr_lengths([3000, 20000, 200000], contexts=[8192])
    >>> ax.get_xlabel().splitlines()[0]
    'EHR length in tokens (n = 3 EHRs, median 20,000)'
    >>> plt.close(ax.figure)
    """
    lengths = np.asarray(lengths, dtype=float)
    if not lengths.size or not (lengths > 0).all():
        raise MedAlignError("ehr_lengths: no lengths, or one that is not above 0 tokens")
    ax = ax or _new_axes(2.3)
    # Bins of one octave, so that context lengths, mostly powers of two, fall on their edges.
    octaves = np.arange(np.floor(np.log2(lengths.min())), np.floor(np.log2(lengths.max())) + 2)
    ax.set_xscale("log", base=2)
    ax.hist(lengths, bins=2**octaves, color=BLUE, edgecolor="white", lw=0.8)
    ax.set_xticks(2 ** octaves[octaves % 2 == 1])
    ax.xaxis.set_major_formatter(FuncFormatter(lambda tokens, _: f"{tokens:,.0f}"))
    ax.minorticks_off()
    for tokens in contexts:
        ax.axvline(tokens, color=ORANGE, lw=1, ls="--")
        ax.annotate(
            f"{tokens:,}:\n{(lengths < tokens).sum()} shorter",
            (tokens, 1),
            xycoords=ax.get_xaxis_transform(),
            xytext=(0, 2),
            textcoords="offset points",
            ha="center",
            fontsize=6.5,
            color=ORANGE,
        )
    ax.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    ax.set_ylabel("EHRs")
    median = np.median(lengths)
    note = "\ndashed: context length and the EHRs shorter than it" if len(contexts) else ""
    ax.set_xlabel(f"EHR length in tokens (n = {len(lengths)} EHRs, median {median:,.0f}){note}")
    sns.despine(ax=ax)
    return ax


@mpl.rc_context(STYLE)
def categories(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Number of instructions by category, with and without a reference, the largest on top.

    Args:
        table: category; with_reference and all, numbers of instructions. Where it has
            published_with_reference and published_all, the paper's numbers stand on the right.
        ax: where to draw; a figure one column wide if None.

    >>> ax = categories(pd.DataFrame({"category": ["Other"], "with_reference": [41], "all": [75]}))
    >>> ax.get_xlabel().splitlines()
    ['Instructions (n = 75,', '41 with a reference)']
    >>> plt.close(ax.figure)
    """
    return _with_and_without(table, "category", ax)


@mpl.rc_context(STYLE)
def specialties(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Number of instructions by their submitters' specialty, the largest on top.

    Args:
        table: specialty; with_reference and all, numbers of instructions.
        ax: where to draw; a figure one column wide if None.

    >>> ax = specialties(pd.DataFrame({"specialty": ["ICU"], "with_reference": [4], "all": [7]}))
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['ICU']
    >>> plt.close(ax.figure)
    """
    return _with_and_without(table, "specialty", ax)


@mpl.rc_context(STYLE)
def event_years(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Number of events in each calendar year.

    Args:
        table: year, events, patients (who have one), as `explore.explore_records` returns it.
        ax: where to draw; a figure one column wide if None.

    >>> ax = event_years(pd.DataFrame({"year": [2013, 2014], "events": [5, 7], "patients": 1}))
    >>> ax.get_xlabel()
    'Calendar year (n = 12 events)'
    >>> plt.close(ax.figure)
    """
    ax = ax or _new_axes(2.0)
    ax.bar(table["year"], table["events"], color=BLUE, width=0.8)
    ax.xaxis.set_major_locator(MaxNLocator(7, integer=True))
    ax.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda n, _: f"{n:,.0f}"))
    ax.set_ylabel("Events a year")
    ax.set_xlabel(f"Calendar year (n = {table['events'].sum():,} events)")
    sns.despine(ax=ax)
    return ax


@mpl.rc_context(STYLE)
def note_types(table: pd.DataFrame, ax: Axes | None = None, *, most: int = 12) -> Axes:
    """Number of notes of each type, the commonest on top.

    Args:
        table: note, notes, patients (who have one), as `explore.explore_records` returns it.
        ax: where to draw; a figure one column wide if None.
        most: types drawn; the label says how many more there are.

    >>> table = pd.DataFrame({"note": ["Progress note", "Letter"], "notes": [5, 2], "patients": 2})
    >>> ax = note_types(table, most=1)
    >>> ax.get_xlabel().splitlines()
    ['Notes (n = 7; 1 more type', 'with 2 notes not drawn)']
    >>> plt.close(ax.figure)
    """
    table = table.sort_values("notes", ascending=False, kind="stable")
    drawn, rest = table[:most], table[most:]
    ax = ax or _new_axes(0.8 + 0.22 * len(drawn))
    ax.barh(np.arange(len(drawn)), drawn["notes"], color=BLUE, height=0.7)
    _name_rows(ax, drawn["note"])
    ax.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda n, _: f"{n:,.0f}"))
    _right_column(ax, "notes", [f"{n:,}" for n in drawn["notes"]])
    _right_column(ax, "patients", [f"{n:,}" for n in drawn["patients"]], 62)
    more = ""
    if len(rest):
        types = "type" if len(rest) == 1 else "types"
        more = f"; {len(rest)} more {types}\nwith {rest['notes'].sum():,} notes not drawn"
    ax.set_xlabel(f"Notes (n = {table['notes'].sum():,}{more})")
    return ax


@mpl.rc_context(STYLE)
def timeline(
    events: pd.DataFrame,
    ax: Axes | None = None,
    *,
    hits: Sequence = (),
    shown: pd.Timestamp | None = None,
) -> Axes:
    """When one patient's events were: a row for the encounters, and a row a type of event.

    One mark stands for all events of a type on a day, so that long records stay quick to draw.

    Args:
        events: timestamp, encounter, type, as `ehr.read_events` returns them; "person" rows are
            not drawn.
        ax: where to draw; a figure one column wide if None.
        hits: timestamps of what a search found, marked above the rows.
        shown: the timestamp of what is being read, a line across all rows.

    >>> events = pd.DataFrame({"timestamp": pd.to_datetime(["2014-08-10", "2015-01-02"]),
    ...     "encounter": [0, 1], "type": ["note", "measurement"]})
    >>> ax = timeline(events)
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['encounter (2)', 'measurement (1)', 'note (1)']
    >>> plt.close(ax.figure)
    """
    events = events[events["type"] != "person"]
    counts = events["type"].value_counts()
    order = [name for name in EVENT_COLOURS if name in counts]
    order += sorted(set(counts.index) - set(order))
    ax = ax or _new_axes(1.0 + 0.2 * len(order))
    starts = events.groupby("encounter")["timestamp"].min()
    rows = [(f"encounter ({len(starts):,})", starts, "black")]
    days = events["timestamp"].dt.normalize()
    for name in order:
        of_type = days[events["type"] == name].drop_duplicates()
        rows.append((f"{name} ({counts[name]:,})", of_type, EVENT_COLOURS.get(name, GREY)))
    for row, (_, moments, colour) in enumerate(rows):
        # As markers, which are drawn much faster than as many lines.
        ax.plot(moments, np.full(len(moments), row), "|", color=colour, ms=9, mew=0.8)
    ax.set_yticks(range(len(rows)), [name for name, _, _ in rows], parse_math=False)
    ax.tick_params(axis="y", length=0)
    sns.despine(ax=ax, left=True)
    for label, (_, _, colour) in zip(ax.get_yticklabels(), rows, strict=True):
        label.set_color(colour)
    ax.set_ylim(len(rows) - 0.5, -0.5)
    if len(hits):
        heights = np.full(len(hits), -0.65)
        ax.plot(hits, heights, "v", color=ORANGE, ms=4, clip_on=False, label="with hits")
    if shown is not None:
        ax.axvline(shown, color=ORANGE, lw=1.2, zorder=3, label="shown below")
    if len(hits) or shown is not None:
        ax.legend(loc="lower left", bbox_to_anchor=(0, 1.02), ncols=2, frameon=False, borderpad=0)
    # Margins may lead beyond the years that a date can have.
    ax.set_xlim(*np.clip(ax.get_xlim(), *date2num([datetime.min, datetime(9999, 12, 31, 23, 59)])))
    locator = AutoDateLocator(minticks=3, maxticks=8)
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    ax.grid(axis="x", color="#E5E5E5", lw=0.6)
    ax.set_axisbelow(True)
    ax.set_xlabel(f"n = {len(events):,} events; one mark a day")
    return ax


@mpl.rc_context(STYLE)
def deduplication(
    table: pd.DataFrame, ax: Axes | None = None, *, threshold: float | None = None
) -> Axes:
    """Precision and recall of deduplication, and the share it drops, against its threshold.

    Args:
        table: as `matching.assess_thresholds` returns it; without known duplicates only the share
            that is dropped is drawn.
        ax: where to draw; a figure one column wide if None.
        threshold: the one that was chosen, drawn as a dotted line.

    >>> ax = deduplication(pd.DataFrame({"threshold": [0.6, 0.8], "submitted": 9, "duplicates": 3,
    ...     "dropped": [4, 2], "precision": [0.5, 1.0], "recall": [0.9, 0.6]}))
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['precision', 'recall', 'dropped']
    >>> plt.close(ax.figure)
    """
    ax = ax or _new_axes(2.5)
    shares = table.assign(share_dropped=table["dropped"] / table["submitted"])
    for column, label, style in (
        ("precision", "precision", {"color": BLUE, "marker": "o"}),
        ("recall", "recall", {"color": ORANGE, "marker": "s"}),
        ("share_dropped", "dropped", {"color": GREY, "marker": "^", "ls": "--"}),
    ):
        if shares[column].notna().any():
            ax.plot(shares["threshold"], shares[column], lw=1, ms=3.5, label=label, **style)
    if threshold is not None:
        ax.axvline(threshold, color=GREY, lw=0.8, ls=":", zorder=0)
    ax.set_ylim(0, 1.03)
    ax.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    submitted, duplicates = table["submitted"].max(), table["duplicates"].max()
    known = "of the dropped, of the\nduplicates, " if pd.notna(duplicates) else ""
    ax.set_ylabel(f"Share {known}of all submitted")
    counted = "" if pd.isna(duplicates) else f",\n{duplicates:,} of them duplicates"
    note = "" if threshold is None else f"; dotted: {threshold:g}"
    ax.set_xlabel(f"ROUGE-L threshold (n = {submitted:,} instructions{counted}{note})")
    ax.legend(
        loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3, frameon=False, columnspacing=1.2
    )
    sns.despine(ax=ax)
    return ax


@mpl.rc_context(STYLE)
def match_recall(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Share of instructions whose patient is among the first k records, beside random pairing.

    Args:
        table: as `matching.recall_table` returns it.
        ax: where to draw; a figure one column wide if None.

    >>> ax = match_recall(pd.DataFrame({"k": [1, 5], "n": 9, "pool": 24, "recall": [0.2, 0.6],
    ...     "recall_low": [0.1, 0.4], "recall_high": [0.3, 0.8], "random": [1 / 24, 5 / 24]}))
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['first record', 'first 5 records']
    >>> plt.close(ax.figure)
    """
    ax = ax or _new_axes(1.0 + 0.26 * len(table))
    names = ["first record" if k == 1 else f"first {k} records" for k in table["k"]]
    _draw_intervals(ax, names, table[["recall", "recall_low", "recall_high"]])
    ax.plot(
        *(table["random"], range(len(table)), "D"), color=ORANGE, mfc="white", ms=4, clip_on=False
    )
    highest = np.nanmax(table[["recall", "recall_high", "random"]].to_numpy())
    ax.set_xlim(0, min(1.0, 1.08 * highest))
    ax.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    pool = table["pool"].max()
    ax.set_xlabel(
        "Instructions whose patient is found, 95% interval;\n"
        f"diamond: random pairing (n = {_n(table)}, {pool} records)"
    )
    _right_column(ax, "BM25", [_percent(share) for share in table["recall"]], 30)
    _right_column(ax, "random", [_percent(share) for share in table["random"]], 64)
    return ax


def _with_and_without(table: pd.DataFrame, column: str, ax: Axes | None) -> Axes:
    """Instructions by `column`, in bars parted by whether there is a reference."""
    ax = ax or _new_axes(0.95 + 0.26 * len(table))
    table = table.sort_values("all", ascending=False, kind="stable")
    rows = np.arange(len(table))
    without = table["all"] - table["with_reference"]
    ax.barh(rows, table["with_reference"], color=BLUE, height=0.7, label="with reference")
    ax.barh(rows, without, left=table["with_reference"], color=LIGHT, height=0.7, label="without")
    _name_rows(ax, table[column])
    counts = table[["with_reference", "all"]].itertuples(index=False, name=None)
    for row, (referenced, total) in enumerate(counts):
        ax.annotate(
            f"{referenced} of {total}",
            (total, row),
            xytext=(3, 0),
            textcoords="offset points",
            va="center",
            fontsize=6.5,
        )
    ax.set_xlim(0, 1.45 * table["all"].max())
    ax.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    referenced, total = table["with_reference"].sum(), table["all"].sum()
    ax.set_xlabel(f"Instructions (n = {total},\n{referenced} with a reference)")
    if "published_all" in table:
        published = table[["published_with_reference", "published_all"]]
        texts = [f"{some} of {every}" for some, every in published.itertuples(index=False)]
        total = published.sum()
        heading = f"in the paper\n(n = {total.iloc[1]})"
        _right_column(ax, heading, texts, 50)
    ax.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=2,
        frameon=False,
        borderpad=0,
        columnspacing=0.8,
        handletextpad=0.4,
        handlelength=1,
        handleheight=0.8,
    )
    return ax
