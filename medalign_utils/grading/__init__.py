"""Grades responses against the facts of the answer key, by stated rules and without a model.

The rules are in docs/grading.md. A response is cut into statements (`text`); dates, numbers and
units are read from them (`dates`, `quantities`); spellings are found and what is said of them
judged (`names`, `assertions`); then each kind of fact has its rule (`numbers`, `claims`).
"""

from medalign_utils.grading.answer_key import load_answer_key, rate_with_answer_key
from medalign_utils.grading.verdict import Grade, grade

__all__ = ["Grade", "grade", "load_answer_key", "rate_with_answer_key"]
