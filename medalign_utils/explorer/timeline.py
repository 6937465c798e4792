"""Writes a record's timeline as HTML: a row for each type of event, a tick for each day."""

from collections.abc import Iterable, Sequence
from html import escape

import numpy as np
import pandas as pd

from medalign_utils.data.ehr.labels import type_label
from medalign_utils.plots.style import GREY

_STEPS = 1000  # ticks are rounded to this many places of the width
# Colours by type of event, in the order of a timeline's rows.
_COLOURS = {
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


def order_types(types: Iterable[str]) -> list[str]:
    """Return types of events in the order of a timeline's rows, "person" last."""
    order = [*_COLOURS, *sorted(set(types) - {*_COLOURS, "person"}), "person"]
    return [name for name in order if name in types]


def timeline_html(
    events: pd.DataFrame, hits: Sequence = (), shown: pd.Timestamp | None = None
) -> str:
    """Return the timeline of events, "" without any.

    `hits` are the times of search results; `shown` is the time of the entry on display.
    """
    if events.empty:
        return ""
    first, last = events["timestamp"].min(), events["timestamp"].max()
    span = max((last - first).total_seconds(), 1)
    counts = events["type"].value_counts()
    rows = [
        _row(
            f"{type_label(name)} ({counts[name]:,})",
            _places(events["timestamp"][events["type"] == name], first, span),
            _COLOURS.get(name, GREY),
        )
        for name in order_types(counts.index)
    ]
    if len(hits):
        rows.append(_row("With hits", _places(pd.Series(hits), first, span), "#B54708"))
    marker, when = "", ""
    if shown is not None:
        place = _places(pd.Series([shown]), first, span)[0] / _STEPS
        marker = f'<div class="ma-now"><i style="left:{place:.2%}"></i></div>'
        when = f", the entry shown is of {shown:%Y-%m-%d}"
    alt = f"Timeline from {first:%Y-%m-%d} to {last:%Y-%m-%d}{when}"
    axis = "".join(
        f'<span style="left:{place:.2%}">{label}</span>' for place, label in _axis(first, span)
    )
    return (
        f'<div class="ma-timeline" role="img" aria-label="{escape(alt)}">{"".join(rows)}'
        f'<div class="ma-axis"><b></b><div>{axis}</div></div>{marker}</div>'
    )


def _places(moments: pd.Series, first: pd.Timestamp, span: float) -> np.ndarray:
    """Return the different places of moments on the timeline, from 0 to `_STEPS`."""
    seconds = (moments - first).dt.total_seconds().to_numpy()
    return np.unique(np.clip((seconds / span * _STEPS).round().astype(int), 0, _STEPS))


def _row(label: str, places: np.ndarray, colour: str) -> str:
    path = "".join(f"M{place} 0v10" for place in places)
    style = f'stroke="{colour}" vector-effect="non-scaling-stroke"'
    return (
        f'<div class="ma-row"><b style="color:{colour}">{escape(label)}</b>'
        f'<svg viewBox="-4 0 {_STEPS + 8} 10" preserveAspectRatio="none" aria-hidden="true">'
        f'<path d="{path}" {style}/></svg></div>'
    )


def _axis(first: pd.Timestamp, span: float) -> list[tuple[float, str]]:
    """Return about six labels: years, or months or days of a short record, with their places."""
    last = first + pd.Timedelta(seconds=span)
    years = range(first.year + 1, last.year + 1)
    if len(years) >= 2:
        step = -(-len(years) // 6)
        moments = [pd.Timestamp(year, 1, 1) for year in years[::step]]
        labels = [f"{moment:%Y}" for moment in moments]
    else:
        moments = [first + pd.Timedelta(seconds=span * i / 3) for i in range(3)]
        labels = [f"{moment:%Y-%m-%d}" for moment in moments]
    places = [(moment - first).total_seconds() / span for moment in moments]
    return [(place, label) for place, label in zip(places, labels, strict=True) if place < 0.97]
