"""The style that figures share: sizes, colours, forest plots, heat maps.

Without `ax`, a figure is one column wide. Colour-blind readers can distinguish the colours.
"""

import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter

COLUMN_WIDTH, PAGE_WIDTH = 3.4, 7.0  # inches
NAME_WIDTH = 24  # characters; longer names of systems and metrics are wrapped
BLUE, ORANGE, GREY, LIGHT = "#0072B2", "#D55E00", "#666666", "#A6CEE3"
STYLE = {
    **sns.axes_style("ticks"),
    "font.family": "DejaVu Sans",  # comes with matplotlib, so figures are equal on all machines
    "font.size": 7.5,
    "figure.dpi": 120,  # makes this size readable in a notebook
    "axes.labelsize": 7.5,
    "axes.titlesize": 7.5,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7.5,
    "legend.fontsize": 7,
    "axes.linewidth": 0.7,
    **{f"{axis}tick.major.{key}": n for axis in "xy" for key, n in (("width", 0.7), ("size", 3))},
}
COUNT = FuncFormatter(lambda n, _: f"{n:,.0f}")
PERCENT = PercentFormatter(1.0, decimals=0)
POINTS = FuncFormatter(lambda share, _: signed(100 * share, 0) if abs(share) > 1e-9 else "0")

# A backend that is loaded inside an rc_context shows only a notebook's first figure.
plt.switch_backend(mpl.get_backend())

styled = mpl.rc_context(STYLE)  # decorates the functions that draw


@styled
def side_by_side(*panels: tuple[Callable[..., Axes], pd.DataFrame, str]) -> Figure:
    """Return a figure, a page wide, of panels (function, table, title) with equal x-axes.

    Panels whose table has no rows are left out.
    """
    panels = tuple(panel for panel in panels if len(panel[1]))
    height = 1.3 + 0.26 * max(len(table) for _, table, _ in panels)
    figure, axes = plt.subplots(
        1, len(panels), figsize=(PAGE_WIDTH, height), layout="constrained", squeeze=False
    )
    for ax, (draw, table, title) in zip(axes.flat, panels, strict=True):
        draw(table, ax)
        # The padding clears the headings of the columns on the right.
        ax.set_title(textwrap.fill(title, 90 // len(panels)), loc="left", pad=22)
    lows, highs = zip(*(ax.get_xlim() for ax in axes.flat), strict=True)
    plt.setp(axes, xlim=(min(lows), max(highs)))
    return figure


def new_axes(height: float, width: float = COLUMN_WIDTH) -> Axes:
    """Return the axes of a new figure; sizes are in inches, and the default is one column wide."""
    return plt.subplots(figsize=(width, height), layout="constrained")[1]


def forest(
    table: pd.DataFrame,
    x: str,
    labels: Sequence[str],
    right_columns: Mapping[str, Iterable],
    *,
    xlabel: str = "",
    scale: FuncFormatter | PercentFormatter | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Return a forest plot: a point and its interval for each row of the table, the first on top.

    `table` has the column `x`; if it also has `x_low` and `x_high`, intervals are drawn. Labels are
    wrapped unless they contain a line break. `right_columns` (heading -> texts) are written to the
    right of the axes. With the scale PERCENT the axis begins at 0; otherwise a line marks 0.
    """
    labels = [label if "\n" in label else wrapped(label) for label in labels]
    lines = max((label.count("\n") + 1 for label in labels), default=1)
    height = 0.66 + 0.12 * xlabel.count("\n") + 0.13 * max(lines, 2) * max(len(table), 1)
    ax = ax or new_axes(height)
    table = table.reindex(columns=[x, f"{x}_low", f"{x}_high"])
    estimate, low, high = table.to_numpy(dtype=float).T
    rows = np.arange(len(estimate))
    ax.hlines(rows, low, high, color=BLUE, lw=1.5)
    ax.plot(estimate, rows, "o", color=BLUE, ms=4.5, clip_on=False)
    name_rows(ax, labels)
    ax.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    ax.grid(axis="x", color="#E5E5E5", lw=0.6)
    ax.set_axisbelow(True)
    if scale is PERCENT:
        ax.set_xlim(0, min(1.0, 1.08 * np.nanmax(table.to_numpy(dtype=float), initial=0)) or 1.0)
    else:
        ax.axvline(0, color=GREY, lw=0.7, zorder=0)
    if scale is not None:
        ax.xaxis.set_major_formatter(scale)
    ax.set_xlabel(xlabel)
    add_columns(ax, right_columns)
    return ax


def add_diamonds(ax: Axes, table: pd.DataFrame, x: str, shift: float = 0) -> None:
    """Draw a second estimate in each row of a forest, `shift` rows below the first."""
    table = table.reindex(columns=[x, f"{x}_low", f"{x}_high"]).astype(float)
    rows = np.arange(len(table)) + shift
    ax.hlines(rows, table[f"{x}_low"], table[f"{x}_high"], color=ORANGE, lw=1)
    ax.plot(table[x], rows, "D", color=ORANGE, mfc="white", ms=3.5, clip_on=False)


def name_rows(ax: Axes, names: Sequence[str]) -> None:
    """Label the rows of a figure from the top down."""
    # In names from data, a dollar sign does not start a formula.
    ax.set_yticks(range(len(names)), names, linespacing=1.0, parse_math=False)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0, pad=6)  # a point may be on the axis
    sns.despine(ax=ax, left=True)


def add_columns(ax: Axes, columns: Mapping[str, Iterable], *, shift: float = 0) -> None:
    """Write columns (heading -> texts) to the right of the axes, the first row at y = `shift`."""
    style = {"xycoords": ax.get_yaxis_transform(), "textcoords": "offset points", "ha": "right"}
    offset = 0
    for heading, column in columns.items():
        texts = [str(text) for text in column]
        offset += 8 + 4 * max(len(line) for text in [heading, *texts] for line in text.split("\n"))
        style |= {"xytext": (offset, 0), "fontsize": 7}
        ax.annotate(heading, (1, shift - 0.6), va="bottom", color=GREY, **style)
        for row, text in enumerate(texts):
            ax.annotate(text, (1, row + shift), va="center", **style)


def heat_map(
    values: np.ndarray,
    texts: np.ndarray,
    names: Sequence[str],
    *,
    limits: tuple[float, float],
    xlabel: str,
    ax: Axes,
    size: float = 7,
) -> Axes:
    """Return axes with a heat map: `texts` in its cells, rows named, columns numbered from 1."""
    sns.heatmap(
        values, ax=ax, vmin=limits[0], vmax=limits[1], cmap="PuOr", cbar=False, annot=texts, fmt="",
        annot_kws={"size": size}, linewidths=1, linecolor="white", yticklabels=False,
        xticklabels=range(1, values.shape[1] + 1),
    )  # fmt: skip
    ax.set_yticks(np.arange(len(names)) + 0.5, names, linespacing=1.0, parse_math=False)
    ax.tick_params(length=0)
    ax.set_xlabel(xlabel)
    return ax


def numbered(names: Iterable[str]) -> list[str]:
    """Return names for a heat map's rows, each with the number of its column."""
    return [f"{wrapped(name)}  {i}" for i, name in enumerate(names, start=1)]


def wrapped(name: str) -> str:
    """Return a name wrapped at `NAME_WIDTH`."""
    return textwrap.fill(name, NAME_WIDTH, break_long_words=False)


def n_of(table: pd.DataFrame, column: str = "n") -> str:
    """Return the n of a table's rows, or their range if they differ; "–" if all are missing."""
    fewest, most = table[column].min(), table[column].max()
    if pd.isna(most):
        return "–"
    return f"{fewest}" if fewest == most else f"{fewest} to {most}"


def rounded(value: float, decimals: int) -> Decimal:
    """Return a number rounded half away from zero, in figures and tables alike.

    Formatting a float rounds its binary value: 0.175 would be 0.17 in a table, 17.5 % in a figure.

    >>> f"{rounded(0.175, 2)} {rounded(0.3125, 3):.1%}"
    '0.18 31.3%'
    """
    number = Decimal(f"{value:.12g}")
    is_finite = number.is_finite()
    return number.quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP) if is_finite else number


def decimals(n: int) -> Callable[[float], str]:
    """Return a function that writes numbers with `n` decimals."""
    return lambda value: f"{rounded(value, n):.{n}f}"


def percent(n: int) -> Callable[[float], str]:
    """Return a function that writes shares as percentages with `n` decimals."""
    return lambda share: f"{rounded(share, n + 2):.{n}%}"


def signed(value: float, decimals: int, plus: str = "+") -> str:
    """Return a signed number as text, with a typographic minus sign."""
    return f"{rounded(value, decimals):{plus}.{decimals}f}".replace("-", "\N{MINUS SIGN}")
