"""Sets: what is listed depends on what the question asks for."""

import pytest

from medalign_utils.grading import grade
from tests.builders.graded_questions import Question, cases

QUESTIONS = [
    Question(
        "What was still pending when he left hospital after the 05/02/2013 admission?",
        {"kind": "set", "members": [["urine sodium"], ["renal ultrasound report"]]},
        right=[
            "Urine sodium and the renal ultrasound.",
            "Pendientes al alta: sodio en orina (urine sodium) y ecografía renal.",
            "Still awaiting: renal ultrasound report, urine Na",
        ],
        wrong=[
            "Urine sodium only.",
            "Nothing was pending; the urine sodium and renal ultrasound had both resulted.",
            "Urine sodium was back; renal ultrasound report pending.",
            "Urine culture and renal ultrasound report.",
        ],
    ),
    Question(
        "What is he allergic to?",
        {
            "kind": "set",
            "members": [["penicillin", "PCN"], ["latex"]],
            "rivals": [["sulfa", "sulfonamide", "sulfonamides"], ["codeine"], ["aspirin", "ASA"]],
        },
        right=[
            "Penicillin (hives), latex (rash).",
            "PCN and latex.",
            "Alergias: penicilina y látex.",
            "| Allergen | Reaction |\n|---|---|\n| Penicillin | hives |\n| Latex | rash |",
            "Allergies: penicillin - hives; latex - rash. Takes aspirin 81 mg daily.",
            "Latex and penicillin. Codeine: no allergy.",
            "Allergic to PCN/latex. Denies sulfa or codeine allergy.",
        ],
        wrong=[
            "Penicillin",
            "NKDA",
            "Penicillin, latex and codeine",
            "No known allergies to penicillin or latex.",
            "He tolerates latex; allergic to penicillin.",
            "Penicillin; latex allergy was ruled out.",
        ],
    ),
    Question(
        "What vaccines (influenza, zoster, pneumococcal, Tdap) are still missing?",
        {
            "kind": "set",
            "members": [
                ["influenza", "flu shot", "flu vaccine"],
                ["zoster", "shingles", "Shingrix"],
            ],
            "rivals": [
                ["pneumococcal", "pneumonia shot", "pneumovax", "PPSV23"],
                ["Tdap", "tetanus"],
            ],
        },
        right=[
            "Flu and shingles",
            "Influenza and zoster are missing; pneumococcal and Tdap were given.",
            "She needs a flu shot and Shingrix. She already had her tetanus and pneumonia shots.",
            "Due: influenza, zoster. Up to date: pneumococcal, Tdap.",
            "She has not received influenza or zoster vaccine. Tdap and pneumococcal are done.",
            "Faltan la vacuna de la gripe y la de la culebrilla (zoster).",
            "All but influenza and zoster have been given: Tdap 2010, pneumococcal 2011.",
        ],
        wrong=[
            "Influenza",
            "Tdap and pneumococcal",
            "She has had influenza and zoster.",
            "None are missing.",
            "Influenza, zoster, Tdap and pneumococcal are all missing.",
            "Influenza: given\nZoster: given\nPneumococcal: missing\nTdap: missing",
        ],
    ),
    Question(
        "One-liner for sign-out, with age and every long-term problem?",
        {
            "kind": "set",
            "members": [
                ["hypertension", "HTN", "high blood pressure"],
                ["gout", "gouty arthritis"],
            ],
        },
        right=[
            "64F with HTN and gout.",
            "64-year-old woman with a history of high blood pressure and gout",
            "64 yo F, PMH: hypertension, gout.",
        ],
        wrong=[
            "64F with HTN",
            "64F with hypertension; no gout.",
            "64F with hypertension, family history of gout.",
        ],
    ),
    Question(
        "Outstanding results at discharge from the 08/02/2011 stay?",
        {"kind": "set", "members": [["pathology from the biopsy"]]},
        right=[
            "The biopsy pathology.",
            "Pathology results from the biopsy were still pending.",
            "One: path from biopsy",
            "At discharge the pathology report was awaited; CBC was normal.",
            "Patología de la biopsia (pathology from the biopsy).",
        ],
        wrong=[
            "None.",
            "No results were outstanding; the biopsy pathology had come back negative.",
            "Urine culture.",
            "Nothing pending.",
        ],
    ),
    Question(
        "List her drug and contrast allergies.",
        {
            "kind": "set",
            "members": [
                ["iodinated contrast", "IV contrast", "contrast dye"],
                ["sulfa", "sulfonamide", "sulfonamides"],
            ],
            "rivals": [
                ["penicillin", "PCN"],
                ["codeine"],
                ["latex"],
                ["vancomycin"],
                ["aspirin", "ASA"],
                ["shellfish"],
            ],
        },
        right=[
            "Sulfa (rash) and IV contrast (hives).",
            "1. Sulfonamide antibiotics – rash\n2. Iodinated contrast media – hives",
            "Contrast dye and sulfa drugs. No penicillin allergy.",
            "Medio de contraste yodado y sulfas.",
            "Sulfa, iodinated contrast. (Latex: tolerated. Codeine: tolerated.)",
        ],
        wrong=[
            "Sulfa",
            "Sulfa and penicillin",
            "No allergies",
            "Iodinated contrast; sulfa was tolerated in 2012.",
            "Sulfa, contrast, latex, codeine",
            "No sulfa allergy; contrast dye: hives",
        ],
    ),
    Question(
        "Which of flu, shingles, pneumococcal and Tdap vaccines has she not had yet?",
        {
            "kind": "set",
            "members": [["Tdap", "tetanus"], ["zoster", "shingles", "Shingrix"]],
            "rivals": [
                ["influenza", "flu shot", "flu vaccine"],
                ["pneumococcal", "pneumonia shot", "pneumovax", "PPSV23"],
            ],
        },
        right=[
            "Shingles and Tdap.",
            "She has not had Shingrix or Tdap.",
            "Not yet: zoster, Tdap. Had: influenza (2011), pneumococcal (2012).",
            "She's had flu and pneumococcal; shingles and tetanus are outstanding.",
            "Tdap - no record; Shingrix - no record; flu - 10/2012; PPSV23 - 2011",
            "No ha recibido Tdap ni la vacuna contra el zóster.",
            "Neither Tdap nor zoster vaccine has been given.",
        ],
        wrong=[
            "Influenza and pneumococcal.",
            "She has had Tdap and zoster; flu and pneumococcal are missing.",
            "Zoster only",
            "She has had all four.",
            "Tdap, zoster and influenza",
            "Tdap and zoster were given in 2012.",
        ],
    ),
]


@pytest.mark.parametrize(("response", "instruction", "fact", "is_right"), cases(QUESTIONS))
def test_sets_depend_on_what_is_asked(response, instruction, fact, is_right):
    assert grade(response, [fact], instruction).correct == is_right
