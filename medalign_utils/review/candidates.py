"""What a review may be about: instructions, their responses, and how much each weighs."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from medalign_utils.data.release import Release, instructions_to_answer
from medalign_utils.errors import MedAlignError, reading
from medalign_utils.paths import read_csv
from medalign_utils.review.items import NO_CATEGORY
from medalign_utils.run import Run


def read_weights(file: Path, release: Release) -> dict[str, float]:
    """Return instruction_id -> weight from a CSV with these two columns.

    Raises:
        MedAlignError: the file cannot be read or has no such columns; an instruction is not in the
            release or occurs twice; or a weight is not a number from 0.
    """
    with reading(file, MedAlignError):
        try:
            table = read_csv(file, dtype=str, keep_default_na=False)
        except ValueError:  # pandas' own, which may quote the file
            raise MedAlignError(f"{file}: not a table, CSV in UTF-8") from None
    if missing := {"instruction_id", "weight"} - set(table.columns):
        raise MedAlignError(f"{file}: no column {', '.join(sorted(missing))}")
    ids = table["instruction_id"]
    weights = pd.to_numeric(table["weight"], errors="coerce")
    for is_wrong, fault in (
        (~ids.isin(release.instructions["instruction_id"]), "is not in the release"),
        (ids.duplicated(), "occurs twice"),
        (~(np.isfinite(weights) & (weights >= 0)), "has a weight that is not a number from 0"),
    ):
        for row in table.index[is_wrong][:1]:
            raise MedAlignError(f"{file}, row {row + 1}: instruction {ids[row]} {fault}")
    return dict(zip(ids, weights, strict=True))


def answers_of(run: Run, notes: list[str]) -> dict[str, dict[str, str | None]]:
    """Return instruction_id -> system -> response, None if it failed; say what is missing."""
    run.require_responses()
    answers: dict[str, dict[str, str | None]] = {}
    for system in run.systems:
        table = run.responses(system)
        failed = table["failure"].ne("") if "failure" in table else pd.Series(False, table.index)
        texts = table["response"].fillna("").astype(object).mask(failed, None)
        for instruction_id, text in zip(table["instruction_id"], texts, strict=True):
            answers.setdefault(instruction_id, {})[system] = text
    for fault, what in (
        ("has no response to", "and gets no rating there"),
        ("failed to answer", "where it is not shown: not correct, and the last rank"),
        ("gave an empty response to", "which raters judge like any other"),
    ):
        for system in run.systems:
            faults = [_fault(given, system) for given in answers.values()]
            if n := faults.count(fault):
                notes.append(f"{system} {fault} {n} of {len(answers)} instructions, {what}")
    return answers


def _fault(given: Mapping[str, str | None], system: str) -> str:
    if system not in given:
        return "has no response to"
    if given[system] is None:
        return "failed to answer"
    return "" if given[system].strip() else "gave an empty response to"


def candidates_of(
    run: Run,
    mode: str,
    answers: Mapping[str, Mapping[str, str | None]],
    weights: Mapping[str, float] | None,
    notes: list[str],
) -> pd.DataFrame:
    """Return the instructions that may be judged, with category, weight and n_responses."""
    release = run.release
    table = release.instructions
    if mode == "judge":
        if run.source == "generated":
            table = instructions_to_answer(release)
        shown = {i: {*given.values()} - {None} for i, given in answers.items()}
        n_responses = table["instruction_id"].map(lambda i: len(shown.get(i, ())))
        table = table.assign(n_responses=n_responses)[n_responses > 0]
        if n := int((n_responses == 0).sum()):
            notes.append(f"{n} instructions without any response are left out")
        n_given = sum(text is not None for i in shown for text in answers[i].values())
        n_shown = sum(map(len, shown.values()))
        if n_given > n_shown:
            notes.append(
                f"{n_given - n_shown} of {n_given} responses repeat another system's to the same "
                "instruction word for word: shown once, the verdict and the rank count for both"
            )
    else:
        has_reference = table["instruction_id"].isin(release.references["instruction_id"])
        if has_reference.all():
            notes.append("every instruction has a reference; raters write another one")
        else:
            table = table[~has_reference]
        table = table.assign(n_responses=1)
    if (lacks := table["person_id"].isna()).any():
        notes.append(f"{lacks.sum()} instructions without a record are left out")
        table = table[~lacks]
    if table.empty:
        raise MedAlignError(f"{run.experiment}: there is no instruction with a record to review")
    weight = 1.0
    if weights is not None:
        weight = table["instruction_id"].map(dict(weights)).fillna(0.0)
        if n := int((weight == 0).sum()):
            notes.append(f"{n} of {len(table)} instructions have no weight and are left out")
        if n == len(table):
            raise MedAlignError("plan: no instruction to be judged has a weight above 0")
    table = table.assign(category=table["category"].fillna(NO_CATEGORY), weight=weight)
    return table.reset_index(drop=True)
