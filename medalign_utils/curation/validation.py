"""Check a release in one pass: summarize its content and list all its problems."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from tqdm.auto import tqdm

from medalign_utils.curation.problems import Problems
from medalign_utils.data.access import (
    EHR_FOLDERS,
    TABLE_SUFFIXES,
    ehr_folder_files,
    table_files,
)
from medalign_utils.data.demographics import is_given
from medalign_utils.data.ehr import iterate_events
from medalign_utils.data.ehr.event_types import EVENT_TYPES
from medalign_utils.data.ehr.order import arranged
from medalign_utils.data.ehr_files import ehr_files, find_ehrs
from medalign_utils.data.release import ANNOTATOR, read_manifest
from medalign_utils.data.release_tables import (
    INSTRUCTIONS_FILE,
    REFERENCES_FILE,
    REVIEWS_FILE,
    SUBMITTED_FILE,
    TABLE_STEMS,
    found_instead,
    merge_instructions,
    read_release_table,
    require_release_columns,
)
from medalign_utils.data.reviews import read_reviews
from medalign_utils.data.tables import AS_OPTION, Problem, Table, at_rows, find_table
from medalign_utils.errors import MedAlignError, ReleaseError, reading
from medalign_utils.grading import load_answer_key

# Other types than the release's are counted by name up to this number, the most frequent first.
_LISTED_TYPES = 20
# Facts that do not change between a patient's encounters.
_CONSTANT = ("gender", "race", "ethnicity")


class Report(NamedTuple):
    """The result of `check_release`; `summary` has text columns item and value."""

    summary: pd.DataFrame
    problems: Problems


def check_release(
    path: str | Path,
    *,
    columns: Mapping[str, str] | None = None,
    progress: bool = True,
    listener: Callable[[Problem], None] | None = None,
) -> Report:
    """Return a summary of a release and its problems; `load_release` stops at the first.

    Of many problems of one kind in one file, the first are kept; `listener` is called with each.

    All EHRs are read, even if no table names them. An EHR without events can be loaded, but is
    listed as a problem. Facts about the person are not events. The summary is empty if the folder
    has neither tables nor EHRs.

    Raises:
        ReleaseError: the folder does not exist.
        ParamsError: `columns` has an unknown key, or a value that is not a column of any table.
    """
    path = Path(path)
    with reading(path):
        if not path.is_dir():
            hint = "; it is a file, perhaps to be unpacked" if path.exists() else ""
            raise ReleaseError(f"no folder {path}{hint}")
        require_release_columns(path, columns)
    problems = Problems(listener)
    tables = [
        _attempt(path, problems, read_release_table, path, stem, columns, AS_OPTION)
        for stem in (INSTRUCTIONS_FILE, REFERENCES_FILE, REVIEWS_FILE, SUBMITTED_FILE)
    ]
    problems += _attempt(path, problems, _other_tables, path) or []
    named = _attempt(path, problems, find_ehrs, path, [*filter(None, tables)])
    problems += named.problems if named else []
    summary = [*_tables(path, tables, problems), *_reviews(path, columns, problems)]
    for read, name in ((read_manifest, "manifest.json"), (load_answer_key, "answer-key.jsonl")):
        if (path / name).is_file():
            _attempt(path, problems, read, path / name)
    files = named.files.values() if named else ()
    if found := _attempt(path, problems, ehr_files, path, files):
        summary += _ehrs(path, *found, problems, progress)
    if n_open := _attempt(path, problems, _n_readable_by_others, path):
        summary.append((f"files that other users can read (`chmod -R go= {path}`)", n_open))
    if not any(isinstance(n, int) and n for _, n in summary):
        summary = []  # not a release, so its counts say nothing
    shown = [(item, f"{n:,}" if isinstance(n, int) else str(n)) for item, n in summary]
    return Report(pd.DataFrame(shown, columns=["item", "value"]), problems)


def _n_readable_by_others(path: Path) -> int:
    """Return how many tables and EHRs others can read; 0 if the manifest says synthetic."""
    with suppress(ReleaseError):  # a problem that is listed elsewhere
        if (read_manifest(path / "manifest.json") or {}).get("synthetic") is True:
            return 0
    if not path.stat().st_mode & 0o011:
        return 0
    files = [*table_files(path), *ehr_folder_files(path)]
    return sum(
        bool(file.stat().st_mode & 0o044 and file.parent.stat().st_mode & 0o011)
        for file in files
        if file.exists()
    )


def _other_tables(path: Path) -> list[Problem]:
    """Return a problem for each table that is not read, for another file or its own name."""
    problems = []
    for stem in TABLE_STEMS:
        files = [file for name in TABLE_SUFFIXES if (file := path / (stem + name)).is_file()]
        problems += [Problem(f, "", f"not read, because {files[0].name} exists") for f in files[1:]]
        if not files and stem not in (INSTRUCTIONS_FILE, REFERENCES_FILE):  # those are required
            if hint := found_instead(path, stem):
                problems.append(Problem(path, "", f"no {stem}{hint}"))
    return problems


def _tables(
    path: Path, tables: Sequence[Table | None], problems: Problems
) -> Iterator[tuple[str, object]]:
    questions, answers, reviews, submissions = tables
    for table in filter(None, (questions, answers, submissions)):  # `_reviews` adds the reviews'
        problems += table.problems
    if questions and answers:
        instructions, disagreeing = merge_instructions(questions, answers, reviews)
        problems += disagreeing
        patients = instructions["person_id"]
        if patients.isna().all():
            problems.append(Problem(path, "", "no instruction names its patient"))
        yield "instructions", len(instructions)
        yield "instructions with another question in each table", _n_differing(questions, answers)
        yield "patients with instructions", patients.nunique()
        yield "instructions without a patient", int(patients.isna().sum())
    if submissions:
        yield "submitted instructions", len(submissions.frame)
    if answers:
        references = answers.frame.dropna(subset="reference")
        empty = answers.frame["reference"].drop(references.index)
        problems += at_rows(answers.file, empty, "no clinician's response; row left out")
        preferred = references.loc[references["annotator"] == ANNOTATOR, "instruction_id"]
        n = references["instruction_id"].nunique()
        yield "instructions with a reference", n
        if questions:
            given = questions.frame["instruction_id"].isin(answers.frame["instruction_id"])
            yield f"instructions without a row in {REFERENCES_FILE}", int((~given).sum())
        yield "references", len(references)
        yield f"instructions with references, but not {ANNOTATOR}'s", n - preferred.nunique()


def _n_differing(questions: Table, answers: Table) -> int:
    """Return how many instructions have questions whose letters and digits differ in the tables."""
    both = questions.frame.merge(answers.frame, on="instruction_id", suffixes=("", "_answered"))
    first, second = (
        both[name].str.lower().str.replace(r"\W", "", regex=True)
        for name in ("question", "question_answered")
    )
    return both.loc[first != second, "instruction_id"].nunique()


def _reviews(
    path: Path, columns: Mapping[str, str] | None, problems: Problems
) -> Iterator[tuple[str, object]]:
    file = find_table(path, REVIEWS_FILE)
    options = {"columns": columns, "hint": AS_OPTION}
    reviews = file and _attempt(path, problems, read_reviews, file, **options)
    if reviews:
        problems += reviews.problems
        ratings = reviews.ratings
        yield "rated responses", len(ratings.drop_duplicates(["instruction_id", "system"]))
        yield "ratings", len(ratings)
        yield "reviews excluded from the evaluation", reviews.n_not_used
        yield "systems", ", ".join(ratings["system"].unique())


def _ehrs(
    path: Path,
    ehrs: Mapping[Path, str],
    other_files: Sequence[Path],
    problems: Problems,
    progress: bool,
) -> Iterator[tuple[str, object]]:
    folders = [path / name for name in EHR_FOLDERS if (path / name).is_dir()]
    problems += [Problem(f, "", f"not read, because {folders[0]} exists") for f in folders[1:]]
    types: Counter[str] = Counter()
    notes: set[str | None] = set()
    first, last = datetime.max, datetime.min
    longest, files, n_unordered = (0, ""), {}, 0
    n_repeated = 0
    for file, person_id in tqdm(ehrs.items(), "EHRs", unit="EHR", disable=not (progress and ehrs)):
        n_events, n_before = 0, len(problems)
        facts: dict[str | None, set[str]] = {}

        def add(fault: str, file: Path = file) -> None:
            message = fault.removeprefix(f"{file}").lstrip(":, ")
            problems.append(Problem(file, "", message))

        try:
            inside = file.resolve().is_relative_to(file.parent.resolve())
        except (OSError, RuntimeError):  # circular links
            inside = False
        if not inside:
            add("not read: a link that leads outside the EHR folder or to itself")
        try:
            for event in iterate_events(file, add) if inside else ():
                if event.type != "person":
                    n_events += 1
                    types[event.type] += 1
                    first, last = min(first, event.timestamp), max(last, event.timestamp)
                    if event.type == "note":
                        notes.add(event.name)
                elif is_given(event.value):
                    facts.setdefault(event.name, set()).add(" ".join(event.value.lower().split()))
        except MedAlignError as error:
            add(str(error))
        longest = max(longest, (n_events, person_id), key=lambda counted: counted[0])
        if not n_events and len(problems) == n_before:
            add("no events")
        for name in _CONSTANT:
            if (n := len(facts.get(name, ()))) > 1:
                add(f"{n} different values of {name}; the last counts. Are these two patients?")
        if len(problems) == n_before:
            was_unordered, n, _ = arranged(file)
            n_unordered, n_repeated = n_unordered + was_unordered, n_repeated + n
        if (other := files.setdefault(person_id, file)) != file:
            add(f"a second EHR of patient {person_id}; the first is {other.name}")
    yield "EHRs", len(ehrs)
    yield "other files in the EHR folder", len(other_files)
    yield "EHRs not in order of time, which are put in order", n_unordered
    yield "encounters that repeat another one, which are read once", n_repeated
    yield "notes", types["note"]
    yield "note types", len(notes)
    yield "events", types.total()
    known = [(name, n) for name, n in types.most_common() if name in EVENT_TYPES]
    others = [(name, n) for name, n in types.most_common() if name not in EVENT_TYPES]
    for name, n in known:
        yield f"events: {name}", n
    for name, n in others[:_LISTED_TYPES]:
        yield f"events of another type: {name}", n
    if more := others[_LISTED_TYPES:]:
        yield f"events of {len(more)} more types", sum(n for _, n in more)
    yield "first event", f"{first:%Y-%m-%d}" if types else "none"
    yield "last event", f"{last:%Y-%m-%d}" if types else "none"
    yield "longest EHR", f"{longest[0]:,} events, patient {longest[1]}" if types else "none"


def _attempt(path: Path, problems: Problems, read: Callable, *arguments, **options):
    """Return the result of `read`; if it fails, add the error to the problems and return None."""
    try:
        with reading(path):
            return read(*arguments, **options)
    except ReleaseError as error:
        file, _, fault = str(error).partition(": ")
        is_of_file = Path(file).suffix and file == str(path / Path(file).name)
        problems.append(
            Problem(Path(file), "", fault)
            if is_of_file
            else Problem(path, "", str(error).removeprefix(f"{path}").lstrip(": "))
        )
        return None
