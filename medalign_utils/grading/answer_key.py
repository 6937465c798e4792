"""The answer key's file, and ratings of responses by it."""

import json
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from medalign_utils.errors import MedAlignError, ReleaseError
from medalign_utils.grading.facts import check_facts
from medalign_utils.grading.verdict import grade

RATER = "answer key"


def load_answer_key(path: str | Path) -> dict[str, dict]:
    """Return the lines of `answer-key.jsonl` by `instruction_id`, in the file's order.

    Empty lines are passed over.

    Raises:
        ReleaseError: the file cannot be read, a line is not an object with `instruction_id` (a
            string) and `facts`, an id comes twice, or a fact is malformed; the message names file
            and line.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp(), "answer-key.jsonl")
    >>> _ = file.write_text('{"instruction_id": "7", "facts": [{"kind": "yes_no", "topic": '
    ...                     '["stroke"], "answer": false}]}')
    >>> load_answer_key(file)["7"]["facts"][0]["topic"]
    ['stroke']
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ReleaseError(f"load_answer_key: {path} cannot be read ({error})") from None
    key: dict[str, dict] = {}
    for n, text in enumerate(lines, start=1):
        if not text.strip():
            continue
        where = f"load_answer_key: {path}, line {n}"
        try:
            line = json.loads(text)
        except (json.JSONDecodeError, RecursionError) as error:
            raise ReleaseError(f"{where}: no JSON ({error})") from None
        if not isinstance(line, dict) or not isinstance(line.get("instruction_id"), str):
            raise ReleaseError(f"{where}: expected an object with instruction_id, a string")
        if line["instruction_id"] in key:
            raise ReleaseError(f"{where}: instruction {line['instruction_id']} comes twice")
        try:
            check_facts(line.get("facts"))
        except MedAlignError as error:
            raise ReleaseError(f"{where}: {str(error).removeprefix('grade: ')}") from None
        key[line["instruction_id"]] = line
    return key


def rate_with_answer_key(
    responses: pd.DataFrame, answer_key: Mapping[str, Mapping]
) -> pd.DataFrame:
    """Return ratings of responses by the answer key, as a clinician would give them.

    Args:
        responses: columns instruction_id, system, response; one row for each pair of the first two.
        answer_key: as `load_answer_key` returns it.

    Returns:
        One row per response in the same order: instruction_id, system, rater ("answer key"),
        correct (bool), rank (float, 1 is best, within the instruction). Responses are ordered by
        (correct, facts found - contradictions); equal ones share their average rank.

    Raises:
        MedAlignError: a column is missing, a pair comes twice, an instruction is not in the key, or
            a response is not text.

    >>> key = {"7": {"facts": [{"kind": "yes_no", "topic": ["stroke"], "answer": False}]}}
    >>> rows = pd.DataFrame({"instruction_id": ["7"] * 3, "system": ["a", "b", "c"],
    ...                      "response": ["Yes.", "No history of stroke.", ""]})
    >>> rate_with_answer_key(rows, key)[["correct", "rank"]].values.tolist()
    [[False, 3.0], [True, 1.0], [False, 2.0]]
    """
    where = "rate_with_answer_key"
    for column in ("instruction_id", "system", "response"):
        if column not in responses:
            raise MedAlignError(f"{where}: no column {column!r}, found {list(responses)}")
    pairs = responses[["instruction_id", "system"]]
    if pairs.duplicated().any():
        first = tuple(pairs[pairs.duplicated()].iloc[0])
        raise MedAlignError(f"{where}: more than one response for (instruction, system) {first}")
    unknown = sorted(set(responses["instruction_id"]) - set(answer_key))
    if unknown:
        raise MedAlignError(
            f"{where}: instruction {unknown[0]} is not in the answer key "
            f"({len(unknown)} of {responses['instruction_id'].nunique()} are not)"
        )
    merit = []
    for row in responses.itertuples(index=False):
        try:
            graded = grade(row.response, answer_key[row.instruction_id]["facts"])
        except MedAlignError as error:
            raise MedAlignError(f"{where}: ({row.instruction_id}, {row.system}): {error}") from None
        # Rounded, so that equal shares summed in another order stay equal.
        points = round(graded.found * graded.n_facts - graded.contradictions, 9)
        merit.append((graded.correct, points))
    places = {value: float(place) for place, value in enumerate(sorted(set(merit)))}
    ratings = pairs.reset_index(drop=True)
    ratings["rater"] = RATER
    ratings["correct"] = pd.Series([correct for correct, _ in merit], dtype=bool)
    by_instruction = pd.Series([places[m] for m in merit], dtype=float).groupby(
        ratings["instruction_id"]
    )
    ratings["rank"] = by_instruction.rank(ascending=False)
    return ratings
