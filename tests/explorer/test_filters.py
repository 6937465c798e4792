from datetime import date

import pytest

from medalign_utils.explorer.filters import day_of, select_events


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("2014", date(2014, 1, 1), date(2014, 12, 31)),
        ("2014-2", date(2014, 2, 1), date(2014, 2, 28)),
        ("2014-08-10", date(2014, 8, 10), date(2014, 8, 10)),
        (" ", None, None),
        ("9999", date(9999, 1, 1), date(9999, 12, 31)),
    ],
)
def test_days_months_and_years(text, first, last):
    assert (day_of(text), day_of(text, is_end=True)) == (first, last)


@pytest.mark.parametrize("text", ["08/10/2014", "2014-13", "2014-02-30", "x", "0"])
def test_anything_else_is_no_day(text):
    with pytest.raises(ValueError, match="write 2014-08-10, 2014-08 or 2014"):
        day_of(text)


def test_selects_types_and_days(events):
    assert len(select_events(events, ["note"], date(2014, 8, 11), date(2014, 9, 1))) == 1
    assert len(select_events(events)) == len(events)
