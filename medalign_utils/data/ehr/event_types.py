"""The types of events, and the names that other data models give them."""

import re
from functools import lru_cache

# The release's types, and "person" for facts about the patient.
EVENT_TYPES = tuple(
    "condition death device_exposure drug_exposure image measurement note observation person "
    "procedure visit visit_detail".split()
)
# Our type -> tables of OMOP and of MIMIC-III and -IV, and plurals.
_ALIASES = {
    "condition": "condition_occurrence conditions diagnoses diagnoses_icd ed/diagnosis",
    "device_exposure": "device_exposures devices",
    "drug_exposure": "drug_exposures drugs prescriptions pharmacy emar inputevents inputevents_mv "
    "inputevents_cv medrecon pyxis",
    "image": "images image_occurrence",
    "measurement": "measurements labevents microbiologyevents chartevents outputevents omr "
    "vitalsign ed/triage",
    "note": "notes noteevents clinical_note clinical_notes note/discharge note/radiology",
    "observation": "observations",
    "procedure": "procedures procedure_occurrence procedures_icd procedureevents "
    "procedureevents_mv hcpcsevents cptevents",
    "visit": "visits visit_occurrence admissions edstays",
    "visit_detail": "visit_details icustays transfers",
}
_TYPE_OF = {alias: ours for ours, aliases in _ALIASES.items() for alias in aliases.split()}
_TYPE_OF |= {ours: ours for ours in EVENT_TYPES}


@lru_cache(maxsize=1024)
def event_type_of(name: str) -> str:
    """Return our type of event for a name, in any case, with or without its schema.

    A name that neither the release, OMOP nor MIMIC has is a type of its own.

    >>> [event_type_of(name) for name in ("Condition_Occurrence", "hosp/labevents", "hosp/poe")]
    ['condition', 'measurement', 'hosp/poe']
    """
    name = " ".join(name.split())
    table = re.sub(r"[\s-]+", "_", name.lower()).replace(".", "/")
    return _TYPE_OF.get(table) or _TYPE_OF.get(table.rpartition("/")[2], name)
