import pytest

from medalign_utils.review_app.sentences import response_html, sentences_of
from tests.builders.review_folder import RESPONSES


def texts(response):
    return [response[start:end] for start, end in sentences_of(response)]


def test_decimals_do_not_end_a_sentence():
    assert texts("It was 1.4 mg/dL. Then 1.1?") == ["It was 1.4 mg/dL.", "Then 1.1?"]


def test_rules_and_blank_lines_are_no_sentences():
    assert texts("# Plan\n\n---\n| a | b |\n|---|---|\n1. Stop it.") == [
        "Plan",
        "a | b",
        "Stop it.",
    ]


@pytest.mark.parametrize("response", RESPONSES)
def test_sentences_change_nothing_that_is_shown(response):
    html, spans = response_html(response)
    assert spans and all(f"mr-{i}" in html for i in range(len(spans)))
    assert "<script" not in html and "<img" not in html


def test_an_abbreviation_does_not_end_a_sentence():
    assert texts("Dr. Who saw her. She left.") == ["Dr. Who saw her.", "She left."]


def test_marks_that_would_change_what_is_shown_are_left_out(monkeypatch):
    monkeypatch.setattr("medalign_utils.review_app.sentences.sentences_of", lambda text: [(0, 5)])
    html, spans = response_html("- one\n- two")
    assert html.count("<li>") == 2 and spans == []


def test_an_empty_response_has_no_sentences():
    assert response_html("") == ("", [])
