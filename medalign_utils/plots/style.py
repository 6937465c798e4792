"""The figures: a table in, `Axes` out, one function each.

Without `ax` a figure is one column wide (3.4 in); pass an `Axes` of any other size, such as the
7 in of a page's full width. Colours (Okabe and Ito's, PuOr) stay apart for colour-blind readers.
"""

import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

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

# In a notebook the backend, once loaded, has figures shown. Loaded by the first figure, within its
# rc_context, that would hold for this one figure only.
plt.switch_backend(mpl.get_backend())


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
