"""Text that remembers where each of its characters stands in the response."""

import re
from collections.abc import Callable
from typing import NamedTuple


class Source(NamedTuple):
    """A text and, for each character of it, the place of the original's character it comes from."""

    text: str
    places: list[int]

    @classmethod
    def of(cls, text: str) -> "Source":
        """Return the text as it is."""
        return cls(text, list(range(len(text))))

    def part(self, start: int, end: int) -> "Source":
        """Return the characters `start:end`."""
        return Source(self.text[start:end], self.places[start:end])

    def strip(self, characters: str | None = None) -> "Source":
        """Return the text without the characters at both ends; whitespace by default."""
        left = len(self.text) - len(self.text.lstrip(characters))
        return self.part(left, max(left, len(self.text.rstrip(characters))))

    def join(self, *others: "Source | str") -> "Source":
        """Return the text followed by others; a plain text takes the place before it."""
        text, places = self.text, list(self.places)
        for other in others:
            if isinstance(other, str):
                other = Source(other, [places[-1] if places else 0] * len(other))
            text, places = text + other.text, places + other.places
        return Source(text, places)

    def replace(self, pattern: re.Pattern, by: "str | Callable[[re.Match], str]") -> "Source":
        """Return the text with each match replaced; the new text has the place of the match."""
        pieces, places, at = [], [], 0
        for match in pattern.finditer(self.text):
            new = by if isinstance(by, str) else by(match)
            pieces += self.text[at : match.start()], new
            places += self.places[at : match.start()]
            first = self.places[match.start()] if match.start() < len(self.places) else 0
            places += [first] * len(new)
            at = match.end()
        if not at and not pieces:
            return self
        return Source("".join([*pieces, self.text[at:]]), places + self.places[at:])

    def keep(self, pattern: re.Pattern, group: str = "kept") -> "Source":
        """Return the text with each match replaced by one of its groups (nothing, if unmatched)."""
        pieces, places, at = [], [], 0
        for match in pattern.finditer(self.text):
            begin, end = match.span(group)
            pieces += self.text[at : match.start()], self.text[begin:end]
            places += self.places[at : match.start()] + self.places[begin:end]
            at = match.end()
        return Source("".join([*pieces, self.text[at:]]), places + self.places[at:])

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Return where the characters `start:end` begin and end in the original."""
        places = self.places[start:end]
        return (min(places), max(places) + 1) if places else (0, 0)
