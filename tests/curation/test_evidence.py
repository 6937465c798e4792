import pandas as pd
import pytest

from medalign_utils.curation.evidence import locate_evidence
from medalign_utils.curation.record_text import RecordText
from medalign_utils.data.ehr import read_events
from medalign_utils.explorer.html import title_of
from tests.builders.tiny_release import encounter, entry, event, eventstream, lab

NOTES = {  # time: title, text
    "2013-09-28 10:00": ("Discharge summary", "Follow up with primary care in 3 weeks."),
    "2014-08-10 10:00": ("Progress note", "Triage done. Reports chest pain. No history of stroke."),
    "2015-03-01 10:00": ("Discharge summary", "Follow up with primary care in 3 weeks."),
    "2016-05-01 11:00": ("Imaging report", "CHEST X-RAY 05/01/2016. CT is advised."),
    "2016-06-01 11:00": ("Imaging report", "CT CHEST 06/01/2016. Nodule 5 mm. No effusion."),
    "2017-07-01 11:00": ("Imaging report", "CT CHEST 07/01/2017. Nodule 5 mm. No effusion."),
    "2017-07-02 11:00": (
        "Progress note",
        "70 yo man. Denies chest pain. Started metoprolol 25 mg.",
    ),
}


@pytest.fixture
def record(tmp_path):
    header = "<person><age><years>{}</years></age></person>"
    notes = [
        encounter(
            entry(time, event("visit_detail", "CARE_SITE/1", "Primary Care"))
            + entry(time, event("note", "STANFORD_NOTE/1", title, text, note_id=time)),
            header.format(int(time[:4]) - 1947),
            start=time,
        )
        for time, (title, text) in NOTES.items()
    ]
    labs = encounter(lab("2014-08-10 09:12", "1.40") + lab("2014-08-11 09:12", "11.4"))
    drug = encounter(
        entry("2018-01-01 09:00", event("drug_exposure", "RxNorm/6918", "metoprolol", "start")),
        start="2018-01-01 09:00",
    )
    file = tmp_path / "7.xml"
    file.write_text(eventstream("7", "".join([*notes, labs, drug])))
    return RecordText(read_events(file).sort_values("timestamp", kind="stable"))


def found(record, evidence, *context):
    """Return the first place, its number and the first message without the passage."""
    evidence = locate_evidence(record, evidence, context)
    first = title_of(record.events.loc[evidence.rows[0]]) if evidence.rows else None
    return first, len(evidence.rows), evidence.messages[0].split("”: ")[1]


@pytest.mark.parametrize(
    "evidence, context, first, message",
    [
        # Not the visits to "Primary Care"; the newest, or the one on the day that is named.
        ("follow up with primary care in 3 weeks", [], "2015-03-01 10:00  Discharge summary",
         "found word for word, in 2 places"),
        ("follow up with primary care in 3 weeks", ["Seen 9/28/2013"],
         "2013-09-28 10:00  Discharge summary", "found word for word, in 2 places"),
        # Of the texts, the first with a day decides.
        ("follow up with primary care in 3 weeks", ["No day.", "2013-09-28", "2015-03-01"],
         "2013-09-28 10:00  Discharge summary", "found word for word, in 2 places"),
        ("Nodule 5 mm, June 1, 2016", ["2017-07-01"], "2016-06-01 11:00  Imaging report",
         "found word for word on the day named, in 1 place"),
        ("CT chest report", [], "2017-07-01 11:00  Imaging report",
         "possibly: all of its words, but not in a row, in 2 places"),
        ("CT chest report of 06/01/2016", [], "2016-06-01 11:00  Imaging report",
         "found: Imaging report of 2016-06-01"),
        ("Imaging report 7/1/2017: no effusion", [], "2017-07-01 11:00  Imaging report",
         "found word for word on the day named, in 1 place"),
        ("Progress note: no effusion", [], "2017-07-01 11:00  Imaging report",
         "possibly: the same words, but in another document, in 2 places"),
        # Not in "Triage": "age" is a word.
        ("Age 70", [], "2017-07-02 11:00  Age", "found word for word, in 2 places"),
        ("70-year-old man", [], "2017-07-02 11:00  Progress note",
         "found with numbers, units or dates written differently, in 1 place"),
        # Numbers by value, units by meaning; 1.4 is not in 11.4.
        ("Creatinine 1.4 mg/dL", [], "2014-08-10 09:12  Creatinine",
         "found with numbers, units or dates written differently, in 1 place"),
        ("Creatinine: 1.40 MG/DL on Aug 10, 2014", [], "2014-08-10 09:12  Creatinine",
         "found word for word on the day named, in 1 place"),
        ("Creatinine 1.4 mg/dL, 08/11/2014", [], "2014-08-10 09:12  Creatinine",
         "possibly: the same words, but not on the day named, in 1 place"),
        ("nodule 5 cm", [], None, "not found"),
        ("metoprolol 2.5 mg", [], None, "not found"),
        ("metoprolol 25 mg started", [], "2017-07-02 11:00  Progress note",
         "possibly: all of its words, but not in a row, in 1 place"),
        # A negated statement is not an affirmed one.
        ("chest pain", [], "2014-08-10 10:00  Progress note", "found word for word, in 1 place"),
        ("no chest pain", [], "2017-07-02 11:00  Progress note",
         "possibly: all of its words, but not in a row, in 1 place"),
        ("history of stroke", [], "2014-08-10 10:00  Progress note",
         "possibly: its words, but saying the opposite, in 1 place"),
        ("No history of stroke", [], "2014-08-10 10:00  Progress note",
         "found word for word, in 1 place"),
        ("biopsy, 2018-01-01", [], "2018-01-01 09:00  metoprolol",
         "not found; showing events of 2018-01-01"),
    ],
)  # fmt: skip
def test_the_first_place_is_the_right_one(record, evidence, context, first, message):
    assert (found(record, evidence, *context)[0], found(record, evidence, *context)[2]) == (
        first,
        message,
    )


def test_a_place_with_more_of_the_evidence_comes_first(record):
    evidence = locate_evidence(record, "metoprolol; denies chest pain\nno effusion; gout")
    assert title_of(record.events.loc[evidence.rows[0]]) == "2017-07-02 11:00  Progress note"
    assert [message.split("”: ")[1][:5] for message in evidence.messages] == [
        "found", "found", "found", "not f",
    ]  # fmt: skip


def test_a_place_that_is_not_sure_is_possible(record):
    evidence = locate_evidence(record, "CT chest report")
    assert set(evidence.is_sure.values()) == {False}
    evidence = locate_evidence(record, "no effusion")
    assert set(evidence.is_sure.values()) == {True}


def test_highlights_the_phrase_or_the_words(record):
    def marked(passage):
        evidence = locate_evidence(record, passage)
        text = record.events.at[evidence.rows[0], "value"]
        return [text[start:end] for start, end in evidence.spans(evidence.rows[0], text)]

    assert marked("denies CHEST pain") == ["Denies chest pain"]
    assert marked("metoprolol 25 mg started") == ["Started", "metoprolol", "25 mg"]


@pytest.mark.parametrize("evidence", [None, "", " ;\n", "xyzzy", "99/99/2014", "gout of 1/1/1999"])
def test_evidence_that_is_not_in_the_record(record, evidence):
    assert locate_evidence(record, evidence).rows == []


def test_a_record_without_events(record):
    empty = RecordText(record.events.head(0))
    assert locate_evidence(empty, "chest pain of 01/01/2014").rows == []
    untitled = record.events.assign(name=pd.Series(pd.NA, record.events.index, dtype="str"))
    assert locate_evidence(RecordText(untitled), "no effusion").rows
