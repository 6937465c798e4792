"""Finds where in a record the evidence for a reference is."""

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from medalign_utils.curation.passage import Passage, Phrase, sentences, with_ages
from medalign_utils.curation.record_text import RecordText

_MOST = 0.6  # share of a passage's words, weighted by rarity, that a place must have
_MOST_ON_DAY = 0.3  # the same on the day that the passage names
_CANDIDATES = 300  # places compared sentence by sentence
_DATE_WEIGHT = 4.0  # a date within a passage is as telling as a rare word
_LISTED = 20  # places that are only possible
_SURE = ("exact", "exact on day", "same", "named")
_MESSAGES = {
    "exact": "found word for word, in {places}",
    "exact on day": "found word for word on the day named, in {places}",
    "same": "found with numbers, units or dates written differently, in {places}",
    "named": "found: {title} of {day}",
    "other day": "possibly: the same words, but not on the day named, in {places}",
    "other document": "possibly: the same words, but in another document, in {places}",
    "words": "possibly: all of its words, but not in a row, in {places}",
    "some": "possibly: most of its words, in {places}",
    "contrary": "possibly: its words, but saying the opposite, in {places}",
    "day": "not found; showing events of {day}",
}


class Place(NamedTuple):
    """An event that contains a passage, or may contain it."""

    row: int  # index label
    strength: float  # 1 if it surely does
    how: str  # a key of _MESSAGES
    is_whole: bool = False  # whether its text contains the whole passage, dates included
    is_named: bool = False  # whether the passage names the document, which is of this kind


class Evidence(NamedTuple):
    """Where a reference's evidence is in a record; `rows` are index labels, the best first."""

    rows: list[int]
    is_sure: dict[int, bool]  # for each row; False is shown as "possibly"
    messages: list[str]  # for each passage, what was found
    spans: Callable[[int, str], list[tuple[int, int]]]  # row, its text -> what to highlight


NO_EVIDENCE = Evidence([], {}, [], lambda row, text: [])


def locate_evidence(
    record: RecordText, evidence: str | None, context: Sequence[str] = ()
) -> Evidence:
    """Return where a reference's evidence is; semicolons or line breaks separate its passages.

    Each passage is sought as a phrase of whole words, numbers and dates, then by its words. Places
    that have it equally are ordered by the kind of note that it names, then by the day that it
    names, otherwise by the days in the first text of `context` (reference, question) with any. The
    newest comes first.
    """
    texts = [part.strip() for part in re.split(r"[;\n]+", evidence or "") if re.search(r"\w", part)]
    passages = [Passage(text) for text in texts]
    places_of, messages = [], []
    named, written = [], []  # days: of the place, and within the text that was found
    for passage in passages:
        places, message = _locate(record, passage)
        places_of.append({place.row: place for place in places})
        messages.append(f"“{passage.text}”: {message}")
        in_text = places and places[0].is_whole
        named += [] if in_text else passage.place_days
        written += [days for days in passage.days if in_text or days not in passage.place_days]
    for text in context:
        named = named or [days for days in Passage(text).days if days not in written]
    totals = _totals(record, passages, places_of)
    rows = _in_order(record, totals, named, frozenset().union(*(p.words for p in passages)))
    sure = {p.row for places in places_of for p in places.values() if p.how in _SURE}

    def marks(row: int, text: str) -> list[tuple[int, int]]:
        found = [
            _marks(passage, places[row], text)
            for passage, places in zip(passages, places_of, strict=True)
            if row in places
        ]
        return sorted(span for spans in found for span in spans)

    return Evidence(rows, {row: row in sure for row in rows}, messages, marks)


def _totals(
    record: RecordText, passages: list[Passage], places_of: list[dict[int, Place]]
) -> dict[int, float]:
    """Return how much of the evidence each place has; that of its encounter counts half."""
    encounters = record.events["encounter"]
    totals = dict.fromkeys((row for places in places_of for row in places), 0.0)
    for passage, places in zip(passages, places_of, strict=True):
        nearby: dict[int, float] = {}
        for row, place in places.items():
            encounter = encounters.at[row]
            nearby[encounter] = max(nearby.get(encounter, 0), place.strength / 2)
        for row in totals:
            own = places[row].strength if row in places else nearby.get(encounters.at[row], 0)
            totals[row] += own * len(passage.content)
    return totals


def _in_order(
    record: RecordText, totals: dict[int, float], days: list, words: frozenset
) -> list[int]:
    """Return rows: those with most of the evidence, of the kind and day named, and the newest."""
    events = record.events
    positions = events.index.get_indexer(list(totals))
    visit, own = record.days_away(days)
    kinds = {name: -_kind_named(name, words) for name in events["name"][record.is_note].unique()}
    order = pd.DataFrame(
        {
            "total": [-round(total, 3) for total in totals.values()],
            "kind": events["name"].iloc[positions].map(kinds).where(record.is_note[positions], 0),
            "visit": visit[positions],
            "own": own[positions],
            # Every encounter repeats the demographics.
            "person": (events["type"] == "person").to_numpy()[positions],
            "newest": -events["timestamp"].to_numpy("int64")[positions],
        },
        index=list(totals),
    )
    return order.sort_values(list(order.columns), kind="stable").index.tolist()


def _kind_named(title: str, words: frozenset[str]) -> float:
    """Return which share of a note's title is named, if that names a kind of document."""
    own = Passage(title) if pd.notna(title) else Passage("")
    shared = own.words & words
    return (
        len(shared) / len(own.words)
        if shared and (shared == own.words or shared & own.documents)
        else 0.0
    )


def _locate(record: RecordText, passage: Passage) -> tuple[list[Place], str]:
    """Return a passage's places, and a message."""
    has = {token: record.with_key(token.key) for token in {*passage.tokens}}
    events = max(len(record.codes), 1)
    seen = {token: int(record.counts[has[token]].sum()) for token in passage.content}
    weights = {
        t: np.log1p(events / n) * (1.5 if t.kind == "number" else 1) for t, n in seen.items() if n
    }
    usual = float(np.mean(list(weights.values()))) if weights else 0.0
    weights = {token: weights.get(token, usual) for token in passage.content}
    weights |= {token: _DATE_WEIGHT for token in weights if token.kind == "date"}
    contrary: list[Place] = []
    for phrase in passage.phrases:
        places, opposite = _with_phrase(record, passage, phrase, has)
        contrary += opposite
        if places:
            return places, _said(record, places)
    places = _with_words(record, passage, has, weights) if any(weights.values()) else []
    places += contrary if not places else []
    if not places and passage.days:
        _, away = record.days_away(passage.days)
        rows = record.events.index[(away == 0) & (record.events["type"] != "person").to_numpy()]
        places = [Place(row, 0.05, "day") for row in rows]
    return places, _said(record, places)


def _with_phrase(record, passage, phrase: Phrase, has) -> tuple[list[Place], list[Place]]:
    """Return the places with the phrase, and those where it is affirmed instead of negated."""
    if not any(token.key for token in phrase.tokens):
        return [], []
    may_have = np.logical_and.reduce([has[token] for token in phrase.tokens])
    agreeing, contrary, literal = (np.zeros_like(may_have) for _ in range(3))
    for i in np.flatnonzero(may_have):
        text = record.texts[i]
        for start, end in passage.find_phrase(phrase, text):
            if passage.phrase_agrees(phrase, text, start):
                agreeing[i] = True
                literal[i] |= passage.is_literal(phrase, text[start:end])
                if literal[i]:
                    break
            else:
                contrary[i] = True
    index = record.events.index
    positions = record.positions(agreeing)
    opposite = [
        Place(row, 0.1, "contrary") for row in index[record.positions(contrary & ~agreeing)]
    ]
    how, strength = "exact" if literal.any() else "same", 1.0
    if (days := passage.days_outside(phrase)) and len(positions):
        _, away = record.days_away(days)
        if (away[positions] == 0).any():
            positions = positions[away[positions] == 0]
            how = "exact on day" if literal[record.codes[positions]].any() else "same"
        else:
            how, strength = "other day", 0.5
    if phrase.document and len(positions):
        titles = record.events["name"].iloc[positions].fillna("").str.lower()
        named = [all(stem in title for stem in phrase.document) for title in titles]
        if any(named):
            positions = positions[named]
        else:
            how, strength = "other document", 0.5
    return [Place(row, strength, how, phrase.is_whole) for row in index[positions]], opposite


def _with_words(record, passage, has, weights) -> list[Place]:
    """Return the places with most of the passage's words in one sentence or heading."""
    share = sum(weights[t] * has[t] for t in weights) / sum(weights.values())
    is_day = np.zeros(len(record.codes), dtype=bool)
    if passage.place_days:
        is_day = record.days_away(passage.place_days)[1] == 0
    score = share[record.codes] + is_day
    limit = np.where(is_day, _MOST_ON_DAY, _MOST)
    # Ages may also be written "70 yo", without any word of the passage.
    positions = np.flatnonzero(share[record.codes] >= np.minimum(limit, _MOST))
    newest = -record.events["timestamp"].to_numpy("int64")[positions]
    positions = positions[np.lexsort((newest, -score[positions].round(2)))][:_CANDIDATES]
    places = []
    for position in positions:
        text = record.texts[record.codes[position]]
        covered, is_named, contradicted = _coverage(
            passage, text, weights, record.is_note[position]
        )
        row, on_day = record.events.index[position], bool(is_day[position])
        if covered >= limit[position]:
            named = is_named and covered > 0.99 and on_day
            how = "named" if named else "words" if covered > 0.99 else "some"
            strength = 1.0 if named else 0.7 * covered + 0.2 * on_day + 0.05 * is_named
            places.append(Place(row, strength, how, is_named=is_named))
        elif contradicted >= _MOST:
            places.append(Place(row, 0.1, "contrary"))
    # If a document is named, a report about something else does not count.
    places = [place for place in places if place.is_named] or places
    best = max((place.strength for place in places), default=0)
    places = [place for place in places if place.strength >= 0.85 * best]
    return sorted(places, key=lambda place: -place.strength)[:_LISTED]


def _coverage(passage, text, weights, is_note) -> tuple[float, bool, float]:
    """Return how well a text covers a passage.

    That is the share of its words in the best sentence, whether the heading has them all, and their
    share if affirmed and negated are not distinguished.
    """
    text = with_ages(text)
    # A note's title and first line say what kind of document it is.
    heading = _end_of_heading(text) if is_note else len(text)
    found = {token: list(passage.find_word(token, text)) for token in weights}
    agreeing = {
        token: [s for s in spans if passage.agrees(token, text, *s)]
        for token, spans in found.items()
    }
    total = sum(weights.values())

    def share(spans_of: dict, start: int, end: int) -> float:
        inside = [
            weights[token]
            for token, spans in spans_of.items()
            if any(start <= a < end or a < heading for a, _ in spans)
        ]
        return sum(inside) / total

    places = [*sentences(text), (0, heading)]
    best = max(share(agreeing, *place) for place in places)
    opposite = max(share(found, *place) for place in places)
    return best, share(agreeing, 0, heading) > 0.99, opposite


def _end_of_heading(text: str) -> int:
    """Return where the first sentence after a note's title ends."""
    start = text.find("\n") + 1
    return start + next(end for _, end in sentences(text[start:]))


def _marks(passage: Passage, place: Place, text: str) -> list[tuple[int, int]]:
    """Return what to highlight in the text of a place."""
    if place.how == "day":
        return []
    for phrase in passage.phrases:
        if spans := list(passage.find_phrase(phrase, text)):
            return spans
    words = [span for token in passage.content for span in passage.find_word(token, text)]
    counts = [(sum(a <= s < b for s, _ in words), -a, (a, b)) for a, b in sentences(text)]
    most, _, (start, end) = max(counts)
    return [span for span in words if start <= span[0] < end] if most else []


def _said(record: RecordText, places: list[Place]) -> str:
    """Return what was found, in words."""
    if not places:
        return "not found"
    first = record.events.loc[places[0].row]
    n = len(places)
    places_found = "1 place" if n == 1 else f"{n:,} places"
    title, day = first["name"], f"{first['timestamp']:%Y-%m-%d}"
    return _MESSAGES[places[0].how].format(places=places_found, title=title, day=day)
