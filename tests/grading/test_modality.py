"""Conditions, advice, risks and plans that came to nothing are not answers."""

import pytest

from medalign_utils.grading import grade


def number(topic, value, unit, **more):
    fact = {"topic": topic.split(", "), "value": value, "unit": unit, "tolerance": 0.05}
    return {"kind": "number", **fact, **more}


def term(accepted, *rivals, topic=None):
    fact = {"accepted": accepted.split(", "), "rivals": [[rival] for rival in rivals]}
    return {"kind": "term", **fact, "topic": topic}


CREATININE = number("creatinine", 1.4, "mg/dL")
SCORE = number("CHA2DS2-VASc, score", 2, "points")
GOAL = number("uric acid goal, goal, target, aim", 5.0, "mg/dL")
INPATIENT = number("rivaroxaban, Xarelto", 20, "mg")
INTERVAL = number("colonoscopy, interval", 3, "years")
SISTER = number("Parkinson disease", 78, "years", subject="family")
COLONOSCOPY = {
    "kind": "date",
    "topic": ["colonoscopy"],
    "date": "2012-05-17",
    "precision": "day",
}
STROKE = {"kind": "yes_no", "topic": ["stroke"], "answer": True}

CASES = {  # instruction, fact, right responses, wrong ones
    "number": (
        "What was her latest creatinine?",
        CREATININE,
        (
            "If you mean the latest one, it was 1.4 mg/dL.",
            "Her creatinine was 1.4 mg/dL, but I cannot tell whether it was fasting.",
            "It was 1.4 (if the August sample is the last one).",
        ),
        (
            "If her creatinine were 1.4, the dose would need adjusting.",
            "Unless the creatinine is 1.4 mg/dL or so, no change is needed.",
            "A creatinine of 1.4 would call for a lower dose.",
            "Hold metformin if creatinine is 1.4 or higher.",
            "I cannot determine her creatinine; a typical value would be 1.4.",
        ),
    ),
    "score": (
        "Work out CHA2DS2-VASc for her.",
        SCORE,
        ("Her CHA2DS2-VASc is 2, so anticoagulation should be discussed.",),
        (
            "A CHA2DS2-VASc of 2 usually means anticoagulation, but I can't work out hers.",
            "I'm unable to calculate the score; 2 or more would be high.",
        ),
    ),
    "goal": (
        "What uric acid target are we aiming for?",
        GOAL,
        ("Below 5 mg/dL.", "Keep it < 5 mg/dL."),
        (
            "The last uric acid was under 5 mg/dL. No target is stated.",
            "A target isn't documented. The latest level was 5 mg/dL.",
        ),
    ),
    "home dose": (
        "Inpatient dose of rivaroxaban for the stay that began 09/19/2013?",
        INPATIENT,
        ("20 mg daily, the same as the home dose.", "The home dose of 20 mg was continued."),
        (
            "Rivaroxaban 20 mg was the home dose; it was not given during the stay.",
            "20 mg is what he takes at home.",
            "He was on 20 mg before admission.",
        ),
    ),
    "guideline": (
        "When should she have her next colonoscopy?",
        INTERVAL,
        ("Recommend repeat in 3 years.",),
        ("Guidelines suggest 3 years for adenomas, but nothing is documented for her.",),
    ),
    "relative": (
        "At what age did his sister have Parkinson disease?",
        SISTER,
        ("She was 78.",),
        ("He was 78.",),
    ),
    "plan": (
        "When was his last colonoscopy?",
        COLONOSCOPY,
        ("May 17, 2012. I'm not sure whether a later one was done elsewhere.",),
        (
            "If it was done, it would have been on 5/17/2012.",
            "It was scheduled for 5/17/2012 but he did not come.",
        ),
    ),
    "drug": (
        "Which antihypertensive does she take?",
        term("lisinopril", "losartan"),
        (
            "She takes lisinopril; consider increasing it.",
            "Lisinopril 10 mg daily. Consider a BMP.",
        ),
        (
            "Consider lisinopril.",
            "I'd recommend starting lisinopril.",
            "She might benefit from lisinopril.",
            "If she were hypertensive, lisinopril would be used.",
            "Lisinopril is a common antihypertensive, but the record lists none for her.",
            "It was planned to start lisinopril, but she declined.",
            "Lisinopril was never filled.",
        ),
    ),
    "complication": (
        "Was his hip replacement complicated by anything?",
        term("hip dislocation, dislocation", "foot drop"),
        ("Yes, a dislocation occurred on day 3.", "Dislocation - it did occur."),
        (
            "A dislocated hip was discussed as a risk beforehand but did not occur.",
            "Dislocation was feared but never occurred.",
            "He was warned about dislocation. Course uneventful.",
        ),
    ),
    "finding": (
        "Main finding on the 01/13/2019 brain MRI?",
        term("meningioma", "pineal cyst"),
        ("A meningioma, unchanged from the earlier scan.", "Meningioma, as on the previous MRI."),
        (
            "The prior MRI showed a meningioma; this one was unremarkable.",
            "It was done to look for a meningioma. Nothing was found.",
        ),
    ),
    "warning signs": (
        "Discharge instructions of the stay of 01/14/2017?",
        term("the wound drains"),
        ("Come back if your wound drains.",),
        ("The wound did not drain.",),
    ),
    "yes or no": (
        "Has she ever had a stroke?",
        STROKE,
        ("Yes. Consider secondary prevention.", "She had a stroke in 2010."),
        ("If she had a stroke, it is not in the record.", "Stroke risk is high."),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_only_might_be_is_no_answer(name):
    instruction, fact, right, wrong = CASES[name]
    verdicts = {r: grade(r, [fact], instruction).correct for r in (*right, *wrong)}
    assert verdicts == dict.fromkeys(right, True) | dict.fromkeys(wrong, False)


def test_without_an_instruction_a_condition_may_be_what_was_asked_for():
    assert grade("Come back if the wound drains.", [term("the wound drains")]).correct
