"""Writes a simulated patient's record: encounters with coded events and notes."""

import random
from collections.abc import Iterator
from datetime import datetime, time, timedelta
from typing import NamedTuple

from medalign_utils.synthetic import catalogue as cat
from medalign_utils.synthetic.notes import Event, Notes
from medalign_utils.synthetic.patient import Patient


class Encounter(NamedTuple):
    """One encounter, with its events in order of time."""

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
# Hours at which doses are given; weekly and as-needed drugs are not given during a stay.
HOURS_GIVEN = {"twice daily": (8, 20), "once a week": (), "as needed": ()}


def write_encounters(rng: random.Random, patient: Patient) -> list[Encounter]:
    """Return all of a patient's encounters, oldest first."""
    notes = Notes(rng, patient)
    encounters = [_visit(rng, patient, notes, n) for n in range(len(patient.visits))]
    alone = [(notes.message(m), "Secure Messaging") for m in patient.messages]
    alone += [(notes.addendum(e), "Addendum") for e in patient.copied_errors]
    alone += [(notes.no_show(a), a.department) for a in patient.appointments if a.kept is False]
    for note, site in alone:
        end = note.time + timedelta(minutes=5)
        earlier = [visit for visit in patient.visits if visit.start <= note.time]
        payer = (earlier or patient.visits[:1])[-1].payer
        encounters.append(Encounter(note.time, end, payer, site, 1900, [note]))
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


def _readings(vitals, codes) -> Iterator[Event]:
    for key, code, name, unit in codes:
        yield Event(vitals.time, "measurement", code, name, f"{getattr(vitals, key)}", unit)


def _flowsheet(patient: Patient, n: int) -> Iterator[Event]:
    """Yield a monitored stay's hourly readings and each dose of the patient's home medications."""
    for hour in patient.flowsheets.get(n, ()):
        yield from _readings(hour, FLOWSHEET_CODES)
    # By ingredient, so that two courses of a drug are one dose.
    held = {x.course.drug for x in patient.stay_changes if x.visit == n and x.dose is None}
    home = patient.courses_at(n - 1)
    drugs = {c.drug.rxnorm: c.drug for c in home if c.drug not in held}
    visit = patient.visits[n]
    midnight = datetime.combine(visit.start.date(), time.min)
    for rxnorm, drug in drugs.items() if patient.flowsheets.get(n) else ():
        for hour in HOURS_GIVEN.get(drug.frequency, (8,)):
            for day in range((visit.end.date() - visit.start.date()).days + 1):
                given = midnight + timedelta(days=day, hours=hour)
                if visit.start < given < visit.end:
                    code = "RxNorm/" + rxnorm
                    yield Event(given, "drug_exposure", code, drug.name, "administered")


def _codes(rng: random.Random, p: Patient, n: int) -> Iterator[Event]:
    visit = p.visits[n]
    start, end = visit.start, visit.end
    for diagnosis in p.diagnoses_at(n):
        # As in billing, only some visits code a known problem again.
        if diagnosis.onset == n or rng.random() < 0.4:
            c = diagnosis.condition
            yield Event(start, "condition", "ICD10CM/" + c.icd10, c.title)
            if diagnosis.onset == n:
                name = c.spellings[0][0].upper() + c.spellings[0][1:]
                yield Event(start, "condition", "SNOMED/" + c.snomed, name)
    if visit.acute:
        yield Event(end, "condition", "ICD10CM/" + visit.acute.icd10, visit.acute.title)
    if visit.cpt:
        yield Event(start, "procedure", "CPT4/" + visit.cpt, cat.VISIT_CPT[visit.cpt])
    # A change of dose neither starts nor ends a drug: the ingredient continues.
    now = {c.drug.rxnorm: c.drug.name for c in p.courses_at(n)}
    before = {c.drug.rxnorm for c in p.courses_at(n - 1)} if n else set()
    changes = [(rxnorm, name, "start") for rxnorm, name in now.items() if rxnorm not in before]
    stopped = [c.drug for c in p.courses if c.stop == n and c.drug.rxnorm not in now]
    for rxnorm, name, change in [*changes, *((d.rxnorm, d.name, "end") for d in stopped)]:
        yield Event(end, "drug_exposure", "RxNorm/" + rxnorm, name, change)
    for r in (r for r in p.results if r.visit == n):
        loinc, title, digits, unit = r.reported
        yield Event(r.time, "measurement", "LOINC/" + loinc, title, digits, unit)
    for vitals in (v for v in p.vitals if v.visit == n):
        yield from _readings(vitals, VITAL_CODES)
    if n == 0:
        yield Event(start, "measurement", "LOINC/8302-2", "Body height", str(p.height), "cm")
    for _, code in (v for v in p.vaccines if v[0] == n):
        yield Event(end, "procedure", "CPT4/" + code, cat.VACCINES[code][0])
    operated = start + timedelta(hours=3)
    for surgery in (o.surgery for o in p.operations if o.visit == n):
        yield Event(operated, "procedure", "CPT4/" + surgery.cpt, surgery.title)
    for r in (r for r in p.referrals if r.visit == n):
        yield Event(end, "observation", "SNOMED/306206005", "Referral to service", r.department)
    if visit.kind == "office" and rng.random() < 0.3:
        code = "SNOMED/8517006" if p.pack_years else "SNOMED/266919005"
        status = "Ex-smoker" if p.pack_years else "Never smoked tobacco"
        yield Event(start, "observation", code, status)
