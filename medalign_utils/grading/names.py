"""Names of laboratory tests and vital signs, and how mentions of a topic are told from them."""

import re
from functools import lru_cache

from medalign_utils.grading.spelling import Mention, find
from medalign_utils.grading.text import Reading

LIMIT = re.compile(r"(?i)\b(?:goals?|targets?|cut-?offs?|thresholds?|limits?|aims?|aiming)\b")

# Names of each test, in prose and in LOINC's style: a fact's topic matches under any of them.
# When a statement lists several tests, they also show which test a number belongs to.
_TESTS = """
    creatinine, Cr, SCr | creatinine clearance, CrCl | urine creatinine, creatinine in urine |
    BUN, blood urea nitrogen, urea nitrogen | BUN/creatinine ratio | urine albumin/creatinine
    ratio, albumin to creatinine ratio, albumin/creatinine, UACR, ACR, urine albumin,
    microalbumin | eGFR, GFR, estimated GFR, glomerular filtration rate | sodium, Na |
    potassium, K | chloride, Cl | bicarbonate, HCO3, CO2, carbon dioxide | anion gap | calcium,
    Ca | magnesium, Mg | phosphorus, phosphate, phos | glucose, blood sugar, blood glucose |
    hemoglobin A1c, HbA1c, HgbA1c, A1c, Hemoglobin A1c/Hemoglobin.total | hemoglobin, Hgb, Hb |
    hematocrit, Hct | white blood cell count, white blood cells, white count, WBC, leukocytes |
    platelets, platelet count, Plt | MCV, mean corpuscular volume | RDW, red cell distribution
    width | neutrophils, ANC, absolute neutrophil count | total cholesterol, cholesterol, TC |
    LDL cholesterol, LDL, LDL-C, cholesterol in LDL | HDL cholesterol, HDL, HDL-C, cholesterol
    in HDL | non-HDL cholesterol, cholesterol non HDL | triglycerides, TG, triglyceride | TSH,
    thyroid stimulating hormone, thyrotropin | free T4, FT4, thyroxine free | T3,
    triiodothyronine | ALT, alanine aminotransferase, SGPT | AST, aspartate aminotransferase,
    SGOT | alkaline phosphatase, ALP, alk phos | bilirubin, total bilirubin | direct bilirubin,
    bilirubin.direct | albumin | total protein | lipase | amylase | INR, international
    normalized ratio | prothrombin time | PTT, aPTT | D-dimer | troponin, troponin I, troponin
    T, hs-troponin | BNP, brain natriuretic peptide, B-type natriuretic peptide, natriuretic
    peptide B | NT-proBNP, proBNP | CRP, C-reactive protein | ESR, sed rate, sedimentation rate
    | ferritin | iron, serum iron | TIBC | transferrin saturation | vitamin B12, B12, cobalamin
    | folate | vitamin D, 25-OH vitamin D, 25-hydroxyvitamin D, 25-hydroxyvitamin D3 | PSA,
    prostate specific antigen, prostate specific Ag | CEA | uric acid, urate | lactate, lactic
    acid | ammonia | blood pressure, BP, systolic blood pressure, diastolic blood pressure, SBP,
    DBP, systolic, diastolic | mean arterial pressure, MAP, mean blood pressure | heart rate,
    pulse, HR | respiratory rate, RR, respirations | temperature, temp, Tmax, T max, body
    temperature | oxygen saturation, SpO2, O2 sat, O2 saturation, pulse oximetry | weight, body
    weight, wt | height, body height, ht | BMI, body mass index | ejection fraction, LVEF, EF |
    FEV1 | FVC
"""
TESTS = tuple(tuple(test.split(", ")) for test in " ".join(_TESTS.split()).split(" | "))
ALL_TESTS = tuple(name for names in TESTS for name in names)


@lru_cache(maxsize=4096)
def with_synonyms(topic: tuple[str, ...]) -> tuple[str, ...]:
    """Return the topic's spellings, plus the test's other names if it is one of `TESTS`."""
    known = {name.casefold(): names for names in TESTS for name in names}
    extra = (name for spelling in topic for name in known.get(spelling.casefold(), ()))
    return tuple(dict.fromkeys((*topic, *extra)))


@lru_cache(maxsize=4096)
def topic_mentions(
    topic: tuple[str, ...], text: str
) -> tuple[tuple[Mention, ...], tuple[Mention, ...]]:
    """Return mentions of the topic in `text`, and mentions of other tests."""
    tests = find(ALL_TESTS, text)
    # "Hemoglobin A1c" does not mention hemoglobin, nor "A1c goal" the goal of another test.
    own = tuple(
        m
        for m in find(topic, text)
        if not m.is_part_of(tests)
        and not (
            LIMIT.fullmatch(text, m.start, m.end)
            and any(t.end <= m.start and not text[t.end : m.start].strip() for t in tests)
        )
    )
    others = tuple(t for t in tests if not any(t.start < m.end and m.start < t.end for m in own))
    return own, others


def is_named(topic: tuple[str, ...], reading: Reading) -> bool:
    """Return whether any statement or question of the response names the topic."""
    return any(topic_mentions(topic, statement.text)[0] for statement in reading.statements)
