import re

import pandas as pd

from medalign_utils.explorer.timeline import timeline_html


def test_a_row_for_each_type_with_a_tick_for_each_day(events):
    shown = pd.Timestamp("2014-09-01 11:00")
    html = timeline_html(events[events["type"] != "person"], [shown], shown)
    assert re.findall(r">([\w ]+ \(\d+\))</b>", html) == ["Lab or vital sign (4)", "Note (3)"]
    assert html.count("With hits") == 1
    assert "from 2014-08-10 to 2015-01-02, the entry shown is of 2014-09-01" in html
    ticks = [path.count("M") for path in re.findall(r'<path d="([^"]*)"', html)]
    assert ticks == [4, 3, 1]


def test_a_record_of_one_moment_and_none(events):
    assert timeline_html(events.head(0)) == ""
    one = events[events["type"] == "measurement"].head(1)
    assert "NaN" not in timeline_html(one) and "M0 0v10" in timeline_html(one)


def test_long_records_have_a_bounded_number_of_ticks():
    days = pd.date_range("1950-01-01", periods=20_000)
    events = pd.DataFrame({"timestamp": days, "type": "measurement"})
    assert timeline_html(events).count("M") <= 1_002
