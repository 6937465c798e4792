"""Simulates a patient: what is true and when, but not how notes word it.

All draws come from one `random.Random` and none uses a transcendental function, so a seed gives the
same patient on every machine and Python version.
"""

import random
from datetime import date, datetime, timedelta
from typing import NamedTuple

from medalign_utils.synthetic import catalogue as cat
from medalign_utils.synthetic.documentation import document_care
from medalign_utils.synthetic.patient import (
    Appointment,
    Course,
    Diagnosis,
    Message,
    Operation,
    Patient,
    Plan,
    Referral,
    Result,
    StudyDone,
    Visit,
    Vitals,
)

# For how many days a symptom may have lasted at a visit of each kind.
SYMPTOM_DAYS = {
    "office": (2, 3, 4, 5, 6, 7, 14, 21, 28),
    "telephone": (2, 3, 4, 5, 6, 8, 9),
    "emergency": (1, 2, 3, 4, 5),
    "inpatient": (1, 2, 3, 4, 5, 7),
}


class Care(NamedTuple):
    """How a patient is cared for: the mix of visits, and how closely a stay is monitored."""

    kinds: tuple[int, int, int, int] = (66, 14, 10, 10)  # office, telephone, emergency, inpatient
    longest_stay: int = 5  # whole days
    monitored: bool = False  # whether stays have hourly flowsheets and doses given


def _wobble(rng: random.Random, mean: float, sd: float) -> float:
    # The sum of four uniforms is nearly normal, and identical on every machine.
    return mean + sd * (rng.random() + rng.random() + rng.random() + rng.random() - 2) * 3**0.5


def _clip(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)


def simulate_patient(rng: random.Random, person_id: str, visits: int, care: Care) -> Patient:
    """Return a patient with this number of visits (2 to 800), which sets the record's length."""
    patient = _person(rng, person_id, visits, care)
    _diagnoses(rng, patient)
    taken = set()
    for diagnosis in patient.diagnoses:
        for drug_class in diagnosis.condition.drug_classes:
            if drug_class not in taken and rng.random() >= 0.25:
                taken.add(drug_class)
                _courses(rng, patient, drug_class, diagnosis.onset)
    _visit_contents(rng, patient)
    _results(rng, patient)
    _studies(rng, patient)
    _social_course(rng, patient)
    for number, visit in enumerate(patient.visits):
        if care.monitored and visit.kind == "inpatient":
            patient.flowsheets[number] = _flowsheet(rng, visit, number)
    document_care(rng, patient)
    return patient


def _person(rng: random.Random, person_id: str, visits: int, care: Care) -> Patient:
    gender = rng.choice(("FEMALE", "MALE"))
    timeline = _visits(rng, visits, care)
    first = timeline[0].start
    birthdate = date(first.year - rng.randint(38, 72), rng.randint(1, 12), rng.randint(1, 28))
    smoked = rng.random() < 0.5
    relatives = rng.sample(cat.RELATIVES, rng.randint(2, 4))
    diseases = rng.sample(cat.FAMILY_CONDITIONS, len(relatives))
    allergens = rng.sample(cat.ALLERGENS, rng.choice((0, 1, 1, 2, 3)))
    reactions = rng.sample(cat.REACTIONS, len(allergens))
    races = *("White",) * 3, "Black or African American", "Asian", "Other"
    return Patient(
        person_id=person_id,
        gender=gender,
        race=rng.choice(races),
        ethnicity=rng.choice(("Not Hispanic or Latino",) * 3 + ("Hispanic or Latino",)),
        birthdate=birthdate,
        language=rng.choice(("English",) * 4 + cat.LANGUAGES),
        height=rng.randint(152, 172) if gender == "FEMALE" else rng.randint(163, 188),
        occupation=rng.choice(cat.OCCUPATIONS),
        visits=timeline,
        living=[(0, rng.choice(cat.LIVING[:5]))],
        drinks=[(0, rng.choice((0, 0, 2, 3, 4, 7, 10, 14)))],
        code_status=[(0, ("full code",))],
        quit_smoking=first.year - rng.randint(2, 25) if smoked else None,
        pack_years=rng.randint(4, 50) if smoked else 0,
        contact=rng.choice(cat.CONTACTS),
        contact_phone=f"555-01{rng.randint(10, 99)}",
        allergies=list(zip(allergens, reactions, strict=True)),
        family=[(*pair, rng.randint(38, 79)) for pair in zip(relatives, diseases, strict=True)],
    )


def _visits(rng: random.Random, count: int, care: Care) -> list[Visit]:
    # Records with more visits span more years and are denser; all end before 2020.
    days = min(420 + 38 * count, 8000)
    start = datetime(rng.randint(1996, 2018 - days // 365), rng.randint(1, 12), rng.randint(1, 28))
    offsets = sorted(rng.sample(range(0, days, 9), count))
    payers = rng.sample(cat.PAYERS, 2)
    change = rng.randint(1, count)
    timeline = []
    for number, offset in enumerate(offsets):
        kind = rng.choices(("office", "telephone", "emergency", "inpatient"), care.kinds)[0]
        # The first visit establishes care, so even short records have an office note.
        kind = "office" if number == 0 else kind
        begin = start + timedelta(days=offset, hours=rng.randint(8, 16), minutes=rng.randint(0, 59))
        stay = {
            "emergency": timedelta(hours=rng.randint(2, 7)),
            "inpatient": timedelta(days=rng.randint(2, care.longest_stay), hours=rng.randint(0, 5)),
        }.get(kind, timedelta(minutes=rng.randint(20, 50)))
        provider, payer = rng.randint(1000, 1899), payers[number >= change][0]
        timeline.append(Visit(kind, begin, begin + stay, provider, payer))
    return timeline


def _diagnoses(rng: random.Random, patient: Patient) -> None:
    names = rng.sample(sorted(cat.CONDITIONS), rng.randint(4, 7))
    for number, name in enumerate(names):
        # Two are known from the start, the others are diagnosed later.
        onset = 0 if number < 2 else rng.randint(0, patient.last)
        patient.diagnoses.append(Diagnosis(cat.CONDITIONS[name], onset))
        for analyte, targets in cat.GOALS.get(name, {}).items():
            first, second = rng.sample(targets, 2)
            patient.goals[analyte] = [(onset, first), (rng.randint(onset, patient.last), second)]
    patient.diagnoses.sort(key=lambda d: d.onset)


def _courses(rng: random.Random, patient: Patient, drug_class: str, start: int) -> None:
    """Simulate a drug of one class, its dose changes, and switches to others of that class."""
    members = [d for d in cat.DRUGS.values() if d.drug_class == drug_class]
    rng.shuffle(members)
    drug = members.pop()
    course = Course(drug, rng.choice(drug.doses), start)
    patient.courses.append(course)
    often = 0.10 + 0.5 / len(patient.visits)
    for visit in range(start + 1, patient.last + 1):
        if patient.visits[visit].kind == "telephone" or rng.random() > often:
            continue
        course.stop = visit
        higher = [dose for dose in course.drug.doses if dose > course.dose]
        if higher and rng.random() < 0.45:
            drug, dose = course.drug, higher[0]
        else:
            is_switch = bool(members) and rng.random() < 0.8
            course.reason = rng.choice(cat.DRUG_CLASSES[drug_class].stop_reasons)
            if not is_switch:
                return
            drug = course.successor = members.pop()
            dose = rng.choice(drug.doses)
        course = Course(drug, dose, visit)
        patient.courses.append(course)


def _visit_contents(rng: random.Random, patient: Patient) -> None:
    # Patients report a few recurring symptoms; any symptom absent that day may be denied.
    prone = rng.sample(cat.SYMPTOMS, 5)
    operable = [s for s in cat.SURGERIES if s.gender in ("-", patient.gender)]
    rng.shuffle(operable)
    for number, visit in enumerate(patient.visits):
        visit.positives = [rng.choice(prone)]
        visit.never = rng.sample(cat.NEVER_HAD, 2)
        visit.symptom_days = rng.choice(SYMPTOM_DAYS[visit.kind])
        known = [d.condition for d in patient.diagnoses_at(number)]
        if visit.kind == "office":
            visit.cpt = rng.choice(("99213", "99214", "99215"))
            if number and rng.random() < 0.5:
                visit.department = rng.choice(known).department
        elif visit.kind == "emergency":
            visit.department = "Emergency Department"
            visit.acute = rng.choice(cat.ACUTE)
            visit.differential = rng.sample([a for a in cat.ACUTE if a is not visit.acute], 2)
            visit.off_work = rng.randint(1, 9)
            visit.cpt = rng.choice(("99283", "99284", "99285"))
        elif visit.kind == "inpatient":
            visit.department = "Hospital Medicine"
            visit.cpt = rng.choice(("99221", "99222", "99223"))
            visit.follow_weeks = rng.randint(1, 6)
            visit.policy = rng.choice(cat.POLICIES)
            if operable and rng.random() < 0.35:
                surgery = operable.pop()
                complication = rng.choice(surgery.complications) if rng.random() < 0.5 else None
                hold_days = rng.randint(3, 10)
                patient.operations.append(Operation(surgery, number, complication, hold_days))
                visit.department = "Surgery"
            else:
                visit.acute = rng.choice(cat.ACUTE)
        complaints = visit.positives + ([(visit.acute.symptom,)] if visit.acute else [])
        others = [s for s in cat.SYMPTOMS if not any(word in s for c in complaints for word in c)]
        visit.denied = rng.sample(others, rng.randint(3, 5))
        visit.panel = visit.kind != "telephone"
        if visit.kind == "office" and number > 0:
            visit.panel = rng.random() < 0.6
        if patient.noted(number):
            for condition in rng.sample(known, min(len(known), rng.randint(1, 3))):
                patient.plans.append(Plan(number, condition, rng.choice(condition.plans)))
            if rng.random() < 0.2:
                reason = rng.choice(known)
                if reason.department not in (visit.department, "Primary Care"):
                    patient.referrals.append(Referral(number, reason.department, reason))
        if visit.kind == "office" and rng.random() < 0.2:
            patient.vaccines.append((number, rng.choice(sorted(cat.VACCINES))))


def _results(rng: random.Random, patient: Patient) -> None:
    followed = set(cat.ROUTINE_ANALYTES)
    state, drift = {}, {}
    for number, visit in enumerate(patient.visits):
        for diagnosis in patient.diagnoses_at(number):
            followed.update(diagnosis.condition.analytes)
        if patient.gender == "FEMALE":
            followed.discard("PSA")
        for day in range((visit.end - visit.start).days + 1):
            if visit.kind != "telephone":
                _vitals(rng, patient, number, day, state)
            for name in sorted(followed) if visit.panel else ():
                analyte = cat.ANALYTES[name]
                if name not in state:
                    state[name] = _wobble(rng, analyte.mean, analyte.sd)
                    drift[name] = _wobble(rng, 0, analyte.sd * 0.06)
                routine = name in cat.ROUTINE_ANALYTES and visit.kind != "office"
                if rng.random() > (0.95 if routine else 0.7):
                    continue
                span = analyte.low, analyte.high
                state[name] = _clip(state[name] + drift[name], *span)
                value = _clip(_wobble(rng, state[name], analyte.sd * 0.35), *span)
                value = round(value, analyte.decimals) if analyte.decimals else float(int(value))
                time = visit.start + timedelta(days=day, minutes=14)
                patient.results.append(Result(analyte, number, time, value))


def _vitals(rng: random.Random, patient: Patient, number: int, day: int, state: dict) -> None:
    visit = patient.visits[number]
    if "weight" not in state:
        state["weight"] = patient.height - 100 + rng.randint(-12, 35)
        state["systolic"] = rng.randint(112, 148)
    state["weight"] = _clip(_wobble(rng, state["weight"], 1.1), 42, 160)
    feverish = visit.acute is not None and rng.random() < 0.5
    for turn in range(1 if visit.kind == "office" else 3):
        systolic = int(_clip(_wobble(rng, state["systolic"], 11), 84, 212))
        vitals = Vitals(
            visit=number,
            time=visit.start + timedelta(days=day, hours=4 * turn, minutes=6),
            systolic=systolic,
            diastolic=int(_clip(systolic * 0.58 + _wobble(rng, 0, 5), 44, 118)),
            pulse=int(_clip(_wobble(rng, 76, 11), 44, 138)),
            temperature=round(_clip(_wobble(rng, 38.1 if feverish else 36.8, 0.35), 35.4, 40.2), 1),
            weight=round(state["weight"], 1),
            saturation=int(_clip(_wobble(rng, 96.5, 1.4), 84, 100)),
        )
        patient.vitals.append(vitals)


def _flowsheet(rng: random.Random, visit: Visit, number: int) -> list[Vitals]:
    """Return a stay's hourly readings, without weight; an illness raises them and wears off."""
    hours = int((visit.end - visit.start) / timedelta(hours=1))
    pressure, pulse, breaths = rng.randint(106, 148), rng.randint(62, 84), rng.randint(13, 17)
    fever = rng.choice((0, 0.6, 1.4)) if visit.acute else 0
    oxygen, urine = rng.choice((0, 0, 2, 4)), rng.randint(40, 90)
    rows = []
    for hour in range(hours):
        ill = 1 - hour / hours
        systolic = int(_wobble(rng, pressure, 9))
        diastolic = int(systolic * 0.58 + _wobble(rng, 0, 4))
        rows.append(
            Vitals(
                visit=number,
                time=visit.start + timedelta(hours=hour, minutes=30),
                systolic=systolic,
                diastolic=diastolic,
                mean_pressure=(systolic + 2 * diastolic) // 3,
                pulse=int(_wobble(rng, pulse + 9 * fever * ill, 5)),
                respirations=int(_wobble(rng, breaths + 4 * fever * ill, 1.5)),
                saturation=int(_clip(_wobble(rng, 96.5 - 2 * fever * ill, 1), 86, 100)),
                temperature=round(_wobble(rng, 36.7 + fever * ill, 0.25), 1),
                oxygen=round(oxygen * ill),
                urine=int(_wobble(rng, urine, 15)),
                coma_score=14 if fever and rng.random() < 0.1 * ill else 15,
            )
        )
    return rows


def _studies(rng: random.Random, patient: Patient) -> None:
    nodule = rng.randint(4, 9) if rng.random() < 0.6 else None
    ejection = rng.randint(45, 65)
    visits = len(patient.visits)
    for number, visit in enumerate(patient.visits):
        if visit.kind == "telephone":
            continue
        when = number, visit.start + timedelta(minutes=50)
        for study in cat.STUDIES:
            if rng.random() < 0.08 + 0.25 / visits:
                finding = rng.choice(study.findings)
                patient.studies.append(StudyDone(study, *when, finding))
        if nodule and rng.random() < 0.10 + 0.4 / visits:
            patient.studies.append(StudyDone(cat.CHEST_CT, *when, value=nodule))
            nodule += rng.choice((0, 1, 1, 2))
        if rng.random() < 0.10 + 0.4 / visits:
            patient.studies.append(StudyDone(cat.ECHO, *when, value=ejection))
            ejection = int(_clip(ejection + rng.choice((-10, -5, 5)), 20, 70))
        if visit.kind == "office" and rng.random() < 0.03 + 0.4 / visits:
            polyps, years = rng.randint(1, 6), rng.choice((3, 5, 7))
            done = StudyDone(cat.COLONOSCOPY, *when, value=polyps, years_to_next=years)
            patient.studies.append(done)


def _social_course(rng: random.Random, patient: Patient) -> None:
    last = patient.last
    if rng.random() < 0.5:
        others = [home for home in cat.LIVING if home != patient.living[0][1]]
        patient.living.append((rng.randint(1, last), rng.choice(others)))
    if rng.random() < 0.5:
        change = rng.choice([n for n in (0, 1, 5, 8, 12) if n != patient.drinks[0][1]])
        patient.drinks.append((rng.randint(1, last), change))
    if rng.random() < 0.4:
        patient.code_status.append((rng.randint(1, last), ("DNR", "do not resuscitate")))
    for message in rng.sample(cat.MESSAGES, min(len(cat.MESSAGES), 1 + last // 8)):
        visit = patient.visits[rng.randint(0, last)]
        time = visit.end + timedelta(days=rng.randint(1, 6), minutes=rng.randint(0, 300))
        patient.messages.append(Message(time, *message))
    patient.messages.sort(key=lambda m: m.time)
    for number, visit in enumerate(patient.visits):
        is_call = visit.kind == "telephone"
        if number == last or (not is_call and rng.random() < 0.25):
            day = visit.start + timedelta(days=rng.randint(21, 150))
            known = patient.diagnoses_at(number)
            department = "Primary Care" if is_call else rng.choice(known).condition.department
            kept = None if number == last else rng.random() < 0.7
            time = day.replace(hour=10, minute=30)
            # Only one appointment is still to come, so that "the next one" is certain.
            if number == last or time < patient.visits[last].start:
                patient.appointments.append(Appointment(number, time, department, kept))
