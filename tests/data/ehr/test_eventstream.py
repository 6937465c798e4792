import gc
import re
import time
import tracemalloc
import warnings

import pandas as pd
import pytest

from medalign_utils.data.ehr import EVENT_COLUMNS, ehr_text, iterate_events, read_events
from medalign_utils.data.ehr.eventstream import _Reader
from medalign_utils.errors import EHRError
from tests.builders.tiny_release import encounter, entry, event, eventstream, lab, note

HEADER = (
    "<person><birthdate>1950-03-02</birthdate><age><days>23537</days><years>64</years></age>"
    "<demographics><ethnicity>NULL</ethnicity><gender>FEMALE</gender><race>Asian</race>"
    "</demographics><payerplan/></person><caresites><caresite>A</caresite></caresites>"
)


@pytest.fixture
def write(tmp_path):
    def write(text, name="7.xml"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def error_of(path, read=read_events):
    with pytest.raises(EHRError) as caught:
        read(path)
    return str(caught.value)


def test_events_have_their_columns_types_and_order(write):
    path = write(
        eventstream(
            "7",
            encounter(lab("2014-08-10 09:12", " 1.4\n"), HEADER)
            + encounter(note("2014-01-01 08:00:59", "  Two\nlines — &lt;5 &amp; é  "), start=""),
        ),
    )
    events = read_events(path)
    assert tuple(events.columns) == EVENT_COLUMNS
    # The header's 5 known facts (ethnicity is NULL, the payer plan empty) come first.
    assert events["name"].tolist() == [
        "birthdate",
        "age_days",
        "age_years",
        "gender",
        "race",
        "Creatinine",
        "Progress note",
    ]
    assert events["encounter"].tolist() == [0, 0, 0, 0, 0, 0, 1]
    assert set(events["person_id"]) == {"7"}
    assert events["timestamp"].dtype == "datetime64[s]"
    assert events["timestamp"].iloc[0] == pd.Timestamp("2014-08-10 09:00")
    assert events["timestamp"].iloc[-1] == pd.Timestamp("2014-01-01 08:00:59")
    assert events["value"].iloc[5] == "1.4"
    assert events["source_text"].iloc[5] == " 1.4\n"
    assert events["value"].iloc[6] == "Two\nlines — <5 & é"
    assert events["note_id"].iloc[6] == "9"
    assert events["unit"].isna().tolist() == [True] * 5 + [False, True]


def test_null_and_blank_are_missing(write):
    path = write(eventstream("7", encounter(entry("2014-08-10 09:12", event("visit", "NULL", "")))))
    row = read_events(path).iloc[0]
    assert row[["code", "name", "value", "unit", "note_id"]].isna().all()
    assert row["source_text"] == ""
    assert ehr_text(path, "lines") == "2014-08-10 09:12 visit"


def test_text_around_comments_and_inside_unknown_elements_is_kept(write):
    text = event("note", "N/1", "Note", "No <!-- c --><b>chest</b><?p i?> pain")
    path = write(eventstream("7", encounter(entry("2014-08-10 09:12", text))))
    assert read_events(path)["value"].tolist() == ["No chest pain"]


def test_header_without_encounter_start_takes_the_first_entry(write):
    entries = lab("2014-08-10 09:12", "1.4")
    path = write(eventstream("7", encounter(entries, HEADER, start="")))
    assert set(read_events(path)["timestamp"]) == {pd.Timestamp("2014-08-10 09:12")}
    path = write(eventstream("7", encounter("", HEADER, start="")))
    assert "encounter 0 (from 0) describes the person, but has neither" in error_of(path)
    path = write(eventstream("7", encounter("", HEADER)))
    assert len(read_events(path)) == 5


def test_empty_record(write):
    path = write(eventstream("7", ""))
    events = read_events(path)
    assert events.empty
    assert events["timestamp"].dtype == "datetime64[s]"
    assert ehr_text(path, "lines") == ""


def test_lines_are_chronological_and_repeat_no_demographics(write):
    moved = HEADER.replace("Asian", "White")
    path = write(
        eventstream(
            "7",
            encounter(lab("2015-01-01 09:12", "1.1"), moved, start="2015-01-01 00:00")
            + encounter(note("2014-08-10 10:00:30", "\nDenies pain.\n\n  Eats well."), HEADER)
            + encounter(
                entry("2016-01-01 00:00", event("condition", "ICD10CM/I10", "Essential\n HTN")),
                moved,
                start="2016-01-01 00:00",
            ),
        )
    )
    assert ehr_text(path, "lines").split("\n") == [
        "2014-08-10 09:00 person birthdate: 1950-03-02",
        "2014-08-10 09:00 person gender: FEMALE",
        "2014-08-10 09:00 person race: Asian",
        "2014-08-10 10:00 note STANFORD_NOTE/1 Progress note:",
        "Denies pain.",
        "",
        "  Eats well.",
        "2015-01-01 00:00 person race: White",
        "2015-01-01 09:12 measurement LOINC/2160-0 Creatinine: 1.1 mg/dL",
        "2016-01-01 00:00 condition ICD10CM/I10 Essential HTN",
    ]


def test_markup_is_the_files_text(write):
    text = '<?xml version="1.0" encoding="UTF-8"?>\r\n' + eventstream("7", "<!-- é -->")
    assert ehr_text(write(b"\xef\xbb\xbf" + text.encode()), "markup") == text
    latin = text.replace("UTF-8", "ISO-8859-1").encode("latin-1")
    assert "7.xml: not UTF-8" in error_of(write(latin), lambda path: ehr_text(path, "markup"))
    with pytest.raises(ValueError, match="format 'xml', expected one of lines, markup"):
        ehr_text(write(text), "xml")


@pytest.mark.parametrize("name", ["7.xml", "EHR_7.xml"])
def test_person_is_the_files(write, name):
    assert read_events(write(eventstream("7", ""), name)).empty
    message = error_of(write(eventstream("8", ""), name))
    assert "another person_id, where the file's name says '7'" in message
    assert "no person_id, where" in error_of(write("<eventstream/>", name))


@pytest.mark.parametrize(
    ("timestamp", "shown"),
    [
        ('timestamp="10/08/2014"', "'10/08/2014'"),
        ('timestamp=""', "''"),
        ('timestamp="NULL"', "'NULL'"),
        ('timestamp="2014-W01-1"', "'2014-W01-1'"),
        ('timestamp="20140810"', "'20140810'"),
        ('timestamp="2014-08-10 09"', "'2014-08-10 09'"),
        ('timestamp="2014-02-30 09:00"', "'2014-02-30 09:00'"),
        ('timestamp="2014-02-03 09:00+01:00"', "'2014-02-03 09:00+01:00'"),
        ("", "none"),
    ],
)
def test_undated_event_is_named(write, timestamp, shown):
    bad = f'<entry {timestamp}><event type="visit"/></entry>'
    path = write(eventstream("7", encounter(lab("2014-08-10 09:12", "1.4") + "\n" + bad)))
    message = error_of(path)
    # Of what form it is, not what it says.
    form = re.sub("[a-z]", "a", re.sub("[A-Z]", "A", re.sub(r"\d", "#", shown)))
    shown = "none" if shown == "none" else form
    assert f"7.xml, line 6: event 1 (from 0), timestamp: found {shown}, expected YYYY" in message
    assert error_of(path, lambda path: ehr_text(path, "lines")) == message


def test_event_outside_an_entry_and_without_type(write):
    path = write(eventstream("7", encounter('<event type="visit"/>')))
    assert "event 0 (from 0), timestamp: found none" in error_of(path)
    path = write(eventstream("7", lab("2014-08-10 09:12", "1.4")))
    assert "line 3: event 0 (from 0): it stands in no encounter" in error_of(path)
    path = write(eventstream("7", HEADER + encounter(lab("2014-08-10 09:12", "1.4"))))
    assert "event 0 (from 0): element <person> in no encounter" in error_of(path)
    path = write(eventstream("7", encounter(entry("2014-08-10 09:12", '<event code="A/1"/>'))))
    assert "event 0 (from 0): no type; attributes found: code" in error_of(path)
    path = write(eventstream("7", encounter("", start="soon")))
    assert "encounter 0 (from 0), start_timestamp: found 'aaaa'" in error_of(path)


@pytest.mark.parametrize(("stray", "parent"), [("{}", "eventstream"), (encounter("{}"), "events")])
def test_the_other_dialect_in_this_one_is_not_passed_over(write, stray, parent):
    day = "<visit><day><note>x</note></day></visit>"
    message = error_of(write(eventstream("7", stray.format(day))))
    assert f"event 0 (from 0): element <visit> in <{parent}>, " in message


@pytest.mark.parametrize(
    "declaration",
    [
        "<!DOCTYPE eventstream>",
        '<!DOCTYPE eventstream SYSTEM "file:///etc/passwd">',
        '<!DOCTYPE eventstream [<!ENTITY name "text">]>',
        '<!DOCTYPE eventstream [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">'
        '<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;"><!ENTITY d "&c;&c;&c;&c;&c;&c;&c;&c;">]>',
    ],
)
@pytest.mark.parametrize("format", ["lines", "markup"])
def test_doctype_is_refused(write, declaration, format):
    document = declaration + "\n" * 70_000 + eventstream("7", "")
    message = error_of(write(document), lambda path: ehr_text(path, format))
    assert "7.xml: holds a DOCTYPE" in message


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "line 1: not well-formed XML"),
        ("not xml", "line 1: not well-formed XML"),
        (eventstream("7", "\n\n<encounter>"), "line 5: not well-formed XML"),
        (eventstream("7", "&undefined;"), "line 2: not well-formed XML"),
        (eventstream("7", encounter(lab("2014-08-10 09:12", "1"))) + "<more/>", "not well-formed"),
        (eventstream("7", "x" * 100_000)[:-20], "not well-formed XML"),
        ("<html/>", "root element <html>, expected <eventstream> or <record>"),
    ],
)
def test_broken_file_is_named_with_its_line(write, text, fault):
    message = error_of(write(text))
    assert "7.xml" in message
    assert fault in message


def test_missing_file(tmp_path):
    assert "7.xml: cannot be read (No such file" in error_of(tmp_path / "7.xml")


def test_long_note(write):
    long = "word " * 20_000_000  # 100 MB; libxml2 takes 10 MB for one text by default
    path = write(eventstream("7", encounter(note("2014-08-10 09:12", long))))
    assert len(read_events(path)["value"].iloc[0]) == len(long) - 1


@pytest.mark.parametrize(
    "long",
    ["<!--{}-->", "<encounter a='{}'/>", "<?a {}?>", "<!--{}", "<encounter a='{}"],
)
def test_a_long_token_is_not_looked_at_again_and_again(write, long):
    path = write(
        eventstream("7", encounter(lab("2014-08-10 09:12", "1.4")) + long.format(20**5 * "wor d "))
    )
    start = time.perf_counter()
    if long.endswith(">"):
        assert len(read_events(path)) == 1
    else:
        assert "not well-formed XML" in error_of(path)
    assert time.perf_counter() - start < 5  # of 20 MB; half a minute if it were


VISIT = "<visit start='03/01/2019'><day/></visit>"


def test_files_are_closed(write):
    path = write(eventstream("7", "<broken>"))
    gc.collect()  # what other tests have left open
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        error_of(path)
        next(iterate_events(write(f"<record>{2 * VISIT}</record>"), print))
        gc.collect()
    assert not [each for each in caught if each.category is ResourceWarning]


def test_a_long_ehr_is_not_held_in_memory(write):
    encounters = encounter("".join([lab("2014-08-10 09:12", "1.4")] * 3000), HEADER)
    path = write(eventstream("7", encounters * 20))
    assert path.stat().st_size > 5_000_000
    tracemalloc.start()
    n = sum(1 for _ in iterate_events(path, print))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # The events of one chunk of the file, and the texts that come again and again.
    assert n == 20 * (5 + 3000) and peak < 2_000_000


LAB = event("measurement", "LOINC/2160-0", "Creatinine", "1.4")
REGULAR = encounter(lab("2014-08-10 09:12", "1.4") + note("2014-08-10 10:00", " a\n<b>b</b> "))
# What stands between encounters -> how many events come of it, and the fault that is told.
IRREGULAR = {
    "none": ("", 0, None),
    "no encounter": (
        lab("2014-08-10 09:12", "1.4"),
        0,
        "line 14: event 3 (from 0): it stands in no",
    ),
    "header last": (
        encounter(lab("2014-08-10 09:12", "1"))[: -len("</encounter>")] + f"{HEADER}</encounter>",
        1 + 5,
        None,
    ),
    "two headers": (encounter(lab("2014-08-10 09:12", "1.4"), HEADER * 2), 1 + 10, None),
    "event beside": (
        encounter(lab("2014-08-10 09:12", "1.4") + '<event type="visit"/>'),
        1,
        "line 16: event 4 (from 0), timestamp: found none, it stands in no entry",
    ),
    "entry beside": (f"<encounter>{lab('2014-08-10 09:12', '1.4')}</encounter>", 1, None),
    "no event": (
        encounter(entry("2014-08-10 09:12", "<visit/>")),
        0,
        "line 15: event 3 (from 0): element <visit> in <entry>, expected <event>",
    ),
    "no type": (
        encounter(entry("2014-08-10 09:12", '<event code="A/1"/>')),
        0,
        "line 15: event 3 (from 0): no type; attributes found: code",
    ),
    "no date": (
        encounter(lab("soon", "1.4") + lab("2014-08-10 09:12", "1.4")),
        1,
        "line 15: event 3 (from 0), timestamp: found 'aaaa', expected YYYY-MM-DD",
    ),
    "no start": (
        encounter(lab("2014-08-10 09:12", "1.4"), HEADER, start="soon"),
        1 + 5,
        "line 13: encounter 2 (from 0), start_timestamp: found 'aaaa'",
    ),
    "nobody knows when": (
        encounter("", HEADER, start=""),
        0,
        "line 15: encounter 2 (from 0) describes the person, but has neither",
    ),
    "header outside": (HEADER, 0, "line 13: event 3 (from 0): element <person> in no encounter"),
    "visit": (
        "<visit><day><measurement/></day></visit>",
        0,
        "line 13: event 3 (from 0): element <visit> in <eventstream>, as in the record dialect",
    ),
    "visit in an encounter": (
        "<encounter><visit/></encounter>",
        0,
        "line 13: event 3 (from 0): element <visit> in <encounter>, as in the record dialect",
    ),
    "visit in events": (
        encounter("<visit/>"),
        0,
        "line 14: event 3 (from 0): element <visit> in <events>, expected <entry>",
    ),
    "event in an event": (
        encounter(entry("2014-08-10 09:12", f"{LAB}<event type='note'>a{LAB}b</event>{LAB}")),
        3,
        "line 15: event 4 (from 0), timestamp: found none, it stands in no entry",
    ),
    # Of what follows nothing is read.
    "broken": ("<encounter><events></encounter>", -2, "line 13: not well-formed XML"),
}


@pytest.mark.parametrize("quick", [True, False])
@pytest.mark.parametrize(("middle", "n", "fault"), IRREGULAR.values(), ids=IRREGULAR)
def test_what_is_irregular_is_told_and_the_rest_read(write, monkeypatch, middle, n, fault, quick):
    if not quick:  # the handlers of events within an entry make no difference
        monkeypatch.setattr(_Reader, "quick_handlers", lambda self: (self.begin, self.end))
    started = encounter(lab("2014-08-10 09:12", "1.4"), HEADER)
    path = write(eventstream("7", REGULAR + started + middle + REGULAR.replace("1.4", "1.5")))
    events, faults = [], []
    try:
        for event in iterate_events(path, faults.append):
            events.append(event)
    except EHRError as error:
        faults.append(str(error))
    assert [fault in told for told in faults] == ([] if fault is None else [True])
    assert len(events) == 2 + (1 + 5) + n + 2  # the header's 5 facts are events
    assert [event.value for event in events[:2]] == ["1.4", "a\nb"]
    assert (events[-2].value, events[-1].encounter) == ("1.5", events[-2].encounter) or n == -2
