"""Reads the answer key and rates responses with it."""

import json
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from medalign_utils.errors import MedAlignError, ReleaseError
from medalign_utils.grading.facts import check_facts
from medalign_utils.grading.verdict import GRADER_VERSION, grade

RATER = "answer key"
VERSION = 1  # of the facts; a line without version has 1


def load_answer_key(path: str | Path) -> dict[str, dict]:
    """Return the lines of `answer-key.jsonl` by `instruction_id`, in the file's order.

    Raises:
        ReleaseError: the file cannot be read or is malformed; the message names file and line.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ReleaseError(f"load_answer_key: {path} cannot be read ({error})") from None
    key: dict[str, dict] = {}
    for n, text in enumerate(lines, start=1):
        if not text.strip():
            continue
        try:
            line = json.loads(text)
            if not isinstance(line, dict) or not isinstance(line.get("instruction_id"), str):
                raise MedAlignError("expected an object with instruction_id, a string")
            version = line.get("version", 1)
            if not isinstance(version, int) or not 1 <= version <= VERSION:
                raise MedAlignError(
                    f"version {version!r}, but this version of medalign_utils reads answer keys up "
                    f"to version {VERSION}; update it"
                )
            if line["instruction_id"] in key:
                raise MedAlignError(f"instruction {line['instruction_id']} appears twice")
            check_facts(line.get("facts"))
        except (json.JSONDecodeError, RecursionError, MedAlignError) as error:
            fault = str(error).removeprefix("grade: ")
            fault = fault if isinstance(error, MedAlignError) else f"not JSON ({fault})"
            raise ReleaseError(f"load_answer_key: {path}, line {n}: {fault}") from None
        key[line["instruction_id"]] = line
    return key


def rate_with_answer_key(
    responses: pd.DataFrame, answer_key: Mapping[str, Mapping], instructions: Mapping[str, str]
) -> pd.DataFrame:
    """Return one rating per response, in the same order, in the form of a clinician's.

    `responses` has the columns instruction_id, system and response. Where a column failure is not
    "" there is no response: it is not correct and ranks last. `instructions` has the instructions'
    texts by instruction_id, as far as they are known. The ratings have instruction_id, system,
    rater ("answer key"), correct (bool), rank (float, 1 is best, within the instruction, by facts
    found minus contradictions; ties share their average rank) and grader (`GRADER_VERSION`).

    Raises:
        MedAlignError: a pair of instruction and system appears twice, an instruction is not in the
            key, or a response is not text.
    """
    where = "rate_with_answer_key"
    ratings = responses[["instruction_id", "system"]].reset_index(drop=True)
    if (repeated := ratings.duplicated()).any():
        first = tuple(ratings[repeated].iloc[0])
        raise MedAlignError(f"{where}: more than one response for (instruction, system) {first}")
    ids = ratings["instruction_id"]
    if unknown := sorted(set(ids) - set(answer_key)):
        raise MedAlignError(
            f"{where}: instruction {unknown[0]} is not in the answer key "
            f"({len(unknown)} of {ids.nunique()} are not)"
        )
    grades = []
    for row in responses.itertuples(index=False):
        try:
            asked = instructions.get(row.instruction_id, "")
            grades.append(grade(row.response, answer_key[row.instruction_id]["facts"], asked))
        except MedAlignError as error:
            raise MedAlignError(f"{where}: ({row.instruction_id}, {row.system}): {error}") from None
    ratings["rater"] = RATER
    ratings["correct"] = pd.Series([g.correct for g in grades], dtype=bool)
    # Rounded, so that equal shares summed in a different order stay equal. No response has more
    # points than a correct one.
    points = [round(g.found * g.n_facts - g.contradictions, 9) for g in grades]
    ratings["rank"] = pd.Series(points, dtype=float)
    if "failure" in responses:
        has_failed = responses["failure"].fillna("").ne("").to_numpy()
        ratings.loc[has_failed, ["correct", "rank"]] = [False, -float("inf")]
    ratings["rank"] = ratings["rank"].groupby(ids).rank(ascending=False)
    ratings["grader"] = GRADER_VERSION
    return ratings
