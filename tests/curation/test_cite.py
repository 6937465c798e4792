import pytest

from medalign_utils.curation.cite import cite
from medalign_utils.curation.evidence import locate_evidence
from medalign_utils.curation.record_text import RecordText
from medalign_utils.data.ehr import read_events
from tests.builders.tiny_release import encounter, entry, event, eventstream, lab

PROGRESS = """Seen today; no complaints.
She quit smoking in 1981. Denies chest
pain, fever or falls. Pain 6/10.
Plan:
- aspirin 81 mg
- no statin
"""
NOTES = {  # time: title, text
    "2014-08-10 10:00": ("Progress note", PROGRESS),
    "2014-08-11 10:00": ("Progress note", PROGRESS),
    "2014-08-12 10:00": ("Imaging report; final", "Nodule of 5 mm.\n\nNo effusion."),
}


@pytest.fixture
def record(tmp_path):
    notes = [
        entry(time, event("note", "STANFORD_NOTE/1", title, text, note_id=time))
        for time, (title, text) in NOTES.items()
    ]
    labs = lab("2014-08-10 09:12", "1.40") + lab("2015-01-02 08:00", "1.40")
    drug = event("drug_exposure", "RxNorm/1", "metoprolol; oral", "start")
    drugs = entry("2015-01-03 08:00", drug, event("condition", "ICD10CM/I10", "NULL"))
    file = tmp_path / "7.xml"
    file.write_text(eventstream("7", encounter("".join([*notes, labs, drugs]))))
    return RecordText(read_events(file).sort_values("timestamp", kind="stable"))


def row_of(record, time):
    times = record.events["timestamp"].astype(str)
    return record.events.index[times.str.startswith(time)][0]


@pytest.mark.parametrize(
    "quote, text",
    [
        ("quit smoking in 1981.", "Progress note of 08/10/2014: quit smoking in 1981."),
        ("Denies chest\npain", "Progress note of 08/10/2014: Denies chest pain"),
        ("today; no complaints", "Progress note of 08/10/2014: today; Progress note of 08/10/2014: "
         "no complaints"),
        ("- aspirin 81 mg\n- no statin", "Progress note of 08/10/2014: aspirin 81 mg; Progress "
         "note of 08/10/2014: no statin"),
        # The record denies falls, so the quote alone would say the opposite; half a number.
        ("falls. Pain 6/10", "Progress note of 08/10/2014: Denies chest pain, fever or falls. "
         "Pain 6/10"),
        ("10.", "Progress note of 08/10/2014: Pain 6/10"),
        ("", "Progress note of 08/10/2014"),
    ],
)  # fmt: skip
def test_a_quote_leads_back_to_its_note(record, quote, text):
    row = row_of(record, "2014-08-10 10:00")
    assert cite(record, row, quote) == (text, True)
    assert locate_evidence(record, text).rows[0] == row


@pytest.mark.parametrize(
    "time, text",
    [
        ("2014-08-10 09:12", "Creatinine 1.40 mg/dL on 08/10/2014"),
        ("2015-01-02 08:00", "Creatinine 1.40 mg/dL on 01/02/2015"),
        ("2015-01-03 08:00", "metoprolol, oral started on 01/03/2015"),
    ],
)
def test_an_event_is_found_on_its_day(record, time, text):
    row = row_of(record, time)
    assert cite(record, row) == (text, True)
    assert locate_evidence(record, text).rows[0] == row


def test_a_title_with_a_semicolon_does_not_split_the_evidence(record):
    row = row_of(record, "2014-08-12")
    text, is_found = cite(record, row, "Nodule of 5 mm.\n\nNo effusion.")
    assert is_found and locate_evidence(record, text).rows[0] == row


def test_what_is_nowhere_in_the_record_is_said_so(record):
    assert not cite(record, row_of(record, "2014-08-12"), "Fracture of the left wrist").is_found
