"""Instructions about care: plans, appointments, referrals, messages, education, drafting."""

from medalign_utils.synthetic import catalogue as cat
from medalign_utils.synthetic.ask_history import _dose_fact, _noted, newest
from medalign_utils.synthetic.notes import dose
from medalign_utils.synthetic.patient import age_at, at
from medalign_utils.synthetic.templates import (
    Candidate,
    date_fact,
    day,
    long_day,
    number_fact,
    of_sex,
    pronouns,
    set_fact,
    template,
    term_fact,
)

SPANISH = {
    "once daily": ("una vez al día",), "twice daily": ("dos veces al día",),
    "at bedtime": ("al acostarse", "antes de dormir"),
    "every morning": ("cada mañana", "por la mañana", "todas las mañanas"),
    "before breakfast": ("antes del desayuno",),
    "every evening": ("cada noche", "por la noche", "todas las noches"),
    "with dinner": ("con la cena",), "once a week": ("una vez por semana", "una vez a la semana"),
    "as needed": ("según sea necesario", "cuando lo necesite", "si es necesario"),
}  # fmt: skip
FREQUENCIES = {
    "once daily": ("once daily", "once a day", "every day", "daily", "one time a day"),
    "twice daily": ("twice daily", "twice a day", "two times a day", "BID", "2 times a day"),
    "at bedtime": ("at bedtime", "before bed", "at night", "QHS"),
    "every morning": ("every morning", "in the morning", "each morning", "QAM"),
    "before breakfast": ("before breakfast", "before your breakfast", "before eating breakfast"),
    "every evening": ("every evening", "in the evening", "each evening"),
    "with dinner": ("with dinner", "with your dinner", "with the evening meal", "with supper"),
    "once a week": ("once a week", "weekly", "once weekly", "one time a week", "every week"),
    "as needed": ("as needed", "PRN", "when needed", "when you need it"),
}


@template("determine plan of care", "What is the plan for {her} {condition} as of {date}?",
          "As of {date}, what was planned for the {condition}?",
          "Next step for the {condition} according to the {date} note?")
def plan_for(p):
    for plan in p.plans:
        v = p.visits[plan.visit]
        when = v.start if v.kind == "office" else v.end
        rivals = [tuple(words[1:]) for words in plan.condition.plans if words[0] != plan.text]
        yield Candidate({"condition": plan.condition.name, "date": day(when)},
                        [term_fact((plan.text, *plan.accepted), rivals)],
                        f"The plan for {pronouns(p)['her']} {plan.condition.name} is to "
                        f"{plan.text}.", f"plan to {plan.text}", "notes", v.end)


@template("determine plan of care", "In how many years is the next colonoscopy due?",
          "Recommended interval to the next colonoscopy?",
          "When should the colonoscopy be repeated (interval)?")
def colonoscopy_interval(p):
    for s in [s for s in p.studies if s.spellings == cat.COLONOSCOPY][-1:]:
        yield Candidate({}, [number_fact(("colonoscopy",), s.years_to_next, "years", 0.4)],
                        f"The next colonoscopy is due {s.years_to_next} years after the one of "
                        f"{s.time:%B %Y}.", f"Repeat colonoscopy in {s.years_to_next} years",
                        "notes", s.time)


@template("determine plan of care", "What was still pending when {she} left hospital after the "
          "{date} admission?", "Outstanding results at discharge from the {date} stay?",
          "Which tests of the stay that began {date} do I need to chase?")
def pending_at_discharge(p):
    for v in p.visits:
        if v.kind == "inpatient" and v.acute:
            names = " and ".join(v.acute.pending)
            yield Candidate({"date": day(v.start)}, [set_fact([(x,) for x in v.acute.pending])],
                            f"Pending at discharge: {names}.", f"Pending at discharge: {names}",
                            "notes", v.end)


@template("determine plan of care", "What {lab} are we aiming for in {him}?",
          "Current {lab} target?", "Which {lab} goal did the clinic set most recently?")
def treatment_goal(p):
    for name, series in p.goals.items():
        start, goal = series[-1]
        a = cat.ANALYTES[name]
        if _noted(p, start):
            since = f"{p.visits[start].start:%Y-%m-%d}"
            topic = [f"{s} {w}" for s in a.spellings for w in ("goal", "target")]
            yield Candidate({"lab": name},
                            [number_fact((*topic, "goal", "target", "aim"), goal, a.unit, 0.001,
                                         **{"from": since})],
                            f"The {name} goal is under {goal:g} {a.unit}.",
                            f"goal: under {goal:g} {a.unit}", "notes", p.visits[start].end)


@template("determine plan of care", "How many days before the {surgery} did {she} have to stop "
          "NSAIDs and blood thinners?", "Pre-op hold of NSAIDs and anticoagulants before the "
          "{surgery}: how long?", "How long ahead of the {surgery} were blood thinners held?")
def preoperative_hold(p):
    for o in p.operations:
        yield Candidate({"surgery": o.surgery.spellings[0]},
                        [number_fact(("NSAIDs", "blood thinners", "anticoagulants", "stop",
                                      "stopped", "held", "hold"), o.hold_days, "days", 0.4)],
                        f"NSAIDs and blood thinners were held {o.hold_days} days before surgery.",
                        f"{o.hold_days} days before surgery", "notes", p.visits[o.visit].start,
                        of_sex(o.surgery.spellings[0]))


@template("retrieve appointment information", "When is {her} next appointment, and where?",
          "Next scheduled follow-up: date and department?",
          "Does {she} have an upcoming appointment? When and with whom?")
def next_appointment(p):
    for a in p.appointments:
        v = p.visits[a.made]
        if a.kept is None and _noted(p, a.made):
            rivals = {(x.department,) for x in p.appointments} - {(a.department,)}
            yield Candidate({}, [date_fact(("appointment", "follow-up", "booked", a.department),
                                           a.day), term_fact((a.department,), sorted(rivals))],
                            f"{pronouns(p)['Her']} next appointment is with {a.department} on "
                            f"{long_day(a.day)}.", f"Follow-up booked: {a.department} on "
                            f"{day(a.day)}", "notes", v.end)


@template("retrieve appointment information", "How many appointments has {she} missed so far?",
          "Count the no-shows on record.", "How often did {she} not show up?")
def no_show_count(p):
    missed = [a for a in p.appointments if a.kept is False]
    if missed:
        times = "appointment" if len(missed) == 1 else "appointments"
        yield Candidate({}, [number_fact(("appointment", "appointments", "no-show", "no-shows",
                                          "missed"), len(missed), "appointments", 0.4)],
                        f"{pronouns(p)['She']} missed {len(missed)} {times} (no-show).",
                        "Scheduling notes: no-show", "notes",
                        max(p.visits[0].start.replace(year=a.day.year, month=a.day.month,
                                                      day=a.day.day, hour=10, minute=30)
                            for a in missed))


@template("retrieve appointment information", "When was {she} last seen in {department}?",
          "Date of the last {department} visit?", "Most recent {department} encounter?")
def last_seen_in(p):
    seen = {v.department: v for v in p.visits if v.kind == "office"}
    for department, v in seen.items():
        yield Candidate({"department": department}, [date_fact((department,), v.start)],
                        f"{pronouns(p)['She']} was last seen in {department} on {day(v.start)}.",
                        f"{department} clinic note", "both", v.end)


@template("retrieve provider referrals", "For what problem was {she} referred to {department} on "
          "{date}?", "Reason for the {department} referral of {date}?",
          "What question goes with the {date} referral to {department}?")
def referral_reason(p):
    for r in p.referrals:
        v = p.visits[r.visit]
        rivals = [d.condition.spellings for d in p.diagnoses if d.condition is not r.reason]
        yield Candidate({"department": r.department, "date": day(v.end)},
                        [term_fact(r.reason.spellings, rivals)],
                        f"{pronouns(p)['She']} was referred to {r.department} for {r.reason.name}.",
                        f"Referred to {r.department} for {r.reason.name}", "notes", v.end)


@template("retrieve provider referrals", "When was {she} last referred to {department}?",
          "Date of the latest referral to {department}?",
          "Which day did we send the newest {department} referral?")
def referral_date(p):
    latest = {r.department: r for r in p.referrals}
    for department, r in latest.items():
        v = p.visits[r.visit]
        yield Candidate({"department": department},
                        [date_fact((department, "referral", "referred"), v.end)],
                        f"The last referral to {department} was on {day(v.end)}.",
                        f"Referral to service {department}", "both", v.end)


@template("retrieve communications with patient", "What did {she} write about in the portal "
          "message of {date}?", "Topic of the {date} patient message?",
          "Summarize the secure message {she} sent on {date}.")
def message_topic(p):
    for m in p.messages:
        rivals = [x.topic for x in p.messages if x is not m]
        yield Candidate({"date": day(m.time)}, [term_fact(m.topic, rivals)],
                        f"The message was about {m.topic[0]}: the patient {m.asks}.",
                        f"Patient message of {day(m.time)}", "notes", m.time)


@template("retrieve communications with patient", "What did we answer to {her} message about "
          "{topic}?", "Our reply to the portal message on {topic}?",
          "How was the {topic} message answered?")
def message_reply(p):
    for m in p.messages:
        yield Candidate({"topic": m.topic[0]}, [term_fact(m.answer)],
                        f"On {m.topic[0]} the clinic replied: {m.answer[-1]}.",
                        f"Reply to the message of {day(m.time)}", "notes", m.time)


@template("retrieve institutional policies", "What does hospital policy say about {topic} during "
          "the {date} stay?", "Policy on {topic}, as cited for the {date} admission?",
          "Which rule on {topic} did nursing document for the stay of {date}?")
def ward_policy(p):
    for v in p.visits:
        if v.policy:
            topic, rule, accepted = v.policy
            yield Candidate({"topic": topic[0], "date": day(v.start)}, [term_fact(accepted)],
                            f"Per hospital policy, {rule}.", f"Per hospital policy, {rule}",
                            "notes", v.end)


@template("retrieve coding & billing information", "Which ICD-10 code is on file for {condition}?",
          "ICD-10-CM code used for {her} {condition}?",
          "Billing needs the ICD-10 code of the {condition}.")
def icd_code(p):
    for d in p.diagnoses:
        others = [(x.condition.icd10,) for x in p.diagnoses if x is not d]
        yield Candidate({"condition": d.condition.name}, [term_fact((d.condition.icd10,), others)],
                        f"{d.condition.name} is coded as {d.condition.icd10}.",
                        f"ICD10CM/{d.condition.icd10}", "codes", p.visits[d.onset].start)


@template("provide patient education information", "Explain to {him} in plain words how to take "
          "{her} {drug}.", "Write simple instructions for taking {drug}.",
          "Tell the patient how much {drug} to take and when.")
def explain_drug(p):
    for c in p.courses_at(p.last):
        listed = [v.end for n, v in enumerate(p.visits)
                  if v.kind in ("office", "emergency", "inpatient") and n > c.start]
        if listed:
            yield Candidate({"drug": c.drug.name},
                            [_dose_fact(p, c), term_fact(FREQUENCIES[c.drug.frequency])],
                            f"Take {c.drug.name} {dose(c.dose, c.drug.unit)} {c.drug.frequency}.",
                            f"{c.drug.name} {dose(c.dose, c.drug.unit)} {c.drug.frequency}",
                            "notes", listed[-1])


@template("provide patient education information", "Give {him} the discharge instructions of the "
          "{date} stay in plain language.", "What should {she} do after the {date} admission: "
          "follow-up and warning signs?", "Plain-language discharge summary for the stay of {date}:"
          " when to return and when to be seen?")
def discharge_instructions(p):
    for n, v in enumerate(p.visits):
        if v.kind == "inpatient":
            surgical = any(o.visit == n for o in p.operations)
            sign = "the wound drains" if surgical else v.acute.return_precaution
            yield Candidate({"date": day(v.start)},
                            [number_fact(("follow up", "follow-up", "see", "primary care"),
                                         v.follow_weeks, "weeks", 0.4), term_fact((sign,))],
                            f"Follow up with primary care in {v.follow_weeks} weeks and come back "
                            f"if {sign}.", f"follow up with primary care in {v.follow_weeks} weeks",
                            "notes", v.end)


@template("provide diagnosis assistance", "What most likely explains the {symptom} {she} came in "
          "with on {date}?", "Most probable diagnosis behind the {symptom} of {date}?",
          "Differential for the {symptom} on {date}: which diagnosis fits best?")
def likely_diagnosis(p):
    for v in p.visits:
        if v.kind == "emergency":
            rivals = [a.spellings for a in v.differential]
            yield Candidate({"symptom": v.acute.symptom, "date": day(v.start)},
                            [term_fact(v.acute.spellings, rivals)],
                            f"The {v.acute.symptom} was most consistent with "
                            f"{v.acute.spellings[0]}.",
                            f"Work-up most consistent with {v.acute.spellings[0]}", "both", v.end)


@template("translate materials", "Translate for {him} into Spanish how to take {drug}.",
          "Spanish version of the {drug} instructions (dose and timing), please.",
          "Write in Spanish how much {drug} to take and when.")
def spanish_instructions(p):
    for c in p.courses_at(p.last):
        listed = [v.end for n, v in enumerate(p.visits)
                  if v.kind in ("office", "emergency", "inpatient") and n > c.start]
        if listed:
            how = SPANISH[c.drug.frequency]
            yield Candidate({"drug": c.drug.name}, [_dose_fact(p, c), term_fact(how)],
                            f"Tome {c.drug.name} {dose(c.dose, c.drug.unit)} {how[0]}.",
                            f"{c.drug.name} {dose(c.dose, c.drug.unit)} {c.drug.frequency}",
                            "notes", listed[-1])


@template("other", "Draft a return-to-work letter for the emergency visit of {date}: how long off?",
          "Work excuse for {date}: for how many days?",
          "Write a note for {her} employer covering the days off after {date}.")
def work_letter(p):
    for v in p.visits:
        if v.off_work:
            unit = "days" if v.off_work > 1 else "day"
            yield Candidate({"date": day(v.start)},
                            [number_fact(("work", "off", "days", "day"), v.off_work, "days", 0.4)],
                            f"To the employer: please excuse my patient from work for {v.off_work} "
                            f"{unit}.", f"Off work for {v.off_work} days", "notes", v.end)


@template("other", "Write a one-line summary: age at the last visit and all chronic conditions.",
          "One-liner for sign-out, with age and every long-term problem?",
          "Summarize {him} in one sentence: current age, all chronic diagnoses.")
def one_liner(p):
    end = p.visits[-1].start
    age = age_at(p.birthdate, end.date())
    names = [d.condition.name for d in p.diagnoses]
    yield Candidate({}, [number_fact(("yo", "year-old", "years old", "age", "aged"), age, "years",
                                     1.1), set_fact([d.condition.spellings for d in p.diagnoses])],
                    f"{age} year-old {pronouns(p)['s']} with {', '.join(names)}.",
                    f"PMH: {', '.join(names)}", "both",
                    newest(p, ("office", "emergency", "inpatient")), ("age",))


@template("other", "For the referral letter to {department}: who lives with {him}, and does {she} "
          "drink?", "Social paragraph for the {department} letter: home and alcohol, in one line.",
          "Compose one sentence for {department} on living situation and drinks per week.")
def social_paragraph(p):
    home, drinks = at(p.living, p.last), at(p.drinks, p.last)
    start = max(p.living[-1][0], p.drinks[-1][0])
    written = [v.end for n, v in enumerate(p.visits)
               if v.kind in ("office", "inpatient") and n >= start]
    if drinks and written and p.referrals:
        with_whom = "alone" if home[0] == "alone" else home[0]
        since = f"{p.visits[p.drinks[-1][0]].start:%Y-%m-%d}"
        yield Candidate({"department": p.referrals[-1].department},
                        [term_fact(home, [h for h in cat.LIVING if h != home]),
                         number_fact(("drinks", "EtOH", "alcohol"), drinks, "drinks/week", 0.4,
                                     **{"from": since})],
                        f"Home: {with_whom}. Alcohol: {drinks} drinks per week.",
                        f"lives {with_whom}; EtOH: {drinks} drinks/week", "notes", written[-1])
