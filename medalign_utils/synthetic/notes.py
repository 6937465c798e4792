"""The wording of a simulated patient's notes, reports and messages.

The wording is deliberately uneven in the ways real records are: abbreviations come and go, long
problem lists, old plans and family history are carried forward from note to note, most symptoms
are mentioned only to be denied, reports repeat earlier measurements for comparison, and some facts
stand in codes only or in notes only (the templates in `ask_*` say which).
"""

import random
from datetime import date, datetime, timedelta
from typing import NamedTuple

from medalign_utils.synthetic import catalogue as cat
from medalign_utils.synthetic.patient import Appointment, Message, Patient, age_at, at


class Event(NamedTuple):
    """One event of the eventstream; a missing string is empty."""

    time: datetime
    type: str
    code: str
    name: str
    text: str = ""
    unit: str = ""
    is_note: bool = False


NOTE_CODES = {
    "Progress note": "STANFORD_NOTE/progress-note",
    "Emergency department note": "STANFORD_NOTE/ed-note",
    "History and physical": "STANFORD_NOTE/h-and-p",
    "Nursing note": "STANFORD_NOTE/nursing-note",
    "Discharge summary": "STANFORD_NOTE/discharge-summary",
    "Operative report": "STANFORD_NOTE/operative-report",
    "Imaging report": "STANFORD_NOTE/imaging-report",
    "Procedure note": "STANFORD_NOTE/procedure-note",
    "Telephone encounter": "STANFORD_NOTE/telephone-encounter",
    "Patient message": "STANFORD_NOTE/patient-message",
    "Scheduling note": "STANFORD_NOTE/scheduling-note",
}


def number(value: float, decimals: int = 1) -> str:
    """A value as records write it: fixed decimals for results, none where it is whole."""
    return f"{value:.{decimals}f}" if decimals else f"{value:.0f}"


def dose(value: float, unit: str = "mg") -> str:
    """A dose: `12.5 mg`, `40 mg`."""
    return f"{value:g} {unit}"


def us_date(day: date) -> str:
    """The date as notes write it: 03/09/2011."""
    return f"{day:%m/%d/%Y}"


def _join(words: list[str], last: str = "or") -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {last} {words[-1]}"


def _short(rng: random.Random, spellings: tuple[str, ...]) -> str:
    return rng.choice(spellings[:2])


class Notes:
    """Writes the notes of one patient; visits must be written in order, as text is carried on."""

    def __init__(self, rng: random.Random, patient: Patient):
        """Takes the source of the wording's variety, and whom to write about."""
        self.rng, self.p = rng, patient
        self.she = "She" if patient.gender == "FEMALE" else "He"
        self.her = "her" if patient.gender == "FEMALE" else "his"
        self.previous_interval = ""

    def _note(self, time: datetime, kind: str, text: str) -> Event:
        return Event(time, "note", NOTE_CODES[kind], kind, text, is_note=True)

    def message(self, message: Message) -> Event:
        """A portal message and the clinic's reply."""
        answer = message.answer[-1]
        reply = self.rng.choice(
            (f"advised {answer}", f"clinician recommends {answer}", f"told patient: {answer}")
        )
        greeting = self.rng.choice(
            (
                "Portal message from patient",
                "Portal message received",
                "Secure message from patient",
            )
        )
        text = (
            f"{greeting}: {message.topic[0]}. Patient {message.asks}.\n"
            f"Reply sent by clinic staff: {reply}."
        )
        return self._note(message.time, "Patient message", text)

    def no_show(self, appointment: Appointment) -> Event:
        """The note on an appointment that was not kept."""
        day, where = appointment.day, appointment.department
        text = self.rng.choice(
            (
                f"No-show for scheduled {where} appointment. Letter mailed.",
                f"Patient did not arrive ({where}); marked no-show.",
                f"NO SHOW: {where}. Called, left voicemail.",
            )
        )
        return self._note(datetime(day.year, day.month, day.day, 10, 30), "Scheduling note", text)

    # --- notes by kind of visit -------------------------------------------------------------

    def office(self, n: int) -> list[Event]:
        """A clinic visit: the progress note, often after a nurse's."""
        visit = self.p.visits[n]
        interval = self._hpi(n)
        parts = [
            f"{visit.department} clinic note. Date of service {us_date(visit.start)}.",
            f"CC: {visit.positives[0][0]}.",
            f"HPI: {interval}",
        ]
        if self.previous_interval and self.rng.random() < 0.6:
            parts.append(f"Copied forward from prior note: {self.previous_interval}")
        parts += [
            self._history(n),
            self._family(),
            self._social(n),
            self._allergies(),
            self._medications(n),
            self._exam(n),
            self._data(n),
            self._assessment(n),
            self._closing(n),
        ]
        self.previous_interval = f"[{us_date(visit.start)}] {interval}"
        notes = [self._note(visit.end, "Progress note", "\n".join(x for x in parts if x))]
        if self.rng.random() < 0.4:
            notes.append(
                self._note(visit.start + timedelta(minutes=4), "Nursing note", self._rooming(n))
            )
        return notes

    def telephone(self, n: int) -> list[Event]:
        """A call."""
        visit = self.p.visits[n]
        symptom = visit.positives[0]
        text = self.rng.choice(
            (
                f"Call returned {us_date(visit.start)}. Caller reports {symptom[0]} for "
                f"{self.rng.randint(2, 9)} days. {self.she} denies "
                f"{_join([s[0] for s in visit.denied])}. Advised fluids and rest, call back if "
                "worse.",
                f"TC from patient re {_short(self.rng, symptom)}. No "
                f"{_join([_short(self.rng, s) for s in visit.denied])}. Home care reviewed, "
                f"{self.her} questions answered.",
            )
        )
        return [self._note(visit.end, "Telephone encounter", text)]

    def emergency(self, n: int) -> list[Event]:
        """An emergency visit: the provider's note and triage."""
        visit = self.p.visits[n]
        acute = visit.acute
        considered = [acute, *visit.differential]
        self.rng.shuffle(considered)
        text = "\n".join(
            (
                f"ED provider note. Arrival {us_date(visit.start)}.",
                f"CC: {acute.symptom}.",
                f"HPI: {self._opening(n)} presenting with {acute.symptom} for "
                f"{self.rng.randint(1, 5)} days. Also notes {visit.positives[0][0]}. Denies "
                f"{_join([_short(self.rng, s) for s in visit.denied])}.",
                self._history(n),
                self._allergies(),
                self._medications(n),
                f"MDM: differential for the {acute.symptom} included "
                f"{_join([a.spellings[0] for a in considered], 'and')}. Work-up most consistent "
                f"with {acute.spellings[0]}; the others felt unlikely.",
                f"Disposition: discharged home. Off work for {visit.off_work} days. Return if "
                f"{acute.return_precaution}.",
            )
        )
        triage = (
            f"Triage {visit.start:%H:%M}. {acute.symptom[0].upper() + acute.symptom[1:]}. "
            f"Pain {self.rng.randint(0, 8)}/10. Ambulatory. Belongings with patient."
        )
        return [
            self._note(visit.end, "Emergency department note", text),
            self._note(visit.start + timedelta(minutes=5), "Nursing note", triage),
        ]

    def inpatient(self, n: int) -> list[Event]:
        """A stay: admission, daily notes, operation, discharge summary."""
        visit = self.p.visits[n]
        operation = next((o for o in self.p.operations if o.visit == n), None)
        why = operation.surgery.spellings[0] if operation else visit.acute.spellings[0]
        first = f"elective {why}" if operation else f"{visit.acute.symptom}, found to have {why}"
        hold = (
            f" {self.she} had been told to stop NSAIDs and blood thinners "
            f"{operation.hold_days} days before surgery."
            if operation
            else ""
        )
        admission = "\n".join(
            (
                f"Admission H&P {us_date(visit.start)}.",
                f"HPI: {self._opening(n)} admitted for {first}.{hold} Reports "
                f"{visit.positives[0][0]}. Denies {_join([s[0] for s in visit.denied])}.",
                self._history(n),
                self._family(),
                self._social(n),
                self._allergies(),
                self._medications(n),
                f"Code status: {at(self.p.code_status, n)[0]}.",
                f"Emergency contact: {self.p.contact}, {self.p.contact_phone}.",
            )
        )
        notes = [self._note(visit.start + timedelta(hours=2), "History and physical", admission)]
        if operation:
            course = (
                f"complicated by {operation.complication[0]}"
                if operation.complication
                else "without complications"
            )
            notes.append(
                self._note(
                    visit.start + timedelta(hours=6),
                    "Operative report",
                    f"Procedure: {operation.surgery.title}. Performed {us_date(visit.start)} under "
                    f"general anesthesia. EBL {self.rng.randint(2, 30) * 10} mL. Counts correct.",
                )
            )
        days = (visit.end - visit.start).days
        for day in range(1, days):
            notes += self._hospital_day(n, day, why)
        notes.append(
            self._note(
                visit.start + timedelta(hours=9),
                "Nursing note",
                f"Admission nursing assessment. Skin intact. Per hospital policy, "
                f"{visit.policy[1]}. Call light in reach. Home medications listed with {self.her} "
                f"{self.p.contact}.",
            )
        )
        outcome = (
            f"The {why} was {course}." if operation else f"Treated for {why} with improvement."
        )
        pending = (
            ""
            if operation
            else (f"Pending at discharge: {_join(list(visit.acute.pending), 'and')}.")
        )
        precaution = "the wound drains" if operation else visit.acute.return_precaution
        notes.append(
            self._note(
                visit.end,
                "Discharge summary",
                "\n".join(
                    x
                    for x in (
                        f"Admitted {us_date(visit.start)}, discharged {us_date(visit.end)}.",
                        f"Principal problem: {why}.",
                        f"Hospital course: {outcome} {self.she} was afebrile and walking on "
                        "discharge.",
                        self._medications(n),
                        self._plans(n),
                        pending,
                        f"Instructions: follow up with primary care in {visit.follow_weeks} weeks. "
                        f"Return if {precaution}.",
                        self._closing(n),
                    )
                    if x
                ),
            )
        )
        return notes

    def _hospital_day(self, n: int, day: int, why: str) -> list[Event]:
        visit = self.p.visits[n]
        time = visit.start + timedelta(days=day, hours=1)
        progress = "\n".join(
            (
                f"Hospital day {day + 1}. Admitted with {why}.",
                f"Subjective: slept {self.rng.choice(('well', 'poorly', 'in stretches'))}. Denies "
                f"{_join([_short(self.rng, s) for s in visit.denied])}.",
                self._history(n),
                self._medications(n),
                f"Plan: continue current treatment for {why}. PT to see. Disposition in "
                f"{self.rng.choice(('a day or two', 'the coming days', 'discussion'))}.",
            )
        )
        nursing = (
            f"Shift note. Ate {self.rng.choice(('all', 'half', 'little'))} of meals. "
            f"Voiding. Up to chair x{self.rng.randint(1, 3)}. No falls. Pain "
            f"{self.rng.randint(0, 6)}/10. Family at bedside in the evening."
        )
        return [
            self._note(time, "Progress note", progress),
            self._note(time + timedelta(hours=11), "Nursing note", nursing),
        ]

    # --- sections of notes ------------------------------------------------------------------

    def _opening(self, n: int) -> str:
        p = self.p
        age = age_at(p.birthdate, p.visits[n].start.date())
        known = [_short(self.rng, d.condition.spellings) for d in p.diagnoses_at(n)][:3]
        who = self.rng.choice(("woman", "F") if p.gender == "FEMALE" else ("man", "M"))
        return f"{age} yo {who} with {_join(known, 'and')}"

    def _hpi(self, n: int) -> str:
        visit = self.p.visits[n]
        denied = [_short(self.rng, s) for s in visit.denied]
        reason = self.rng.choice(("follow-up", "a routine visit", "a check", "a scheduled visit"))
        says = self.rng.choice(("reports", "complains of", "has noticed", "endorses"))
        denies = self.rng.choice(("Denies", f"{self.she} denies", "ROS negative for", "No"))
        return (
            f"{self._opening(n)}, here for {reason}. {self.she} {says} "
            f"{visit.positives[0][0]}. {denies} {_join(denied)}."
        )

    def _history(self, n: int) -> str:
        p = self.p
        entries = []
        for d in p.diagnoses_at(n):
            since = p.visits[d.onset].start
            entries.append(f"{_short(self.rng, d.condition.spellings)} (dx {since:%m/%Y})")
        done = [o for o in p.operations if o.visit < n]
        surgeries = (
            "; PSH: "
            + ", ".join(f"{o.surgery.spellings[0]} {p.visits[o.visit].start:%Y}" for o in done)
            if done
            else ""
        )
        never = [s[0] for s in p.visits[n].never]
        return f"PMH: {', '.join(entries)}{surgeries}. No history of {_join(never)}."

    def _family(self) -> str:
        style = self.rng.choice(
            ("{0} with {1} at {2}", "{0}: {1} (dx age {2})", "{0} had {1}, age {2}")
        )
        return (
            "FH: "
            + "; ".join(
                style.format(relative[0], disease[0], age)
                for relative, disease, age in self.p.family
            )
            + "."
        )

    def _social(self, n: int) -> str:
        p = self.p
        if p.pack_years:
            tobacco = f"former smoker, {p.pack_years} pack-years, quit {p.quit_smoking}"
        else:
            tobacco = "never smoker"
        drinks = at(p.drinks, n)
        alcohol = f"{drinks} drinks/week" if drinks else "no alcohol"
        home = at(p.living, n)
        lives = {"alone": "lives alone", "assisted living": "lives in assisted living"}.get(
            home[0], f"lives with {home[0]}"
        )
        return f"SH: {p.occupation}, {lives}. Tobacco: {tobacco}. EtOH: {alcohol}."

    def _allergies(self) -> str:
        if not self.p.allergies:
            return self.rng.choice(("Allergies: NKDA.", "Allergies: no known drug allergies."))
        return (
            "Allergies: "
            + ", ".join(f"{_short(self.rng, a)} ({r[0]})" for a, r in self.p.allergies)
            + "."
        )

    def _medications(self, n: int) -> str:
        # Lists are carried from note to note: what a stay or visit changed shows in the plan
        # first and in the list of the next note.
        courses = self.p.courses_at(n - 1) if n else []
        if not courses:
            return "Medications: none listed."
        return (
            "Medications: "
            + "; ".join(
                f"{c.drug.name} {dose(c.dose, c.drug.unit)} {c.drug.frequency}" for c in courses
            )
            + "."
        )

    def _exam(self, n: int) -> str:
        v = next(v for v in self.p.vitals if v.visit == n)
        return (
            f"Exam: BP {v.systolic}/{v.diastolic}, HR {v.pulse}. "
            f"{self.rng.choice(('No distress', 'Well appearing', 'NAD'))}. Lungs clear, heart "
            "regular, abdomen soft."
        )

    def _data(self, n: int) -> str:
        seen = {}
        for r in self.p.results:
            if r.visit == n and r.analyte.in_notes:
                seen[r.analyte.spellings[0]] = r
        shown = [
            f"{_short(self.rng, r.analyte.spellings)} {number(r.value, r.analyte.decimals)}"
            for r in seen.values()
        ]
        return "Data: " + ", ".join(shown) + "." if shown else ""

    def _changes(self, n: int) -> list[str]:
        """What the visit started, stopped and changed among the drugs, in sentences."""
        sentences = []
        begun = {c.drug.name: c for c in self.p.courses if c.start == n}
        for c in (c for c in self.p.courses if c.stop == n):
            if c.successor:
                new = begun.pop(c.successor.name)
                sentences.append(
                    f"Stopped {c.drug.name} because of {c.reason[0]}, switched to "
                    f"{new.drug.name} {dose(new.dose, new.drug.unit)} "
                    f"{new.drug.frequency}."
                )
            elif c.reason:
                sentences.append(f"Discontinued {c.drug.name} due to {c.reason[0]}.")
            else:
                new = begun.pop(c.drug.name)
                sentences.append(
                    f"Increased {c.drug.name} to {dose(new.dose, new.drug.unit)} "
                    f"{new.drug.frequency}."
                )
        sentences += [
            f"Started {c.drug.name} {dose(c.dose, c.drug.unit)} {c.drug.frequency}."
            for c in begun.values()
        ]
        return sentences

    def _plans(self, n: int) -> str:
        lines = [
            f"# {_short(self.rng, plan.condition.spellings)}: plan to {plan.text}."
            for plan in self.p.plans
            if plan.visit == n
        ]
        for analyte, series in self.p.goals.items():
            started = [visit for visit, _ in series]
            if n in started or (n > started[0] and self.rng.random() < 0.3):
                unit = cat.ANALYTES[analyte].unit
                lines.append(
                    f"{_short(self.rng, cat.ANALYTES[analyte].spellings)} goal: under "
                    f"{at(series, n):g} {unit}."
                )
        lines += self._changes(n)
        lines += [
            f"Referred to {r.department} for {r.reason.name}."
            for r in self.p.referrals
            if r.visit == n
        ]
        return "\n".join(lines)

    def _assessment(self, n: int) -> str:
        stable = [_short(self.rng, d.condition.spellings) for d in self.p.diagnoses_at(n)]
        return f"A/P: {_join(stable, 'and')} reviewed.\n{self._plans(n)}"

    def _closing(self, n: int) -> str:
        made = [a for a in self.p.appointments if a.made == n]
        lines = [f"Follow-up booked: {a.department} on {us_date(a.day)}." for a in made]
        code = at(self.p.code_status, n)
        if self.p.visits[n].kind == "inpatient" or any(
            n == start for start, _ in self.p.code_status
        ):
            lines.append(f"Code status discussed: {code[0]}.")
        return "\n".join(lines)

    def _rooming(self, n: int) -> str:
        return (
            f"Roomed {self.p.visits[n].start:%H:%M}. Identity confirmed by two identifiers. "
            f"Preferred language {self.p.language}. Falls screen negative. Pharmacy "
            f"unchanged. {self.she} filled in the intake form."
        )

    # --- reports ----------------------------------------------------------------------------

    def reports(self, n: int) -> list[Event]:
        """The studies of a visit: each as a coded procedure and a report."""
        events = []
        for study in (s for s in self.p.studies if s.visit == n):
            events.append(Event(study.time, "procedure", "CPT4/" + study.cpt, study.title))
            earlier = [
                s for s in self.p.studies if s.spellings == study.spellings and s.time < study.time
            ]
            kind = "Procedure note" if study.spellings == cat.COLONOSCOPY else "Imaging report"
            text = self._report(study, earlier[-1] if earlier else None)
            events.append(self._note(study.time + timedelta(minutes=20), kind, text))
        return events

    def _report(self, study, earlier) -> str:
        head = f"{study.spellings[0].upper()} {us_date(study.time)}."
        if study.spellings == cat.CHEST_CT:
            before = (
                f" Comparison: {us_date(earlier.time)}, when the nodule measured "
                f"{earlier.value} mm."
                if earlier
                else " Comparison: none."
            )
            return (
                f"{head}{before}\nFindings: airways patent. No effusion. Heart size normal.\n"
                f"Impression: right upper lobe nodule measures {study.value} mm."
            )
        if study.spellings == cat.ECHO:
            before = (
                f" Prior study {us_date(earlier.time)} had an LVEF of {earlier.value}%."
                if earlier
                else ""
            )
            return (
                f"{head}{before}\nNormal chamber sizes. No pericardial effusion. Valves "
                f"without significant stenosis.\nLVEF {study.value}%."
            )
        if study.spellings == cat.COLONOSCOPY:
            return (
                f"{head} Preparation good. Cecum reached.\n{study.value} polyps removed by "
                f"snare. No masses.\nRepeat colonoscopy in {study.years_to_next} years."
            )
        others = "No other significant finding."
        return f"{head} Technique standard.\n{others}\nImpression: {study.finding[0]}."
