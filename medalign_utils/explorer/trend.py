"""The course of a laboratory test or vital sign: a plot with values, and a table."""

import base64
import io
from html import escape
from typing import NamedTuple

import pandas as pd
from matplotlib.dates import AutoDateLocator, DateFormatter
from matplotlib.figure import Figure

from medalign_utils.data.ehr.labels import unit_label
from medalign_utils.explorer.html import box, link_to, number, table
from medalign_utils.plots.style import BLUE, ORANGE

_TYPES = ("measurement", "observation")
_LABELLED = 14  # values written beside their points; of longer series only the telling ones


class Measure(NamedTuple):
    """A test or sign with its unit."""

    name: str
    unit: str

    def __str__(self) -> str:
        """Return the name and the unit as printed."""
        unit = unit_label(self.unit)
        return f"{self.name} ({unit})" if unit else self.name


def measures_of(events: pd.DataFrame) -> dict[Measure, int]:
    """Return the tests and signs that have numbers, by name, with how many."""
    values = _numeric(events)
    counts = values.groupby(["name", "unit"]).size()
    return {Measure(*key): int(n) for key, n in sorted(counts.items(), key=lambda item: item[0])}


def measure_of(event: pd.Series) -> Measure | None:
    """Return the test or sign of an event, None if it is no number."""
    values = _numeric(event.to_frame().T)
    return None if values.empty else Measure(values["name"].iloc[0], values["unit"].iloc[0])


def trend_html(
    events: pd.DataFrame,
    test: Measure,
    *,
    newest_first: bool = True,
    marked: int | None = None,
    address_of,
) -> str:
    """Return the values of a test as a plot and a table with links to the events."""
    values = _numeric(events)
    values = values[(values["name"] == test.name) & (values["unit"] == test.unit)]
    values = values.sort_values("timestamp", kind="stable")
    unit = unit_label(test.unit)
    low, high = values["number"].min(), values["number"].max()
    summary = f"{test.name}: {number(len(values), 'value')}, {low:g} to {high:g} {unit}"
    png = _plot(values, unit, marked)
    image = (
        f'<img alt="{escape(summary)}; the table has the values" src="data:image/png;base64,{png}">'
    )
    listed = values[::-1] if newest_first else values
    rows = [
        (row.Index == marked, (link_to(address_of(row.Index), f"{row.timestamp:%Y-%m-%d %H:%M}"),
         escape(f"{row.value} {unit}")))
        for row in listed.itertuples()
    ]  # fmt: skip
    values_table = table(("Time", "Value"), rows)
    return f'<div class="ma-note-title"><b>{escape(summary)}</b></div>' + box(
        f'<div class="ma-trend">{image}{values_table}</div>', "Trend"
    )


def _numeric(events: pd.DataFrame) -> pd.DataFrame:
    """Return the events whose value is a number, with it as `number`; units may be ""."""
    chosen = events[events["type"].isin(_TYPES)]
    text = chosen["value"].fillna("").astype("str").str.strip().str.lstrip("<>=≤≥ ")
    numbers = pd.to_numeric(text.str.replace(",", ""), errors="coerce")
    chosen = chosen.assign(number=numbers, unit=chosen["unit"].fillna(""))
    return chosen[numbers.notna() & chosen["name"].notna()]


def _plot(values: pd.DataFrame, unit: str, marked: int | None) -> str:
    """Return a PNG as base64."""
    figure = Figure(figsize=(5.6, 2.3), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(values["timestamp"], values["number"], "o-", color=BLUE, ms=3.5, lw=1)
    if marked in values.index:
        point = values.loc[marked]
        axes.plot([point["timestamp"]], [point["number"]], "o", color=ORANGE, ms=7, zorder=5)
    for index in _telling(values["number"], marked):
        point = values.loc[index]
        axes.annotate(
            str(point["value"]), (point["timestamp"], point["number"]), xytext=(0, 5),
            textcoords="offset points", ha="center", fontsize=8,
        )  # fmt: skip
    axes.margins(x=0.05, y=0.2)
    axes.set_ylabel(unit, fontsize=9)
    axes.xaxis.set_major_locator(AutoDateLocator(minticks=3, maxticks=6))
    days = (values["timestamp"].max() - values["timestamp"].min()).days
    axes.xaxis.set_major_formatter(DateFormatter("%Y-%m" if days > 150 else "%Y-%m-%d"))
    axes.tick_params(labelsize=8)
    axes.grid(color="#E5E5E5", lw=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=150)
    return base64.b64encode(png.getvalue()).decode()


def _telling(numbers: pd.Series, marked: int | None) -> list[int]:
    if len(numbers) <= _LABELLED:
        return list(numbers.index)
    telling = [numbers.index[0], numbers.index[-1], numbers.idxmin(), numbers.idxmax()]
    return list(dict.fromkeys([*telling, *([marked] if marked in numbers.index else [])]))
