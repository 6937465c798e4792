import pytest

from medalign_utils.curation.record_text import RecordText
from medalign_utils.explorer.search import count_hits, parse_query


@pytest.mark.parametrize("text", ["a+b", "[x]", "\\d", "50", "$5", "(c)"])
def test_searches_literally(text):
    query = parse_query(text)
    assert [f"see {text.upper()}."[a:b] for a, b in query.spans(f"see {text.upper()}.")] == [
        text.upper()
    ]
    assert not query.spans("see 5 ab x")


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("age", ["Age", "aged"]),  # not in "Triage"
        ('"age"', ["Age"]),
        ("1.4", ["1.4"]),  # not in 11.4 or 1.42
        ("chest pain", ["chest", "pain", "pain"]),
        ('"chest pain"', ["chest\npain"]),
        ("“chest pain” OR 11.4", ["chest\npain", "11.4"]),
        ("xyzzy | pain", ["pain", "pain"]),
    ],
)
def test_finds_words_phrases_and_alternatives(search, found):
    text = "Triage. Age 70, aged: chest\npain 1.4, 11.4 and 1.42; no pain"
    assert [text[a:b] for a, b in parse_query(search).spans(text)] == found


@pytest.mark.parametrize("text", ["", "  ", '""', "OR", "| OR"])
def test_a_search_without_words(text):
    assert parse_query(text) is None


@pytest.mark.parametrize(
    ("search", "hits"),
    [
        ("chest pain", {"note": 5}),  # CT chest, and chest pain twice
        ('"chest pain"', {"note": 2}),
        ("creatinine", {"measurement": 4, "note": 1}),
        ("denies OR 1.6", {"measurement": 1, "note": 1}),
        ("denies 1.6", {}),
        ("LOINC/2160-0", {"measurement": 4}),
    ],
)
def test_counts_hits_in_notes_and_events(events, search, hits):
    counts = count_hits(RecordText(events), parse_query(search))
    assert counts.groupby(events["type"]).sum().loc[lambda n: n > 0].to_dict() == hits
