import json
import re
from html import unescape

import pandas as pd
import pytest

from medalign_utils.error_analysis.outcomes import judge
from medalign_utils.explorer import error_cases
from medalign_utils.explorer.error_cases import describe_fact, marked, show_errors
from medalign_utils.run import Run
from tests.builders.explorer_release import CREATININE, MARKUP, PATIENT, SCRIPT, write_release

FACTS = {
    CREATININE: {"kind": "number", "topic": ["creatinine"], "value": 1.1, "unit": "mg/dL",
                 "tolerance": 0.05},
    MARKUP: {"kind": "yes_no", "topic": ["chest pain"], "answer": False},
}  # fmt: skip


@pytest.fixture
def displayed(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", shown.append)
    monkeypatch.setattr(error_cases, "display", shown.append)
    return lambda: "\n".join(output.data for output in shown)


@pytest.fixture
def run(tmp_path):
    """Return a run on a release whose key rates two instructions."""
    folder = write_release(tmp_path / "release")
    lines = [{"instruction_id": i, "facts": [fact]} for i, fact in FACTS.items()]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "answer-key.jsonl").write_text(text)
    return Run("tiny", folder, ["a"])


def errors(**texts):
    rows = [
        {"instruction_id": i, "system": "a", "response": text, "failure": "", "person_id": PATIENT,
         "where": "notes", "prompt": None, "timestamp": pd.NaT}
        | judge(text, [FACTS[i]])._asdict()
        for i, text in texts.items()
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_an_error_is_shown_with_its_fact_its_evidence_and_what_decided(run, displayed, monkeypatch):
    monkeypatch.setattr(Run, "is_restricted", False)
    show_errors(run, errors(**{CREATININE: f"Creatinine 2.7 mg/dL {SCRIPT}", MARKUP: ""}))
    html = displayed()
    assert "<script" not in html and "<img" not in html
    decisive = re.findall(r"<mark[^>]*#FFBE86[^>]*>(.*?)</mark>", html)
    assert len(decisive) == 1 and "2.7" in decisive[0]
    text = unescape(re.sub("<[^>]+>", " ", html))
    assert "1. a: contradicted" in text and "2. a: no text" in text
    assert "creatinine: 1.1 mg/dL" in text and "chest pain: no" in text
    assert "2015-01-02 08:00  Creatinine" in text and "(empty)" in text
    assert re.search(r"<mark[^>]*#9ED8FF[^>]*>Denies chest\npain</mark>", html)


def test_nothing_of_a_restricted_release_is_shown(run, displayed):
    assert run.is_restricted
    show_errors(run, errors(**{CREATININE: "Creatinine 2.7 mg/dL"}))
    assert displayed() == f"<p>{error_cases.RESTRICTED}</p>"


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        (errors(**{CREATININE: "?"})[:0], error_cases.NO_ERRORS),
        (pd.DataFrame(), error_cases.NO_KEY),
    ],
)
def test_without_errors_or_key_a_sentence_says_so(run, displayed, monkeypatch, table, sentence):
    monkeypatch.setattr(Run, "is_restricted", False)
    show_errors(run, table)
    assert displayed() == f"<p>{sentence}</p>"


@pytest.mark.parametrize(
    ("fact", "text"),
    [
        ({"kind": "number", "topic": ["BP"], "value": [120, 80], "unit": "mmHg", "tolerance": 1,
          "from": "2014-01-02"}, "BP: 120/80 mmHg from 2014-01-02"),
        ({"kind": "date", "topic": ["CT"], "date": "2014-01-02", "precision": "month"},
         "CT: 2014-01"),
        ({"kind": "term", "accepted": ["gout"], "subject": "family"}, "gout (a relative)"),
        ({"kind": "yes_no", "topic": ["asthma"], "answer": True}, "asthma: yes"),
        ({"kind": "not_documented", "topic": ["echo"]}, "echo: not documented"),
    ],
)  # fmt: skip
def test_facts_in_words(fact, text):
    assert describe_fact(fact) == text


def test_overlapping_spans_are_marked_once():
    html = marked("abcdef", [(2, 5, "found"), (0, 3, "contradicted"), (5, 5, "found")])
    assert re.sub("<[^>]+>", "", html) == "abcdef" and html.count("<mark") == 1
