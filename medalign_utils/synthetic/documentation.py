"""Simulates how care is documented: errors copied forward, outside documents, relative dates.

What is true of the patient stays as it is; this decides what notes say about it.
"""

import random
from datetime import datetime, time, timedelta

from medalign_utils.synthetic import catalogue as cat
from medalign_utils.synthetic.patient import (
    WITH_HISTORY,
    WITH_SOCIAL,
    CopiedError,
    Course,
    Patient,
    StayChange,
)


def document_care(rng: random.Random, patient: Patient) -> None:
    """Decide which visits and studies are outside ones, and what notes copy forward wrongly."""
    for visit in patient.visits:
        visit.has_relative_dates = rng.random() < 0.6
        is_specialist = visit.kind == "office" and visit.department != "Primary Care"
        visit.is_outside = is_specialist and rng.random() < 0.4
    patient.studies = [s._replace(is_outside=rng.random() < 0.3) for s in patient.studies]
    _use_other_laboratory(rng, patient)
    _change_medications_in_hospital(rng, patient)
    for course in patient.courses:
        _copy_old_dose(rng, patient, course)
    for kind, series in (("home", patient.living), ("drinks", patient.drinks)):
        if len(series) > 1 and rng.random() < 0.7:
            (_, old), (changed, _) = series
            _copy(rng, patient, kind, old, WITH_SOCIAL, changed)
    if patient.quit_smoking and rng.random() < 0.5:
        wrong = patient.quit_smoking - rng.randint(2, 9)
        _copy(rng, patient, "quit smoking", wrong, WITH_SOCIAL, 0)
    known = {diagnosis.condition.spellings for diagnosis in patient.diagnoses}
    others = [c for c in cat.CONDITIONS.values() if c.spellings not in known]
    if rng.random() < 0.7:
        _copy(rng, patient, "problem", rng.choice(others), WITH_HISTORY, 0)


def _use_other_laboratory(rng: random.Random, patient: Patient) -> None:
    """Let some clinic visits use a laboratory that reports in other units."""
    is_office = [visit.kind == "office" for visit in patient.visits]
    elsewhere = {n for n, office in enumerate(is_office) if office and rng.random() < 0.45}
    for i, r in enumerate(patient.results):
        other = cat.OTHER_UNITS.get(r.analyte.spellings[0])
        if other and r.visit in elsewhere:
            measured = round(r.value * other.factor, other.decimals)
            value = round(measured / other.factor, 4)
            patient.results[i] = r._replace(value=value, is_outside=True)


def _copy(rng, patient: Patient, kind, wrong, kinds, first: int, course=None, end=None) -> None:
    """Let notes from visit `first` on, and before visit `end`, copy an entry until corrected."""
    visits = range(first, len(patient.visits) if end is None else end)
    if writing := [n for n in visits if patient.visits[n].kind in kinds]:
        # A correction is seldom quick: most are in the later half.
        last = writing[max(rng.randrange(len(writing)), rng.randrange(len(writing)))]
        # On the day after; visits begin at least nine days apart, so before the next one.
        next_day = patient.visits[last].end.date() + timedelta(days=1)
        corrected = datetime.combine(next_day, time(8)) + timedelta(minutes=rng.randint(0, 480))
        patient.copied_errors.append(CopiedError(kind, wrong, first, last, corrected, course))


def _copy_old_dose(rng: random.Random, patient: Patient, course: Course) -> None:
    if rng.random() >= (0.6 if course.stop is None else 0.2):
        return
    earlier = [c.dose for c in patient.courses if c.drug is course.drug and c.stop == course.start]
    wrong = earlier or [dose for dose in course.drug.doses if dose != course.dose]
    if wrong:
        # A visit's changes are in the medication lists of later visits.
        first, dose = course.start + 1, rng.choice(wrong)
        _copy(rng, patient, "dose", dose, WITH_HISTORY, first, course, course.stop)


def _change_medications_in_hospital(rng: random.Random, patient: Patient) -> None:
    for n, visit in enumerate(patient.visits):
        if visit.kind != "inpatient" or n == 0:
            continue
        continued = [c for c in patient.courses_at(n - 1) if c.stop is None or c.stop > n]
        for course in rng.sample(continued, min(len(continued), rng.randint(0, 2))):
            doses = [dose for dose in course.drug.doses if dose != course.dose]
            is_held = not doses or rng.random() < 0.5
            dose = None if is_held else rng.choice(doses)
            patient.stay_changes.append(StayChange(n, course, dose))
