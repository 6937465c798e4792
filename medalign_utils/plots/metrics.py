"""Figures of metrics and their correlation with ratings."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from medalign_utils.evaluation.paper import run_name
from medalign_utils.metrics.base import metric_labels
from medalign_utils.outputs import DAGGER, UNVERIFIED
from medalign_utils.plots import style
from medalign_utils.plots.heat_map import heat_map
from medalign_utils.plots.style import ORANGE, n_of, signed
from medalign_utils.stats.bootstrap import Interval

_TAU = "Mean Kendall's tau-b with the ratings"


@style.styled
def metric_correlation(
    table: pd.DataFrame, ax: Axes | None = None, *, ceiling: Interval | None = None
) -> Axes:
    """Return each metric's mean Kendall's tau with the ratings, the highest on top.

    `table` comes from `correlate_metrics`; metrics without scores are named below the figure.
    `ceiling` is the mean tau between raters, None or NaN with a single rater. A metric can exceed
    it: between raters both sides are noisy, between a metric and a rater only one is.
    """
    notes = ["95% interval over patients; undefined: all scores or ratings are equal"]
    has_ceiling = ceiling is not None and np.isfinite(ceiling.estimate)
    if has_ceiling:
        notes.append(f"dashed: a second rater's, {_tau(ceiling)} (no strict ceiling)")
    scored = table.get("not_scored", pd.Series("", table.index)).fillna("").eq("")
    if not scored.all():
        notes.append(f"not scored: {', '.join(_names(table['metric'][~scored]))}")
    table = table[scored]
    texts = table["mean_tau"].map(style.decimals(2), na_action="ignore").fillna("")
    columns = {"tau": texts, "n": table["n"], "undefined": table["n_undefined"]}
    names = _names(table["metric"])
    ax = style.forest(table, "mean_tau", names, columns, xlabel=_TAU, notes=notes, ax=ax)
    if has_ceiling:
        ax.axvspan(ceiling.low, ceiling.high, color=ORANGE, alpha=0.15, lw=0, zorder=0)
        ax.axvline(ceiling.estimate, color=ORANGE, lw=1, ls="--", zorder=0)
    return ax


@style.styled
def correlation_with_paper(
    published: pd.DataFrame, table: pd.DataFrame, ax: Axes | None = None
) -> Axes:
    """Return the paper's mean taus, marked as not re-verified, and a run's in the same rows.

    `published` comes from `evaluation.paper.metric_correlation`, `table` from `correlate_metrics`.
    A metric of both has one row; the paper's order comes first.
    """
    columns = {"mean_kendall_tau": "paper", "ci_low": "paper_low", "ci_high": "paper_high"}
    published = published.rename(columns=columns).sort_values(
        "paper", ascending=False, kind="stable"
    )
    published = published.assign(metric=published["metric"].map(run_name), name=published["metric"])
    rows = published.merge(table.dropna(subset="mean_tau"), "outer", "metric", sort=False)
    rows = rows.sort_values(["paper", "mean_tau"], ascending=False, kind="stable")
    names = rows["name"].fillna(pd.Series(_names(rows["metric"]), rows.index))
    taus = (rows[name].map(style.decimals(2), na_action="ignore") for name in ("paper", "mean_tau"))
    texts = dict(zip((f"paper{DAGGER}", "this run"), taus, strict=True))
    texts[f"paper{DAGGER}"] += DAGGER
    texts["n"] = rows["n"].map("{:.0f}".format, na_action="ignore")
    ax = style.forest(
        rows,
        "mean_tau",
        names,
        {heading: column.fillna("") for heading, column in texts.items()},
        xlabel="Mean Kendall's tau",
        notes=[
            "dot: this run, with the ratings of n instructions; 95% interval over patients",
            f"diamond: the paper, with the clinicians' ranks, and its interval; {DAGGER} "
            f"{UNVERIFIED}",
        ],
        ax=ax,
    )
    style.add_diamonds(ax, rows, "paper", shift=0.25)
    return ax


@style.styled
def metric_differences(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Return a heat map of differences in mean tau, with p in its lower half.

    `table` comes from `compare_metrics`. Above the diagonal is the row's metric minus the column's,
    below it the pair's p after Holm's method; p < 0.05 is bold.
    """
    metrics = pd.unique(pd.concat([table["metric_a"], table["metric_b"]]))
    values, p = (
        table.pivot(index="metric_a", columns="metric_b", values=name)
        .reindex(index=metrics, columns=metrics)
        .to_numpy(dtype=float)
        for name in ("difference", "p_holm")
    )
    largest = np.nanmax(np.abs(values), initial=0.01)
    texts = np.full(values.shape, "", dtype=object)
    for row, column in np.argwhere(~np.isnan(values)):
        texts[row, column] = signed(values[row, column], 2)
        texts[column, row] = _p(p[row, column])
    ax = heat_map(
        values,
        texts,
        [*map(style.wrapped, _names(metrics))],
        _names(metrics),
        limits=(-2 * largest, 2 * largest),  # twice the range keeps the cells light
        width=style.COLUMN_WIDTH if len(metrics) <= 6 else style.PAGE_WIDTH,
        ax=ax,
    )
    counted = f" (n = {n_of(table)} instructions)" * bool(len(table))
    for text in ax.texts:
        column, row = (int(place) for place in text.get_position())
        is_significant = np.fmin(p[row, column], p[column, row]) < 0.05
        text.set_weight("bold" if is_significant else "normal")
    style.label_x(
        ax,
        "",
        f"Mean tau-b of the row minus that of the column{counted}",
        "below the diagonal: p of a sign-flip test over patients, after Holm; "
        f"{'bold' if (p < 0.05).any() else 'none'} is below 0.05",
    )
    return ax


def _names(metrics: pd.Series | np.ndarray) -> list[str]:
    labels = metric_labels()
    return [labels.get(metric, metric) for metric in metrics]


def _tau(interval: Interval) -> str:
    """The text of a tau, with its interval if it has one."""
    texts = [signed(tau, 2, "") for tau in interval]
    return f"{texts[0]} [{texts[1]}, {texts[2]}]" if np.isfinite(interval.low) else texts[0]


def _p(value: float) -> str:
    return "–" if np.isnan(value) else "<.01" if value < 0.005 else style.decimals(2)(value)
