"""Where in a record the evidence of a reference stands."""

import re
from collections import Counter
from datetime import date
from typing import NamedTuple

import pandas as pd

# A date in evidence: month/day/year, as American clinicians write it, or year-month-day.
_DATE = re.compile(r"\b(?:(\d{1,2})/(\d{1,2})/(\d{4}|\d{2})|(\d{4})-(\d{2})-(\d{2}))\b")
_DATE_END = re.compile(r"(?i)[\s,.:()]+$|[\s,]+(?:of|on|from|dated)$")
_FILLERS = frozenset(("and", "for", "from", "the", "was", "with"))


class Evidence(NamedTuple):
    """Where a reference's evidence stands in a record.

    Attributes:
        rows: index labels of the events that hold it, those that hold most of its parts first,
            then the most recent.
        pattern: what to highlight in them, or None.
        messages: what was found of each part, and how.
    """

    rows: list[int]
    pattern: re.Pattern | None
    messages: list[str]


def search_pattern(text: str) -> re.Pattern | None:
    r"""What finds a text literally, in either case and across line breaks; None for blanks.

    >>> search_pattern("chest  pain?").findall("Chest\npain? Chest pain.")
    ['Chest\npain?']
    """
    words = text.split()
    return re.compile(r"\s+".join(map(re.escape, words)), re.IGNORECASE) if words else None


def locate_evidence(events: pd.DataFrame, evidence: str | None) -> Evidence:
    """Look for a reference's evidence: part by part (parted by semicolons), literally at first.

    Failing that, notes are looked for that hold all words of the part; where the part names a
    date, only events of that date count, and a note there that holds most of the words.

    >>> events = pd.DataFrame({"timestamp": pd.to_datetime(["2014-08-10"]), "type": ["note"],
    ...     "name": ["Progress note"], "value": ["Denies chest pain."], "unit": [None]}, [7])
    >>> locate_evidence(events, "chest pain; dizziness").messages
    ['“chest pain”: found word for word, 1 time', '“dizziness”: not found']
    """
    parts = [part.strip() for part in re.split(r"[;\n]+", evidence or "") if part.strip()]
    texts = _plain(events["name"].fillna("") + " " + events["value"].fillna(""), events["unit"])
    held, terms, messages = Counter(), [], []
    for part in parts:
        rows, found, message = _locate_part(events, texts, part)
        held.update(rows)
        terms += found
        messages.append(f"“{part}”: {message}")
    moments = events["timestamp"].loc[list(held)]
    order = pd.DataFrame({"parts": pd.Series(held), "at": moments})
    rows = order.sort_values(["parts", "at"], ascending=False, kind="stable").index.tolist()
    longest_first = sorted({term.pattern for term in terms}, key=len, reverse=True)
    pattern = re.compile("|".join(longest_first), re.IGNORECASE) if terms else None
    return Evidence(rows, pattern, messages)


def _locate_part(
    events: pd.DataFrame, texts: pd.Series, part: str
) -> tuple[list[int], list[re.Pattern], str]:
    """The events that hold one part of the evidence, what to highlight, and what to say."""
    day = _day(part)
    on_day = events["timestamp"].dt.normalize() == day
    bare = part
    if day is not None:
        bare = _DATE.sub("", part).strip()
        while (shorter := _DATE_END.sub("", bare)) != bare:
            bare = shorter
    is_note = events["type"] == "note"
    for text, dated in ((part, None), (bare, day)):
        pattern = search_pattern(text)
        if pattern is None:
            continue
        notes = events["value"][is_note].dropna()
        found = notes.index[[pattern.search(note) is not None for note in notes]]
        coded = texts[~is_note]
        found = found.union(coded.index[_same_words(coded, text)])
        if dated is not None and on_day[found].any():
            found = found[on_day[found]]
        if len(found):
            times = "1 time" if len(found) == 1 else f"{len(found):,} times"
            return found.tolist(), [pattern], f"found word for word, {times}"
    words = [w for w in re.findall(r"[^\W_]{3,}", bare.lower()) if w not in _FILLERS]
    notes = texts[is_note & (on_day if day is not None else True)]
    score = pd.Series(0, index=notes.index)
    for word in set(words):
        score += notes.str.contains(word, regex=False).astype("int64")
    needed = 1 if day is not None else len(set(words))
    rows = notes.index[(score == score.max()) & (score >= needed)] if words else notes.index[:0]
    patterns = [search_pattern(word) for word in words]
    if len(rows):
        which = "the note" if len(rows) == 1 else f"{len(rows):,} notes"
        of_day = f" of {day:%Y-%m-%d}" if day is not None else ""
        every = score.max() == len(set(words))
        share = "all of its words" if every else "most of its words"
        return rows.tolist(), patterns, f"not word for word; {which}{of_day} with {share}"
    if on_day.any():
        return events.index[on_day].tolist(), [], f"not found; the events of {day:%Y-%m-%d}"
    return [], [], "not found"


def _plain(texts: pd.Series, units: pd.Series) -> pd.Series:
    """Texts as `_same_words` compares them: lower case, single blanks, no colons and commas."""
    joined = (texts + " " + units.fillna("")).str.lower().str.replace(r"[:,\s]+", " ", regex=True)
    return joined.str.strip()


def _same_words(texts: pd.Series, text: str) -> pd.Series:
    """Whether an event's text stands in `text` or the other way round, as whole words."""
    asked = " ".join(re.sub(r"[:,]", " ", text.lower()).split())
    unique = pd.Series(texts.unique())
    inside = {t for t in unique if len(t) > 4 and f" {t} " in f" {asked} "}
    around = {t for t in unique if f" {asked} " in f" {t} "}
    return texts.isin(inside | around)


def _day(text: str) -> pd.Timestamp | None:
    found = _DATE.search(text)
    if not found:
        return None
    month, day, year, *iso = found.groups()
    if year is None:
        year, month, day = iso
    try:
        return pd.Timestamp(date(int(year) + (2000 if len(year) == 2 else 0), int(month), int(day)))
    except ValueError:
        return None
