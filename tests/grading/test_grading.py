"""The grader alone: each case is a response, a fact and the verdict that the rules require."""

import json
import time

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medalign_utils.errors import MedAlignError, ReleaseError
from medalign_utils.grading import grade, load_answer_key, rate_with_answer_key

CREATININE = {"kind": "number", "topic": ["creatinine"], "value": 1.4, "unit": "mg/dL",
              "tolerance": 0.05, "date": "2014-08-10"}  # fmt: skip
LATEST_A1C = {"kind": "number", "topic": ["hemoglobin A1c", "A1c"], "value": 7.2, "unit": "%",
              "tolerance": 0.05, "date": None}  # fmt: skip
WEIGHT = {"kind": "number", "topic": ["weight"], "value": 80.0, "unit": "kg", "tolerance": 0.5}
HEIGHT = WEIGHT | {"topic": ["height"], "value": 167.6, "unit": "cm"}
PRESSURE = {"kind": "number", "topic": ["blood pressure", "BP"], "value": [138, 82],
            "unit": "mm[Hg]", "tolerance": 0.5, "date": "2014-08-10"}  # fmt: skip
COLONOSCOPY = {"kind": "date", "topic": ["colonoscopy"], "date": "2012-05-17", "precision": "day"}
COLONOSCOPY_YEAR = COLONOSCOPY | {"precision": "year"}
STATIN = {"kind": "term", "accepted": ["atorvastatin", "Lipitor"],
          "rivals": [["simvastatin", "Zocor"]]}  # fmt: skip
DRUGS = {"kind": "set", "members": [["metformin"], ["glipizide"], ["insulin glargine", "Lantus"]],
         "rivals": [["sitagliptin"]]}  # fmt: skip
CHEST_PAIN = {"kind": "yes_no", "topic": ["chest pain"], "answer": False}
DYSPNEA = {"kind": "yes_no", "topic": ["dyspnea", "shortness of breath"], "answer": True}
SMOKES = {"kind": "yes_no", "topic": ["smokes", "smoking", "smoker"], "answer": False}
STROKE_MOTHER = {"kind": "yes_no", "topic": ["stroke"], "answer": True, "subject": "family"}
STROKE = {"kind": "yes_no", "topic": ["stroke"], "answer": False}
NOT_DOCUMENTED = {"kind": "not_documented", "topic": ["ferritin"]}

CORRECT = [
    # Another spelling, notation or format of the right value on the right day.
    ("Creatinine 1.4 mg/dL on 2014-08-10.", CREATININE),
    ("On 8/10/2014 her creatinine was 1.40 mg/dl.", CREATININE),
    ("creatinine of 1.4 (Aug 10, 2014)", CREATININE),
    ("10 August 2014: Creatinine 1.38", CREATININE),
    ("CREATININE = 1.4", CREATININE),
    # 1.4 mg/dL = 14 mg/L
    ("The creatinine was 14 mg/L on August 10th, 2014.", CREATININE),
    ("Creatinine was 1.1 in March 2013 and 1.4 on 8/10/14.", CREATININE),
    ("Her A1c was 7.2%.", LATEST_A1C),
    ("Hemoglobin A1c: 7.2 percent", LATEST_A1C),
    # 176.4 lb * 0.45359 = 80.0 kg
    ("Her weight at the last visit was 80 kg.", WEIGHT),
    ("Weight: 176.4 lbs", WEIGHT),
    # 66 in = 167.6 cm
    ("Height: 5'6\"", HEIGHT),
    ("BP 138/82 on 8/10/2014", PRESSURE),
    ("blood pressure was 138/82 mmHg", PRESSURE),
    ("Colonoscopy was done on 5/17/2012.", COLONOSCOPY),
    ("The patient underwent colonoscopy on May 17, 2012, without complications.", COLONOSCOPY),
    ("Her last colonoscopy was in 2012.", COLONOSCOPY_YEAR),
    ("17 May 2012", COLONOSCOPY),
    ("Colonoscopy on 5/17/2012 and on 3/2/2008.", COLONOSCOPY),
    ("She takes Lipitor 40 mg nightly.", STATIN),
    ("Atorvastatin", STATIN),
    ("Simvastatin was stopped; she is now on atorvastatin.", STATIN),
    ("Switched from Zocor to Lipitor.", STATIN),
    ("drug_exposure simvastatin 20 MG: end\nTakes Lipitor.", STATIN),
    ("metformin, glipizide and Lantus", DRUGS),
    ("Takes insulin glargine, metformin. Also glipizide; no sitagliptin.", DRUGS),
    # A quoted passage answers a yes/no question by what it says.
    ("She denies chest pain.", CHEST_PAIN),
    ("ROS: no fever, cough or chest pain.", CHEST_PAIN),
    ("No.", CHEST_PAIN),
    ("No, the patient has not had chest pain.", CHEST_PAIN),
    ("Chest pain: none", CHEST_PAIN),
    ("Chest pain: neg", CHEST_PAIN),
    ("Chest pain (exertional): negative", CHEST_PAIN),
    ("Reports dyspnea on exertion, denies chest pain.", DYSPNEA),
    ("Denies chest pain, but has shortness of breath.", DYSPNEA),
    ("Yes, she has dyspnea.", DYSPNEA),
    ("Lives with her son and reports dyspnea.", DYSPNEA),
    ("Yes", DYSPNEA),
    ("Former smoker, quit in 2009.", SMOKES),
    ("He no longer smokes.", SMOKES),
    ("Her mother had a stroke at age 70.", STROKE_MOTHER),
    ("Family history: stroke (mother).", STROKE_MOTHER),
    ("No history of stroke.", STROKE),
    ("Mother had a stroke at 70. The patient has never had a stroke.", STROKE),
    ("Ferritin is not documented in the record.", NOT_DOCUMENTED),
    ("There is no record of a ferritin level.", NOT_DOCUMENTED),
    ("Not documented.", NOT_DOCUMENTED),
]  # fmt: skip

WRONG = [
    ("", CREATININE),
    ("Creatinine was 1.4 mg/dL on 3/2/2012.", CREATININE),
    ("Potassium was 1.4 on 8/10/2014.", CREATININE),
    ("Creatinine was 4.1 on 8/10/2014.", CREATININE),
    ("Creatinine was 1.1 on 8/10/2014, up from 1.4.", CREATININE),
    # 1.4 g/dL is a thousand times as much.
    ("Creatinine was 1.4 g/dL on 8/10/2014.", CREATININE),
    ("Creatinine was 11.4 on 8/10/2014.", CREATININE),
    ("Creatinine was measured on 8/10/2014; see section 1.4 of the note.", CREATININE),
    ("Her A1c goal is below 7.2%.", LATEST_A1C),
    ("Hemoglobin 7.2 g/dL", LATEST_A1C),
    ("Her A1c was 8.1%.", LATEST_A1C),
    ("Weight: 80 lb", WEIGHT),
    ("BP 82/138 on 8/10/2014", PRESSURE),
    ("BP 138/82 on 8/11/2013", PRESSURE),
    ("Her last colonoscopy was in 2012.", COLONOSCOPY),
    ("Mammogram on 5/17/2012.", COLONOSCOPY),
    ("Never took atorvastatin.", STATIN),
    ("She takes atorvastatin and simvastatin.", STATIN),
    ("metformin and glipizide", DRUGS),
    ("metformin, glipizide, Lantus, sitagliptin", DRUGS),
    ("Yes", CHEST_PAIN),
    ("No\nShe takes metformin.", CHEST_PAIN),
    ("Denies nausea but endorses chest pain.", CHEST_PAIN),
    ("Nothing is said of it.", CHEST_PAIN),
    ("Denies dyspnea.", DYSPNEA),
    ("Call if you develop shortness of breath.", DYSPNEA),
    ("No", DYSPNEA),
    ("Smokes one pack per day.", SMOKES),
    ("The patient had a stroke in 2010.", STROKE_MOTHER),
    ("Yes, she had a stroke.", STROKE),
    ("No", NOT_DOCUMENTED),
    ("", NOT_DOCUMENTED),
    ("Albumin is not documented.", NOT_DOCUMENTED),
]


@pytest.mark.parametrize(("response", "fact"), CORRECT)
def test_right_answers_in_other_words_are_correct(response, fact):
    assert grade(response, [fact])[:4] == (True, 1.0, 0, 1)


@pytest.mark.parametrize(("response", "fact"), WRONG)
def test_wrong_answers_are_not_correct(response, fact):
    assert not grade(response, [fact]).correct


@pytest.mark.parametrize(
    ("response", "facts", "expected"),
    [
        ("Creatinine was 1.6 mg/dL on 8/10/2014.", [CREATININE], (False, 0.0, 1, 1)),
        ("Colonoscopy on 5/17/2013.", [COLONOSCOPY], (False, 0.0, 1, 1)),
        ("She takes simvastatin.", [STATIN], (False, 0.0, 1, 1)),
        ("Reports chest pain.", [CHEST_PAIN], (False, 0.0, 1, 1)),
        ("Ferritin was 45 ng/mL.", [NOT_DOCUMENTED], (False, 0.0, 1, 1)),
        ("Denies chest pain. Reports chest pain on exertion.", [CHEST_PAIN], (False, 1.0, 1, 1)),
        # 2 of 3 drugs, no creatinine, A1c right: (2/3 + 0 + 1) / 3 = 5/9
        ("Takes metformin and glipizide. A1c was 7.2%.", [DRUGS, CREATININE, LATEST_A1C],
         (False, pytest.approx(5 / 9), 0, 3)),
    ],
)  # fmt: skip
def test_found_is_the_mean_share_and_other_values_are_contradictions(response, facts, expected):
    assert grade(response, facts)[:4] == expected


def test_a_record_quoted_at_length_is_not_an_answer():
    line = "2014-08-10 09:00 measurement LOINC/2160-0 Creatinine: 1.4 mg/dL"
    other = "2013-03-02 09:00 measurement LOINC/2823-3 Potassium: 4.0 mmol/L"
    assert grade(line, [CREATININE]).correct
    assert grade("\n".join([line] + [other] * 7), [CREATININE]).correct
    assert not grade("\n".join([line] + [other] * 8), [CREATININE]).correct


def test_the_whole_response_is_read_except_for_endless_statements():
    assert grade("Several words. " * 2000 + "Lipitor.", [STATIN]).correct
    # After 255 words the answer is the statement's 256th, after 256 its 257th.
    assert grade("word " * 255 + "Lipitor", [STATIN]).correct
    assert not grade("word " * 256 + "Lipitor", [STATIN]).correct
    start = time.monotonic()
    assert not grade("1 " * 30_000, [CREATININE]).correct
    assert time.monotonic() - start < 10


def test_no_response_is_not_correct_and_ranks_last():
    key = {"1": {"facts": [STATIN]}}
    texts = {"wrong": "She takes no statin.", "none": "", "right": "Lipitor."}
    responses = pd.DataFrame(
        {"instruction_id": "1", "system": list(texts), "response": texts.values()}
    )
    responses["failure"] = ["", "HTTP 400", ""]
    ratings = rate_with_answer_key(responses, key, {}).set_index("system")
    assert ratings["correct"].to_dict() == {"wrong": False, "none": False, "right": True}
    assert ratings["rank"].to_dict() == {"wrong": 2.0, "none": 3.0, "right": 1.0}


FACTS = [fact for _, fact in CORRECT + WRONG]
WORDS = [w for response, _ in CORRECT + WRONG for w in response.split()]
TEXTS = st.one_of(
    st.text(max_size=400),
    st.lists(st.sampled_from([*WORDS, "\n", "2014-08-10 09:00 note", "²", "\x00"])).map(" ".join),
)


@settings(max_examples=400, deadline=None)
@given(TEXTS, st.lists(st.sampled_from(FACTS), min_size=1, max_size=4))
def test_no_text_raises_and_every_grade_is_in_range(response, facts):
    graded = grade(response, facts)
    assert 0 <= graded.found <= 1 and graded.contradictions >= 0 and graded.n_facts == len(facts)
    assert graded.correct == (graded.found == 1 and not graded.contradictions)


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ([], "facts are [], expected a list of at least one fact"),
        ([{"kind": "guess"}], "fact 0 (guess): kind 'guess', expected one of number, date"),
        ([{"kind": "yes_no", "topic": ["x"]}], "fact 0 (yes_no): no 'answer'"),
        ([CHEST_PAIN, CHEST_PAIN | {"day": 1}], "fact 1 (yes_no): key 'day', expected only"),
        ([CHEST_PAIN | {"answer": "no"}], "answer is 'no': Input should be a valid boolean"),
        ([CREATININE | {"value": float("nan")}], "value.0 is nan: Input should be a finite number"),
        (
            [CREATININE | {"tolerance": -1}],
            "tolerance is -1: Input should be greater than or equal to 0",
        ),
        ([COLONOSCOPY | {"date": "2012-13-01"}], "date is '2012-13-01': month must be in 1..12"),
        ([COLONOSCOPY | {"date": "17/5/2012"}], "date is '17/5/2012': expected YYYY-MM-DD"),
        ([STATIN | {"accepted": "statin"}], "accepted is 'statin': Input should be a list"),
        ([STATIN | {"accepted": []}], "accepted is []: List should have at least 1 item"),
    ],
)
def test_errors_name_a_malformed_fact(facts, message):
    with pytest.raises(MedAlignError) as error:
        grade("text", facts)
    assert message in str(error.value)


def test_ranks_follow_correctness_then_facts_minus_contradictions():
    key = {"7": {"facts": [DRUGS]}, "8": {"facts": [CHEST_PAIN]}}
    responses = pd.DataFrame(
        [
            ("7", "one, wrongly", "metformin and sitagliptin"),  # 1/3 - 1
            ("7", "all", "metformin, glipizide, Lantus"),
            ("7", "empty", ""),  # 0, tied with "none" at ranks 3 and 4
            ("7", "two", "metformin and Lantus"),  # 2/3
            ("7", "none", "aspirin"),
            ("8", "both", "Denies chest pain. Reports chest pain."),  # 1 - 1
            ("8", "right", "No."),
        ],
        columns=["instruction_id", "system", "response"],
        index=[0] * 7,  # as when tables of several systems are concatenated
    )
    ratings = rate_with_answer_key(responses, key, {}).set_index("system")
    assert ratings["rank"].tolist() == [5.0, 1.0, 3.5, 2.0, 3.5, 2.0, 1.0]
    assert ratings.index[ratings["correct"]].tolist() == ["all", "right"]
    assert set(ratings["rater"]) == {"answer key"}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("7", "a", "x"), ("7", "a", "y")], "more than one response for (instruction, system)"),
        ([("8", "a", "x")], "instruction 8 is not in the answer key (1 of 1 are not)"),
        ([("7", "a", None)], "(7, a): grade: response is NoneType, expected text"),
    ],
)
def test_errors_name_a_response_that_cannot_be_rated(rows, message):
    responses = pd.DataFrame(rows, columns=["instruction_id", "system", "response"])
    with pytest.raises(MedAlignError) as error:
        rate_with_answer_key(responses, {"7": {"facts": [CHEST_PAIN]}}, {})
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "line 1: not JSON"),
        ('"7"', "line 1: expected an object with instruction_id, a string"),
        ('{"instruction_id": 7}', "line 1: expected an object with instruction_id, a string"),
        ('{"instruction_id": "7", "facts": []}', "line 1: facts are []"),
        ('{"instruction_id": "7", "version": 2, "facts": []}',
         "line 1: version 2, but this version of medalign_utils reads answer keys up to version 1"),
        ("\n".join([json.dumps({"instruction_id": "7", "facts": [STROKE]})] * 2),
         "line 2: instruction 7 appears twice"),
    ],
)  # fmt: skip
def test_errors_in_the_answer_key_name_file_and_line(tmp_path, text, message):
    file = tmp_path / "answer-key.jsonl"
    file.write_text(text)
    with pytest.raises(ReleaseError) as error:
        load_answer_key(file)
    assert f"{file}, {message}" in str(error.value)
    with pytest.raises(ReleaseError, match="cannot be read"):
        load_answer_key(tmp_path)
