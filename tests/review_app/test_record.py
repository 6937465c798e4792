import pytest

from medalign_utils.errors import MedAlignError
from medalign_utils.review_app.record import Record
from tests.builders.explorer_release import BROKEN, PATIENT, write_release


@pytest.fixture
def record(tmp_path):
    return Record(write_release(tmp_path / "release"))


def test_a_sentence_is_found_where_it_is_written(record):
    record.show(PATIENT)
    assert record.locate("He denies chest pain.").startswith("Found")
    assert '<mark class="ma-evidence">chest</mark>' in record.note.value
    assert "keys n, p" in record.hits.value


def test_the_next_place_is_shown(record):
    record.show(PATIENT)
    assert record.locate("Creatinine").startswith("Found 1 of ")
    before = record.row
    record.next_hit.click()
    assert record.row != before and "Found 2 of " in record.hits.value


def test_a_sentence_that_is_nowhere_is_searched_by_its_rarest_words(record):
    record.show(PATIENT)
    assert record.locate("Creatinine of 99 fell after the operation in Berlin.").startswith("Not")
    assert record.search.value == "creatinin"
    assert record.locate("Xyzzy.") == "Not found: the record has none of its words."


def test_another_record_takes_the_place_of_one(record):
    record.show(PATIENT)
    with pytest.raises(MedAlignError, match="not well-formed"):
        record.show(BROKEN)
    assert not record.events.size and "Male" not in record.person.value
    record.show(PATIENT)
    assert "Male" in record.person.value


def test_nothing_links_to_an_address_that_names_the_patient(record):
    record.show(PATIENT)
    assert "#medalign" not in record.note.value + record.table.value
    record.tabs.selected_index = 2
    assert "Creatinine" in record.trend.value and "#medalign" not in record.trend.value


def test_a_record_read_ahead_is_not_read_again(record, monkeypatch):
    record.read_ahead(PATIENT).join()
    monkeypatch.setattr("medalign_utils.review_app.record.read_events", None)
    record.show(PATIENT)
    assert len(record.events)
