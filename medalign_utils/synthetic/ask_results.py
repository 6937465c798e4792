"""Instructions about results: laboratory, imaging, vital signs, scores."""

from itertools import pairwise

from medalign_utils.synthetic import catalogue as cat
from medalign_utils.synthetic.notes import number
from medalign_utils.synthetic.patient import Patient, age_at
from medalign_utils.synthetic.templates import (
    Candidate,
    absent_fact,
    date_fact,
    day,
    long_day,
    number_fact,
    of_sex,
    pronouns,
    set_fact,
    template,
    term_fact,
    yes_no_fact,
)


def by_analyte(p: Patient) -> dict[str, list]:
    """Each analyte's results in order of time; where a day has several, only the last of it."""
    series: dict[str, dict] = {}
    for result in p.results:
        series.setdefault(result.analyte.spellings[0], {})[result.time.date()] = result
    return {name: list(days.values()) for name, days in series.items()}


def result_fact(result) -> dict:
    """The fact of one laboratory result; half a unit of its last digit is the same result."""
    a = result.analyte
    return number_fact(a.spellings, result.value, a.unit, 0.5 * 10**-a.decimals, result.time)


def shown(result) -> str:
    """The value and its unit."""
    return f"{number(result.value, result.analyte.decimals)} {result.analyte.unit}".strip()


def _where(p: Patient, result) -> str:
    # Office notes repeat some analytes; emergency and inpatient notes repeat none.
    noted = result.analyte.in_notes and p.visits[result.visit].kind == "office"
    return "both" if noted else "codes"


def _lab(p: Patient, result, reference: str, facts=None, **values) -> Candidate:
    name = result.analyte.spellings[0]
    words = {"lab": name, "date": day(result.time), "value": shown(result), **pronouns(p)}
    return Candidate({"lab": name, "date": day(result.time), **values},
                     facts or [result_fact(result)], reference.format(**words),
                     f"{result.analyte.title}: {shown(result)}, {day(result.time)}",
                     _where(p, result), result.time, of_sex(name))  # fmt: skip


@template("retrieve laboratory studies", "What is {her} most recent {lab}?",
          "Latest {lab} please.", "What did the last {lab} come back as?")
def latest_lab(p):
    for series in by_analyte(p).values():
        yield _lab(p, series[-1], "{Her} last {lab} was {value}, drawn on {date}.")


@template("retrieve laboratory studies", "What was {her} {lab} on {date}?",
          "Give me the {lab} from {date}.", "How high was the {lab} drawn {date}?")
def lab_on_date(p):
    for series in by_analyte(p).values():
        for result in series[:-1]:
            yield _lab(p, result, "On {date} the {lab} was {value}.")


@template("retrieve laboratory studies",
          "What is the highest {lab} {she} has ever had, and when was it?",
          "Peak {lab} on record, with the date?",
          "When was {her} {lab} at its highest and what was the value?")
def highest_lab(p):
    for name, series in by_analyte(p).items():
        top = max(series, key=lambda r: r.value)
        # Ties have no single date; a series of one has no peak.
        if len(series) > 2 and [r.value for r in p.results
                                if r.analyte is top.analyte].count(top.value) == 1:
            yield _lab(p, top, "{Her} {lab} peaked at {value} on {date}.",
                       [number_fact(top.analyte.spellings, top.value, top.analyte.unit,
                                    0.5 * 10**-top.analyte.decimals, top.time),
                        date_fact(top.analyte.spellings, top.time)], lab=name)


@template("retrieve laboratory studies", "When was {her} {lab} last checked?",
          "Date of the last {lab}?", "How recent is the newest {lab} we have?")
def lab_last_date(p):
    for series in by_analyte(p).values():
        yield _lab(p, series[-1], "The {lab} was last checked on {date}.",
                   [date_fact(series[-1].analyte.spellings, series[-1].time)])


@template("retrieve laboratory studies",
          "How has {her} {lab} changed between {first} and {date}?",
          "Compare the {lab} of {first} with that of {date}.",
          "Trend of {lab}: what was it on {first}, and what on {date}?")
def lab_change(p):
    for series in by_analyte(p).values():
        for a, b in pairwise(series):
            moved = "rose" if b.value > a.value else "fell" if b.value < a.value else "stayed"
            yield _lab(p, b, f"{{Her}} {{lab}} {moved} from {shown(a)} on {day(a.time)} to "
                       f"{{value}} on {{date}}.", [result_fact(a), result_fact(b)],
                       first=day(a.time))


@template("retrieve laboratory studies", "What is {her} most recent {lab}?",
          "Last {lab} level and its date?", "Has a {lab} come back, and what was it?")
def lab_absent(p):
    for name in sorted(set(cat.ANALYTES) - set(by_analyte(p))):
        spellings = cat.ANALYTES[name].spellings
        yield Candidate({"lab": name}, [absent_fact(spellings)],
                        f"No {name} result is documented in the record.", "", "nowhere", None,
                        of_sex(name))


def _study(p: Patient, study, facts, reference: str, where="notes", **values) -> Candidate:
    words = {"study": study.spellings[0], "date": day(study.time), "value": study.value,
             "finding": study.finding[0] if study.finding else "", **pronouns(p)}
    return Candidate({"study": study.spellings[0], "date": day(study.time), **values}, facts,
                     reference.format(**words), f"{study.spellings[0]} report of {day(study.time)}",
                     where, study.time)  # fmt: skip


def _of(p: Patient, spellings) -> list:
    return [s for s in p.studies if s.spellings == spellings]


@template("retrieve imaging studies", "How big was the lung nodule on the CT of {date}?",
          "What did the nodule measure on {date}?",
          "Size of the pulmonary nodule on the chest CT from {date}, please.")
def nodule_size(p):
    for s in _of(p, cat.CHEST_CT):
        yield _study(p, s, [number_fact(("nodule",), s.value, "mm", 0.4, s.time)],
                     "The right upper lobe nodule measured {value} mm on {date}.")


@template("retrieve imaging studies", "Has the lung nodule grown? Give me first and last size.",
          "Nodule size at the first and at the latest chest CT?",
          "How did the pulmonary nodule change from the first CT to the most recent one?")
def nodule_growth(p):
    scans = _of(p, cat.CHEST_CT)
    if len(scans) > 1:
        a, b = scans[0], scans[-1]
        yield _study(p, b, [number_fact(("nodule",), s.value, "mm", 0.4, s.time) for s in (a, b)],
                     f"The nodule measured {a.value} mm on {day(a.time)} and {b.value} mm on "
                     f"{day(b.time)}.")


@template("retrieve imaging studies", "When was {her} last {study}?",
          "Date of the most recent {study}?", "When did {she} last have a {study} done?")
def last_study_date(p):
    for spellings in {s.spellings: None for s in p.studies}:
        s = _of(p, spellings)[-1]
        yield _study(p, s, [date_fact(spellings, s.time)],
                     f"{{Her}} most recent {{study}} was on {long_day(s.time)}.", "both")


@template("retrieve imaging studies", "What did the {study} of {date} show?",
          "Summarize the {study} from {date}.", "Main finding on the {date} {study}?")
def study_finding(p):
    for s in p.studies:
        if s.finding:
            study = next(x for x in cat.STUDIES if x.spellings == s.spellings)
            rivals = [f[1:] or f for f in study.findings if f != s.finding]
            yield _study(p, s, [term_fact(s.finding, rivals)],
                         "The {study} of {date} showed {finding}.")


@template("retrieve imaging studies", "What was {her} ejection fraction on the latest echo?",
          "Most recent LVEF?", "What is the EF as of the last echocardiogram?")
def latest_lvef(p):
    for s in _of(p, cat.ECHO)[-1:]:
        yield _study(p, s, [number_fact(("LVEF", "EF", "ejection fraction"), s.value, "%", 0.5,
                                        s.time)], "The LVEF was {value}% on the {date} echo.")


@template("retrieve imaging studies", "How many polyps came out at the {date} colonoscopy?",
          "Number of polyps on the colonoscopy of {date}?",
          "At the colonoscopy on {date}, how many polyps were removed?")
def polyp_count(p):
    for s in _of(p, cat.COLONOSCOPY):
        yield _study(p, s, [number_fact(("polyps", "polyp"), s.value, "polyps", 0.4, s.time)],
                     "{value} polyps were removed at the colonoscopy on {date}.")


@template("retrieve imaging studies", "When was {her} last {study}, and what did it show?",
          "Result of the latest {study}?", "Do we have a {study}, and from when?")
def study_absent(p):
    for spellings in cat.NEVER_ORDERED:
        yield Candidate({"study": spellings[0]}, [absent_fact(spellings)],
                        f"There is no record of a {spellings[0]}.", "", "nowhere", None)


@template("retrieve vitals", "What was {her} blood pressure at the visit on {date}?",
          "BP on {date}?", "What blood pressure did we get on {date}?")
def bp_on_date(p):
    for v in p.vitals:
        if p.visits[v.visit].kind == "office":
            pair = [v.systolic, v.diastolic]
            yield Candidate({"date": day(v.time)},
                            [number_fact(("blood pressure", "BP"), pair, "mmHg", 0.5, v.time)],
                            f"{pronouns(p)['Her']} BP on {day(v.time)} was {pair[0]}/{pair[1]}.",
                            f"BP {pair[0]}/{pair[1]}", "both", v.time)


@template("retrieve vitals", "What does {she} weigh now?", "Most recent weight?",
          "Last recorded body weight in kg?")
def latest_weight(p):
    v = p.vitals[-1]
    yield Candidate({}, [number_fact(("weight", "weighed", "weighs", "wt"), v.weight, "kg", 0.3,
                                     v.time)],
                    f"{pronouns(p)['She']} weighed {v.weight} kg on {day(v.time)}.",
                    f"Body weight {v.weight} kg", "codes", v.time)


@template("retrieve vitals", "How high did {her} temperature go during the {date} admission?",
          "T max for the stay that began {date}?",
          "What was the highest temperature of the hospitalization of {date}?")
def highest_temperature(p):
    for n, visit in enumerate(p.visits):
        readings = [v for v in p.vitals if v.visit == n] + p.flowsheets.get(n, [])
        if visit.kind == "inpatient":
            top = max(readings, key=lambda v: v.temperature)
            if [v.temperature for v in readings].count(top.temperature) == 1:
                yield Candidate({"date": day(visit.start)},
                                [number_fact(("temperature", "Tmax", "T max", "temp"),
                                             top.temperature, "Cel", 0.05, top.time)],
                                f"The highest temperature of that stay was {top.temperature} C.",
                                f"Body temperature {top.temperature} Cel", "codes", top.time)


@template("calculate numerical measures", "Calculate {her} current BMI.",
          "What is the BMI with the latest weight?", "Work out body mass index, please.")
def bmi(p):
    v = p.vitals[-1]
    value = round(v.weight / (p.height / 100) ** 2, 1)
    yield Candidate({}, [number_fact(("BMI", "body mass index"), value, "kg/m2", 0.3)],
                    f"BMI is {value} kg/m2 ({v.weight} kg, {p.height} cm).",
                    f"Body weight {v.weight} kg; body height {p.height} cm", "codes", v.time)


@template("calculate numerical measures", "How old was {she} when {condition} was diagnosed?",
          "Age at diagnosis of {condition}?",
          "At what age did {she} get the diagnosis of {condition}?")
def age_at_diagnosis(p):
    for d in p.diagnoses:
        since = p.visits[d.onset].start
        age = age_at(p.birthdate, since.date())
        yield Candidate({"condition": d.condition.name},
                        [number_fact((*d.condition.spellings, "age", "years old"), age, "years",
                                     0.4)],
                        f"{pronouns(p)['She']} was {age} years old when {d.condition.name} was "
                        "diagnosed.", f"Birth date {p.birthdate}; {d.condition.title} coded "
                        f"{day(since)}", "codes", since, ("age",))


@template("provide risk assessment", "What is {her} CHA2DS2-VASc score today?",
          "Stroke risk from the AF: CHA2DS2-VASc?", "Work out CHA2DS2-VASc for {him}.")
def stroke_risk(p):
    names = {d.condition.name for d in p.diagnoses}
    if "atrial fibrillation" in names:
        end = p.visits[-1].start
        age = age_at(p.birthdate, end.date())
        score = (("heart failure" in names) + ("hypertension" in names) + (age >= 65)
                 + (age >= 75) + ("type 2 diabetes" in names) + (p.gender == "FEMALE"))
        yield Candidate({}, [number_fact(("CHA2DS2-VASc", "score"), int(score), "points", 0.4)],
                        f"{pronouns(p)['Her']} CHA2DS2-VASc score is {int(score)}.",
                        f"Age {age}; {', '.join(sorted(names))}", "codes", end,
                        ("sex", "age"))


@template("provide risk assessment",
          "Is {she} eligible for low-dose CT lung cancer screening at this point?",
          "Does {she} meet USPSTF 2021 criteria for lung cancer screening?",
          "Lung cancer risk: should {she} be in the annual low-dose CT program as of now?")
def lung_screening(p):
    end = p.visits[-1].start
    age = age_at(p.birthdate, end.date())
    if p.quit_smoking:
        eligible = (50 <= age <= 80 and p.pack_years >= 20 and end.year - p.quit_smoking <= 15)
        since = f"age {age}, {p.pack_years} pack-years, quit {p.quit_smoking}"
        verb = "meets" if eligible else "does not meet"
        yield Candidate({}, [yes_no_fact(("eligible", "screening", "criteria"), eligible)],
                        f"{'Yes' if eligible else 'No'}, {pronouns(p)['she']} {verb} the screening "
                        f"criteria ({since}).", since, "notes", _last_social(p), ("age",))


def _last_social(p: Patient):
    return [v.end for v in p.visits if v.kind in ("office", "inpatient")][-1]


@template("retrieve coding & billing information", "What E/M code was billed for {date}?",
          "Which CPT code was charged for the visit of {date}?",
          "Billing asks: level of service code for {date}?")
def billed_code(p):
    for v in p.visits:
        if v.cpt:
            others = [(c,) for c in ("99213", "99214", "99215", "99283", "99284", "99285", "99221",
                                     "99222", "99223") if c != v.cpt]
            yield Candidate({"date": day(v.start)}, [term_fact((v.cpt,), others)],
                            f"CPT {v.cpt} was billed for {day(v.start)}.", f"CPT4/{v.cpt}",
                            "codes", v.start)


@template("determine plan of care", "Which of flu, shingles, pneumococcal and Tdap vaccines has "
          "{she} not had yet?", "What vaccines (influenza, zoster, pneumococcal, Tdap) are still "
          "missing?", "Of influenza, zoster, pneumococcal and Tdap, which should we offer because "
          "none is on record?")
def vaccines_due(p):
    given = {code: p.visits[n].end for n, code in p.vaccines}
    missing = [spellings for code, (_, spellings) in cat.VACCINES.items() if code not in given]
    if missing and given:
        names = ", ".join(m[0] for m in missing)
        yield Candidate({}, [set_fact(missing, [cat.VACCINES[c][1] for c in given])],
                        f"{pronouns(p)['She']} is still due for: {names}.",
                        "Procedures coded as vaccinations", "codes", max(given.values()))


@template("other", "What age-adjusted D-dimer cutoff applies to {him} on {date}?",
          "Adjust the D-dimer threshold for {her} age at the {date} visit.",
          "Rule-out PE on {date}: which age-adjusted D-dimer cutoff should I use?")
def d_dimer_cutoff(p):
    for v in p.visits:
        age = age_at(p.birthdate, v.start.date())
        if v.kind == "emergency" and age > 50:
            yield Candidate({"date": day(v.start)},
                            [number_fact(("D-dimer", "cutoff", "threshold"), age * 10, "ng/mL",
                                         1)],
                            f"The age-adjusted D-dimer cutoff is {age * 10} ng/mL (age {age}).",
                            f"Age {age} on {day(v.start)}", "notes", v.start, ("age",))


@template("other", "Draft a short message telling {him} the result of {her} latest {lab}.",
          "Write {him} two lines with the last {lab} and its date.",
          "Compose a result note to the patient about the most recent {lab}.")
def result_message(p):
    for series in by_analyte(p).values():
        r = series[-1]
        yield _lab(p, r, "Hello, your {lab} from {date} came back at {value}. Please write if you "
                   "have questions.", [result_fact(r)])
