"""Counts over the records of a release with two patients."""

import dataclasses
from datetime import date

import pandas as pd
import pytest

from medalign_utils.curation import summary
from medalign_utils.curation.summary import count_categories, summarize_records
from medalign_utils.data import ehr
from medalign_utils.data.release import load_release
from medalign_utils.errors import EHRError, ReleaseError
from medalign_utils.prompts.tokenizers import load_tokenizer
from tests.builders.tiny_release import encounter, eventstream, lab, note, write_release

HEADER = "<person><birthdate>1950-02-03</birthdate><gender>MALE</gender></person>"


@pytest.fixture
def release(tmp_path):
    return load_release(write_release(tmp_path / "release"))


@pytest.fixture
def summarized(release):
    # Person 40 gets a header and no events between 2014 and 2017.
    release.ehr_path("40").write_text(
        eventstream(
            "40",
            encounter(lab("2014-08-10 09:12", "1.4") + note("2014-08-11 10:00", "Well."), HEADER)
            + encounter(lab("2017-01-02 08:00", "1.1"), start="2017-01-02 08:00"),
        )
    )
    return summarize_records(release, progress=False)


def test_has_one_row_per_record_and_does_not_count_demographics_as_events(summarized, release):
    row = summarized.records.set_index("person_id").loc["40"]
    counts = ["instructions", "encounters", "events", "notes"]
    assert row[counts].tolist() == [1, 2, 3, 1]
    assert (row["first"], row["last"]) == (date(2014, 8, 10), date(2017, 1, 2))
    assert summarized.records["tokens"].is_monotonic_increasing
    for row in summarized.records.itertuples():
        # Tokens of the text used in prompts.
        text = ehr.ehr_text(release.ehr_path(row.person_id), "lines")
        assert row.tokens == load_tokenizer("minilm").count(text)


def test_a_restricted_release_tells_no_type_and_no_year_of_few_patients(release):
    summarized = summarize_records(release, merge=True, progress=False)
    assert summarized.event_types["type"].tolist() == ["(others)"]
    assert summarized.note_types["note"].tolist() == ["(others)"]
    [years] = summarized.years.to_numpy().tolist()
    events = summarized.records["events"].sum()
    assert (
        pd.isna(years[:2]).all() and years[2] == events == summarized.event_types["events"].item()
    )


def test_counts_types_notes_and_years(summarized):
    # 40: 2 measurements, 1 note; 007: 1 note, 1 drug.
    types = [["measurement", 2, 1], ["note", 2, 2], ["drug_exposure", 1, 1]]
    assert summarized.event_types.to_numpy().tolist() == types
    assert summarized.note_types.to_numpy().tolist() == [["Progress note", 2, 2]]
    years = [[2014, 4, 2], [2015, 0, 0], [2016, 0, 0], [2017, 1, 1]]
    assert summarized.years.to_numpy().tolist() == years


def test_a_record_without_events_gets_a_row_and_a_broken_one_raises(release):
    release.ehr_path("40").write_text(eventstream("40", ""))
    row = summarize_records(release, progress=False).records.iloc[0]
    assert row["person_id"] == "40" and pd.isna(row["first"])
    assert row[["events", "notes", "tokens"]].tolist() == [0, 0, 0]
    release.ehr_path("40").write_text("<eventstream person_id='40'>")
    with pytest.raises(EHRError, match=r"40\.xml"):
        summarize_records(release, progress=False)
    nobody = release.instructions.assign(person_id=pd.Series(None, dtype="str"))
    with pytest.raises(ReleaseError, match="release names its patient"):
        summarize_records(dataclasses.replace(release, instructions=nobody), progress=False)


def test_a_category_that_one_table_lacks_has_no_count_there_instead_of_0():
    asked = pd.DataFrame({"instruction_id": ["1", "2"], "category": ["Other", None]})
    published = {"category": ["Other", "Old"], "with_reference": [4, 1], "all": [7, 2]}
    table = count_categories(asked, asked[:1], pd.DataFrame(published))
    none = pd.NA
    expected = [["Other", 1, 1, 4, 7], ["(none)", 0, 1, none, none], ["Old", none, none, 1, 2]]
    assert table.to_numpy().tolist() == expected


def test_each_ehr_is_read_once(release, monkeypatch):
    read = []
    monkeypatch.setattr(
        summary, "read_events", lambda path: read.append(path) or ehr.read_events(path)
    )
    summarize_records(release, progress=False)
    assert sorted(path.name for path in read) == ["40.xml", "EHR_007.xml"]
