"""Instructions about the patient's story: history, drugs, family, social life, demographics."""

from datetime import date, timedelta

from medalign_utils.synthetic import catalogue as cat
from medalign_utils.synthetic.patient import WITH_HISTORY, WITH_SOCIAL, Course, Patient, Visit
from medalign_utils.synthetic.templates import (
    Answer,
    absent_fact,
    date_fact,
    number_fact,
    pronouns,
    set_fact,
    template,
    term_fact,
    yes_no_fact,
)


@template("""retrieve medical history | When was {she} first diagnosed with {condition}?
    Since when does {she} have {condition}? | Month and year of the {condition} diagnosis?
    Answer: {condition} was diagnosed in {since:%B %Y}.
    Evidence: PMH: {condition} (dx {since:%m/%Y})""")
def diagnosed_when(p):
    for d in p.diagnoses:
        words, since = d.condition.spellings, p.visits[d.onset].start
        fact = date_fact(words, since, "month")
        yield Answer(fact, p.written(WITH_HISTORY), "both", condition=words, since=since)


@template("""retrieve medical history | On what date did {she} have {her} {surgery}?
    When was the {surgery}? | Exact date of the {surgery}, please.
    Answer: The {surgery} was on {date:long}. | Evidence: Operative report of {date}""")
def surgery_date(p):
    for o in p.operations:
        words, v = o.surgery.spellings, p.visits[o.visit]
        yield Answer(date_fact(words, v.start), v.end, "both", surgery=words, date=v.start)


@template("""retrieve medical history | Was {her} {surgery} complicated by anything?
    Any complication of the {surgery}? | What complications, if any, followed the {surgery}?
    Answer: {answer} the {surgery}{by}. | Evidence: Hospital course: {course}""")
def surgery_complication(p):
    for o in p.operations:
        if o.complication:
            fact = term_fact(o.complication, without(o.surgery.complications, o.complication))
            course = f"complicated by {o.complication[0]}"
            answer, by = "Yes,", f" was {course}"
        else:
            fact = yes_no_fact("complication, complications, complicated", False)
            course, answer, by = "without complications", "No complications followed", ""
        words = {"surgery": o.surgery.spellings, "course": course, "answer": answer, "by": by}
        yield Answer(fact, p.visits[o.visit].end, **words)


@template("""retrieve medical history | Has {she} ever reported {symptom}?
    Any past complaint of {symptom}? | Did {she} at any time mention {symptom}?
    Answer: {reply}. | Evidence: {verb} {symptom}""")
def ever_symptom(p):
    positive, denied = {}, {}
    for v in p.visits:
        positive |= dict.fromkeys(v.positives, v)
        denied |= dict.fromkeys(v.denied, v)
        if v.acute:
            positive[(v.acute.symptom,)] = v
    reported = {word for s in positive for word in s}
    # Complaints that the record holds under another heading settle nothing.
    reported.update(word for c in p.courses if c.reason for word in c.reason)
    she = pronouns(p)["she"]
    for s, v in positive.items():
        if s in cat.SYMPTOMS and s not in denied:
            reply = f"Yes, {she} reported {s[0]}, last on {v.start:%m/%d/%Y}"
            yield Answer(yes_no_fact(s, True), v.end, symptom=s, reply=reply, verb="Reports")
    for s, v in denied.items():
        if not reported.intersection(s):
            reply = f"No, {she} has consistently denied {s[0]}"
            yield Answer(yes_no_fact(s, False), v.end, symptom=s, reply=reply, verb="Denies")


@template("""retrieve medical history | Does {she} have a history of {condition}?
    Any personal history of {condition}? | Has {she} ever had {condition}?
    Answer: No, {she} has no history of {condition}. | Evidence: No history of {condition}""")
def never_had(p):
    for condition, v in denied_diseases(p).items():
        yield Answer(yes_no_fact(condition, False), v.end, condition=condition)


def denied_diseases(p: Patient) -> dict[tuple[str, ...], Visit]:
    """Return each disease that notes deny, and the last visit whose notes do."""
    return {s: v for v in p.visits if v.kind in WITH_HISTORY for s in v.never}


@template("""retrieve medical history | Why was {she} admitted on {date}?
    Principal problem of the {date} hospitalization?
    What was the diagnosis for the hospital stay that began {date}?
    Answer: {She} was admitted for {acute}. | Evidence: Principal problem: {acute}""")
def admission_reason(p):
    for v in p.visits_of("inpatient"):
        if v.acute:
            words = v.acute.spellings
            rivals = {a.acute.spellings for a in p.visits if a.acute} - {words}
            yield Answer(term_fact(words, sorted(rivals)), v.end, "both", date=v.start, acute=words)


@template("""retrieve medical history | What brought {him} to clinic on {date}?
    Chief complaint at the {date} visit? | What did {she} complain of on {date}?
    Answer: {She} came with {symptom}. | Evidence: CC: {symptom}""")
def chief_complaint(p):
    for v in p.visits_of("office"):
        rivals = {s for x in p.visits for s in x.positives} - set(v.positives)
        fact = term_fact(v.positives[0], sorted(rivals))
        yield Answer(fact, v.end, date=v.start, symptom=v.positives[0])


@template("""retrieve medical history | How many days did {she} spend in hospital from {date}?
    Length of stay for the admission of {date}? | The stay that began {date}: how many days was it?
    Answer: The hospital stay lasted {days} days. | Evidence: Admitted {date}, discharged {end}""")
def length_of_stay(p):
    for v in p.visits_of("inpatient"):
        days = (v.end.date() - v.start.date()).days
        fact = number_fact("days, stay, hospital", days, "days")
        yield Answer(fact, v.end, "both", date=v.start, days=days, end=v.end)


@template("""retrieve medication information | Which {drug_class} is {she} on now?
    Name the {drug_class} {she} currently takes. | What is {her} current {drug_class}?
    Answer: {She} takes {c.drug.name}. | Evidence: {c.drug.name} {c.amount}""")
def current_of_class(p):
    for c in p.courses_at(p.last):
        rivals = [d.names for d in cat.DRUGS.values() if d.drug_class == c.drug.drug_class]
        rivals.remove(c.drug.names)
        time = p.written(WITH_HISTORY, c.start + 1) or p.visits[c.start].end
        fact = term_fact(c.drug.names, rivals)
        yield Answer(fact, time, "both", drug_class=c.drug.drug_class, c=c)


@template("""retrieve medication information | Why was {drug} stopped?
    What was the reason to discontinue {drug}? | {drug}: why did {she} come off it?
    Answer: {drug} was stopped because of {reason}. | Evidence: {drug} stopped: {reason}""")
def stop_reason(p):
    for c in p.courses:
        if c.reason and p.noted(c.stop):
            rivals = without(cat.DRUG_CLASSES[c.drug.drug_class].stop_reasons, c.reason)
            fact = term_fact(c.reason, rivals, c.drug.names)
            yield Answer(fact, p.visits[c.stop].end, drug=c.drug.names, reason=c.reason)


def without(options, *chosen) -> list:
    """Return the options but for those chosen."""
    return [option for option in options if option not in chosen]


@template("""retrieve medication information | Has {she} ever taken a {drug_class}?
    Any exposure to a {drug_class}, past or present? | Was {she} ever on a {drug_class}?
    Answer: Yes, {she} has taken {drug}. | Evidence: {drug}""")
def ever_class(p):
    for drug_class, c in {c.drug.drug_class: c for c in p.courses}.items():
        members = [w for d in cat.DRUGS.values() if d.drug_class == drug_class for w in d.names]
        time = p.written(WITH_HISTORY, c.start + 1, c.stop) or p.visits[c.start].end
        fact = yes_no_fact((*cat.DRUG_CLASSES[drug_class].spellings, *members), True)
        yield Answer(fact, time, "both", drug_class=drug_class, drug=c.drug.names)


@template("""retrieve medication information | What dose of {drug} is {she} taking?
    Current {drug} dose? | How much {drug} does {she} take at present?
    Answer: {She} takes {drug} {c.regimen}. | Evidence: {drug} {c.amount}""")
def current_dose(p):
    for c in p.courses_at(p.last):
        listed = p.written(WITH_HISTORY, c.start + 1)
        if listed or p.noted(c.start):
            time = listed or p.visits[c.start].end
            yield Answer(dose_fact(p, c), time, drug=c.drug.names, c=c)


def dose_fact(p: Patient, c: Course) -> dict:
    """Return the dose of a course, which holds from the visit on that began it."""
    since = p.visits[c.start].start
    return number_fact(c.drug.names, c.dose, c.drug.unit, c.dose * 0.001, since=since)


@template("""retrieve medication information | When was {drug} started? | Start date of {drug}?
    On what day did {she} begin {drug}?
    Answer: {drug} was started on {date}. | Evidence: {drug} start""")
def drug_started(p):
    first = {}
    for c in p.courses:
        first.setdefault(c.drug.names, c)
    for names, c in first.items():
        time = p.visits[c.start].end
        yield Answer(date_fact(names, time), time, "both", drug=names, date=time)


@template("""retrieve medication information | List {her} drug and contrast allergies.
    What is {she} allergic to? | Any allergies on file? Name them all.
    Answer: {She} is allergic to {names}. | Evidence: Allergies: {names}""")
def allergies(p):
    if p.allergies:
        allergens = [allergen for allergen, _ in p.allergies]
        fact = set_fact(allergens, without(cat.ALLERGENS, *allergens))
        names = " and ".join(allergen[0] for allergen in allergens)
        yield Answer(fact, p.written(WITH_HISTORY), names=names)


@template("""retrieve medication information | What reaction did {she} have to {allergen}?
    {allergen} allergy: what happens? | How does {she} react to {allergen}?
    Answer: {allergen} causes {reaction}. | Evidence: {allergen} ({reaction})""")
def allergy_reaction(p):
    # The other allergens' reactions are beside it in every list: naming them is no mistake.
    rivals = without(cat.REACTIONS, *(reaction for _, reaction in p.allergies))
    for allergen, reaction in p.allergies:
        fact = term_fact(reaction, rivals, allergen)
        yield Answer(fact, p.written(WITH_HISTORY), allergen=allergen, reaction=reaction)


@template("""retrieve social history | In what year did {she} quit smoking?
    Quit date for tobacco (year)? | When did {she} give up cigarettes?
    Answer: {She} quit smoking in {year}. | Evidence: quit {year}""")
def quit_smoking(p):
    if p.quit_smoking:
        fact = date_fact("quit, smoking, smoker, tobacco", date(p.quit_smoking, 1, 1), "year")
        yield Answer(fact, p.written(WITH_SOCIAL), year=p.quit_smoking)


@template("""retrieve social history | Who does {she} live with these days?
    Current living situation? | Does {she} live alone or with somebody?
    Answer: {She} lives {how}. | Evidence: lives {how}""")
def lives_with(p):
    start, home = p.living[-1]
    if written := p.written(WITH_SOCIAL, start):
        how = home[0] if home[0] == "alone" else f"with {pronouns(p)['her']} {home[0]}"
        how = f"in {home[0]}" if "living" in home[0] else how
        yield Answer(term_fact(home, without(cat.LIVING, home)), written, how=how)


@template("""retrieve social history | How many alcoholic drinks a week does {she} report now?
    Current alcohol intake (drinks per week)? | What is {her} weekly alcohol use?
    Answer: {She} has {drinks} drinks per week. | Evidence: EtOH: {drinks} drinks/week""")
def weekly_drinks(p):
    start, drinks = p.drinks[-1]
    written = p.written(WITH_SOCIAL, start)
    if drinks and written:
        yield Answer(drinks_fact(p), written, drinks=drinks)


def drinks_fact(p: Patient) -> dict:
    """Return how many drinks a week the patient has now, and since when."""
    start, drinks = p.drinks[-1]
    since = p.visits[start].start
    return number_fact("drinks, EtOH, alcohol", drinks, "drinks/week", since=since)


@template("""retrieve demographics | Who is {her} current insurer? | Payer at the most recent visit?
    What insurance does {she} have now?
    Answer: {She} is insured through {payer}. | Evidence: payerplan {payer}""")
def payer(p):
    v = p.visits[-1]
    now = next(x for x in cat.PAYERS if x[0] == v.payer)
    yield Answer(term_fact(now, without(cat.PAYERS, now)), v.start, "codes", payer=now)


@template("""retrieve demographics | Who is the emergency contact, and at what number?
    Emergency contact with phone? | Whom do we call in an emergency? Number please.
    Answer: {Her} emergency contact is {her} {p.contact}, phone {p.contact_phone}.
    Evidence: Emergency contact: {p.contact}, {p.contact_phone}""")
def emergency_contact(p):
    for stay in p.visits_of("inpatient")[-1:]:
        rivals = [(c,) for c in cat.CONTACTS if c != p.contact]
        facts = [term_fact((p.contact,), rivals), term_fact((p.contact_phone,))]
        yield Answer(facts, stay.start + timedelta(hours=2), p=p)


@template("""retrieve demographics | What is {her} code status? | Full code or DNR?
    Which code status applies to {him} now?
    Answer: {Her} code status is {status}. | Evidence: Code status: {status}""")
def code_status(p):
    start, status = p.code_status[-1]
    if written := p.written(("inpatient",), start + 1) or p.written(WITH_SOCIAL, start, start):
        rival = ("DNR", "do not resuscitate") if status[0] == "full code" else ("full code",)
        yield Answer(term_fact(status, [rival]), written, status=status)


@template("""retrieve demographics | Who holds {her} health care power of attorney?
    Is there a health care proxy, and who? | Name the durable POA for health care.
    Answer: A health care power of attorney is not documented.""")
def power_of_attorney(p):
    fact = absent_fact("power of attorney, POA, health care proxy, proxy")
    yield Answer(fact, None, "nowhere")


@template("""retrieve genetic and family history | Which relative had {disease}?
    Who in {her} family had {disease}? | Family history of {disease}: which relative?
    Answer: {Her} {relative} had {disease}. | Evidence: FH: {relative} {disease} at {age}""")
def relative_with(p):
    for relative, disease, age in p.family:
        fact = term_fact(relative, (), disease, subject="family")
        yield _family(p, fact, relative, disease, age)


@template("""retrieve genetic and family history
    At what age did {her} {relative} develop {disease}?
    How old was the {relative} at the diagnosis of {disease}?
    Age of onset of {disease} in {her} {relative}?
    Answer: {Her} {relative} had {disease} at age {age}.
    Evidence: FH: {relative} {disease} at {age}""")
def relative_age(p):
    for relative, disease, age in p.family:
        fact = number_fact(disease, age, "years", subject="family")
        yield _family(p, fact, relative, disease, age)


@template("""retrieve genetic and family history | Does {disease} run in {her} family?
    Any family history of {disease}? | Is a relative known to have had {disease}?
    Answer: Yes, {her} {relative} had {disease}. | Evidence: FH: {relative} {disease} at {age}""")
def family_history_of(p):
    for relative, disease, age in p.family:
        fact = yes_no_fact(disease, True, subject="family")
        yield _family(p, fact, relative, disease, age)


def _family(p: Patient, fact: dict, relative, disease, age: int) -> Answer:
    time = p.written(WITH_SOCIAL)
    return Answer(fact, time, relative=relative, disease=disease, age=age)
