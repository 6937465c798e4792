"""The state of one simulated patient over time, from which notes and codes are written.

Everything refers to visits by number, so "what was true at visit n" has one answer.
"""

from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, NamedTuple

from medalign_utils.synthetic import catalogue as cat
from medalign_utils.synthetic.catalogue import Spellings
from medalign_utils.synthetic.wording import quantity

# Kinds of visit that document history, medications and allergies; and social and family history.
WITH_HISTORY = ("office", "emergency", "inpatient")
WITH_SOCIAL = ("office", "inpatient")


@dataclass
class Visit:
    """One encounter; `positives` are the symptoms reported, `denied` those denied."""

    kind: str  # office, emergency, inpatient, telephone
    start: datetime
    end: datetime
    provider: int
    payer: str
    department: str = "Primary Care"
    positives: list[Spellings] = field(default_factory=list)
    denied: list[Spellings] = field(default_factory=list)
    never: list[Spellings] = field(default_factory=list)  # diseases that its notes deny
    acute: cat.Acute | None = None
    panel: bool = False
    cpt: str = ""
    differential: list[cat.Acute] = field(default_factory=list)  # considered and rejected
    off_work: int = 0  # days, in an emergency visit's note
    follow_weeks: int = 0  # weeks until follow-up after a stay
    policy: tuple[Spellings, str, Spellings] | None = None  # topic, rule, accepted answers
    symptom_days: int = 0  # for how many days it had the first symptom, or the illness's
    is_outside: bool = False  # at another institution, whose note was scanned
    has_relative_dates: bool = False  # whether its note says "14 years ago" for a year


@dataclass
class Course:
    """One drug at one dose from visit `start` to visit `stop`; None if still taken."""

    drug: cat.Drug
    dose: float
    start: int
    stop: int | None = None
    reason: Spellings | None = None
    successor: cat.Drug | None = None

    @property
    def amount(self) -> str:
        """The dose with its unit, such as 12.5 mg."""
        return f"{self.dose:g} {self.drug.unit}"

    @property
    def regimen(self) -> str:
        """The dose and the frequency."""
        return self.regimen_at(self.dose)

    def regimen_at(self, dose: float) -> str:
        """Another dose at the same frequency."""
        return f"{dose:g} {self.drug.unit} {self.drug.frequency}"


class Diagnosis(NamedTuple):
    """A chronic condition and the visit at which it was first coded."""

    condition: cat.Condition
    onset: int


class Result(NamedTuple):
    """One laboratory result; `value` is in the analyte's unit, rounded as reported.

    A result in the other laboratory's unit (`is_outside`) is rounded there, so that its `value` has
    more decimals.
    """

    analyte: cat.Analyte
    visit: int
    time: datetime
    value: float
    is_outside: bool = False

    @property
    def digits(self) -> str:
        """The value with the analyte's decimals."""
        return f"{self.value:.{self.analyte.decimals}f}"

    @property
    def shown(self) -> str:
        """The value with its unit, and as the other laboratory reported it."""
        value = quantity(self.digits, self.analyte.unit)
        return f"{value} (reported as {' '.join(self.reported[2:])})" if self.is_outside else value

    @property
    def reported(self) -> tuple[str, str, str, str]:
        """LOINC code, title, digits and unit as in the record."""
        a = self.analyte
        if not self.is_outside:
            return a.loinc, a.title, self.digits, a.unit
        other = cat.OTHER_UNITS[a.spellings[0]]
        return (
            other.loinc,
            other.title,
            f"{self.value * other.factor:.{other.decimals}f}",
            other.unit,
        )


@dataclass(slots=True)
class Vitals:
    """Vital signs in mmHg, 1/min, Celsius, %, kg, L/min, mL; the last five only in flowsheets."""

    visit: int
    time: datetime
    systolic: int
    diastolic: int
    pulse: int
    temperature: float
    saturation: int
    weight: float | None = None
    mean_pressure: int | None = None
    respirations: int | None = None
    oxygen: int | None = None
    urine: int | None = None
    coma_score: int | None = None


class StudyDone(NamedTuple):
    """One study with its finding or number: a nodule's size, an ejection fraction, polyps."""

    study: cat.Study
    visit: int
    time: datetime
    finding: Spellings | None = None
    value: int | None = None
    years_to_next: int | None = None
    is_outside: bool = False  # done elsewhere; the report was scanned


class Operation(NamedTuple):
    """A surgery during an inpatient stay; `complication` is None if there was none."""

    surgery: cat.Surgery
    visit: int
    complication: Spellings | None
    hold_days: int  # days before surgery to stop NSAIDs and blood thinners


class Plan(NamedTuple):
    """A visit's plan for a condition: the words of the note, then accepted answers."""

    visit: int
    condition: cat.Condition
    words: Spellings


class Referral(NamedTuple):
    """A referral made at a visit."""

    visit: int
    department: str
    reason: cat.Condition


class Message(NamedTuple):
    """A portal message and the clinic's reply, with its accepted answers."""

    time: datetime
    topic: Spellings
    asks: str
    reply: str
    answer: Spellings


class Appointment(NamedTuple):
    """An appointment made at a visit; `kept` is False for a no-show, None if still to come."""

    visit: int
    time: datetime
    department: str
    kept: bool | None


class StayChange(NamedTuple):
    """A home medication held (`dose` is None) or given at another dose during a hospital stay."""

    visit: int
    course: Course
    dose: float | None


class CopiedError(NamedTuple):
    """A wrong entry in the notes of visits `first` to `last`, corrected by an addendum later.

    `kind` is dose (of `course`), home, drinks, quit smoking or problem; `wrong` is the entry.
    """

    kind: str
    wrong: Any
    first: int
    last: int
    corrected: datetime
    course: Course | None = None


@dataclass
class Patient:
    """Everything that is true of one simulated patient."""

    person_id: str
    gender: str
    race: str
    ethnicity: str
    birthdate: date
    language: str
    height: int
    occupation: str
    visits: list[Visit]
    living: list[tuple[int, Spellings]]  # (from this visit on, with whom)
    drinks: list[tuple[int, int]]  # (from this visit on, drinks per week)
    code_status: list[tuple[int, Spellings]]
    quit_smoking: int | None  # calendar year; None if never smoked
    pack_years: int
    contact: str
    contact_phone: str
    allergies: list[tuple[Spellings, Spellings]]
    family: list[tuple[Spellings, Spellings, int]]  # relative, condition, age at diagnosis
    diagnoses: list[Diagnosis] = field(default_factory=list)
    courses: list[Course] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)
    vitals: list[Vitals] = field(default_factory=list)
    flowsheets: dict[int, list[Vitals]] = field(default_factory=dict)  # by visit
    studies: list[StudyDone] = field(default_factory=list)
    operations: list[Operation] = field(default_factory=list)
    plans: list[Plan] = field(default_factory=list)
    referrals: list[Referral] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    appointments: list[Appointment] = field(default_factory=list)
    vaccines: list[tuple[int, str]] = field(default_factory=list)  # visit, CPT4 code
    goals: dict[str, list[tuple[int, float]]] = field(default_factory=dict)  # analyte -> target
    stay_changes: list[StayChange] = field(default_factory=list)
    copied_errors: list[CopiedError] = field(default_factory=list)

    def courses_at(self, visit: int) -> list[Course]:
        """Return the drugs taken after that visit."""
        return [c for c in self.courses if c.start <= visit and (c.stop is None or c.stop > visit)]

    def diagnoses_at(self, visit: int) -> list[Diagnosis]:
        """Return the conditions known at that visit."""
        return [d for d in self.diagnoses if d.onset <= visit]

    def visits_of(self, kind: str) -> list[Visit]:
        """Return the visits of one kind."""
        return [visit for visit in self.visits if visit.kind == kind]

    def written(self, kinds: tuple[str, ...], first=0, last: int | None = None) -> datetime | None:
        """Return when the newest visit of these kinds from `first` to `last` ended, or None."""
        visits = self.visits[first : None if last is None else last + 1]
        return next((visit.end for visit in reversed(visits) if visit.kind in kinds), None)

    def copied(self, kind: str, course: Course | None = None) -> CopiedError | None:
        """Return the error that notes copied forward about something, or None."""
        errors = [e for e in self.copied_errors if e.kind == kind and e.course is course]
        return errors[0] if errors else None

    def as_noted(self, kind: str, visit: int, true, course: Course | None = None):
        """Return what notes of a visit say instead of what is true."""
        error = self.copied(kind, course)
        return error.wrong if error and error.first <= visit <= error.last else true

    def stated(self, kind: str, written: datetime, course=None) -> tuple[datetime, list[str]]:
        """Return where the record last states the truth, and whether notes copied an error.

        `written` is when the newest note about it ended; an addendum that corrects it may be newer.
        """
        error = self.copied(kind, course)
        return (max(written, error.corrected), ["copied error"]) if error else (written, [])

    def noted(self, visit: int) -> bool:
        """Return whether a note (office note, discharge summary) states the visit's changes."""
        return self.visits[visit].kind in WITH_SOCIAL

    def age(self, day: datetime) -> int:
        """Return whole years from birth to `day`."""
        before = (day.month, day.day) < (self.birthdate.month, self.birthdate.day)
        return day.year - self.birthdate.year - before

    @property
    def last(self) -> int:
        """The number of the last visit."""
        return len(self.visits) - 1


def at(series: list[tuple[int, object]], visit: int):
    """Return the value in force at a visit; `series` is (from this visit on, value) in order."""
    return [value for start, value in series if start <= visit][-1]
