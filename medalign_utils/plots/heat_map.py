"""Heat maps, with texts that can be read on any colour."""

import textwrap
from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import Normalize, to_rgb

from medalign_utils.plots import style


def heat_map(
    values: np.ndarray,
    texts: np.ndarray,
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    limits: tuple[float, float],
    width: float,
    ax: Axes | None = None,
) -> Axes:
    """Return a heat map with `texts` in its cells, the names of rows and, on top, of columns.

    Cells without a value are white, whether or not they have a text.
    """
    room = int(17 * (width - 2.5) / max(len(columns), 1))  # characters in a column
    upright = [textwrap.fill(name, max(room, 1), break_long_words=False) for name in columns]
    is_upright = all(len(line) <= room for name in upright for line in name.split("\n"))
    names = upright if is_upright else [*map(style.wrapped, columns)]
    lines = "\n".join(names).split("\n")
    above = style.LINE * 2 if is_upright else 0.065 * max(map(len, lines))
    ax = ax or style.new_axes(0.25 + 0.25 * len(rows) + above, width)
    colours = mpl.colormaps["PuOr"](Normalize(*limits)(values))
    colours[np.isnan(values)] = 1.0
    ax.pcolormesh(colours, edgecolors="white", linewidth=1)
    for (row, column), text in np.ndenumerate(texts):
        if text:
            ax.text(
                column + 0.5, row + 0.5, text, ha="center", va="center",
                color=text_colour(colours[row, column]),
            )  # fmt: skip
    style_of_names = {"linespacing": 1.0, "parse_math": False, "rotation": 0 if is_upright else 90}
    ax.set_xticks(np.arange(len(names)) + 0.5, names, **style_of_names)
    ax.set_yticks(np.arange(len(rows)) + 0.5, rows, linespacing=1.0, parse_math=False)
    ax.set_ylim(len(rows), 0)
    ax.tick_params(length=0, labeltop=True, labelbottom=False)
    sns.despine(ax=ax, left=True, bottom=True)
    return ax


def text_colour(background: str | Sequence[float]) -> str:
    """Return black or white, whichever has more contrast to the background."""
    return max(("black", "white"), key=lambda colour: contrast(colour, background))


def contrast(first: str | Sequence[float], second: str | Sequence[float]) -> float:
    """Return the contrast of two colours, from 1 to 21; text should have 4.5 (WCAG 2.2).

    >>> round(contrast("black", "white"), 2), round(contrast("#777777", "white"), 2)
    (21.0, 4.48)
    """
    channels = np.array([to_rgb(first), to_rgb(second)])
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    dark, light = sorted(linear @ (0.2126, 0.7152, 0.0722))
    return float((light + 0.05) / (dark + 0.05))
