"""Checks of the answer key itself: what empty answers and mixed-up references score."""

from collections.abc import Mapping

import pandas as pd

from medalign_utils.data.ehr import ehr_text
from medalign_utils.data.release import Release
from medalign_utils.grading import grade
from medalign_utils.prompts.templates import fill

CONSTANTS = ("", "yes", "no", "not documented")


def constant_answers(release: Release, answer_key: Mapping[str, dict]) -> pd.DataFrame:
    """How often an answer that ignores the question grades as correct.

    Args:
        release: a synthetic release.
        answer_key: instruction id -> line of its answer key.

    Returns:
        One row an answer: answer, n (the answerable instructions: all but those whose answer
        is "not documented"), correct (the share graded correct, in [0, 1]).
    """
    answerable = {
        i: line["facts"]
        for i, line in answer_key.items()
        if all(fact["kind"] != "not_documented" for fact in line["facts"])
    }
    rows = []
    for answer in CONSTANTS:
        correct = [grade(answer, facts).correct for facts in answerable.values()]
        rows.append((f'"{answer}"', len(correct), sum(correct) / len(correct)))
    questions = release.instructions.set_index("instruction_id")["question"]
    people = {answer_key[i]["person_id"] for i in answerable}
    records = {person: ehr_text(release.ehr_path(person), "lines") for person in sorted(people)}
    echoed = [
        grade(fill(questions[i], records[answer_key[i]["person_id"]]).text, facts).correct
        for i, facts in answerable.items()
    ]
    rows.append(("the whole prompt", len(echoed), sum(echoed) / len(echoed)))
    return pd.DataFrame(rows, columns=["answer", "n", "correct"])


def swapped_references(answer_key: Mapping[str, dict]) -> float:
    """The share of pairs (reference of one instruction, facts of another) that grade as correct."""
    pairs = [
        grade(one["reference"], other["facts"]).correct
        for one in answer_key.values()
        for other in answer_key.values()
        if one is not other
    ]
    return sum(pairs) / len(pairs)
