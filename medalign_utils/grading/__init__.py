"""Grades responses against the facts of the answer key, by stated rules and without a model.

docs/grading.md states the rules. `text` splits a response into statements; `dates` and `quantities`
read dates, numbers and units from them; `names` finds spellings and `assertions` decides whether
they are affirmed or negated; `numbers` and `claims` apply the rule for each kind of fact.
"""

from medalign_utils.grading.answer_key import load_answer_key, rate_with_answer_key
from medalign_utils.grading.verdict import GRADER_VERSION, Evidence, Grade, grade

__all__ = [
    "GRADER_VERSION",
    "Evidence",
    "Grade",
    "grade",
    "load_answer_key",
    "rate_with_answer_key",
]
