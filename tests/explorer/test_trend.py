import base64
import re

import pandas as pd
import pytest

from medalign_utils.explorer.trend import Measure, measure_of, measures_of, trend_html

CREATININE = Measure("Creatinine", "mg/dL")


def html_of(events, **options):
    return trend_html(events, CREATININE, address_of=lambda row: f"40/{row}", **options)


def test_lists_the_tests_with_numbers(events):
    assert measures_of(events) == {CREATININE: 4}
    assert str(CREATININE) == "Creatinine (mg/dL)" and str(Measure("pH", "")) == "pH"
    assert measure_of(events[events["type"] == "measurement"].iloc[0]) == CREATININE
    assert measure_of(events[events["type"] == "note"].iloc[0]) is None


def test_plots_and_lists_the_values(events):
    html = html_of(events)
    png = re.search(r"base64,([^\"]+)", html)[1]
    assert base64.b64decode(png).startswith(b"\x89PNG")
    assert "Creatinine: 4 values, 1.1 to 1.6 mg/dL" in html
    values = re.findall(r">([\d-]{10}) [\d:]+</a></td><td>([^<]+)<", html)
    assert values[0] == ("2015-01-02", "1.1 mg/dL") and len(values) == 4
    oldest = re.findall(r"</a></td><td>([^<]+)<", html_of(events, newest_first=False))
    assert oldest == [value for _, value in values[::-1]]


def test_the_event_on_display_is_marked(events):
    row = events.index[events["value"] == "1.5"][0]
    marked = re.search('<tr class="ma-evidence".*?</tr>', html_of(events, marked=row))[0]
    assert "1.5 mg/dL" in marked and f"#medalign=40/{row}" in marked


@pytest.mark.parametrize(("value", "number"), [("<0.5", 0.5), ("1,200", 1200), ("≥ 3", 3)])
def test_bounds_and_thousands_are_numbers(events, value, number):
    events.loc[events["type"] == "measurement", "value"] = value
    assert f"{number:g} to {number:g} mg/dL" in html_of(events)
    assert value.replace("<", "&lt;") in html_of(events)


def test_values_without_numbers_or_names(events):
    assert measures_of(events.assign(value="positive")) == {}
    assert measures_of(events.assign(name=pd.NA)) == {}
