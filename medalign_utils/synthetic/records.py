"""Writes a simulated patient down: encounters of coded events and notes."""

import random
from datetime import datetime, time, timedelta
from typing import NamedTuple

from medalign_utils.synthetic import catalogue as cat
from medalign_utils.synthetic.notes import Event, Notes, number
from medalign_utils.synthetic.patient import Patient


class Encounter(NamedTuple):
    """One encounter: its span, the payer at the time, the care site, its events in order."""

    start: datetime
    end: datetime
    payer: str
    care_site: str
    provider: int
    events: list[Event]


VISIT_CODES = {
    "office": ("Visit/OP", "Outpatient Visit"),
    "telephone": ("CMS Place of Service/02", "Telehealth"),
    "emergency": ("Visit/ER", "Emergency Room Visit"),
    "inpatient": ("Visit/IP", "Inpatient Visit"),
}
CPT_TITLES = {
    "99213": "Office or other outpatient visit, established patient, low complexity",
    "99214": "Office or other outpatient visit, established patient, moderate complexity",
    "99215": "Office or other outpatient visit, established patient, high complexity",
    "99283": "Emergency department visit, moderate severity",
    "99284": "Emergency department visit, high severity",
    "99285": "Emergency department visit, high severity with immediate threat",
    "99221": "Initial hospital care, per day, low complexity",
    "99222": "Initial hospital care, per day, moderate complexity",
    "99223": "Initial hospital care, per day, high complexity",
}
VITAL_CODES = (
    ("systolic", "LOINC/8480-6", "Systolic blood pressure", "mmHg"),
    ("diastolic", "LOINC/8462-4", "Diastolic blood pressure", "mmHg"),
    ("pulse", "LOINC/8867-4", "Heart rate", "beats/min"),
    ("temperature", "LOINC/8310-5", "Body temperature", "Cel"),
    ("weight", "LOINC/29463-7", "Body weight", "kg"),
    ("saturation", "LOINC/59408-5", "Oxygen saturation in Arterial blood by Pulse oximetry", "%"),
)
FLOWSHEET_CODES = (
    *VITAL_CODES[:4],
    ("mean_pressure", "LOINC/8478-0", "Mean blood pressure", "mmHg"),
    ("respirations", "LOINC/9279-1", "Respiratory rate", "breaths/min"),
    VITAL_CODES[5],
    ("oxygen", "LOINC/3151-8", "Inhaled oxygen flow rate", "L/min"),
    ("urine", "LOINC/9187-6", "Urine output", "mL"),
    ("coma_score", "LOINC/9269-2", "Glasgow coma score total", "{score}"),
)
# When a dose is given, by the clock; a drug taken once a week or as needed is not given in a stay.
HOURS_GIVEN = {"twice daily": (8, 20), "once a week": (), "as needed": ()}


def write_encounters(rng: random.Random, patient: Patient) -> list[Encounter]:
    """All encounters of a patient, oldest first, events of each in order of time."""
    notes = Notes(rng, patient)
    encounters = [_visit(rng, patient, notes, n) for n in range(len(patient.visits))]
    alone = [(notes.message(m), "Secure Messaging") for m in patient.messages]
    alone += [(notes.no_show(a), a.department) for a in patient.appointments if a.kept is False]
    payer = patient.visits[0].payer
    encounters += [
        Encounter(note.time, note.time + timedelta(minutes=5), payer, site, 1900, [note])
        for note, site in alone
    ]
    return sorted(encounters, key=lambda e: e.start)


def _visit(rng: random.Random, patient: Patient, notes: Notes, n: int) -> Encounter:
    visit = patient.visits[n]
    site = f"CARE_SITE/{visit.provider * 7}"
    events = [
        Event(visit.start, "visit", *VISIT_CODES[visit.kind], "start"),
        Event(visit.start, "visit_detail", site, visit.department),
        *_codes(rng, patient, n),
        *_flowsheet(patient, n),
        *getattr(notes, visit.kind)(n),
        *notes.reports(n),
    ]
    if visit.kind in ("emergency", "inpatient"):
        events.append(Event(visit.end, "visit", *VISIT_CODES[visit.kind], "end"))
    events.sort(key=lambda e: e.time)
    return Encounter(visit.start, visit.end, visit.payer, visit.department, visit.provider, events)


def _flowsheet(patient: Patient, n: int) -> list[Event]:
    """A monitored stay's hourly readings, and each dose that was given.

    What is given is what was taken before the stay, as its medication lists say; what the stay
    changes is started and stopped at its end.
    """
    events = [
        Event(hour.time, "measurement", code, name, f"{getattr(hour, key)}", unit)
        for hour in patient.flowsheets.get(n, ())
        for key, code, name, unit in FLOWSHEET_CODES
    ]
    if events:
        visit = patient.visits[n]
        days = (visit.end.date() - visit.start.date()).days + 1
        midnight = datetime.combine(visit.start.date(), time.min)
        # By ingredient, so that two courses of one drug are one dose.
        for drug in {c.drug.rxnorm: c.drug for c in patient.courses_at(n - 1)}.values():
            for hour in HOURS_GIVEN.get(drug.frequency, (8,)):
                given = [midnight + timedelta(days=day, hours=hour) for day in range(days)]
                events += [
                    Event(t, "drug_exposure", "RxNorm/" + drug.rxnorm, drug.name, "administered")
                    for t in given
                    if visit.start < t < visit.end
                ]
    return events


def _codes(rng: random.Random, patient: Patient, n: int) -> list[Event]:
    p, visit = patient, patient.visits[n]
    events = []
    for diagnosis in p.diagnoses_at(n):
        # A known problem is coded again at some visits only, as billing does.
        if diagnosis.onset == n or rng.random() < 0.4:
            c = diagnosis.condition
            events.append(Event(visit.start, "condition", "ICD10CM/" + c.icd10, c.title))
            if diagnosis.onset == n:
                events.append(
                    Event(
                        visit.start,
                        "condition",
                        "SNOMED/" + c.snomed,
                        c.name[0].upper() + c.name[1:],
                    )
                )
    if visit.acute:
        events.append(
            Event(visit.end, "condition", "ICD10CM/" + visit.acute.icd10, visit.acute.title)
        )
    if visit.cpt:
        events.append(Event(visit.start, "procedure", "CPT4/" + visit.cpt, CPT_TITLES[visit.cpt]))
    # A change of dose is no new start or end: the ingredient goes on.
    ingredients = {c.drug.rxnorm: c.drug.name for c in p.courses_at(n)}
    before = {c.drug.rxnorm for c in p.courses_at(n - 1)} if n else set()
    for rxnorm, name in ingredients.items():
        if rxnorm not in before:
            events.append(Event(visit.end, "drug_exposure", "RxNorm/" + rxnorm, name, "start"))
    for course in p.courses:
        if course.stop == n and course.drug.rxnorm not in ingredients:
            events.append(
                Event(
                    visit.end,
                    "drug_exposure",
                    "RxNorm/" + course.drug.rxnorm,
                    course.drug.name,
                    "end",
                )
            )
    for result in (r for r in p.results if r.visit == n):
        a = result.analyte
        events.append(
            Event(
                result.time,
                "measurement",
                "LOINC/" + a.loinc,
                a.title,
                number(result.value, a.decimals),
                a.unit,
            )
        )
    for vitals in (v for v in p.vitals if v.visit == n):
        for key, code, name, unit in VITAL_CODES:
            events.append(
                Event(vitals.time, "measurement", code, name, f"{getattr(vitals, key)}", unit)
            )
    if n == 0:
        events.append(
            Event(visit.start, "measurement", "LOINC/8302-2", "Body height", str(p.height), "cm")
        )
    for _, code in (v for v in p.vaccines if v[0] == n):
        events.append(Event(visit.end, "procedure", "CPT4/" + code, cat.VACCINES[code][0]))
    for operation in (o for o in p.operations if o.visit == n):
        events.append(
            Event(
                visit.start + timedelta(hours=3),
                "procedure",
                "CPT4/" + operation.surgery.cpt,
                operation.surgery.title,
            )
        )
    for referral in (r for r in p.referrals if r.visit == n):
        events.append(
            Event(
                visit.end,
                "observation",
                "SNOMED/306206005",
                "Referral to service",
                referral.department,
            )
        )
    status = "Never smoked tobacco" if not p.pack_years else "Ex-smoker"
    if visit.kind == "office" and rng.random() < 0.3:
        code = "SNOMED/266919005" if not p.pack_years else "SNOMED/8517006"
        events.append(Event(visit.start, "observation", code, status))
    return events
