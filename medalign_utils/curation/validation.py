"""One pass over a release: what it holds, and everything that is wrong with it."""

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from tqdm.auto import tqdm

from medalign_utils.data.ehr import iterate_events
from medalign_utils.data.release import (
    ANNOTATOR,
    EHR_FOLDERS,
    INSTRUCTIONS_FILE,
    REFERENCES_FILE,
    REVIEWS_FILE,
    SUBMITTED_FILE,
    ehr_files,
    find_ehrs,
    merge_instructions,
    read_instructions,
    read_manifest,
    read_references,
    read_reviewed,
    read_submitted,
    require_release_columns,
    require_table,
)
from medalign_utils.data.reviews import read_reviews
from medalign_utils.data.tables import Problem, Table, find_table
from medalign_utils.errors import MedAlignError, ReleaseError
from medalign_utils.grading import load_answer_key


class Report(NamedTuple):
    """What `check_release` found: `summary` has columns what and found, both text."""

    summary: pd.DataFrame
    problems: list[Problem]


class _Counts:
    """What the EHRs hold, added up event by event, so that no EHR is held in memory."""

    def __init__(self):
        self.types: Counter[str] = Counter()
        self.notes: Counter[str | None] = Counter()
        self.longest, self.longest_person = 0, ""
        self.first: datetime | None = None
        self.last: datetime | None = None

    def read(self, file: Path, person_id: str) -> Iterator[Problem]:
        faults: list[str] = []
        n = 0
        try:
            for event in iterate_events(file, faults.append):
                if event.type == "person":
                    continue
                n += 1
                self.types[event.type] += 1
                if event.type == "note":
                    self.notes[event.name] += 1
                if self.first is None or event.timestamp < self.first:
                    self.first = event.timestamp
                if self.last is None or event.timestamp > self.last:
                    self.last = event.timestamp
        except MedAlignError as error:
            faults.append(str(error))
        if n > self.longest:
            self.longest, self.longest_person = n, person_id
        if not n and not faults:
            faults.append("no events")
        for fault in faults:
            yield Problem(file, "", fault.removeprefix(f"{file}").lstrip(":, "))


def check_release(
    path: str | Path, *, columns: Mapping[str, str] | None = None, progress: bool = True
) -> Report:
    """Read all of a release once, and list every problem that can be found in it.

    Where `load_release` ends with the first problem, this goes on: past a bad row to the next one,
    past an event that cannot be read, past a broken EHR or table to the rest. An EHR that no table
    names is read too; other files beside the EHRs are counted. An EHR without events is a problem,
    though it loads: nothing can be answered from it.

    Args:
        path: the release's folder.
        columns: our column -> the release's name for it.
        progress: show a progress bar over the EHRs.

    Returns:
        The summary (patients, notes, note types, events by type, instructions, references, rated
        responses, systems, date range, longest EHR ...) and the problems, in the order of the
        files. Events that only describe the person are not counted.

    Raises:
        ReleaseError: there is no such folder.
        ParamsError: `columns` maps a column that is none of ours, or to a name that no table has.

    >>> check_release("no/such/folder")
    Traceback (most recent call last):
    ...
    medalign_utils.errors.ReleaseError: check_release: no folder no/such/folder
    """
    path = Path(path)
    if not path.is_dir():
        raise ReleaseError(f"check_release: no folder {path}")
    require_release_columns(path, columns)
    problems: list[Problem] = []
    summary: list[tuple[str, object]] = []
    _check_tables(path, columns, summary, problems)
    _check_reviews(path, columns, summary, problems)
    for read, file in (
        (read_manifest, path / "manifest.json"),
        (load_answer_key, path / "answer-key.jsonl"),
    ):
        if file.is_file():
            _attempt(path, problems, read, file)

    folders = [path / name for name in EHR_FOLDERS if (path / name).is_dir()]
    problems += [Problem(f, "", f"not read, since {folders[0]} is there too") for f in folders[1:]]
    ehrs, others = ehr_files(path)
    counts = _Counts()
    first: dict[str, Path] = {}
    for file, person_id in tqdm(ehrs.items(), "EHRs", unit="EHR", disable=not progress):
        if (other := first.setdefault(person_id, file)) != file:
            fault = f"a second EHR of patient {person_id}, beside {other.name}"
            problems.append(Problem(file, "", fault))
        try:
            inside = file.resolve().is_relative_to(file.parent.resolve())
        except (OSError, RuntimeError):  # links in a circle
            inside = False
        if inside:
            problems += counts.read(file, person_id)
        else:
            problems.append(
                Problem(file, "", "a link out of the EHR folder or in a circle; not read")
            )
    summary += [
        ("EHRs", len(ehrs)),
        ("other files beside them", len(others)),
        ("notes", counts.types["note"]),
        ("note types", len(counts.notes)),
        ("events", counts.types.total()),
        *((f"events: {name}", n) for name, n in counts.types.most_common()),
        ("first event", _day(counts.first)),
        ("last event", _day(counts.last)),
        ("longest EHR", f"{counts.longest:,} events, patient {counts.longest_person}"),
    ]
    shown = [(what, f"{n:,}" if isinstance(n, int) else str(n)) for what, n in summary]
    # The table of reviews is read twice, so what is wrong with all of it is found twice.
    problems = list(dict.fromkeys(problems))
    return Report(pd.DataFrame(shown, columns=["what", "found"]), problems)


def _check_tables(
    path: Path,
    columns: Mapping[str, str] | None,
    summary: list[tuple[str, object]],
    problems: list[Problem],
) -> None:
    asked, answered, reviewed, submitted = tables = [
        _attempt(path, problems, _table, path, stem, columns) for stem in _READERS
    ]
    for table in filter(None, (asked, answered, submitted)):  # of reviews, more is read below
        problems += table.problems
    problems += find_ehrs(path, [*filter(None, tables)])[1]
    if asked and answered:
        instructions, astray = merge_instructions(asked, answered, reviewed)
        problems += astray
        of_patients = instructions["person_id"].notna()
        if not of_patients.any():
            problems.append(Problem(path, "", "no instruction names its patient"))
        summary += [
            ("instructions", len(instructions)),
            ("patients they are asked of", instructions["person_id"].nunique()),
            ("instructions of no patient", int((~of_patients).sum())),
        ]
    if submitted:
        summary.append(("instructions as submitted", len(submitted.frame)))
    if answered:
        empty = answered.frame["reference"].isna()
        problems += [
            Problem(answered.file, f"row {row}", "no clinician's response; the row is left out")
            for row in answered.frame.index[empty]
        ]
        references = answered.frame[~empty]
        preferred = references.loc[references["annotator"] == ANNOTATOR, "instruction_id"]
        with_reference = references["instruction_id"].nunique()
        summary += [
            ("instructions with a reference", with_reference),
            ("references", len(references)),
            (
                f"instructions without {ANNOTATOR}, whose first reference counts",
                with_reference - preferred.nunique(),
            ),
        ]


def _check_reviews(
    path: Path,
    columns: Mapping[str, str] | None,
    summary: list[tuple[str, object]],
    problems: list[Problem],
) -> None:
    file = find_table(path, REVIEWS_FILE)
    reviews = file and _attempt(path, problems, read_reviews, file, columns=columns)
    if reviews:
        problems += reviews.problems
        ratings = reviews.ratings
        summary += [
            ("rated responses", len(ratings.drop_duplicates(["instruction_id", "system"]))),
            ("ratings", len(ratings)),
            ("rows not used for the evaluation", reviews.n_not_used),
            ("systems", ", ".join(ratings["system"].unique())),
        ]


_READERS = {
    INSTRUCTIONS_FILE: read_instructions,
    REFERENCES_FILE: read_references,
    REVIEWS_FILE: read_reviewed,
    SUBMITTED_FILE: read_submitted,
}
_MAY_BE_ABSENT = (REVIEWS_FILE, SUBMITTED_FILE)


def _table(path: Path, stem: str, columns: Mapping[str, str] | None) -> Table | None:
    find = find_table if stem in _MAY_BE_ABSENT else require_table
    file = find(path, stem)
    return file and _READERS[stem](file, columns=columns)


def _attempt(path: Path, problems: list[Problem], read, *arguments, **options):
    """What `read` gives, or None, its error being one more problem of the release."""
    try:
        return read(*arguments, **options)
    except ReleaseError as error:
        problems.append(Problem(path, "", str(error)))
        return None


def _day(moment: datetime | None) -> str:
    return "none" if moment is None else f"{moment:%Y-%m-%d}"
