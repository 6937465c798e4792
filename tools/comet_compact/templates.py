"""Instruction templates that only train comet-compact: no release of the benchmark asks them."""

from functools import partial

from medalign_utils.synthetic import catalogue as cat
from medalign_utils.synthetic.ask_history import denied_diseases, without
from medalign_utils.synthetic.ask_results import (
    by_analyte,
    extreme_results,
    lab_answer,
    studies_of,
)
from medalign_utils.synthetic.patient import WITH_HISTORY, WITH_SOCIAL
from medalign_utils.synthetic.templates import (
    Answer,
    Template,
    date_fact,
    number_fact,
    set_fact,
    term_fact,
    yes_no_fact,
)
from medalign_utils.synthetic.templates import template as register

TRAINING: dict[str, Template] = {}
template = partial(register, into=TRAINING)


@template("""calculate numerical measures | What was the mean arterial pressure on {date}?
    MAP at the {date} visit, from the recorded BP? | Calculate the MAP for {date}.
    Answer: The mean arterial pressure on {date} was {value} mmHg.
    Evidence: BP {v.systolic}/{v.diastolic}""")
def mean_arterial_pressure(p):
    for v in p.vitals:
        if p.visits[v.visit].kind == "office":
            value = round((v.systolic + 2 * v.diastolic) / 3)
            fact = number_fact("mean arterial pressure, MAP", value, "mmHg", 1)
            yield Answer(fact, v.time, "both", date=v.time, value=value, v=v)


@template("""retrieve laboratory studies | What is the lowest {lab} on record?
    Nadir of {her} {lab}? | How low has the {lab} ever been, and on what day?
    Answer: The lowest {lab} was {value}, on {date}. | Evidence: {title}: {value}, {date}""")
def lowest_lab(p):
    for low in extreme_results(p, min):
        yield lab_answer(p, low)


@template("""retrieve laboratory studies | What was {her} very first {lab} here?
    First {lab} we have and its value? | Baseline {lab} at the start of the record?
    Answer: {Her} first {lab} here was {value} on {date}. | Evidence: {title}: {value}, {date}""")
def first_lab(p):
    for series in by_analyte(p).values():
        yield lab_answer(p, series[0])


@template("""retrieve vitals | What was {her} pulse at the {date} visit? | Heart rate on {date}?
    HR recorded on {date}?
    Answer: {Her} heart rate on {date} was {v.pulse}. | Evidence: HR {v.pulse}""")
def pulse_on_date(p):
    for v in p.vitals:
        if p.visits[v.visit].kind == "office":
            fact = number_fact("pulse, heart rate, HR", v.pulse, "beats/min", 0.5, v.time)
            yield Answer(fact, v.time, "both", date=v.time, v=v)


@template("""retrieve vitals | Most recent oxygen saturation? | What was the last SpO2?
    Latest pulse oximetry reading?
    Answer: The last oxygen saturation was {v.saturation}% on {v.time}.
    Evidence: SpO2 {v.saturation}%""")
def latest_saturation(p):
    v = p.vitals[-1]
    topic = "oxygen saturation, SpO2, saturation, pulse oximetry"
    yield Answer(number_fact(topic, v.saturation, "%", 0.5, v.time), v.time, "codes", v=v)


@template("""retrieve medication information | What was {she} taking before {drug}?
    Which drug did {drug} replace? | {drug} was started instead of what?
    Answer: {drug} replaced {before} on {date}. | Evidence: switched to {drug}""")
def previous_drug(p):
    for c in p.courses:
        if c.successor:
            time, before = p.visits[c.stop].end, c.drug.names
            fact = term_fact(before)
            yield Answer(fact, time, drug=c.successor.names, before=before, date=time)


@template("""retrieve medication information | Which {drug_class}s has {she} used?
    List every {drug_class} in the record. | All {drug_class} drugs, past and current?
    Answer: {She} has used {used}. | Evidence: {listed}""")
def drugs_of_class(p):
    for drug_class in {c.drug.drug_class: None for c in p.courses}:
        used = {c.drug.names: c for c in p.courses if c.drug.drug_class == drug_class}
        members = [d.names for d in cat.DRUGS.values() if d.drug_class == drug_class]
        *_, last = used.values()
        names = [name for name, _ in used]
        words = {"drug_class": drug_class, "used": " and ".join(names), "listed": ", ".join(names)}
        fact = set_fact(used, without(members, *used))
        yield Answer(fact, p.visits[last.start].end, "both", **words)


@template("""retrieve medical history | How many times has {she} been hospitalized?
    Number of admissions on record? | Count {her} inpatient stays.
    Answer: {She} was hospitalized {n} times. | Evidence: Inpatient visits""")
def admission_count(p):
    if stays := p.visits_of("inpatient"):
        topic = "hospitalized, admissions, admission, stays, hospitalizations, admitted"
        fact = number_fact(topic, len(stays), "times")
        yield Answer(fact, stays[-1].end, "both", n=len(stays))


@template("""retrieve medical history | List all of {her} chronic conditions.
    Complete problem list, please. | Which long-term diagnoses does {she} carry?
    Answer: {Her} problems are {names}. | Evidence: PMH: {names}""")
def problem_list(p):
    names = ", ".join(d.condition.name for d in p.diagnoses)
    fact = set_fact([d.condition.spellings for d in p.diagnoses])
    yield Answer(fact, p.written(WITH_HISTORY), "both", names=names)


@template("""retrieve medical history | When was {her} last hospital admission?
    Date of the most recent inpatient stay? | When was {she} last admitted?
    Answer: {She} was last admitted on {v.start}. | Evidence: Admitted {v.start}""")
def last_admission(p):
    for v in p.visits_of("inpatient")[-1:]:
        fact = date_fact("admitted, admission, hospital, inpatient", v.start)
        yield Answer(fact, v.end, "both", v=v)


@template("""retrieve medical history | Is {she} known to have {condition}?
    {condition}: on the problem list or not? | Does the chart list {condition} for {him}?
    Answer: {reply} {condition}. | Evidence: {heading} {condition}""")
def has_condition(p):
    for d in p.diagnoses:
        condition, she = d.condition.spellings, "she" if p.gender == "FEMALE" else "he"
        words = {"condition": condition, "reply": f"Yes, {she} has", "heading": "PMH:"}
        yield Answer(yes_no_fact(condition, True), p.written(WITH_HISTORY), "both", **words)
    for condition, v in denied_diseases(p).items():
        words = {"reply": "No, there is no history of", "heading": "No history of"}
        yield Answer(yes_no_fact(condition, False), v.end, condition=condition, **words)


@template("""retrieve imaging studies | What was the lowest ejection fraction on any echo?
    Worst LVEF so far? | Lowest EF recorded, in percent?
    Answer: The lowest LVEF was {low.value}% ({low.time}). | Evidence: LVEF {low.value}%""")
def lowest_lvef(p):
    if echos := studies_of(p, cat.ECHO):
        low = min(echos, key=lambda study: study.value)
        fact = number_fact("LVEF, EF, ejection fraction", low.value, "%", 0.5)
        yield Answer(fact, low.time, low=low)


@template("""retrieve social history | What is or was {her} job? | Occupation?
    What does {she} do for a living, or did before retiring?
    Answer: {Her} occupation: {job}. | Evidence: SH: {job}""")
def occupation(p):
    rivals = [(job,) for job in without(cat.OCCUPATIONS, p.occupation)]
    yield Answer(term_fact((p.occupation,), rivals), p.written(WITH_SOCIAL), job=p.occupation)


@template("""retrieve social history | How many pack-years did {she} smoke?
    Tobacco exposure in pack-years? | Quantify the smoking history.
    Answer: {She} has {n} pack-years of smoking. | Evidence: {n} pack-years""")
def pack_years(p):
    if n := p.pack_years:
        fact = number_fact("pack-years, pack years, smoker, tobacco", n, "pack-years")
        yield Answer(fact, p.written(WITH_SOCIAL), n=n)


@template("""retrieve genetic and family history | What illness did {her} {relative} have?
    {relative}: which disease is noted in the family history?
    Family history: what about the {relative}?
    Answer: {Her} {relative} had {disease} at {age}. | Evidence: FH: {relative} {disease}""")
def disease_of_relative(p):
    for relative, disease, age in p.family:
        fact = term_fact(disease, (), relative, subject="family")
        words = {"relative": relative, "disease": disease, "age": age}
        yield Answer(fact, p.written(WITH_SOCIAL), **words)


@template("""retrieve appointment information | When did {she} last visit the emergency department?
    Date of the latest ED visit? | Most recent ER visit?
    Answer: {Her} last emergency visit was on {v.start}. | Evidence: ED provider note""")
def last_emergency_visit(p):
    for v in p.visits_of("emergency")[-1:]:
        yield Answer(date_fact("emergency, ED, ER", v.start), v.end, "both", v=v)


@template("""determine plan of care
    How many weeks after the {date} stay should primary care see {him}?
    Post-discharge follow-up interval for the {date} admission?
    After the stay of {date}, follow-up in how many weeks?
    Answer: Follow-up with primary care was due in {weeks} weeks.
    Evidence: follow up with primary care in {weeks} weeks""")
def follow_up_weeks(p):
    for v in p.visits_of("inpatient"):
        fact = number_fact("follow up, follow-up, primary care", v.follow_weeks, "weeks")
        yield Answer(fact, v.end, date=v.start, weeks=v.follow_weeks)
