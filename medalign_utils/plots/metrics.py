"""Figures of metrics: correlation with ratings."""

import textwrap

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

from medalign_utils.evaluation.paper import DAGGER, UNVERIFIED
from medalign_utils.plots.style import (
    GREY,
    ORANGE,
    STYLE,
    _draw_intervals,
    _n,
    _new_axes,
    _right_column,
    _wrapped,
)
from medalign_utils.stats.bootstrap import Interval

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
    ...     "mean_tau": [0.3], "mean_tau_low": [0.2], "mean_tau_high": [0.4]}))
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['chrF']
    >>> plt.close(ax.figure)
    """
    ax = ax or _new_axes(1.0 + 0.26 * len(table))
    names = [METRIC_LABELS.get(metric, metric) for metric in table["metric"]]
    _draw_intervals(ax, names, table[["mean_tau", "mean_tau_low", "mean_tau_high"]])
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


def _tau(interval: Interval) -> str:
    """A tau with its interval, if it has one, with true minus signs."""
    text = f"{interval.estimate:.2f}"
    if np.isfinite(interval.low):
        text += f" [{interval.low:.2f}, {interval.high:.2f}]"
    return text.replace("-", "\N{MINUS SIGN}")
