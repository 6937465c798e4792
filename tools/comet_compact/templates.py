"""Instruction templates for training comet-compact only; the benchmark does not use them."""

from functools import partial

from medalign_utils.synthetic import catalogue as cat
from medalign_utils.synthetic import facts
from medalign_utils.synthetic import templates as synthetic
from medalign_utils.synthetic.ask_history import denied_diseases, without
from medalign_utils.synthetic.ask_results import (
    by_analyte,
    extreme_results,
    lab_answer,
    studies_of,
)
from medalign_utils.synthetic.patient import WITH_HISTORY, WITH_SOCIAL
from medalign_utils.synthetic.templates import Answer, Template
from medalign_utils.synthetic.wording import counted, listed

# The order of subcategories in these tables decides what each seed asks.
TRAINING: dict[str, Template] = {}
templates = partial(synthetic.templates, into=TRAINING)


@templates("""
mean_arterial_pressure | calculate numerical measures
    What was the mean arterial pressure on {date}? | MAP at the {date} visit, from the recorded BP?
    Calculate the MAP for {date}.
    Answer: The mean arterial pressure on {date} was {value} mmHg.
    Evidence: BP {v.systolic}/{v.diastolic}
lowest_lab | retrieve laboratory studies | What is the lowest {lab}{unit} on record?
    Nadir of {her} {lab}{unit}? | How low has the {lab}{unit} ever been, and on what day?
    Answer: The lowest {lab} was {value}, on {date}. | Evidence: {title}: {recorded}, {date}
first_lab | retrieve laboratory studies | What was {her} very first {lab}{unit} here?
    First {lab} we have and its value{unit}? | Baseline {lab}{unit} at the start of the record?
    Answer: {Her} first {lab} here was {value} on {date}. | Evidence: {title}: {recorded}, {date}
pulse_on_date | retrieve vitals | What was {her} pulse at the {date} visit? | Heart rate on {date}?
    HR recorded on {date}?
    Answer: {Her} heart rate on {date} was {v.pulse}. | Evidence: HR {v.pulse}
latest_saturation | retrieve vitals | Most recent oxygen saturation? | What was the last SpO2?
    Latest pulse oximetry reading?
    Answer: The last oxygen saturation was {v.saturation}% on {v.time}.
    Evidence: SpO2 {v.saturation}%""")
def results(p):
    for low in extreme_results(p, min):
        yield lab_answer("lowest_lab", p, low)
    for series in by_analyte(p).values():
        yield lab_answer("first_lab", p, series[0])
    for v in p.vitals:
        if p.visits[v.visit].kind == "office":
            value = round((v.systolic + 2 * v.diastolic) / 3)
            words = {"date": v.time, "value": value, "v": v}
            fact = facts.number("mean arterial pressure, MAP", value, "mmHg", 1)
            yield Answer("mean_arterial_pressure", fact, v.time, "both", **words)
            fact = facts.number("pulse, heart rate, HR", v.pulse, "beats/min", 0.5, v.time)
            yield Answer("pulse_on_date", fact, v.time, "both", **words)
    v = p.vitals[-1]
    topic = "oxygen saturation, SpO2, saturation, pulse oximetry"
    fact = facts.number(topic, v.saturation, "%", 0.5, v.time)
    yield Answer("latest_saturation", fact, v.time, "codes", v=v)


@templates("""
previous_drug | retrieve medication information | What was {she} taking before {drug}?
    Which drug did {drug} replace? | {drug} was started instead of what?
    Answer: {drug} replaced {before} on {date}. | Evidence: switched to {drug}
drugs_of_class | retrieve medication information | Which {drug_class}s has {she} used?
    List every {drug_class} in the record. | All {drug_class} drugs, past and current?
    Answer: {She} has used {used}. | Evidence: {listed}""")
def drugs(p):
    for c in p.courses:
        if c.successor:
            time, before = p.visits[c.stop].end, c.drug.names
            words = {"drug": c.successor.names, "before": before, "date": time}
            yield Answer("previous_drug", facts.term(before), time, **words)
    for drug_class in {c.drug.drug_class: None for c in p.courses}:
        used = {c.drug.names: c for c in p.courses if c.drug.drug_class == drug_class}
        members = [d.names for d in cat.DRUGS.values() if d.drug_class == drug_class]
        *_, last = used.values()
        names = [name for name, _ in used]
        words = {"drug_class": drug_class, "used": " and ".join(names), "listed": ", ".join(names)}
        fact = facts.terms(used, without(members, *used))
        yield Answer("drugs_of_class", fact, p.visits[last.start].end, "both", **words)


@templates("""
problem_list | retrieve medical history | List all of {her} chronic conditions.
    Complete problem list, please. | Which long-term diagnoses does {she} carry?
    Answer: {Her} problems are {names}. | Evidence: PMH: {names}
has_condition | retrieve medical history | Is {she} known to have {condition}?
    {condition}: on the problem list or not? | Does the chart list {condition} for {him}?
    Answer: {reply} {condition}. | Evidence: {heading} {condition}""")
def conditions(p):
    written, names = p.written(WITH_HISTORY), [d.condition.spellings for d in p.diagnoses]
    words = {"names": listed([name for name, *_ in names])}
    error = p.copied("problem")
    fact = facts.terms(names, [error.wrong.spellings] if error else [])
    time, hard = p.stated("problem", written)
    yield Answer("problem_list", fact, time, "both", hard=hard, **words)
    yes = "Yes, she has" if p.gender == "FEMALE" else "Yes, he has"
    for condition in names:
        words = {"condition": condition, "reply": yes, "heading": "PMH:"}
        yield Answer("has_condition", facts.yes_no(condition, True), written, "both", **words)
    for condition, v in denied_diseases(p).items():
        words = {"condition": condition, "reply": "No, there is no history of"}
        words["heading"] = "No history of"
        yield Answer("has_condition", facts.yes_no(condition, False), v.end, **words)


@templates("""
lowest_lvef | retrieve imaging studies | What was the lowest ejection fraction on any echo?
    Worst LVEF so far? | Lowest EF recorded, in percent?
    Answer: The lowest LVEF was {low.value}% ({low.time}). | Evidence: LVEF {low.value}%""")
def imaging(p):
    if echos := studies_of(p, cat.ECHO):
        low = min(echos, key=lambda study: study.value)
        fact = facts.number("LVEF, EF, ejection fraction", low.value, "%", 0.5)
        yield Answer("lowest_lvef", fact, low.time, low=low)


@templates("""
occupation | retrieve social history | What is or was {her} job? | Occupation?
    What does {she} do for a living, or did before retiring?
    Answer: {Her} occupation is {job}. | Evidence: SH: {job}
pack_years | retrieve social history | How many pack-years did {she} smoke?
    Tobacco exposure in pack-years? | Quantify the smoking history.
    Answer: {She} has {n} pack-years of smoking. | Evidence: {n} pack-years
disease_of_relative | retrieve genetic and family history | What illness did {her} {relative} have?
    {relative}: which disease is noted in the family history?
    Family history: what about the {relative}?
    Answer: {Her} {relative} had {disease:a?} at {age}. | Evidence: FH: {relative} {disease}""")
def social_history(p):
    written, job = p.written(WITH_SOCIAL), p.occupation
    fact = facts.term((job,), [(other,) for other in without(cat.OCCUPATIONS, job)])
    yield Answer("occupation", fact, written, job=job)
    if n := p.pack_years:
        fact = facts.number("pack-years, pack years, smoker, tobacco", n, "pack-years")
        yield Answer("pack_years", fact, written, n=n)
    for relative, disease, age in p.family:
        fact = facts.term(disease, (), relative, subject="family")
        words = {"relative": relative, "disease": disease, "age": age}
        yield Answer("disease_of_relative", fact, written, **words)


@templates("""
admission_count | retrieve medical history | How many times has {she} been hospitalized?
    Number of admissions on record? | Count {her} inpatient stays.
    Answer: {She} was hospitalized {times}. | Evidence: Inpatient visits
last_admission | retrieve medical history | When was {her} last hospital admission?
    Date of the most recent inpatient stay? | When was {she} last admitted?
    Answer: {She} was last admitted on {v.start}. | Evidence: Admitted {v.start}
last_emergency_visit | retrieve appointment information
    When did {she} last visit the emergency department? | Date of the latest ED visit?
    Most recent ER visit?
    Answer: {Her} last emergency visit was on {v.start}. | Evidence: ED provider note
follow_up_weeks | determine plan of care
    How many weeks after the {date} stay should primary care see {him}?
    Post-discharge follow-up interval for the {date} admission?
    After the stay of {date}, follow-up in how many weeks?
    Answer: Follow-up with primary care was due in {weeks}.
    Evidence: follow up with primary care in {weeks}""")
def visits(p):
    stays = p.visits_of("inpatient")
    for v in stays[-1:]:
        topic = "hospitalized, admissions, admission, stays, hospitalizations, admitted"
        fact = facts.number(topic, len(stays), "times")
        yield Answer("admission_count", fact, v.end, "both", times=counted(len(stays), "time"))
        fact = facts.date_of("admitted, admission, hospital, inpatient", v.start)
        yield Answer("last_admission", fact, v.end, "both", v=v)
    for v in stays:
        fact = facts.number("follow up, follow-up, primary care", v.follow_weeks, "weeks")
        weeks = counted(v.follow_weeks, "week")
        yield Answer("follow_up_weeks", fact, v.end, date=v.start, weeks=weeks)
    for v in p.visits_of("emergency")[-1:]:
        fact = facts.date_of("emergency, ED, ER", v.start)
        yield Answer("last_emergency_visit", fact, v.end, "both", v=v)
