import pytest
from lxml import etree

from medalign_utils.fairness.perturbation import Person
from medalign_utils.fairness.rewritten_ehr import person_of, rewrite_ehr


@pytest.mark.parametrize(
    ("text", "person"),
    [
        ("<person><gender>A</gender></person><person><gender>B</gender></person>", Person()),
        ("<person><gender>NULL</gender><race> White </race></person>", Person(race="White")),
        ("<gender>FEMALE</gender><person/>", Person()),
        ("<!-- <person><gender>A</gender></person> --><person><race/></person>", Person()),
    ],
)
def test_reads_demographics_from_headers(text, person):
    assert person_of(etree.fromstring(f"<encounter>{text}</encounter>")) == person


def test_only_headers_and_texts_of_notes_are_rewritten():
    kept = (
        "<eventstream person_id='1'><encounter><person><gender>{}</gender></person><events><entry>"
        "<event type='observation' name='a > b'>she</event>"
        '<event name="she" type = "note">{} <![CDATA[{} & {}]]> {} <b>{}</b> 1&lt;2</event>'
        "<event type='note'/><event type='image'>she</event></entry></events></encounter>"
        "</eventstream>"
    )
    tree = etree.fromstring(kept.format("FEMALE", *["she"] * 5))
    rows = rewrite_ehr(tree, "gender", Person(gender="FEMALE"))
    texts = [event.text for event in tree.iter("event")]
    assert texts == ["she", "he he & he he he 1<2", "", "she"]
    assert tree.findtext(".//gender") == "MALE" and tree.find(".//event[2]").get("name") == "she"
    assert [row[4] for row in rows] == [0, 0, 4, 10, 14, 18]
    assert {row[:4] for row in rows[1:]} == {("note", 0, 1, "")}
    assert rewrite_ehr(tree, "nothing", Person(gender="FEMALE")) == []
