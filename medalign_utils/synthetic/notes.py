"""Writes a simulated patient's notes, reports and messages.

They are as uneven as real records: abbreviations come and go, text is copied forward, most symptoms
are denied, reports repeat earlier values, and some facts are only in codes or only in notes.
"""

import random
from datetime import datetime, timedelta
from typing import NamedTuple

from medalign_utils.synthetic import catalogue as cat
from medalign_utils.synthetic.patient import Appointment, CopiedError, Message, Patient, at
from medalign_utils.synthetic.reports import report
from medalign_utils.synthetic.scans import scanned
from medalign_utils.synthetic.sections import Sections, us_date, usual
from medalign_utils.synthetic.wording import capitalized, counted, home, listed, named


class Event(NamedTuple):
    """One event of the eventstream; a missing string is empty."""

    time: datetime
    type: str
    code: str
    name: str
    text: str = ""
    unit: str = ""
    is_note: bool = False


def _note(time: datetime, kind: str, *lines: str) -> Event:
    """Return a note with the given lines, without empty ones."""
    short = {"Emergency department note": "ed-note", "History and physical": "h-and-p"}
    code = "STANFORD_NOTE/" + short.get(kind, kind.lower().replace(" ", "-"))
    return Event(time, "note", code, kind, "\n".join(line for line in lines if line), is_note=True)


class Notes(Sections):
    """Writes one patient's notes; visits must come in order, since text is copied forward."""

    def __init__(self, rng: random.Random, patient: Patient):
        """Take the random generator that varies the wording, and the patient."""
        super().__init__(rng, patient)
        self.previous_interval = ""

    def message(self, message: Message) -> Event:
        """Return a portal message with the clinic's reply."""
        replied = self.any("Reply sent by clinic staff:", "Clinic staff replied:", "Reply:")
        reply = f"{replied} {capitalized(message.reply)}."
        greeting = self.any(
            "Portal message from patient", "Portal message received", "Secure message from patient"
        )
        asks = f"{greeting}: {message.topic[0]}. Patient {message.asks}."
        return _note(message.time, "Patient message", asks, reply)

    def no_show(self, appointment: Appointment) -> Event:
        """Return the note about a missed appointment."""
        where = appointment.department
        text = self.any(
            f"No-show for scheduled {where} appointment. Letter mailed.",
            f"Patient did not arrive ({where}); marked no-show.",
            f"NO SHOW: {where}. Called, left voicemail.",
        )
        return _note(appointment.time, "Scheduling note", text)

    def office(self, n: int) -> list[Event]:
        """Return a clinic visit's progress note, often with a nursing note."""
        visit = self.p.visits[n]
        interval, copied = self.hpi(n), ""
        if self.previous_interval and not visit.is_outside and self.rng.random() < 0.6:
            copied = f"Copied forward from prior note: {self.previous_interval}"
        self.previous_interval = f"[{us_date(visit.start)}] {interval}"
        progress = _note(
            visit.end,
            "Progress note",
            f"{visit.department} clinic note. Date of service {us_date(visit.start)}.",
            f"CC: {visit.positives[0][0]}.",
            f"HPI: {interval}",
            copied,
            self.background(n),
            self.exam(n),
            self.data(n),
            self.assessment(n),
            self.closing(n),
        )
        if visit.is_outside:
            return [_scan(self.rng, progress)]
        if self.rng.random() >= 0.4:
            return [progress]
        rooming = (
            f"Roomed {visit.start:%H:%M}. Identity confirmed by two identifiers. Preferred "
            f"language {self.p.language}. Falls screen negative. Pharmacy unchanged. {self.she} "
            "filled out the intake form."
        )
        return [progress, _note(visit.start + timedelta(minutes=4), "Nursing note", rooming)]

    def telephone(self, n: int) -> list[Event]:
        """Return a telephone call's note."""
        visit = self.p.visits[n]
        symptom = visit.positives[0]
        text = self.any(
            f"Call returned {us_date(visit.start)}. Caller reports {symptom[0]} {self.lasting(n)}. "
            f"{self.she} denies {usual(visit.denied)}. Advised fluids and rest, call back if "
            "worse.",
            f"TC from patient re {self.short(symptom)} {self.lasting(n)}. No "
            f"{listed(self.shorts(visit.denied), 'or')}. Home care reviewed, {self.her} questions "
            "answered.",
        )
        return [_note(visit.end, "Telephone encounter", text)]

    def emergency(self, n: int) -> list[Event]:
        """Return an emergency visit's notes: provider note and triage."""
        visit = self.p.visits[n]
        acute = visit.acute
        is_same = acute.symptom in visit.positives[0]
        also = "" if is_same else f"Also notes {visit.positives[0][0]}. "
        considered = [acute, *visit.differential]
        self.rng.shuffle(considered)
        names = [a.spellings[0] for a in considered]
        provider = _note(
            visit.end,
            "Emergency department note",
            f"ED provider note. Arrival {us_date(visit.start)}.",
            f"CC: {acute.symptom}.",
            f"HPI: {self.opening(n)} presenting with {acute.symptom} "
            f"{self.lasting(n)}. {also}Denies "
            f"{listed(self.shorts(visit.denied), 'or')}.",
            self.history(n),
            self.allergies(),
            self.medications(n),
            f"MDM: differential for the {acute.symptom} included {listed(names)}. Work-up "
            f"most consistent with {named(acute.spellings[0])}; the others were felt to be less "
            "likely.",
            f"Disposition: discharged home. Off work for {counted(visit.off_work, 'day')}. "
            f"Return if {acute.return_precaution}.",
        )
        triage = (
            f"Triage {visit.start:%H:%M}. {capitalized(acute.symptom)}. "
            f"Pain {self.rng.randint(0, 8)}/10. Ambulatory. Belongings with patient."
        )
        return [provider, _note(visit.start + timedelta(minutes=5), "Nursing note", triage)]

    def inpatient(self, n: int) -> list[Event]:
        """Return a hospital stay's notes: admission, operation, daily notes, discharge summary."""
        p, visit = self.p, self.p.visits[n]
        operation = next((o for o in p.operations if o.visit == n), None)
        if operation:
            why, hold = operation.surgery.spellings[0], operation.hold_days
            problem, complication = f"elective {why}", operation.complication
            held = f" {self.she} had been told to stop NSAIDs and blood thinners {hold} days before"
            held, pending, precaution = f"{held} surgery.", "", "the wound drains"
            course = f"complicated by {named(complication[0])}" if complication else ""
            outcome = f"The {why} was {course or 'without complications'}."
        else:
            why, held = visit.acute.spellings[0], ""
            problem = f"{visit.acute.symptom} {self.lasting(n)}, found to have {named(why)}"
            outcome = f"Treated for {named(why)} with improvement."
            pending = f"Pending at discharge: {listed(visit.acute.pending)}."
            precaution = visit.acute.return_precaution
        admission = _note(
            visit.start + timedelta(hours=2),
            "History and physical",
            f"Admission H&P {us_date(visit.start)}.",
            f"HPI: {self.opening(n)} admitted for {problem}.{held} Reports "
            f"{visit.positives[0][0]}. Denies {usual(visit.denied)}.",
            self.background(n),
            self.reconciliation(n, is_discharge=False),
            f"Code status: {at(p.code_status, n)[0]}.",
            f"Emergency contact: {p.contact}, {p.contact_phone}.",
        )
        notes = [admission]
        if operation:
            report = (
                f"Procedure: {operation.surgery.title}. Performed {us_date(visit.start)} under "
                f"general anesthesia. EBL {self.rng.randint(2, 30) * 10} mL. Counts correct."
            )
            notes.append(_note(visit.start + timedelta(hours=6), "Operative report", report))
        for day in range(1, (visit.end - visit.start).days):
            notes += self._hospital_day(n, day, why)
        assessment = (
            f"Admission nursing assessment. Skin intact. Per hospital policy, {visit.policy[1]}. "
            f"Call light in reach. Home medications reviewed with {self.her} "
            f"{p.contact}."
        )
        notes.append(_note(visit.start + timedelta(hours=9), "Nursing note", assessment))
        discharge = _note(
            visit.end,
            "Discharge summary",
            f"Admitted {us_date(visit.start)}, discharged {us_date(visit.end)}.",
            f"Principal problem: {why}.",
            f"Hospital course: {outcome} {self.she} was afebrile and walking on discharge.",
            self.medications(n),
            self.reconciliation(n, is_discharge=True),
            self.plans(n),
            pending,
            f"Instructions: follow up with primary care in {counted(visit.follow_weeks, 'week')}. "
            f"Return if {precaution}.",
            self.closing(n),
        )
        return [*notes, discharge]

    def _hospital_day(self, n: int, day: int, why: str) -> list[Event]:
        is_elective = self.p.visits[n].acute is None
        time = self.p.visits[n].start + timedelta(days=day, hours=1)
        progress = _note(
            time,
            "Progress note",
            f"Hospital day {day + 1}. Admitted {'for elective' if is_elective else 'with'} {why}.",
            f"Subjective: slept {self.any('well', 'poorly', 'in stretches')}. Denies "
            f"{listed(self.shorts(self.p.visits[n].denied), 'or')}.",
            self.history(n),
            self.medications(n, in_hospital=True),
            f"Plan: continue current {'care after' if is_elective else 'treatment for'} {why}. "
            "PT to see. Disposition in "
            f"{self.any('a day or two', 'the coming days', 'discussion')}.",
        )
        nursing = (
            f"Shift note. Ate {self.any('all', 'half', 'little')} of meals. Voiding. Up to chair "
            f"x{self.rng.randint(1, 3)}. No falls. Pain {self.rng.randint(0, 6)}/10. Family at "
            "bedside in the evening."
        )
        return [progress, _note(time + timedelta(hours=11), "Nursing note", nursing)]

    def reports(self, n: int) -> list[Event]:
        """Return a visit's studies, each as a coded procedure and a report."""
        events = []
        for s in (s for s in self.p.studies if s.visit == n):
            earlier = [e for e in self.p.studies if e.study is s.study and e.time < s.time]
            kind = "Procedure note" if s.study is cat.COLONOSCOPY else "Imaging report"
            lines = report(s, earlier[-1] if earlier else None)
            note = _note(s.time + timedelta(minutes=20), kind, *lines)
            events += [
                Event(s.time, "procedure", "CPT4/" + s.study.cpt, s.study.title),
                _scan(self.rng, note) if s.is_outside else note,
            ]
        return events

    def addendum(self, error: CopiedError) -> Event:
        """Return the addendum that corrects an error copied forward."""
        p, course = self.p, error.course
        if error.kind == "dose":
            says = (
                f"the medication list was out of date. {capitalized(course.drug.name)} is "
                f"{course.regimen} since {us_date(p.visits[course.start].start)}, not "
                f"{course.regimen_at(error.wrong)}"
            )
        elif error.kind == "home":
            where = home(at(p.living, error.last)[0], self.her)
            says = f"the social history was out of date. {self.she} lives {where}"
        elif error.kind == "drinks":
            drinks = at(p.drinks, error.last)
            alcohol = f"{counted(drinks, 'drink')}/week" if drinks else "no alcohol"
            says = f"the social history was out of date. EtOH is now {alcohol}"
        elif error.kind == "quit smoking":
            says = (
                f"the smoking history was copied from an old intake form. {self.she} quit smoking "
                f"in {p.quit_smoking}"
            )
        else:
            says = (
                "one entry of the problem list was copied forward in error. "
                f"{self.she} has never had {error.wrong.spellings[0]}"
            )
        text = f"Addendum to the note of {us_date(p.visits[error.last].start)}: {says}."
        return _note(error.corrected, "Addendum", text)


def _scan(rng: random.Random, note: Event) -> Event:
    code = "STANFORD_NOTE/scanned-outside-record"
    text = scanned(rng, note.text, note.time)
    return note._replace(code=code, name="Scanned outside record", text=text)
