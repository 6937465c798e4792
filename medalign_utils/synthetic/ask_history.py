"""Instructions about the patient's story: history, drugs, family, social life, demographics."""

from datetime import timedelta

from medalign_utils.synthetic import catalogue as cat
from medalign_utils.synthetic.notes import dose
from medalign_utils.synthetic.patient import Patient, at
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

# Which notes carry which section forward; `records` writes them so.
WITH_HISTORY = ("office", "emergency", "inpatient")
WITH_SOCIAL = ("office", "inpatient")


def newest(p: Patient, kinds: tuple[str, ...]):
    """The end of the newest visit of these kinds: where carried-forward text was last written."""
    return [v.end for v in p.visits if v.kind in kinds][-1]


@template("retrieve medical history", "When was {she} first diagnosed with {condition}?",
          "Since when does {she} have {condition}?",
          "Month and year of the {condition} diagnosis?")
def diagnosed_when(p):
    for d in p.diagnoses:
        since = p.visits[d.onset].start
        yield Candidate({"condition": d.condition.name},
                        [date_fact(d.condition.spellings, since, "month")],
                        f"{d.condition.name} was diagnosed in {since:%B %Y}.",
                        f"PMH: {d.condition.name} (dx {since:%m/%Y})", "both",
                        newest(p, WITH_HISTORY))


@template("retrieve medical history", "On what date did {she} have {her} {surgery}?",
          "When was the {surgery}?", "Exact date of the {surgery}, please.")
def surgery_date(p):
    for o in p.operations:
        v = p.visits[o.visit]
        yield Candidate({"surgery": o.surgery.spellings[0]},
                        [date_fact(o.surgery.spellings, v.start)],
                        f"The {o.surgery.spellings[0]} was on {long_day(v.start)}.",
                        f"Operative report of {day(v.start)}", "both", v.end,
                        of_sex(o.surgery.spellings[0]))


@template("retrieve medical history", "Was {her} {surgery} complicated by anything?",
          "Any complication of the {surgery}?",
          "What complications, if any, followed the {surgery}?")
def surgery_complication(p):
    for o in p.operations:
        v = p.visits[o.visit]
        name = o.surgery.spellings[0]
        if o.complication:
            rival = [c for c in o.surgery.complications if c != o.complication]
            yield Candidate({"surgery": name}, [term_fact(o.complication, rival)],
                            f"Yes, the {name} was complicated by {o.complication[0]}.",
                            f"Hospital course: complicated by {o.complication[0]}", "notes", v.end,
                            of_sex(name))
        else:
            topic = ("complication", "complications", "complicated")
            yield Candidate({"surgery": name}, [yes_no_fact(topic, False)],
                            f"No complications followed the {name}.",
                            "Hospital course: without complications", "notes", v.end, of_sex(name))


@template("retrieve medical history", "Has {she} ever reported {symptom}?",
          "Any past complaint of {symptom}?", "Did {she} at any time mention {symptom}?")
def ever_symptom(p):
    positive, denied = {}, {}
    for v in p.visits:
        for s in v.positives:
            positive[s] = v
        for s in v.denied:
            denied[s] = v
        if v.acute:
            positive[(v.acute.symptom,)] = v
    told = {word for s in positive for word in s}
    # Complaints that stand elsewhere in the record under another heading settle nothing.
    told.update(word for c in p.courses if c.reason for word in c.reason)
    for s, v in positive.items():
        if s in cat.SYMPTOMS and s not in denied:
            yield Candidate({"symptom": s[0]}, [yes_no_fact(s, True)],
                            f"Yes, {pronouns(p)['she']} reported {s[0]}, last on {day(v.start)}.",
                            f"Reports {s[0]}", "notes", v.end)
    for s, v in denied.items():
        if not told.intersection(s):
            yield Candidate({"symptom": s[0]}, [yes_no_fact(s, False)],
                            f"No, {pronouns(p)['she']} has consistently denied {s[0]}.",
                            f"Denies {s[0]}", "notes", v.end)


@template("retrieve medical history", "Does {she} have a history of {condition}?",
          "Any personal history of {condition}?", "Has {she} ever had {condition}?")
def never_had(p):
    seen = {s: v for v in p.visits if v.kind in WITH_HISTORY for s in v.never}
    for s, v in seen.items():
        yield Candidate({"condition": s[0]}, [yes_no_fact(s, False)],
                        f"No, {pronouns(p)['she']} has no history of {s[0]}.",
                        f"No history of {s[0]}", "notes", v.end)


@template("retrieve medical history", "Why was {she} admitted on {date}?",
          "Principal problem of the {date} hospitalization?",
          "What was the diagnosis for the hospital stay that began {date}?")
def admission_reason(p):
    for v in p.visits:
        if v.kind == "inpatient" and v.acute:
            rivals = {a.acute.spellings for a in p.visits if a.acute and a.acute is not v.acute}
            yield Candidate({"date": day(v.start)}, [term_fact(v.acute.spellings, sorted(rivals))],
                            f"{pronouns(p)['She']} was admitted for {v.acute.spellings[0]}.",
                            f"Principal problem: {v.acute.spellings[0]}", "both", v.end)


@template("retrieve medical history", "What brought {him} to clinic on {date}?",
          "Chief complaint at the {date} visit?", "What did {she} complain of on {date}?")
def chief_complaint(p):
    for v in p.visits:
        if v.kind == "office":
            rivals = {s for x in p.visits for s in x.positives} - set(v.positives)
            yield Candidate({"date": day(v.start)}, [term_fact(v.positives[0], sorted(rivals))],
                            f"{pronouns(p)['She']} came with {v.positives[0][0]}.",
                            f"CC: {v.positives[0][0]}", "notes", v.end)


@template("retrieve medical history", "How many days did {she} spend in hospital from {date}?",
          "Length of stay for the admission of {date}?",
          "The stay that began {date}: how many days was it?")
def length_of_stay(p):
    for v in p.visits:
        if v.kind == "inpatient":
            days = (v.end.date() - v.start.date()).days
            yield Candidate({"date": day(v.start)},
                            [number_fact(("days", "stay", "hospital"), days, "days", 0.4)],
                            f"The hospital stay lasted {days} days.",
                            f"Admitted {day(v.start)}, discharged {day(v.end)}", "both", v.end)


@template("retrieve medication information", "Which {drug_class} is {she} on now?",
          "Name the {drug_class} {she} currently takes.", "What is {her} current {drug_class}?")
def current_of_class(p):
    for c in p.courses_at(p.last):
        drug_class = c.drug.drug_class
        rivals = [(d.name, d.brand) for d in cat.DRUGS.values()
                  if d.drug_class == drug_class and d is not c.drug]
        since = [v.end for n, v in enumerate(p.visits)
                 if v.kind in WITH_HISTORY and n > c.start] or [p.visits[c.start].end]
        yield Candidate({"drug_class": drug_class},
                        [term_fact((c.drug.name, c.drug.brand), rivals)],
                        f"{pronouns(p)['She']} takes {c.drug.name}.",
                        f"{c.drug.name} {dose(c.dose, c.drug.unit)}", "both", since[-1])


@template("retrieve medication information", "Why was {drug} stopped?",
          "What was the reason to discontinue {drug}?", "{drug}: why did {she} come off it?")
def stop_reason(p):
    for c in p.courses:
        if c.reason and _noted(p, c.stop):
            rivals = [r for r in cat.DRUG_CLASSES[c.drug.drug_class].stop_reasons if r != c.reason]
            yield Candidate({"drug": c.drug.name},
                            [term_fact(c.reason, rivals, (c.drug.name, c.drug.brand))],
                            f"{c.drug.name} was stopped because of {c.reason[0]}.",
                            f"{c.drug.name} stopped: {c.reason[0]}", "notes",
                            p.visits[c.stop].end)


def _noted(p: Patient, visit: int) -> bool:
    # Only office notes and discharge summaries say what was changed and why.
    return p.visits[visit].kind in WITH_SOCIAL


@template("retrieve medication information", "Has {she} ever taken a {drug_class}?",
          "Any exposure to a {drug_class}, past or present?",
          "Was {she} ever on a {drug_class}?")
def ever_class(p):
    for drug_class in {c.drug.drug_class: None for c in p.courses}:
        courses = [c for c in p.courses if c.drug.drug_class == drug_class]
        members = [w for d in cat.DRUGS.values() if d.drug_class == drug_class
                   for w in (d.name, d.brand)]
        last = courses[-1]
        until = p.last if last.stop is None else last.stop
        mentions = [v.end for n, v in enumerate(p.visits)
                    if v.kind in WITH_HISTORY and last.start < n <= until]
        topic = (*cat.DRUG_CLASSES[drug_class].spellings, *members)
        yield Candidate({"drug_class": drug_class}, [yes_no_fact(topic, True)],
                        f"Yes, {pronouns(p)['she']} has taken {last.drug.name}.",
                        f"{last.drug.name}", "both", (mentions or [p.visits[last.start].end])[-1])


@template("retrieve medication information", "What dose of {drug} is {she} taking?",
          "Current {drug} dose?", "How much {drug} does {she} take at present?")
def current_dose(p):
    for c in p.courses_at(p.last):
        listed = [v.end for n, v in enumerate(p.visits) if v.kind in WITH_HISTORY and n > c.start]
        if listed or _noted(p, c.start):
            yield Candidate({"drug": c.drug.name}, [_dose_fact(p, c)],
                            f"{pronouns(p)['She']} takes {c.drug.name} "
                            f"{dose(c.dose, c.drug.unit)} {c.drug.frequency}.",
                            f"{c.drug.name} {dose(c.dose, c.drug.unit)}", "notes",
                            (listed or [p.visits[c.start].end])[-1])


def _dose_fact(p: Patient, course) -> dict:
    start = p.visits[course.start].start
    return number_fact((course.drug.name, course.drug.brand), course.dose, course.drug.unit,
                       course.dose * 0.001, **{"from": f"{start:%Y-%m-%d}"})


@template("retrieve medication information", "When was {drug} started?",
          "Start date of {drug}?", "On what day did {she} begin {drug}?")
def drug_started(p):
    first = {}
    for c in p.courses:
        first.setdefault(c.drug.name, c)
    for name, c in first.items():
        v = p.visits[c.start]
        yield Candidate({"drug": name}, [date_fact((name, c.drug.brand), v.end)],
                        f"{name} was started on {day(v.end)}.", f"{name} start", "both", v.end)


@template("retrieve medication information", "List {her} drug and contrast allergies.",
          "What is {she} allergic to?", "Any allergies on file? Name them all.")
def allergies(p):
    if p.allergies:
        rivals = [a for a in cat.ALLERGENS if a not in [x for x, _ in p.allergies]]
        names = " and ".join(a[0] for a, _ in p.allergies)
        yield Candidate({}, [set_fact([a for a, _ in p.allergies], rivals)],
                        f"{pronouns(p)['She']} is allergic to {names}.", f"Allergies: {names}",
                        "notes", newest(p, WITH_HISTORY))


@template("retrieve medication information", "What reaction did {she} have to {allergen}?",
          "{allergen} allergy: what happens?", "How does {she} react to {allergen}?")
def allergy_reaction(p):
    for allergen, reaction in p.allergies:
        rivals = [r for r in cat.REACTIONS if r != reaction]
        others = [r for _, r in p.allergies if r != reaction]
        # The other allergens' reactions stand beside it in every list: naming them is no mistake.
        yield Candidate({"allergen": allergen[0]},
                        [term_fact(reaction, [r for r in rivals if r not in others], allergen)],
                        f"{allergen[0]} causes {reaction[0]}.", f"{allergen[0]} ({reaction[0]})",
                        "notes", newest(p, WITH_HISTORY))


@template("retrieve social history", "In what year did {she} quit smoking?",
          "Quit date for tobacco (year)?", "When did {she} give up cigarettes?")
def quit_smoking(p):
    if p.quit_smoking:
        when = f"{p.quit_smoking}-01-01"
        fact = {"kind": "date", "topic": ["quit", "smoking", "smoker", "tobacco"], "date": when,
                "precision": "year"}  # fmt: skip
        yield Candidate({}, [fact], f"{pronouns(p)['She']} quit smoking in {p.quit_smoking}.",
                        f"quit {p.quit_smoking}", "notes", newest(p, WITH_SOCIAL))


@template("retrieve social history", "Who does {she} live with these days?",
          "Current living situation?", "Does {she} live alone or with somebody?")
def lives_with(p):
    home = at(p.living, p.last)
    start = p.living[-1][0]
    written = [v.end for n, v in enumerate(p.visits) if v.kind in WITH_SOCIAL and n >= start]
    if written:
        rivals = [h for h in cat.LIVING if h != home]
        how = home[0] if home[0] in ("alone",) else f"in {home[0]}" if "living" in home[0] else (
            f"with {pronouns(p)['her']} {home[0]}")
        yield Candidate({}, [term_fact(home, rivals)], f"{pronouns(p)['She']} lives {how}.",
                        f"lives {how}", "notes", written[-1])


@template("retrieve social history", "How many alcoholic drinks a week does {she} report now?",
          "Current alcohol intake (drinks per week)?", "What is {her} weekly alcohol use?")
def weekly_drinks(p):
    drinks, start = at(p.drinks, p.last), p.drinks[-1][0]
    written = [v.end for n, v in enumerate(p.visits) if v.kind in WITH_SOCIAL and n >= start]
    if drinks and written:
        since = f"{p.visits[start].start:%Y-%m-%d}"
        yield Candidate({}, [number_fact(("drinks", "EtOH", "alcohol"), drinks, "drinks/week", 0.4,
                                         **{"from": since})],
                        f"{pronouns(p)['She']} has {drinks} drinks per week.",
                        f"EtOH: {drinks} drinks/week", "notes", written[-1])


@template("retrieve demographics", "Who is {her} current insurer?",
          "Payer at the most recent visit?", "What insurance does {she} have now?")
def payer(p):
    v = p.visits[-1]
    now = next(x for x in cat.PAYERS if x[0] == v.payer)
    yield Candidate({}, [term_fact(now, [x for x in cat.PAYERS if x != now])],
                    f"{pronouns(p)['She']} is insured through {now[0]}.", f"payerplan {now[0]}",
                    "codes", v.start)


@template("retrieve demographics", "Who is the emergency contact, and at what number?",
          "Emergency contact with phone?", "Whom do we call in an emergency? Number please.")
def emergency_contact(p):
    stays = [v for v in p.visits if v.kind == "inpatient"]
    if stays:
        rivals = [(c,) for c in cat.CONTACTS if c != p.contact]
        yield Candidate({}, [term_fact((p.contact,), rivals), term_fact((p.contact_phone,))],
                        f"{pronouns(p)['Her']} emergency contact is {pronouns(p)['her']} "
                        f"{p.contact}, phone {p.contact_phone}.",
                        f"Emergency contact: {p.contact}, {p.contact_phone}", "notes",
                        stays[-1].start + timedelta(hours=2))


@template("retrieve demographics", "What is {her} code status?", "Full code or DNR?",
          "Which code status applies to {him} now?")
def code_status(p):
    status = at(p.code_status, p.last)
    starts = [start for start, _ in p.code_status]
    said = [v.end for n, v in enumerate(p.visits)
            if v.kind == "inpatient" or (n in starts and v.kind == "office")]
    said = [t for t in said if t >= p.visits[starts[-1]].start]
    if said:
        rival = ("DNR", "do not resuscitate") if status[0] == "full code" else ("full code",)
        yield Candidate({}, [term_fact(status, [rival])],
                        f"{pronouns(p)['Her']} code status is {status[0]}.",
                        f"Code status: {status[0]}", "notes", said[-1])


@template("retrieve demographics", "Who holds {her} health care power of attorney?",
          "Is there a health care proxy, and who?", "Name the durable POA for health care.")
def power_of_attorney(p):
    topic = ("power of attorney", "POA", "health care proxy", "proxy")
    yield Candidate({}, [absent_fact(topic)],
                    "A health care power of attorney is not documented.", "", "nowhere", None)


@template("retrieve genetic and family history", "Which relative had {disease}?",
          "Who in {her} family had {disease}?", "Family history of {disease}: which relative?")
def relative_with(p):
    for relative, disease, age in p.family:
        yield Candidate({"disease": disease[0]},
                        [term_fact(relative, (), disease, subject="family")],
                        f"{pronouns(p)['Her']} {relative[0]} had {disease[0]}.",
                        f"FH: {relative[0]} {disease[0]} at {age}", "notes",
                        newest(p, WITH_SOCIAL))


@template("retrieve genetic and family history",
          "At what age did {her} {relative} develop {disease}?",
          "How old was the {relative} at the diagnosis of {disease}?",
          "Age of onset of {disease} in {her} {relative}?")
def relative_age(p):
    for relative, disease, age in p.family:
        yield Candidate({"relative": relative[0], "disease": disease[0]},
                        [number_fact(disease, age, "years", 0.4, subject="family")],
                        f"{pronouns(p)['Her']} {relative[0]} had {disease[0]} at age {age}.",
                        f"FH: {relative[0]} {disease[0]} at {age}", "notes",
                        newest(p, WITH_SOCIAL))


@template("retrieve genetic and family history", "Does {disease} run in {her} family?",
          "Any family history of {disease}?", "Is a relative known to have had {disease}?")
def family_history_of(p):
    for relative, disease, age in p.family:
        yield Candidate({"disease": disease[0]}, [yes_no_fact(disease, True, subject="family")],
                        f"Yes, {pronouns(p)['her']} {relative[0]} had {disease[0]}.",
                        f"FH: {relative[0]} {disease[0]} at {age}", "notes",
                        newest(p, WITH_SOCIAL))
