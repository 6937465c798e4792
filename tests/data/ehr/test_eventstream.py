import gc
import re
import time
import tracemalloc
import warnings

import pandas as pd
import pytest

from medalign_utils.data.ehr import EVENT_COLUMNS, ehr_text, iterate_events, read_events
from medalign_utils.errors import EHRError
from tests.builders.tiny_release import encounter, entry, event, eventstream, lab, note

HEADER = (
    "<person><birthdate>1950-03-02</birthdate><age><days>23537</days><years>64</years></age>"
    "<demographics><ethnicity>NULL</ethnicity><gender>FEMALE</gender><race>Asian</race>"
    "</demographics><payerplan/></person><caresites><caresite>A</caresite></caresites>"
)
LAB = lab("2014-08-10 09:12", "1.4")


def error_of(path, read=read_events):
    with pytest.raises(EHRError) as caught:
        read(path)
    return str(caught.value)


def test_events_have_their_columns_types_and_order(write):
    first = encounter(lab("2014-08-10 09:12", " 1.4\n"), HEADER)
    second = encounter(
        note("2014-01-01 08:00:59.7", "  Two\nlines <!-- c -->— <b>&lt;5</b><?p i?> &amp; é  "),
        start="",
    )
    path = write(eventstream("7", first + second))
    events = read_events(path)
    assert [*iterate_events(path, print)][-1].timestamp.microsecond == 0
    assert tuple(events.columns) == EVENT_COLUMNS
    # The header's 5 known facts come first (ethnicity is NULL, the payer plan is empty).
    names = ["birthdate", "age_days", "age_years", "gender", "race", "Creatinine", "Progress note"]
    assert events["name"].tolist() == names
    assert events["encounter"].tolist() == [0, 0, 0, 0, 0, 0, 1]
    assert set(events["person_id"]) == {"7"}
    assert events["timestamp"].dtype == "datetime64[s]"
    assert events["timestamp"].iloc[0] == pd.Timestamp("2014-08-10 09:00")
    assert events["timestamp"].iloc[-1] == pd.Timestamp("2014-01-01 08:00:59")
    assert events[["value", "source_text"]].iloc[5].tolist() == ["1.4", " 1.4\n"]
    assert events[["value", "note_id"]].iloc[6].tolist() == ["Two\nlines — <5 & é", "9"]
    assert events["unit"].isna().tolist() == [True] * 5 + [False, True]


@pytest.mark.parametrize("word", ["nan", "NULL", "None", "N/A", "<NA>"])
def test_words_for_missing_values_are_missing_in_attributes_and_text(write, word):
    word = word.replace("<", "&lt;")
    events = entry("2014-08-10 09:12", event("visit", word, word, word, unit=word, note_id=word))
    row = read_events(write(eventstream("7", encounter(events)))).iloc[0]
    assert row[["code", "name", "value", "unit", "note_id"]].isna().all()
    with pytest.raises(EHRError, match="no type"):
        read_events(write(eventstream("7", encounter(events.replace('"visit"', f'"{word}"')))))


def test_null_and_blank_are_missing_and_an_empty_ehr_has_no_events(write):
    path = write(eventstream("7", encounter(entry("2014-08-10 09:12", event("visit", "NULL", "")))))
    row = read_events(path).iloc[0]
    assert row[["code", "name", "value", "unit", "note_id"]].isna().all()
    assert row["source_text"] == ""
    assert ehr_text(path, "lines") == "2014-08-10 09:12 visit"
    events = read_events(write(eventstream("7", "")))
    assert events.empty and events["timestamp"].dtype == "datetime64[s]"
    assert ehr_text(path, "lines") == ""


def test_lines_are_chronological_and_do_not_repeat_demographics(write):
    moved = HEADER.replace("Asian", "White")
    condition = event("condition", "ICD10CM/I10", "Essential\n HTN")
    encounters = (
        encounter(lab("2015-01-01 09:12", "1.1"), moved, start="2015-01-01 00:00"),
        encounter(note("2014-08-10 10:00:30", "\nDenies pain.\n\n  Eats well."), HEADER),
        encounter(entry("2016-01-01 00:00", condition), moved, start="2016-01-01 00:00"),
    )
    expected = """
2014-08-10 09:00 person birthdate: 1950-03-02
2014-08-10 09:00 person gender: FEMALE
2014-08-10 09:00 person race: Asian
2014-08-10 10:00 note STANFORD_NOTE/1 Progress note:
Denies pain.

  Eats well.
2015-01-01 00:00 person race: White
2015-01-01 09:12 measurement LOINC/2160-0 Creatinine: 1.1 mg/dL
2016-01-01 00:00 condition ICD10CM/I10 Essential HTN"""
    assert ehr_text(write(eventstream("7", "".join(encounters))), "lines") == expected.lstrip()


def test_markup_is_the_files_text(write):
    text = '<?xml version="1.0" encoding="UTF-8"?>\r\n' + eventstream("7", "<!-- é -->")
    assert ehr_text(write(b"\xef\xbb\xbf" + text.encode()), "markup") == text
    latin = text.replace("UTF-8", "ISO-8859-1")
    assert ehr_text(write(latin.encode("latin-1")), "markup") == latin
    with pytest.raises(ValueError, match="format 'xml', expected one of lines, markup"):
        ehr_text(write(text), "xml")


@pytest.mark.parametrize("name", ["7.xml", "EHR_7.xml"])
def test_the_file_names_the_person(write, name):
    assert read_events(write(eventstream("7", ""), name)).empty
    for root, fault in ((eventstream("8", ""), "another"), ("<eventstream/>", "no")):
        message = error_of(write(root, name))
        assert f"{fault} person_id, expected '7' as in the file name" in message


TIMES = "10/08/2014|NULL|2014-W01-1|20140810|2014-08-10 09|"
FORMS = {time: "expected YYYY-MM-DD, optionally with HH:MM" for time in (*TIMES.split("|"), None)}
FORMS |= {"2014-02-30 09:00": "no such date or time", "9999-01-01": "no plausible date"}
FORMS |= {"2014-02-03 09:00+01:00": "a time zone; write the local time without one"}


@pytest.mark.parametrize("timestamp", FORMS)
def test_the_error_shows_only_the_form_of_an_unreadable_timestamp(write, timestamp):
    given = "" if timestamp is None else f'timestamp="{timestamp}"'
    bad = f'<entry {given}><event type="visit"/></entry>'
    path = write(eventstream("7", encounter(f"{LAB}\n{bad}")))
    form = re.sub("[a-z]", "a", re.sub("[A-Z]", "A", re.sub(r"\d", "#", str(timestamp))))
    shown = "nothing" if timestamp is None else f"'{form}'"
    message = error_of(path)
    fault = f"found {shown}, {FORMS[timestamp]}"
    assert f"7.xml, line 6: event 1 (from 0), timestamp: {fault}" in message
    assert error_of(path, lambda path: ehr_text(path, "lines")) == message


ENTITIES = (
    '<!DOCTYPE eventstream [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">'
    '<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;"><!ENTITY d "&c;&c;&c;&c;&c;&c;&c;&c;">]>'
)
EXTERNAL = '<!DOCTYPE eventstream SYSTEM "file:///etc/passwd">'


@pytest.mark.parametrize("declaration", ["<!DOCTYPE eventstream>", EXTERNAL, ENTITIES])
@pytest.mark.parametrize("format", ["lines", "markup"])
def test_doctype_is_refused(write, declaration, format):
    document = declaration + "\n" * 70_000 + eventstream("7", "")
    message = error_of(write(document), lambda path: ehr_text(path, format))
    assert "7.xml: has a DOCTYPE" in message


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "an empty file"),
        (eventstream("7", "").encode("utf-16")[2:], "not an EHR, but UTF-16"),
        (eventstream("7", "\n\xe9").encode("latin-1"), "line 3: not well-formed XML"),
        (eventstream("7", "\n\n<encounter>"), "line 5: not well-formed XML"),
        (eventstream("7", "&undefined;"), "line 2: not well-formed XML"),
        (eventstream("7", encounter(LAB)) + "<more/>", "not well-formed"),
        ("<page/>", "another root element, expected <eventstream> or <record>"),
    ],
)
def test_errors_name_the_file_and_line(write, text, fault):
    message = error_of(write(text))
    assert "7.xml" in message and fault in message


def test_missing_file(tmp_path):
    assert "7.xml: cannot be read (No such file" in error_of(tmp_path / "7.xml")


def test_long_note(write):
    long = "word " * 20_000_000  # 100 MB; libxml2 limits a text to 10 MB by default
    path = write(eventstream("7", encounter(note("2014-08-10 09:12", long))))
    assert len(read_events(path)["value"].iloc[0]) == len(long) - 1


@pytest.mark.parametrize(
    "long", ["<!--{}-->", "<encounter a='{}'/>", "<?a {}?>", "<!--{}", "<encounter a='{}"]
)
def test_a_long_token_takes_linear_time(write, long):
    path = write(eventstream("7", encounter(LAB) + long.format(20**5 * "wor d ")))
    start = time.perf_counter()
    if long.endswith(">"):
        assert len(read_events(path)) == 1
    else:
        assert "not well-formed XML" in error_of(path)
    assert time.perf_counter() - start < 5  # for 20 MB; repeated reading would take half a minute


def test_errors_name_lines_beyond_65535(write):
    bad = entry("2014-08-10 09:12", '<event code="A/1">x</event>')
    message = error_of(write(eventstream("7", encounter("\n" * 99_995 + bad))))
    assert "line 99999: event 0 (from 0): no type" in message


def test_files_are_closed(write):
    path = write(eventstream("7", "<broken>"))
    visits = 2 * "<visit start='03/01/2019'><day/></visit>"
    gc.collect()  # files that other tests left open
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        error_of(path)
        next(iterate_events(write(f"<record>{visits}</record>"), print))
        gc.collect()
    assert not [warning for warning in caught if warning.category is ResourceWarning]


def test_a_long_ehr_is_not_kept_in_memory(write):
    days = pd.date_range("2014-01-01", periods=60).astype("str")
    path = write(eventstream("7", "".join(encounter(1000 * LAB, HEADER, day) for day in days)))
    assert path.stat().st_size > 5_000_000
    tracemalloc.start()
    n = sum(1 for _ in iterate_events(path, print))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # Only one encounter's events, and repeated attributes.
    assert n == 60 * (5 + 1000) and peak < 2_000_000


REGULAR = encounter(LAB + note("2014-08-10 10:00", " a\n<b>b</b> "))
INNER = event("measurement", "LOINC/2160-0", "Creatinine", "1.4")
NESTED = f"{INNER}<event type='note'>a{INNER}b</event>{INNER}"
# Content between encounters -> number of events, place of the fault, message.
IRREGULAR = {
    "nothing": ("", 0, None, None),
    "no encounter": (LAB, 0, "line 14: event 3", ": element <event> outside an encounter"),
    "header last": (encounter(LAB).replace("</enc", HEADER + "</enc"), 1 + 5, None, None),
    "two headers": (encounter(LAB, HEADER * 2), 1 + 10, None, None),
    "event beside": (
        encounter(LAB + '<event type="visit"/>'), 1,
        "line 16: event 4", ": element <event> in <events>, expected <entry>",
    ),
    "event in something else": (
        f"<encounter><caresites><a>{LAB}</a></caresites></encounter>", 0,
        "line 14: event 3", ": element <event> outside <events>",
    ),
    "entry beside": (f"<encounter>{LAB}</encounter>", 1, None, None),
    "no event": (
        encounter(entry("2014-08-10 09:12", "<visit/>")), 0,
        "line 15: event 3", ": element <visit> in <entry>, expected <event>",
    ),
    "no type": (
        encounter(entry("2014-08-10 09:12", '<event code="A/1"/>')), 0,
        "line 15: event 3", ": no type; attributes found: code",
    ),
    "no date": (
        encounter(lab("soon", "1.4") + LAB), 1,
        "line 15: event 3", ", timestamp: found 'aaaa', expected YYYY-MM-DD",
    ),
    "unreadable start": (
        encounter(LAB, HEADER, start="soon"), 1 + 5,
        "line 13: encounter 2", ", start_timestamp: found 'aaaa'",
    ),
    "header without a date": (encounter("", HEADER, start=""), 0, None, None),
    "header outside": (HEADER, 0, "line 13: event 3", ": element <person> outside an encounter"),
    "visit in an encounter": (
        "<encounter><visit><day><measurement/></day></visit></encounter>", 0,
        "line 13: event 3", ": element <visit> outside <events>",
    ),
    "event in an event": (
        encounter(entry("2014-08-10 09:12", NESTED)), 3,
        "line 15: event 4", ": element <event> in <event>, expected text",
    ),
    # Reading stops here.
    "broken": ("<encounter><events></encounter>", -2, "line 13: not well-formed XML", None),
}  # fmt: skip


@pytest.mark.parametrize(("middle", "n", "place", "fault"), IRREGULAR.values(), ids=IRREGULAR)
def test_irregular_content_is_reported_and_the_rest_is_read(write, middle, n, place, fault):
    started = encounter(LAB, HEADER)
    path = write(eventstream("7", REGULAR + started + middle + REGULAR.replace("1.4", "1.5")))
    events, faults = [], []
    try:
        for event in iterate_events(path, faults.append):
            events.append(event)
    except EHRError as error:
        faults.append(str(error))
    expected = f"{place} (from 0){fault}" if fault else place
    assert [expected in reported for reported in faults] == ([True] if place else []), faults
    assert len(events) == 2 + (1 + 5) + n + 2  # the header's 5 facts are events
    assert [event.value for event in events[:2]] == ["1.4", "a\nb"]
    assert (events[-2].value, events[-1].encounter) == ("1.5", events[-2].encounter) or n == -2


def test_text_between_the_events_of_an_entry_is_not_lost_silently(write):
    stray = LAB.replace("</entry>", "Seen by Dr. Who.</entry>")
    for inside in (stray, LAB + "Seen by Dr. Who."):
        path = write(eventstream("7", encounter(inside)))
        assert "outside its elements" in error_of(path) and "Who" not in error_of(path)
    assert len(read_events(write(eventstream("7", encounter(LAB + "NULL"))))) == 1


def test_a_value_in_an_attribute_is_read_if_the_event_has_no_text(write):
    events = event("measurement", "a", "b", value="1.4"), event("note", "a", "b", "x", value="2")
    path = write(eventstream("7", encounter(entry("2014-08-10", *events))))
    assert read_events(path)["value"].tolist() == ["1.4", "x"]


def test_an_encounter_in_an_encounter_is_a_fault(write):
    inner = encounter(lab("2014-08-11 09:12", "1.5"))
    path = write(eventstream("7", f"<encounter>{inner}<events>{LAB}</events></encounter>"))
    assert "an encounter inside another" in error_of(path)
    assert [event.value for event in iterate_events(path, lambda fault: None)] == ["1.4"]


def test_two_birth_dates_are_a_fault(write):
    dates = ["1950-03-02", "1950", "1950-03-02T00:00:00", "1990-03-02"]
    parts = [
        encounter(LAB, f"<person><birthdate>{date}</birthdate></person>", start="2014-08-10")
        for date in dates
    ]
    assert len(read_events(write(eventstream("7", "".join(parts[:3]))))) == 6
    error = error_of(write(eventstream("7", "".join(parts))))
    assert "encounter 3 (from 0), birthdate: differs from an earlier birth date" in error
