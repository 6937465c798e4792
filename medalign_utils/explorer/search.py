"""Search of a record: words, "phrases" in quotes, and OR between alternatives."""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from medalign_utils.curation.record_text import RecordText

_TERM = re.compile(r'["“”]([^"“”]*)["“”]?|(\S+)')


class Query(NamedTuple):
    """A search: an event is a hit if it has all terms of one alternative."""

    alternatives: list[list[re.Pattern]]
    any_term: re.Pattern  # what to highlight

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Return where its terms are in a text."""
        return [match.span() for match in self.any_term.finditer(text) if match[0]]


def parse_query(text: str) -> Query | None:
    r"""Return the search that a text asks for; None if it has no words.

    A word matches from its start ("creat" finds creatinine), a phrase whole words and a number the
    whole number, in any case and across line breaks.

    >>> query = parse_query('"chest pain" OR dysp')
    >>> query.spans("Denies chest\npain. No dyspnea, no chest pains.")
    [(7, 17), (22, 29)]
    """
    alternatives: list[list[str]] = [[]]
    for match in _TERM.finditer(text):
        phrase, word = match.groups()
        if word in ("OR", "|"):
            alternatives.append([])
        elif (words := (phrase or word or "").split()) and word != "AND":
            alternatives[-1].append(_pattern(words, is_phrase=word is None))
    alternatives = [terms for terms in alternatives if terms]
    if not alternatives:
        return None
    longest_first = sorted({t for terms in alternatives for t in terms}, key=len, reverse=True)
    compiled = [[re.compile(t, re.IGNORECASE) for t in terms] for terms in alternatives]
    return Query(compiled, re.compile("|".join(longest_first), re.IGNORECASE))


def count_hits(record: RecordText, query: Query) -> pd.Series:
    """Return how often the query's terms are in each event; 0 if one of the terms is missing."""
    texts = record.texts
    is_hit = np.zeros(len(texts), dtype=bool)
    for terms in query.alternatives:
        is_hit |= np.logical_and.reduce([_contains(texts, term) for term in terms])
    counts = np.zeros(len(texts), dtype="int64")
    counts[is_hit] = [len(query.spans(text)) for text in texts[is_hit]]
    return pd.Series(counts[record.codes], index=record.events.index)


def _contains(texts: pd.Series, term: re.Pattern) -> np.ndarray:
    return np.fromiter((term.search(text) is not None for text in texts), bool, len(texts))


def _pattern(words: Sequence[str], *, is_phrase: bool) -> str:
    pattern = r"\s+".join(map(re.escape, words))
    first, last = words[0][0], words[-1][-1]
    before = r"(?<!\d[.,])(?<!\w)" if first.isdigit() else r"(?<!\w)" if _is_word(first) else ""
    if last.isdigit():
        after = r"(?![.,]?\d)" + r"(?!\w)" * is_phrase
    else:
        after = (r"(?!\w)" if is_phrase else r"\w*") if _is_word(last) else ""
    return before + pattern + after


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"
