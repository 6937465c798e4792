"""Instructions about the patient: conditions, operations, family, habits, demographics."""

from datetime import date, timedelta

from medalign_utils.synthetic import catalogue as cat
from medalign_utils.synthetic import facts
from medalign_utils.synthetic.patient import WITH_HISTORY, WITH_SOCIAL, Patient, Visit
from medalign_utils.synthetic.templates import Answer, pronouns, templates
from medalign_utils.synthetic.wording import counted, home, listed, named

# Each adds a point to the CHA2DS2-VASc score.
RAISING_STROKE_RISK = {"heart failure", "hypertension", "type 2 diabetes"}


@templates("""
diagnosed_when | retrieve medical history | When was {she} first diagnosed with {condition}?
    Since when has {she} had {condition}? | Month and year of the {condition} diagnosis?
    Answer: {Her} {condition} was diagnosed in {since:%B %Y}.
    Evidence: {title} coded {since}
age_at_diagnosis | calculate numerical measures | How old was {she} when {condition} was diagnosed?
    Age at diagnosis of {condition}? | At what age did {she} get the diagnosis of {condition}?
    Answer: {She} was {age} years old when {condition} was diagnosed.
    Evidence: Birth date {born:%Y-%m-%d}; {title} coded {since}
icd_code | retrieve coding & billing information | Which ICD-10 code is on file for {condition}?
    ICD-10-CM code used for {her} {condition}? | Billing needs the ICD-10 code of the {condition}.
    Answer: {Her} {condition} is coded as {code}. | Evidence: ICD10CM/{code}""")
def conditions(p):
    codes = [(d.condition.icd10,) for d in p.diagnoses]
    for d, code in zip(p.diagnoses, codes, strict=True):
        names, since = d.condition.spellings, p.visits[d.onset].start
        words = {"condition": names, "since": since, "title": d.condition.title, "code": code}
        words |= {"age": p.age(since), "born": p.birthdate}
        fact = facts.date_of(names, since, "month")
        noted = [v for v in p.visits[d.onset :] if v.kind in WITH_HISTORY]
        exact = [v.end for v in noted if not v.has_relative_dates]
        hard = ["relative date"] if noted and noted[-1].has_relative_dates else []
        newest = exact[-1] if exact else since
        yield Answer("diagnosed_when", fact, newest, "both", hard=hard, **words)
        fact = facts.number((*names, "age", "years old"), p.age(since), "years")
        yield Answer("age_at_diagnosis", fact, since, "codes", ("age",), **words)
        fact = facts.term(code, without(codes, code))
        yield Answer("icd_code", fact, since, "codes", **words)


def without(options, *chosen) -> list:
    """Return the options except those chosen."""
    return [option for option in options if option not in chosen]


@templates("""
never_had | retrieve medical history | Does {she} have a history of {condition}?
    Any personal history of {condition}? | Has {she} ever had {condition:a?}?
    Answer: No, {she} has no history of {condition}. | Evidence: No history of {condition}""")
def diseases(p):
    for condition, v in denied_diseases(p).items():
        yield Answer("never_had", facts.yes_no(condition, False), v.end, condition=condition)
    if error := p.copied("problem"):
        names = error.wrong.spellings
        fact, time = facts.yes_no(names, False), error.corrected
        yield Answer("never_had", fact, time, hard=["copied error"], condition=names)


def denied_diseases(p: Patient) -> dict[tuple[str, ...], Visit]:
    """Return each disease that notes deny, with the last visit whose notes deny it."""
    return {s: v for v in p.visits if v.kind in WITH_HISTORY for s in v.never}


@templates("""
ever_symptom | retrieve medical history | Has {she} ever reported {symptom}?
    Any past complaint of {symptom}? | Did {she} at any time mention {symptom}?
    Answer: {reply}. | Evidence: {verb} {symptom}""")
def symptoms(p):
    positive, denied = {}, {}
    for v in p.visits:
        positive |= dict.fromkeys(v.positives, v)
        denied |= dict.fromkeys(v.denied, v)
        if v.acute:
            positive[(v.acute.symptom,)] = v
    reported = {word for s in positive for word in s}
    # A complaint that the record also mentions under another heading has no clear answer.
    reported.update(word for c in p.courses if c.reason for word in c.reason)
    she = pronouns(p)["she"]
    for s, v in positive.items():
        if s in cat.SYMPTOMS and s not in denied:
            reply = f"Yes, {she} reported {s[0]}, last on {v.start:%m/%d/%Y}"
            words = {"symptom": s, "reply": reply, "verb": "Reports"}
            yield Answer("ever_symptom", facts.yes_no(s, True), v.end, **words)
    for s, v in denied.items():
        if not reported.intersection(s):
            words = {"reply": f"No, {she} has consistently denied {s[0]}", "verb": "Denies"}
            yield Answer("ever_symptom", facts.yes_no(s, False), v.end, symptom=s, **words)


@templates("""
surgery_date | retrieve medical history | On what date did {she} have {her} {surgery}?
    When was the {surgery}? | Exact date of the {surgery}, please.
    Answer: The {surgery} was on {date:long}. | Evidence: Operative report of {date}
surgery_complication | retrieve medical history | Was {her} {surgery} complicated by anything?
    Any complication of the {surgery}? | What complications, if any, followed the {surgery}?
    Answer: {answer} the {surgery}{by}. | Evidence: Hospital course: {course}
preoperative_hold | determine plan of care
    How many days before the {surgery} did {she} have to stop NSAIDs and blood thinners?
    Pre-op hold of NSAIDs and anticoagulants before the {surgery}: how long?
    How long ahead of the {surgery} were blood thinners held?
    Answer: NSAIDs and blood thinners were held for {days} days before surgery.
    Evidence: {days} days before surgery""")
def operations(p):
    for o in p.operations:
        names, v = o.surgery.spellings, p.visits[o.visit]
        words = {"surgery": names, "date": v.start, "days": o.hold_days}
        yield Answer("surgery_date", facts.date_of(names, v.start), v.end, "both", **words)
        if o.complication:
            fact = facts.term(o.complication, without(o.surgery.complications, o.complication))
            course = f"complicated by {o.complication[0]}"
            in_words = f" was complicated by {named(o.complication[0])}"
            words |= {"answer": "Yes,", "by": in_words, "course": course}
        else:
            fact = facts.yes_no("complication, complications, complicated", False)
            words |= {"answer": "No complications followed", "by": ""}
            words["course"] = "without complications"
        yield Answer("surgery_complication", fact, v.end, **words)
        topic = "NSAIDs, blood thinners, anticoagulants, stop, stopped, held, hold"
        fact = facts.number(topic, o.hold_days, "days")
        yield Answer("preoperative_hold", fact, v.start, **words)


@templates("""
allergies | retrieve medication information | List {her} allergies, to foods and contrast too.
    What is {she} allergic to? | Any allergies on file? Name them all.
    Answer: {She} is allergic to {names}. | Evidence: Allergies: {names}
allergy_reaction | retrieve medication information | What reaction did {she} have to {allergen}?
    {allergen} allergy: what happens? | How does {she} react to {allergen}?
    Answer: {Her} reaction to {allergen} is {reaction:a?}. | Evidence: {allergen} ({reaction})""")
def allergens(p):
    written, names = p.written(WITH_HISTORY), [allergen for allergen, _ in p.allergies]
    if names:
        fact = facts.terms(names, without(cat.ALLERGENS, *names))
        yield Answer("allergies", fact, written, names=listed([name for name, *_ in names]))
    # Every list has the reactions to the other allergens next to it: naming them is not an error.
    rivals = without(cat.REACTIONS, *(reaction for _, reaction in p.allergies))
    for allergen, reaction in p.allergies:
        fact = facts.term(reaction, rivals, allergen)
        yield Answer("allergy_reaction", fact, written, allergen=allergen, reaction=reaction)


@templates("""
quit_smoking | retrieve social history | In what year did {she} quit smoking?
    Quit date for tobacco (year)? | When did {she} give up cigarettes?
    Answer: {She} quit smoking in {year}. | Evidence: quit {year}
lives_with | retrieve social history | Who does {she} live with these days?
    Current living situation? | Does {she} live alone or with somebody?
    Answer: {She} lives {home}. | Evidence: lives {home}
weekly_drinks | retrieve social history | How many alcoholic drinks a week does {she} report now?
    Current alcohol intake (drinks per week)? | What is {her} weekly alcohol use?
    Answer: {Her} alcohol intake is {drinks} per week. | Evidence: EtOH: {drinks}/week
social_paragraph | other
    For the referral letter to {department}: who lives with {him}, and does {she} drink?
    Social paragraph for the {department} letter: home and alcohol, in one line.
    Compose one sentence for {department} on living situation and drinks per week.
    Answer: {She} lives {home}. Alcohol: {drinks} per week.
    Evidence: lives {home}; EtOH: {drinks}/week""")
def habits(p):
    if year := p.quit_smoking:
        fact = facts.date_of("quit, smoking, smoker, tobacco", date(year, 1, 1), "year")
        visits = [v for v in p.visits if v.kind in WITH_SOCIAL]
        hard = ["relative date"] if visits[-1].has_relative_dates else []
        time, copied = p.stated("quit smoking", p.written(WITH_SOCIAL))
        yield Answer("quit_smoking", fact, time, hard=hard + copied, year=year)
    (moved, how), (changed, drinks) = p.living[-1], p.drinks[-1]
    lives, at_home = facts.term(how, without(cat.LIVING, how)), home(how[0], pronouns(p)["her"])
    if written := p.written(WITH_SOCIAL, moved):
        time, hard = p.stated("home", written)
        yield Answer("lives_with", lives, time, hard=hard, home=at_home)
    since, in_words = p.visits[changed].start, counted(drinks, "drink")
    drinks_now = facts.number("drinks, EtOH, alcohol", drinks, "drinks/week", since=since)
    if drinks and (written := p.written(WITH_SOCIAL, changed)):
        time, hard = p.stated("drinks", written)
        yield Answer("weekly_drinks", drinks_now, time, hard=hard, drinks=in_words)
    written = p.written(WITH_SOCIAL, max(moved, changed))
    if drinks and written and p.referrals:
        (home_time, hard), (drinks_time, also) = (p.stated(k, written) for k in ("home", "drinks"))
        words = {"department": p.referrals[-1].department, "home": at_home, "drinks": in_words}
        time, hard = max(home_time, drinks_time), dict.fromkeys(hard + also)
        yield Answer("social_paragraph", [lives, drinks_now], time, hard=hard, **words)


@templates("""
payer | retrieve demographics | Who is {her} current insurer? | Payer at the most recent visit?
    What insurance does {she} have now?
    Answer: {She} is insured through {payer:a?}. | Evidence: payerplan {payer}
emergency_contact | retrieve demographics | Who is the emergency contact, and at what number?
    Emergency contact with phone? | Whom do we call in an emergency? Number please.
    Answer: {Her} emergency contact is {her} {p.contact}, at {p.contact_phone}.
    Evidence: Emergency contact: {p.contact}, {p.contact_phone}
code_status | retrieve demographics | What is {her} code status? | Full code or DNR?
    Which code status applies to {him} now?
    Answer: {Her} code status is {status}. | Evidence: Code status: {status}
power_of_attorney | retrieve demographics | Who holds {her} health care power of attorney?
    Is there a health care proxy, and who is it? | Name the durable POA for health care.
    Answer: No health care power of attorney is documented.
one_liner | other | Write a one-line summary: age at the last visit and all chronic conditions.
    One-liner for sign-out, with age and every long-term problem?
    Summarize {him} in one sentence: current age, all chronic diagnoses.
    Answer: A {age}-year-old {woman} with {names}. | Evidence: PMH: {names}""")
def demographics(p):
    v = p.visits[-1]
    now = next(payer for payer in cat.PAYERS if payer[0] == v.payer)
    fact = facts.term(now, without(cat.PAYERS, now))
    yield Answer("payer", fact, v.start, "codes", payer=now)
    for stay in p.visits_of("inpatient")[-1:]:
        rivals = [(contact,) for contact in without(cat.CONTACTS, p.contact)]
        both = [facts.term((p.contact,), rivals), facts.term((p.contact_phone,))]
        yield Answer("emergency_contact", both, stay.start + timedelta(hours=2), p=p)
    start, status = p.code_status[-1]
    if written := p.written(("inpatient",), start + 1) or p.written(WITH_SOCIAL, start, start):
        rival = ("DNR", "do not resuscitate") if status[0] == "full code" else ("full code",)
        yield Answer("code_status", facts.term(status, [rival]), written, status=status)
    fact = facts.absent("power of attorney, POA, health care proxy, proxy")
    yield Answer("power_of_attorney", fact, None, "nowhere")
    age, names = p.age(v.start), [d.condition.spellings for d in p.diagnoses]
    words = {"age": age, "names": listed([name for name, *_ in names])}
    fact = facts.number("yo, year-old, years old, age, aged", age, "years", 1.1)
    error = p.copied("problem")
    all_problems = facts.terms(names, [error.wrong.spellings] if error else [])
    time, hard = p.stated("problem", p.written(WITH_HISTORY))
    yield Answer("one_liner", [fact, all_problems], time, "both", ("age",), hard, **words)


@templates("""
stroke_risk | provide risk assessment | What is {her} CHA2DS2-VASc score today?
    Stroke risk from the AF: CHA2DS2-VASc? | Work out CHA2DS2-VASc for {him}.
    Answer: {Her} CHA2DS2-VASc score is {score}. | Evidence: Age {age}; {names}
lung_screening | provide risk assessment
    Is {she} eligible for low-dose CT lung cancer screening at this point?
    Does {she} meet USPSTF 2021 criteria for lung cancer screening?
    Lung cancer risk: should {she} be in the annual low-dose CT program as of now?
    Answer: {yes}, {she} {meets} the screening criteria ({smoked}). | Evidence: {smoked}""")
def risks(p):
    end = p.visits[-1].start
    age, names = p.age(end), {d.condition.spellings[0] for d in p.diagnoses}
    if "atrial fibrillation" in names:
        score = len(names & RAISING_STROKE_RISK)
        score += (age >= 65) + (age >= 75) + (p.gender == "FEMALE")
        # A bypass proves coronary disease, which counts as vascular disease.
        bypass = {o.surgery.spellings[0] for o in p.operations} & {"CABG"}
        score += len(bypass)
        words = {"score": score, "age": age, "names": ", ".join(sorted(names | bypass))}
        fact = facts.number("CHA2DS2-VASc, score", score, "points")
        error = p.copied("problem")
        hard = ["copied error"] if error and error.wrong.spellings[0] in RAISING_STROKE_RISK else []
        yield Answer("stroke_risk", fact, end, "codes", ("sex", "age"), hard, **words)
    if p.quit_smoking:
        eligible = 50 <= age <= 80 and p.pack_years >= 20 and end.year - p.quit_smoking <= 15
        yes, meets = ("Yes", "meets") if eligible else ("No", "does not meet")
        smoked = f"age {age}, {p.pack_years} pack-years, quit {p.quit_smoking}"
        words = {"yes": yes, "meets": meets, "smoked": smoked}
        fact = facts.yes_no("eligible, screening, criteria", eligible)
        time, hard = p.stated("quit smoking", p.written(WITH_SOCIAL))
        yield Answer("lung_screening", fact, time, relevant=("age",), hard=hard, **words)


@templates("""
relative_with | retrieve genetic and family history | Which relative had {disease:a?}?
    Who in {her} family had {disease:a?}? | Family history of {disease}: which relative?
    Answer: {Her} {relative} had {disease:a?}. | Evidence: FH: {relative} {disease} at {age}
relative_age | retrieve genetic and family history
    At what age did {her} {relative} have {disease:a?}?
    How old was the {relative} at the onset of {disease}?
    Age of onset of {disease} in {her} {relative}?
    Answer: {Her} {relative} had {disease:a?} at age {age}.
    Evidence: FH: {relative} {disease} at {age}
family_history_of | retrieve genetic and family history | Does {disease} run in {her} family?
    Any family history of {disease}? | Is a relative known to have had {disease:a?}?
    Answer: Yes, {her} {relative} had {disease:a?}.
    Evidence: FH: {relative} {disease} at {age}""")
def relatives(p):
    written = p.written(WITH_SOCIAL)
    for relative, disease, age in p.family:
        words = {"relative": relative, "disease": disease, "age": age}
        fact = facts.term(relative, (), disease, subject="family")
        yield Answer("relative_with", fact, written, **words)
        fact = facts.number(disease, age, "years", subject="family")
        yield Answer("relative_age", fact, written, **words)
        fact = facts.yes_no(disease, True, subject="family")
        yield Answer("family_history_of", fact, written, **words)
