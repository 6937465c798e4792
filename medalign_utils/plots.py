"""The figures: a table in, `Axes` out, one function each.

Without `ax` a figure is one column wide (3.4 in); pass an `Axes` of any other size, such as the
7 in of a page's full width. Colours (Okabe and Ito's, PuOr) stay apart for colour-blind readers.
"""

import textwrap
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter

from medalign_utils.errors import MedAlignError
from medalign_utils.published import DAGGER, UNVERIFIED
from medalign_utils.statistics import Interval

COLUMN_WIDTH, PAGE_WIDTH = 3.4, 7.0  # inches
NAME_WIDTH = 22  # characters; longer names of systems and metrics are wrapped
BLUE, ORANGE, GREY, LIGHT = "#0072B2", "#D55E00", "#666666", "#A6CEE3"
STYLE = {
    **sns.axes_style("ticks"),
    "font.family": "DejaVu Sans",  # comes with matplotlib, so that pictures agree across machines
    "font.size": 7.5,
    "axes.labelsize": 7.5,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7.5,
    "legend.fontsize": 7,
    "axes.linewidth": 0.7,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
}
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
METRIC_LABELS = {
    "bertscore": "BERTScore",
    "meteor": "METEOR",
    "meteor_no_wordnet": "METEOR (no WordNet)",
    "chrf": "chrF",
    "google_bleu": "GoogleBLEU",
    "rouge_l": "ROUGE-L",
    "bleurt": "BLEURT",
    "lens": "LENS",
    "unieval_relevance": "UniEval Relevance",
    "unieval_fluency": "UniEval Fluency",
    "unieval_coherence": "UniEval Coherence",
    "unieval_consistency": "UniEval Consistency",
    "unieval_overall": "UniEval Overall",
}

# In a notebook the backend, once loaded, has figures shown. Loaded by the first figure, within its
# rc_context, that would hold for this one figure only.
plt.switch_backend(mpl.get_backend())


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
def metric_correlation(
    table: pd.DataFrame, ax: Axes | None = None, *, ceiling: Interval | None = None
) -> Axes:
    """Mean Kendall's tau of each metric with the ratings, the highest on top.

    A metric that could not be scored has its reason in place of a point.

    Args:
        table: as `correlation.correlate_metrics` or `add_skipped` returns it.
        ax: where to draw; a figure one column wide if None.
        ceiling: the raters' mean tau with each other, drawn as a line in a band; None or NaN where
            the responses have one rater. It is what a second rater would reach on the instructions
            that have several; of a metric, only one side is noisy, so it can lie above.

    >>> ax = metric_correlation(pd.DataFrame({"metric": ["chrf"], "n": [9], "n_undefined": [1],
    ...     "mean_tau": [0.3], "tau_low": [0.2], "tau_high": [0.4]}))
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['chrF']
    >>> plt.close(ax.figure)
    """
    ax = ax or _new_axes(1.0 + 0.26 * len(table))
    names = [METRIC_LABELS.get(metric, metric) for metric in table["metric"]]
    _draw_intervals(ax, names, table[["mean_tau", "tau_low", "tau_high"]])
    ax.axvline(0, color=GREY, lw=0.7, zorder=0)
    label = "Mean Kendall's tau-b with the ratings,\n95% interval"
    if ceiling is not None and np.isfinite(ceiling.estimate):
        ax.axvspan(ceiling.low, ceiling.high, color=ORANGE, alpha=0.15, lw=0, zorder=0)
        ax.axvline(ceiling.estimate, color=ORANGE, lw=1, ls="--", zorder=0)
        label += f"; dashed: a second rater's,\n{_tau(ceiling)} (no strict ceiling)"
    ax.set_xlabel(label)
    reasons = table.get("not_scored", pd.Series("", index=table.index))
    reasons = reasons.fillna("").to_list()  # as CSV has the empty ones
    for row, reason in enumerate(reasons):
        if reason:
            text = textwrap.shorten(f"not scored: {reason}", 96, placeholder=" ...")
            ax.annotate(
                textwrap.fill(text, 48),
                (0.01, row),
                xycoords=ax.get_yaxis_transform(),
                va="center",
                fontsize=5.5,
                color=GREY,
                linespacing=1.0,
                parse_math=False,
                backgroundcolor="white",
            ).get_bbox_patch().set_boxstyle("square", pad=0.1)
    counts = zip(table["n"], table["n_undefined"], reasons, strict=True)
    shown = [("", "") if reason else (f"{n}", f"{undefined}") for n, undefined, reason in counts]
    _right_column(ax, "n", [n for n, _ in shown])
    _right_column(ax, "undefined", [undefined for _, undefined in shown], 68)
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
def published_correlation(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """The paper's mean Kendall's tau of each metric, marked as not re-verified.

    Args:
        table: as `published.metric_correlation` returns it.
        ax: where to draw; a figure one column wide if None.

    >>> ax = published_correlation(pd.DataFrame({"metric": ["chrF"], "mean_kendall_tau": [0.3],
    ...     "ci_low": [0.2], "ci_high": [0.4]}))
    >>> ax.get_xlabel().splitlines()[-1]
    '† transcribed, not re-verified'
    >>> plt.close(ax.figure)
    """
    table = table.sort_values("mean_kendall_tau", ascending=False, kind="stable")
    ax = ax or _new_axes(0.85 + 0.26 * len(table))
    _draw_intervals(ax, table["metric"], table[["mean_kendall_tau", "ci_low", "ci_high"]])
    ax.axvline(0, color=GREY, lw=0.7, zorder=0)
    ax.set_xlabel(
        f"Mean Kendall's tau with the clinicians' ranks,\nwith its interval\n{DAGGER} {UNVERIFIED}"
    )
    _right_column(ax, "tau", [f"{tau:.2f}{DAGGER}" for tau in table["mean_kendall_tau"]], 28)
    return ax


@mpl.rc_context(STYLE)
def side_by_side(*panels: tuple[Callable[..., Axes], pd.DataFrame, str]) -> Figure:
    """Figures beside each other, a page wide in all.

    Args:
        panels: for each the function that draws it, its table and its title.

    >>> figure = side_by_side((head_to_head, pd.DataFrame([[np.nan]], ["a"], ["a"]), "one system"))
    >>> figure.axes[0].get_title(loc="left")
    'one system'
    >>> plt.close(figure)
    """
    height = 1.3 + 0.26 * max(len(table) for _, table, _ in panels)
    figure, axes = plt.subplots(
        1, len(panels), figsize=(PAGE_WIDTH, height), layout="constrained", squeeze=False
    )
    for ax, (draw, table, title) in zip(axes.flat, panels, strict=True):
        draw(table, ax)
        # Above the headings of columns on the right.
        ax.set_title(textwrap.fill(title, 90 // len(panels)), fontsize=7.5, loc="left", pad=22)
    return figure


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


@mpl.rc_context(STYLE)
def metric_differences(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Heat map of each metric's mean tau (row) minus that of each worse one (column).

    Bold is what Holm's correction leaves below 0.05. Columns bear the rows' numbers.

    Args:
        table: as `correlation.compare_metrics` returns it.
        ax: where to draw; a figure one column wide if None.

    >>> ax = metric_differences(pd.DataFrame({"metric_a": ["chrf"], "metric_b": ["rouge_l"],
    ...     "n": [9], "difference": [0.3], "p_holm": [0.01]}))
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['chrF  1', 'ROUGE-L  2']
    >>> plt.close(ax.figure)
    """
    metrics = list(dict.fromkeys([*table["metric_a"], *table["metric_b"]]))
    at = {metric: i for i, metric in enumerate(metrics)}
    ax = ax or _new_axes(0.9 + 0.24 * max(len(metrics), 1))
    differences = np.full((len(metrics), len(metrics)), np.nan)
    for pair in table.to_dict("records"):
        i, j = at[pair["metric_a"]], at[pair["metric_b"]]
        differences[i, j] = pair["difference"]
        if pd.notna(pair["difference"]):
            text = f"{pair['difference']:.2f}".replace("0.", ".").replace("-", "\N{MINUS SIGN}")
            weight = "bold" if pair["p_holm"] < 0.05 else "normal"
            ax.text(j, i, text, ha="center", va="center", fontsize=5.5, weight=weight)
    largest = np.nanmax(np.abs(differences), initial=0.01)
    # Twice the range, so that the numbers stay black on light.
    ax.imshow(differences, cmap="PuOr_r", vmin=-2 * largest, vmax=2 * largest, aspect="auto")
    labels = [f"{_wrapped(METRIC_LABELS.get(m, m))}  {i}" for i, m in enumerate(metrics, start=1)]
    ax.set_yticks(range(len(metrics)), labels, linespacing=1.0, parse_math=False)
    ax.set_xticks(range(len(metrics)), range(1, len(metrics) + 1))
    ax.tick_params(length=0)
    n = f" (n = {_n(table)})" if len(table) else ""
    ax.set_xlabel(f"Mean tau-b of the row\nminus that of the column{n};\nbold: p < 0.05 after Holm")
    sns.despine(ax=ax, left=True, bottom=True)
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


@mpl.rc_context(STYLE)
def gaps_by_group(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Each group's gap in accuracy to the rest, as it is and adjusted, with 95 % intervals.

    Args:
        table: rows of one system as `fairness.audit` returns them for "correct", with the columns
            of `confounding.adjusted_gaps`.
        ax: where to draw; a figure one column wide if None.

    >>> ax = gaps_by_group(pd.DataFrame({"grouping": "gender", "group": ["F", "M"],
    ...     "n_patients": [90, 80], "n_instructions": [99, 88], "gap": [0.1, -0.1], "gap_low": 0,
    ...     "gap_high": 0, "adjusted_gap": [0.0, np.nan], "adjusted_low": 0, "adjusted_high": 0,
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
    adjusted = 100 * shown[["adjusted_gap", "adjusted_low", "adjusted_high"]].astype(float)
    ax.hlines(rows, adjusted["adjusted_low"], adjusted["adjusted_high"], color=ORANGE, lw=1)
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


def save(ax: Axes | Figure, path: Path | str) -> Path:
    """Write the figure as PNG and close it; the same figure gives the same bytes.

    Folders on the way are made. Returns the path.

    >>> import tempfile
    >>> ax = ehr_lengths([3000, 20000])
    >>> save(ax, Path(tempfile.mkdtemp()) / "lengths.png").name
    'lengths.png'
    """
    figure = ax if isinstance(ax, Figure) else ax.figure
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # matplotlib would write its version into the file.
    figure.savefig(path, format="png", dpi=300, metadata={"Software": None})
    plt.close(figure)
    return path


def _new_axes(height: float) -> Axes:
    _, ax = plt.subplots(figsize=(COLUMN_WIDTH, height), layout="constrained")
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


def _draw_intervals(ax: Axes, names: Sequence[str], intervals: pd.DataFrame) -> None:
    """One row a name: a point with its interval; columns are estimate, low, high."""
    estimate, low, high = intervals.to_numpy(dtype=float).T
    rows = np.arange(len(estimate))
    ax.hlines(rows, low, high, color=BLUE, lw=1.5)
    ax.plot(estimate, rows, "o", color=BLUE, ms=4.5, clip_on=False)
    _name_rows(ax, names)
    ax.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    ax.grid(axis="x", color="#E5E5E5", lw=0.6)
    ax.set_axisbelow(True)


def _name_rows(ax: Axes, names: Sequence[str], *, wrap: bool = True) -> None:
    # Names come from data, where a dollar sign is no formula.
    labels = [_wrapped(name) for name in names] if wrap else names
    ax.set_yticks(range(len(names)), labels, linespacing=1.0, parse_math=False)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)
    sns.despine(ax=ax, left=True)


def _right_column(
    ax: Axes, heading: str, texts: Sequence[str], offset: float = 24, shift: float = 0
) -> None:
    """A column of the table right of the axes; `offset` is its right edge's distance in points.

    `shift` is where the first row lies, in rows.
    """
    style = {
        "xycoords": ax.get_yaxis_transform(),
        "xytext": (offset, 0),
        "textcoords": "offset points",
        "ha": "right",
        "fontsize": 7,
    }
    ax.annotate(heading, (1, shift - 0.6), va="bottom", color=GREY, **style)
    for row, text in enumerate(texts):
        ax.annotate(text, (1, row + shift), va="center", **style)


def _wrapped(name: str) -> str:
    return textwrap.fill(name, NAME_WIDTH, break_long_words=False)


def _n(table: pd.DataFrame) -> str:
    """The rows' common n, or its range."""
    fewest, most = table["n"].min(), table["n"].max()
    return f"{fewest}" if fewest == most else f"{fewest} to {most}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}%"


def _tau(interval: Interval) -> str:
    """A tau with its interval, if it has one, with true minus signs."""
    text = f"{interval.estimate:.2f}"
    if np.isfinite(interval.low):
        text += f" [{interval.low:.2f}, {interval.high:.2f}]"
    return text.replace("-", "\N{MINUS SIGN}")


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
