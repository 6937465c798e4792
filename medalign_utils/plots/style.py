"""The style that figures share: sizes, colours, forest plots.

Figures are as wide as a column or a page of a journal, and all their text has one size.
Colour-blind readers can distinguish the colours.
"""

import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from medalign_utils.stats.rounding import rounded

COLUMN_WIDTH, PAGE_WIDTH = 3.4, 7.0  # inches
TEXT = 7  # points; journals ask for no less
LINE = 0.125  # inches from one line of text to the next
NAME_WIDTH = 24  # characters; longer names of systems and metrics are wrapped
BLUE, ORANGE, GREY, PALE = "#0072B2", "#D55E00", "#666666", "#A0A0A0"
DARK_ORANGE = "#A84300"  # for text, which needs more contrast
_MINUS = "\N{MINUS SIGN}"
STYLE = {
    **sns.axes_style("ticks"),
    "font.family": "DejaVu Sans",  # comes with matplotlib, so figures are equal on all machines
    **{f"{name}size": TEXT for name in ("font.", "axes.label", "axes.title", "legend.font")},
    **{f"{name}size": TEXT for name in ("figure.label", "figure.title", "xtick.label")},
    "ytick.labelsize": TEXT,
    "figure.dpi": 200,  # makes this size readable in a notebook
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "xaxis.labellocation": "left",
    "legend.frameon": False,
    "axes.linewidth": 0.7,
    **{f"{axis}tick.major.{key}": n for axis in "xy" for key, n in (("width", 0.7), ("size", 3))},
    "patch.force_edgecolor": False,  # white edges would hide bars of 1
}
# Ticks show the digits that they need, so no two of an axis look alike.
COUNT = FuncFormatter(lambda n, _: f"{n:,.10g}")
PERCENT = FuncFormatter(lambda share, _: f"{100 * share:.4g}%")
POINTS = FuncFormatter(lambda share, _: _points(round(100 * share, 6)))

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
        ax.set_title(textwrap.fill(title, 80 // len(panels)), pad=22)
    lows, highs = zip(*(ax.get_xlim() for ax in axes.flat), strict=True)
    plt.setp(axes, xlim=(min(lows), max(highs)))
    return figure


def new_axes(height: float, width: float = COLUMN_WIDTH) -> Axes:
    """Return the axes of a new figure; sizes are in inches, and the default is one column wide."""
    return plt.subplots(figsize=(width, height), layout="constrained")[1]


def label_x(ax: Axes, quantity: str, *notes: str) -> None:
    """Label the x-axis; notes stand below the figure, or the axes if the layout leaves no room."""
    if ax.figure.get_layout_engine() is None:
        quantity = "\n".join(filter(None, [quantity, *map(_fill, notes)]))
    else:
        add_notes(ax.figure, *notes)
    ax.set_xlabel(quantity, parse_math=False)


def add_notes(figure: Figure, *notes: str) -> None:
    """Write notes that a figure does not have yet below it, and add their height to its own."""
    width, height = figure.get_size_inches()
    before = figure.get_supxlabel()
    texts = [_fill(note, width) for note in notes if note]
    lines = "\n".join(text for text in texts if text not in before).split("\n")
    if lines != [""]:
        text = "\n".join([before] * bool(before) + lines)
        figure.supxlabel(text, x=0.01, ha="left", color=GREY, parse_math=False, linespacing=1.25)
        figure.set_size_inches(width, height + LINE * len(lines))


def _fill(note: str, width: float = COLUMN_WIDTH) -> str:
    return textwrap.fill(note, int(19.5 * width), break_on_hyphens=False)


def _points(value: float) -> str:
    return f"{value:+.4g}".replace("-", _MINUS) if value else "0"


def forest(
    table: pd.DataFrame,
    x: str,
    labels: Sequence[str],
    right_columns: Mapping[str, Iterable],
    *,
    xlabel: str = "",
    notes: Sequence[str] = (),
    scale: FuncFormatter | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Return a forest plot: a point and its interval for each row of the table, the first on top.

    `table` has the column `x`; if it also has `x_low` and `x_high`, intervals are drawn. Labels are
    wrapped unless they contain a line break. `right_columns` (heading -> texts) are written to the
    right of the axes, `notes` below. With the scale PERCENT the axis begins at 0; otherwise a line
    marks 0.
    """
    labels = [label if "\n" in label else wrapped(label) for label in labels]
    lines = max((label.count("\n") + 1 for label in labels), default=1)
    ax = ax or new_axes(0.66 + LINE * max(lines, 1.8) * max(len(table), 1))
    table = table.reindex(columns=[x, f"{x}_low", f"{x}_high"])
    estimate, low, high = table.to_numpy(dtype=float).T
    rows = np.arange(len(estimate))
    ax.hlines(rows, low, high, color=BLUE, lw=1.5)
    ax.plot(estimate, rows, "o", color=BLUE, ms=4.5, clip_on=False)
    name_rows(ax, labels)
    ax.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    ax.grid(axis="x", color="#E5E5E5", lw=0.6)
    ax.set_axisbelow(True)
    if scale is PERCENT:
        ax.set_xlim(0, min(1.0, 1.08 * np.nanmax(table.to_numpy(dtype=float), initial=0)) or 1.0)
    else:
        ax.axvline(0, color=GREY, lw=0.7, zorder=0)
    if scale is not None:
        ax.xaxis.set_major_formatter(scale)
    add_columns(ax, right_columns)
    label_x(ax, xlabel, *notes)
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
        offset += 8 + 4.2 * max(
            len(line) for text in [heading, *texts] for line in text.split("\n")
        )
        style |= {"xytext": (offset, 0), "linespacing": 1.0}
        ax.annotate(heading, (1, shift - 0.6), va="bottom", color=GREY, **style)
        for row, text in enumerate(texts):
            ax.annotate(text, (1, row + shift), va="center", **style)


def wrapped(name: str) -> str:
    """Return a name wrapped at `NAME_WIDTH`."""
    return textwrap.fill(name, NAME_WIDTH, break_long_words=False)


def n_of(table: pd.DataFrame, column: str = "n") -> str:
    """Return the n of a table's rows, or their range if they differ; "–" if all are missing."""
    fewest, most = table[column].min(), table[column].max()
    if pd.isna(most):
        return "–"
    return f"{fewest}" if fewest == most else f"{fewest} to {most}"


def decimals(n: int) -> Callable[[float], str]:
    """Return a function that writes numbers with `n` decimals."""
    return lambda value: f"{rounded(value, n):.{n}f}"


def percent(n: int) -> Callable[[float], str]:
    """Return a function that writes shares as percentages with `n` decimals."""
    return lambda share: f"{rounded(share, n + 2):.{n}%}"


def signed(value: float, decimals: int, plus: str = "+") -> str:
    """Return a signed number as text, with a typographic minus sign; what rounds to 0 has none.

    >>> signed(0.25, 1), signed(-0.25, 1), signed(-0.04, 1)
    ('+0.3', '−0.3', '0.0')
    """
    number = rounded(value, decimals)
    return f"{number:{plus if number else ''}z.{decimals}f}".replace("-", _MINUS)
