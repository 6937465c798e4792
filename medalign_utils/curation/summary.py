"""Counts of a release's instructions and records, and of the places of answers in records."""

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

import pandas as pd
from tqdm.auto import tqdm

from medalign_utils.data.ehr import events_text, read_events
from medalign_utils.data.merging import merge_bins, merge_small
from medalign_utils.data.release import Release
from medalign_utils.errors import ReleaseError
from medalign_utils.prompts.tokenizers import load_tokenizer

QUARTERS = ("oldest quarter", "second quarter", "third quarter", "most recent quarter")


class ReleaseSummary(NamedTuple):
    """The tables of `summarize_records`."""

    records: pd.DataFrame
    event_types: pd.DataFrame
    note_types: pd.DataFrame
    years: pd.DataFrame


def summarize_records(
    release: Release, *, merge: bool = False, progress: bool = True
) -> ReleaseSummary:
    """Return counts over the EHRs of the instructions' patients, reading each EHR once.

    - `records`, one row per patient, shortest first: person_id, instructions, first and last (dates
      of events, missing if there are none), encounters, events, notes, tokens (of the `lines` text,
      by MiniLM's tokenizer)
    - `event_types`, largest count first: type, events, patients
    - `note_types`, largest count first: note, notes, patients
    - `years`, every calendar year from first to last: year, events, patients

    Facts about the person are not counted as events. With `merge`, for restricted releases, types
    and years of fewer than 11 patients are merged, and these tables have no patients, because two
    types may reveal how few patients have one alone. Years are then bands from year to last_year;
    the first year of the first band and the last one of the last are missing, unless the band is
    one year.

    Raises:
        ReleaseError: no instruction names its patient.
    """
    counter = load_tokenizer("minilm", chat_template=False)
    n_instructions = release.instructions["person_id"].value_counts()
    if n_instructions.empty:
        raise ReleaseError(f"summarize_records: no instruction of {release.path} names its patient")
    records, types, notes, years = [], {}, {}, {}
    for person_id in tqdm(sorted(n_instructions.index), desc="records", disable=not progress):
        rows = read_events(release.ehr_path(person_id))
        events = rows[rows["type"] != "person"]
        titles = events.loc[events["type"] == "note", "name"].fillna("(no name)")
        types[person_id] = events["type"].value_counts()
        notes[person_id] = titles.value_counts()
        years[person_id] = events["timestamp"].dt.year.value_counts()
        first, last = events["timestamp"].min(), events["timestamp"].max()
        records.append(
            {
                "person_id": person_id,
                "instructions": n_instructions[person_id],
                "first": None if pd.isna(first) else first.date(),
                "last": None if pd.isna(last) else last.date(),
                "encounters": events["encounter"].nunique(),
                "events": len(events),
                "notes": len(titles),
                "tokens": counter.count(events_text(rows)),
            }
        )
    by_year = _tally(years, "year", "events")
    if merge and len(by_year):
        by_year = _bands(years)
    elif len(by_year):
        by_year = by_year.set_index("year")
        span = pd.RangeIndex(by_year.index.min(), by_year.index.max() + 1, name="year")
        by_year = by_year.reindex(span, fill_value=0).reset_index()
    return ReleaseSummary(
        pd.DataFrame(records).sort_values(["tokens", "person_id"], ignore_index=True),
        _tally(types, "type", "events", merge=merge),
        _tally(notes, "note", "notes", merge=merge),
        by_year,
    )


def _tally(
    counts: Mapping[str, pd.Series], item: str, n: str, *, merge: bool = False
) -> pd.DataFrame:
    """Return each item's total count and the number of patients with the item."""
    rows = _rows(counts, item, n)
    if merge and len(rows):
        rows[item] = merge_small(rows[item], rows["patient"])
    table = rows.groupby(item).agg(**{n: (n, "sum"), "patients": ("patient", "nunique")})
    table = table.astype("int64").reset_index()
    table = table.sort_values([n, item], ascending=[False, True], ignore_index=True)
    return table.drop(columns="patients") if merge else table


def _bands(years: Mapping[str, pd.Series]) -> pd.DataFrame:
    """Return the number of events in bands of years, without the bounds of one patient's record."""
    rows = _rows(years, "year", "events")
    firsts = merge_bins(rows["year"], rows["patient"])
    table = rows.groupby(firsts).agg(last_year=("year", "max"), events=("events", "sum"))
    table = table.reset_index().astype("Int64")
    if table["year"].iloc[0] < table["last_year"].iloc[0]:
        table.loc[0, "year"] = pd.NA
    if firsts.nunique() and rows.loc[firsts == firsts.max(), "year"].nunique() > 1:
        table.loc[len(table) - 1, "last_year"] = pd.NA
    return table


def _rows(counts: Mapping[str, pd.Series], item: str, n: str) -> pd.DataFrame:
    """Return one row per patient and item: patient, the item, n."""
    rows = pd.concat(counts, names=["patient", item]).rename(n).reset_index()
    return rows.astype({n: "int64"})


def count_categories(
    instructions: pd.DataFrame, references: pd.DataFrame, published: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Return the number of instructions in each category, largest first.

    Columns: category ("(none)" if missing), with_reference, all. If `published` has the paper's
    counts, in the same columns, the table also has published_with_reference and published_all;
    counts are missing where the other side has no category of the same name, as after a merge.
    """
    counts = _count_by("category", instructions, references)
    if published is None:
        return counts
    columns = {name: f"published_{name}" for name in ("with_reference", "all")}
    counts = counts.merge(published.rename(columns=columns), on="category", how="outer")
    numbers = counts.columns.drop("category")
    counts[numbers] = counts[numbers].astype("Int64")
    order = ["all", "published_all", "category"]
    return counts.sort_values(order, ascending=[False, False, True], ignore_index=True)


def count_specialties(instructions: pd.DataFrame, references: pd.DataFrame) -> pd.DataFrame:
    """Return the number of instructions by the submitter's specialty, as `count_categories`."""
    counts = _count_by("submitter_specialty", instructions, references)
    return counts.rename(columns={"submitter_specialty": "specialty"})


def count_answer_places(answer_key: Mapping[str, Mapping]) -> pd.DataFrame:
    """Return where in the record the answers are, according to the answer key.

    One row per kind of place, with the numbers of instructions in each of `QUARTERS`, without a
    place, and in total.

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


def _count_by(column: str, instructions: pd.DataFrame, references: pd.DataFrame) -> pd.DataFrame:
    answered = instructions["instruction_id"].isin(references["instruction_id"])
    groups = answered.groupby(instructions[column].fillna("(none)"))
    counts = groups.agg(with_reference="sum", all="size").reset_index()
    return counts.sort_values(["all", column], ascending=[False, True], ignore_index=True)
