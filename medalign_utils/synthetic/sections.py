"""Writes the sections of a patient's notes: history, medications, examination, plans.

They say what is true, except where `Patient.copied_errors` names an entry copied forward.
"""

import random
from datetime import datetime

from medalign_utils.synthetic import catalogue as cat
from medalign_utils.synthetic.catalogue import Spellings
from medalign_utils.synthetic.patient import Patient, at
from medalign_utils.synthetic.wording import counted, home, listed, quantity, since, years_ago


def us_date(moment: datetime) -> str:
    """Return a day as notes write it: 03/09/2011."""
    return f"{moment:%m/%d/%Y}"


def usual(spellings: list[Spellings]) -> str:
    """Return a list of usual names, joined by "or"."""
    return listed([words[0] for words in spellings], "or")


class Sections:
    """Writes the sections of one patient's notes."""

    def __init__(self, rng: random.Random, patient: Patient):
        """Take the random generator that varies the wording, and the patient."""
        self.rng, self.p = rng, patient
        self.she = "She" if patient.gender == "FEMALE" else "He"
        self.her = "her" if patient.gender == "FEMALE" else "his"

    def any(self, *wordings: str) -> str:
        """Return one of the wordings by chance."""
        return self.rng.choice(wordings)

    def short(self, spellings: Spellings) -> str:
        """Return one of the first two spellings by chance."""
        return self.rng.choice(spellings[:2])

    def shorts(self, spellings: list[Spellings]) -> list[str]:
        """Return `short` of each."""
        return [self.short(words) for words in spellings]

    def opening(self, n: int) -> str:
        """Return age, sex and main problems: 63 yo woman with gout and CKD."""
        known = self.shorts([d.condition.spellings for d in self.p.diagnoses_at(n)])[:3]
        person = self.any("woman", "F") if self.p.gender == "FEMALE" else self.any("man", "M")
        return f"{self.p.age(self.p.visits[n].start)} yo {person} with {listed(known)}"

    def hpi(self, n: int) -> str:
        """Return a clinic visit's history of present illness."""
        visit = self.p.visits[n]
        denied = listed(self.shorts(visit.denied), "or")
        reason = self.any("follow-up", "a routine visit", "a check", "a scheduled visit")
        says = self.any("reports", "complains of", "has noticed", "endorses")
        denies = self.any("Denies", f"{self.she} denies", "ROS negative for", "No")
        return (
            f"{self.opening(n)}, here for {reason}. {self.she} {says} {visit.positives[0][0]} "
            f"{self.lasting(n)}. {denies} {denied}."
        )

    def lasting(self, n: int) -> str:
        """Return since when the visit's first symptom has lasted, as seen from the visit."""
        return since(self.p.visits[n].start, self.p.visits[n].symptom_days)

    def background(self, n: int) -> str:
        """Return history, family and social history, allergies and medications."""
        social = [self.history(n), self.family(), self.social(n)]
        return "\n".join([*social, self.allergies(), self.medications(n)])

    def history(self, n: int) -> str:
        """Return past diagnoses and operations, with dates or with years gone by."""
        p, visit = self.p, self.p.visits[n]
        is_relative = visit.has_relative_dates
        entries = []
        for d in p.diagnoses_at(n):
            since = p.visits[d.onset].start
            when = years_ago(since.year, visit.start) if is_relative else f"{since:%m/%Y}"
            entries.append(f"{self.short(d.condition.spellings)} (dx {when})")
        if mistaken := p.as_noted("problem", n, None):
            entries.append(self.short(mistaken.spellings))
        surgeries = [
            f"{o.surgery.spellings[0]} "
            + (years_ago(year, visit.start) if is_relative else f"in {year}")
            for o in p.operations
            if o.visit < n
            for year in [p.visits[o.visit].start.year]
        ]
        operated = f"; PSH: {', '.join(surgeries)}" if surgeries else ""
        return f"PMH: {', '.join(entries)}{operated}. No history of {usual(visit.never)}."

    def family(self) -> str:
        """Return the family history."""
        style = self.any("{0} with {1} at {2}", "{0}: {1} (dx age {2})", "{0} had {1}, age {2}")
        entries = [style.format(relative[0], ill[0], age) for relative, ill, age in self.p.family]
        return f"FH: {'; '.join(entries)}."

    def social(self, n: int) -> str:
        """Return occupation, home, tobacco and alcohol."""
        p, visit = self.p, self.p.visits[n]
        tobacco, alcohol = "never smoker", "no alcohol"
        if p.pack_years:
            year = p.as_noted("quit smoking", n, p.quit_smoking)
            quit_when = years_ago(year, visit.start) if visit.has_relative_dates else year
            tobacco = f"former smoker, {p.pack_years} pack-years, quit {quit_when}"
        if drinks := p.as_noted("drinks", n, at(p.drinks, n)):
            alcohol = f"{counted(drinks, 'drink')}/week"
        lives = home(p.as_noted("home", n, at(p.living, n))[0], self.her)
        return f"SH: {p.occupation}, lives {lives}. Tobacco: {tobacco}. EtOH: {alcohol}."

    def allergies(self) -> str:
        """Return allergens with their reactions."""
        if not self.p.allergies:
            return self.any("Allergies: NKDA.", "Allergies: no known drug allergies.")
        entries = [f"{self.short(allergen)} ({r[0]})" for allergen, r in self.p.allergies]
        return f"Allergies: {', '.join(entries)}."

    def medications(self, n: int, *, in_hospital: bool = False) -> str:
        """Return the home medications, or what is given of them during a stay."""
        # A visit's changes are in its plan; the medication list has them from the next note on.
        courses = self.p.courses_at(n - 1) if n else []
        changed = [x for x in self.p.stay_changes if x.visit == n and in_hospital]
        given = {x.course.drug.name: x.dose for x in changed}
        entries = []
        for c in courses:
            dose = given.get(c.drug.name, self.p.as_noted("dose", n, c.dose, c))
            regimen = "HELD" if dose is None else c.regimen_at(dose)
            entries.append(f"{c.drug.name} {regimen}")
        heading = "Inpatient medications" if in_hospital else "Medications"
        return f"{heading}: {'; '.join(entries) or 'none listed'}."

    def reconciliation(self, n: int, *, is_discharge: bool) -> str:
        """Return what happens to the home medications at admission or at discharge."""
        actions = []
        for change in self.p.stay_changes:
            if change.visit != n:
                continue
            c = change.course
            if is_discharge:
                verb = "resume" if change.dose is None else "back to"
                actions.append(f"{verb} {c.drug.name} {c.regimen}")
            elif change.dose is None:
                actions.append(f"hold {c.drug.name}")
            else:
                actions.append(f"{c.drug.name} {c.regimen_at(change.dose)} while inpatient")
        if not actions:
            return ""
        moment = "Discharge" if is_discharge else "Admission"
        return f"{moment} medication reconciliation: {'; '.join(actions)}; others unchanged."

    def exam(self, n: int) -> str:
        """Return the examination with the visit's first vital signs."""
        v = next(v for v in self.p.vitals if v.visit == n)
        looks = self.any("No distress", "Well appearing", "NAD")
        return (
            f"Exam: BP {v.systolic}/{v.diastolic}, HR {v.pulse}. {looks}. Lungs clear, heart "
            "regular, abdomen soft."
        )

    def data(self, n: int) -> str:
        """Return the visit's results that notes repeat."""
        newest = {
            r.analyte.spellings: r for r in self.p.results if r.visit == n and r.analyte.in_notes
        }
        shown = []
        for words, r in newest.items():
            _, _, digits, unit = r.reported
            outside = f" {unit} (outside lab)" if r.is_outside else ""
            shown.append(f"{self.short(words)} {digits}{outside}")
        return f"Data: {', '.join(shown)}." if shown else ""

    def changes(self, n: int) -> list[str]:
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

    def plans(self, n: int) -> str:
        """Return plans, goals, changes of drugs and referrals."""
        lines = [
            f"# {self.short(plan.condition.spellings)}: plan to {plan.words[0]}."
            for plan in self.p.plans
            if plan.visit == n
        ]
        for name, series in self.p.goals.items():
            started = [visit for visit, _ in series]
            if n in started or (n > started[0] and self.rng.random() < 0.3):
                analyte = cat.ANALYTES[name]
                goal = quantity(f"{at(series, n):g}", analyte.unit)
                lines.append(f"{self.short(analyte.spellings)} goal: under {goal}.")
        referrals = [r for r in self.p.referrals if r.visit == n]
        lines += self.changes(n)
        lines += [f"Referred to {r.department} for {r.reason.spellings[0]}." for r in referrals]
        return "\n".join(lines)

    def assessment(self, n: int) -> str:
        """Return the problems reviewed, and the plans."""
        known = self.shorts([d.condition.spellings for d in self.p.diagnoses_at(n)])
        return f"A/P: {listed(known)} reviewed.\n{self.plans(n)}"

    def closing(self, n: int) -> str:
        """Return appointments made, and the code status if it was discussed."""
        booked = [a for a in self.p.appointments if a.visit == n]
        lines = [f"Follow-up booked: {a.department} on {us_date(a.time)}." for a in booked]
        if self.p.visits[n].kind == "inpatient" or n in dict(self.p.code_status):
            lines.append(f"Code status discussed: {at(self.p.code_status, n)[0]}.")
        return "\n".join(lines)
