"""A record's events as texts and days, for finding evidence in them."""

from collections.abc import Sequence
from datetime import date

import numpy as np
import pandas as pd

from medalign_utils.data.ehr.labels import name_label, type_label


class RecordText:
    """A record's events as texts to search, each different text once."""

    def __init__(self, events: pd.DataFrame) -> None:
        """Join the texts of each event."""
        self.events = events
        is_person = events["type"] == "person"
        names = events["name"].fillna("")
        if is_person.any():
            labels = events["name"][is_person].map(lambda name: name_label("person", name))
            values = events["value"][is_person].fillna("")
            names = names.astype(object)
            names[is_person] = labels + " " + values + "; " + names[is_person]
            names = names.astype("str")
        self.is_note = (events["type"] == "note").to_numpy()
        # The full stop keeps a phrase from running on from a title or a value.
        joined = names.where(~self.is_note, names + ".\n") + events["value"].fillna("").radd(" ")
        coded = " " + events["unit"].fillna("") + ". " + events["code"].fillna("") + ". "
        kinds = {kind: type_label(kind) for kind in events["type"].unique()}
        coded += events["type"].map(kinds).astype("str")
        texts = joined.where(self.is_note, joined + coded)
        self.codes, unique = pd.factorize(texts)
        self.texts = pd.Series(np.asarray(unique, dtype=object), dtype="str")
        self.lower = self.texts.str.lower()
        self.counts = np.bincount(self.codes, minlength=len(self.texts))
        self.note_texts = np.zeros(len(self.texts), dtype=bool)
        self.note_texts[self.codes[self.is_note]] = True
        days = events["timestamp"].dt.normalize()
        self.days = days.to_numpy("datetime64[D]")
        visits = days.groupby(events["encounter"])
        self.first = visits.transform("min").to_numpy("datetime64[D]")
        self.last = visits.transform("max").to_numpy("datetime64[D]")

    def with_key(self, key: str) -> np.ndarray:
        """Return for each text whether it contains a token's key."""
        if not key:
            return np.ones(len(self.texts), dtype=bool)
        return self.lower.str.contains(key, regex=False).to_numpy(dtype=bool)

    def positions(self, texts: np.ndarray) -> np.ndarray:
        """Return the positions of the events with these texts (a mask)."""
        return np.flatnonzero(texts[self.codes])

    def days_away(self, spans: Sequence[tuple[date, date]]) -> tuple[np.ndarray, np.ndarray]:
        """Return each encounter's and each event's distance from the nearest dates, in days."""
        far = np.full(len(self.days), 10**6)
        visit, own = (far, far) if spans else (far * 0, far * 0)
        for start, end in ((np.datetime64(a), np.datetime64(b)) for a, b in spans):
            visit = np.minimum(visit, _gap(self.first, self.last, start, end))
            own = np.minimum(own, _gap(self.days, self.days, start, end))
        return visit, own


def _gap(
    first: np.ndarray, last: np.ndarray, start: np.datetime64, end: np.datetime64
) -> np.ndarray:
    before, after = (start - last).astype(int), (first - end).astype(int)
    return np.maximum(np.maximum(before, after), 0)
