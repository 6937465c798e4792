import pytest

from medalign_utils.data.release import load_release
from medalign_utils.error_analysis.outcomes import abstains, judge
from medalign_utils.grading import load_answer_key
from medalign_utils.synthetic import write_release

CREATININE = {"kind": "number", "topic": ["creatinine"], "value": 1.4, "unit": "mg/dL",
              "tolerance": 0.05}  # fmt: skip
SODIUM = CREATININE | {"topic": ["sodium"], "value": 140, "unit": "mmol/L"}
STATIN = {"kind": "term", "accepted": ["atorvastatin"]}
STROKE = {"kind": "yes_no", "topic": ["stroke"], "answer": False}
ECHO = {"kind": "not_documented", "topic": ["echocardiogram"]}


@pytest.mark.parametrize(
    ("response", "facts", "outcome", "abstained"),
    [
        ("Creatinine 1.4, sodium 140.", [CREATININE, SODIUM], "correct", False),
        ("Creatinine 1.4.", [CREATININE, SODIUM], "partly found", False),
        ("Creatinine 1.4, sodium 120.", [CREATININE, SODIUM], "contradicted", False),
        ("Walks well and sleeps well, and eats well too, he says.", [SODIUM], "nothing found",
         False),
        ("The creatinine is not documented.", [CREATININE], "abstained", True),
        ("There is no record of atorvastatin.", [STATIN], "abstained", True),
        (" \n", [CREATININE], "no text", False),
        # To a question of yes or no, this is an answer.
        ("There is no record of a stroke.", [STROKE], "correct", False),
        ("An echocardiogram is not documented.", [ECHO], "correct", True),
        ("The echocardiogram showed an EF of 60 %.", [ECHO], "contradicted", False),
    ],
)  # fmt: skip
def test_outcomes(response, facts, outcome, abstained):
    judged = judge(response, facts)
    assert (judged.outcome, judged.abstained) == (outcome, abstained)
    assert judged.is_absent == (facts == [ECHO])
    assert judged.kind == facts[0]["kind"]


def test_facts_of_several_kinds():
    assert judge("Creatinine 1.4.", [CREATININE, STATIN]).kind == "several kinds"


def test_evidence_is_in_the_response():
    response = "She is well. Creatinine 2.1 mg/dL."
    [piece] = judge(response, [CREATININE]).evidence
    assert "2.1" in response[piece.start : piece.end] and piece.verdict == "contradicted"


def test_references_of_a_synthetic_release_are_correct_and_abstain_where_they_should(tmp_path):
    write_release(tmp_path / "release", patients=6, instructions=60, seed=1)
    release = load_release(tmp_path / "release")
    key = load_answer_key(release.answer_key_path)
    judged = [
        judge(line["reference"], line["facts"], release.questions[i]) for i, line in key.items()
    ]
    assert {j.outcome for j in judged} == {"correct"}
    assert [j.abstained for j in judged] == [j.is_absent for j in judged]
    assert any(j.is_absent for j in judged)
    assert all(abstains("Not documented.", line["facts"]) for line in key.values())
