"""Text that remembers where each of its characters stands in the response."""

import re
from array import array
from collections.abc import Callable, Iterable
from typing import NamedTuple


def _places(numbers: Iterable[int]) -> array:
    return array("l", numbers)  # which the garbage collector need not look through


class Source(NamedTuple):
    """A text and, for each character of it, the place of the original's character it comes from."""

    text: str
    places: array

    @classmethod
    def of(cls, text: str) -> "Source":
        """Return the text as it is."""
        return cls(text, _places(range(len(text))))

    def part(self, start: int, end: int) -> "Source":
        """Return the characters `start:end`."""
        return Source(self.text[start:end], self.places[start:end])

    def strip(self, characters: str | None = None) -> "Source":
        """Return the text without the characters at both ends; whitespace by default."""
        stripped = self.text.strip(characters)
        if len(stripped) == len(self.text):
            return self
        left = self.text.index(stripped)
        return self.part(left, left + len(stripped))

    def join(self, *others: "Source | str") -> "Source":
        """Return the text followed by others; a plain text takes the place before it."""
        text, places = self.text, self.places
        for other in others:
            if isinstance(other, str):
                other = Source(other, _places([places[-1] if places else 0]) * len(other))
            text, places = text + other.text, places + other.places
        return Source(text, places)

    def replace(self, pattern: re.Pattern, by: "str | Callable[[re.Match], str]") -> "Source":
        """Return the text with each match, none empty, replaced; the new text has its place."""
        pieces, places, at = [], _places(()), 0
        for match in pattern.finditer(self.text):
            new = by if isinstance(by, str) else by(match)
            pieces += self.text[at : match.start()], new
            places += self.places[at : match.start()]
            places += _places([self.places[match.start()]]) * len(new)
            at = match.end()
        return Source("".join([*pieces, self.text[at:]]), places + self.places[at:]) if at else self

    def keep(self, pattern: re.Pattern, before: str = "", after: str = "") -> "Source":
        """Return the text with each match replaced by its group `kept` between two new texts."""
        pieces, places, at = [], _places(()), 0
        for match in pattern.finditer(self.text):
            begin, end = match.span("kept")
            pieces += self.text[at : match.start()], before, self.text[begin:end], after
            places += self.places[at : match.start()]
            places += _places([self.places[match.start()]]) * len(before)
            places += self.places[begin:end]
            places += _places([self.places[match.end() - 1]]) * len(after)
            at = match.end()
        return Source("".join([*pieces, self.text[at:]]), places + self.places[at:]) if at else self

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Return where the characters `start:end` begin and end in the original."""
        places = self.places[start:end]
        return (min(places), max(places) + 1) if places else (0, 0)
