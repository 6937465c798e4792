"""Instruction templates that only train comet-compact: no release of the benchmark asks them."""

from functools import partial

from medalign_utils.synthetic import catalogue as cat
from medalign_utils.synthetic.ask_history import WITH_HISTORY, WITH_SOCIAL, newest
from medalign_utils.synthetic.ask_results import _lab, by_analyte
from medalign_utils.synthetic.templates import (
    Candidate,
    Template,
    date_fact,
    day,
    number_fact,
    pronouns,
    set_fact,
    term_fact,
    yes_no_fact,
)
from medalign_utils.synthetic.templates import template as register

TRAINING: dict[str, Template] = {}
template = partial(register, into=TRAINING)


@template("calculate numerical measures", "What was the mean arterial pressure on {date}?",
          "MAP at the {date} visit, from the recorded BP?", "Calculate the MAP for {date}.")
def mean_arterial_pressure(p):
    for v in p.vitals:
        if p.visits[v.visit].kind == "office":
            value = round((v.systolic + 2 * v.diastolic) / 3)
            yield Candidate({"date": day(v.time)},
                            [number_fact(("mean arterial pressure", "MAP"), value, "mmHg", 1)],
                            f"The mean arterial pressure on {day(v.time)} was {value} mmHg.",
                            f"BP {v.systolic}/{v.diastolic}", "both", v.time)


@template("retrieve laboratory studies", "What is the lowest {lab} on record?",
          "Nadir of {her} {lab}?", "How low has the {lab} ever been, and on what day?")
def lowest_lab(p):
    for name, series in by_analyte(p).items():
        low = min(series, key=lambda r: r.value)
        if len(series) > 2 and [r.value for r in p.results
                                if r.analyte is low.analyte].count(low.value) == 1:
            yield _lab(p, low, "The lowest {lab} was {value}, on {date}.", lab=name)


@template("retrieve laboratory studies", "What was {her} very first {lab} here?",
          "First {lab} we have and its value?", "Baseline {lab} at the start of the record?")
def first_lab(p):
    for series in by_analyte(p).values():
        yield _lab(p, series[0], "{Her} first {lab} here was {value} on {date}.")


@template("retrieve vitals", "What was {her} pulse at the {date} visit?", "Heart rate on {date}?",
          "HR recorded on {date}?")
def pulse_on_date(p):
    for v in p.vitals:
        if p.visits[v.visit].kind == "office":
            yield Candidate({"date": day(v.time)},
                            [number_fact(("pulse", "heart rate", "HR"), v.pulse, "beats/min", 0.5,
                                         v.time)],
                            f"{pronouns(p)['Her']} heart rate on {day(v.time)} was {v.pulse}.",
                            f"HR {v.pulse}", "both", v.time)


@template("retrieve vitals", "Most recent oxygen saturation?", "What was the last SpO2?",
          "Latest pulse oximetry reading?")
def latest_saturation(p):
    v = p.vitals[-1]
    yield Candidate({}, [number_fact(("oxygen saturation", "SpO2", "saturation", "pulse oximetry"),
                                     v.saturation, "%", 0.5, v.time)],
                    f"The last oxygen saturation was {v.saturation}% on {day(v.time)}.",
                    f"SpO2 {v.saturation}%", "codes", v.time)


@template("retrieve medication information", "What was {she} taking before {drug}?",
          "Which drug did {drug} replace?", "{drug} was started instead of what?")
def previous_drug(p):
    for c in p.courses:
        if c.successor:
            v = p.visits[c.stop]
            yield Candidate({"drug": c.successor.name}, [term_fact((c.drug.name, c.drug.brand))],
                            f"{c.successor.name} replaced {c.drug.name} on {day(v.end)}.",
                            f"switched to {c.successor.name}", "notes", v.end)


@template("retrieve medication information", "Which {drug_class}s has {she} used?",
          "List every {drug_class} in the record.", "All {drug_class} drugs, past and current?")
def drugs_of_class(p):
    for drug_class in {c.drug.drug_class: None for c in p.courses}:
        used = {c.drug.name: c for c in p.courses if c.drug.drug_class == drug_class}
        members = [(c.drug.name, c.drug.brand) for c in used.values()]
        rivals = [(d.name, d.brand) for d in cat.DRUGS.values()
                  if d.drug_class == drug_class and d.name not in used]
        last = list(used.values())[-1]
        yield Candidate({"drug_class": drug_class}, [set_fact(members, rivals)],
                        f"{pronouns(p)['She']} has used {' and '.join(used)}.", ", ".join(used),
                        "both", p.visits[last.start].end)


@template("retrieve medical history", "How many times has {she} been hospitalized?",
          "Number of admissions on record?", "Count {her} inpatient stays.")
def admission_count(p):
    stays = [v for v in p.visits if v.kind == "inpatient"]
    if stays:
        yield Candidate({}, [number_fact(("hospitalized", "admissions", "admission", "stays",
                                          "hospitalizations", "admitted"), len(stays), "times",
                                         0.4)],
                        f"{pronouns(p)['She']} was hospitalized {len(stays)} times.",
                        "Inpatient visits", "both", stays[-1].end)


@template("retrieve medical history", "List all of {her} chronic conditions.",
          "Complete problem list, please.", "Which long-term diagnoses does {she} carry?")
def problem_list(p):
    names = ", ".join(d.condition.name for d in p.diagnoses)
    yield Candidate({}, [set_fact([d.condition.spellings for d in p.diagnoses])],
                    f"{pronouns(p)['Her']} problems are {names}.", f"PMH: {names}", "both",
                    newest(p, WITH_HISTORY))


@template("retrieve medical history", "When was {her} last hospital admission?",
          "Date of the most recent inpatient stay?", "When was {she} last admitted?")
def last_admission(p):
    for v in [v for v in p.visits if v.kind == "inpatient"][-1:]:
        yield Candidate({}, [date_fact(("admitted", "admission", "hospital", "inpatient"),
                                       v.start)],
                        f"{pronouns(p)['She']} was last admitted on {day(v.start)}.",
                        f"Admitted {day(v.start)}", "both", v.end)


@template("retrieve medical history", "Is {she} known to have {condition}?",
          "{condition}: on the problem list or not?", "Does the chart list {condition} for {him}?")
def has_condition(p):
    for d in p.diagnoses:
        yield Candidate({"condition": d.condition.name},
                        [yes_no_fact(d.condition.spellings, True)],
                        f"Yes, {pronouns(p)['she']} has {d.condition.name}.",
                        f"PMH: {d.condition.name}", "both", newest(p, WITH_HISTORY))
    seen = {s: v for v in p.visits if v.kind in WITH_HISTORY for s in v.never}
    for s, v in seen.items():
        yield Candidate({"condition": s[0]}, [yes_no_fact(s, False)],
                        f"No, there is no history of {s[0]}.", f"No history of {s[0]}", "notes",
                        v.end)


@template("retrieve imaging studies", "What was the lowest ejection fraction on any echo?",
          "Worst LVEF so far?", "Lowest EF recorded, in percent?")
def lowest_lvef(p):
    echos = [s for s in p.studies if s.spellings == cat.ECHO]
    if echos:
        low = min(echos, key=lambda s: s.value)
        yield Candidate({}, [number_fact(("LVEF", "EF", "ejection fraction"), low.value, "%", 0.5)],
                        f"The lowest LVEF was {low.value}% ({day(low.time)}).",
                        f"LVEF {low.value}%", "notes", low.time)


@template("retrieve social history", "What is or was {her} job?", "Occupation?",
          "What does {she} do for a living, or did before retiring?")
def occupation(p):
    rivals = [(o,) for o in cat.OCCUPATIONS if o != p.occupation]
    yield Candidate({}, [term_fact((p.occupation,), rivals)],
                    f"{pronouns(p)['Her']} occupation: {p.occupation}.", f"SH: {p.occupation}",
                    "notes", newest(p, WITH_SOCIAL))


@template("retrieve social history", "How many pack-years did {she} smoke?",
          "Tobacco exposure in pack-years?", "Quantify the smoking history.")
def pack_years(p):
    if p.pack_years:
        yield Candidate({}, [number_fact(("pack-years", "pack years", "smoker", "tobacco"),
                                         p.pack_years, "pack-years", 0.4)],
                        f"{pronouns(p)['She']} has {p.pack_years} pack-years of smoking.",
                        f"{p.pack_years} pack-years", "notes", newest(p, WITH_SOCIAL))


@template("retrieve genetic and family history", "What illness did {her} {relative} have?",
          "{relative}: which disease is noted in the family history?",
          "Family history: what about the {relative}?")
def disease_of_relative(p):
    for relative, disease, age in p.family:
        yield Candidate({"relative": relative[0]},
                        [term_fact(disease, (), relative, subject="family")],
                        f"{pronouns(p)['Her']} {relative[0]} had {disease[0]} at {age}.",
                        f"FH: {relative[0]} {disease[0]}", "notes", newest(p, WITH_SOCIAL))


@template("retrieve appointment information", "When did {she} last visit the emergency department?",
          "Date of the latest ED visit?", "Most recent ER visit?")
def last_emergency_visit(p):
    for v in [v for v in p.visits if v.kind == "emergency"][-1:]:
        yield Candidate({}, [date_fact(("emergency", "ED", "ER"), v.start)],
                        f"{pronouns(p)['Her']} last emergency visit was on {day(v.start)}.",
                        "ED provider note", "both", v.end)


@template("determine plan of care", "How many weeks after the {date} stay should primary care see "
          "{him}?", "Post-discharge follow-up interval for the {date} admission?",
          "After the stay of {date}, follow-up in how many weeks?")
def follow_up_weeks(p):
    for v in p.visits:
        if v.kind == "inpatient":
            yield Candidate({"date": day(v.start)},
                            [number_fact(("follow up", "follow-up", "primary care"),
                                         v.follow_weeks, "weeks", 0.4)],
                            f"Follow-up with primary care was due in {v.follow_weeks} weeks.",
                            f"follow up with primary care in {v.follow_weeks} weeks", "notes",
                            v.end)
