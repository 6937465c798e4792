"""The verdict on a response: `grade`, whose docstring states all the rules."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from medalign_utils.errors import MedAlignError
from medalign_utils.grading.claims import (
    grade_date,
    grade_not_documented,
    grade_terms,
    grade_yes_no,
)
from medalign_utils.grading.facts import check_facts
from medalign_utils.grading.numbers import grade_number
from medalign_utils.grading.text import read

QUOTED = 8  # record lines: a response that quotes more of them gives the record, not an answer

_GRADERS = {
    "number": grade_number,
    "date": grade_date,
    "term": grade_terms,
    "set": grade_terms,
    "yes_no": grade_yes_no,
    "not_documented": grade_not_documented,
}


class Grade(NamedTuple):
    """What a response says of the facts: see `grade`."""

    correct: bool
    found: float
    contradictions: int
    n_facts: int


def grade(response: str, facts: Sequence[Mapping]) -> Grade:
    """Return the grade of one response against the facts of one instruction.

    Args:
        response: any text. Only its first 256 words (and 5,000 characters) are read: a system may
            write 256 tokens. A response that quotes more than 8 lines of a record finds nothing.
        facts: at least one, as `answer-key.jsonl` holds them, by `kind`:
            `number` (topic, value or pair of values, unit, tolerance; date and from may be null),
            `date` (topic, date, precision: day, month or year), `term` (accepted; rivals, topic),
            `set` (members; rivals), `yes_no` (topic, answer), `not_documented` (topic). `topic`,
            `accepted`, and each rival and member are lists of spellings. Any fact may have
            `subject`: patient (the default) or family. Dates are YYYY-MM-DD.

    Returns:
        `found`, the mean over the facts of their share found, in [0, 1]; `contradictions`, how
        often the response says something else instead; `n_facts`; `correct`, everything found and
        nothing contradicted.

    Raises:
        MedAlignError: a fact is malformed, or there is none, or the response is not text.

    The rules, for every kind:
        Spellings match as whole words in any case, with or without hyphens, in singular or plural;
        those of one or two letters (MI, K) in their own case. A laboratory test or vital sign is
        known by its usual names and LOINC's. A statement ends with its sentence, line or semicolon;
        "It ...", "This ..." continue the one before. The date of a quoted record line governs all
        up to the next such line. A heading or question is part of what it introduces; a question
        itself says nothing. What is said of a relative is not said of the patient; facts with
        subject family look at that only. A response of at most 8 words that quotes no record line
        is bare: if it names nothing else, it need not name the topic.

    number: found if a value within tolerance belongs to the topic. It belongs to the mention of a
        test that precedes it most closely, else to one that follows before the next comma, unless
        it has another name of its own. The unit may be missing or in any usual notation and is
        converted (lb to kg, F to Cel, /uL to 10*3/uL); ignored are numbers with a unit of another
        kind, ranges, bounds (< 60), reference ranges and goals (unless the topic is a goal, target
        or cutoff), and digits in dates, times, codes and names. If the fact has a date, the value
        must have it or be undated: its date is that of its clause, else the nearest of the
        statement, else that of the record line; "up from 1.1", "previously 1.1" are of another
        date. With `from`, the value holds from that day on, and on that day the old one does no
        harm. Another value of the topic, undated or of the fact's date, is a contradiction, but not
        a number in words, one that another fact of the instruction asks for, a peak or a mean.
    date: found if a statement that names the topic, not negated, gives the date at least as exactly
        as `precision`; a quoted line gives its own. If only other dates of the topic are given,
        that is a contradiction; the date on which a note was written never is.
    term: found if an accepted spelling is named and not negated (denies, no, not, without, negative
        for, ruled out ...; the word's reach ends at "but", a full stop, or where the sentence turns
        to what is so). `topic`, if there is one, must be named in the response, unless that is
        bare. Each rival named and not negated, stopped, replaced or only possible (risk of,
        whether, differential) is a contradiction; beside a rival that is only possible, a term that
        is only possible too is not found. A term within a longer one of the other side does
        not count.
    set: every member like a term; `found` is their share, each rival is a contradiction.
    yes_no: an opening "Yes" or "No" decides, if the topic is named in the response or nothing else
        of content is; it is contradicted if all that is said of the topic is against it. Otherwise
        the statements that name the topic decide: "denies chest pain", "chest pain: none" are no,
        "reports chest pain" and the bare mention yes, "no change in her asthma" yes. What was
        stopped or discontinued was so (yes); "no longer smokes", "quit", "former", "resolved" are
        no. Whether, if, risk of, screening for and "not documented" are neither. Both answers
        given: a contradiction.
    not_documented: found if the response says so (not documented, no record of, does not mention,
        cannot be determined ...) of the topic, or without naming anything else; not if it asserts
        content on the topic elsewhere, which is a contradiction. A bare "no" does not say so, and
        these words count for no other kind of fact ("no record of a
        stroke" is a no to "any stroke?").

    Known limits: a value need not be *said* to be the latest or highest; a list of all of them,
    each with its date, counts. "has not had" negates the member of a set that asks what is missing.
    Units of mass and of substance (mg/dL, mmol/L) are not converted into each other; mmol/L and
    mEq/L are taken as one. Dates in digits are read month first. Sarcasm, coreference beyond "it",
    negation across statements and several readings of one day are not understood.

    >>> creatinine = {"kind": "number", "topic": ["creatinine"], "value": 1.4, "unit": "mg/dL",
    ...               "tolerance": 0.05, "date": "2014-08-10"}
    >>> grade("Her creatinine was 1.40 mg/dl on Aug 10, 2014, up from 1.1.", [creatinine])
    Grade(correct=True, found=1.0, contradictions=0, n_facts=1)
    >>> grade("Her creatinine was 1.4 on 3/2/2012.", [creatinine]).found
    0.0
    >>> grade("She denies chest pain.", [{"kind": "yes_no", "topic": ["chest pain"],
    ...                                   "answer": True}])
    Grade(correct=False, found=0.0, contradictions=1, n_facts=1)
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
