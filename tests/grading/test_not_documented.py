"""Silence of the record, in any usual words."""

import pytest

from medalign_utils.grading import grade
from tests.builders.graded_questions import Question, cases

QUESTIONS = [
    Question(
        "Who holds her health care power of attorney?",
        {
            "kind": "not_documented",
            "topic": ["power of attorney", "POA", "health care proxy", "proxy"],
        },
        right=[
            "Not documented.",
            "Nobody is named as health care proxy in the record.",
            "No POA on file. Her emergency contact is her son (555-0101).",
            "I don't see a durable power of attorney anywhere in these notes.",
            "Unknown – the record is silent on this.",
            "No hay un poder notarial (power of attorney) documentado.",
            "POA: not on file",
        ],
        wrong=[
            "Her daughter holds the power of attorney.",
            "POA: son",
            "Her emergency contact is her daughter, so the daughter acts as proxy.",
            "The daughter.",
            "Yes, her son.",
            "It is not documented when, but her son is her health care proxy.",
        ],
    ),
    Question(
        "What is her most recent ferritin?",
        {"kind": "not_documented", "topic": ["ferritin"]},
        right=[
            "No ferritin result is available.",
            "Ferritin has not been measured.",
            "There are no ferritin results in the chart.",
            "I could not find a ferritin.",
            "ferritin - none",
            "N/A",
            "Her hemoglobin was 12.1 g/dL, but ferritin was never checked.",
        ],
        wrong=[
            "Ferritin 45 ng/mL on 03/04/2014.",
            "Her ferritin was normal.",
            "45",
            "The ferritin was low.",
        ],
    ),
    Question(
        "Do we have a PET scan, and from when?",
        {"kind": "not_documented", "topic": ["PET scan", "PET/CT"]},
        right=[
            "No PET scan on record.",
            "No, there is no PET scan in the record.",
            "We do not have one.",
            "None found.",
            "No PET/CT has been done.",
            "The record contains a chest CT from 2014 but no PET.",
        ],
        wrong=[
            "Yes, from 03/2014.",
            "PET/CT of 03/04/2014 showed no uptake.",
            "A PET scan was done in 2014.",
        ],
    ),
    Question(
        "Name the durable POA for health care.",
        {
            "kind": "not_documented",
            "topic": ["power of attorney", "POA", "health care proxy", "proxy"],
        },
        right=[
            "None is documented.",
            "I found no documentation of a durable power of attorney for health care.",
            "No durable POA is named anywhere in the chart. If one exists, please scan the form.",
            "Health care POA: unknown / not recorded",
            "This information isn't available in the EHR.",
            "No figura ningún poder notarial para atención médica.",
            "Information not found.",
        ],
        wrong=[
            "Her spouse, as the emergency contact, is the durable POA.",
            "Jane Doe",
            "The durable POA is her neighbor (555-0142).",
            "Her husband",
            "Presumably her spouse: he is her health care proxy by default.",
        ],
    ),
    Question(
        "Last vitamin D level and its date?",
        {
            "kind": "not_documented",
            "topic": ["vitamin D", "25-OH vitamin D", "25-hydroxyvitamin D"],
        },
        right=[
            "No vitamin D level on record.",
            "There's no 25-OH vitamin D in the labs I have.",
            "Vitamin D has never been checked.",
            "Not available",
            "Vitamin D was not measured. Consider ordering a 25-hydroxyvitamin D.",
            "No vitamin D results found; she takes no supplements.",
            "No hay resultados de vitamina D.",
        ],
        wrong=[
            "31 ng/mL on 03/04/2014",
            "Vitamin D 22 ng/mL (low)",
            "Her last vitamin D was 30, date not documented.",
            "Normal",
        ],
    ),
    Question(
        "When was her last bone marrow biopsy, and what did it show?",
        {"kind": "not_documented", "topic": ["bone marrow biopsy"]},
        right=[
            "She hasn't had one, as far as the record shows.",
            "No bone marrow biopsy is recorded.",
            "There is no evidence in the chart that a bone marrow biopsy was ever done.",
            "Never done per the available record.",
            "None on file.",
        ],
        wrong=[
            "On 03/04/2014; it showed normal cellularity.",
            "The bone marrow biopsy was normal.",
            "2012",
        ],
    ),
]


@pytest.mark.parametrize(("response", "instruction", "fact", "is_right"), cases(QUESTIONS))
def test_silence_is_recognized_and_claims_contradict_it(response, instruction, fact, is_right):
    assert grade(response, [fact], instruction).correct == is_right


def test_a_quoted_diagnosis_called_unspecified_is_not_silence():
    line = "2006-09-09 09:01 condition ICD10CM/N18.30 Chronic kidney disease, stage 3 unspecified"
    fact = {"kind": "not_documented", "topic": ["uric acid"]}
    assert not grade(line, [fact], "What is her most recent uric acid?").correct
