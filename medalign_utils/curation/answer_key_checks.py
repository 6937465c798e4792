"""Checks of the answer key: how often uninformed answers and swapped references pass."""

from collections.abc import Mapping

import pandas as pd

from medalign_utils.data.ehr import ehr_text
from medalign_utils.data.release import Release
from medalign_utils.grading import grade
from medalign_utils.prompts.templates import fill

CONSTANTS = ("", "yes", "no", "not documented")


def constant_answers(release: Release, answer_key: Mapping[str, dict]) -> pd.DataFrame:
    """Return how often an answer that ignores the question is graded correct.

    Args:
        release: a synthetic release.
        answer_key: instruction id -> line of its answer key.

    Returns:
        One row per answer: answer, n (instructions, except those whose answer is "not documented"),
        correct (share graded correct, in [0, 1]).
    """
    answerable = {
        i: line["facts"]
        for i, line in answer_key.items()
        if all(fact["kind"] != "not_documented" for fact in line["facts"])
    }
    answers = {f'"{answer}"': dict.fromkeys(answerable, answer) for answer in CONSTANTS}
    questions = release.instructions.set_index("instruction_id")["question"]
    people = {i: answer_key[i]["person_id"] for i in answerable}
    records = {person: ehr_text(release.ehr_path(person), "lines") for person in {*people.values()}}
    answers["the whole prompt"] = {
        i: fill(questions[i], records[people[i]]).text for i in answerable
    }
    rows = []
    for name, texts in answers.items():
        correct = [grade(texts[i], facts).correct for i, facts in answerable.items()]
        rows.append((name, len(correct), sum(correct) / len(correct)))
    return pd.DataFrame(rows, columns=["answer", "n", "correct"])


def swapped_references(answer_key: Mapping[str, dict]) -> float:
    """Return the share of references that are graded correct for another instruction."""
    correct = [
        grade(line["reference"], other["facts"]).correct
        for line in answer_key.values()
        for other in answer_key.values()
        if line is not other
    ]
    return sum(correct) / len(correct)
