"""Writes a simulated patient's notes, reports and messages.

They are as uneven as real records: abbreviations come and go, text is copied forward, most symptoms
are denied, reports repeat earlier values, and some facts are only in codes or only in notes.
"""

import random
from datetime import datetime, timedelta
from typing import NamedTuple

from medalign_utils.synthetic import catalogue as cat
from medalign_utils.synthetic.catalogue import Spellings
from medalign_utils.synthetic.patient import Appointment, Message, Patient, StudyDone, at


class Event(NamedTuple):
    """One event of the eventstream; a missing string is empty."""

    time: datetime
    type: str
    code: str
    name: str
    text: str = ""
    unit: str = ""
    is_note: bool = False


def _day(moment: datetime) -> str:
    return f"{moment:%m/%d/%Y}"


def _join(words: list[str], last: str = "or") -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {last} {words[-1]}"


def _usual(spellings: list[Spellings]) -> str:
    return _join([words[0] for words in spellings])


def _note(time: datetime, kind: str, *lines: str) -> Event:
    """Return a note with the given lines, without empty ones."""
    short = {"Emergency department note": "ed-note", "History and physical": "h-and-p"}
    code = "STANFORD_NOTE/" + short.get(kind, kind.lower().replace(" ", "-"))
    return Event(time, "note", code, kind, "\n".join(line for line in lines if line), is_note=True)


class Notes:
    """Writes one patient's notes; visits must come in order, since text is copied forward."""

    def __init__(self, rng: random.Random, patient: Patient):
        """Take the random generator that varies the wording, and the patient."""
        self.rng, self.p = rng, patient
        self.she = "She" if patient.gender == "FEMALE" else "He"
        self.her = "her" if patient.gender == "FEMALE" else "his"
        self.previous_interval = ""

    def _any(self, *wordings: str) -> str:
        return self.rng.choice(wordings)

    def _short(self, spellings: Spellings) -> str:
        return self.rng.choice(spellings[:2])

    def _shorts(self, spellings: list[Spellings]) -> list[str]:
        return [self._short(words) for words in spellings]

    def message(self, message: Message) -> Event:
        """Return a portal message with the clinic's reply."""
        advised = self._any("advised", "clinician recommends", "told patient:")
        reply = f"Reply sent by clinic staff: {advised} {message.answer[-1]}."
        greeting = self._any(
            "Portal message from patient", "Portal message received", "Secure message from patient"
        )
        asks = f"{greeting}: {message.topic[0]}. Patient {message.asks}."
        return _note(message.time, "Patient message", asks, reply)

    def no_show(self, appointment: Appointment) -> Event:
        """Return the note about a missed appointment."""
        where = appointment.department
        text = self._any(
            f"No-show for scheduled {where} appointment. Letter mailed.",
            f"Patient did not arrive ({where}); marked no-show.",
            f"NO SHOW: {where}. Called, left voicemail.",
        )
        return _note(appointment.time, "Scheduling note", text)

    def office(self, n: int) -> list[Event]:
        """Return a clinic visit's progress note, often with a nursing note."""
        visit = self.p.visits[n]
        interval, copied = self._hpi(n), ""
        if self.previous_interval and self.rng.random() < 0.6:
            copied = f"Copied forward from prior note: {self.previous_interval}"
        self.previous_interval = f"[{_day(visit.start)}] {interval}"
        progress = _note(
            visit.end,
            "Progress note",
            f"{visit.department} clinic note. Date of service {_day(visit.start)}.",
            f"CC: {visit.positives[0][0]}.",
            f"HPI: {interval}",
            copied,
            self._background(n),
            self._exam(n),
            self._data(n),
            self._assessment(n),
            self._closing(n),
        )
        if self.rng.random() >= 0.4:
            return [progress]
        rooming = (
            f"Roomed {visit.start:%H:%M}. Identity confirmed by two identifiers. Preferred "
            f"language {self.p.language}. Falls screen negative. Pharmacy unchanged. {self.she} "
            "filled in the intake form."
        )
        return [progress, _note(visit.start + timedelta(minutes=4), "Nursing note", rooming)]

    def telephone(self, n: int) -> list[Event]:
        """Return a telephone call's note."""
        visit = self.p.visits[n]
        symptom = visit.positives[0]
        text = self._any(
            f"Call returned {_day(visit.start)}. Caller reports {symptom[0]} for "
            f"{self.rng.randint(2, 9)} days. {self.she} denies {_usual(visit.denied)}. Advised "
            "fluids and rest, call back if worse.",
            f"TC from patient re {self._short(symptom)}. No {_join(self._shorts(visit.denied))}. "
            f"Home care reviewed, {self.her} questions answered.",
        )
        return [_note(visit.end, "Telephone encounter", text)]

    def emergency(self, n: int) -> list[Event]:
        """Return an emergency visit's notes: provider note and triage."""
        visit = self.p.visits[n]
        acute = visit.acute
        considered = [acute, *visit.differential]
        self.rng.shuffle(considered)
        names = [a.spellings[0] for a in considered]
        provider = _note(
            visit.end,
            "Emergency department note",
            f"ED provider note. Arrival {_day(visit.start)}.",
            f"CC: {acute.symptom}.",
            f"HPI: {self._opening(n)} presenting with {acute.symptom} for "
            f"{self.rng.randint(1, 5)} days. Also notes {visit.positives[0][0]}. Denies "
            f"{_join(self._shorts(visit.denied))}.",
            self._history(n),
            self._allergies(),
            self._medications(n),
            f"MDM: differential for the {acute.symptom} included {_join(names, 'and')}. Work-up "
            f"most consistent with {acute.spellings[0]}; the others felt unlikely.",
            f"Disposition: discharged home. Off work for {visit.off_work} days. Return if "
            f"{acute.return_precaution}.",
        )
        triage = (
            f"Triage {visit.start:%H:%M}. {acute.symptom[0].upper() + acute.symptom[1:]}. "
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
            course = f"complicated by {complication[0]}" if complication else ""
            outcome = f"The {why} was {course or 'without complications'}."
        else:
            why, held = visit.acute.spellings[0], ""
            problem = f"{visit.acute.symptom}, found to have {why}"
            outcome = f"Treated for {why} with improvement."
            pending = f"Pending at discharge: {_join(list(visit.acute.pending), 'and')}."
            precaution = visit.acute.return_precaution
        admission = _note(
            visit.start + timedelta(hours=2),
            "History and physical",
            f"Admission H&P {_day(visit.start)}.",
            f"HPI: {self._opening(n)} admitted for {problem}.{held} Reports "
            f"{visit.positives[0][0]}. Denies {_usual(visit.denied)}.",
            self._background(n),
            f"Code status: {at(p.code_status, n)[0]}.",
            f"Emergency contact: {p.contact}, {p.contact_phone}.",
        )
        notes = [admission]
        if operation:
            report = (
                f"Procedure: {operation.surgery.title}. Performed {_day(visit.start)} under "
                f"general anesthesia. EBL {self.rng.randint(2, 30) * 10} mL. Counts correct."
            )
            notes.append(_note(visit.start + timedelta(hours=6), "Operative report", report))
        for day in range(1, (visit.end - visit.start).days):
            notes += self._hospital_day(n, day, why)
        assessment = (
            f"Admission nursing assessment. Skin intact. Per hospital policy, {visit.policy[1]}. "
            f"Call light in reach. Home medications listed with {self.her} {p.contact}."
        )
        notes.append(_note(visit.start + timedelta(hours=9), "Nursing note", assessment))
        discharge = _note(
            visit.end,
            "Discharge summary",
            f"Admitted {_day(visit.start)}, discharged {_day(visit.end)}.",
            f"Principal problem: {why}.",
            f"Hospital course: {outcome} {self.she} was afebrile and walking on discharge.",
            self._medications(n),
            self._plans(n),
            pending,
            f"Instructions: follow up with primary care in {visit.follow_weeks} weeks. "
            f"Return if {precaution}.",
            self._closing(n),
        )
        return [*notes, discharge]

    def _hospital_day(self, n: int, day: int, why: str) -> list[Event]:
        time = self.p.visits[n].start + timedelta(days=day, hours=1)
        progress = _note(
            time,
            "Progress note",
            f"Hospital day {day + 1}. Admitted with {why}.",
            f"Subjective: slept {self._any('well', 'poorly', 'in stretches')}. Denies "
            f"{_join(self._shorts(self.p.visits[n].denied))}.",
            self._history(n),
            self._medications(n),
            f"Plan: continue current treatment for {why}. PT to see. Disposition in "
            f"{self._any('a day or two', 'the coming days', 'discussion')}.",
        )
        nursing = (
            f"Shift note. Ate {self._any('all', 'half', 'little')} of meals. Voiding. Up to chair "
            f"x{self.rng.randint(1, 3)}. No falls. Pain {self.rng.randint(0, 6)}/10. Family at "
            "bedside in the evening."
        )
        return [progress, _note(time + timedelta(hours=11), "Nursing note", nursing)]

    def _opening(self, n: int) -> str:
        known = self._shorts([d.condition.spellings for d in self.p.diagnoses_at(n)])[:3]
        person = self._any("woman", "F") if self.p.gender == "FEMALE" else self._any("man", "M")
        return f"{self.p.age(self.p.visits[n].start)} yo {person} with {_join(known, 'and')}"

    def _hpi(self, n: int) -> str:
        visit = self.p.visits[n]
        denied = _join(self._shorts(visit.denied))
        reason = self._any("follow-up", "a routine visit", "a check", "a scheduled visit")
        says = self._any("reports", "complains of", "has noticed", "endorses")
        denies = self._any("Denies", f"{self.she} denies", "ROS negative for", "No")
        return (
            f"{self._opening(n)}, here for {reason}. {self.she} {says} {visit.positives[0][0]}. "
            f"{denies} {denied}."
        )

    def _background(self, n: int) -> str:
        social = [self._history(n), self._family(), self._social(n)]
        return "\n".join([*social, self._allergies(), self._medications(n)])

    def _history(self, n: int) -> str:
        p = self.p
        entries = ", ".join(
            f"{self._short(d.condition.spellings)} (dx {p.visits[d.onset].start:%m/%Y})"
            for d in p.diagnoses_at(n)
        )
        earlier = [(o.surgery.spellings[0], p.visits[o.visit]) for o in p.operations if o.visit < n]
        surgeries = ", ".join(f"{surgery} {visit.start:%Y}" for surgery, visit in earlier)
        surgeries = surgeries and f"; PSH: {surgeries}"
        return f"PMH: {entries}{surgeries}. No history of {_usual(p.visits[n].never)}."

    def _family(self) -> str:
        style = self._any("{0} with {1} at {2}", "{0}: {1} (dx age {2})", "{0} had {1}, age {2}")
        entries = [style.format(relative[0], ill[0], age) for relative, ill, age in self.p.family]
        return f"FH: {'; '.join(entries)}."

    def _social(self, n: int) -> str:
        p = self.p
        tobacco, alcohol = "never smoker", "no alcohol"
        if p.pack_years:
            tobacco = f"former smoker, {p.pack_years} pack-years, quit {p.quit_smoking}"
        if drinks := at(p.drinks, n):
            alcohol = f"{drinks} drinks/week"
        home = at(p.living, n)[0]
        lives = {"alone": "lives alone", "assisted living": "lives in assisted living"}
        lives = lives.get(home, f"lives with {home}")
        return f"SH: {p.occupation}, {lives}. Tobacco: {tobacco}. EtOH: {alcohol}."

    def _allergies(self) -> str:
        if not self.p.allergies:
            return self._any("Allergies: NKDA.", "Allergies: no known drug allergies.")
        entries = [f"{self._short(allergen)} ({r[0]})" for allergen, r in self.p.allergies]
        return f"Allergies: {', '.join(entries)}."

    def _medications(self, n: int) -> str:
        # A visit's changes are in its plan; the medication list has them from the next note on.
        courses = self.p.courses_at(n - 1) if n else []
        entries = "; ".join(f"{c.drug.name} {c.regimen}" for c in courses)
        return f"Medications: {entries or 'none listed'}."

    def _exam(self, n: int) -> str:
        v = next(v for v in self.p.vitals if v.visit == n)
        looks = self._any("No distress", "Well appearing", "NAD")
        return (
            f"Exam: BP {v.systolic}/{v.diastolic}, HR {v.pulse}. {looks}. Lungs clear, heart "
            "regular, abdomen soft."
        )

    def _data(self, n: int) -> str:
        results = [r for r in self.p.results if r.visit == n and r.analyte.in_notes]
        newest = {r.analyte.spellings: r for r in results}
        shown = [f"{self._short(words)} {r.digits}" for words, r in newest.items()]
        return f"Data: {', '.join(shown)}." if shown else ""

    def _changes(self, n: int) -> list[str]:
        """Return sentences about the drugs that the visit started, stopped or changed."""
        sentences = []
        begun = {c.drug.name: c for c in self.p.courses if c.start == n}
        for c in (c for c in self.p.courses if c.stop == n):
            name = c.drug.name
            if c.successor:
                new = begun.pop(c.successor.name)
                stopped = f"Stopped {name} because of {c.reason[0]}, switched to"
                sentences.append(f"{stopped} {new.drug.name} {new.regimen}.")
            elif c.reason:
                sentences.append(f"Discontinued {name} due to {c.reason[0]}.")
            else:
                sentences.append(f"Increased {name} to {begun.pop(name).regimen}.")
        return sentences + [f"Started {c.drug.name} {c.regimen}." for c in begun.values()]

    def _plans(self, n: int) -> str:
        lines = [
            f"# {self._short(plan.condition.spellings)}: plan to {plan.words[0]}."
            for plan in self.p.plans
            if plan.visit == n
        ]
        for name, series in self.p.goals.items():
            started = [visit for visit, _ in series]
            if n in started or (n > started[0] and self.rng.random() < 0.3):
                analyte = cat.ANALYTES[name]
                goal = f"goal: under {at(series, n):g} {analyte.unit}."
                lines.append(f"{self._short(analyte.spellings)} {goal}")
        referrals = [r for r in self.p.referrals if r.visit == n]
        lines += self._changes(n)
        lines += [f"Referred to {r.department} for {r.reason.spellings[0]}." for r in referrals]
        return "\n".join(lines)

    def _assessment(self, n: int) -> str:
        stable = self._shorts([d.condition.spellings for d in self.p.diagnoses_at(n)])
        return f"A/P: {_join(stable, 'and')} reviewed.\n{self._plans(n)}"

    def _closing(self, n: int) -> str:
        booked = [a for a in self.p.appointments if a.visit == n]
        lines = [f"Follow-up booked: {a.department} on {_day(a.time)}." for a in booked]
        if self.p.visits[n].kind == "inpatient" or n in dict(self.p.code_status):
            lines.append(f"Code status discussed: {at(self.p.code_status, n)[0]}.")
        return "\n".join(lines)

    def reports(self, n: int) -> list[Event]:
        """Return a visit's studies, each as a coded procedure and a report."""
        events = []
        for s in (s for s in self.p.studies if s.visit == n):
            earlier = [e for e in self.p.studies if e.study is s.study and e.time < s.time]
            kind = "Procedure note" if s.study is cat.COLONOSCOPY else "Imaging report"
            report = _report(s, earlier[-1] if earlier else None)
            events += [
                Event(s.time, "procedure", "CPT4/" + s.study.cpt, s.study.title),
                _note(s.time + timedelta(minutes=20), kind, *report),
            ]
        return events


def _report(s: StudyDone, earlier: StudyDone | None) -> tuple[str, ...]:
    head = f"{s.study.spellings[0].upper()} {_day(s.time)}."
    before = earlier and _day(earlier.time)
    if s.study is cat.CHEST_CT:
        compared = f"{before}, when the nodule measured {earlier.value} mm" if earlier else "none"
        return (
            f"{head} Comparison: {compared}.",
            "Findings: airways patent. No effusion. Heart size normal.",
            f"Impression: right upper lobe nodule measures {s.value} mm.",
        )
    if s.study is cat.ECHO:
        compared = f" Prior study {before} had an LVEF of {earlier.value}%." if earlier else ""
        return (
            f"{head}{compared}",
            "Normal chamber sizes. No pericardial effusion. Valves without significant stenosis.",
            f"LVEF {s.value}%.",
        )
    if s.study is cat.COLONOSCOPY:
        return (
            f"{head} Preparation good. Cecum reached.",
            f"{s.value} polyps removed by snare. No masses.",
            f"Repeat colonoscopy in {s.years_to_next} years.",
        )
    return (
        f"{head} Technique standard.",
        "No other significant finding.",
        f"Impression: {s.finding[0]}.",
    )
