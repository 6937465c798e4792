"""Answers in JSON and HTML, check marks, and numbers as other countries and programs write them."""

import pytest

from medalign_utils.grading import grade

SEIZURES = {"kind": "yes_no", "topic": ["seizures", "seizure"], "answer": False}
HOME = {"kind": "term", "accepted": ["adult son", "son"], "rivals": [["alone"]]}
SODIUM = {"kind": "number", "topic": ["sodium"], "value": 148, "unit": "mmol/L", "tolerance": 0.5}
VACCINES = {
    "kind": "set",
    "members": [["influenza"], ["zoster"]],
    "rivals": [["pneumococcal"]],
}
DOSE = {"kind": "number", "topic": ["metformin"], "value": 1000, "unit": "mg", "tolerance": 1}
DRINKS = {
    "kind": "number",
    "topic": ["drinks", "alcohol"],
    "value": 7,
    "unit": "drinks/week",
    "tolerance": 0.4,
}
INR = {"kind": "number", "topic": ["INR"], "value": 1.3, "unit": "", "tolerance": 0.05}
HELD = {"kind": "set", "members": [["metformin"]], "rivals": []}
HELD_ASKED = "Which home medications were held during the stay?"
TWICE = {"kind": "term", "accepted": ["dos veces al día"]}
QUIT = {"kind": "date", "topic": ["quit", "smoking"], "date": "2006-01-01", "precision": "year"}
BMI = {"kind": "number", "topic": ["BMI"], "value": 34.1, "unit": "kg/m2", "tolerance": 0.3}
SISTER = {
    "kind": "term",
    "accepted": ["sister"],
    "topic": ["colon cancer"],
    "subject": "family",
}


@pytest.mark.parametrize(
    ("fact", "asked", "response", "is_correct"),
    [
        (SEIZURES, "Any seizures?", '{"seizures": false}', True),
        (SEIZURES, "Any seizures?", '{"seizures": true}', False),
        (SEIZURES, "Any seizures?", '{"seizures_ever_reported": false}', True),
        (SEIZURES, "Any seizures?", "❌ Seizures", True),
        (SEIZURES, "Any seizures?", "✅ Seizures", False),
        (SEIZURES, "Any seizures?", "He has always been seizure-free.", True),
        (HOME, "Who lives with her?", '{"alone": false, "lives_with": "adult son"}', True),
        (HOME, "Who lives with her?", '```json\n{"answer": "adult son"}\n```', True),
        (HOME, "Who lives with her?", "Not alone — adult son at home", True),
        (
            VACCINES,
            "Which vaccines is she missing?",
            '{"missing": ["influenza", "zoster"], "on_record": ["pneumococcal"]}',
            True,
        ),
        (
            VACCINES,
            "Which vaccines is she missing?",
            '{"influenza": false, "zoster": false, "pneumococcal": false}',
            False,
        ),
        (
            SODIUM,
            "Latest sodium?",
            "<table><tr><th>Test</th><th>Value</th></tr><tr><td>Potassium</td><td>4.1</td></tr>"
            "<tr><td>Sodium</td><td>148</td></tr></table>",
            True,
        ),
        (
            SODIUM,
            "Latest sodium?",
            "<labs><potassium>148</potassium><sodium>139</sodium></labs>",
            False,
        ),
        (SODIUM, "Latest sodium?", "<name>Sodium</name><value>148</value>", True),
        (INR, "What was the INR?", "INR: 1,3", True),
        (INR, "What was the INR?", "INR: 3,1", False),
        (DOSE, "How much metformin?", "Metformin 1.000 mg", True),
        (DRINKS, "Weekly alcohol?", "drinks per week: 7", True),
        (DRINKS, "Weekly alcohol?", "drinks per week: 5", False),
        (HELD, HELD_ASKED, "Metformin was paused.", True),
        (HELD, HELD_ASKED, "Lisinopril was held; metformin was continued.", False),
        (HELD, HELD_ASKED, "No home medications were held; he kept taking metformin.", False),
        (TWICE, "Write in Spanish when to take it.", "Tome una dos veces al día.", True),
        (TWICE, "Write in Spanish when to take it.", "Take one twice daily.", False),
        (QUIT, "When did he quit smoking?", "He quit smoking in '06.", True),
        (QUIT, "When did he quit smoking?", "He quit smoking in '08.", False),
        (BMI, "Her BMI?", "91.6/(1.64×1.64) ≈ 34.06 kg/m²", True),
        (SISTER, "Which relative had colon cancer?", "Only his sister's colon cancer.", True),
        (SISTER, "Which relative had colon cancer?", "His sister's father-in-law.", False),
    ],
)
def test_answers_in_other_forms(fact, asked, response, is_correct):
    assert grade(response, [fact], asked).correct is is_correct


def test_evidence_in_json_is_where_the_value_is():
    response = '{"test": "sodium", "value": 148}'
    (piece,) = grade(response, [SODIUM], "Latest sodium?").evidence
    assert response[piece.start : piece.end] == "148"


def test_broken_json_is_read_as_text():
    assert grade('{"sodium": 148', [SODIUM], "Latest sodium?").correct


DOSE_25 = {"kind": "number", "topic": ["sumatriptan"], "value": 25, "unit": "mg", "tolerance": 0.1}
INPATIENT = "What dose of sumatriptan was he given in the hospital?"
NO_SHOWS = {
    "kind": "number",
    "topic": ["no-shows", "no-show", "missed"],
    "value": 1,
    "unit": "appointments",
    "tolerance": 0.4,
}
POLYPS = {"kind": "number", "topic": ["polyps"], "value": 2, "unit": "polyps", "tolerance": 0.4}
EF = {"kind": "number", "topic": ["LVEF"], "value": 59, "unit": "%", "tolerance": 0.5}
WEIGHT = {"kind": "number", "topic": ["weight"], "value": 96.1, "unit": "kg", "tolerance": 0.3}
CUTOFF = {"kind": "number", "topic": ["cutoff"], "value": 600, "unit": "ng/mL", "tolerance": 1}
AGE = {"kind": "number", "topic": ["gout", "age"], "value": 47, "unit": "years", "tolerance": 0.4}


@pytest.mark.parametrize(
    ("fact", "asked", "response", "is_correct"),
    [
        (DOSE_25, INPATIENT, "Inpatient: 25 mg PRN. Home: 50 mg PRN.", True),
        (DOSE_25, INPATIENT, "Inpatient: 50 mg PRN. Home: 25 mg PRN.", False),
        (DOSE_25, INPATIENT, "He got half a 25 mg tablet.", False),
        (NO_SHOWS, "How many no-shows?", "Our records show a single no-show.", True),
        (POLYPS, "How many polyps?", "1 in the cecum + 1 in the sigmoid = 2 polyps", True),
        (POLYPS, "How many polyps?", "2 in the cecum + 1 in the sigmoid = 3 polyps", False),
        (EF, "Latest LVEF?", "LVEF 0.59", True),
        (EF, "Latest LVEF?", "LVEF 0.45", False),
        (WEIGHT, "Latest weight?", "96.1 kg, up 1.3 kg since June", True),
        (CUTOFF, "Which cutoff?", "600 rather than 500 ng/mL", True),
        (CUTOFF, "Which cutoff?", "500 rather than 600 ng/mL", False),
        (AGE, "At what age was gout diagnosed?", "Age 47 (she is 59 today)", True),
        (AGE, "At what age was gout diagnosed?", "Age 59 (she is 47 today)", False),
    ],
)
def test_numbers_in_another_role(fact, asked, response, is_correct):
    assert grade(response, [fact], asked).correct is is_correct
