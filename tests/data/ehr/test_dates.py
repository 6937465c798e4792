"""Dates, times and ages that no record has."""

from datetime import date, datetime

import pytest

from medalign_utils.data.demographics import describe_person
from medalign_utils.data.ehr import iterate_events, read_events
from medalign_utils.data.ehr.dates import LATEST_YEAR, birthdate_of, check_age, timestamp_of
from medalign_utils.errors import EHRError, ParamsError
from tests.builders.tiny_release import encounter, eventstream, lab

MOMENTS = {
    "2014-08-10": datetime(2014, 8, 10),
    "2014-08-10 09:12": datetime(2014, 8, 10, 9, 12),
    "2014-08-10T09:12:13.999": datetime(2014, 8, 10, 9, 12, 13),
    " 2014-08-10  9:12 ": datetime(2014, 8, 10, 9, 12),
    "2014-08-10 09:12 PM": datetime(2014, 8, 10, 21, 12),
    "2014-08-10 12:05 a.m.": datetime(2014, 8, 10, 0, 5),
    "2016-12-31 23:59:60": datetime(2016, 12, 31, 23, 59, 59),
    "2014-03-09 02:30": datetime(2014, 3, 9, 2, 30),  # skipped by daylight saving time
    "2016-02-29": datetime(2016, 2, 29),
}
AMERICAN = {
    "10/08/2018 08:05 PM": datetime(2018, 10, 8, 20, 5),
    "7/4/2018 12:00PM": datetime(2018, 7, 4, 12),
    "7/4/2018 20:00": datetime(2018, 7, 4, 20),
}


@pytest.mark.parametrize(("text", "moment"), (MOMENTS | AMERICAN).items())
def test_a_timestamp_is_read_to_the_second(text, moment):
    assert timestamp_of(text, american=True) == moment


NONE_SUCH = (
    "2014-02-30 09:00|2015-02-29|0000-00-00|0000-00-00 00:00|2014-13-01|2014-08-10 24:00|"
    "2014-08-10 09:60|2014-08-10 09:12:61|2014-08-10 09:12:60|2014-08-10 13:00 PM|"
    "10/08/2018 20:00 PM|13/08/2018|10/08/2018 0:30 AM"
).split("|")


@pytest.mark.parametrize("text", NONE_SUCH)
def test_a_date_that_no_calendar_has_is_told_as_such(text):
    with pytest.raises(ValueError, match="no such date or time") as error:
        timestamp_of(text, american=True)
    assert "expected" not in str(error.value) and not any(c.isdigit() for c in str(error.value))


@pytest.mark.parametrize("text", ["0001-01-01", "1066-10-14", "2214-03-01 08:00", "9999-12-31"])
def test_a_year_that_no_record_has_is_refused(text):
    with pytest.raises(ValueError, match="no plausible date"):
        timestamp_of(text)


def test_records_shifted_into_the_future_are_read_up_to_the_year_that_the_user_gives(monkeypatch):
    monkeypatch.setenv(LATEST_YEAR, "2214")
    assert timestamp_of("2214-03-01 08:00").year == 2214
    with pytest.raises(ValueError, match="no plausible date"):
        timestamp_of("2215-03-01 08:00")
    monkeypatch.setenv(LATEST_YEAR, "soon")
    with pytest.raises(ParamsError, match="is not a year"):
        timestamp_of("2014-03-01 08:00")


def test_next_years_appointment_is_plausible_and_the_year_after_is_not():
    year = date.today().year
    assert timestamp_of(f"{year + 1}-01-02").year == year + 1
    with pytest.raises(ValueError, match="no plausible date"):
        timestamp_of(f"{year + 2}-01-02")


@pytest.mark.parametrize("zone", ["Z", "+01:00", "-0800", " UTC", "+01"])
def test_a_time_zone_is_told_and_not_dropped(zone):
    with pytest.raises(ValueError, match="a time zone; write the local time"):
        timestamp_of(f"2014-08-10 09:12:00{zone}")


BIRTHDATES = {
    "1950-03-02": "1950-03-02",
    "1950-03-02 00:00:00": "1950-03-02",
    "1950-03-02T00:00:00+00:00": "1950-03-02",
    "1950-03-02T08:30": "1950-03-02",
    "3/2/1950": "1950-03-02",
    "1950": "1950",
    "1950-03": "1950-03",
    "unknown": "unknown",
}


@pytest.mark.parametrize(("text", "value"), BIRTHDATES.items())
def test_a_birthdate_with_a_time_or_a_zone_is_a_date(text, value):
    assert birthdate_of(text) == value


NOBODYS = (
    "0001-01-01|9999-12-31|1950-02-30|1700|1950-13|02.03.1950|19500302|17|1950-03-02T23:00:00Z"
).split("|")


@pytest.mark.parametrize("text", NOBODYS)
def test_a_birthdate_that_nobody_has_is_refused(text):
    with pytest.raises(ValueError, match=r"found '[#AT:.-]+', "):
        birthdate_of(text)


@pytest.mark.parametrize("text", ["23537", "64.5", "-30", "> 89", "unknown"])
def test_ages_of_patients(text):
    check_age(text, 365)


@pytest.mark.parametrize("text", ["99999999", "-99999", "inf", "1e300"])
def test_an_age_that_nobody_reaches_is_refused(text):
    with pytest.raises(ValueError, match="no plausible age"):
        check_age(text, 365)


def header(birthdate="1950-03-02", days="23537", years="64"):
    age = f"<age><days>{days}</days><years>{years}</years></age>"
    return f"<person><birthdate>{birthdate}</birthdate>{age}</person>"


FAULTS = {
    "birthdate": (header("0001-01-01"), "birthdate: found '####-##-##', no plausible date"),
    "age_days": (header(days="99999999"), "age_days: found '########', no plausible age"),
    "age_years": (header(years="300"), "age_years: found '###', no plausible age"),
}


@pytest.mark.parametrize(("person", "fault"), FAULTS.values(), ids=FAULTS)
def test_an_impossible_fact_is_refused_at_the_door(write, person, fault):
    path = write(eventstream("7", encounter(lab("2014-08-10 09:12", "1.4"), person)))
    with pytest.raises(EHRError) as error:
        read_events(path)
    assert f"7.xml, line 2: encounter 0 (from 0), {fault}" in str(error.value)
    faults = []
    assert [event.value for event in iterate_events(path, faults.append)][-1] == "1.4"
    assert len(faults) == 1


def test_an_impossible_birth_in_the_other_dialect(write):
    person = "<person>\nBirth: 2/30/1950\nAge in years: 999\nGender: MALE\n</person>"
    visit = f'<visit start="03/01/2019"><day start="03/01/2019">{person}</day></visit>'
    faults = []
    events = list(iterate_events(write(f"<record>{visit}</record>"), faults.append))
    assert [event.value for event in events] == ["start", "MALE"]
    assert "birthdate: found '#/##/####', no such date" in faults[0]
    assert "age_years: found '###', no plausible age" in faults[1]


@pytest.mark.parametrize("year", [1900, 1948, 2080])
def test_an_event_outside_the_patients_life_is_a_problem(write, year, monkeypatch):
    monkeypatch.setenv(LATEST_YEAR, "2200")
    entries = lab("2014-08-10 09:12", "1.4") + lab(f"{year}-01-01 00:00", "1.5")
    path = write(eventstream("7", encounter(entries, header())))
    with pytest.raises(EHRError, match="a date outside the patient's life by the birth date"):
        read_events(path)


def test_prenatal_care_is_no_problem(write):
    path = write(eventstream("7", encounter(lab("1949-12-01 08:00", "1.4"), header())))
    assert len(read_events(path)) == 4


def test_a_birthdate_with_a_zone_gives_the_same_age(write):
    for birthdate in ("1950-03-02", "1950-03-02T00:00:00Z"):
        text = eventstream("7", encounter(lab("2015-03-01 09:12", "1.4"), header(birthdate)))
        assert describe_person(read_events(write(text)))["age"] == "40–64"
