"""What is in a release: its instructions, its records, and where the answers lie in them."""

from collections import Counter
from collections.abc import Mapping
from datetime import date
from typing import NamedTuple

import pandas as pd
from tqdm.auto import tqdm

from medalign_utils.data.ehr import events_text, read_events
from medalign_utils.data.release import Release
from medalign_utils.errors import ReleaseError
from medalign_utils.prompts.tokenizers import load_tokenizer

QUARTERS = ("oldest quarter", "second quarter", "third quarter", "most recent quarter")


class Exploration(NamedTuple):
    """`explore_records`' four tables."""

    records: pd.DataFrame
    event_types: pd.DataFrame
    note_types: pd.DataFrame
    years: pd.DataFrame


def explore_records(
    release: Release, *, tokenizer: str = "minilm", progress: bool = True
) -> Exploration:
    """Read every EHR that an instruction is asked of, once each, and count what it holds.

    Returns: `records`, one row a patient, the shortest first: person_id, instructions (asked of
    it), first and last (dates), encounters, events, notes, tokens (of the `lines` text, by
    the tokenizer of this name, as for `load_tokenizer`). `event_types`, commonest first:
    type, events, patients (who have one). `note_types`, commonest first: note, notes, patients.
    `years`, each calendar year from the first to the last: year, events, patients. What an
    encounter's header says of the person ("person" rows) is not counted as an event. A record
    without events has neither a first nor a last date.

    Raises: EHRError where a record cannot be read; ReleaseError where no instruction names its
    patient.
    """
    counter = load_tokenizer(tokenizer, chat_template=False)
    asked = release.instructions["person_id"].value_counts()
    if asked.empty:
        raise ReleaseError(f"explore_records: no instruction of {release.path} names its patient")
    records = []
    types, notes, years = _Tally(), _Tally(), _Tally()
    for person_id in tqdm(sorted(asked.index), desc="records", disable=not progress):
        everything = read_events(release.ehr_path(person_id))
        events = everything[everything["type"] != "person"]
        of_note = events.loc[events["type"] == "note", "name"].fillna("(no name)")
        types.add(events["type"])
        notes.add(of_note)
        years.add(events["timestamp"].dt.year)
        records.append(
            {
                "person_id": person_id,
                "instructions": asked[person_id],
                "first": _date(events["timestamp"].min()),
                "last": _date(events["timestamp"].max()),
                "encounters": events["encounter"].nunique(),
                "events": len(events),
                "notes": len(of_note),
                "tokens": counter.count(events_text(everything)),
            }
        )
    return Exploration(
        pd.DataFrame(records).sort_values(["tokens", "person_id"], ignore_index=True),
        types.commonest(["type", "events", "patients"]),
        notes.commonest(["note", "notes", "patients"]),
        _every_year(years.commonest(["year", "events", "patients"])),
    )


def count_categories(
    instructions: pd.DataFrame,
    references: pd.DataFrame,
    published: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Instructions in each category, the largest first.

    Returns: category ("(none)" where an instruction has none), with_reference, all. Given the
    paper's counts (`published`, with the same three columns), also published_with_reference and
    published_all, and its further categories; a category that one side lacks counts 0 there.

    >>> instructions = pd.DataFrame({
    ...     "instruction_id": ["1", "2", "3"], "category": ["Retrieve", "Retrieve", None]})
    >>> references = pd.DataFrame({"instruction_id": ["1", "1"]})
    >>> count_categories(instructions, references).values.tolist()
    [['Retrieve', 1, 2], ['(none)', 0, 1]]
    """
    counts = _count_by("category", instructions, references)
    if published is None:
        return counts
    columns = {name: f"published_{name}" for name in ("with_reference", "all")}
    counts = counts.merge(published.rename(columns=columns), on="category", how="outer")
    numbers = counts.columns.drop("category")
    counts[numbers] = counts[numbers].fillna(0).astype("int64")
    order = ["all", "published_all", "category"]
    return counts.sort_values(order, ascending=[False, False, True], ignore_index=True)


def count_specialties(instructions: pd.DataFrame, references: pd.DataFrame) -> pd.DataFrame:
    """Instructions by the specialty of the clinician who submitted them, the largest first.

    Returns: specialty ("(none)" where it is not given), with_reference, all.

    >>> instructions = pd.DataFrame({
    ...     "instruction_id": ["1", "2"], "submitter_specialty": ["Cardiology", "Cardiology"]})
    >>> references = pd.DataFrame({"instruction_id": ["1"]})
    >>> count_specialties(instructions, references).values.tolist()
    [['Cardiology', 1, 2]]
    """
    counts = _count_by("submitter_specialty", instructions, references)
    return counts.rename(columns={"submitter_specialty": "specialty"})


def count_answer_places(answer_key: Mapping[str, Mapping]) -> pd.DataFrame:
    """Where the answer key says that answers lie: in what, and how far back in the record.

    Returns: one row each for "codes", "notes", "both" and "nowhere" (the records do not say), with
    the number of instructions by quarter of the record, in columns named by `QUARTERS`, those
    "without a place", and their total, `all`.

    >>> table = count_answer_places({"1": {"where": "notes", "position": 0.9}})
    >>> table.set_index("where").loc["notes", ["oldest quarter", "most recent quarter"]].tolist()
    [0, 1]
    """
    rows = []
    for where in ("codes", "notes", "both", "nowhere"):
        positions = [line["position"] for line in answer_key.values() if line["where"] == where]
        placed = Counter(min(int(4 * p), 3) for p in positions if p is not None)
        row = {"where": where} | {name: placed[i] for i, name in enumerate(QUARTERS)}
        rows.append(row | {"without a place": positions.count(None), "all": len(positions)})
    return pd.DataFrame(rows)


class _Tally:
    """Counts of items, and of the patients who have them, one patient's items at a time."""

    def __init__(self) -> None:
        self.items, self.patients = Counter(), Counter()

    def add(self, items: pd.Series) -> None:
        counts = items.value_counts().to_dict()
        self.items.update(counts)
        self.patients.update(counts.keys())

    def commonest(self, columns: list[str]) -> pd.DataFrame:
        name, n, *_ = columns
        rows = [(each, count, self.patients[each]) for each, count in self.items.items()]
        table = pd.DataFrame(rows, columns=columns)
        return table.sort_values([n, name], ascending=[False, True], ignore_index=True)


def _date(moment: pd.Timestamp) -> date | None:
    return None if pd.isna(moment) else moment.date()


def _every_year(years: pd.DataFrame) -> pd.DataFrame:
    if years.empty:
        return years
    every = range(years["year"].min(), years["year"].max() + 1)
    return years.set_index("year").reindex(every, fill_value=0).reset_index()


def _count_by(column: str, instructions: pd.DataFrame, references: pd.DataFrame) -> pd.DataFrame:
    table = pd.DataFrame(
        {
            column: instructions[column].fillna("(none)"),
            "with_reference": instructions["instruction_id"].isin(references["instruction_id"]),
            "all": 1,
        }
    )
    counts = table.groupby(column)[["with_reference", "all"]].sum().reset_index()
    return counts.sort_values(["all", column], ascending=[False, True], ignore_index=True)
