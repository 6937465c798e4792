"""Where the answers are in the records: from the answer key, or from the references' evidence."""

from typing import NamedTuple

import pandas as pd

from medalign_utils.curation.evidence import locate_evidence
from medalign_utils.curation.record_text import RecordText
from medalign_utils.data.ehr import read_events
from medalign_utils.data.release import Release
from medalign_utils.grading import load_answer_key

# Assumed length of an event's time, type and code, as in an answer key's `position`.
_HEAD = 40


class _Place(NamedTuple):
    where: str | None = None
    position: float | None = None
    timestamp: pd.Timestamp | None = None


def answer_places(release: Release) -> pd.DataFrame:
    """Return where the record answers each instruction that has a patient, in the table's order.

    Columns:

    - instruction_id
    - where: codes, notes, both or nowhere
    - position: share of the record's text up to the answer, from 0 (oldest) to 1
    - timestamp: time of the answer

    The answer key has these values, except for the timestamp. Without a key, the place is the event
    that the explorer shows first for the reference's evidence. Values are missing if the evidence
    is not found, and the last two if the answer is nowhere.
    """
    key = load_answer_key(release.answer_key_path) if release.answer_key_path else {}
    evidence = release.references.groupby("instruction_id")["evidence"].first().to_dict()
    asked = release.instructions.dropna(subset="person_id")
    places: dict[str, _Place] = {}
    for person_id, ids in asked.groupby("person_id", sort=False)["instruction_id"]:
        events = read_events(release.ehr_path(person_id))
        shares = text_shares(events)
        for i in ids:
            if "where" in key.get(i, {}):
                places[i] = _keyed(key[i], shares)
            else:
                places[i] = _evident(events, shares, evidence.get(i))
    rows = [places[i] for i in asked["instruction_id"]]
    table = pd.DataFrame(rows, index=asked["instruction_id"], columns=_Place._fields)
    types = {"where": "str", "position": "float64", "timestamp": "datetime64[s]"}
    return table.astype(types).reset_index()


def text_shares(events: pd.DataFrame) -> pd.Series:
    """Return the share of a record's text that is written up to each time, the earliest first.

    >>> events = pd.DataFrame({"timestamp": pd.to_datetime(["2014-01-02", "2014-01-01"]),
    ...     "type": "note", "name": "Visit", "value": ["Well.", "No cough, no fever."]})
    >>> text_shares(events).round(2).tolist()
    [0.56, 1.0]
    """
    # As in an answer key, facts about the person are no part of the record's text.
    events = events[events["type"] != "person"]
    lengths = _HEAD + events["name"].fillna("").str.len() + events["value"].fillna("").str.len()
    written = lengths.groupby(events["timestamp"]).sum().cumsum()
    return written / written.iloc[-1] if len(written) else written.astype(float)


def _keyed(line: dict, shares: pd.Series) -> _Place:
    position = line.get("position")
    if position is None or shares.empty:
        return _Place(line["where"])
    return _Place(line["where"], position, (shares - position).abs().idxmin())


def _evident(events: pd.DataFrame, shares: pd.Series, evidence: str | None) -> _Place:
    rows = locate_evidence(RecordText(events), None if pd.isna(evidence) else evidence).rows
    if not rows or events.loc[rows[0], "type"] == "person":
        return _Place()
    event = events.loc[rows[0]]
    where = "notes" if event["type"] == "note" else "codes"
    return _Place(where, float(shares[event["timestamp"]]), event["timestamp"])
