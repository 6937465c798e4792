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
        right=[
            "I searched the chart for a polysomnogram and found none.",
            "Tests such as a polysomnogram do not feature anywhere.",
        ],
        wrong=[
            "There seems to be a sleep study from around 2000 that suggested mild apnea.",
            "Sleep study normal, date not stated.",
        ],
    ),
    Question(
        "Why was she admitted on 03/04/2014?",
        {"kind": "term", "accepted": ["cellulitis"], "rivals": []},
        right=["Cellulitis, which appeared on her left leg a week before."],
        wrong=["She came with chest pain; the cellulitis came up only later in the stay."],
    ),
    Question(
        "Differential for the swollen leg of 03/04/2014: which diagnosis fits best?",
        {"kind": "term", "accepted": ["cellulitis"], "rivals": [["gout"], ["heart failure"]]},
        right=["1) cellulitis 2) gout 3) heart failure"],
        wrong=["1) gout 2) cellulitis 3) heart failure"],
    ),
    Question(
        "Which benzodiazepine is he on now?",
        {"kind": "term", "accepted": ["alprazolam"], "rivals": [["clonazepam"]]},
        right=["Alprazolam (switched over from clonazepam)."],
        wrong=["None at present; alprazolam came off the list in 2012."],
    ),
    Question(
        "What was planned for the anxiety?",
        {"kind": "term", "accepted": ["mindfulness"], "rivals": []},
        right=["A mindfulness course; medication was declined."],
        wrong=["Less coffee; mindfulness was declined."],
    ),
    Question(
        "Any past complaint of headache?",
        {"kind": "yes_no", "topic": ["headache"], "answer": False},
        right=["Not once; each review of systems lists headache as negative."],
        wrong=["She brought up headaches in 2004, and denied fever."],
    ),
    Question(
        "Has she ever had melanoma?",
        {"kind": "yes_no", "topic": ["melanoma"], "answer": True},
        right=["A melanoma was removed from her back in 1999."],
        wrong=["Melanoma was removed from the problem list."],
    ),
    Question(
        "How old was the uncle when he got Parkinson disease?",
        {
            "kind": "number",
            "topic": ["Parkinson disease"],
            "value": 61,
            "unit": "years",
            "tolerance": 0.4,
            "subject": "family",
        },
        right=["The uncle got it at age 61 and died at age 70."],
        wrong=["The uncle died at age 61."],
    ),
    Question(
        "What dose of atorvastatin did he get?",
        {
            "kind": "number",
            "topic": ["atorvastatin"],
            "value": 40,
            "unit": "mg",
            "tolerance": 0.1,
        },
        right=["40 mg of atorvastatin; 80 mg was only considered."],
        wrong=["80 mg of atorvastatin; 40 mg was only considered."],
    ),
    Question(
        "How high did the temperature go during the stay?",
        {
            "kind": "number",
            "topic": ["temperature"],
            "value": 37.6,
            "unit": "Cel",
            "tolerance": 0.05,
        },
        right=["It never went above 37.6 °C."],
        wrong=["It never went above 38.6 °C."],
    ),
    Question(
        "In how many years is the next colonoscopy due?",
        {
            "kind": "number",
            "topic": ["colonoscopy"],
            "value": 5,
            "unit": "years",
            "tolerance": 0.4,
        },
        right=["Five, so in 2004."],
        wrong=["Ten, so in 2009."],
    ),
    Question(
        "In what year did she quit smoking?",
        {"kind": "date", "topic": ["quit", "tobacco"], "date": "1983-01-01", "precision": "year"},
        right=["She has been tobacco-free since 1983, after starting in 1960."],
        wrong=["She has been tobacco-free since 1985, after starting in 1983."],
    ),
    Question(
        "What most likely explains the shortness of breath?",
        {
            "kind": "term",
            "accepted": ["pulmonary embolism", "PE"],
            "rivals": [["vertigo", "BPPV"], ["cellulitis"]],
        },
        right=["**PE** – cellulitis and vertigo were felt to be less likely."],
        wrong=["**Cellulitis** – PE and vertigo were thought to be unlikely."],
    ),
    Question(
        "When was the highest white blood cell count?",
        {"kind": "date", "topic": ["WBC"], "date": "2004-02-20", "precision": "day"},
        right=["### Highest WBC\n\n- **Date:** 02/20/2004\n\nNext highest: 8.3 (11/05/2003)."],
        wrong=["### Highest WBC\n\n- **Date:** 11/05/2003\n\nNext highest: 8.3 (02/20/2004)."],
    ),
]


@pytest.mark.parametrize(("response", "instruction", "fact", "is_right"), cases(QUESTIONS))
def test_the_context_decides_what_a_mention_says(response, instruction, fact, is_right):
    assert grade(response, [fact], instruction).correct == is_right


@pytest.mark.parametrize(
    "response",
    [
        "Not sure.",
        "Not enough information.",
        "Not able to answer.",
        "I am not sure.",
        "Unclear from the notes.",
    ],
)
def test_not_knowing_is_not_a_no(response):
    stroke = {"kind": "yes_no", "topic": ["stroke"], "answer": False}
    assert not grade(response, [stroke], "Has she ever had a stroke?").correct
    assert grade("Not at all.", [stroke], "Has she ever had a stroke?").correct


@pytest.mark.parametrize(
    "response",
    [
        "It is unclear whether she takes lisinopril.",
        "Ask her whether she takes lisinopril.",
        "Perhaps lisinopril",
        "I'd guess lisinopril.",
    ],
)
def test_a_guess_is_not_an_answer(response):
    drug = {"kind": "term", "accepted": ["lisinopril"], "rivals": [["amlodipine"]]}
    question = "Which drug does she take for hypertension now?"
    assert not grade(response, [drug], question).correct
    assert grade("Probably lisinopril, by the last note.", [drug], question).correct
