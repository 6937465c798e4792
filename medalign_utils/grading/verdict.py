"""Grades one response by the rules in docs/grading.md."""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from medalign_utils.errors import MedAlignError
from medalign_utils.grading.facts import Fact, Result, check_facts
from medalign_utils.grading.moments import grade_date
from medalign_utils.grading.not_documented import grade_not_documented
from medalign_utils.grading.numbers import grade_number
from medalign_utils.grading.sets import grade_set
from medalign_utils.grading.terms import grade_term
from medalign_utils.grading.text import Reading, read
from medalign_utils.grading.yes_no import grade_yes_no

# Raised whenever a response may be graded differently than before; ratings bear it.
GRADER_VERSION = "3"
QUOTED = 8  # record lines; a response that quotes more is the record, not an answer

_GRADERS = {
    "number": grade_number,
    "date": grade_date,
    "term": grade_term,
    "set": grade_set,
    "yes_no": grade_yes_no,
    "not_documented": grade_not_documented,
}


class Evidence(NamedTuple):
    """What decided about a fact: `response[start:end]` finds or contradicts it."""

    fact: int  # index in the facts
    verdict: Literal["found", "contradicted"]
    start: int
    end: int


class Grade(NamedTuple):
    """How a response compares with the facts: `correct` if all are found and none contradicted."""

    correct: bool
    found: float  # mean share of each fact, 0 to 1
    contradictions: int
    n_facts: int
    evidence: tuple[Evidence, ...] = ()


def grade(response: str, facts: Sequence[Mapping], instruction: str = "") -> Grade:
    """Return the grade of a response against an instruction's facts (form: docs/grading.md).

    `instruction` is the instruction's text, so that "None." answers "Any complication?".

    Raises:
        MedAlignError: there are no facts, one is malformed, or the response is not text.

    >>> creatinine = {"kind": "number", "topic": ["creatinine"], "value": 1.4, "unit": "mg/dL",
    ...               "tolerance": 0.05, "date": "2014-08-10"}
    >>> response = "Her creatinine was 1.40 mg/dl on Aug 10, 2014, up from 1.1."
    >>> graded = grade(response, [creatinine], "What was her creatinine on 8/10/2014?")
    >>> graded.correct, [(e.verdict, response[e.start : e.end]) for e in graded.evidence]
    (True, [('found', '1.40 mg/dl')])
    """
    for name, text in (("response", response), ("instruction", instruction)):
        if not isinstance(text, str):
            raise MedAlignError(f"grade: {name} is {type(text).__name__}, expected text")
    checked = check_facts(facts)
    reading = read(response, instruction)
    if reading.n_quoted > QUOTED:
        return Grade(False, 0.0, 0, len(checked))
    results = [_compare(fact, reading, checked) for fact in checked]
    found = sum(result.share for result in results) / len(checked)
    contradictions = sum(result.contradictions for result in results)
    correct = all(result.share == 1 for result in results) and not contradictions
    evidence = [
        Evidence(n, piece.verdict, piece.start, piece.end)
        for n, result in enumerate(results)
        for piece in result.evidence
    ]
    return Grade(correct, found, contradictions, len(checked), tuple(dict.fromkeys(evidence)))


def _compare(fact: Fact, reading: Reading, facts: list[Fact]) -> Result:
    """Return the result of the most decisive part of the response that speaks about the fact."""
    decided = reading if fact.kind == "not_documented" else reading.decided
    results = (_GRADERS[fact.kind](fact, part, facts) for part in decided.parts)
    return next((result for result in results if result.evidence), Result(0.0, 0))
