"""Words a passage of a record as evidence, so that `evidence.locate_evidence` finds it again."""

import re
from typing import NamedTuple

import pandas as pd

from medalign_utils.curation.evidence import locate_evidence
from medalign_utils.curation.passage import sentences
from medalign_utils.curation.record_text import RecordText
from medalign_utils.data.ehr.labels import name_label, unit_label, value_label

# Evidence is split at semicolons, and is not sought across paragraphs or items of a list.
_ENDS_PASSAGE = re.compile(r";|\n\s*\n|\n\s*(?=[-*#•]|[A-Z][\w/ ]{0,30}:)")
_BULLET = re.compile(r"^[\s\-*#•]+")


class Citation(NamedTuple):
    """Evidence in words, and whether it leads back to its event."""

    text: str
    is_found: bool


def cite(record: RecordText, row: int, quote: str = "") -> Citation:
    """Return an event as evidence, with its kind and day, as releases name them.

    A note without a quote is named; with one, each passage of the quote follows the name:
    "Progress note of 08/10/2014: denies chest pain". Other events have their value: "Creatinine
    1.1 mg/dL on 01/02/2015". Of several wordings, the first counts that leads back to the event
    before any other; otherwise the first that leads there at all, and otherwise the first.

    If the quote leads nowhere, because it leaves out a "no" before it or cuts a number, the whole
    sentences are tried that it is from.

    - row: index label of the event
    - quote: text of a note, as it stands there
    """
    event, second = record.events.loc[row], None
    wordings = _of_note(event, quote) if event["type"] == "note" else _of_event(event)
    for text in dict.fromkeys(wordings):
        places = locate_evidence(record, text)
        if places.is_sure.get(row):
            if places.rows[0] == row:
                return Citation(text, True)
            second = second or text
    return Citation(second or wordings[0], bool(second))


def passages(quote: str) -> list[str]:
    r"""Return the parts of a quote that evidence can hold, each in one line.

    >>> passages("Plan:\n- aspirin 81 mg\n- no\nstatin; recheck")
    ['Plan:', 'aspirin 81 mg', 'no statin', 'recheck']
    """
    parts = (" ".join(_BULLET.sub("", part).split()) for part in _ENDS_PASSAGE.split(quote))
    return [part for part in parts if re.search(r"\w", part)]


def _of_note(note: pd.Series, quote: str) -> list[str]:
    name = _plain(name_label("note", note["name"]) or "Note")
    document = f"{name} of {note['timestamp']:%m/%d/%Y}"
    if not (parts := passages(quote)):
        return [document]
    wordings = []
    for quoted in (parts, passages(_whole_sentences(note["value"], quote))):
        wordings += ["; ".join(f"{document}: {part}" for part in quoted), "; ".join(quoted)]
    return wordings


def _whole_sentences(text: str, quote: str) -> str:
    """Return the sentences that a quote is from, or the quote, if the text has it not."""
    start = text.find(quote)
    end = start + len(quote)
    inside = [(a, b) for a, b in sentences(text) if a < end and b > start >= 0]
    return text[inside[0][0] : inside[-1][1]] if inside else quote


def _of_event(event: pd.Series) -> list[str]:
    kind, day = event["type"], f"{event['timestamp']:%m/%d/%Y}"
    name = name_label(kind, event["name"]) or ("" if pd.isna(event["code"]) else event["code"])
    value = " ".join(filter(None, (value_label(kind, event["value"]), unit_label(event["unit"]))))
    raw = " ".join(t for t in event[["name", "value", "unit"]].dropna() if t)
    shown, stored = (_plain(text) for text in (f"{name} {value}", raw))
    return [f"{shown} on {day}", f"{stored} on {day}", shown, stored]


def _plain(text: str) -> str:
    return " ".join(text.replace(";", ",").split())
