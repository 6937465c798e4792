"""Finds a term in a text under any of its names, word forms and word orders."""

import re
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from medalign_utils.grading.lexicon import Spellings, Word, stem, stems, with_synonyms, words
from medalign_utils.grading.spelling import Mention

_FUNCTION_WORDS = frozenset(
    "a an the of to in on at for with by from and or her his their your my is are that".split()
)
# Words that may not come between the parts of a term.
_APART = frozenset("but not no or nor without normal never instead than however".split())
_GAP = 4  # words between two parts of a term
_ENDS = re.compile(r"[;:,|\n]|\.\s")


class _Pattern(NamedTuple):
    """Names by their first stem, and terms of several parts that may come in any order."""

    names: dict[str, tuple[tuple[str, ...], ...]]
    parts: tuple["_Pattern", ...]
    spans_and: bool  # whether "and" may come between the parts


def _by_first(names: Spellings) -> dict[str, tuple[tuple[str, ...], ...]]:
    by_first: dict[str, list[tuple[str, ...]]] = {}
    for name in names:
        sequence = stems(name)
        # a-fib is also written afib, and 555-0168 also 5550168.
        joined = stem("".join(name.replace("-", " ").split())) if "-" in name else None
        for key in filter(None, (sequence, (joined,) if joined else ())):
            by_first.setdefault(key[0], []).append(key)
    return {k: tuple(sorted(set(v), key=len, reverse=True)) for k, v in by_first.items()}


def _parts(name: str) -> tuple[_Pattern, ...]:
    """Return the parts of a name: the longest phrases of the lexicon, and single words."""
    texts = name.replace("-", " ").split()
    found: list[_Pattern] = []
    longest = len(texts) - 1
    while texts:
        for n in range(min(longest, len(texts)), 0, -1):
            phrase = " ".join(texts[:n])
            known = with_synonyms((phrase,))
            if n == 1 or len(known) > 1:
                break
        if phrase.lower() not in _FUNCTION_WORDS:
            found.append(_Pattern(_by_first(known), (), False))
        texts = texts[n:]
    return tuple(found)


@lru_cache(maxsize=4096)
def _pattern(spellings: Spellings, loose: bool) -> _Pattern:
    if not loose:
        return _Pattern(_by_first(spellings), (), False)
    names = with_synonyms(spellings)
    pairs = [name for name in names if re.search(r" (?:and|y) ", name)]
    split = [s for s in (*spellings, *pairs) if " " in s and not re.search(r"\d", s)]
    terms = [_Pattern({}, _parts(s), s in pairs) for s in dict.fromkeys(split)]
    return _Pattern(_by_first(names), tuple(t for t in terms if len(t.parts) > 1), False)


def _exact(pattern: _Pattern, text: tuple[Word, ...], source: str) -> list[tuple[int, int]]:
    """Return the first word of each mention and the word after it; the longest name wins."""
    found, end = [], 0
    for i, word in enumerate(text):
        if i < end or word.stem not in pattern.names:
            continue
        for sequence in pattern.names[word.stem]:
            run = text[i : i + len(sequence)]
            if tuple(w.stem for w in run) == sequence and not any(
                _ENDS.search(source, a.end, b.start) for a, b in pairwise(run)
            ):
                end = i + len(sequence)
                found.append((i, end))
                break
    return found


def _loose(term: _Pattern, text: tuple[Word, ...], source: str) -> list[tuple[int, int]]:
    """Return where all parts come close together in one clause, in any order."""
    places = [_exact(part, text, source) for part in term.parts]
    if not all(places):
        return []
    found = []
    for first in places[0]:
        chain = [first]
        for options in places[1:]:
            low, high = min(a for a, _ in chain), max(b for _, b in chain)
            near = [
                (a, b)
                for a, b in options
                if (a >= high and _is_joined(text, high, a, source, term.spans_and))
                or (b <= low and _is_joined(text, b, low, source, term.spans_and))
                or (low <= a and b <= high and all(b <= c or d <= a for c, d in chain))
            ]
            if not near:
                break
            chain.append(min(near, key=lambda o: max(o[0] - high, low - o[1])))
        else:
            found.append((min(a for a, _ in chain), max(b for _, b in chain)))
    return found


def _is_joined(text: tuple[Word, ...], a: int, b: int, source: str, spans_and: bool) -> bool:
    between = text[a:b]
    barred = _APART if spans_and else _APART | {"and", "y"}
    return (
        len(between) <= _GAP + 2 * spans_and
        and not _ENDS.search(source, text[a - 1].end, text[b].start)
        and not any(w.stem in barred or w.stem.endswith("n't") for w in between)
    )


@lru_cache(maxsize=4096)
def mentions(spellings: Spellings, text: str, *, loose: bool = True) -> tuple[Mention, ...]:
    """Return all mentions of a term in `text`, in order; `spellings` are names that it may have.

    With `loose`, names include synonyms, and their words may be apart and in another order.

    >>> text = "Her face swells up after latex."
    >>> [text[m.start : m.end] for m in mentions(("facial swelling", "angioedema"), text)]
    ['face swells']
    """
    pattern, source = _pattern(spellings, loose), words(text)
    spans = _exact(pattern, source, text)
    for term in pattern.parts:
        spans += [
            (a, b)
            for a, b in _loose(term, source, text)
            if not any(a < d and c < b for c, d in spans)
        ]
    return tuple(
        Mention(source[a].start, source[b - 1].end, a > 0 and source[a - 1].stem == "non")
        for a, b in sorted(spans)
    )
