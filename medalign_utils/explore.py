"""What is in a release: its instructions, its records, and where the answers lie in them."""

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

import pandas as pd
from tqdm.auto import tqdm

from medalign_utils.dataset import Release
from medalign_utils.ehr import ehr_text, read_events
from medalign_utils.prompts import count_tokens, load_tokenizer

QUARTERS = ("oldest quarter", "second quarter", "third quarter", "most recent quarter")


class Exploration(NamedTuple):
    """`explore_records`' three tables."""

    records: pd.DataFrame
    event_types: pd.DataFrame
    note_types: pd.DataFrame


def explore_records(
    release: Release, *, tokenizer: str = "minilm", progress: bool = True
) -> Exploration:
    """Read every EHR that an instruction is asked of, once each, and count what it holds.

    Returns: `records`, one row a patient, the shortest first: person_id, instructions (asked of
    it), first and last (dates), encounters, events, notes, tokens (of the `lines` text, in the
    tokenizer that `prompts.load_tokenizer` gives for this name). `event_types`, commonest first:
    type, events, patients (who have one). `note_types`, commonest first: note, notes, patients.
    What an encounter's header says of the person ("person" rows) is not counted as an event.

    Raises: EHRError where a record cannot be read.
    """
    counter = load_tokenizer(tokenizer)
    asked = release.instructions["person_id"].value_counts()
    records = []
    types, notes = Counter(), Counter()
    with_type, with_note = Counter(), Counter()
    for person_id in tqdm(sorted(asked.index), desc="records", disable=not progress):
        path = release.ehr_path(person_id)
        events = read_events(path)
        events = events[events["type"] != "person"]
        of_type = Counter(events["type"])
        of_note = Counter(events.loc[events["type"] == "note", "name"].fillna("(no name)"))
        types.update(of_type)
        notes.update(of_note)
        with_type.update(of_type.keys())
        with_note.update(of_note.keys())
        records.append(
            {
                "person_id": person_id,
                "instructions": asked[person_id],
                "first": events["timestamp"].min().date(),
                "last": events["timestamp"].max().date(),
                "encounters": events["encounter"].nunique(),
                "events": len(events),
                "notes": of_type["note"],
                "tokens": count_tokens(ehr_text(path, "lines"), counter),
            }
        )
    return Exploration(
        pd.DataFrame(records).sort_values(["tokens", "person_id"], ignore_index=True),
        _commonest(types, with_type, ["type", "events", "patients"]),
        _commonest(notes, with_note, ["note", "notes", "patients"]),
    )


def count_categories(instructions: pd.DataFrame, references: pd.DataFrame) -> pd.DataFrame:
    """Instructions in each category, the largest first.

    Returns: category ("(none)" where an instruction has none), with_reference, all.

    >>> instructions = pd.DataFrame({
    ...     "instruction_id": ["1", "2", "3"], "category": ["Retrieve", "Retrieve", None]})
    >>> references = pd.DataFrame({"instruction_id": ["1", "1"]})
    >>> count_categories(instructions, references).values.tolist()
    [['Retrieve', 1, 2], ['(none)', 0, 1]]
    """
    table = pd.DataFrame(
        {
            "category": instructions["category"].fillna("(none)"),
            "with_reference": instructions["instruction_id"].isin(references["instruction_id"]),
            "all": 1,
        }
    )
    counts = table.groupby("category")[["with_reference", "all"]].sum().reset_index()
    return counts.sort_values(["all", "category"], ascending=[False, True], ignore_index=True)


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


def _commonest(counts: Counter, patients: Counter, columns: list[str]) -> pd.DataFrame:
    name, n, *_ = columns
    rows = [(each, count, patients[each]) for each, count in counts.items()]
    table = pd.DataFrame(rows, columns=columns)
    return table.sort_values([n, name], ascending=[False, True], ignore_index=True)
