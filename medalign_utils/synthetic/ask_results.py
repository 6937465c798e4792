"""Instructions about results: laboratory, imaging, vital signs, scores."""

from itertools import pairwise

from medalign_utils.synthetic import catalogue as cat
from medalign_utils.synthetic.ask_history import without
from medalign_utils.synthetic.patient import WITH_SOCIAL, Patient, Result, StudyDone
from medalign_utils.synthetic.templates import (
    Answer,
    absent_fact,
    date_fact,
    number_fact,
    set_fact,
    template,
    term_fact,
    yes_no_fact,
)


def by_analyte(p: Patient) -> dict[str, list[Result]]:
    """Return each analyte's results in order of time, of a day only its last."""
    series: dict[str, dict] = {}
    for result in p.results:
        series.setdefault(result.analyte.spellings[0], {})[result.time.date()] = result
    return {name: list(days.values()) for name, days in series.items()}


def result_fact(result: Result) -> dict:
    """Return a result as a fact; half a unit of its last digit is the same result."""
    a = result.analyte
    return number_fact(a.spellings, result.value, a.unit, 0.5 * 10**-a.decimals, result.time)


def lab_answer(p: Patient, result: Result, facts=None, **words) -> Answer:
    """Return an answer that rests on one result, with the words lab, date, value and title."""
    a = result.analyte
    # Office notes repeat some analytes; emergency and inpatient notes repeat none.
    noted = a.in_notes and p.visits[result.visit].kind == "office"
    words |= {"lab": a.spellings, "title": a.title, "date": result.time, "value": result.shown}
    where = "both" if noted else "codes"
    return Answer(facts or result_fact(result), result.time, where, **words)


@template("""retrieve laboratory studies | What is {her} most recent {lab}? | Latest {lab} please.
    What did the last {lab} come back as?
    Answer: {Her} last {lab} was {value}, drawn on {date}. | Evidence: {title}: {value}, {date}""")
def latest_lab(p):
    for series in by_analyte(p).values():
        yield lab_answer(p, series[-1])


@template("""retrieve laboratory studies | What was {her} {lab} on {date}?
    Give me the {lab} from {date}. | How high was the {lab} drawn {date}?
    Answer: On {date} the {lab} was {value}. | Evidence: {title}: {value}, {date}""")
def lab_on_date(p):
    for series in by_analyte(p).values():
        for result in series[:-1]:
            yield lab_answer(p, result)


@template("""retrieve laboratory studies
    What is the highest {lab} {she} has ever had, and when was it?
    Peak {lab} on record, with the date?
    When was {her} {lab} at its highest and what was the value?
    Answer: {Her} {lab} peaked at {value} on {date}. | Evidence: {title}: {value}, {date}""")
def highest_lab(p):
    for top in extreme_results(p, max):
        yield lab_answer(p, top, [result_fact(top), date_fact(top.analyte.spellings, top.time)])


def extreme_results(p: Patient, choose) -> list[Result]:
    """Return the `max` or `min` of each analyte that has one: of three values, and without ties."""
    extremes = [
        choose(series, key=lambda r: r.value)
        for series in by_analyte(p).values()
        if len(series) > 2
    ]
    values = [(r.analyte.loinc, r.value) for r in p.results]
    return [r for r in extremes if values.count((r.analyte.loinc, r.value)) == 1]


@template("""retrieve laboratory studies | When was {her} {lab} last checked?
    Date of the last {lab}? | How recent is the newest {lab} we have?
    Answer: The {lab} was last checked on {date}. | Evidence: {title}: {value}, {date}""")
def lab_last_date(p):
    for series in by_analyte(p).values():
        last = series[-1]
        yield lab_answer(p, last, [date_fact(last.analyte.spellings, last.time)])


@template("""retrieve laboratory studies | How has {her} {lab} changed between {first} and {date}?
    Compare the {lab} of {first} with that of {date}.
    Trend of {lab}: what was it on {first}, and what on {date}?
    Answer: {Her} {lab} {moved} from {before} on {first} to {value} on {date}.
    Evidence: {title}: {value}, {date}""")
def lab_change(p):
    for series in by_analyte(p).values():
        for a, b in pairwise(series):
            moved = "rose" if b.value > a.value else "fell" if b.value < a.value else "stayed"
            facts = [result_fact(a), result_fact(b)]
            yield lab_answer(p, b, facts, first=a.time, before=a.shown, moved=moved)


@template("""retrieve laboratory studies | What is {her} most recent {lab}?
    Last {lab} level and its date? | Has a {lab} come back, and what was it?
    Answer: No {lab} result is documented in the record.""")
def lab_absent(p):
    for name in sorted(set(cat.ANALYTES) - set(by_analyte(p))):
        words = cat.ANALYTES[name].spellings
        yield Answer(absent_fact(words), None, "nowhere", lab=words)


def _study(s: StudyDone, facts, where="notes", **words) -> Answer:
    return Answer(facts, s.time, where, study=s.study.spellings, date=s.time, s=s, **words)


def studies_of(p: Patient, study: cat.Study) -> list[StudyDone]:
    """Return all of the patient's studies of one kind."""
    return [s for s in p.studies if s.study is study]


@template("""retrieve imaging studies | How big was the lung nodule on the CT of {date}?
    What did the nodule measure on {date}?
    Size of the pulmonary nodule on the chest CT from {date}, please.
    Answer: The right upper lobe nodule measured {s.value} mm on {date}.
    Evidence: {study} report of {date}""")
def nodule_size(p):
    for s in studies_of(p, cat.CHEST_CT):
        yield _study(s, number_fact("nodule", s.value, "mm", on=s.time))


@template("""retrieve imaging studies | Has the lung nodule grown? Give me first and last size.
    Nodule size at the first and at the latest chest CT?
    How did the pulmonary nodule change from the first CT to the most recent one?
    Answer: The nodule measured {a.value} mm on {a.time} and {s.value} mm on {date}.
    Evidence: {study} report of {date}""")
def nodule_growth(p):
    scans = studies_of(p, cat.CHEST_CT)
    if len(scans) > 1:
        a, b = scans[0], scans[-1]
        yield _study(b, [number_fact("nodule", s.value, "mm", on=s.time) for s in (a, b)], a=a)


@template("""retrieve imaging studies | When was {her} last {study}?
    Date of the most recent {study}? | When did {she} last have a {study} done?
    Answer: {Her} most recent {study} was on {date:long}. | Evidence: {study} report of {date}""")
def last_study_date(p):
    for study, s in {s.study: s for s in p.studies}.items():
        yield _study(s, date_fact(study.spellings, s.time), "both")


@template("""retrieve imaging studies | What did the {study} of {date} show?
    Summarize the {study} from {date}. | Main finding on the {date} {study}?
    Answer: The {study} of {date} showed {finding}. | Evidence: {study} report of {date}""")
def study_finding(p):
    for s in p.studies:
        if s.finding:
            rivals = [f[1:] or f for f in without(s.study.findings, s.finding)]
            yield _study(s, term_fact(s.finding, rivals), finding=s.finding)


@template("""retrieve imaging studies | What was {her} ejection fraction on the latest echo?
    Most recent LVEF? | What is the EF as of the last echocardiogram?
    Answer: The LVEF was {s.value}% on the {date} echo. | Evidence: {study} report of {date}""")
def latest_lvef(p):
    for s in studies_of(p, cat.ECHO)[-1:]:
        yield _study(s, number_fact("LVEF, EF, ejection fraction", s.value, "%", 0.5, s.time))


@template("""retrieve imaging studies | How many polyps came out at the {date} colonoscopy?
    Number of polyps on the colonoscopy of {date}?
    At the colonoscopy on {date}, how many polyps were removed?
    Answer: {s.value} polyps were removed at the colonoscopy on {date}.
    Evidence: {study} report of {date}""")
def polyp_count(p):
    for s in studies_of(p, cat.COLONOSCOPY):
        yield _study(s, number_fact("polyps, polyp", s.value, "polyps", on=s.time))


@template("""retrieve imaging studies | When was {her} last {study}, and what did it show?
    Result of the latest {study}? | Do we have a {study}, and from when?
    Answer: There is no record of a {study}.""")
def study_absent(p):
    for words in cat.NEVER_ORDERED:
        yield Answer(absent_fact(words), None, "nowhere", study=words)


@template("""retrieve vitals | What was {her} blood pressure at the visit on {date}? | BP on {date}?
    What blood pressure did we get on {date}?
    Answer: {Her} BP on {date} was {v.systolic}/{v.diastolic}.
    Evidence: BP {v.systolic}/{v.diastolic}""")
def bp_on_date(p):
    for v in p.vitals:
        if p.visits[v.visit].kind == "office":
            pair = [v.systolic, v.diastolic]
            fact = number_fact("blood pressure, BP", pair, "mmHg", 0.5, v.time)
            yield Answer(fact, v.time, "both", date=v.time, v=v)


@template("""retrieve vitals | What does {she} weigh now? | Most recent weight?
    Last recorded body weight in kg?
    Answer: {She} weighed {v.weight} kg on {v.time}. | Evidence: Body weight {v.weight} kg""")
def latest_weight(p):
    v = p.vitals[-1]
    fact = number_fact("weight, weighed, weighs, wt", v.weight, "kg", 0.3, v.time)
    yield Answer(fact, v.time, "codes", v=v)


@template("""retrieve vitals | How high did {her} temperature go during the {date} admission?
    T max for the stay that began {date}?
    What was the highest temperature of the hospitalization of {date}?
    Answer: The highest temperature of that stay was {top} C.
    Evidence: Body temperature {top} Cel""")
def highest_temperature(p):
    for n, visit in enumerate(p.visits):
        if visit.kind == "inpatient":
            readings = [v for v in p.vitals if v.visit == n] + p.flowsheets.get(n, [])
            highest = max(readings, key=lambda v: v.temperature)
            time, top = highest.time, highest.temperature
            if [v.temperature for v in readings].count(top) == 1:
                fact = number_fact("temperature, Tmax, T max, temp", top, "Cel", 0.05, time)
                yield Answer(fact, time, "codes", date=visit.start, top=top)


@template("""calculate numerical measures | Calculate {her} current BMI.
    What is the BMI with the latest weight? | Work out body mass index, please.
    Answer: BMI is {bmi} kg/m2 ({weight} kg, {height} cm).
    Evidence: Body weight {weight} kg; body height {height} cm""")
def bmi(p):
    v = p.vitals[-1]
    value = round(v.weight / (p.height / 100) ** 2, 1)
    fact = number_fact("BMI, body mass index", value, "kg/m2", 0.3)
    yield Answer(fact, v.time, "codes", bmi=value, weight=v.weight, height=p.height)


@template("""calculate numerical measures | How old was {she} when {condition} was diagnosed?
    Age at diagnosis of {condition}? | At what age did {she} get the diagnosis of {condition}?
    Answer: {She} was {age} years old when {condition} was diagnosed.
    Evidence: Birth date {born:%Y-%m-%d}; {title} coded {since}""")
def age_at_diagnosis(p):
    for d in p.diagnoses:
        words, since = d.condition.spellings, p.visits[d.onset].start
        fact = number_fact((*words, "age", "years old"), p.age(since), "years")
        more = {"condition": words, "title": d.condition.title, "born": p.birthdate}
        yield Answer(fact, since, "codes", ("age",), age=p.age(since), since=since, **more)


@template("""provide risk assessment | What is {her} CHA2DS2-VASc score today?
    Stroke risk from the AF: CHA2DS2-VASc? | Work out CHA2DS2-VASc for {him}.
    Answer: {Her} CHA2DS2-VASc score is {score}. | Evidence: Age {age}; {names}""")
def stroke_risk(p):
    names = {d.condition.name for d in p.diagnoses}
    if "atrial fibrillation" in names:
        end = p.visits[-1].start
        age = p.age(end)
        score = len(names & {"heart failure", "hypertension", "type 2 diabetes"})
        score += (age >= 65) + (age >= 75) + (p.gender == "FEMALE")
        words = {"score": score, "age": age, "names": ", ".join(sorted(names))}
        fact = number_fact("CHA2DS2-VASc, score", score, "points")
        yield Answer(fact, end, "codes", ("sex", "age"), **words)


@template("""provide risk assessment
    Is {she} eligible for low-dose CT lung cancer screening at this point?
    Does {she} meet USPSTF 2021 criteria for lung cancer screening?
    Lung cancer risk: should {she} be in the annual low-dose CT program as of now?
    Answer: {yes}, {she} {meets} the screening criteria ({smoked}). | Evidence: {smoked}""")
def lung_screening(p):
    end = p.visits[-1].start
    age = p.age(end)
    if p.quit_smoking:
        eligible = 50 <= age <= 80 and p.pack_years >= 20 and end.year - p.quit_smoking <= 15
        smoked = f"age {age}, {p.pack_years} pack-years, quit {p.quit_smoking}"
        yes, meets = ("Yes", "meets") if eligible else ("No", "does not meet")
        fact = yes_no_fact("eligible, screening, criteria", eligible)
        words = {"yes": yes, "meets": meets, "smoked": smoked}
        yield Answer(fact, p.written(WITH_SOCIAL), relevant=("age",), **words)


@template("""retrieve coding & billing information | What E/M code was billed for {date}?
    Which CPT code was charged for the visit of {date}?
    Billing asks: level of service code for {date}?
    Answer: CPT {cpt} was billed for {date}. | Evidence: CPT4/{cpt}""")
def billed_code(p):
    for v in p.visits:
        if v.cpt:
            fact = term_fact((v.cpt,), [(code,) for code in cat.VISIT_CPT if code != v.cpt])
            yield Answer(fact, v.start, "codes", date=v.start, cpt=v.cpt)


@template("""determine plan of care
    Which of flu, shingles, pneumococcal and Tdap vaccines has {she} not had yet?
    What vaccines (influenza, zoster, pneumococcal, Tdap) are still missing?
    Of influenza, zoster, pneumococcal and Tdap, which should we offer because none is on record?
    Answer: {She} is still due for: {names}. | Evidence: Procedures coded as vaccinations""")
def vaccines_due(p):
    given = {code: p.visits[n].end for n, code in p.vaccines}
    missing = [words for code, (_, words) in cat.VACCINES.items() if code not in given]
    if missing and given:
        fact = set_fact(missing, [cat.VACCINES[code][1] for code in given])
        names = ", ".join(words[0] for words in missing)
        yield Answer(fact, max(given.values()), "codes", names=names)


@template("""other | What age-adjusted D-dimer cutoff applies to {him} on {date}?
    Adjust the D-dimer threshold for {her} age at the {date} visit.
    Rule-out PE on {date}: which age-adjusted D-dimer cutoff should I use?
    Answer: The age-adjusted D-dimer cutoff is {cutoff} ng/mL (age {age}).
    Evidence: Age {age} on {date}""")
def d_dimer_cutoff(p):
    for v in p.visits_of("emergency"):
        age = p.age(v.start)
        if age > 50:
            fact = number_fact("D-dimer, cutoff, threshold", age * 10, "ng/mL", 1)
            words = {"date": v.start, "age": age, "cutoff": age * 10}
            yield Answer(fact, v.start, relevant=("age",), **words)


@template("""other | Draft a short message telling {him} the result of {her} latest {lab}.
    Write {him} two lines with the last {lab} and its date.
    Compose a result note to the patient about the most recent {lab}.
    Answer: Hello, your {lab} from {date} came back at {value}. Please write if you have questions.
    Evidence: {title}: {value}, {date}""")
def result_message(p):
    for series in by_analyte(p).values():
        yield lab_answer(p, series[-1])
