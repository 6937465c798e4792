"""Numbers: which of a response's numbers is its answer to the instruction."""

import time

import pytest

from medalign_utils.grading import grade


def number(topic, value, unit, tolerance=0.4, **more):
    fact = {"topic": topic.split(", "), "value": value, "unit": unit, "tolerance": tolerance}
    return {"kind": "number", **fact, **more}


STAY = number("days, stay, hospital", 5, "days")
COPD = number("COPD, age, years old", 56, "years")
INTERVAL = number("colonoscopy", 5, "years")
DOSE = number("lisinopril, Zestril", 20, "mg", 0.02, **{"from": "2009-01-03"})
HEMOGLOBIN = number("hemoglobin, Hgb", 10.2, "g/dL", 0.05, date="2016-12-02")
BEFORE = number("A1c", 8.1, "%", 0.05, date="2015-03-04")
AFTER = number("A1c", 7.2, "%", 0.05, date="2016-03-04")
PRESSURE = number("blood pressure, BP", [128, 76], "mmHg", 0.5, date="2014-07-02")
MISSED = number("appointments, no-shows, missed", 3, "appointments")
WARM = number("temperature, Tmax", 38.8, "Cel", 0.05, date="2009-05-25")
BMI = number("BMI, body mass index", 33.9, "kg/m2", 0.3)
DRINKS = number("drinks, alcohol", 5, "drinks/week", **{"from": "2012-07-17"})
HELD = number("blood thinners, stopped, held", 7, "days")
SCORE = number("CHA2DS2-VASc, score", 3, "points")
CUTOFF = number("D-dimer, cutoff", 590, "ng/mL", 1)
BROTHER = number("stroke, CVA", 70, "years", subject="family")

CASES = {  # instruction, facts, right responses, wrong ones
    "stay": (
        "How many days did she spend in hospital from 02/20/2014?",
        [STAY],
        (
            "Five.",
            "LOS = 5 d",
            "25 − 20 = 5 days",
            "She was admitted on 02/20/2014 and stayed 5 days (follow-up in 14 days).",
            "The admission lasted 5 days. She had been hospitalized for 3 days the year before.",
        ),
        (
            "She got antibiotics for 5 days during a 7-day stay.",
            "The stay lasted 7 days; antibiotics were given for 5 days.",
            "Between 4 and 6 days",
            "A week.",
        ),
    ),
    "age": (
        "How old was she when COPD was diagnosed?",
        [COPD],
        (
            "56 y/o",
            "She was fifty-six.",
            "2008 - 1952 = 56",
            "She was 56 when COPD was diagnosed; she is now 62 years old.",
            "| Problem | Date | Age |\n|-|-|-|\n| Gout | 1/2001 | 49 |\n| COPD | 5/2008 | 56 |",
        ),
        (
            "She was 62 when COPD was diagnosed and 56 when she quit smoking.",
            "She was probably 55 or 56.",
            "| Diagnosis | Age |\n|---|---|\n| Gout | 56 |\n| COPD | 58 |",
        ),
    ),
    "interval": (
        "When should the colonoscopy be repeated (interval)?",
        [INTERVAL],
        (
            "Repeat in 5 years (2016).",
            "A 5-year surveillance interval was advised because of two small adenomas (4 mm).",
            "60 months",
        ),
        (
            "10 years, since the colonoscopy 5 years ago was normal.",
            "Either 5 or 10 years.",
            "At the colonoscopy 5 polyps were removed; the interval is 3 years.",
        ),
    ),
    "dose": (
        "What dose of lisinopril is he taking?",
        [DOSE],
        (
            "20 mg PO qd",
            "Raised from 10 mg to 20 mg on 01/03/2009. Discard the 10 mg tablets.",
            "The dose was 10 mg until January 2009; since then it has been 20 mg.",
            "| Drug | Dose |\n|---|---|\n| Metoprolol | 50 mg |\n| Lisinopril | 20 mg |",
        ),
        ("Lisinopril 10 mg; metoprolol 20 mg", "The lisinopril 20 mg was stopped."),
    ),
    "latest": (
        "Latest hemoglobin please.",
        [HEMOGLOBIN],
        (
            "102 g/L",
            "10.2 g/dL, down from 11.4 in June (normal 12–15.5).",
            "| Date | Hgb |\n|---|---|\n| 12/02/2016 | 10.2 |\n| 06/01/2016 | 11.4 |",
        ),
        ("It fell from 10.2 to 9.8 g/dL.", "10.2 g/dL on 06/01/2016", "Hct 10.2"),
    ),
    "change": (
        "How has her A1c changed between 03/04/2015 and 03/04/2016?",
        [BEFORE, AFTER],
        (
            "8.1% → 7.2%",
            "It fell by 0.9 points, from 8.1 to 7.2%.",
            "8.1% and 7.2% on 03/04/2015 and 03/04/2016, respectively.",
            "- **03/04/2015:** 8.1%\n- **03/04/2016:** 7.2%\n\nChange: −0.9%",
            "| | 03/04/2015 | 03/04/2016 |\n|---|---|---|\n| A1c | 8.1% | 7.2% |",
        ),
        ("7.2% → 8.1%", "8.1% on 03/04/2016 and 7.2% on 03/04/2015", "It fell by 0.9."),
    ),
    "pressure": (
        "BP on 07/02/2014?",
        [PRESSURE],
        (
            "128 over 76",
            "- Systolic: 128 mmHg\n- Diastolic: 76 mmHg",
            "| Date | Systolic | Diastolic |\n|---|---|---|\n| 01/05/2014 | 140 | 90 |\n"
            "| 07/02/2014 | 128 | 76 |",
        ),
        ("BP on 07/02/2014 was 140/90; it was 128/76 on 06/02/2013.", "Systolic 128"),
    ),
    "count": (
        "How many appointments has he missed so far?",
        [MISSED],
        (
            "3 of 21 appointments",
            "He failed to show up three times.",
            "No-shows:\n1. 01/02/2001\n2. 03/04/2001\n3. 05/06/2002\n\nTotal: 3",
            "1. 01/02/2001\n2. 03/04/2001\n3. 05/06/2002",
        ),
        ("He missed 2 appointments and cancelled 3.", "1. 01/02/2001\n2. 03/04/2001"),
    ),
    "highest": (
        "T max for the stay that began 05/22/2009?",
        [WARM],
        (
            "During the stay that began on 05/22/2009, the T max was 38.8 °C.",
            "She got up to 101.8 °F (38.8 °C).",
        ),
        ("It peaked at 39.1 °C; on 05/25/2009 it was 38.8.", "37.9 °C on 05/25/2009"),
    ),
    "calculation": (
        "Calculate his current BMI.",
        [BMI],
        (
            "86.9 / 1.60^2 = 33.9",
            "$$\\text{BMI} = \\frac{86.9}{1.60^2} = 33.9$$",
            "His BMI is 33.9, compared with 31.2 five years ago.",
        ),
        ("BMI = 86.9 / 1.70^2 = 30.1", "33.9 kg"),
    ),
    "rate": (
        "How many drinks a week does she report now?",
        [DRINKS],
        ("5/week", "~5 alcoholic beverages weekly", "Five a week, up from two a week in 2009."),
        ("5 drinks per day", "She had 5 drinks per week in 2008, now 2."),
    ),
    "lead time": (
        "How long ahead of the knee replacement were blood thinners held?",
        [HELD],
        ("a week", "Held x 7 days pre-op"),
        ("Blood thinners were not held. She was in hospital for 7 days.", "7 hours"),
    ),
    "sum": (
        "Work out CHA2DS2-VASc for her.",
        [SCORE],
        (
            "HTN 1, age 65-74 1, female 1 = 3",
            "| Item | Points |\n|---|---|\n| CHF | 0 |\n| HTN | 1 |\n| **Total** | **3** |",
        ),
        ("HTN 1 + female 1 = 2",),
    ),
    "cutoff": (
        "Adjust the D-dimer threshold for his age at the 06/07/2005 visit.",
        [CUTOFF],
        ("\\boxed{590\\ \\text{ng/mL}}", "590 ng/mL instead of the standard 500 ng/mL."),
        ("Use the standard 500 ng/mL.",),
    ),
    "relative": (
        "How old was the brother at the diagnosis of stroke?",
        [BROTHER],
        ("His brother was seventy when he had the stroke.",),
        ("Brother: stroke at age 60. Mother: stroke at age 70.", "The sister was 70."),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_number_that_answers_the_instruction_is_graded(name):
    instruction, facts, right, wrong = CASES[name]
    verdicts = {r: grade(r, facts, instruction).correct for r in (*right, *wrong)}
    assert verdicts == dict.fromkeys(right, True) | dict.fromkeys(wrong, False)


def test_evidence_is_the_number_in_the_response():
    response = "**LOS:** five&nbsp;days → home"
    [evidence] = grade(response, [STAY], "Length of stay?").evidence
    assert evidence.verdict == "found"
    assert response[evidence.start : evidence.end] == "five&nbsp;days"


def test_a_response_of_many_numbers_is_graded_in_linear_time():
    begun = time.monotonic()
    assert not grade("1. " * 20_000, [STAY], "How long was the hospital stay?").correct
    assert time.monotonic() - begun < 20
