"""Cut a prompt's EHR text, in the ``lines`` format, into the passages an extractor may quote."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from medalign_utils.data.ehr import EVENT_TYPES

WINDOW_SENTENCES = 3

_EVENT_LINE = re.compile(rf"\d{{4}}-\d\d-\d\d \d\d:\d\d (?P<type>{'|'.join(EVENT_TYPES)})(?!\S)")
# A sentence ends at its full stop or at its line's end. The number of a list's item ("2. Asthma")
# belongs to the sentence after it.
_SENTENCE = re.compile(r"(?:\d+[.)][ \t]+)?\S.*?(?:[.!?](?=\s)|$)", re.MULTILINE)


class Block(NamedTuple):
    """A coded event (``text`` empty) or a note: its line, and the text below it."""

    line: str
    text: str


def split_blocks(ehr: str) -> Iterator[Block]:
    r"""Part an EHR text into its events, oldest first.

    What stands before the first event's line, where the packed text begins within an event, is a
    block without a line.

    >>> list(split_blocks("2014-08-10 10:00 note N/1 Progress note:\nDenies pain.\nEats well."))
    [Block(line='2014-08-10 10:00 note N/1 Progress note:', text='Denies pain.\nEats well.')]
    """
    line, text = "", []
    for row in ehr.split("\n"):
        if _EVENT_LINE.match(row):
            yield from _block(line, text)
            line, text = row, []
        else:
            text.append(row)
    yield from _block(line, text)


def split_passages(ehr: str) -> list[str]:
    r"""Cut an EHR text into passages, oldest first.

    A coded event is one passage. A note gives one for each run of `WINDOW_SENTENCES` consecutive
    sentences (all of them, if it has fewer), under the note's own line, so that a quoted passage
    shows its date; the rest of a note whose line was cut away gives them without one.

    >>> split_passages("2014-08-10 09:12 measurement LOINC/2160-0 Creatinine: 1.4 mg/dL\n"
    ...     "2014-08-10 10:00 note N/1 Progress note:\nNo pain. Eats well.")
    ... # doctest: +NORMALIZE_WHITESPACE
    ['2014-08-10 09:12 measurement LOINC/2160-0 Creatinine: 1.4 mg/dL',
     '2014-08-10 10:00 note N/1 Progress note:\nNo pain. Eats well.']
    """
    return [passage for block in split_blocks(ehr) for passage in _passages(block)]


def split_chunks(ehr: str) -> list[str]:
    r"""Cut an EHR text into passages that do not overlap, oldest first.

    As `split_passages`, but each sentence of a note is in one passage alone.

    >>> split_chunks("2014-08-10 10:00 note N/1 Progress note:\nNo pain. Eats. Walks. Sleeps.")
    ... # doctest: +NORMALIZE_WHITESPACE
    ['2014-08-10 10:00 note N/1 Progress note:\nNo pain. Eats. Walks.',
     '2014-08-10 10:00 note N/1 Progress note:\nSleeps.']
    """
    return [
        passage for block in split_blocks(ehr) for passage in _passages(block, WINDOW_SENTENCES)
    ]


def last_note(ehr: str) -> str:
    r"""Give the most recent note under its line; "" if the text holds none.

    Where no note's line is left, what stands before the first event's line is taken for one.

    >>> last_note("2014-08-10 10:00 note N/1 Progress note:\nNo pain.\n"
    ...     "2014-08-11 09:00 visit V/1 Outpatient visit: start")
    '2014-08-10 10:00 note N/1 Progress note:\nNo pain.'
    """
    notes = [block for block in split_blocks(ehr) if block.text]
    return _join(notes[-1].line, notes[-1].text) if notes else ""


def _block(line: str, text: list[str]) -> Iterator[Block]:
    body = "\n".join(text).strip()
    if line or body:
        yield Block(line, body)


def _passages(block: Block, step: int = 1) -> Iterator[str]:
    if not block.text:
        yield block.line
        return
    sentences = [match.span() for match in _SENTENCE.finditer(block.text)]
    last = max(len(sentences) - WINDOW_SENTENCES + 1, 1) if step == 1 else len(sentences)
    for first in range(0, last, step):
        window = sentences[first : first + WINDOW_SENTENCES]
        yield _join(block.line, block.text[window[0][0] : window[-1][1]])


def _join(line: str, text: str) -> str:
    return f"{line}\n{text}" if line else text
