"""Make the plan of a review: who judges what, in which order, under which letters."""

import datetime
import os
import secrets
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from medalign_utils.data.access import require_private_place
from medalign_utils.errors import MedAlignError
from medalign_utils.paths import short
from medalign_utils.review import folder as files
from medalign_utils.review.assignment import assign, choose
from medalign_utils.review.candidates import answers_of, candidates_of
from medalign_utils.review.items import Writer, items_of
from medalign_utils.review.sample_size import SampleSize, sample_size
from medalign_utils.review.state import MODES, WHEN_REFERENCE
from medalign_utils.run import Run

# The paper's, from memory and not verified: nine raters, 50 instructions judged by three.
RATERS_PER_OVERLAP = 3
LARGEST_OVERLAP, OVERLAP_SHARE = 50, 0.2
_OVERLAP_PATIENTS = 10  # at least so many patients share the overlap, if there are enough


class Plan(NamedTuple):
    """A review's plan, ready to be written.

    Attributes:
        plan: what raters may know.
        key: rater -> item -> letter -> systems, several if they gave the same text; those that gave
            none for lack of a response are under "": they are not shown, not correct and rank last.
        items: rater -> items, in order.
        table: one row per rater: rater, instructions, shared (with other raters), responses,
            patients, training, repeats.
        notes: sentences on what is not as usual.
        enough: how many instructions the wanted width takes, if one was wanted.
    """

    plan: dict[str, Any]
    key: dict[str, dict[str, dict[str, list[str]]]]
    items: dict[str, list[dict[str, Any]]]
    table: pd.DataFrame
    notes: list[str]
    enough: SampleSize | None = None


def make_plan(
    run: Run,
    raters: int = 3,
    *,
    mode: str = "judge",
    reference: str = "after",
    n: int | None = None,
    width: float | None = None,
    overlap: int | None = None,
    per_rater: int | None = None,
    training: int | None = None,
    repeats: int | None = None,
    weights: Mapping[str, float] | None = None,
    seed: int | None = None,
) -> Plan:
    """Return a plan for the responses of a run; the same arguments give the same plan.

    Each patient's instructions go to one rater, and those of the overlap to two more, so that each
    rater reads a record once. A text that several systems gave is shown once. Letters are shuffled
    per rater and instruction.

    - run: with the release and the systems
    - raters: number of raters; their codes are R1, R2 ...
    - mode: "judge" responses; write a "reference" where there is none; "submit" instructions
    - reference: when raters see it: "after" a first verdict, "before", or "never"
    - n: number of instructions; by default all that systems answer
    - width: wanted width of the interval of an accuracy; sets n by `sample_size`
    - overlap: number of instructions judged by `RATERS_PER_OVERLAP`; by default a fifth, at most
      `LARGEST_OVERLAP`
    - per_rater: about so many instructions per rater, with the overlap; by default no limit
    - training: training items per rater, from others' instructions; by default `items.TRAINING`
    - repeats: hidden repeats per rater; by default `items.REPEATED_SHARE`, at least two
    - weights: instruction_id -> weight of being drawn, of those that are not left out
    - seed: replaces the run's

    Raises:
        MedAlignError: there are more raters than patients, nothing to judge, or an argument is out
            of range.
    """
    seed = run.seed if seed is None else seed
    codes = [f"R{i}" for i in range(1, raters + 1)]
    _check_arguments(mode, reference, raters, n, per_rater, overlap, training, repeats)
    public = {
        "version": files.VERSION,
        "experiment": run.experiment,
        "release": str(run.release_folder),
        "columns": dict(run.columns),
        "mode": mode,
        "reference": reference,
        "seed": seed,
        "raters": codes,
        "n_instructions": 0,
        "n_overlap": 0,
        "raters_per_overlap": min(RATERS_PER_OVERLAP, raters),
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds"),
        "round": 1,
    }
    if mode == "submit":
        table = pd.DataFrame({"rater": codes})
        notes = ["raters submit instructions without seeing a record, so there are no items"]
        return Plan(
            public, {code: {} for code in codes}, {code: [] for code in codes}, table, notes
        )
    notes: list[str] = []
    answers = answers_of(run, notes) if mode == "judge" else {}
    instructions = candidates_of(run, mode, answers, weights, notes)
    enough = None
    if width is not None:
        drawn = instructions.loc[instructions["weight"] > 0, "person_id"]
        enough = sample_size(drawn.value_counts().tolist(), width, seed=seed)
        n = enough.n
        if n is None:
            notes.append(f"all instructions together do not give an interval of width {width:g}")
    rng = np.random.default_rng(seed)
    chosen, shared = _chosen(instructions, raters, n, overlap, per_rater, rng, notes)
    rows = instructions[instructions["instruction_id"].isin(chosen)]
    sizes = {p: run.release.ehr_path(p).stat().st_size for p in rows["person_id"].unique()}
    own = assign(rows, codes, shared, public["raters_per_overlap"], sizes, per_rater)
    if idle := [code for code, ids in own.items() if not ids]:
        raise MedAlignError(
            f"nothing to do for {', '.join(idle)}: the {len(chosen)} instructions are about "
            f"{len(sizes)} patients, who are not split; plan at most {raters - len(idle)} raters"
        )
    shown = reference if mode == "judge" else "never"  # another's reference would lead the writer
    writer = Writer(run, instructions, answers, shown, seed)
    lists = {
        code: items_of(writer, code, own[code], chosen, training, repeats, notes) for code in codes
    }
    items = {code: [item for item, _ in lists[code]] for code in codes}
    key = {code: {item["item"]: systems for item, systems in lists[code]} for code in codes}
    public |= {"n_instructions": len(chosen), "n_overlap": len(shared)}
    table = pd.DataFrame([_row(code, items[code], set(shared)) for code in codes])
    return Plan(public, key, items, table, list(dict.fromkeys(notes)), enough)


def write_plan(plan: Plan, folder: Path | None = None, why_restricted: str | None = None) -> Path:
    """Write a plan, with new secrets for the links, and return its folder.

    Only the owner can read the files. By default the folder is `review_folder` of the experiment.
    A plan that nobody has begun is replaced.

    Raises:
        MedAlignError: a rater has begun with the plan that is there.
        TermsError: the release is restricted, and git would track the files.
    """
    folder = folder or files.review_folder(plan.plan["experiment"])
    require_not_begun(folder)
    require_private_place(files.key_file(folder), why_restricted)
    new = folder.with_name(f".{folder.name}.{os.getpid()}.new")
    try:
        files.make_private(new)
        files.write_json(plan.plan, files.plan_file(new))
        files.write_json(plan.key, files.key_file(new))
        links = {rater: secrets.token_urlsafe(32) for rater in plan.plan["raters"]}
        files.write_json(links, files.secrets_file(new))
        for rater, items in plan.items.items():
            files.write_items(items, files.items_file(new, rater))
        if folder.exists():
            shutil.rmtree(folder)
        os.replace(new, folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    return folder


def require_not_begun(folder: Path) -> None:
    """Check that no rater's journal in a review's folder has a line, so that it may be replaced."""
    journals = sorted(folder.glob("raters/*/journal.jsonl*"))
    if begun := sorted({file.parent.name for file in journals if file.stat().st_size}):
        raise MedAlignError(
            f"{short(folder)}: {', '.join(begun)} has begun, and a new plan would change what the "
            "letters stand for. Continue with this plan (`review status` says how far it is); or "
            f"keep the work and plan anew: mv {short(folder)} {short(folder)}-before"
        )


def _check_arguments(mode: str, reference: str, raters: int, *counts: int | None) -> None:
    for name, value, known in (("mode", mode, MODES), ("reference", reference, WHEN_REFERENCE)):
        if value not in known:
            raise MedAlignError(f"plan: {name} {value!r}, expected one of {', '.join(known)}")
    if raters < 1 or any(count is not None and count < 0 for count in counts):
        raise MedAlignError("plan: expected at least one rater, and no negative numbers")
    if 0 in counts[:2]:
        raise MedAlignError("plan: no instructions; leave the number out to judge all")


def _chosen(
    instructions: pd.DataFrame,
    raters: int,
    n: int | None,
    overlap: int | None,
    per_rater: int | None,
    rng: np.random.Generator,
    notes: list[str],
) -> tuple[list[str], list[str]]:
    """Return the ids of the instructions to be judged, and of those judged by several."""
    available = int((instructions["weight"] > 0).sum())
    more = min(RATERS_PER_OVERLAP, raters) - 1  # further raters of the overlap
    total = min(available, n or available)
    if raters == 1:
        overlap = 0
        notes.append("one rater: no instruction is judged by several, so nothing can be compared")
    if per_rater is not None:
        places = raters * per_rater
        if overlap is None:
            overlap = min(LARGEST_OVERLAP, places // 10)
        total = min(total, places - more * overlap)
        if total < max(overlap, 1):
            raise MedAlignError(
                f"plan: {raters} raters with {per_rater} instructions each have {places} places; "
                f"an overlap of {overlap} takes {(more + 1) * overlap} of them"
            )
    if overlap is None:
        overlap = min(LARGEST_OVERLAP, round(OVERLAP_SHARE * total))
    if overlap > total:
        notes.append(f"only {total} instructions are judged, all by {more + 1} raters")
        overlap = total
    chosen = choose(instructions, total, rng)
    rows = instructions[instructions["instruction_id"].isin(chosen)]
    if total < available:
        notes.append(f"{total} of {available} instructions are judged, whole patients at random")
        every = instructions.loc[instructions["weight"] > 0, "category"].value_counts()
        drawn = rows["category"].value_counts().reindex(every.index, fill_value=0)
        by_category = (f"{c} {drawn[c]} of {n}" for c, n in every.items())
        notes.append(f"by category: {', '.join(by_category)}")
    per_patient = max(1, round(overlap / _OVERLAP_PATIENTS))
    return chosen, choose(rows, overlap, rng, per_patient=per_patient)


def _row(rater: str, items: Sequence[Mapping[str, Any]], shared: set[str]) -> dict[str, Any]:
    judged = [item for item in items if item["kind"] == "judge"]
    return {
        "rater": rater,
        "instructions": len(judged),
        "shared": sum(item["instruction_id"] in shared for item in judged),
        "responses": sum(len(item["responses"]) for item in judged),
        "patients": len({item["person_id"] for item in judged}),
        "training": sum(item["kind"] == "training" for item in items),
        "repeats": sum(item["kind"] == "repeat" for item in items),
    }
