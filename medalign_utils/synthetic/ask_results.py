"""Instructions about results: laboratory, imaging, vital signs."""

from itertools import pairwise

from medalign_utils.synthetic import catalogue as cat
from medalign_utils.synthetic import facts
from medalign_utils.synthetic.ask_history import without
from medalign_utils.synthetic.patient import Patient, Result, StudyDone
from medalign_utils.synthetic.templates import Answer, templates
from medalign_utils.synthetic.wording import counted, listed, quantity


def by_analyte(p: Patient) -> dict[str, list[Result]]:
    """Return each analyte's results in order of time, the last one of each day only."""
    series: dict[str, dict] = {}
    for result in p.results:
        series.setdefault(result.analyte.spellings[0], {})[result.time.date()] = result
    return {name: list(days.values()) for name, days in series.items()}


def extreme_results(p: Patient, choose) -> list[Result]:
    """Return the `max` or `min` of each analyte that has three or more results and no tie."""
    longer = [series for series in by_analyte(p).values() if len(series) > 2]
    extremes = [choose(series, key=lambda r: r.value) for series in longer]
    return [top for top in extremes if sum(_equal(top, r) for r in p.results) == 1]


def _equal(a: Result, b: Result) -> bool:
    """Return whether two results of an analyte are equal in its last digit."""
    return a.analyte is b.analyte and abs(a.value - b.value) < 0.99 * 10**-a.analyte.decimals


def result_fact(result: Result) -> dict:
    """Return a result as a fact, with a tolerance of half a unit of its last digit."""
    a = result.analyte
    return facts.number(a.spellings, result.value, a.unit, 0.5 * 10**-a.decimals, result.time)


def lab_answer(name: str, p: Patient, result: Result, fact=None, **words) -> Answer:
    """Return an answer based on one result, with the words lab, date, value and title."""
    a = result.analyte
    # Office notes repeat some analytes, emergency and inpatient notes none.
    noted = a.in_notes and p.visits[result.visit].kind == "office"
    _, title, *recorded = result.reported
    words |= {"lab": a.spellings, "title": title, "date": result.time, "value": result.shown}
    words["recorded"] = quantity(*recorded)
    # Where two laboratories report in different units, the question says in which to answer.
    has_two_units = any(r.is_outside for r in p.results if r.analyte is a)
    words["unit"] = f" in {a.unit}" if has_two_units else ""
    hard = ["two units"] if has_two_units and name != "lab_last_date" else []
    where = "both" if noted else "codes"
    return Answer(name, fact or result_fact(result), result.time, where, hard=hard, **words)


@templates("""
latest_lab | retrieve laboratory studies | What is {her} most recent {lab}{unit}?
    Latest {lab}{unit}, please. | What did the last {lab} come back as{unit}?
    Answer: {Her} last {lab} was {value}, drawn on {date}. | Evidence: {title}: {recorded}, {date}
result_message | other | Draft a short message telling {him} {her} latest {lab}{unit}.
    Write {him} two lines with {her} last {lab}{unit}.
    Compose a result note to the patient about the most recent {lab}{unit}.
    Answer: Hello, your {lab} from {date} came back at {value}. Please write to us with questions.
    Evidence: {title}: {recorded}, {date}
lab_last_date | retrieve laboratory studies | When was {her} {lab} last checked?
    Date of the last {lab}? | How recent is the newest {lab} we have?
    Answer: The {lab} was last checked on {date}. | Evidence: {title}: {recorded}, {date}
lab_on_date | retrieve laboratory studies | What was {her} {lab}{unit} on {date}?
    Give me the {lab}{unit} from {date}. | How high was the {lab}{unit} drawn on {date}?
    Answer: On {date} the {lab} was {value}. | Evidence: {title}: {recorded}, {date}
lab_change | retrieve laboratory studies
    How did {her} {lab}{unit} change between {first} and {date}?
    Compare the {lab}{unit} of {first} with that of {date}.
    Trend of the {lab}{unit}: what was it on {first}, and what on {date}?
    Answer: {Her} {lab} {change}. | Evidence: {title}: {recorded}, {date}
highest_lab | retrieve laboratory studies
    What is the highest {lab}{unit} {she} has ever had, and when was it?
    Peak {lab}{unit} on record, with the date?
    When was {her} {lab} at its highest, and what was the value{unit}?
    Answer: {Her} {lab} peaked at {value} on {date}. | Evidence: {title}: {recorded}, {date}
lab_absent | retrieve laboratory studies | What is {her} most recent {lab}{unit}?
    Last {lab}{unit} and its date? | Is there {lab:a} result{unit}, and what was it?
    Answer: No {lab} result is documented in the record.""")
def laboratory(p):
    series_of = by_analyte(p)
    for series in series_of.values():
        last = series[-1]
        yield lab_answer("latest_lab", p, last)
        yield lab_answer("result_message", p, last)
        yield lab_answer("lab_last_date", p, last, facts.date_of(last.analyte.spellings, last.time))
        for result in series[:-1]:
            yield lab_answer("lab_on_date", p, result)
        for a, b in pairwise(series):
            both = [result_fact(a), result_fact(b)]
            yield lab_answer("lab_change", p, b, both, first=a.time, change=_change(a, b))
    for top in extreme_results(p, max):
        both = [result_fact(top), facts.date_of(top.analyte.spellings, top.time)]
        yield lab_answer("highest_lab", p, top, both)
    for name in sorted(set(cat.ANALYTES) - set(series_of)):
        lab = cat.ANALYTES[name].spellings
        yield Answer("lab_absent", facts.absent(lab), None, "nowhere", lab=lab, unit="")


def _change(a: Result, b: Result) -> str:
    """Return how the second result differs from the first."""
    before = f"{a.shown} on {a.time:%m/%d/%Y}"
    after = f"{b.shown} on {b.time:%m/%d/%Y}"
    if _equal(a, b):
        return f"stayed about the same: {before} and {after}"
    return f"{'rose' if b.value > a.value else 'fell'} from {before} to {after}"


def studies_of(p: Patient, study: cat.Study) -> list[StudyDone]:
    """Return all of the patient's studies of one kind."""
    return [s for s in p.studies if s.study is study]


@templates("""
nodule_size | retrieve imaging studies | How big was the lung nodule on the CT of {date}?
    What did the nodule measure on {date}?
    Size of the pulmonary nodule on the chest CT from {date}, please.
    Answer: The right upper lobe nodule measured {s.value} mm on {date}.
    Evidence: {study} report of {date}
nodule_growth | retrieve imaging studies
    Has the lung nodule grown? Give me the first and last sizes.
    Nodule size at the first and at the latest chest CT?
    How did the pulmonary nodule change from the first CT to the most recent one?
    Answer: The nodule measured {a.value} mm on {a.time} and {s.value} mm on {date}.
    Evidence: {study} report of {date}
last_study_date | retrieve imaging studies | When was {her} last {study}?
    Date of the most recent {study}? | When did {she} last have {study:a}?
    Answer: {Her} most recent {study} was on {date:long}. | Evidence: {study} report of {date}
study_finding | retrieve imaging studies | What did the {study} of {date} show?
    Summarize the {study} from {date}. | Main finding on the {date} {study}?
    Answer: The {study} of {date} showed {finding:a?}. | Evidence: {study} report of {date}
latest_lvef | retrieve imaging studies | What was {her} ejection fraction on the latest echo?
    Most recent LVEF? | What is the EF as of the last echocardiogram?
    Answer: The LVEF was {s.value}% on the {date} echo. | Evidence: {study} report of {date}
polyp_count | retrieve imaging studies | How many polyps came out at the {date} colonoscopy?
    Number of polyps on the colonoscopy of {date}?
    At the colonoscopy on {date}, how many polyps were removed?
    Answer: At the colonoscopy on {date}, {removed} removed.
    Evidence: {study} report of {date}
colonoscopy_interval | determine plan of care | In how many years is the next colonoscopy due?
    Recommended interval to the next colonoscopy?
    When should the colonoscopy be repeated (interval)?
    Answer: The next colonoscopy is due {s.years_to_next} years after the one in {s.time:%B %Y}.
    Evidence: Repeat colonoscopy in {s.years_to_next} years
study_absent | retrieve imaging studies | When was {her} last {study}, and what did it show?
    Result of the latest {study}? | Do we have {study:a}, and from when?
    Answer: There is no record of {study:a}.""")
def imaging(p):
    def answer(name, s, fact, where="notes", **words):
        return Answer(name, fact, s.time, where, study=s.study.spellings, date=s.time, s=s, **words)

    scans = studies_of(p, cat.CHEST_CT)
    sizes = [facts.number("nodule", s.value, "mm", on=s.time) for s in scans]
    for s, size in zip(scans, sizes, strict=True):
        yield answer("nodule_size", s, size)
    if len(scans) > 1:
        yield answer("nodule_growth", scans[-1], [sizes[0], sizes[-1]], a=scans[0])
    for study, s in {s.study: s for s in p.studies}.items():
        yield answer("last_study_date", s, facts.date_of(study.spellings, s.time), "both")
    for s in p.studies:
        if s.finding:
            rivals = [f[1:] or f for f in without(s.study.findings, s.finding)]
            yield answer("study_finding", s, facts.term(s.finding, rivals), finding=s.finding)
    for s in studies_of(p, cat.ECHO)[-1:]:
        fact = facts.number("LVEF, EF, ejection fraction", s.value, "%", 0.5, s.time)
        yield answer("latest_lvef", s, fact)
    colonoscopies = studies_of(p, cat.COLONOSCOPY)
    for s in colonoscopies:
        fact = facts.number("polyps, polyp", s.value, "polyps", on=s.time)
        removed = f"{counted(s.value, 'polyp')} {'was' if s.value == 1 else 'were'}"
        yield answer("polyp_count", s, fact, removed=removed)
    for s in colonoscopies[-1:]:
        fact = facts.number("colonoscopy", s.years_to_next, "years")
        yield answer("colonoscopy_interval", s, fact)
    for study in cat.NEVER_ORDERED:
        yield Answer("study_absent", facts.absent(study), None, "nowhere", study=study)


@templates("""
bp_on_date | retrieve vitals | What was {her} blood pressure at the visit on {date}? | BP on {date}?
    What blood pressure did we get on {date}?
    Answer: {Her} BP on {date} was {v.systolic}/{v.diastolic}.
    Evidence: BP {v.systolic}/{v.diastolic}
latest_weight | retrieve vitals | What does {she} weigh now? | Most recent weight?
    Last recorded body weight in kg?
    Answer: {She} weighed {v.weight} kg on {v.time}. | Evidence: Body weight {v.weight} kg
highest_temperature | retrieve vitals
    How high did {her} temperature go during the {date} admission?
    Tmax for the stay that began {date}?
    What was the highest temperature of the hospitalization of {date}?
    Answer: The highest temperature of that stay was {top} °C.
    Evidence: Body temperature {top} Cel
bmi | calculate numerical measures | Calculate {her} current BMI.
    What is the BMI with the latest weight? | Work out body mass index, please.
    Answer: {Her} BMI is {bmi} kg/m2 ({weight} kg, {height} cm).
    Evidence: Body weight {weight} kg; body height {height} cm""")
def vital_signs(p):
    for v in p.vitals:
        if p.visits[v.visit].kind == "office":
            pair = [v.systolic, v.diastolic]
            fact = facts.number("blood pressure, BP", pair, "mmHg", 0.5, v.time)
            yield Answer("bp_on_date", fact, v.time, "both", date=v.time, v=v)
    last = p.vitals[-1]
    fact = facts.number("weight, weighed, weighs, wt", last.weight, "kg", 0.3, last.time)
    yield Answer("latest_weight", fact, last.time, "codes", v=last)
    value = round(last.weight / (p.height / 100) ** 2, 1)
    fact = facts.number("BMI, body mass index", value, "kg/m2", 0.3)
    yield Answer("bmi", fact, last.time, "codes", bmi=value, weight=last.weight, height=p.height)
    for n, visit in enumerate(p.visits):
        if visit.kind == "inpatient":
            readings = [v for v in p.vitals if v.visit == n] + p.flowsheets.get(n, [])
            highest = max(readings, key=lambda v: v.temperature)
            time, top = highest.time, highest.temperature
            if [v.temperature for v in readings].count(top) == 1:
                fact = facts.number("temperature, Tmax, T max, temp", top, "Cel", 0.05, time)
                words = {"date": visit.start, "top": top}
                yield Answer("highest_temperature", fact, time, "codes", **words)


@templates("""
vaccines_due | determine plan of care
    Which of flu, shingles, pneumococcal and Tdap vaccines has {she} not had yet?
    What vaccines (influenza, zoster, pneumococcal, Tdap) are still missing?
    Of influenza, zoster, pneumococcal and Tdap, which should we offer because none is on record?
    Answer: {She} is still due for the {names}. | Evidence: Procedures coded as vaccinations""")
def vaccinations(p):
    given = {code: p.visits[n].end for n, code in p.vaccines}
    missing = [words for code, (_, words) in cat.VACCINES.items() if code not in given]
    if missing and given:
        fact = facts.terms(missing, [cat.VACCINES[code][1] for code in given])
        names = f"{listed([words[0] for words in missing])} vaccine{'s' * (len(missing) > 1)}"
        yield Answer("vaccines_due", fact, max(given.values()), "codes", names=names)
