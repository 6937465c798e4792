"""Yes/no answers: openings, claims, relatives and opposites."""

import pytest

from medalign_utils.grading import grade
from tests.builders.graded_questions import Question, cases

QUESTIONS = [
    Question(
        "Has she ever taken a statin?",
        {
            "kind": "yes_no",
            "topic": ["statin", "atorvastatin", "Lipitor", "simvastatin", "Zocor"],
            "answer": True,
        },
        right=[
            "Yes.",
            "She took simvastatin from 2009 to 2012.",
            "Yes, Zocor, stopped in 2012.",
            "She is on Lipitor.",
            "Past exposure: simvastatin (2009). Currently none.",
            "Sí, tomó simvastatina.",
        ],
        wrong=[
            "No.",
            "She has never taken a statin.",
            "No statin exposure is documented.",
            "There is no record of any statin.",
        ],
    ),
    Question(
        "Was his appendectomy complicated by anything?",
        {
            "kind": "yes_no",
            "topic": ["complication", "complications", "complicated"],
            "answer": False,
        },
        right=[
            "No.",
            "It was uneventful.",
            "None.",
            "None documented.",
            "No, the postoperative course was smooth.",
            "Uncomplicated.",
            "No. No abscess, ileus or infection.",
        ],
        wrong=[
            "Yes, an ileus.",
            "Yes.",
            "It was complicated by a pelvic abscess.",
            "He developed an abscess after the operation.",
            "There was one complication: ileus.",
            "Yes – wound infection; otherwise no other complications.",
        ],
    ),
    Question(
        "Does she have a history of glaucoma?",
        {"kind": "yes_no", "topic": ["glaucoma"], "answer": False},
        right=[
            "No",
            "No history of glaucoma.",
            "Negative.",
            "Negative for glaucoma.",
            "She has never been diagnosed with glaucoma.",
            "Not documented; no history of glaucoma in the problem list.",
            "Her mother had glaucoma, but she does not.",
        ],
        wrong=[
            "Yes",
            "She has glaucoma.",
            "Glaucoma since 2010.",
            "Yes, treated with latanoprost.",
            "She was diagnosed with glaucoma in 2012.",
            "PMH: glaucoma, HTN",
        ],
    ),
    Question(
        "Has he ever reported headache?",
        {"kind": "yes_no", "topic": ["headache", "HA"], "answer": True},
        right=[
            "Yes.",
            "Yes, he reported headaches in 2011 but denied them in 2013.",
            "He complained of a headache on 03/04/2014.",
            "Headaches were reported once (2011).",
            "Sí, en 2011.",
            "Yes — CC of headache 03/04/2014; denied at later visits.",
        ],
        wrong=[
            "No.",
            "He has always denied headache.",
            "Never.",
            "No record of headache.",
            "He denies headache.",
        ],
    ),
    Question(
        "Does breast cancer run in her family?",
        {"kind": "yes_no", "topic": ["breast cancer"], "answer": True, "subject": "family"},
        right=[
            "Yes, her aunt.",
            "Her mother had breast cancer.",
            "Yes - maternal aunt, age 50.",
            "breast cancer: aunt; stroke: father",
            "Sí, su tía.",
            "Family history: mother with breast cancer.",
        ],
        wrong=[
            "No.",
            "No family history of breast cancer.",
            "The patient had breast cancer.",
            "Family history is negative for breast cancer.",
        ],
    ),
    Question(
        "Is she eligible for low-dose CT lung cancer screening at this point?",
        {"kind": "yes_no", "topic": ["eligible", "screening", "criteria"], "answer": False},
        right=[
            "No, she quit too long ago.",
            "She does not meet the criteria.",
            "Not eligible: quit 1980.",
            "She is ineligible.",
            "She doesn't qualify.",
            "No",
        ],
        wrong=["Yes", "She is eligible.", "She meets the criteria.", "Yes, she qualifies."],
    ),
    Question(
        "Is she eligible for low-dose CT lung cancer screening at this point?",
        {"kind": "yes_no", "topic": ["eligible", "screening", "criteria"], "answer": True},
        right=[
            "Yes, she qualifies.",
            "She meets all three USPSTF criteria.",
            "Eligible",
            "Yes: 66, 40 pack-years, quit 5 years ago.",
            "She should be offered annual LDCT since she meets criteria.",
            "She is a candidate for LDCT screening.",
        ],
        wrong=["No", "Not eligible.", "She does not meet criteria because she is too young."],
    ),
    Question(
        "What complications, if any, followed the knee replacement?",
        {
            "kind": "yes_no",
            "topic": ["complication", "complications", "complicated"],
            "answer": False,
        },
        right=[
            "None",
            "No complications.",
            "There weren't any.",
            "The surgery and recovery were uneventful; she went home on day 3.",
            "None were noted.",
            "No complications followed; DVT prophylaxis was given.",
            "No postoperative complications such as DVT or infection were documented.",
        ],
        wrong=[
            "A DVT.",
            "Knee stiffness.",
            "A wound infection developed.",
            "She had a DVT; no other complications.",
            "Complicated by arthrofibrosis.",
        ],
    ),
    Question(
        "Has she ever had seizures?",
        {"kind": "yes_no", "topic": ["seizures", "seizure", "epilepsy"], "answer": False},
        right=[
            "No, no seizures or epilepsy.",
            "No seizure history.",
            "She has never had a seizure.",
            "Seizures: denied",
            "Her brother has epilepsy; she herself has had no seizures.",
            "The notes state 'No history of seizures or TB'.",
            "I see no record of seizures.",
        ],
        wrong=[
            "Yes, in 2011.",
            "She had a seizure in 2011.",
            "She takes levetiracetam for epilepsy.",
            "Epilepsy is on her problem list.",
            "Yes; the last seizure was 5 years ago, and she denies seizures since.",
        ],
    ),
    Question(
        "Any past complaint of tinnitus?",
        {"kind": "yes_no", "topic": ["tinnitus", "ringing in the ears"], "answer": True},
        right=[
            "Yes, on 03/04/2014.",
            "She complained of ringing in her ears in 2014.",
            "Yes. Tinnitus was her chief complaint once; she denied it at later visits.",
            "Tinnitus reported 03/04/2014.",
            "Refirió acúfenos en 2014.",
            "Affirmative – tinnitus, 2014.",
        ],
        wrong=[
            "No",
            "None recorded.",
            "She denied tinnitus at all visits.",
            "No past complaint of tinnitus is documented.",
            "Never",
        ],
    ),
    Question(
        "Any past complaint of tinnitus?",
        {"kind": "yes_no", "topic": ["tinnitus", "ringing in the ears"], "answer": False},
        right=[
            "No.",
            "None.",
            "Denied throughout.",
            "She has consistently denied it.",
            "No tinnitus or ringing in the ears is recorded other than as a negative.",
            "ROS negative for tinnitus on every occasion.",
            "No, she complained of dizziness and headache, not tinnitus.",
        ],
        wrong=[
            "Yes",
            "She reported ringing in the ears in 2012.",
            "Tinnitus, 2012",
            "Yes, once: tinnitus in 2012, otherwise denied.",
        ],
    ),
    Question(
        "Any family history of dementia?",
        {"kind": "yes_no", "topic": ["dementia", "Alzheimer"], "answer": True, "subject": "family"},
        right=[
            "Yes - father.",
            "Her father had Alzheimer's disease.",
            "FHx: dementia (father, 70)",
            "Yes, in her father; no other relatives are affected.",
            "Sí, su padre tuvo demencia.",
            "Positive: paternal dementia",
        ],
        wrong=[
            "No",
            "None",
            "No family history of dementia; father had a stroke.",
            "She has dementia.",
        ],
    ),
    Question(
        "Has he ever taken a bisphosphonate?",
        {
            "kind": "yes_no",
            "topic": ["bisphosphonate", "alendronate", "Fosamax", "risedronate", "Actonel"],
            "answer": True,
        },
        right=[
            "Yes, alendronate from 2008 until 2011.",
            "He took Fosamax.",
            "Yes – risedronate (stopped for jaw pain).",
            "He is no longer on alendronate, but was between 2008 and 2011.",
            "Alendronate 70 mg weekly (2008-2011); currently none.",
        ],
        wrong=[
            "No.",
            "He was never prescribed a bisphosphonate.",
            "No; he declined alendronate.",
            "There's no bisphosphonate in his medication history.",
        ],
    ),
    Question(
        "Does she meet USPSTF 2021 criteria for lung cancer screening?",
        {"kind": "yes_no", "topic": ["eligible", "screening", "criteria"], "answer": True},
        right=[
            "Yes",
            "She does: age 62, 30 pack-years, quit 2010.",
            "Yes, all three criteria are met.",
            "She meets them.",
            "She fulfils all criteria and is eligible.",
            "Age 62 (50-80 ✓), 30 pack-years (≥20 ✓), quit 2010 (≤15 y ✓): eligible.",
        ],
        wrong=[
            "No",
            "She fails the pack-year criterion.",
            "She isn't eligible since she quit 20 years ago.",
            "No. She meets age but not pack-years.",
        ],
    ),
    Question(
        "Does she meet USPSTF 2021 criteria for lung cancer screening?",
        {"kind": "yes_no", "topic": ["eligible", "screening", "criteria"], "answer": False},
        right=[
            "No",
            "No. She meets the age criterion, but has only 12 pack-years.",
            "She fails the pack-year criterion, so she is not eligible.",
            "She is not eligible.",
            "She doesn't meet them.",
            "Not eligible; she quit more than 15 years ago.",
            "No cumple los criterios.",
        ],
        wrong=[
            "Yes",
            "She meets all criteria.",
            "Eligible",
            "She qualifies on age and pack-years.",
        ],
    ),
]


@pytest.mark.parametrize(("response", "instruction", "fact", "is_right"), cases(QUESTIONS))
def test_yes_no_answers_in_usual_words(response, instruction, fact, is_right):
    assert grade(response, [fact], instruction).correct == is_right
