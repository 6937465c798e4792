"""What is right or wrong with each response, by the answer key's facts."""

from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any, NamedTuple

import pandas as pd

from medalign_utils.evaluation.ratings import has_ratings, rate
from medalign_utils.grading import grade, load_answer_key
from medalign_utils.grading.verdict import Evidence
from medalign_utils.run import Run

CORRECT, CONTRADICTED, ABSTAINED, PARTLY, NOTHING, NO_TEXT = OUTCOMES = (
    "correct",
    "contradicted",
    "abstained",
    "partly found",
    "nothing found",
    "no text",
)
# Errors that state nothing wrong.
OMISSIONS = OUTCOMES[2:]
ABSENT = "not_documented"
SEVERAL = "several kinds"


class Judged(NamedTuple):
    """One response compared with its instruction's facts."""

    outcome: str  # one of OUTCOMES
    kind: str  # of the instruction's facts, or SEVERAL
    is_absent: bool  # the record does not document what is asked
    abstained: bool  # the response says so
    evidence: tuple[Evidence, ...]  # what decided


def judge_responses(run: Run) -> pd.DataFrame:
    """Return one row per response of a run.

    Columns: instruction_id, system, person_id, response, correct (boolean, missing if not rated),
    and, if the run generated the responses, failure and ehr_tokens_kept, which is missing if a
    server cut the prompt. If an answer key rates them, there are also the fields of `Judged`.
    """
    responses = pd.concat([run.responses(system) for system in run.systems], ignore_index=True)
    if "ehr_tokens_kept" in responses:
        was_cut = responses["prompt_tokens_read"].notna()
        responses["ehr_tokens_kept"] = responses["ehr_tokens_kept"].mask(was_cut)
    columns = "instruction_id system response ehr_tokens_kept failure".split()
    responses = responses[[name for name in columns if name in responses]]
    person = run.release.instructions.set_index("instruction_id")["person_id"]
    responses = responses.assign(person_id=responses["instruction_id"].map(person))
    if not has_ratings(run):
        return responses.assign(correct=pd.array([pd.NA] * len(responses), dtype="boolean"))
    ratings = rate(run)[["instruction_id", "system", "correct"]]
    responses = responses.merge(ratings, on=["instruction_id", "system"], how="left")
    responses = responses.astype({"correct": "boolean"})
    if run.source == "released" or run.ratings == "collected":
        return responses
    key = load_answer_key(run.release.answer_key_path)
    judged = [
        judge(
            "" if row.failure else row.response,
            key[row.instruction_id]["facts"],
            run.release.questions.get(row.instruction_id, ""),
        )
        for row in responses.itertuples()
    ]
    return responses.join(pd.DataFrame(judged, columns=Judged._fields, index=responses.index))


def judge(response: str, facts: Iterable[Mapping[str, Any]], instruction: str = "") -> Judged:
    """Return what is right or wrong with a response.

    A response that contradicts a fact is "contradicted" even if it also gives the right answer. It
    "abstained" if it wrongly says that what is asked is not documented. The others are omissions:
    they find a part of the answer, or nothing, and state nothing wrong.

    >>> creatinine = {"kind": "number", "topic": ["creatinine"], "value": 1.4, "unit": "mg/dL",
    ...     "tolerance": 0.05}
    >>> responses = "Creatinine 1.4 mg/dL", "Creatinine 2.1 mg/dL", "Creatinine is not documented."
    >>> [judge(text, [creatinine]).outcome for text in responses]
    ['correct', 'contradicted', 'abstained']
    """
    facts = list(facts)
    graded = grade(response, facts, instruction)
    kinds = {fact["kind"] for fact in facts}
    is_absent = kinds == {ABSENT}
    # "No record of a stroke" answers a question of yes or no.
    answers = graded.correct and not is_absent
    abstained = not answers and abstains(response, facts, instruction)
    if graded.correct:
        outcome = CORRECT
    elif not response.strip():
        outcome = NO_TEXT
    elif graded.contradictions:
        outcome = CONTRADICTED
    elif abstained:
        outcome = ABSTAINED
    else:
        outcome = PARTLY if graded.found > 0 else NOTHING
    kind = kinds.pop() if len(kinds) == 1 else SEVERAL
    return Judged(outcome, kind, is_absent, abstained, graded.evidence)


def abstains(response: str, facts: Iterable[Mapping[str, Any]], instruction: str = "") -> bool:
    """Return whether a response says that what the facts are about is not documented.

    This is so if it would be correct for a fact "not documented" with their topics; a fact without
    a topic is about the spellings that it accepts.
    """
    topics = chain.from_iterable(map(_topic, facts))
    absent = {"kind": ABSENT, "topic": list(dict.fromkeys(topics))}
    return grade(response, [absent], instruction).correct


def _topic(fact: Mapping[str, Any]) -> list[str]:
    if fact.get("topic"):
        return list(fact["topic"])
    return list(chain(fact.get("accepted", ()), *fact.get("members", ())))
