"""How often the explorer opens evidence at the right place, on synthetic releases.

`python benchmarks/evidence.py` writes benchmarks/evidence.csv. The right place is known in two
ways.
`reference` is the evidence of a release's references: the first place is right if it is from the
day where the answer key has the answer, or if the answer key's facts grade it as correct. The other
kinds are passages made from one event, and only this event is right:

- value and day: a coded value with its day, written in other ways than in the record
- sentence and day: a sentence of a note that recurs in others, with the note's day
- day in the reference: such a sentence, and the day only in the reference
- kind of note: "CT chest report", and the day only in the reference
- words left out: a sentence without some of its words; right is a sentence with them all, in order
- other number: a value that is not in the record
- opposite: a negated sentence without its negation

The last two are nowhere in the record: right is to say so, or "possibly". Also counted are
messages "word for word" about a place that has other words.
"""

import argparse
import random
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from medalign_utils import grading
from medalign_utils.curation.evidence import locate_evidence
from medalign_utils.curation.record_text import RecordText
from medalign_utils.data.ehr import read_events
from medalign_utils.data.release import Release, load_release
from medalign_utils.synthetic import write_release

NOWHERE: list[int] = []
NEGATED = re.compile(r"^(?:No|Denies|She denies|He denies) (?=[a-z])")


class Case(NamedTuple):
    """A passage of evidence and where it is."""

    kind: str
    passage: str
    reference: str
    right: list[int]  # index labels of the events


def sentences(text: str) -> list[str]:
    found = re.split(r"(?<=[.])\s+|\n", text)
    return [s.rstrip(".") for s in found if len(s.split()) >= 5 and ";" not in s]


def cases_of(events: pd.DataFrame, rng: random.Random) -> Iterator[Case]:
    values = events[(events["type"] == "measurement") & events["unit"].notna()]
    for row in rng.sample(list(values.index), min(6, len(values))):
        event = values.loc[row]
        same_day = values["timestamp"].dt.date == event["timestamp"].date()
        same = same_day & (values["name"] == event["name"]) & (values["value"] == event["value"])
        if same.sum() > 1:
            continue
        name = re.sub(r" \[.*", "", event["name"])
        day = event["timestamp"].strftime(rng.choice(("%m/%d/%Y", "%Y-%m-%d", "%B %d, %Y")))
        form = rng.choice(("{0} {1} {2} on {3}", "{3}: {0} {1} {2}", "{0}: {1} {2}, {3}"))
        yield Case(
            "value and day", form.format(name, event["value"], event["unit"], day), "", [row]
        )
        other = f"{event['name']}: {float(event['value']) * 10 + 1:g} {event['unit']}"
        yield Case("other number", other, "", NOWHERE)
    notes = events[events["type"] == "note"].dropna(subset="value")
    everything = " ".join(notes["value"])
    for row in rng.sample(list(notes.index), min(10, len(notes))):
        note = notes.loc[row]
        day = f"{note['timestamp']:%m/%d/%Y}"
        of_day = notes["timestamp"].dt.date == note["timestamp"].date()
        found = [
            sentence
            for sentence in sentences(note["value"])
            if notes["value"][of_day].str.count(re.escape(sentence)).sum() == 1
        ]
        if not found:
            continue
        sentence = rng.choice(found)
        if everything.count(sentence) > 1:
            yield Case("sentence and day", f"{sentence}, {day}", "", [row])
            yield Case("day in the reference", sentence, f"As of {day}, yes.", [row])
        else:
            words = sentence.split()
            kept = [word for i, word in enumerate(words) if i % 4 != 2]
            if len(kept) >= 5:
                gaps = re.compile(r"\b[^.\n]*?\b".join(map(re.escape, kept)))
                right = notes.index[[bool(gaps.search(text)) for text in notes["value"]]]
                yield Case("words left out", " ".join(kept), "", list(right))
        opposite = next((s for s in found if NEGATED.match(s)), None)
        if opposite:
            yield Case("opposite", NEGATED.sub("Reports ", opposite), "", NOWHERE)
    reports = notes[notes["name"] == "Imaging report"]
    for row in rng.sample(list(reports.index), min(5, len(reports))):
        study = re.match(r"[A-Z -]+(?= \d)", reports.at[row, "value"])
        if study:
            day = f"{reports.at[row, 'timestamp']:%m/%d/%Y}"
            yield Case("kind of note", f"{study[0].lower()} report", f"Seen on {day}.", [row])


def is_literal(passage: str, text: str) -> bool:
    """Return whether a text has the passage's words in a row, dates and documents aside."""

    def words(text: str) -> str:
        numbers = re.sub(r"(?<=\d)\.0+\b|(?<=\.\d)0+\b", "", text.lower())
        return f" {' '.join(re.findall(r'[a-z0-9]+(?:[.,/][a-z0-9]+)*', numbers))} "

    day = r"(?:\d{1,2}/\d{1,2}/\d{4}|\d{4}-\d\d-\d\d|[A-Z]\w+ \d\d, \d{4})"
    bare = re.sub(rf"^{day}: |(?:,| on) {day}$", "", passage)
    return words(bare.strip(" :")) in words(text)


def reference_cases(release: Release) -> Iterator[tuple[str, str, str, str]]:
    columns = ["instruction_id", "person_id", "evidence", "reference", "question"]
    asked = release.references.merge(release.instructions, on="instruction_id")
    yield from asked[columns].dropna().itertuples(index=False, name=None)


def day_of(events: pd.DataFrame, position: float):
    """Return the day until which the share `position` of the record's text was written."""
    events = events[events["type"] != "person"]
    lengths = 40 + events["name"].fillna("").str.len() + events["value"].fillna("").str.len()
    written = lengths.groupby(events["timestamp"]).sum().cumsum()
    return (written / written.iloc[-1] - position).abs().idxmin().date()


def assess(folder: Path, seed: int) -> pd.DataFrame:
    write_release(folder, seed=seed, progress=False)
    release = load_release(folder)
    key = grading.load_answer_key(release.answer_key_path)
    rng = random.Random(seed)
    records, rows = {}, []
    for person in release.instructions["person_id"].dropna().unique():
        events = read_events(release.ehr_path(person)).sort_values("timestamp", kind="stable")
        records[person] = RecordText(events)
        for case in cases_of(events, rng):
            rows.append(check(records[person], *case))
    for instruction, person, evidence, reference, question in reference_cases(release):
        record, answer = records[person], key[instruction]
        found = locate_evidence(record, evidence, (reference, question))
        first = record.events.loc[found.rows[0]] if found.rows else None
        is_right = first is not None and (
            first["timestamp"].date() == day_of(record.events, answer["position"])
            or grading.grade(text_of(first), answer["facts"]).correct
        )
        rows.append(("reference", is_right, False))
    return pd.DataFrame(rows, columns=["kind", "right", "wrongly literal"])


def text_of(event: pd.Series) -> str:
    parts = (f"{event['timestamp']:%Y-%m-%d}", event["name"], event["value"], event["unit"])
    return " ".join(str(part) for part in parts if pd.notna(part))


def check(record: RecordText, kind: str, passage: str, reference: str, right: list[int]):
    found = locate_evidence(record, passage, (reference,))
    first = found.rows[0] if found.rows else None
    claims = "word for word" in found.messages[0]
    is_wrong = claims and not is_literal(passage, text_of(record.events.loc[first]))
    if not right:
        return kind, first is None or not found.is_sure[first], is_wrong
    return kind, first in right, is_wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3, help="releases; default %(default)s")
    args = parser.parse_args()
    tables = []
    for seed in range(101, 101 + args.seeds):
        with tempfile.TemporaryDirectory() as folder:
            tables.append(assess(Path(folder), seed))
    table = pd.concat(tables)
    by_kind = table.groupby("kind").agg(
        n=("right", "size"), right=("right", "sum"), wrongly_literal=("wrongly literal", "sum")
    )
    by_kind["share right"] = (by_kind["right"] / by_kind["n"]).round(3)
    by_kind.to_csv(Path(__file__).with_suffix(".csv"))
    print(by_kind.to_string())


if __name__ == "__main__":
    main()
