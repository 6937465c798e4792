"""Dates as clinicians and records write them: ISO, US (month first), in words, whole or in part."""

import re
from datetime import date
from functools import lru_cache
from typing import NamedTuple

from medalign_utils.data.ehr.units import UNIT_AFTER

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = (
    r"(?:(?i:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|june?|july?|aug(?:ust)?"
    r"|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)|May|MAY)\b\.?"
)
_YEAR = r"(?:19|20)[0-9]{2}"
_DAY = r"(?:0?[1-9]|[12][0-9]|3[01])"
_ORDINAL = r"(?:st|nd|rd|th)?\b"
_DATE = re.compile(
    rf"(?<![\w/.$#-])(?:(?P<iso>{_YEAR}[-/][01]?[0-9][-/]{_DAY})(?=T[0-9]|[^\w/]|$)"
    rf"|(?P<us>[0-9]{{1,2}}(?P<sep>[/-])[0-9]{{1,2}}(?P=sep)(?:{_YEAR}|[0-9]{{2}}))(?![\w/])"
    rf"|(?P<eu>[0-9]{{1,2}}\.[0-9]{{1,2}}\.{_YEAR})(?![\w/])"
    rf"|(?P<ym>{_YEAR}-[01][0-9])(?![\w/-])|(?P<my>[01]?[0-9]/{_YEAR})(?![\w/])"
    rf"|(?P<dmy>{_DAY}{_ORDINAL}(?:\s+of)?[\s-]+{_MONTH},?[\s-]+{_YEAR})(?!\w)"
    rf"|(?P<mdy>{_MONTH}\s+{_DAY}{_ORDINAL},?\s+{_YEAR})(?!\w)"
    rf"|(?P<mony>{_MONTH},?\s+(?:of\s+)?{_YEAR})(?!\w)"
    rf"|(?P<md>{_MONTH}\s+{_DAY}{_ORDINAL})(?![\w/%]|\.[0-9])"
    rf"|(?P<dm>{_DAY}{_ORDINAL}(?:\s+of)?\s+{_MONTH})(?!\w)"
    r"|(?P<yy>(?<=\b[Ii]n )'[0-9]{2})(?!\w)"
    rf"|(?P<y>{_YEAR})(?![\w/%]|[.,-][0-9]))"
    # A month and a day without a year: "on 10/21", and the label in "10/21: 38.7".
    rf"|(?:(?<=\b[Oo]n )|^|(?<=: ))(?P<usmd>[01]?[0-9]/{_DAY})(?=:)"
    rf"|(?<=\b[Oo]n )(?P<usmd2>[01]?[0-9]/{_DAY})(?![\w/])"
)
# Groups of `_DATE` whose name is not the order of their parts.
_ORDERS = {
    "iso": "ymd",
    "us": "mdy",
    "yy": "y",
    "eu": "dmy",
    "mony": "my",
    "usmd": "md",
    "usmd2": "md",
}


class Date(NamedTuple):
    """A date as written, at `start:end` of its text; missing parts are None."""

    year: int | None
    month: int | None
    day: int | None
    start: int = 0
    end: int = 0

    def agrees(self, day: date) -> bool:
        """Return whether every part given matches `day`; the year 14 matches 1914 and 2014."""
        return (
            self.year in (None, day.year, day.year % 100)
            and self.month in (None, day.month)
            and self.day in (None, day.day)
        )

    def states(self, day: date, precision: str) -> bool:
        """Return whether it states `day` at least to `precision` (day, month or year)."""
        n = ("year", "month", "day").index(precision) + 1
        year, *rest = (self.year, self.month, self.day)[:n]
        return year in (day.year, day.year % 100) and rest == [day.month, day.day][: n - 1]


@lru_cache(maxsize=2048)
def read_dates(text: str) -> tuple[Date, ...]:
    """Return the dates in `text`, in order.

    Two-digit years are read only in dates such as 8/10/14. A bare year counts unless a unit follows
    it (2014 pg/mL). 25/12/2014 is read with the day first, since there is no month 25.
    """
    found = []
    for match in _DATE.finditer(text):
        kind = next(k for k, v in match.groupdict().items() if v is not None and k != "sep")
        if kind == "y" and UNIT_AFTER.match(text, match.end()):
            continue
        numbers = [int(n) for n in re.findall(r"[0-9]+", match[kind])]
        if name := re.search(_MONTH, match[kind]):
            month = _MONTHS.index(name[0][:3].lower()) + 1
            numbers.insert(1 if kind in ("dmy", "dm") else 0, month)
        parts = dict(zip(_ORDERS.get(kind, kind), numbers, strict=True))
        year, month, day = (parts.get(part) for part in "ymd")
        if kind in ("us", "eu") and month > 12:
            month, day = day, month
        if (month is None or 1 <= month <= 12) and (day is None or 1 <= day <= 31):
            found.append(Date(year, month, day, *match.span(kind)))
    return tuple(found)
