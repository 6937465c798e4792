"""What a response says beside its answer does not change the verdict on the answer."""

import pytest

from medalign_utils.grading import grade


def number(topic, value, unit, **more):
    fact = {"topic": topic.split(", "), "value": value, "unit": unit, "tolerance": 0.05}
    return {"kind": "number", **fact, **more}


def day(topic, date, precision="day"):
    return {"kind": "date", "topic": topic.split(", "), "date": date, "precision": precision}


def term(accepted, *rivals, topic=None):
    fact = {"accepted": accepted.split(", "), "rivals": [[rival] for rival in rivals]}
    return {"kind": "term", **fact, "topic": topic}


RIGHT = {  # instruction, fact, responses
    "an earlier value, an aside or a doubt that is not about it": [
        (
            "What is his code status?",
            term("DNR, do not resuscitate", "full code"),
            "Full code in 1999, but he changed that. Since March 2013 he is listed as DNR.",
        ),
        (
            "In what year did she quit smoking?",
            day("quit, smoking, smoker, tobacco", "1995-01-01", "year"),
            "Quit 1995 (44 pack-years before that).",
        ),
        (
            "Any exposure to a thyroid replacement, past or present?",
            {"kind": "yes_no", "topic": ["levothyroxine"], "answer": True},
            "As far as I can tell, yes: levothyroxine. I found no other levothyroxine brand.",
        ),
        (
            "Why was pantoprazole stopped?",
            term("low magnesium", "bloating", topic=["pantoprazole"]),
            "She moved from omeprazole to pantoprazole because omeprazole had given her bloating. "
            "Pantoprazole was discontinued due to low magnesium.",
        ),
        (
            "Dose of glimepiride while in the hospital from 09/14/2010?",
            number("glimepiride", 2, "mg"),
            "**Glimepiride, stay of 09/14-09/18/2010**\n- Inpatient: **2 mg**\n- Home dose: 4 mg",
        ),
        (
            "Result of the latest sleep study?",
            {"kind": "not_documented", "topic": ["sleep study"]},
            "## Sleep study\nNone available: the chart has no sleep study.\n- She denied insomnia",
        ),
    ],
    "other ways of saying it": [
        (
            "Current uric acid target?",
            number("uric acid target, goal, target, aim", 6.0, "mg/dL"),
            "We're aiming to keep her uric acid under six.",
        ),
        (
            "How much does he drink?",
            number("drinks, alcohol", 8, "drinks/week"),
            "He reports drinking 8 drinks of alcohol a week.",
        ),
        (
            "What was her CRP on 12/09/2008?",
            number("CRP", 1.3, "mg/L", date="2008-12-09"),
            "0.3 mg/L on 03/14/2008, up to 1.3 mg/L on 12/09/2008.",
        ),
        (
            "When was his potassium at its highest?",
            day("potassium, K", "2004-10-19"),
            "Potassium: 4.3 on 06/15/2004, 4.4 on 10/19/2004.\n\nHighest: 4.4, 19 October 2004.",
        ),
        (
            "Which tests of the stay do I need to chase?",
            {"kind": "set", "members": [["urine sodium"], ["renal ultrasound"]], "rivals": []},
            "Two results had not come back: the urine sodium and the renal ultrasound.",
        ),
        (
            "Billing needs the ICD-10 code of the GERD.",
            term("K21.9", "M10.9"),
            "| Diagnosis | Code |\n|---|---|\n| GERD without esophagitis | **K21.9** |",
        ),
        (
            "Summarize the message she sent.",
            term("grapefruit juice"),
            "Asked if grapefruit juice is a problem; told to avoid it.",
        ),
    ],
}


@pytest.mark.parametrize("kind", RIGHT)
def test_right_answers_with_something_beside_them_count(kind):
    lost = [r for asked, fact, r in RIGHT[kind] if not grade(r, [fact], asked).correct]
    assert lost == []


def test_what_was_continued_was_not_held():
    held = {"kind": "set", "members": [["lisinopril"], ["HCTZ"]], "rivals": []}
    response = "**Held on admission**\n- Lisinopril\n\nHCTZ 12.5 mg every morning was continued."
    assert not grade(response, [held], "Which home medications were on hold?").correct
