"""Grade answers that were produced elsewhere, without an experiment."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from medalign_utils.data.release import Release, instructions_to_answer
from medalign_utils.data.tables import read_table, require_mapped, shown_columns
from medalign_utils.errors import MedAlignError, ReleaseError
from medalign_utils.evaluation.systems import OUTCOMES, outcomes_of
from medalign_utils.grading import GRADER_VERSION, grade, load_answer_key
from medalign_utils.stats.bootstrap import interval_columns
from medalign_utils.stats.proportions import proportions

# Columns that a file of answers may have besides instruction_id and response.
_OPTIONAL = ("finish_reason", "failure")


class GradedAnswers(NamedTuple):
    """One system's answers to a release's instructions, graded with its answer key.

    Attributes:
        table: one row: system, n, correct with its bounds, n_patients,
            missing (instructions without an answer), and those `systems.OUTCOMES` that are known
            and occur; empty is always there, cut if the answers have finish_reason.
        verdicts: one dict per instruction with a reference, in the order of the release.

            - instruction_id, correct, grader (its version)
            - reason: why it is not correct, or ""
            - facts: for each fact asked (text), verdict ("found", "partly found", "contradicted" or
              "omitted") and evidence: verdict, text, and start and end of the text in the response
        n_not_asked: answers to instructions without a reference, which do not count.
    """

    table: pd.DataFrame
    verdicts: list[dict[str, Any]]
    n_not_asked: int

    def notes(self) -> list[str]:
        """Return sentences on what the table does not show or does not count."""
        [row] = self.table.to_dict("records")
        notes = []
        if n := row["missing"]:
            they = "has no answer: it is" if n == 1 else "have no answer: they are"
            notes.append(f"{n} of {row['n']} instructions {they} not correct")
        if n := self.n_not_asked:
            answers, do = ("answer", "does") if n == 1 else ("answers", "do")
            notes.append(f"{n} {answers} to instructions without a reference {do} not count")
        if "cut" not in row:
            notes.append("how many answers were cut is not known: there is no column finish_reason")
        return notes


def read_answers(file: Path, columns: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Return a file's answers: instruction_id (key), response ("" if missing).

    The columns finish_reason and failure are there if the file has them. The index is the row.

    Args:
        file: JSON (a list of objects, or one object per line), CSV or TSV.
        columns: our column -> the file's name for it.

    Raises:
        ReleaseError: the file cannot be read, or a row is faulty.
        ParamsError: a column that `columns` names is not in the file.
    """
    if not file.is_file():
        raise ReleaseError(f"{file}: no such file")
    names = ("instruction_id", "response")
    require_mapped(columns, {file: (*names, *_OPTIONAL)})
    columns = dict(zip(names, names, strict=True)) | dict(columns or {})
    options: dict[str, Any] = {"may_be_empty": ["response"], "key": ["instruction_id"]}
    hint = "name it with `--columns {column}=<name>`"
    table = read_table(file, names, _OPTIONAL, columns=columns, hint=hint, **options)
    if table.problems:
        n = len(table.problems) - 1
        raise ReleaseError(str(table.problems[0]) + f" ({n} more such rows)" * bool(n))
    if table.frame.empty:
        raise ReleaseError(f"{file}: no answers")
    absent = [name for name in _OPTIONAL if table.frame[name].isna().all()]
    return table.frame.drop(columns=absent).fillna("")


def grade_answers(
    answers: str | Path | pd.DataFrame,
    release: Release,
    system: str = "",
    *,
    columns: Mapping[str, str] | None = None,
) -> GradedAnswers:
    """Return the grades of answers to a release's instructions that have a reference.

    The release must have an answer key. An instruction without an answer counts as not correct,
    like an empty answer or one whose failure is not "".

    - answers: a file, as for `read_answers`; or a table with instruction_id and response
    - system: a name for the table; by default the file's stem
    - columns: our column -> the answers' name for it

    Raises:
        ReleaseError: the release has no answer key, or as `read_answers`.
        MedAlignError: an id is not in the release, or occurs twice.
    """
    if release.answer_key_path is None:
        raise ReleaseError(
            f"{release.path} has no answer-key.jsonl, so answers to it cannot be graded without "
            "clinicians; use a synthetic release, such as data/demo, which `make reproduce` writes"
        )
    if isinstance(answers, pd.DataFrame):
        place, given = "grade_answers", _checked(answers, columns)
    else:
        place, given = str(answers), read_answers(Path(answers), columns)
        system = system or Path(answers).stem
    unknown = given[~given["instruction_id"].isin(release.instructions["instruction_id"])]
    if len(unknown):
        raise MedAlignError(
            f"{place}, row {unknown.index[0]}: no instruction {unknown['instruction_id'].iloc[0]} "
            f"in {release.path} ({len(unknown)} of {len(given)} answers have unknown ids)"
        )
    asked = instructions_to_answer(release).sort_index()
    is_asked = given["instruction_id"].isin(asked["instruction_id"])
    given = given[is_asked].set_index("instruction_id")
    key = load_answer_key(release.answer_key_path)
    verdicts = [
        {
            "instruction_id": i,
            **_verdict(given.loc[i] if i in given.index else None, question, key[i]),
        }
        for i, question in asked[["instruction_id", "question"]].itertuples(index=False)
    ]
    is_correct = pd.Series([verdict["correct"] for verdict in verdicts], dtype=float)
    [interval] = proportions(is_correct.to_numpy()[:, np.newaxis], asked["person_id"])
    outcomes = outcomes_of(given).value_counts()
    known = [name for name in OUTCOMES if name in outcomes or name == "empty"]
    known += ["cut"] if "finish_reason" in given and "cut" not in known else []
    row = {"system": system or "answers", "n": len(asked)}
    row |= {name: value[0] for name, value in interval_columns("correct", [interval]).items()}
    row |= {"n_patients": asked["person_id"].nunique(), "missing": len(asked) - len(given)}
    row |= {name: int(outcomes.get(name, 0)) for name in sorted(known, key=OUTCOMES.index)}
    return GradedAnswers(pd.DataFrame([row]), verdicts, int((~is_asked).sum()))


def _checked(answers: pd.DataFrame, columns: Mapping[str, str] | None) -> pd.DataFrame:
    """Return a table of answers with our names, and ids as text."""
    given = answers.rename(columns={name: column for column, name in (columns or {}).items()})
    if absent := [name for name in ("instruction_id", "response") if name not in given]:
        found = shown_columns([*map(str, answers)])
        raise MedAlignError(f"grade_answers: no column {', '.join(absent)}; found {found}")
    given = given[["instruction_id", "response", *(name for name in _OPTIONAL if name in given)]]
    given = given.fillna("").astype("str")
    repeated = given.loc[given["instruction_id"].duplicated(), "instruction_id"]
    if len(repeated):
        raise MedAlignError(f"grade_answers: instruction {repeated.iloc[0]} has several answers")
    return given


def _verdict(answer: pd.Series | None, question: str, line: Mapping[str, Any]) -> dict[str, Any]:
    """Return the verdict on one answer; None stands for a missing one."""
    failure = "no answer" if answer is None else answer.get("failure", "")
    response = "" if failure else answer["response"]
    found = grade(response, line["facts"], question)
    facts = []
    for n, fact in enumerate(line["facts"]):
        pieces = [
            {
                "verdict": p.verdict,
                "text": response[p.start : p.end],
                "start": p.start,
                "end": p.end,
            }
            for p in found.evidence
            if p.fact == n
        ]
        verdict = "found" if found.correct else _verdict_on(fact, pieces, response, question)
        facts.append({"asked": describe_fact(fact), "verdict": verdict, "evidence": pieces})
    not_found = [f"{f['asked']}: {f['verdict']}" for f in facts if f["verdict"] != "found"]
    reason = failure or ("empty" if not response.strip() else "; ".join(not_found))
    reason = "" if found.correct else reason or "a fact is contradicted"
    return {"correct": found.correct, "reason": reason, "facts": facts, "grader": GRADER_VERSION}


def _verdict_on(fact: Mapping, pieces: list[dict], response: str, question: str) -> str:
    verdicts = {piece["verdict"] for piece in pieces}
    if "contradicted" in verdicts or not verdicts:
        return "contradicted" if verdicts else "omitted"
    # Evidence of a set shows which members were found, not whether all were.
    return "found" if grade(response, [fact], question).found == 1 else "partly found"


def describe_fact(fact: Mapping[str, Any]) -> str:
    """Return what a fact of an answer key asks for, in a few words.

    >>> describe_fact({"kind": "number", "topic": ["creatinine"], "value": 1.4, "unit": "mg/dL",
    ...                "tolerance": 0.05, "date": "2014-08-10"})
    'creatinine: 1.4 mg/dL on 2014-08-10'
    >>> describe_fact({"kind": "yes_no", "topic": ["stroke"], "answer": True, "subject": "family"})
    'stroke (family): yes'
    """
    kind, topic = fact["kind"], (fact.get("topic") or [""])[0]
    if kind == "number":
        values = fact["value"] if isinstance(fact["value"], list) else [fact["value"]]
        answer = f"{'/'.join(f'{value:g}' for value in values)} {fact['unit'] or ''}".strip()
        answer += f" on {fact['date']}" if fact.get("date") else ""
        answer += f" from {fact['from']}" if fact.get("from") else ""
    elif kind == "date":
        length = {"year": 4, "month": 7, "day": 10}[fact["precision"]]
        answer = fact["date"][:length]
    elif kind in ("term", "set"):
        spellings = [fact["accepted"]] if kind == "term" else fact["members"]
        answer = ", ".join(names[0] for names in spellings)
    elif kind == "yes_no":
        answer = "yes" if fact["answer"] else "no"
    else:
        answer = "not documented"
    subject = " (family)" if fact.get("subject") == "family" else ""
    return f"{topic}{subject}: {answer}" if topic else f"{answer}{subject}"
