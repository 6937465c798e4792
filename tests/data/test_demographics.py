from medalign_utils.data import demographics
from medalign_utils.data.ehr import read_events
from tests.builders.tiny_release import encounter, entry, event, eventstream


def header(payer, birth="1950-03-01"):
    return (
        f"<person><birthdate>{birth}</birthdate><age><days>1</days></age><demographics>"
        "<ethnicity>NULL</ethnicity><gender>FEMALE</gender><race>Unknown</race></demographics>"
        f"<payerplan>{payer}</payerplan></person>"
    )


def test_the_last_header_and_the_age_at_the_last_event_count(tmp_path):
    note = event("note", "STANFORD_NOTE/1", "Letter", "Dear", note_id="1")
    last = entry("2015-02-28 23:00", event("visit", "Visit/OP", "Office visit", "end"))
    file = tmp_path / "7.xml"
    text = encounter(entry("2010-01-02 09:00", note), header("Blue Shield PPO"), "2010-01-02 08:00")
    text += encounter(last, header("MEDICARE PART A &amp; B"), "2015-02-27 08:00")
    file.write_text(eventstream("7", text))
    # Born on 1 March 1950, so 64 on 28 February 2015, a day before turning 65.
    assert demographics.describe_person(read_events(file)) == {
        "gender": "FEMALE", "race": "(not given)", "ethnicity": "(not given)",
        "age": "40–64", "payer": "Medicare", "events": 2, "notes": 1,
    }  # fmt: skip
    file.write_text(eventstream("7", text.replace("2015-02-28 23", "2015-03-02 23")))
    assert demographics.describe_person(read_events(file))["age"] == "65–79"


def test_the_record_dialect_gives_the_same(tmp_path):
    file = tmp_path / "8.xml"
    file.write_text(
        '<record><visit type="OP" start="2014-08-10 09:00"><day start="2014-08-10 09:00"><person>'
        "Age in days: 30000\nGender: MALE\nRace: Asian\nPayer plan: Medi-Cal</person><note "
        'type="Letter" start="2014-08-10 09:00">Dear</note></day></visit></record>'
    )
    person = demographics.describe_person(read_events(file))
    # 30,000 days are 82.1 years.
    assert (person["gender"], person["race"], person["age"]) == ("MALE", "Asian", "80+")
    assert (person["payer"], person["ethnicity"]) == ("Medicaid", "(not given)")


def test_an_empty_record_is_not_an_error(tmp_path):
    (tmp_path / "9.xml").write_text(eventstream("9", ""))
    person = demographics.describe_person(read_events(tmp_path / "9.xml"))
    assert {person[name] for name in demographics.GROUPINGS} == {"(not given)"}
    assert person["events"] == person["notes"] == 0
