"""Finds spellings in a text."""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from medalign_utils.grading.characters import normalise


class Mention(NamedTuple):
    """Where a spelling is in a text; `is_non` if non- precedes it (nonsmoker)."""

    start: int
    end: int
    is_non: bool

    def is_part_of(self, others: "Iterable[Mention]") -> bool:
        """Return whether it lies within a longer one of the others."""
        within = [o for o in others if o.start <= self.start and self.end <= o.end]
        return any(o.end - o.start > self.end - self.start for o in within)


def _spelling(text: str) -> str:
    words = re.split(r"[\s-]+", normalise(text).strip())
    last = words[-1]
    pattern = r"[\s-]*".join(re.escape(w) for w in words)
    if re.fullmatch(r"[A-Za-z]{3,}", last):
        if last[-1] in "yY" and last[-2] not in "aeiouAEIOU":
            pattern = pattern[:-1] + "(?:y|ies)"
        elif last[-1] in "sS" and len(last) > 4 and last[-2] not in "usiUSI":
            pattern += "?"
        else:
            pattern += "(?:'?s|es)?"
    # In another case, an abbreviation of one or two letters may be another word (MI, mi).
    pattern = pattern if len("".join(words)) <= 2 else f"(?i:{pattern})"
    after = r"(?![A-Za-z0-9]|\.[0-9])" if last[-1:].isdigit() else "(?![A-Za-z0-9])"
    # K/uL is a unit.
    return pattern + (after + "(?!/)" if len(last) == 1 else after)


@lru_cache(maxsize=2048)
def _spellings_pattern(spellings: tuple[str, ...]) -> re.Pattern:
    any_of = "|".join(_spelling(s) for s in sorted(spellings, key=len, reverse=True))
    return re.compile(rf"(?<![A-Za-z0-9])(?<![0-9]\.)(?P<non>(?i:non))?(?:{any_of})")


@lru_cache(maxsize=4096)
def find(spellings: tuple[str, ...], text: str) -> tuple[Mention, ...]:
    """Return all mentions of any of the spellings in `text`, in order."""
    found = []
    for match in _spellings_pattern(spellings).finditer(text):
        before = text[max(0, match.start() - 4) : match.start()].lower()
        is_non = match["non"] is not None or before in ("non-", "non ")
        found.append(Mention(match.start(), match.end(), is_non))
    return tuple(found)
