"""Figures of metrics and their correlation with ratings."""

import textwrap

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from medalign_utils.outputs import DAGGER, UNVERIFIED
from medalign_utils.plots import style
from medalign_utils.plots.style import ORANGE, n_of, signed
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


@style.styled
def metric_correlation(
    table: pd.DataFrame, ax: Axes | None = None, *, ceiling: Interval | None = None
) -> Axes:
    """Return each metric's mean Kendall's tau with the ratings, the highest on top.

    `table` comes from `correlate_metrics`; metrics without scores are named below the figure.
    `ceiling` is the mean tau between raters, None or NaN with a single rater. A metric can exceed
    it: between raters both sides are noisy, between a metric and a rater only one is.
    """
    label = "Mean Kendall's tau-b with the ratings,\n95% interval"
    has_ceiling = ceiling is not None and np.isfinite(ceiling.estimate)
    if has_ceiling:
        label += f"; dashed: a second rater's,\n{_tau(ceiling)} (no strict ceiling)"
    scored = table.get("not_scored", pd.Series("", table.index)).fillna("").eq("")
    if not scored.all():
        names = ", ".join(_names(table["metric"][~scored]))
        label += "\n" + textwrap.fill(f"not scored: {names}", 52, break_on_hyphens=False)
    table = table[scored]
    texts = table["mean_tau"].map(style.decimals(2), na_action="ignore").fillna("")
    columns = {"tau": texts, "n": table["n"], "undefined": table["n_undefined"]}
    ax = style.forest(table, "mean_tau", _names(table["metric"]), columns, xlabel=label, ax=ax)
    if has_ceiling:
        ax.axvspan(ceiling.low, ceiling.high, color=ORANGE, alpha=0.15, lw=0, zorder=0)
        ax.axvline(ceiling.estimate, color=ORANGE, lw=1, ls="--", zorder=0)
    return ax


@style.styled
def published_correlation(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Return the paper's mean taus, marked as not re-verified.

    `table` comes from `evaluation.paper.metric_correlation`.
    """
    columns = {"mean_kendall_tau": "tau", "ci_low": "tau_low", "ci_high": "tau_high"}
    table = table.rename(columns=columns).sort_values("tau", ascending=False, kind="stable")
    label = "Mean Kendall's tau with the clinicians' ranks,\nwith its interval\n"
    texts = {"tau": table["tau"].map(style.decimals(2)) + DAGGER}
    label += f"{DAGGER} {UNVERIFIED}"
    return style.forest(table, "tau", table["metric"], texts, xlabel=label, ax=ax)


@style.styled
def metric_differences(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Return a heat map of differences in mean tau: the row's metric minus the column's.

    `table` comes from `compare_metrics`. Differences with p < 0.05 after Holm's method are bold.
    """
    metrics = pd.unique(pd.concat([table["metric_a"], table["metric_b"]]))
    values, p = (
        table.pivot(index="metric_a", columns="metric_b", values=name)
        .reindex(index=metrics, columns=metrics)
        .to_numpy(dtype=float)
        for name in ("difference", "p_holm")
    )
    largest = np.nanmax(np.abs(values), initial=0.01)
    n = f" (n = {n_of(table)})" if len(table) else ""
    significant = f"{'bold' if (p < 0.05).any() else 'none'}: p < 0.05 after Holm"
    ax = style.heat_map(
        values,
        np.vectorize(lambda value: signed(value, 2, "").replace("0.", "."), [object])(values),
        style.numbered(_names(metrics)),
        limits=(-2 * largest, 2 * largest),  # twice the range keeps the cells light
        xlabel=f"Mean tau-b of the row\nminus that of the column{n};\n{significant}",
        ax=ax or style.new_axes(0.9 + 0.24 * max(len(metrics), 1)),
        size=5.5,
    )
    for text, p_holm in zip(ax.texts, p[~np.isnan(values)], strict=True):
        text.set_weight("bold" if p_holm < 0.05 else "normal")
    return ax


def _names(metrics: pd.Series | np.ndarray) -> list[str]:
    return [METRIC_LABELS.get(metric, metric) for metric in metrics]


def _tau(interval: Interval) -> str:
    """The text of a tau, with its interval if it has one."""
    texts = [signed(tau, 2, "") for tau in interval]
    return f"{texts[0]} [{texts[1]}, {texts[2]}]" if np.isfinite(interval.low) else texts[0]
