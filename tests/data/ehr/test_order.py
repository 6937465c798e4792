"""Records whose encounters or entries are not in order of time."""

import pytest

from medalign_utils.data.ehr import ehr_text, read_events
from medalign_utils.errors import EHRError
from medalign_utils.prompts.context import pack_prompt
from tests.builders.tiny_release import encounter, eventstream, lab, note

DATES = ["2015-01-01", "2014-06-01", "2014-01-01"]
NEWEST_FIRST = [
    encounter(lab(f"{day} 09:00", str(i)), start=f"{day} 08:00") for i, day in enumerate(DATES)
]


def labs(path, format):
    text, before = ehr_text(path, format), {"markup": ">", "lines": ": "}[format]
    return sorted("012", key=lambda value: text.index(before + value))


@pytest.mark.parametrize("format", ["lines", "markup"])
def test_encounters_newest_first_are_sorted(write, format):
    path = write(eventstream("7", "".join(NEWEST_FIRST)))
    assert labs(path, format) == ["2", "1", "0"]
    assert read_events(path)["value"].tolist() == ["0", "1", "2"]  # the file's order


@pytest.mark.parametrize("format", ["lines", "markup"])
def test_entries_newest_first_are_sorted(write, format):
    entries = "".join(lab(f"{day} 09:00", str(i)) for i, day in enumerate(DATES))
    assert labs(write(eventstream("7", encounter(entries, start=""))), format) == ["2", "1", "0"]


def test_markup_keeps_the_most_recent_part_of_a_record_newest_first(write):
    dates = [f"{year}-01-01" for year in range(2020, 2000, -1)]
    notes = [encounter(note(f"{day} 09:00", f"Seen {day}."), start=f"{day} 08:00") for day in dates]
    text = ehr_text(write(eventstream("7", "".join(notes))), "markup")
    kept = pack_prompt("Seen?", text, "minilm", 800).prompt.ehr
    assert "Seen 2020-01-01." in kept and "Seen 2001-01-01." not in kept


def test_encounters_without_a_start_are_ordered_by_their_first_entry(write):
    undated = "".join(
        encounter(lab(f"{day} 09:00", str(i)), start="") for i, day in enumerate(DATES)
    )
    assert labs(write(eventstream("7", undated)), "markup") == ["2", "1", "0"]


def test_days_and_visits_newest_first_are_sorted(write):
    day = '<day start="{0}"><note start="{0} 09:00">n{0}</note></day>'
    days = [day.format(date) for date in ("03/02/2019", "03/01/2019", "02/01/2018")]
    visits = f"<visit start='03/01/2019'>{days[0]}{days[1]}</visit>"
    visits += f"<visit start='02/01/2018'>{days[2]}</visit>"
    path = write(f"<record>{visits}</record>")
    for format in ("lines", "markup"):
        text = ehr_text(path, format)
        places = [text.index(f"n{date}") for date in ("02/01/2018", "03/01/2019", "03/02/2019")]
        assert places == sorted(places)


@pytest.mark.parametrize("between", ["", encounter(lab("2014-01-01 09:00", "0"))])
def test_an_encounter_that_occurs_twice_counts_once(write, between):
    twice = encounter(note("2014-06-01 09:00", "Seen once."))
    again = twice.replace("<encounter", "<encounter encounter_id='2'").replace(">\n", ">\n  ")
    path = write(eventstream("7", f"{twice}\n{between}{twice}{again}"))
    assert read_events(path)["value"].tolist().count("Seen once.") == 1
    for format in ("lines", "markup"):
        assert ehr_text(path, format).count("Seen once.") == 1


def test_a_visit_that_occurs_twice_counts_once_and_one_that_differs_counts(write):
    visit = (
        '<visit type="ED" start="03/01/2019"><day start="03/01/2019"><note>{}</note></day></visit>'
    )
    path = write(f"<record>{visit.format('a') * 2}{visit.format('b')}</record>")
    assert read_events(path)["value"].tolist() == ["start", "a", "start", "b"]
    assert ehr_text(path, "markup").count("<note>") == 2


def test_a_record_in_order_is_not_changed(write):
    overlapping = [
        encounter(lab("2014-01-02 09:00", "0") + lab("2014-12-01 09:00", "1"), start="2014-01-01"),
        encounter(lab("2014-06-01 09:00", "2"), start="2014-06-01"),
        encounter(lab("2014-06-01 09:00", "3"), start="2014-06-01"),
    ]
    text = eventstream("7", "<!-- c -->".join(overlapping)).replace('"', "'")
    assert ehr_text(write(text), "markup") == text


def test_what_has_no_place_in_time_is_told_in_markup_too(write):
    path = write(eventstream("7", encounter(lab("2014-02-30 09:00", "1"))))
    with pytest.raises(EHRError, match=r"7.xml, line 3: .* no such date or time"):
        ehr_text(path, "markup")
