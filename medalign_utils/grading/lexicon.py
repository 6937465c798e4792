"""Clinical synonyms (`lexicon.txt`), and how their words are compared: by stem, without accents."""

import re
import unicodedata
from functools import cache, lru_cache
from pathlib import Path
from typing import NamedTuple

Spellings = tuple[str, ...]

WORD = re.compile(
    r"[^\W\d_]\d\w*(?:\.\w+)?(?!\w)|\d{1,3}\.\d{1,3}(?!\d)|[^\W\d_]+(?:'[a-z]+)?|\d+[a-z]*"
)
# Words that may be added to or left out of a term.
_ARTICLES = frozenset("a an the her his their your my our its to per el la los las su sus".split())
_NUMBERS = {
    word: digit
    for digit, names in {
        "1": "one una uno",
        "2": "two dos",
        "3": "three tres",
        "4": "four cuatro",
        "6": "six seis",
        "7": "seven siete",
        "8": "eight ocho",
        "12": "twelve doce",
    }.items()
    for word in names.split()
}


class Word(NamedTuple):
    """A word of a text: its stem, and where it is."""

    stem: str
    start: int
    end: int


@lru_cache(maxsize=65536)
def stem(word: str) -> str:
    """Return the word in small letters without accents and endings: bloating, bloated -> bloat.

    Abbreviations of one or two letters keep their case, since MI and mi differ.
    """
    if len(word) <= 2 and word.isupper() and word != "A":
        return word
    word = unicodedata.normalize("NFKD", word.lower())
    word = "".join(c for c in word if not unicodedata.combining(c)).removesuffix("'s")
    if word in _NUMBERS:
        return _NUMBERS[word]
    word = word.replace("ae", "e").replace("oe", "e")  # British spellings
    if not word.isalpha() or word.endswith(("ss", "us", "is")):
        return word
    if len(word) > 4 and word.endswith("ies"):
        word = word[:-3]
    for ending, shortest in (("ing", 5), ("ed", 4), ("es", 4), ("s", 3), ("e", 4)):
        if word.endswith(ending) and len(word) - len(ending) >= shortest:
            word = word[: -len(ending)]
            break
    if len(word) > 4 and word[-1] == word[-2] and word[-1] not in "lsz":
        word = word[:-1]
    return word[:-1] if len(word) > 5 and word.endswith("y") else word


@lru_cache(maxsize=16384)
def words(text: str) -> tuple[Word, ...]:
    """Return the words of a text except articles; hyphens separate words."""
    found = (Word(stem(m[0]), m.start(), m.end()) for m in WORD.finditer(text))
    # In a-fib, "a" is no article.
    return tuple(w for w in found if w.stem not in _ARTICLES or text[w.end : w.end + 1] == "-")


@lru_cache(maxsize=16384)
def stems(text: str) -> tuple[str, ...]:
    """Return the stems of the words of a text."""
    return tuple(word.stem for word in words(text))


@cache
def sections() -> dict[str, tuple[Spellings, ...]]:
    """Return the groups of synonyms of each section of `lexicon.txt`."""
    groups: dict[str, list[Spellings]] = {}
    section = ""
    for line in Path(__file__).with_name("lexicon.txt").read_text("utf-8").splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith("#"):
            groups.setdefault(section, []).append(tuple(line.split(", ")))
    return {name: tuple(lists) for name, lists in groups.items()}


@cache
def _places() -> dict[tuple[str, ...], tuple[tuple[str, int], ...]]:
    """Return the section and the number of each group that contains a spelling, by its stems."""
    places: dict[tuple[str, ...], list[tuple[str, int]]] = {}
    for section in sections().keys() - {"role", "opposite"}:
        groups = sections()[section]
        for n, group in enumerate(groups):
            for spelling in group:
                places.setdefault(stems(spelling), []).append((section, n))
    return {key: tuple(dict.fromkeys(value)) for key, value in places.items()}


def _groups_of(spellings: Spellings) -> tuple[tuple[str, int], ...]:
    found = (place for spelling in spellings for place in _places().get(stems(spelling), ()))
    return tuple(dict.fromkeys(found))


@lru_cache(maxsize=4096)
def with_synonyms(spellings: Spellings) -> Spellings:
    """Return the spellings and the members of each group that contains one of them."""
    known = sections()
    more = (name for section, n in _groups_of(spellings) for name in known[section][n])
    return tuple(dict.fromkeys((*spellings, *more)))


@lru_cache(maxsize=4096)
def section_of(spellings: Spellings) -> str:
    """Return the section that contains a spelling, the section of whole terms first, or ""."""
    found = sorted(section for section, _ in _groups_of(spellings))
    return next((s for s in found if s != "word"), "")


@lru_cache(maxsize=4096)
def alternatives(spellings: Spellings) -> tuple[Spellings, ...]:
    """Return the other groups of the same section: other relatives for a relative."""
    section = section_of(spellings)
    own = {n for place, n in _groups_of(spellings) if place == section}
    groups = sections().get(section, ()) if section else ()
    return tuple(group for n, group in enumerate(groups) if n not in own)


@lru_cache(maxsize=4096)
def opposites(spellings: Spellings) -> Spellings:
    """Return words that say the opposite of a term: uneventful for complications."""
    known = {stems(name) for name in with_synonyms(spellings)}
    groups = sections()["opposite"]
    return tuple(name for group in groups if stems(group[0]) in known for name in group[1:])
