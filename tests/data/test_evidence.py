import pytest

from medalign_utils.data.ehr import read_events
from medalign_utils.data.evidence import locate_evidence, search_pattern
from medalign_utils.data.release import load_release
from medalign_utils.explorer.html import title_of
from tests.builders.explorer_release import PATIENT, write_release


@pytest.fixture
def events(tmp_path):
    return read_events(load_release(write_release(tmp_path / "release")).ehr_path(PATIENT))


@pytest.mark.parametrize("text", ["a+b (c)", "[x]", "\\d", "50 %", "$5 & a"])
def test_searches_literally(text):
    assert search_pattern(text).findall(f"see {text.upper()}.") == [text.upper()]
    assert search_pattern(text).search("see 5 ab c x") is None
    assert search_pattern(" \n") is None


@pytest.mark.parametrize(
    ("evidence", "n", "first", "messages"),
    [
        ("denies chest pain", 1, "2014-08-10 10:00  Progress note", ["found word for word, 1"]),
        ("Creatinine: 1.1 mg/dL, 01/02/2015", 1, "2015-01-02 08:00  Creatinine", ["found word"]),
        # 4 results and a note; the latest first.
        ("Creatinine", 5, "2015-01-02 08:00  Creatinine", ["found word for word, 5 times"]),
        ("CT chest report of 09/01/2014", 1, "2014-09-01 11:00  Imaging report",
         ["no exact match; the note of 2014-09-01 contains all of its words"]),
        # The event with most parts comes first.
        ("creatinine was 1.4; chest pain; gout\n", 2, "2014-08-10 10:00  Progress note",
         ["found", "found", "not found"]),
        ("biopsy, 08/11/2014", 1, "2014-08-11 09:12  Creatinine",
         ["not found; showing events of 2014-08-11"]),
    ],
)  # fmt: skip
def test_evidence_is_located(events, evidence, n, first, messages):
    found = locate_evidence(events, evidence)
    places = [title_of(events.loc[row]) for row in found.rows]
    assert (len(places), places[0]) == (n, first)
    for message, expected in zip(found.messages, messages, strict=True):
        assert message.split("”: ")[1].startswith(expected)


@pytest.mark.parametrize("evidence", [None, "", " ;\n", "xyzzy", "99/99/2014", "gout of 1/1/1999"])
def test_evidence_that_is_not_in_the_record(events, evidence):
    found = locate_evidence(events, evidence)
    assert found.rows == []
    assert all(message.endswith("not found") for message in found.messages)
