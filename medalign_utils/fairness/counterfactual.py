"""Whether answers change if one demographic in the patient's record is rewritten.

`rewrite_release` rewrites records by the rules of `perturbation`, `answer_pairs` asks the systems
again, and `summarise` counts the answers and verdicts that change. The control, `NOTHING`, rewrites
nothing: it shows how often answers change by chance.
"""

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from lxml import etree

from medalign_utils import paths
from medalign_utils.data.disclosure import shares_only
from medalign_utils.data.release import Release, instructions_to_answer, load_release
from medalign_utils.data.release_tables import INSTRUCTIONS_FILE, REFERENCES_FILE
from medalign_utils.data.responses import read_responses
from medalign_utils.errors import MedAlignError, ReleaseError
from medalign_utils.fairness import perturbation
from medalign_utils.fairness.perturbation import NOTHING, Person, apply, swapped
from medalign_utils.fairness.rewritten_ehr import (
    REPLACEMENT_COLUMNS,
    person_of,
    read_tree,
    rewrite_ehr,
)
from medalign_utils.generation.runner import run_system
from medalign_utils.grading import load_answer_key, rate_with_answer_key
from medalign_utils.run import Run
from medalign_utils.stats.bootstrap import Bootstrap, bootstrap_means
from medalign_utils.stats.proportions import proportions

MARK = "relevant_demographics"  # key in the answer key: what the correct answer depends on
_MARKED_AS = {"gender": "sex", "age": "age"}  # change -> what the answer key calls it
_KEY = ["change", "system", "relevant"]
MEASURES = ("changed", "changed_beyond", "flipped", "lost", "gained", "net")
_DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'


class Rewritten(NamedTuple):
    """A release in which one demographic is rewritten.

    Columns of `replacements`:

    - place: "header", "note" or "instruction"
    - encounter, event: numbers from 0, without the events of headers
    - item: the header's element, the note_id or the instruction_id
    - offset: position in the event's source_text or in the question, in characters
    - before, after
    """

    release: Release  # instructions with a reference, of patients whose header has a value to swap
    replacements: pd.DataFrame  # `REPLACEMENT_COLUMNS`
    people: dict[str, Person]  # person_id -> the header's values before the change
    n_left_out: int  # instructions of the other patients


def rewrite_release(release: Release, change: str, folder: Path) -> Rewritten:
    """Return a release with one demographic rewritten, after writing it to a folder.

    It contains only instructions with a reference. The files are ``folder/release`` and
    ``folder/replacements.csv``. If the release is restricted, only their owner can read them; if it
    is synthetic, so is the new one, by its manifest. `change` is one of `perturbation.CHANGES`, or
    `NOTHING`.

    Raises:
        MedAlignError: the change is unknown, or no patient's record can be changed.
        EHRError: an EHR is missing, not well-formed, or in the record dialect.
    """
    changes = (NOTHING, *perturbation.CHANGES)
    if change not in changes:
        message = f"change {change!r}, expected one of {', '.join(changes)}"
        raise MedAlignError(f"rewrite_release: {message}")
    private = release.is_restricted
    instructions = instructions_to_answer(release)
    people, rows, files = {}, [], {}
    target = folder / "release"
    shutil.rmtree(target, ignore_errors=True)
    for path in (folder, target, target / "ehrs"):
        path.mkdir(parents=True, exist_ok=True)
        if private:
            path.chmod(0o700)
    for person_id in instructions["person_id"].unique():
        ehr = read_tree(release.ehr_path(person_id))
        person = person_of(ehr)
        if change == NOTHING or swapped(perturbation.value_of(person, change), change) is not None:
            people[person_id] = person
            rows += [(person_id, *row) for row in rewrite_ehr(ehr, change, person)]
            content = etree.tostring(ehr, encoding="unicode")
            files[f"ehrs/{person_id}.xml"] = f"{_DECLARATION}{content}\n"
    kept = instructions[instructions["person_id"].isin(people)]
    if kept.empty:
        raise MedAlignError(f"rewrite_release: no record has a {change} that can be rewritten")
    questions = []
    for row in kept.itertuples():
        found = perturbation.replacements(row.question, change, people[row.person_id])
        questions.append(apply(row.question, found))
        place = (row.person_id, "instruction", None, None, row.instruction_id)
        rows += [(*place, *replacement) for replacement in found]
    files |= _tables(kept.assign(question=questions), release)
    if not private:  # the source is proven synthetic, so this is too
        digests = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in files.items()}
        manifest = {"synthetic": True, "rewritten": change, "files": digests}
        files["manifest.json"] = json.dumps(manifest, indent=1) + "\n"
    table = pd.DataFrame(rows, columns=list(REPLACEMENT_COLUMNS))
    table = table.astype({"encounter": "Int64", "event": "Int64", "offset": "int64"})
    content = paths.to_csv(table)
    paths.write_text(content, folder / "replacements.csv", private=private)
    for name, text in files.items():
        paths.write_text(text, target / name, private=private)
    return Rewritten(load_release(target), table, people, len(instructions) - len(kept))


def count_replacements(rewritten: Mapping[str, Rewritten], *, least: int = 0) -> pd.DataFrame:
    """Return the number of replacements by change and pair of words, the most frequent first.

    Words are in lower case with digits as "#", so they contain neither ages nor dates. If `least`
    is the smallest number of patients that may be told, replacements in headers, which count the
    patients with a value, and those of fewer patients are left out, and so is n_patients.
    """
    by, counts = ["place", "before", "after"], {}
    for change, release in rewritten.items():
        words = release.replacements[["before", "after"]].astype("str")
        words = words.apply(lambda column: column.str.lower().str.replace(r"\d", "#", regex=True))
        groups = release.replacements.assign(**words).groupby(by, sort=False)["person_id"]
        table = groups.agg(n="size", n_patients="nunique")
        counts[change] = table.sort_values("n", ascending=False, kind="stable")
    table = pd.concat(counts, names=["change"]).reset_index()
    if least:
        is_told = (table["n_patients"] >= least) & (table["place"] != "header")
        table = table[is_told].drop(columns="n_patients")
    return table


def answer_pairs(
    run: Run,
    rewritten: Mapping[str, Rewritten],
    systems: Mapping[str, Mapping[str, Any]],
    *,
    progress: bool = True,
) -> pd.DataFrame:
    """Return each system's answers to rewritten records, compared with its original answers.

    The original answers are the run's responses. The others are stored in the counterfactual's
    folder, and answers found there are not requested again. `rewritten` maps changes to releases,
    `systems` maps names to settings.

    One row per change, system and instruction:

    - person_id
    - relevant: whether the correct answer depends on the demographic; False without an answer key
    - changed: whether the texts differ
    - changed_beyond: whether the new answer differs from the original rewritten by the same rules;
      if both were cut at the maximum length, only their common length is compared
    - before, after: whether each answer is correct; NaN without an answer key

    Raises:
        ReleaseError: an instruction has no `MARK` in the answer key.
        MedAlignError: as `run_system`, or an original response is missing.
    """
    key = _load_key(run.release)
    tables = []
    for change, counterpart in rewritten.items():
        for name, system in systems.items():
            original = read_responses(paths.responses(run.experiment, name))
            file = paths.counterfactual(run.experiment, change) / "responses" / f"{name}.jsonl"
            answered = run_system(counterpart.release, system, file, progress=progress)
            table = _pairs(original, answered, change, counterpart, key)
            tables.append(table.assign(change=change, system=name))
    columns = ["instruction_id", "person_id", "changed", "changed_beyond", "before", "after"]
    return pd.concat(tables, ignore_index=True)[[*_KEY, *columns]]


def summarise(
    pairs: pd.DataFrame, n_left_out: Mapping[str, int], *, bootstrap: Bootstrap
) -> pd.DataFrame:
    """Return the shares of answers and verdicts that change; `pairs` comes from `answer_pairs`.

    One row per change, system and relevant, with n, n_patients, n_left_out, and these shares with
    their bounds:

    - changed, and changed_beyond: answers, see `answer_pairs`
    - flipped: verdicts that differ
    - lost: correct only before the change
    - gained: correct only after it
    - net: gained minus lost

    Shares of verdicts are NaN without an answer key.
    """
    net = pairs["after"].astype(float) - pairs["before"].astype(float)
    measured = pairs.assign(
        flipped=net.abs(), lost=(-net).clip(lower=0), gained=net.clip(lower=0), net=net
    )
    rows = []
    for (change, system, relevant), group in measured.groupby(_KEY, sort=False):
        values = group[list(MEASURES)].to_numpy(dtype=float)
        shares = [
            *proportions(values[:, :-1], group["person_id"]),
            *bootstrap_means(values[:, -1:], group["person_id"], bootstrap=bootstrap),  # net
        ]
        row = {"change": change, "system": system, "relevant": relevant, "n": len(group)}
        row |= {"n_patients": group["person_id"].nunique(), "n_left_out": n_left_out[change]}
        for measure, (estimate, low, high) in zip(MEASURES, shares, strict=True):
            row |= {measure: estimate, f"{measure}_low": low, f"{measure}_high": high}
        rows.append(row)
    return pd.DataFrame(rows)


def without_small_groups(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table of `summarise` as it may be published of a restricted release.

    How many patients a change leaves out follows from the numbers of the others, and tells how many
    have no known gender, for instance. So only the control has counts; see `shares_only`.
    """
    is_control = table["change"] == NOTHING
    shown = shares_only(table.drop(columns="n_left_out"), _KEY)
    may_count = is_control & (shown["suppressed"] == "")
    counts = table[["n", "n_patients", "n_left_out"]].astype("Int64").where(may_count)
    return shown.assign(**counts)[[*table.columns, "suppressed"]]


def _tables(instructions: pd.DataFrame, release: Release) -> dict[str, str]:
    """The text of the release's two tables, restricted to these instructions, by file name."""
    references = release.references.merge(instructions[["instruction_id", "question", "person_id"]])
    names = {"annotator": "annotator_num", "reference": "clinician_response"}
    references = references.rename(columns=names)
    # Keep the original order, because the order of the answers depends on it.
    tables = {INSTRUCTIONS_FILE: instructions.sort_index(), REFERENCES_FILE: references}
    return {
        f"{name}.tsv": table.to_csv(sep="\t", index=False, lineterminator="\n")
        for name, table in tables.items()
    }


def _load_key(release: Release) -> dict[str, dict] | None:
    if release.answer_key_path is None:
        return None
    key = load_answer_key(release.answer_key_path)
    if missing := [i for i in release.references["instruction_id"] if MARK not in key.get(i, {})]:
        raise ReleaseError(
            f"{release.answer_key_path}: {MARK} missing for instruction {missing[0]} "
            f"({len(missing)} lack it), expected a list of sex and age, or an empty one; if an "
            "earlier version wrote this synthetic release, write it again"
        )
    return key


def _pairs(
    original: pd.DataFrame,
    answered: pd.DataFrame,
    change: str,
    counterpart: Rewritten,
    key: Mapping[str, Mapping] | None,
) -> pd.DataFrame:
    """A comparison of a system's two answers to each instruction; columns as `answer_pairs`."""
    columns = ["instruction_id", "response", "finish_reason"]
    both = original[columns].merge(
        answered[columns], on="instruction_id", suffixes=("_before", "_after"), validate="1:1"
    )
    if len(both) != len(answered):
        raise MedAlignError(
            f"answer_pairs: {len(answered) - len(both)} of {len(answered)} instructions have no "
            f"original response of {answered['system'].iloc[0]}"
        )
    # A prompt that the system could not answer says nothing about the patient's demographics.
    both = both[
        (both["finish_reason_before"] != "failed") & (both["finish_reason_after"] != "failed")
    ]
    both = both.merge(counterpart.release.instructions[["instruction_id", "person_id"]])
    both = both.assign(relevant=False, before=np.nan, after=np.nan)
    if key is not None:
        for when, table in (("before", original), ("after", answered)):
            kept = table[table["instruction_id"].isin(both["instruction_id"])]
            ratings = rate_with_answer_key(kept, key, counterpart.release.questions)
            correct = ratings.set_index("instruction_id")["correct"]
            both[when] = both["instruction_id"].map(correct)
        both["relevant"] = [_MARKED_AS.get(change) in key[i][MARK] for i in both["instruction_id"]]
    both["changed"] = both["response_before"] != both["response_after"]
    people = counterpart.people
    both["changed_beyond"] = [
        _differ_beyond(row, change, people[row.person_id]) for row in both.itertuples()
    ]
    return both


def _differ_beyond(row: tuple, change: str, person: Person) -> bool:
    """Whether an answer differs from the original answer after the same rewriting."""
    answer = row.response_after
    expected = perturbation.rewrite(row.response_before, change, person)
    if row.finish_reason_before == row.finish_reason_after == "length":
        # Where an answer is cut depends on how many tokens the rewritten words take.
        return not (expected.startswith(answer) or answer.startswith(expected))
    return expected != answer
