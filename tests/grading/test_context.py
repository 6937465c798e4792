"""What surrounds a value or a term: general rules, other dates, weighed options, denials."""

import pytest

from medalign_utils.grading import grade
from tests.builders.graded_questions import Question, cases

QUESTIONS = [
    Question(
        "Which age-adjusted D-dimer cutoff applies to her?",
        {
            "kind": "number",
            "topic": ["D-dimer", "cutoff"],
            "value": 640,
            "unit": "ng/mL",
            "tolerance": 1,
        },
        right=["640 ng/mL, because the threshold is 10 × age for anyone over 50."],
        wrong=["For patients over 50, it is 10 × age: 600 ng/mL."],
    ),
    Question(
        "How many drinks a week does he report now?",
        {
            "kind": "number",
            "topic": ["drinks", "alcohol"],
            "value": 9,
            "unit": "drinks/week",
            "tolerance": 0.4,
        },
        right=["He reports 9 drinks per week. National guidance suggests no more than 14 a week."],
        wrong=["He reports 14 drinks per week. National guidance suggests no more than 9."],
    ),
    Question(
        "Discharge instructions: when is she to be seen?",
        {
            "kind": "number",
            "topic": ["follow up", "see", "primary care"],
            "value": 2,
            "unit": "weeks",
            "tolerance": 0.4,
        },
        right=["See primary care two weeks from now."],
        wrong=["See primary care three weeks from today."],
    ),
    Question(
        "Give me the hemoglobin from 03/09/2005.",
        {
            "kind": "number",
            "topic": ["hemoglobin", "Hgb"],
            "value": 9.1,
            "unit": "g/dL",
            "tolerance": 0.05,
            "date": "2005-03-09",
        },
        right=["**Hemoglobin – 03/09/2005**\n- Result: 9.1\n- Trend: previous 10.4 on 02/01/2005"],
        wrong=["**Hemoglobin – 03/09/2005**\n- Result: 10.4\n- Trend: previous 9.1 on 02/01/2005"],
    ),
    Question(
        "Spanish version of the levothyroxine instructions, please.",
        {
            "kind": "number",
            "topic": ["levothyroxine"],
            "value": 75,
            "unit": "mcg",
            "tolerance": 0.1,
        },
        right=["Tome 75 microgramos de levotiroxina al día."],
        wrong=["Tome 75 miligramos de levotiroxina al día."],
    ),
    Question(
        "Most probable diagnosis behind the cough of 03/04/2014?",
        {
            "kind": "term",
            "accepted": ["pneumonia"],
            "rivals": [["pulmonary embolism", "PE"], ["heart failure", "CHF"]],
        },
        right=["They weighed PE, CHF and pneumonia; it was most consistent with pneumonia."],
        wrong=["They weighed PE, CHF and pneumonia."],
    ),
    Question(
        "Does he live alone or with somebody?",
        {"kind": "term", "accepted": ["spouse", "wife"], "rivals": [["alone", "by himself"]]},
        right=["| Question | Answer |\n|---|---|\n| Lives alone? | No |\n| With whom? | Wife |"],
        wrong=["| Question | Answer |\n|---|---|\n| Lives alone? | Yes |\n| Wife? | No |"],
    ),
    Question(
        "Which relative had glaucoma?",
        {"kind": "term", "accepted": ["sister"], "topic": ["glaucoma"], "subject": "family"},
        right=["The sister is recorded as having had glaucoma."],
        wrong=["Glaucoma runs in the family; the sister is not recorded as having had it."],
    ),
    Question(
        "Does she have an upcoming appointment, and where?",
        {"kind": "term", "accepted": ["Cardiology"], "rivals": []},
        right=["Cardiology; nothing else is booked."],
        wrong=["Pulmonology. Cardiology had no further visit scheduled."],
    ),
    Question(
        "When was his last sleep study, and what did it show?",
        {"kind": "not_documented", "topic": ["sleep study", "polysomnogram"]},
        right=["I searched the chart for a polysomnogram and found none."],
        wrong=["There seems to be a sleep study from around 2000 that suggested mild apnea."],
    ),
]


@pytest.mark.parametrize(("response", "instruction", "fact", "is_right"), cases(QUESTIONS))
def test_the_context_decides_what_a_mention_says(response, instruction, fact, is_right):
    assert grade(response, [fact], instruction).correct == is_right
