"""Instructions about care: plans, appointments, referrals, messages, education, drafting."""

from medalign_utils.synthetic import catalogue as cat
from medalign_utils.synthetic.ask_history import dose_fact, drinks_fact, without
from medalign_utils.synthetic.catalogue import rows, spellings
from medalign_utils.synthetic.patient import WITH_HISTORY, WITH_SOCIAL
from medalign_utils.synthetic.templates import (
    Answer,
    date_fact,
    number_fact,
    set_fact,
    template,
    term_fact,
)

# How a drug's frequency may be put in English and in Spanish.
FREQUENCIES = {
    usual: (spellings(english), spellings(spanish))
    for usual, english, spanish in rows("""
once daily | once daily, once a day, every day, daily, one time a day | una vez al día
twice daily | twice daily, twice a day, two times a day, BID, 2 times a day | dos veces al día
at bedtime | at bedtime, before bed, at night, QHS | al acostarse, antes de dormir
every morning | every morning, in the morning, each morning, QAM
  cada mañana, por la mañana, todas las mañanas
before breakfast | before breakfast, before your breakfast, before eating breakfast
  antes del desayuno
every evening | every evening, in the evening, each evening
  cada noche, por la noche, todas las noches
with dinner | with dinner, with your dinner, with the evening meal, with supper | con la cena
once a week | once a week, weekly, once weekly, one time a week, every week
  una vez por semana, una vez a la semana
as needed | as needed, PRN, when needed, when you need it
  según sea necesario, cuando lo necesite, si es necesario""")
}


@template("""determine plan of care | What is the plan for {her} {condition} as of {date}?
    As of {date}, what was planned for the {condition}?
    Next step for the {condition} according to the {date} note?
    Answer: The plan for {her} {condition} is to {plan}. | Evidence: plan to {plan}""")
def plan_for(p):
    for plan in p.plans:
        v, condition = p.visits[plan.visit], plan.condition
        rivals = [words[1:] for words in condition.plans if words[0] != plan.text]
        fact = term_fact((plan.text, *plan.accepted), rivals)
        date = v.start if v.kind == "office" else v.end
        yield Answer(fact, v.end, condition=condition.spellings, date=date, plan=plan.text)


@template("""determine plan of care | In how many years is the next colonoscopy due?
    Recommended interval to the next colonoscopy?
    When should the colonoscopy be repeated (interval)?
    Answer: The next colonoscopy is due {s.years_to_next} years after the one of {s.time:%B %Y}.
    Evidence: Repeat colonoscopy in {s.years_to_next} years""")
def colonoscopy_interval(p):
    for s in [s for s in p.studies if s.study is cat.COLONOSCOPY][-1:]:
        yield Answer(number_fact("colonoscopy", s.years_to_next, "years"), s.time, s=s)


@template("""determine plan of care
    What was still pending when {she} left hospital after the {date} admission?
    Outstanding results at discharge from the {date} stay?
    Which tests of the stay that began {date} do I need to chase?
    Answer: Pending at discharge: {names}. | Evidence: Pending at discharge: {names}""")
def pending_at_discharge(p):
    for v in p.visits_of("inpatient"):
        if v.acute:
            fact = set_fact([(test,) for test in v.acute.pending])
            yield Answer(fact, v.end, date=v.start, names=" and ".join(v.acute.pending))


@template("""determine plan of care | What {lab} are we aiming for in {him}? | Current {lab} target?
    Which {lab} goal did the clinic set most recently?
    Answer: The {lab} goal is under {goal:g} {unit}. | Evidence: goal: under {goal:g} {unit}""")
def treatment_goal(p):
    for name, series in p.goals.items():
        n, goal = series[-1]
        v, a = p.visits[n], cat.ANALYTES[name]
        if p.noted(n):
            topic = [f"{s} {w}" for s in a.spellings for w in ("goal", "target")]
            topic += ["goal", "target", "aim"]
            fact = number_fact(topic, goal, a.unit, 0.001, since=v.start)
            yield Answer(fact, v.end, lab=name, goal=goal, unit=a.unit)


@template("""determine plan of care
    How many days before the {surgery} did {she} have to stop NSAIDs and blood thinners?
    Pre-op hold of NSAIDs and anticoagulants before the {surgery}: how long?
    How long ahead of the {surgery} were blood thinners held?
    Answer: NSAIDs and blood thinners were held {days} days before surgery.
    Evidence: {days} days before surgery""")
def preoperative_hold(p):
    for o in p.operations:
        topic = "NSAIDs, blood thinners, anticoagulants, stop, stopped, held, hold"
        fact = number_fact(topic, o.hold_days, "days")
        words = {"surgery": o.surgery.spellings, "days": o.hold_days}
        yield Answer(fact, p.visits[o.visit].start, **words)


@template("""retrieve appointment information | When is {her} next appointment, and where?
    Next scheduled follow-up: date and department?
    Does {she} have an upcoming appointment? When and with whom?
    Answer: {Her} next appointment is with {a.department} on {a.time:long}.
    Evidence: Follow-up booked: {a.department} on {a.time}""")
def next_appointment(p):
    for a in p.appointments:
        if a.kept is None and p.noted(a.made):
            rivals = {(x.department,) for x in p.appointments} - {(a.department,)}
            topic = ("appointment", "follow-up", "booked", a.department)
            facts = [date_fact(topic, a.time), term_fact((a.department,), sorted(rivals))]
            yield Answer(facts, p.visits[a.made].end, a=a)


@template("""retrieve appointment information | How many appointments has {she} missed so far?
    Count the no-shows on record. | How often did {she} not show up?
    Answer: {She} missed {n} {appointments} (no-show). | Evidence: Scheduling notes: no-show""")
def no_show_count(p):
    if missed := [a.time for a in p.appointments if a.kept is False]:
        n = len(missed)
        topic = "appointment, appointments, no-show, no-shows, missed"
        words = {"n": n, "appointments": "appointment" if n == 1 else "appointments"}
        yield Answer(number_fact(topic, n, "appointments"), max(missed), **words)


@template("""retrieve appointment information | When was {she} last seen in {department}?
    Date of the last {department} visit? | Most recent {department} encounter?
    Answer: {She} was last seen in {department} on {date}. | Evidence: {department} clinic note""")
def last_seen_in(p):
    for place, v in {v.department: v for v in p.visits_of("office")}.items():
        yield Answer(date_fact((place,), v.start), v.end, "both", department=place, date=v.start)


@template("""retrieve provider referrals
    For what problem was {she} referred to {department} on {date}?
    Reason for the {department} referral of {date}?
    What question goes with the {date} referral to {department}?
    Answer: {She} was referred to {department} for {reason}.
    Evidence: Referred to {department} for {reason}""")
def referral_reason(p):
    for r in p.referrals:
        time, reason = p.visits[r.visit].end, r.reason.spellings
        fact = term_fact(reason, without([d.condition.spellings for d in p.diagnoses], reason))
        yield Answer(fact, time, department=r.department, date=time, reason=reason)


@template("""retrieve provider referrals | When was {she} last referred to {department}?
    Date of the latest referral to {department}?
    Which day did we send the newest {department} referral?
    Answer: The last referral to {department} was on {date}.
    Evidence: Referral to service {department}""")
def referral_date(p):
    for place, r in {r.department: r for r in p.referrals}.items():
        time = p.visits[r.visit].end
        fact = date_fact((place, "referral", "referred"), time)
        yield Answer(fact, time, "both", department=place, date=time)


@template("""retrieve communications with patient
    What did {she} write about in the portal message of {date}?
    Topic of the {date} patient message? | Summarize the secure message {she} sent on {date}.
    Answer: The message was about {topic}: the patient {asks}.
    Evidence: Patient message of {date}""")
def message_topic(p):
    topics = [m.topic for m in p.messages]
    for m in p.messages:
        fact = term_fact(m.topic, without(topics, m.topic))
        yield Answer(fact, m.time, date=m.time, topic=m.topic, asks=m.asks)


@template("""retrieve communications with patient
    What did we answer to {her} message about {topic}? | Our reply to the portal message on {topic}?
    How was the {topic} message answered?
    Answer: On {topic} the clinic replied: {reply}. | Evidence: Reply to the message of {date}""")
def message_reply(p):
    for m in p.messages:
        yield Answer(term_fact(m.answer), m.time, topic=m.topic, date=m.time, reply=m.answer[-1])


@template("""retrieve institutional policies
    What does hospital policy say about {topic} during the {date} stay?
    Policy on {topic}, as cited for the {date} admission?
    Which rule on {topic} did nursing document for the stay of {date}?
    Answer: Per hospital policy, {rule}. | Evidence: Per hospital policy, {rule}""")
def ward_policy(p):
    for v in p.visits_of("inpatient"):
        topic, rule, accepted = v.policy
        yield Answer(term_fact(accepted), v.end, topic=topic, date=v.start, rule=rule)


@template("""retrieve coding & billing information | Which ICD-10 code is on file for {condition}?
    ICD-10-CM code used for {her} {condition}? | Billing needs the ICD-10 code of the {condition}.
    Answer: {condition} is coded as {code}. | Evidence: ICD10CM/{code}""")
def icd_code(p):
    codes = [(d.condition.icd10,) for d in p.diagnoses]
    for d, code in zip(p.diagnoses, codes, strict=True):
        fact = term_fact(code, without(codes, code))
        words = {"condition": d.condition.spellings, "code": code}
        yield Answer(fact, p.visits[d.onset].start, "codes", **words)


@template("""provide patient education information
    Explain to {him} in plain words how to take {her} {drug}.
    Write simple instructions for taking {drug}.
    Tell the patient how much {drug} to take and when.
    Answer: Take {drug} {c.regimen}. | Evidence: {drug} {c.regimen}""")
def explain_drug(p):
    yield from _how_to_take(p, language=0)


def _how_to_take(p, language):
    for c in p.courses_at(p.last):
        if listed := p.written(WITH_HISTORY, c.start + 1):
            how = FREQUENCIES[c.drug.frequency][language]
            yield Answer([dose_fact(p, c), term_fact(how)], listed, drug=c.drug.names, c=c, how=how)


@template("""provide patient education information
    Give {him} the discharge instructions of the {date} stay in plain language.
    What should {she} do after the {date} admission: follow-up and warning signs?
    Plain-language discharge summary for the stay of {date}: when to return and when to be seen?
    Answer: Follow up with primary care in {weeks} weeks and come back if {sign}.
    Evidence: follow up with primary care in {weeks} weeks""")
def discharge_instructions(p):
    for v in p.visits_of("inpatient"):
        sign = v.acute.return_precaution if v.acute else "the wound drains"
        topic = "follow up, follow-up, see, primary care"
        facts = [number_fact(topic, v.follow_weeks, "weeks"), term_fact((sign,))]
        yield Answer(facts, v.end, date=v.start, weeks=v.follow_weeks, sign=sign)


@template("""provide diagnosis assistance
    What most likely explains the {symptom} {she} came in with on {date}?
    Most probable diagnosis behind the {symptom} of {date}?
    Differential for the {symptom} on {date}: which diagnosis fits best?
    Answer: The {symptom} was most consistent with {acute}.
    Evidence: Work-up most consistent with {acute}""")
def likely_diagnosis(p):
    for v in p.visits_of("emergency"):
        fact = term_fact(v.acute.spellings, [a.spellings for a in v.differential])
        words = {"symptom": v.acute.symptom, "date": v.start, "acute": v.acute.spellings}
        yield Answer(fact, v.end, "both", **words)


@template("""translate materials | Translate for {him} into Spanish how to take {drug}.
    Spanish version of the {drug} instructions (dose and timing), please.
    Write in Spanish how much {drug} to take and when.
    Answer: Tome {drug} {c.amount} {how}. | Evidence: {drug} {c.regimen}""")
def spanish_instructions(p):
    yield from _how_to_take(p, language=1)


@template("""other | Draft a return-to-work letter for the emergency visit of {date}: how long off?
    Work excuse for {date}: for how many days?
    Write a note for {her} employer covering the days off after {date}.
    Answer: To the employer: please excuse my patient from work for {n} {days}.
    Evidence: Off work for {n} days""")
def work_letter(p):
    for v in p.visits:
        if n := v.off_work:
            fact = number_fact("work, off, days, day", n, "days")
            yield Answer(fact, v.end, date=v.start, n=n, days="days" if n > 1 else "day")


@template("""other | Write a one-line summary: age at the last visit and all chronic conditions.
    One-liner for sign-out, with age and every long-term problem?
    Summarize {him} in one sentence: current age, all chronic diagnoses.
    Answer: {age} year-old {woman} with {names}. | Evidence: PMH: {names}""")
def one_liner(p):
    age = p.age(p.visits[-1].start)
    conditions = [d.condition.spellings for d in p.diagnoses]
    fact = number_fact("yo, year-old, years old, age, aged", age, "years", 1.1)
    words = {"age": age, "names": ", ".join(condition[0] for condition in conditions)}
    written = p.written(WITH_HISTORY)
    yield Answer([fact, set_fact(conditions)], written, "both", ("age",), **words)


@template("""other
    For the referral letter to {department}: who lives with {him}, and does {she} drink?
    Social paragraph for the {department} letter: home and alcohol, in one line.
    Compose one sentence for {department} on living situation and drinks per week.
    Answer: Home: {home}. Alcohol: {drinks} drinks per week.
    Evidence: lives {home}; EtOH: {drinks} drinks/week""")
def social_paragraph(p):
    (moved, home), (changed, drinks) = p.living[-1], p.drinks[-1]
    written = p.written(WITH_SOCIAL, max(moved, changed))
    if drinks and written and p.referrals:
        facts = [term_fact(home, without(cat.LIVING, home)), drinks_fact(p)]
        words = {"department": p.referrals[-1].department, "home": home, "drinks": drinks}
        yield Answer(facts, written, **words)
