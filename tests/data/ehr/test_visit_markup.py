"""The dialect with <record> and <visit>, the markup of the paper's examples."""

from pathlib import Path

import pandas as pd
import pytest
from lxml import etree

from medalign_utils.data.ehr import ehr_text, iterate_events, read_events
from medalign_utils.data.ehr.visit_markup import split_line
from medalign_utils.errors import EHRError

OFFICIAL = Path(__file__).parents[4] / "shared" / "official" / "sample-ehr-clean.xml"
RECORD = """<record>
  <visit type="Office Visit" start="03/01/2019 09:00 AM">
    <day start="03/01/2019 09:00 AM">
      <person>
        Birth:7/4/1950
        Race: White
        Age in Years: 68
      </person>
      <measurement start="03/01/2019 9:05 AM">
        <code>[LOINC/8480-6] Systolic blood pressure 165 mm Hg</code>
        <code>[LOINC/8310-5] Body temperature 38.1 </code>
      </measurement>
      <drug_exposure start="03/01/2019 21:00">
        <code>[RxNorm/6185] labetalol 5 mg</code>
      </drug_exposure>
      <note type="NULL" start="03/01/2019 9:30 PM">
        Feels well &lt;today&gt;.
      </note>
    </day>
  </visit>
  <visit type="Phone" start="04/02/2019 14:00">
    <day start="04/02/2019 14:00">
      <condition_occurrence><code>[ICD10CM/I10] Hypertension</code></condition_occurrence>
    </day>
  </visit>
</record>
"""


def test_both_dialects_give_the_same_events_table(write):
    events = read_events(write(RECORD))
    assert set(events["person_id"]) == {"7"}
    assert events["encounter"].tolist() == [0] * 8 + [1] * 2
    shown = events[["timestamp", "type", "code", "name", "value", "unit"]].astype("str")
    assert shown.fillna("").to_numpy().tolist() == [
        ["2019-03-01 09:00:00", "visit", "", "Office Visit", "start", ""],
        ["2019-03-01 09:00:00", "person", "", "birthdate", "1950-07-04", ""],
        ["2019-03-01 09:00:00", "person", "", "race", "White", ""],
        ["2019-03-01 09:00:00", "person", "", "age_years", "68", ""],
        ["2019-03-01 09:05:00", "measurement", "LOINC/8480-6", "Systolic blood pressure", "165",
         "mm Hg"],
        ["2019-03-01 09:05:00", "measurement", "LOINC/8310-5", "Body temperature", "38.1", ""],
        ["2019-03-01 21:00:00", "drug_exposure", "RxNorm/6185", "labetalol 5 mg", "", ""],
        ["2019-03-01 21:30:00", "note", "", "", "Feels well <today>.", ""],
        ["2019-04-02 14:00:00", "visit", "", "Phone", "start", ""],
        # Dated by day.
        ["2019-04-02 14:00:00", "condition", "ICD10CM/I10", "Hypertension", "", ""],
    ]  # fmt: skip
    assert events["source_text"].iloc[4] == "[LOINC/8480-6] Systolic blood pressure 165 mm Hg"
    assert events["source_text"].iloc[1] == "Birth:7/4/1950"


def test_lines_and_markup(write):
    line = "\n2019-03-01 09:05 measurement LOINC/8480-6 Systolic blood pressure: 165 mm Hg\n"
    assert line in ehr_text(write(RECORD), "lines")
    assert ehr_text(write(RECORD), "markup") == RECORD


@pytest.mark.parametrize(
    ("line", "split"),
    [
        ("[LOINC/8601-7] EKG impression", ("EKG impression", None, None)),
        ("[LOINC/70182-1] NIHSS 8 ", ("NIHSS", "8", None)),
        ("[LOINC/8277-6] Body surface area 0 sq meters", ("Body surface area", "0", "sq meters")),
        ("[L/1] Troponin < 0.01 ng/mL", ("Troponin", "< 0.01", "ng/mL")),
        ("[L/1] GFR >= 60", ("GFR", ">= 60", None)),
        ("[LOINC/3] Alpha 1 antitrypsin", ("Alpha 1 antitrypsin", None, None)),
        ("[LOINC/4] Blood pressure 120/80", ("Blood pressure", "120/80", None)),
        ("[LOINC/5]", (None, None, None)),
    ],
)
def test_a_line_is_split_if_possible(line, split):
    assert split_line("measurement", line)[1:] == split
    # The whole line of a drug or procedure is its name.
    assert split_line("drug_exposure", line)[2:] == (None, None)


def test_text_without_a_code_is_kept_and_a_death_without_a_cause_is_an_event(write):
    text = RECORD.replace("[ICD10CM/I10] Hypertension", "Hypertension")
    text = text.replace("<condition_occurrence>", "<condition_occurrence>since youth")
    died = '</condition_occurrence><death start="04/03/2019"/>'
    rows = read_events(write(text.replace("</condition_occurrence>", died))).iloc[-3:]
    assert rows["name"].tolist()[:2] == ["Hypertension", "since youth"]
    assert rows["code"].isna().all() and rows["encounter"].eq(1).all()
    # A date alone is a start.
    death = rows.iloc[-1]
    assert (death["type"], death["timestamp"]) == ("death", pd.Timestamp("2019-04-03"))
    assert death[["name", "value", "unit"]].isna().all()


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ('"03/01/2019 9:05 AM"', '"13/01/2019 9:05 AM"', "event 4 (from 0), start: found '##/##/#"),
        (
            "condition_occurrence",
            "humour",
            "event 9 (from 0): element of the form 'aaaaaa' in <day>",
        ),
        ('"04/02/2019 14:00"', '""', "line 21: event 8 (from 0), start: found nothing"),
        ("<code>[RxNorm", "<drug>[RxNorm", "not well-formed"),
        ("</record>", "<death start='x'/></record>", "line 26: event 10 (from 0): element <death>"),
        ("</visit>\n</", "</visit><day/></", "element <day> in <record>, expected <visit>"),
        (
            '00">\n    <day',
            '00"><note/>\n    <day',
            "line 21: event 10 (from 0): element <note> in",
        ),
        ("</note>", "</note>More.", "line 3: event 8 (from 0): text in <day> outside its elements"),
        ("</day>\n  </visit>\n</", "</day>More.</visit></", "text in <visit> outside its elements"),
        ("</visit>\n  <", "</visit>More.<", "line 1: event 10 (from 0): text in <record> outside"),
        (
            "<record>",
            '<record person_id="8">',
            "another person_id, expected '7' as in the file name",
        ),
    ],
)
def test_errors_name_the_line_and_event(write, old, new, fault):
    assert old in RECORD
    with pytest.raises(EHRError) as error:
        read_events(write(RECORD.replace(old, new)))
    assert fault in str(error.value)


def test_unreadable_events_are_reported_and_the_rest_is_read(write):
    broken = RECORD.replace("9:05 AM", "soon").replace("note", "letter")
    faults = []
    events = list(iterate_events(write(broken), faults.append))
    # 2 measurements and the note are missing.
    assert len(events) == 7 and len(faults) == 2
    assert "start: found '##/##/#### aaaa'" in faults[0] and "form 'aaaaaa'" in faults[1]


@pytest.mark.skipif(not OFFICIAL.exists(), reason="the authors' sample files are not here")
def test_the_public_sample_reads_without_loss():
    events = read_events(OFFICIAL)
    assert events["encounter"].nunique() == 3
    notes = events[events["type"] == "note"]
    assert notes["name"].notna().sum() == 3 and notes["name"].isna().sum() == 2
    root = etree.parse(str(OFFICIAL)).getroot()
    lines = ["".join(code.itertext()) for code in root.iter("code")]
    coded = events[~events["type"].isin(["note", "person", "visit"])]
    assert coded["source_text"].tolist() == lines
    # Code, name, value and unit contain all of a line except brackets.
    parts = coded[["code", "name", "value", "unit"]].fillna("").agg(" ".join, axis=1)
    bare = [line.replace("[", " ", 1).replace("]", " ", 1) for line in lines]
    assert [part.split() for part in parts] == [line.split() for line in bare]
    assert notes["source_text"].tolist() == ["".join(n.itertext()) for n in root.iter("note")]
    days = events.groupby("encounter")["timestamp"].agg(lambda t: set(t.dt.date.astype("str")))
    assert days.tolist() == [{"2018-10-08"}, {"2018-10-20"}, {"2022-05-15"}]
    assert events["timestamp"].min() == pd.Timestamp("2018-10-08 20:00")
    # "10/08/2018 9:00 PM" and "10/20/2018 1:45 PM", the two reports.
    untitled = notes.loc[notes["name"].isna(), "timestamp"].astype("str").tolist()
    assert untitled == ["2018-10-08 21:00:00", "2018-10-20 13:45:00"]
