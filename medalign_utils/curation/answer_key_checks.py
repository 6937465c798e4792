"""Check how often the grader accepts uninformed answers."""

import pandas as pd

from medalign_utils.data.disclosure import may_be_counted
from medalign_utils.data.ehr import ehr_text
from medalign_utils.data.release import Release
from medalign_utils.grading import grade, load_answer_key
from medalign_utils.prompts.templates import fill

CONSTANTS = ("", "yes", "no", "not documented")
SWAPPED = "another instruction's reference"


def uninformed_answers(release: Release, *, is_restricted: bool = False) -> pd.DataFrame:
    """Return how often the answer key accepts an answer that ignores the question.

    The answers are constant texts, the whole prompt, and the references of all other instructions.
    Instructions are left out if "not documented" is correct. Columns: answer; n, the number of
    gradings; correct, the share accepted, in [0, 1]. The table is empty without an answer key, and
    if the release is restricted and the instructions left out are of 1 to 10 patients.
    """
    key = load_answer_key(release.answer_key_path) if release.answer_key_path else {}
    within = set(release.instructions["instruction_id"])
    key = {i: line for i, line in key.items() if i in within}
    facts = {i: line["facts"] for i, line in key.items()}
    facts = {i: f for i, f in facts.items() if all(x["kind"] != "not_documented" for x in f)}
    left_out = [line["person_id"] for i, line in key.items() if i not in facts]
    if is_restricted and not may_be_counted(left_out, (key[i]["person_id"] for i in facts)):
        key, facts = {}, {}
    asked = release.questions
    answers = {
        f'"{answer}"': [(answer, f, asked.get(i, "")) for i, f in facts.items()]
        for answer in CONSTANTS
    }
    people = {i: key[i]["person_id"] for i in facts}
    records = {person: ehr_text(release.ehr_path(person), "lines") for person in {*people.values()}}
    answers["the whole prompt"] = [
        (fill(asked[i], records[people[i]]).text, f, asked[i]) for i, f in facts.items()
    ]
    answers[SWAPPED] = [
        (line["reference"], other["facts"], asked.get(i, ""))
        for line in key.values()
        for i, other in key.items()
        if line is not other
    ]
    graded = {
        name: [grade(*answer).correct for answer in graded]
        for name, graded in answers.items()
        if graded
    }
    rows = [(name, len(correct), sum(correct) / len(correct)) for name, correct in graded.items()]
    return pd.DataFrame(rows, columns=["answer", "n", "correct"])
