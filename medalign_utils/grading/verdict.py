"""Grades one response by the rules in docs/grading.md."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from medalign_utils.errors import MedAlignError
from medalign_utils.grading import claims
from medalign_utils.grading.facts import check_facts
from medalign_utils.grading.numbers import grade_number
from medalign_utils.grading.text import read

QUOTED = 8  # record lines; a response that quotes more is the record, not an answer

_GRADERS = {
    "number": grade_number,
    "date": claims.grade_date,
    "term": claims.grade_terms,
    "set": claims.grade_terms,
    "yes_no": claims.grade_yes_no,
    "not_documented": claims.grade_not_documented,
}


class Grade(NamedTuple):
    """How a response compares with the facts: `correct` if all are found and none contradicted."""

    correct: bool
    found: float  # mean share of each fact, 0 to 1
    contradictions: int
    n_facts: int


def grade(response: str, facts: Sequence[Mapping]) -> Grade:
    """Return the grade of a response against an instruction's facts (form: docs/grading.md).

    Raises:
        MedAlignError: there are no facts, one is malformed, or the response is not text.

    >>> creatinine = {"kind": "number", "topic": ["creatinine"], "value": 1.4, "unit": "mg/dL",
    ...               "tolerance": 0.05, "date": "2014-08-10"}
    >>> grade("Her creatinine was 1.40 mg/dl on Aug 10, 2014, up from 1.1.", [creatinine])
    Grade(correct=True, found=1.0, contradictions=0, n_facts=1)
    """
    if not isinstance(response, str):
        raise MedAlignError(f"grade: response is {type(response).__name__}, expected text")
    checked = check_facts(facts)
    reading = read(response)
    if reading.n_quoted > QUOTED:
        return Grade(False, 0.0, 0, len(checked))
    shares, contradictions = zip(
        *(_GRADERS[fact.kind](fact, reading, checked) for fact in checked), strict=True
    )
    correct = all(share == 1 for share in shares) and not any(contradictions)
    return Grade(correct, sum(shares) / len(checked), sum(contradictions), len(checked))
