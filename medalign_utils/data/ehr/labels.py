"""Clinical words for the names of types, demographics, values and units in a record."""

import re

import pandas as pd

TYPES = {
    "visit": "Visit",
    "visit_detail": "Department",
    "condition": "Diagnosis",
    "procedure": "Procedure",
    "drug_exposure": "Medication",
    "device_exposure": "Device",
    "measurement": "Lab or vital sign",
    "observation": "Observation",
    "image": "Imaging study",
    "note": "Note",
    "death": "Death",
    "person": "Demographics",
}
_PERSON = {
    "birthdate": "Birth date",
    "age_days": "Age in days",
    "age_years": "Age",
    "gender": "Sex",
    "race": "Race",
    "ethnicity": "Ethnicity",
    "payerplan": "Insurance",
}
_VALUES = {"start": "started", "end": "ended", "MALE": "male", "FEMALE": "female"}
# UCUM, the code for units in records -> what a laboratory report prints.
_UNITS = {
    "Cel": "°C",
    "[degF]": "°F",
    "mm[Hg]": "mmHg",
    "[lb_av]": "lb",
    "[oz_av]": "oz",
    "[in_i]": "in",
    "1": "",
}
_UCUM = (
    (re.compile(r"\{(\w+)\}"), r"\1"),  # {beats}/min
    (re.compile(r"\[([a-z]*IU|pH)\]"), r"\1"),
    (re.compile(r"(?<![A-Za-z])u(?=[A-Za-z])"), "µ"),
    (re.compile(r"\bmcg\b"), "µg"),
    (re.compile(r"10(?:\*|\^)(\d+)"), lambda m: "10" + m[1].translate(_SUPERSCRIPTS)),
)
_SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def type_label(event_type: str) -> str:
    """Return the clinical word for a type of event; an unknown type without underscores.

    >>> type_label("drug_exposure"), type_label("care_plan")
    ('Medication', 'Care plan')
    """
    return TYPES.get(event_type, event_type.replace("_", " ").capitalize())


def unit_label(unit: str | None) -> str:
    """Return a unit as laboratory reports print it; "" if it is missing.

    >>> [unit_label(u) for u in ("Cel", "10*3/uL", "{beats}/min", "mg/dL", None)]
    ['°C', '10³/µL', 'beats/min', 'mg/dL', '']
    """
    if unit is None or pd.isna(unit):
        return ""
    if unit in _UNITS:
        return _UNITS[unit]
    for pattern, printed in _UCUM:
        unit = pattern.sub(printed, unit)
    return unit


def name_label(event_type: str, name: str | None) -> str:
    """Return an event's name in clinical words; "" if it is missing."""
    if name is None or pd.isna(name):
        return ""
    return _PERSON.get(name, name) if event_type == "person" else name


def value_label(event_type: str, value: str | None) -> str:
    """Return an event's value in clinical words; a note's text is unchanged.

    >>> value_label("measurement", "37.2"), value_label("drug_exposure", "start")
    ('37.2', 'started')
    """
    text = "" if value is None or pd.isna(value) else value
    return text if event_type == "note" else _VALUES.get(text, text)
