"""Load a release: its tables and the paths of its EHRs."""

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from medalign_utils.data import access
from medalign_utils.data.ehr_files import find_ehr, find_ehrs
from medalign_utils.data.ids import annotator_name
from medalign_utils.data.release_tables import (
    INSTRUCTIONS_FILE,
    REFERENCE_COLUMNS,
    REFERENCES_FILE,
    REVIEWS_FILE,
    SUBMITTED_COLUMNS,
    SUBMITTED_FILE,
    TABLE_STEMS,
    merge_instructions,
    read_release_table,
    require_release_columns,
)
from medalign_utils.data.reviews import Reviews, load_reviews
from medalign_utils.data.tables import IN_PARAMS, find_table, raise_first
from medalign_utils.errors import MedAlignError, ReleaseError, reading
from medalign_utils.paths import resolve, short

ANNOTATOR = "Annotator_1"


@dataclass(frozen=True)
class Release:
    """A release, read from its folder; synthetic releases have a manifest and an answer key.

    Attributes:
        instructions: one row per instruction: instruction_id (key), question, category,
            subcategory, submitter_specialty, person_id. Values of the last four may be missing.
        references: one row per clinician's response: instruction_id and annotator (key), reference,
            evidence. An instruction's rows are adjacent, the preferred annotator first.
        columns: our column -> the release's name for it.
        limited_from: the number of instructions with a reference before `limit.limited` left some
            of them out; None without a limit.
        only_with_reference: whether systems answer only instructions with a reference.
    """

    path: Path
    instructions: pd.DataFrame
    references: pd.DataFrame
    annotator: str
    columns: Mapping[str, str]
    reviews_path: Path | None
    manifest: dict[str, Any] | None
    answer_key_path: Path | None
    limited_from: int | None = None
    only_with_reference: bool = True
    _filenames: Mapping[str, str] = field(default_factory=dict, repr=False)

    def ehr_path(self, person_id: str) -> Path:
        """Return the file of a patient's EHR; ReleaseError if it is not in the EHR folder."""
        return find_ehr(self.path, person_id, self._filenames.get(person_id))

    @cached_property
    def questions(self) -> dict[str, str]:
        """The text of each instruction by instruction_id, "" where the release has none."""
        table = self.instructions
        return dict(zip(table["instruction_id"], table["question"].fillna(""), strict=True))

    @cached_property
    def reviews(self) -> Reviews:
        """The clinicians' reviews of model responses; ReleaseError if there are none."""
        if self.reviews_path is None:
            raise ReleaseError(f"{self.path} has no table {REVIEWS_FILE}")
        reviews = load_reviews(self.reviews_path, columns=self.columns)
        return reviews.of(self.instructions["instruction_id"]) if self.limited_from else reviews

    @property
    def limited_to(self) -> str:
        """What a limit has left, such as "20 of 80 instructions"; "" without a limit."""
        n = len(self.instructions)
        return f"{n} of {self.limited_from} instructions" if self.limited_from else ""

    @cached_property
    def why_restricted(self) -> str | None:
        """Why the terms of use restrict the release; see `access.why_restricted`."""
        patients = self.instructions["person_id"].dropna().unique()
        with reading(self.path):
            return access.why_restricted(self.path, self.manifest, map(self.ehr_path, patients))

    def proven_digest(self, person_id: str) -> str | None:
        """Return the SHA-256 of a patient's EHR by the manifest; None if that proves nothing."""
        if self.is_restricted:
            return None
        return self.manifest["files"][self.ehr_path(person_id).relative_to(self.path).as_posix()]

    @property
    def is_restricted(self) -> bool:
        """Whether the terms of use restrict the release."""
        return self.why_restricted is not None

    @property
    def origin(self) -> str:
        """What results say about the release: "synthetic release, public seed 1"."""
        if self.is_restricted:
            return "release with restricted terms of use"
        return ", ".join(filter(None, ["synthetic release", seed_of(self.manifest)]))


def load_release(
    path: str | Path,
    *,
    annotator: str = ANNOTATOR,
    columns: Mapping[str, str] | None = None,
    hint: str = IN_PARAMS,
) -> Release:
    """Return a release after checking that its tables agree and its EHRs exist.

    The folder contains ``all-instructions-rouge`` and ``clinician-instruction-responses`` (each
    with one of `access.TABLE_SUFFIXES`) and the EHRs in ``ehrs/`` or ``medalign_ehr_xml/``. Values
    missing in the table of instructions are taken from the table of references; a missing category
    is derived from the subcategory. Rows without a clinician's response are left out. If a patient
    has no EHR and only the table of instructions names this patient, person_id becomes missing.
    Warnings list both.

    Args:
        path: the folder.
        annotator: preferred annotator of instructions with several references.
        columns: our column -> the release's name for it, tried before `tables.COLUMN_NAMES`.
        hint: how to name a `{column}` that is missing, for the message.

    Raises:
        ReleaseError: something is missing, malformed, repeated or contradictory, or a file name
            points outside the EHR folder. The message names file and row.
        ParamsError: `columns` has an unknown key, or a value that is not a column of any table.
    """
    path, annotator = Path(path), annotator_name(annotator)
    with reading(path):
        if not path.is_dir():
            hint = "; `make reproduce` writes it" if resolve(path) == resolve("data/demo") else ""
            hint = "; it is a file, perhaps to be unpacked" if path.exists() else hint
            raise ReleaseError(f"no folder {short(path)}{hint}")
        require_release_columns(path, columns)
        questions = read_release_table(path, INSTRUCTIONS_FILE, columns, hint)
        answers = read_release_table(path, REFERENCES_FILE, columns, hint)
        reviews = read_release_table(path, REVIEWS_FILE, columns, hint)
    tables = [table for table in (questions, answers, reviews) if table]
    ehrs = find_ehrs(path, tables)
    instructions, disagreeing = merge_instructions(questions, answers, reviews)
    absent = ehrs.absent
    without_ehr = {person for person, problem in absent.items() if problem.file == questions.file}
    problems = [p for p in ehrs.problems if p not in [absent[person] for person in without_ehr]]
    raise_first([*(p for t in tables for p in t.problems), *problems, *disagreeing], path)
    if without_ehr:
        warnings.warn(
            f"{questions.file}: no EHR for {len(without_ehr)} patients "
            f"({', '.join(sorted(without_ehr)[:5])}); their instructions now have no patient",
            stacklevel=2,
        )
        patients = instructions["person_id"]
        instructions["person_id"] = patients.mask(patients.isin(without_ehr))
    has_reference = answers.frame["reference"].notna()
    if not has_reference.all():
        rows = [str(row) for row in answers.frame.index[~has_reference]]
        shown = ", ".join(rows[:5]) + (f" and {len(rows) - 5} more" if rows[5:] else "")
        warnings.warn(
            f"{answers.file}: left out row{'s' if rows[1:] else ''} {shown}: no clinician's "
            "response",
            stacklevel=2,
        )
    references = answers.frame.loc[has_reference, list(REFERENCE_COLUMNS)]
    appearance = pd.factorize(references["instruction_id"])[0]
    order = np.lexsort([references["annotator"] != annotator, appearance])
    answer_key = path / "answer-key.jsonl"
    return Release(
        path,
        instructions,
        references.iloc[order].reset_index(drop=True),
        annotator,
        columns=dict(columns or {}),
        reviews_path=find_table(path, REVIEWS_FILE),
        manifest=read_manifest(path / "manifest.json"),
        answer_key_path=answer_key if answer_key.is_file() else None,
        _filenames=ehrs.filenames,
    )


def load_submitted(release: Release) -> pd.DataFrame:
    """Return the instructions as submitted, before near-duplicates were dropped.

    One row per submission, in order:

    - instruction_id (key), question, submitter_specialty, person_id
    - duplicate_of: the earlier instruction_id that it rewords
    - request: the same for all duplicates

    Synthetic releases have these in ``submitted-instructions.tsv``. For other releases, the rows
    are the release's own instructions, and duplicate_of and request have no values.
    """
    submitted = read_release_table(release.path, SUBMITTED_FILE, release.columns)
    if submitted is None:
        table = release.instructions.assign(duplicate_of=None, request=None)
        return table.astype({"duplicate_of": "str", "request": "str"})[list(SUBMITTED_COLUMNS)]
    problems = find_ehrs(release.path, [submitted]).problems
    raise_first([*submitted.problems, *problems], release.path)
    frame = submitted.frame
    if release.limited_from:
        kept = frame["duplicate_of"].fillna(frame["instruction_id"])
        frame = frame[kept.isin(release.instructions["instruction_id"])]
    return frame.reset_index(drop=True)


def require_place(file: Path, release: Path, why_restricted: str | None) -> None:
    """Check, before a file made from a release is written, that it may be written there.

    Raises:
        MedAlignError: it is in the release's own folder.
        TermsError: the release is restricted, and git would track the file; or the file is in the
            folder of another release that is not proved synthetic.
    """
    if file.resolve().is_relative_to(release.resolve()):
        raise MedAlignError(f"{file} is in the release's own folder; choose another one")
    access.require_private_place(file, why_restricted)
    folder = file.parent.parent if file.parent.name in access.EHR_FOLDERS else file.parent
    if access.ehr_folder_files(folder) or any(find_table(folder, stem) for stem in TABLE_STEMS):
        access.require_not_real(folder)


def primary_references(references: pd.DataFrame, annotator: str = ANNOTATOR) -> pd.DataFrame:
    """Return one reference per instruction: the annotator's, or else the first in the table."""
    order = np.argsort(references["annotator"] != annotator, kind="stable")
    first = references.iloc[order].drop_duplicates("instruction_id")
    return first.sort_index().reset_index(drop=True)


def seed_of(manifest: Mapping[str, Any]) -> str:
    """Return a synthetic release's seed and whether its answers are published; "" if unknown.

    >>> seed_of({"seed": 1, "is_public_seed": True}), seed_of({"seed": 7, "is_public_seed": False})
    ('public seed 1', 'fresh seed 7')
    """
    if "seed" not in manifest or "is_public_seed" not in manifest:
        return ""
    return f"{'public' if manifest['is_public_seed'] else 'fresh'} seed {manifest['seed']}"


def read_manifest(file: Path) -> dict[str, Any] | None:
    """Return the content of ``manifest.json``; None if it does not exist."""
    if not file.is_file():
        return None
    with reading(file):
        content = file.read_bytes()
    try:
        manifest = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ReleaseError(f"{file}: not JSON ({error})") from None
    if not isinstance(manifest, dict):
        raise ReleaseError(f"{file}: found a {type(manifest).__name__}, expected an object")
    return manifest


def instructions_to_answer(release: Release) -> pd.DataFrame:
    """Return the instructions that systems answer, sorted by patient.

    They have a reference, or without `only_with_reference` at least a patient with an EHR.
    """
    instructions = release.instructions
    answered = release.references["instruction_id"]
    has_reference = instructions["instruction_id"].isin(answered)
    chosen = has_reference if release.only_with_reference else instructions["person_id"].notna()
    instructions = instructions[chosen]
    return instructions.sort_values("person_id", kind="stable")
