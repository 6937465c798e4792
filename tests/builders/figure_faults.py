"""What a journal would return a figure for."""

from collections import Counter
from itertools import combinations

import numpy as np
from matplotlib.axis import Axis
from matplotlib.text import Text

from medalign_utils.plots import style
from medalign_utils.plots.heat_map import contrast


def faults(figure):
    """Return the faults of a figure as sentences, which name its texts."""
    figure.canvas.draw()
    shown = texts_of(figure)
    boxes = {text: Text.get_window_extent(text) for text in shown}  # without arrows
    found = [] if figure.get_figwidth() in (style.COLUMN_WIDTH, style.PAGE_WIDTH) else ["width"]
    found += [f"{t.get_text()!r} is small" for t in shown if t.get_fontsize() < style.TEXT]
    found += [
        f"{text.get_text()!r} leaves the figure"
        for text, box in boxes.items()
        if not (
            box.x0 >= 0 and box.y0 >= 0 and box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1
        )
    ]
    found += [
        f"{a.get_text()!r} is on {b.get_text()!r}"
        for a, b in combinations(shown, 2)
        if overlap(boxes[a], boxes[b])
    ]
    for axis in axes_of(figure):
        counts = Counter(label.get_text() for label in labels_of(axis))
        found += [f"{text!r} is {n} ticks" for text, n in counts.items() if text and n > 1]
    return found + faint(figure, boxes)


def texts_of(figure):
    """Return the texts that are drawn; ticks outside an axis's range are not."""
    is_drawn = {}
    for axis in axes_of(figure):
        for tick in axis.get_major_ticks():
            for label in (tick.label1, tick.label2):
                is_drawn[label] = label in labels_of(axis)
    hidden = {text for ax in figure.axes if not ax.get_visible() for text in ax.findobj(Text)}
    return [
        text
        for text in figure.findobj(Text)
        if text.get_text().strip()
        and text.get_visible()
        and is_drawn.get(text, True)
        and text not in hidden
    ]


def axes_of(figure) -> list[Axis]:
    return [axis for ax in figure.axes if ax.get_visible() for axis in (ax.xaxis, ax.yaxis)]


def labels_of(axis):
    low, high = sorted(axis.get_view_interval())
    slack = 1e-9 * (high - low)
    ticks = [t for t in axis.get_major_ticks() if low - slack <= t.get_loc() <= high + slack]
    return [
        label
        for tick in ticks
        for label in (tick.label1, tick.label2)
        if label.get_visible() and label.get_text()
    ]


def overlap(a, b, slack=1.0):
    """Whether two boxes share more than `slack` pixels each way."""
    across = min(a.x1, b.x1) - max(a.x0, b.x0)
    down = min(a.y1, b.y1) - max(a.y0, b.y0)
    return across > slack and down > slack


def faint(figure, boxes):
    """Return the texts with too little contrast to what is behind most of them."""
    figure.set_layout_engine("none")  # or it would use the texts' space
    for text in boxes:
        text.set_visible(False)
    figure.canvas.draw()
    pixels = np.asarray(figure.canvas.buffer_rgba())[::-1, :, :3].astype(int) @ (65536, 256, 1)
    found = []
    for text, box in boxes.items():
        text.set_visible(True)
        left, right = (int(np.clip(x, 0, pixels.shape[1] - 1)) for x in (box.x0, box.x1))
        low, high = (int(np.clip(y, 0, pixels.shape[0] - 1)) for y in (box.y0, box.y1))
        colours, counts = np.unique(pixels[low : high + 1, left : right + 1], return_counts=True)
        if contrast(text.get_color(), f"#{colours[counts.argmax()]:06x}") < 4.5:
            found.append(f"{text.get_text()!r} is faint")
    return found
