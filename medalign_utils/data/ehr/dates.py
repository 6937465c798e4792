"""Timestamps, birth dates and ages as records write them; no fault repeats what it found."""

import os
import re
from datetime import date, datetime
from functools import lru_cache

from medalign_utils.errors import ParamsError, masked

EARLIEST_YEAR = 1880
OLDEST = 125  # years
# Records whose dates were shifted into the future need a later end than the default.
LATEST_YEAR = "MEDALIGN_LATEST_YEAR"

_TIME = (
    r"(?:[ T](?P<hour>\d\d?):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:[.,]\d+)?)?"
    r"(?: ?(?P<half>[AP])\.?M\.?)?(?P<zone> ?(?:Z|UTC|GMT|[+-]\d\d(?::?\d\d)?))?)?"
)
_ISO_DATE = r"(?P<year>\d{4})-(?P<month>\d\d)-(?P<day>\d\d)"
_AMERICAN_DATE = r"(?P<month>\d\d?)/(?P<day>\d\d?)/(?P<year>\d{4})"
_FLAGS = re.ASCII | re.IGNORECASE
_ISO, _AMERICAN = (re.compile(day + _TIME, _FLAGS) for day in (_ISO_DATE, _AMERICAN_DATE))
_YEAR = re.compile(r"(?P<year>\d{4})(?:-(?P<month>\d\d))?", _FLAGS)
_NONE_SUCH = "no such date or time"


def latest_year() -> int:
    """Return the last plausible year: next year, or the environment's `LATEST_YEAR`."""
    given = os.environ.get(LATEST_YEAR, "").strip()
    if not given:
        return date.today().year + 1
    if not re.fullmatch(r"\d{4}", given, re.ASCII):
        raise ParamsError(f"the environment variable {LATEST_YEAR} is not a year, such as 2200")
    return int(given)


def timestamp_of(text: str | None, *, american: bool = False, born: int | None = None) -> datetime:
    """Return a timestamp, to the second; ValueError, with the `masked` text, if it is invalid.

    Plausible years are those from `EARLIEST_YEAR` to `latest_year`; if the year of birth is known,
    those from a year before it to `OLDEST` years after it. A leap second is the second before it.

    >>> timestamp_of("2016-12-31 23:59:60"), timestamp_of("3/1/2019 9:05 PM", american=True)
    (datetime.datetime(2016, 12, 31, 23, 59, 59), datetime.datetime(2019, 3, 1, 21, 5))
    """
    moment = _timestamp(text, american)
    if isinstance(moment, datetime):
        if fault := _implausible(moment.year, born):
            raise ValueError(f"found {_shown(text)}, {fault}")
        return moment
    raise ValueError(f"found {_shown(text)}, {moment}")


def birthdate_of(text: str) -> str:
    """Return a birth date as YYYY-MM-DD; a year, a month or a text without digits is unchanged.

    A time of day is left out. ValueError, with the `masked` text, if no patient has the date.

    >>> birthdate_of("1950-03-02T00:00:00Z"), birthdate_of("7/4/1950"), birthdate_of("1950")
    ('1950-03-02', '1950-07-04', '1950')
    """
    text = text.strip()
    if not re.search(r"\d", text):
        return text
    if match := _ISO.fullmatch(text) or _AMERICAN.fullmatch(text):
        moment = _moment(match)
        if isinstance(moment, datetime) and match["zone"] and moment.time() != moment.min.time():
            moment = "a time of day in a time zone may be another day; write YYYY-MM-DD"
        value = f"{moment:%Y-%m-%d}" if isinstance(moment, datetime) else text
        fault = moment if isinstance(moment, str) else _implausible(moment.year)
    else:
        match, value = _YEAR.fullmatch(text), text
        fault = _implausible(int(match["year"])) if match else "expected YYYY-MM-DD"
        if match and match["month"] and not 1 <= int(match["month"]) <= 12:
            fault = _NONE_SUCH
    if fault:
        raise ValueError(f"found {_shown(text)}, {fault}")
    return value


def check_age(text: str, per_year: int) -> None:
    """Check that an age, if it is a number, is plausible: from a year before birth to `OLDEST`."""
    try:
        years = float(text) / per_year
    except ValueError:
        return
    if not -1.01 <= years <= OLDEST:
        raise ValueError(f"found {_shown(text)}, no plausible age (up to {OLDEST} years)")


def _shown(text: str | None) -> str:
    return "nothing" if text is None else repr(masked(text))


@lru_cache(maxsize=4096)
def _timestamp(text: str | None, american: bool) -> datetime | str:
    """Return a timestamp, or why it is none."""
    text = " ".join((text or "").split())
    match = _ISO.fullmatch(text) or (_AMERICAN.fullmatch(text) if american else None)
    if match is None:
        expected = "MM/DD/YYYY" if american else "YYYY-MM-DD"
        times = "HH:MM (AM or PM optional)" if american else "HH:MM or HH:MM:SS"
        return f"expected {expected}, optionally with {times}"
    if match["zone"]:
        return "a time zone; write the local time without one"
    return _moment(match)


def _moment(match: re.Match) -> datetime | str:
    hour, second, half = int(match["hour"] or 0), int(match["second"] or 0), match["half"]
    if half:
        if not 1 <= hour <= 12:
            return _NONE_SUCH
        hour = hour % 12 + 12 * (half in "Pp")
    if second == 60 and int(match["minute"]) == 59:  # a leap second
        second = 59
    day = int(match["year"]), int(match["month"]), int(match["day"])
    try:
        return datetime(*day, hour, int(match["minute"] or 0), second)
    except ValueError:
        return _NONE_SUCH


def _implausible(year: int, born: int | None = None) -> str:
    """Return why no record has this year; "" if one may. The year of birth is not told."""
    first, last = EARLIEST_YEAR, latest_year()
    if born is not None and not max(first, born - 1) <= year <= born + OLDEST:
        return "a date outside the patient's life by the birth date"
    if not first <= year <= last:
        return f"no plausible date: before {first} or after {last} ({LATEST_YEAR} sets another end)"
    return ""
