"""The English of generated instructions, references and notes."""

import random
import re

import pytest

from medalign_utils.synthetic import catalogue as cat
from medalign_utils.synthetic.encounters import write_encounters
from medalign_utils.synthetic.simulate import Care, simulate_patient
from medalign_utils.synthetic.templates import TEMPLATES
from medalign_utils.synthetic.wording import COUNTABLE
from tools.comet_compact.templates import TRAINING

FAULTS = {
    "a plural after one": r"(?<![\d./-])\b1 (?:day|week|year|polyp|drink|time|appointment)s\b",
    "a before a vowel": r"\b[Aa] (?!(?:eu|one|uni|ura|uri|use))[aeiou]",
    "a before a letter spoken with a vowel": r"\b[Aa] [AEFHILMNORSX][A-Z]{1,3}\b",
    "an before a consonant": r"\b[Aa]n (?!hour\b|[aeiouAEFHILMNORSX8])",
    "an article twice": r"\b(?:an?|the) (?:an?|the)\b",
    "a double space": r"\S  \S",
    "an unfilled slot": r"[{}]",
    "a home without its owner": r"\blives with (?!her\b|his\b|him\b)",
    "a word twice": r"\b(in|of|the|with|mg|level) \1\b",
    "a degree without its sign": r"\b3\d\.\d C\b",
    "a space before a percent sign": r"\d %",
    "a relative without an article": r"had (?:stroke|heart attack)\b(?!,)",
}


@pytest.fixture(scope="module")
def texts():
    """Return the questions and references of many patients, and their notes' lines."""
    questions, references, notes = set(), set(), set()
    for i in range(30):
        rng = random.Random(f"worded {i}")
        patient = simulate_patient(rng, str(i), 25, Care(monitored=i % 5 == 0))
        for template in (*TEMPLATES.values(), *TRAINING.values()):
            for answer in template.answers(patient):
                questions.update(answer.questions)
                references.add(answer.reference)
        for encounter in write_encounters(rng, patient):
            notes.update(e.text for e in encounter.events if e.is_note and "FAX" not in e.text)
    return {"questions": questions, "references": references, "notes": notes}


@pytest.mark.parametrize("fault", FAULTS)
def test_generated_text_is_free_of(texts, fault):
    for kind, found in texts.items():
        # Family history in notes leaves articles out, as clinicians do.
        spoken = [re.sub(r"^FH:.*", "", text, flags=re.MULTILINE) for text in sorted(found)]
        wrong = [text for text in spoken if re.search(FAULTS[fault], text)]
        assert not wrong, (kind, wrong[0])


@pytest.mark.parametrize("kind", ["questions", "references"])
def test_sentences_begin_with_a_capital_letter_and_end_with_a_stop(texts, kind):
    for text in texts[kind]:
        assert text[0].isupper() or (kind == "questions" and text[0].isdigit()), text
        assert text[-1] in ".?", text
        assert not re.search(r"[a-z]\. [a-z]", text), text


def test_countable_names_are_names_that_sentences_use():
    words = {
        *(s for s, *_ in cat.FAMILY_CONDITIONS),
        *(s for s, *_ in cat.PAYERS),
        *(s for s, *_ in cat.REACTIONS),
        *(topic[0] for topic, *_ in cat.MESSAGES),
        *(acute.spellings[0] for acute in cat.ACUTE),
        *(words[0] for surgery in cat.SURGERIES for words in surgery.complications),
        *(words[0] for study in cat.STUDIES for words in study.findings),
    }
    assert words >= COUNTABLE
