"""Count a prompt's tokens without tokenizing again what many prompts share.

The prompts of one patient differ at their edges: in the few characters of the EHR that one of them
keeps and another does not, and in the instruction. Between the edges they hold the same EHR, whose
tokens are known after the first look.
"""

from bisect import bisect_left
from typing import NamedTuple

from tokenizers import Tokenizer

# Characters tokenized anew at each edge of the EHR, and of these the stretch, with a blank in it,
# in which the new tokens must be the known ones.
_EDGE = 400
_STRETCH = 80
# A shorter text is tokenized as a whole.
_SHORT = 4 * _EDGE


class Count(NamedTuple):
    """Tokens of a text, and of the EHR within it."""

    text: int
    ehr: int


class _Token(NamedTuple):
    id: int
    start: int
    end: int


class KnownEnd:
    """An end of an EHR and its tokens.

    Attributes:
        text: that end.
        starts: where in it each of its tokens starts, ascending.
    """

    def __init__(self, text: str, tokenizer: Tokenizer) -> None:
        """Tokenize that end, ``text``."""
        encoding = tokenizer.encode(text, add_special_tokens=False)
        self.text = text
        self._tokenizer = tokenizer
        self._ids, self._offsets = encoding.ids, encoding.offsets
        self.starts = [start for start, _ in self._offsets]

    def count(self, before: str, cut: int, after: str) -> Count:
        """Count the tokens of ``before + text[cut:] + after``.

        The count is that of the text tokenized as a whole. The edges are tokenized anew, each with
        `_EDGE` characters of the EHR, and the known tokens count from where a stretch of new ones
        is the same as the known ones. This is exact where a tokenizer parts a text into words
        before it looks into them, as nearly all do, since a stretch holds a blank. It is exact for
        byte-pair encoding of an undivided text too: where two texts part at the same place and
        share the token after it, no merge joins across that place in either, and the merges on
        each side do not depend on the other. Where no such stretch is found, the text is tokenized
        as a whole.

        Args:
            before: what stands before the EHR.
            cut: in characters of `text`.
            after: what stands behind the EHR.

        Returns:
            The tokens of all of it, and those that lie within the EHR.
        """
        kept = self.text[cut:]
        if len(kept) <= _SHORT:
            return self._count_all(before, kept, after)
        begin, end = len(before), len(self.text)
        opening = self._tokens(before + kept[:_EDGE], cut - begin)
        closing = self._tokens(kept[-_EDGE:] + after, end - _EDGE)
        first, last = self._meet(opening), self._meet(closing)
        if first is None or last is None:
            return self._count_all(before, kept, after)
        (new, known), (new_last, known_last) = first, last
        between = known_last - known
        # A token that the EHR shares with what stands around it is none of the EHR's.
        ehr = sum(token.start >= cut for token in opening[:new])
        ehr += sum(token.end <= end for token in closing[new_last:])
        return Count(new + between + len(closing) - new_last, ehr + between)

    def _count_all(self, before: str, ehr: str, after: str) -> Count:
        tokens = self._tokens(before + ehr + after, 0)
        begin, end = len(before), len(before) + len(ehr)
        return Count(len(tokens), sum(begin <= t.start and t.end <= end for t in tokens))

    def _tokens(self, text: str, shift: int) -> list[_Token]:
        """The tokens of a text, at their places in `self.text`."""
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
        return [
            _Token(id, start + shift, end + shift)
            for id, (start, end) in zip(encoding.ids, encoding.offsets, strict=True)
        ]

    def _meet(self, tokens: list[_Token]) -> tuple[int, int] | None:
        """Where new tokens begin to be the known ones: the same token's place in both."""
        run = None  # the places of a stretch's first token
        for new, token in enumerate(tokens):
            if run is not None:
                known = run[1] + new - run[0]
                if self._is(known, token):
                    begin = tokens[run[0]].start
                    passed = self.text[begin : token.start]
                    if len(passed) >= _STRETCH and any(map(str.isspace, passed[1:])):
                        # One token on, so that both texts part there and share what stood before.
                        return run[0] + 1, run[1] + 1
                    continue
                run = None
            if 0 <= token.start < len(self.text):
                known = bisect_left(self.starts, token.start)
                # Several tokens may start at one character, which each stand for a part of.
                while known < len(self.starts) and self.starts[known] == token.start:
                    if self._is(known, token):
                        run = (new, known)
                        break
                    known += 1
        return None

    def _is(self, known: int, token: _Token) -> bool:
        return (
            known < len(self._ids)
            and self._ids[known] == token.id
            and self._offsets[known] == (token.start, token.end)
        )


def known_end(text: str, tokenizer: Tokenizer, tokens: int) -> KnownEnd:
    """Tokenize an end of an EHR that has more than so many tokens, or else all of it."""
    if tokens <= 0:
        return KnownEnd("", tokenizer)
    # Clinical text has 2 to 4 characters a token.
    size = 4 * tokens
    while True:
        end = KnownEnd(text[-size:], tokenizer)
        if len(end.text) == len(text) or len(end.starts) > tokens:
            return end
        size *= 2
