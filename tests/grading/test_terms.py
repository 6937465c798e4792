"""Terms: the asked role, time and topic decide, in any usual words."""

import pytest

from medalign_utils.grading import grade
from tests.builders.graded_questions import Question, cases

QUESTIONS = [
    Question(
        "Why was she admitted on 03/04/2014?",
        {
            "kind": "term",
            "accepted": ["community-acquired pneumonia", "pneumonia", "CAP"],
            "rivals": [
                ["cellulitis", "leg cellulitis"],
                ["acute kidney injury", "AKI"],
                ["syncope", "fainting"],
            ],
        },
        right=[
            "She came in with cough and fever and was found to have pneumonia.",
            "Neumonía adquirida en la comunidad.",
            "Principal problem: CAP\nSecondary: none",
            "Lung infection (pneumonia).",
            "Pneumonia, not cellulitis.",
            "AKI was considered but the admitting diagnosis was pneumonia.",
        ],
        wrong=[
            "Her pneumonia vaccine was up to date; she was admitted for cellulitis.",
            "Either pneumonia or AKI.",
            "She was admitted for heart failure; pneumonia developed on hospital day 3.",
            "She was admitted for a fall. Pneumonia was ruled out.",
            "Admitted for syncope",
            "In 2011 she was admitted for pneumonia; on 03/04/2014 she was admitted for syncope.",
        ],
    ),
    Question(
        "What E/M code was billed for 03/04/2014?",
        {"kind": "term", "accepted": ["99214"], "rivals": [["99213"], ["99215"], ["99283"]]},
        right=[
            "99214",
            "CPT4/99214",
            "The visit was billed as 99214 (moderate complexity), not 99213.",
            "Level 4 established visit: CPT® 99214",
        ],
        wrong=[
            "99213",
            "99213 or 99214",
            "The code billed was 99215; 99214 was used at the previous visit.",
            "99213, 99214, 99215",
        ],
    ),
    Question(
        "Which beta blocker is she on now?",
        {
            "kind": "term",
            "accepted": ["metoprolol", "Lopressor"],
            "rivals": [["carvedilol", "Coreg"], ["atenolol", "Tenormin"]],
        },
        right=[
            "Metoprolol (previously atenolol).",
            "She was switched from carvedilol to metoprolol.",
            "Lopressor 50 mg BID",
            "Currently metoprolol; atenolol was discontinued in 2012 because of fatigue.",
            "Carvedilol was replaced by metoprolol in 2010.",
            "She used to take atenolol, but is now on metoprolol tartrate.",
            "Atenolol → metoprolol (current)",
        ],
        wrong=[
            "Metoprolol was stopped; she takes carvedilol.",
            "She was switched from metoprolol to carvedilol.",
            "Atenolol (previously metoprolol).",
            "Metoprolol or carvedilol.",
            "Metoprolol was discontinued in 2012 and no beta blocker is active.",
            "Metoprolol, carvedilol and atenolol.",
        ],
    ),
    Question(
        "What was the reason to discontinue lisinopril?",
        {
            "kind": "term",
            "accepted": ["a dry cough", "dry cough"],
            "rivals": [["high potassium", "hyperkalemia"]],
            "topic": ["lisinopril", "Zestril"],
        },
        right=[
            "Cough.",
            "It gave her a dry cough.",
            "Tos seca",
            "A nagging nonproductive cough led to the change to amlodipine.",
            "ACE inhibitors can raise potassium, but hers was stopped for a dry cough.",
            "The notes suggest it was the dry cough.",
        ],
        wrong=[
            "High potassium",
            "Because of high potassium; the dry cough was from GERD.",
            "Dry cough or hyperkalemia",
            "It was stopped for hyperkalemia. Enalapril was stopped for dry cough.",
            "Enalapril was stopped because of a dry cough; lisinopril because of cost.",
        ],
    ),
    Question(
        "Atorvastatin: why did he come off it?",
        {
            "kind": "term",
            "accepted": ["muscle aches", "myalgia", "muscle pain"],
            "rivals": [["elevated liver enzymes", "liver enzyme elevation"]],
            "topic": ["atorvastatin", "Lipitor"],
        },
        right=[
            "He developed muscle pain on Lipitor.",
            "Achy muscles.",
            "Myalgias; LFTs were normal.",
            "He stopped it since his muscles ached.",
            "It was switched to pravastatin after he complained of sore muscles.",
            "Statin-associated muscle symptoms (myalgia).",
        ],
        wrong=[
            "Raised liver enzymes.",
            "His liver tests went up; muscle aches were not reported.",
            "Muscle aches are a common reason to stop statins, but his was stopped for cost.",
        ],
    ),
    Question(
        "What is the plan for her hypertension as of 03/04/2014?",
        {
            "kind": "term",
            "accepted": [
                "keep a home BP log for two weeks",
                "home BP log",
                "home blood pressure log",
                "log of home BP",
            ],
            "rivals": [
                ["ambulatory blood pressure", "ambulatory BP"],
                ["cut salt", "low salt", "salt to under 2 g", "sodium restriction"],
            ],
        },
        right=[
            "Keep a log of her blood pressure at home for 2 weeks.",
            "Home BP diary x2 weeks.",
            "The plan: measure blood pressure at home and write it down for two weeks.",
            "Home blood-pressure log; ambulatory monitoring was not ordered.",
            "Plan (03/04/2014): home BP log. In 2012 the plan was to cut salt.",
        ],
        wrong=[
            "Cut salt to under 2 g a day.",
            "Ambulatory blood pressure monitor",
            "Home BP log or low salt diet, I can't tell which.",
            "In 2012 the plan was a home BP log; on 03/04/2014 it was sodium restriction.",
        ],
    ),
    Question(
        "For what problem was she referred to Neurology on 10/06/2000?",
        {
            "kind": "term",
            "accepted": ["migraine", "migraines", "migraine headaches"],
            "rivals": [
                ["hypertension", "HTN", "high blood pressure"],
                ["COPD", "chronic obstructive pulmonary disease"],
                ["gout", "gouty arthritis"],
            ],
        },
        right=[
            "Migraine",
            "Her migraine headaches.",
            "She was referred for evaluation of migraines; she also has hypertension and gout.",
            "Neurology referral – reason: migraine. PMH: HTN, COPD.",
            "Migraña",
        ],
        wrong=[
            "COPD",
            "Gout; her migraines are stable.",
            "Migraine, hypertension, COPD, gout.",
            "She was referred for hypertension. Other problems: migraine.",
        ],
    ),
    Question(
        "Any complication of the hip replacement?",
        {"kind": "term", "accepted": ["hip dislocation", "dislocation"], "rivals": [["foot drop"]]},
        right=[
            "Yes, dislocation of the hip on day 3.",
            "The hip dislocated postoperatively.",
            "Yes: a dislocated hip. No foot drop.",
            "Complicated by dislocation",
        ],
        wrong=[
            "No complications.",
            "Foot drop",
            "No dislocation occurred; there was a wound infection.",
            "Dislocation or foot drop",
            "No. The hip dislocation occurred before surgery.",
        ],
    ),
    Question(
        "How does she react to latex?",
        {
            "kind": "term",
            "accepted": ["hives", "urticaria"],
            "rivals": [["anaphylaxis"], ["itching", "pruritus"]],
            "topic": ["latex"],
        },
        right=[
            "Hives",
            "She gets hives.",
            "Urticaria when she wears latex gloves.",
            "Latex: hives; penicillin: facial swelling",
            "Latex → urticaria (not anaphylaxis)",
            "Le salen ronchas.",
            "Penicillin causes anaphylaxis and latex causes hives.",
        ],
        wrong=[
            "Anaphylaxis",
            "Latex: anaphylaxis; penicillin: hives",
            "Itching",
            "Hives from penicillin, itching from latex.",
            "Hives or itching",
            "No reaction.",
        ],
    ),
    Question(
        "Who does he live with these days?",
        {
            "kind": "term",
            "accepted": ["roommate"],
            "rivals": [
                ["alone", "by herself", "by himself"],
                ["spouse", "wife", "husband"],
                ["adult son", "son"],
            ],
        },
        right=[
            "A roommate.",
            "He shares an apartment with a roommate.",
            "Lives with roommate; his son is the emergency contact.",
            "He lives with a roommate since 2010 (before that, alone).",
            "No longer with his wife; he lives with a roommate.",
            "He does not live alone - he has a roommate.",
            "Vive con un compañero de cuarto.",
        ],
        wrong=[
            "Alone.",
            "His wife",
            "He used to live with a roommate but now lives alone.",
            "With his son; a roommate moved out in 2009.",
            "He lives alone and visits his roommate's family.",
        ],
    ),
    Question(
        "Does she live alone or with somebody?",
        {
            "kind": "term",
            "accepted": ["alone", "by herself", "by himself"],
            "rivals": [["spouse", "wife", "husband"], ["adult daughter", "daughter"]],
        },
        right=[
            "Alone.",
            "She lives by herself; her daughter visits daily.",
            "On her own.",
            "Lives alone since her husband died.",
            "She lives alone, but her daughter checks on her.",
            "Vive sola.",
        ],
        wrong=[
            "With her daughter",
            "She does not live alone; she lives with her husband.",
            "She lived alone until 2012 and now lives with her daughter.",
            "Not alone - with her husband.",
        ],
    ),
    Question(
        "Payer at the most recent visit?",
        {
            "kind": "term",
            "accepted": ["Medicare"],
            "rivals": [["Medicaid"], ["commercial PPO", "PPO"], ["Veterans Affairs", "VA"]],
        },
        right=[
            "Medicare (since 2012; before that a commercial PPO).",
            "Medicare. Earlier visits: Medicaid.",
            "Switched from PPO to Medicare.",
            "Medicare; no longer Medicaid.",
        ],
        wrong=[
            "PPO, previously Medicare",
            "Medicaid",
            "Medicare and Medicaid",
            "Switched from Medicare to Medicaid.",
            "Medicare or VA",
        ],
    ),
    Question(
        "Who is the emergency contact, and at what number?",
        {"kind": "term", "accepted": ["daughter"], "rivals": [["son"], ["sister"], ["neighbor"]]},
        right=[
            "Her daughter, 555-0168",
            "Hija, 555-0168",
            "Emergency contact: daughter (555-0168). She lives with her son.",
            "Daughter – 555.0168. Her sister brought her in.",
        ],
        wrong=[
            "Her son, 555-0168.",
            "Her neighbor (555-0168); her daughter lives abroad.",
            "Either her daughter or her son",
            "Daughter-in-law, 555-0168",
        ],
    ),
    Question(
        "Who is the emergency contact, and at what number?",
        {"kind": "term", "accepted": ["555-0168"]},
        right=["Daughter, 555 0168", "(555) 0168", "+1 555-0168", "5550168", "555.0168"],
        wrong=["555-0186", "555-01680"],
    ),
    Question(
        "Full code or DNR?",
        {"kind": "term", "accepted": ["full code"], "rivals": [["DNR", "do not resuscitate"]]},
        right=[
            "Full code, not DNR.",
            "Full code. DNR was discussed and declined.",
            "She is a full code.",
            "Full code (no DNR on file)",
        ],
        wrong=["DNR", "DNR; previously full code", "Not full code: DNR.", "full code/DNR"],
    ),
    Question(
        "Which relative had glaucoma?",
        {"kind": "term", "accepted": ["mother"], "topic": ["glaucoma"], "subject": "family"},
        right=[
            "Her mother.",
            "Mom",
            "Mother (dx 60). Her sister had breast cancer.",
            "Her sister had breast cancer and her mother glaucoma.",
            "FH: glaucoma - mother; stroke - father",
            "Su madre.",
        ],
        wrong=[
            "Her father",
            "Her sister had glaucoma; her mother had breast cancer.",
            "Her mother had a stroke.",
            "Her mother or her father",
            "Mother and father both had glaucoma.",
        ],
    ),
    Question(
        "Write in Spanish how much metformin to take and when.",
        {"kind": "term", "accepted": ["dos veces al día"]},
        right=[
            "Tome 500 mg de metformina dos veces al día.",
            "Tome 500 mg cada 12 horas.",
            "Tome una tableta con el desayuno y otra con la cena.",
            "500 mg por la mañana y 500 mg por la noche",
            "dos veces diarias",
        ],
        wrong=["Tome 500 mg una vez al día.", "Tome 500 mg por la mañana.", "tres veces al día"],
    ),
    Question(
        "Explain to her in plain words how to take her omeprazole.",
        {
            "kind": "term",
            "accepted": ["before breakfast", "before your breakfast", "before eating breakfast"],
        },
        right=[
            "Take one capsule 30 minutes before breakfast.",
            "Take it in the morning before you eat breakfast.",
            "Swallow it before your morning meal.",
        ],
        wrong=["Take it with breakfast.", "Take it after breakfast.", "Take it at bedtime."],
    ),
    Question(
        "Tell the patient how much furosemide to take and when.",
        {"kind": "term", "accepted": ["every morning", "in the morning", "each morning", "QAM"]},
        right=[
            "Take 40 mg each morning.",
            "40 mg once a day in the morning",
            "Take 40 mg daily, in the mornings",
        ],
        wrong=["40 mg in the morning and in the evening", "40 mg twice daily", "40 mg at bedtime"],
    ),
    Question(
        "What did the abdominal ultrasound of 03/04/2014 show?",
        {
            "kind": "term",
            "accepted": ["gallstones", "cholelithiasis"],
            "rivals": [
                ["hepatic steatosis", "fatty liver"],
                ["a simple left renal cyst", "left renal cyst", "renal cyst"],
                ["mild splenomegaly", "splenomegaly"],
            ],
        },
        right=[
            "Gallstones, no fatty liver.",
            "Stones in the gallbladder",
            "It showed cholelithiasis. The spleen was normal without splenomegaly.",
            "Cholelithiasis (the 2010 ultrasound had shown fatty liver).",
        ],
        wrong=[
            "Fatty liver",
            "Fatty liver without gallstones",
            "Gallstones and a renal cyst",
            "The 2010 study showed gallstones; that of 03/04/2014 showed splenomegaly.",
            "No gallstones.",
        ],
    ),
    Question(
        "What did the head CT of 03/04/2014 show?",
        {
            "kind": "term",
            "accepted": ["no acute intracranial abnormality", "no acute intracranial"],
            "rivals": [
                ["generalized volume loss", "volume loss", "atrophy"],
                ["a left frontal scalp hematoma", "scalp hematoma"],
            ],
        },
        right=[
            "No acute intracranial abnormality.",
            "It was negative for any acute intracranial process.",
            "Nothing acute: no acute intracranial findings.",
        ],
        wrong=["Scalp hematoma"],
    ),
    Question(
        "What most likely explains the leg redness she came in with on 08/02/2011?",
        {
            "kind": "term",
            "accepted": ["cellulitis", "leg cellulitis"],
            "rivals": [
                ["pulmonary embolism", "PE"],
                ["urinary tract infection", "UTI", "urosepsis"],
            ],
        },
        right=[
            "Cellulitis of the leg",
            "A skin infection (cellulitis).",
            "Celulitis.",
            "Cellulitis best fits; the ED considered PE and UTI but thought them unlikely.",
            "The presentation was felt to be cellulitis rather than PE.",
            "Work-up pointed to cellulitis; UTI was excluded by a clean urinalysis.",
        ],
        wrong=[
            "PE rather than cellulitis.",
            "UTI",
            "The ED considered cellulitis but the work-up pointed to PE.",
            "PE > cellulitis",
            "I cannot tell: cellulitis, PE and UTI are all listed.",
            "cellulitis vs PE",
        ],
    ),
    Question(
        "What is her current anticoagulant?",
        {
            "kind": "term",
            "accepted": ["apixaban", "Eliquis"],
            "rivals": [["warfarin", "Coumadin"], ["rivaroxaban", "Xarelto"]],
        },
        right=[
            "Eliquis 5 mg BID.",
            "Apixaban 5 mg twice daily, started in 2014 when warfarin was stopped.",
            "Warfarin was changed to apixaban.",
            "She takes apixaban; warfarin had been stopped for nosebleeds.",
            "Warfarin 2009-2012, rivaroxaban 2012-2014, apixaban since 2014.",
            "Apixaban has replaced rivaroxaban.",
            "Her anticoagulant is apixabán (Eliquis).",
        ],
        wrong=[
            "Warfarin has replaced apixaban.",
            "Apixaban until 2012; warfarin now.",
            "Apixaban was held and not resumed; she is on no anticoagulant.",
            "Rivaroxaban; apixaban was stopped due to cost.",
            "Coumadin",
            "She is taking both apixaban and warfarin.",
        ],
    ),
    Question(
        "Family history of colon cancer: which relative?",
        {
            "kind": "term",
            "accepted": ["paternal uncle"],
            "topic": ["colon cancer", "colorectal cancer"],
            "subject": "family",
        },
        right=[
            "Paternal uncle",
            "Her uncle on her father's side.",
            "Her father's brother had colon cancer at 60.",
            "Paternal uncle (colon cancer, 60); mother had breast cancer.",
            "Tío paterno",
            "Colorectal cancer: paternal uncle. Stroke: sister.",
        ],
        wrong=[
            "Maternal uncle",
            "Her father",
            "Her mother had colon cancer; paternal uncle had stroke.",
            "A sister and a paternal uncle had colon cancer.",
            "No family history of colon cancer.",
        ],
    ),
    Question(
        "Write simple instructions for taking lisinopril.",
        {
            "kind": "term",
            "accepted": ["once daily", "once a day", "every day", "daily", "one time a day"],
        },
        right=[
            "Take one tablet daily.",
            "10 mg by mouth 1 time per day",
            "Take it once each day.",
            "Take 10 mg every day at the same time.",
        ],
        wrong=["Take it twice daily.", "Take it two times a day.", "Take it weekly."],
    ),
]


@pytest.mark.parametrize(("response", "instruction", "fact", "is_right"), cases(QUESTIONS))
def test_terms_are_found_in_the_role_that_is_asked(response, instruction, fact, is_right):
    assert grade(response, [fact], instruction).correct == is_right
