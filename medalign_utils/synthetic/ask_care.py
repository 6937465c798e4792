"""Instructions about care: visits, drugs, plans, appointments, referrals, messages."""

from datetime import timedelta

from medalign_utils.synthetic import catalogue as cat
from medalign_utils.synthetic import facts
from medalign_utils.synthetic.ask_history import without
from medalign_utils.synthetic.catalogue import rows, spellings
from medalign_utils.synthetic.patient import WITH_HISTORY
from medalign_utils.synthetic.templates import Answer, templates
from medalign_utils.synthetic.wording import counted, listed, quantity, since

# Accepted wordings of a drug's frequency in English and in Spanish.
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


@templates("""
admission_reason | retrieve medical history | Why was {she} admitted on {date}?
    Principal problem of the {date} hospitalization?
    What was the diagnosis for the hospital stay that began {date}?
    Answer: {She} was admitted for {acute:a?}. | Evidence: Principal problem: {acute}
length_of_stay | retrieve medical history | How long was the {date} admission, in days?
    Length of stay for the admission of {date}? | The stay that began {date}: how many days was it?
    Answer: The hospital stay lasted {days} days. | Evidence: Admitted {date}, discharged {end}
pending_at_discharge | determine plan of care
    What was still pending when {she} left the hospital after the {date} admission?
    Outstanding results at discharge from the {date} stay?
    Which tests of the stay that began {date} do I need to chase?
    Answer: Pending at discharge: {names}. | Evidence: Pending at discharge: {names}
ward_policy | retrieve institutional policies
    What does hospital policy say about {topic} during the {date} stay?
    Policy on {topic}, as cited for the {date} admission?
    Which rule on {topic} did nursing document for the stay of {date}?
    Answer: Per hospital policy, {rule}. | Evidence: Per hospital policy, {rule}
discharge_instructions | provide patient education information
    Give {him} the discharge instructions of the {date} stay in plain language.
    What should {she} do after the {date} admission: follow-up and warning signs?
    Plain-language discharge summary for the stay of {date}: when to return and when to be seen?
    Answer: Follow up with primary care in {weeks} and come back if {sign}.
    Evidence: follow up with primary care in {weeks}""")
def stays(p):
    illnesses = {v.acute.spellings for v in p.visits if v.acute}
    for v in p.visits_of("inpatient"):
        if v.acute:
            acute, pending = v.acute.spellings, v.acute.pending
            fact = facts.term(acute, sorted(illnesses - {acute}))
            yield Answer("admission_reason", fact, v.end, "both", date=v.start, acute=acute)
            fact, names = facts.terms([(test,) for test in pending]), listed(pending)
            yield Answer("pending_at_discharge", fact, v.end, date=v.start, names=names)
        days = (v.end.date() - v.start.date()).days
        fact = facts.number("days, stay, hospital", days, "days")
        yield Answer("length_of_stay", fact, v.end, "both", date=v.start, days=days, end=v.end)
        topic, rule, accepted = v.policy
        words = {"topic": topic, "date": v.start, "rule": rule}
        yield Answer("ward_policy", facts.term(accepted), v.end, **words)
        sign = v.acute.return_precaution if v.acute else "the wound drains"
        fact = facts.number("follow up, follow-up, see, primary care", v.follow_weeks, "weeks")
        words = {"date": v.start, "weeks": counted(v.follow_weeks, "week"), "sign": sign}
        yield Answer("discharge_instructions", [fact, facts.term((sign,))], v.end, **words)


@templates("""
chief_complaint | retrieve medical history | What brought {him} to clinic on {date}?
    Chief complaint at the {date} visit? | What did {she} complain of on {date}?
    Answer: {She} came in with {symptom}. | Evidence: CC: {symptom}
last_seen_in | retrieve appointment information | When was {she} last seen in {department}?
    Date of the last {department} visit? | Most recent {department} encounter?
    Answer: {She} was last seen in {department} on {date}. | Evidence: {department} clinic note
billed_code | retrieve coding & billing information | What E/M code was billed for the {date} visit?
    Which CPT code was charged for the visit of {date}?
    Billing asks: which level of service was coded on {date}?
    Answer: CPT {cpt} was billed for the visit on {date}. | Evidence: CPT4/{cpt}
symptom_onset | retrieve medical history
    On what calendar date did the {symptom} of the {date} visit begin?
    Give me the date of onset of the {symptom} that {she} came in with on {date}.
    {date} visit: on what day did the {symptom} start?
    Answer: The {symptom} began on {onset}. | Evidence: {symptom} {lasting}
likely_diagnosis | provide diagnosis assistance
    What most likely explains the {symptom} {she} came in with on {date}?
    Most probable diagnosis behind the {symptom} of {date}?
    Differential for the {symptom} on {date}: which diagnosis fits best?
    Answer: The {symptom} was most consistent with {acute:a?}.
    Evidence: Work-up most consistent with {acute:a?}
d_dimer_cutoff | other | What age-adjusted D-dimer cutoff applies to {him} on {date}?
    Adjust the D-dimer threshold for {her} age at the {date} visit.
    Rule-out PE on {date}: which age-adjusted D-dimer cutoff should I use?
    Answer: The age-adjusted D-dimer cutoff is {cutoff} ng/mL (age {age}).
    Evidence: Age {age} on {date}
work_letter | other | Draft a return-to-work letter for the emergency visit of {date}: how long off?
    Work excuse for {date}: for how many days?
    Write a note for {her} employer covering the days off after {date}.
    Answer: To the employer: please excuse my patient from work for {days}.
    Evidence: Off work for {days}""")
def visits(p):
    complaints = {s for v in p.visits for s in v.positives}
    offices = p.visits_of("office")
    for v in offices:
        symptom = v.positives[0]
        fact = facts.term(symptom, sorted(complaints - set(v.positives)))
        yield Answer("chief_complaint", fact, v.end, date=v.start, symptom=symptom)
    for place, v in {v.department: v for v in offices}.items():
        words = {"department": place, "date": v.start}
        yield Answer("last_seen_in", facts.date_of((place,), v.start), v.end, "both", **words)
    for v in p.visits:
        if v.cpt:
            fact = facts.term((v.cpt,), [(code,) for code in without(cat.VISIT_CPT, v.cpt)])
            yield Answer("billed_code", fact, v.start, "codes", date=v.start, cpt=v.cpt)
    for v in p.visits:
        symptom = (v.acute.symptom,) if v.acute else v.positives[0]
        if v.kind == "inpatient" and not v.acute:
            continue
        onset = v.start - timedelta(days=v.symptom_days)
        words = {"symptom": symptom, "onset": onset, "lasting": since(v.start, v.symptom_days)}
        fact, hard = facts.date_of(symptom, onset), ["relative date"]
        yield Answer("symptom_onset", fact, v.end, hard=hard, date=v.start, **words)
    for v in p.visits_of("emergency"):
        acute, age, n = v.acute.spellings, p.age(v.start), v.off_work
        words = {"date": v.start, "age": age, "acute": acute, "symptom": v.acute.symptom}
        fact = facts.term(acute, [other.spellings for other in v.differential])
        yield Answer("likely_diagnosis", fact, v.end, "both", **words)
        fact, days = facts.number("work, off, days, day", n, "days"), counted(n, "day")
        yield Answer("work_letter", fact, v.end, days=days, **words)
        if age > 50:
            fact = facts.number("D-dimer, cutoff, threshold", age * 10, "ng/mL", 1)
            words |= {"cutoff": age * 10}
            yield Answer("d_dimer_cutoff", fact, v.start, relevant=("age",), **words)


@templates("""
current_of_class | retrieve medication information | Which {drug_class} is {she} on now?
    Name the {drug_class} {she} currently takes. | What is {her} current {drug_class}?
    Answer: {She} takes {c.drug.name}. | Evidence: {c.drug.name} {c.amount}
current_dose | retrieve medication information | What dose of {drug} is {she} taking?
    Current {drug} dose? | How much {drug} does {she} take at present?
    Answer: {She} takes {drug} {c.regimen}. | Evidence: {drug} {c.amount}
explain_drug | provide patient education information
    Explain to {him} in plain words how to take {her} {drug}.
    Write simple instructions for taking {drug}.
    Tell the patient how much {drug} to take and when.
    Answer: Take {drug} {c.regimen}. | Evidence: {drug} {c.regimen}
spanish_instructions | translate materials | Translate for {him} into Spanish how to take {drug}.
    Spanish version of the {drug} instructions (dose and timing), please.
    Write in Spanish how much {drug} to take and when.
    Answer: Tome {drug} {c.amount} {how}. | Evidence: {drug} {c.regimen}""")
def current_drugs(p):
    in_hospital = [change.course.drug for change in p.stay_changes]
    for c in p.courses_at(p.last):
        drug, v = c.drug, p.visits[c.start]
        hard = [] if c.drug not in in_hospital else ["hospital medication"]
        in_list = p.written(WITH_HISTORY, c.start + 1)
        time = in_list or v.end
        words = {"drug_class": drug.drug_class, "drug": drug.names, "c": c}
        rivals = [d.names for d in cat.DRUGS.values() if d.drug_class == drug.drug_class]
        fact = facts.term(drug.names, without(rivals, drug.names))
        yield Answer("current_of_class", fact, time, "both", **words)
        dose = facts.number(drug.names, c.dose, drug.unit, c.dose * 0.001, since=v.start)
        time, copied = p.stated("dose", time, c)
        hard += copied
        if in_list or p.noted(c.start):
            yield Answer("current_dose", dose, time, hard=hard, **words)
        if in_list:
            english, spanish = FREQUENCIES[drug.frequency]
            yield Answer("explain_drug", [dose, facts.term(english)], time, hard=hard, **words)
            both = [dose, facts.term(spanish)]
            yield Answer("spanish_instructions", both, time, hard=hard, how=spanish, **words)


@templates("""
held_drugs | retrieve medication information
    Which home medications were held during the {date} admission?
    Which of {her} home medications did we hold during the stay that began {date}?
    For the {date} admission: which home medications were on hold?
    Answer: {names} {were} held during the stay and resumed at discharge. | Evidence: hold {names}
dose_in_hospital | retrieve medication information
    What dose of {drug} did {she} get during the {date} admission?
    Inpatient dose of {drug} for the stay that began {date}?
    How much {drug} was {she} given while in the hospital from {date}?
    Answer: During the stay {she} got {drug} {regimen}.
    Evidence: {drug} {regimen} while inpatient""")
def hospital_drugs(p):
    hard = ["hospital medication"]
    for n, v in enumerate(p.visits):
        changes = [change for change in p.stay_changes if change.visit == n]
        held = [change.course.drug.names for change in changes if change.dose is None]
        if held:
            words = {"date": v.start, "names": listed([name for name, _ in held])}
            words["were"] = "was" if len(held) == 1 else "were"
            yield Answer("held_drugs", facts.terms(held), v.end, hard=hard, **words)
        for _, c, dose in changes:
            if dose is not None:
                words = {"date": v.start, "drug": c.drug.names, "regimen": c.regimen_at(dose)}
                fact = facts.number(c.drug.names, dose, c.drug.unit, dose * 0.001)
                yield Answer("dose_in_hospital", fact, v.end, hard=hard, **words)


@templates("""
stop_reason | retrieve medication information | Why was {drug} stopped?
    What was the reason for stopping {drug}? | {drug}: why did {she} come off it?
    Answer: {drug} was stopped because of {reason}. | Evidence: {drug} stopped: {reason}
ever_class | retrieve medication information | Has {she} ever taken {drug_class:a}?
    Any exposure to {drug_class:a}, past or present? | Was {she} ever on {drug_class:a}?
    Answer: Yes, {she} has taken {drug}. | Evidence: {drug}
drug_started | retrieve medication information | When was {drug} started? | Start date of {drug}?
    On what day did {she} begin {drug}?
    Answer: {drug} was started on {date}. | Evidence: {drug} start""")
def drug_history(p):
    first = {}
    for c in p.courses:
        first.setdefault(c.drug.names, c)
        if c.reason and p.noted(c.stop):
            rivals = without(cat.DRUG_CLASSES[c.drug.drug_class].stop_reasons, c.reason)
            fact, time = facts.term(c.reason, rivals, c.drug.names), p.visits[c.stop].end
            yield Answer("stop_reason", fact, time, drug=c.drug.names, reason=c.reason)
    for names, c in first.items():
        time = p.visits[c.start].end
        fact = facts.date_of(names, time)
        yield Answer("drug_started", fact, time, "both", drug=names, date=time)
    for drug_class, c in {c.drug.drug_class: c for c in p.courses}.items():
        members = [w for d in cat.DRUGS.values() if d.drug_class == drug_class for w in d.names]
        time = p.written(WITH_HISTORY, c.start + 1, c.stop) or p.visits[c.start].end
        fact = facts.yes_no((*cat.DRUG_CLASSES[drug_class].spellings, *members), True)
        words = {"drug_class": drug_class, "drug": c.drug.names}
        yield Answer("ever_class", fact, time, "both", **words)


@templates("""
plan_for | determine plan of care | What is the plan for {her} {condition} as of {date}?
    As of {date}, what was planned for the {condition}?
    Next step for the {condition} according to the {date} note?
    Answer: The plan for {her} {condition} is to {plan}. | Evidence: plan to {plan}
treatment_goal | determine plan of care | What {lab} target are we aiming for?
    Current {lab} target? | Which {lab} goal did the clinic set most recently?
    Answer: The {lab} goal is under {goal}. | Evidence: goal: under {goal}""")
def plans(p):
    for plan in p.plans:
        v, condition = p.visits[plan.visit], plan.condition
        rivals = [words[1:] for words in without(condition.plans, plan.words)]
        date = v.start if v.kind == "office" else v.end
        words = {"condition": condition.spellings, "date": date, "plan": plan.words}
        yield Answer("plan_for", facts.term(plan.words, rivals), v.end, **words)
    for name, series in p.goals.items():
        (n, goal), a = series[-1], cat.ANALYTES[name]
        if p.noted(n):
            topic = [f"{s} {w}" for s in a.spellings for w in ("goal", "target")]
            topic += ["goal", "target", "aim"]
            fact = facts.number(topic, goal, a.unit, 0.001, since=p.visits[n].start)
            words = {"lab": name, "goal": quantity(f"{goal:g}", a.unit)}
            yield Answer("treatment_goal", fact, p.visits[n].end, **words)


@templates("""
next_appointment | retrieve appointment information | When is {her} next appointment, and where?
    Next scheduled follow-up: date and department?
    Does {she} have an upcoming appointment? When, and in which department?
    Answer: {Her} next appointment is with {a.department} on {a.time:long}.
    Evidence: Follow-up booked: {a.department} on {a.time}
no_show_count | retrieve appointment information | How many appointments has {she} missed so far?
    Count the no-shows on record. | How often did {she} not show up?
    Answer: {She} missed {n} ({no_shows}). | Evidence: Scheduling notes: no-show
referral_reason | retrieve provider referrals
    For what problem was {she} referred to {department} on {date}?
    Reason for the {department} referral of {date}?
    Which problem prompted the {date} referral to {department}?
    Answer: {She} was referred to {department} for {reason}.
    Evidence: Referred to {department} for {reason}
referral_date | retrieve provider referrals | When was {she} last referred to {department}?
    Date of the latest referral to {department}?
    On what day did we send the latest {department} referral?
    Answer: The last referral to {department} was on {date}.
    Evidence: Referral to service {department}""")
def appointments(p):
    for a in p.appointments:
        if a.kept is None and p.noted(a.visit):
            rivals = {(x.department,) for x in p.appointments} - {(a.department,)}
            when = facts.date_of(("appointment", "follow-up", "booked", a.department), a.time)
            both = [when, facts.term((a.department,), sorted(rivals))]
            yield Answer("next_appointment", both, p.visits[a.visit].end, a=a)
    if missed := [a.time for a in p.appointments if a.kept is False]:
        topic = "appointment, appointments, no-show, no-shows, missed"
        fact = facts.number(topic, len(missed), "appointments")
        no_shows = "no-show" if len(missed) == 1 else "no-shows"
        words = {"n": counted(len(missed), "appointment"), "no_shows": no_shows}
        yield Answer("no_show_count", fact, max(missed), **words)
    conditions = [d.condition.spellings for d in p.diagnoses]
    for r in p.referrals:
        time, reason = p.visits[r.visit].end, r.reason.spellings
        fact = facts.term(reason, without(conditions, reason))
        words = {"department": r.department, "date": time, "reason": reason}
        yield Answer("referral_reason", fact, time, **words)
    for place, r in {r.department: r for r in p.referrals}.items():
        time = p.visits[r.visit].end
        fact = facts.date_of((place, "referral", "referred"), time)
        yield Answer("referral_date", fact, time, "both", department=place, date=time)


@templates("""
message_topic | retrieve communications with patient
    What did {she} write about in the portal message of {date}?
    Topic of the {date} patient message? | Summarize the secure message {she} sent on {date}.
    Answer: The message was about {topic:a?}: the patient {asks}.
    Evidence: Patient message of {date}
message_reply | retrieve communications with patient
    How did we answer {her} message about {topic:a?}? | Our reply to the message about {topic:a?}?
    What did the clinic reply to the message about {topic:a?}?
    Answer: About {topic:a?}, the clinic replied: {reply}.
    Evidence: Reply to the message of {date}""")
def messages(p):
    topics = [m.topic for m in p.messages]
    for m in p.messages:
        words = {"topic": m.topic, "date": m.time, "asks": m.asks, "reply": m.reply}
        fact = facts.term(m.topic, without(topics, m.topic))
        yield Answer("message_topic", fact, m.time, **words)
        yield Answer("message_reply", facts.term(m.answer), m.time, **words)
