"""Reads the layout of a response: headings, lists, tables, letters and labelled answers."""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise, zip_longest
from typing import NamedTuple

from medalign_utils.grading.source import Source

# How decisive a statement is. Where several are made, the more decisive ones outweigh the others.
PLAIN, CONCLUDED, ANSWERED, CORRECTED = range(4)

_INLINE = re.compile(r"\*\*|__|`|(?<!\w)[*_](?=\w)|(?<=[\w.,:;!?)%\"])[*_](?![\w*])|~~[^~\n]*~~")
_LINK = re.compile(r"\[(?P<kept>[^\]\n]{1,500})\]\([^)\s]+\)")
_HEADING_MARK = re.compile(r"\s*(?P<marks>#{1,6})\s+")
_BOLD_LINE = re.compile(r"\s*(?:\*\*|__)(?P<text>[^*_]+)(?:\*\*|__)\s*:?\s*")
_QUOTED = re.compile(r"\A\s*(?:>\s?)+(?P<kept>)")
_BULLET = re.compile(r"(?P<indent>\s*)(?P<bullet>[-*+]\s+|\(?[0-9]{1,2}[.)]\s+|[a-z][.)]\s+)")
_RULE = re.compile(r"\s*(?:```\w*|~~~\w*|[-*_=]{3,})\s*")
_SEPARATOR = re.compile(r"\s*\|?(?:\s*:?-+:?\s*\|)*\s*:?-+:?\s*\|?\s*")
# Headers that only say that a cell has a value.
_EMPTY_HEADER = re.compile(
    r"(?i)(?:|values?|results?|details?|answers?|findings?|info(?:rmation)?|descriptions?"
    r"|responses?"
    r"|status|entry|data|#)"
)
_ANSWER = re.compile(
    r"(?i)(?:(?:the|my|your|la|mi)\s+)?(?:(?:final|short|direct|overall|brief)\s+)?"
    r"(?:answer|conclusions?|summary|in summary|in conclusion|bottom line|respuesta(?: final)?"
    r"|conclusi[oó]n|resumen|en resumen|tl;?dr|take-?away|total(?: score| points| count)?)"
    r"(?:\s*[:=]|\s+-|\s+(?:is|es)\b\s*:?)\s*"
)
_ANSWER_HEADING = re.compile(
    r"(?i)(?:(?:the|my)\s+)?(?:(?:final|short|direct|overall|brief)\s+)?"
    r"(?:answer|conclusions?|summary|bottom line|respuesta(?: final)?|conclusi[oó]n|resumen|tl;?dr)"
)
_GREETING = re.compile(
    r"(?i)\s*(?:dear|hi|hello|hey|hola|good (?:morning|afternoon|evening)|estimad[oa]s?"
    r"|querid[oa]s?|buen[oa]s (?:d[ií]as|tardes)|to whom it may concern)\b"
    r"(?!.*\b(?:your|is|was|are|were|has|have|came)\b)"
    r"(?:[^.:!?\n0-9]|\b(?:Dr|Mrs?|Ms)\.){0,60}[,:!.]?\s*"
)
_FAREWELL = re.compile(
    r"(?i)\s*(?:(?:with\s+)?(?:best|kind|kindest|warm|warmest|many)?\s*(?:regards|wishes|thanks)"
    r"|(?:yours\s+)?(?:sincerely|faithfully|truly)(?:\s+yours)?|respectfully|thank you|cheers"
    r"|take care|atentamente|(?:un )?(?:cordial )?saludos?(?: cordial(?:es)?)?)\s*[,.!]?\s*"
)
_SIGNATURE = 3  # lines


class Line(NamedTuple):
    """One line of a response without its marks."""

    text: Source
    context: tuple[Source, ...]  # the headings, list items and table headers above it
    weight: int  # PLAIN to CORRECTED
    is_item: bool = False  # of a list


def plain(source: Source) -> Source:
    """Return the text without inline Markdown."""
    return source.keep(_LINK).replace(_INLINE, "").strip()


def _cells(line: Source) -> list[Source]:
    text = line.text.strip()
    line = line.strip().part(text.startswith("|"), len(text) - (len(text) > 1 and text[-1] == "|"))
    cuts = [-1, *(m.start() for m in re.finditer(r"\|", line.text)), len(line.text)]
    return [plain(line.part(a + 1, b)) for a, b in pairwise(cuts)]


def _row(headers: Sequence[Source], cells: Sequence[Source]) -> Source:
    """Return a row as prose: "CKD: Date: 02/2015, Age: 43"."""
    row = cells[0].join(": ") if cells[0].text else cells[0]
    texts = []
    for header, cell in zip_longest(headers[1:], cells[1:], fillvalue=Source.of("")):
        if re.search(r"[\w✅✓✔❌✗✘]", cell.text):
            is_empty = _EMPTY_HEADER.fullmatch(header.text)
            texts.append(cell if is_empty else header.join(": ", cell))
    for n, text in enumerate(texts):
        row = row.join(*([", "] if n else []), text)
    return row


def _table(rows: Sequence[Source]) -> Iterator[tuple[tuple[Source, ...], Source]]:
    """Yield each row's context, the first column's header, and its text."""
    headers, *body = [_cells(row) for row in rows if not _SEPARATOR.fullmatch(row.text)]
    if len(headers) == 2 and headers[0].text and re.search(r"\d", headers[1].text):
        yield (), headers[0].join(": ", headers[1])
    above = () if _EMPTY_HEADER.fullmatch(headers[0].text) else (headers[0],)
    for cells in body:
        yield above, _row(headers, cells)


class _Outline:
    """The headings and list items that the next line is under, each with its level."""

    def __init__(self) -> None:
        self.above: list[tuple[int, Source, bool]] = []  # level, text, whether it labels an answer
        self.is_used = False

    def open(self, level: int, text: Source) -> None:
        self.close(level)
        is_answer = _ANSWER_HEADING.fullmatch(text.text.strip(" :.")) is not None
        self.above.append((level, text.strip(": "), is_answer))
        self.is_used = False

    def close(self, level: int) -> None:
        self.above = [entry for entry in self.above if entry[0] < level]

    def unused(self, level: int) -> Iterator[Line]:
        """Yield a heading with nothing below it, so that it is a line of its own."""
        if self.above and not self.is_used and self.above[-1][0] >= level:
            *above, (_, text, _) = self.above
            yield from _labelled(text, tuple(entry[1] for entry in above), self.weight)
            self.is_used = True

    @property
    def context(self) -> tuple[Source, ...]:
        return tuple(text for _, text, is_answer in self.above if not is_answer)

    @property
    def weight(self) -> int:
        return ANSWERED if any(is_answer for *_, is_answer in self.above) else PLAIN


_BOLD, _COLON, _ITEM = 7, 8, 10  # levels below those of #, ##, ...


def read_lines(lines: Sequence[Source]) -> Iterator[Line]:
    """Yield the lines that say something, with the headings, items and headers above each."""
    lines = [line.keep(_QUOTED) for line in lines]
    outline, n, end = _Outline(), 0, _letter_end(lines)
    while n < end:
        line = lines[n]
        rows = _table_rows(lines, n, end)
        if rows:
            for above, text in _table(lines[n : n + rows]):
                yield from _labelled(text, (*outline.context, *above), outline.weight)
            outline.is_used = True
            n += rows
            continue
        n += 1
        if not line.text.strip():
            outline.close(_COLON if outline.is_used else _ITEM)
        elif not (_RULE.fullmatch(line.text) or (n <= 2 and _GREETING.fullmatch(line.text))):
            yield from _line(line, outline)
    yield from outline.unused(0)


def _line(line: Source, outline: _Outline) -> Iterator[Line]:
    bullet = _BULLET.match(line.text)
    own = line.part(bullet.end() if bullet else 0, len(line.text))
    if "|" in own.text:
        own = own.strip(" |").replace(re.compile(r"\s*\|\s*"), ", ")
    text = plain(own)
    mark, bold = _HEADING_MARK.match(own.text), _BOLD_LINE.fullmatch(own.text)
    is_short = len(text.text.split()) <= 12
    level = _ITEM + len(bullet["indent"]) if bullet else _ITEM
    heading = None
    if mark:
        heading, text = len(mark["marks"]), text.strip("# ")
    elif text.text.endswith(":") and is_short:
        heading = level if bullet else _COLON
    elif bold and is_short and not (bullet or re.search(r"[.!?]$|:\s", text.text)):
        heading = _BOLD
    if heading is None:
        outline.close(level)
        # A line that is bold as a whole is what the response puts forward.
        weight = max(outline.weight, CONCLUDED if bold else PLAIN)
        yield from _labelled(text, outline.context, weight, is_item=bullet is not None)
        outline.is_used = True
        if bullet and is_short:  # items that are indented further belong to it
            outline.above.append((level, text, False))
        return
    yield from outline.unused(heading)
    outline.open(heading, text)
    if re.search(r"\d", text.text):
        yield from _labelled(text.strip(":"), outline.context[:-1], outline.weight)


def _labelled(
    text: Source, context: tuple[Source, ...], weight: int, *, is_item: bool = False
) -> Iterator[Line]:
    """Yield a line without the label of an answer, "Answer: "."""
    if label := _ANSWER.match(text.text):
        text, weight = text.part(label.end(), len(text.text)), ANSWERED
    yield Line(text, context, weight, is_item)


def _table_rows(lines: Sequence[Source], begin: int, end: int) -> int:
    """Return how many lines a Markdown table that begins there takes, 0 if there is none."""
    first = lines[begin : min(begin + 2, end)]
    if len(first) < 2 or "|" not in first[0].text or not _SEPARATOR.fullmatch(first[1].text):
        return 0
    return next((n for n in range(begin, end) if "|" not in lines[n].text), end) - begin


def _letter_end(lines: Sequence[Source]) -> int:
    """Return where a letter's farewell and signature begin, or the number of lines."""
    said = [n for n, line in enumerate(lines) if line.text.strip()]
    for n in said[-_SIGNATURE - 1 :]:
        if n and _FAREWELL.fullmatch(lines[n].text):
            return n
    return len(lines)
