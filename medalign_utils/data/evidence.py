"""Finds the evidence for a reference in a record."""

import re
from collections import Counter
from datetime import date
from typing import NamedTuple

import pandas as pd

# A date in evidence: month/day/year (American order) or year-month-day.
_DATE = re.compile(r"\b(?:(\d{1,2})/(\d{1,2})/(\d{4}|\d{2})|(\d{4})-(\d{2})-(\d{2}))\b")
_DATE_END = re.compile(r"(?i)[\s,.:()]+$|[\s,]+(?:of|on|from|dated)$")
_FILLERS = frozenset(("and", "for", "from", "the", "was", "with"))


class Evidence(NamedTuple):
    """Where a reference's evidence is in a record."""

    rows: list[int]  # index labels of events: those with most parts first, then the most recent
    pattern: re.Pattern | None  # what to highlight in them
    messages: list[str]  # for each part, what was found


def search_pattern(text: str) -> re.Pattern | None:
    """Return a pattern for the literal text in any case, across line breaks; None for blanks."""
    words = text.split()
    return re.compile(r"\s+".join(map(re.escape, words)), re.IGNORECASE) if words else None


def locate_evidence(events: pd.DataFrame, evidence: str | None) -> Evidence:
    """Return where a reference's evidence is; its parts are separated by semicolons or lines.

    Each part is searched for literally, then in notes that contain all of its words; if it names a
    date, in the note of that date with most of its words.
    """
    parts = [part.strip() for part in re.split(r"[;\n]+", evidence or "") if part.strip()]
    texts = _plain(events["name"].fillna("") + " " + events["value"].fillna(""), events["unit"])
    parts_of, terms, messages = Counter(), [], []
    for part in parts:
        rows, found, message = _locate_part(events, texts, part)
        parts_of.update(rows)
        terms += found
        messages.append(f"“{part}”: {message}")
    order = pd.DataFrame({"parts": pd.Series(parts_of), "at": events["timestamp"].loc[[*parts_of]]})
    rows = order.sort_values(["parts", "at"], ascending=False, kind="stable").index.tolist()
    longest_first = sorted({term.pattern for term in terms}, key=len, reverse=True)
    pattern = re.compile("|".join(longest_first), re.IGNORECASE) if terms else None
    return Evidence(rows, pattern, messages)


def _locate_part(
    events: pd.DataFrame, texts: pd.Series, part: str
) -> tuple[list[int], list[re.Pattern], str]:
    """Return the events with one part of the evidence, what to highlight, and a message."""
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
    words = {*re.findall(r"[^\W_]{3,}", bare.lower())} - _FILLERS
    notes = texts[is_note & (on_day if day is not None else True)]
    has = {word: notes.str.contains(word, regex=False) for word in words}
    score = pd.DataFrame(has, index=notes.index).sum(axis=1)
    rows = notes.index[(score == score.max()) & (score >= (1 if day is not None else len(words)))]
    if words and len(rows):
        place = "the note" if len(rows) == 1 else f"{len(rows):,} notes"
        of_day = f" of {day:%Y-%m-%d}" if day is not None else ""
        share = "all" if score.max() == len(words) else "most"
        verb = "contains" if len(rows) == 1 else "contain"
        message = f"no exact match; {place}{of_day} {verb} {share} of its words"
        return rows.tolist(), [*map(search_pattern, sorted(words))], message
    if on_day.any():
        return events.index[on_day].tolist(), [], f"not found; showing events of {day:%Y-%m-%d}"
    return [], [], "not found"


def _plain(texts: pd.Series, units: pd.Series) -> pd.Series:
    """Return texts in lower case, with single blanks and without colons and commas."""
    joined = (texts + " " + units.fillna("")).str.lower().str.replace(r"[:,\s]+", " ", regex=True)
    return joined.str.strip()


def _same_words(texts: pd.Series, text: str) -> pd.Series:
    """Return whether an event's text is in `text`, or `text` in it, as whole words."""
    part = f" {' '.join(re.sub(r'[:,]', ' ', text.lower()).split())} "
    unique = texts.unique()
    return texts.isin([t for t in unique if (len(t) > 4 and f" {t} " in part) or part in f" {t} "])


def _day(text: str) -> pd.Timestamp | None:
    found = _DATE.search(text)
    if not found:
        return None
    month, day, year, *iso = found.groups()
    year, month, day = map(int, (year, month, day) if year else iso)
    try:
        return pd.Timestamp(date(year + 2000 * (year < 100), month, day))
    except ValueError:
        return None
