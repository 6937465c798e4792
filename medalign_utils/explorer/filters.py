"""Selects the events of a record by type and day."""

import re
from calendar import monthrange
from collections.abc import Collection
from datetime import date

import numpy as np
import pandas as pd

_DAY = re.compile(r"(\d{4})(?:-(\d{1,2})(?:-(\d{1,2}))?)?")


def select_events(
    events: pd.DataFrame,
    types: Collection[str] | None = None,
    since: date | None = None,
    until: date | None = None,
) -> pd.DataFrame:
    """Return the events of these types and days, including `until`; None sets no limit."""
    keep = np.ones(len(events), dtype=bool)
    if types is not None:
        keep &= events["type"].isin(types)
    if since is not None:
        keep &= events["timestamp"] >= pd.Timestamp(since)
    if until is not None:
        keep &= events["timestamp"] < pd.Timestamp(until) + pd.Timedelta(days=1)
    return events[keep]


def day_of(text: str, *, is_end: bool = False) -> date | None:
    """Return the first day, or the last, of a day, month or year as text; None for a blank.

    Raises:
        ValueError: it is none of these.

    >>> day_of("2014"), day_of("2014-02", is_end=True)
    (datetime.date(2014, 1, 1), datetime.date(2014, 2, 28))
    """
    if not text.strip():
        return None
    match = _DAY.fullmatch(text.strip())
    try:
        year, month, day = (part and int(part) for part in match.groups())
        first = date(year, month or 1, day or 1)
    except (AttributeError, ValueError):
        message = f"“{text}” is not a day: write 2014-08-10, 2014-08 or 2014"
        raise ValueError(message) from None
    if not is_end or day:
        return first
    return date(year, month or 12, monthrange(year, month or 12)[1])
