"""A response as HTML whose sentences can be chosen one by one."""

import re

from medalign_utils.curation.passage import sentences
from medalign_utils.explorer.markdown import Passage, to_html

# What Markdown puts before a line's text and around it; the text between is a sentence.
_BEFORE = re.compile(r"[\s>#|*_`~+-]*(?:\d+[.)]\s+)?[\s|*_`~]*")
_BEFORE_INSIDE = re.compile(r"[\s|*_`~]*")
_AFTER = re.compile(r"[\s|*_`~#]*$")
_ABBREVIATION = re.compile(r"\b(?:Dr|Mr|Mrs|Ms|St|No|vs|approx|e\.g|i\.e)\.$")
_ENDS = ".!?;\"'”’)"


def sentences_of(response: str) -> list[tuple[int, int]]:
    r"""Return where a response's sentences are, without the Markdown around them.

    >>> text = "**Hb:** 9.1 g/dL. It fell.\n- Iron is low."
    >>> [text[start:end] for start, end in sentences_of(text)]
    ['Hb:** 9.1 g/dL.', 'It fell.', 'Iron is low.']
    """
    spans: list[tuple[int, int]] = []
    for line in re.finditer(r"[^\n]+", response):
        text_start, joined = _BEFORE.match(line[0]).end(), None
        text = line[0][text_start:]
        for start, end in sentences(text):
            while end < len(text) and text[end] in _ENDS:
                end += 1
            start = start if joined is None else joined
            joined = start if _ABBREVIATION.search(text[start:end]) and end < len(text) else None
            if joined is not None:
                continue
            start = _BEFORE_INSIDE.match(text, start, end).end()
            end = start + len(_AFTER.sub("", text[start:end]))
            if re.search(r"\w", text[start:end]):
                offset = line.start() + text_start
                spans.append((offset + start, offset + end))
    return spans


def response_html(response: str) -> tuple[str, list[tuple[int, int]]]:
    """Return a response's Markdown as safe HTML, and the characters of its sentences.

    Sentence i is in one `mark` or more with the class `mr-s` and the id `i` as the class `mr-i`. If
    that would change what is shown, there are no sentences.
    """
    spans = sentences_of(response)
    passages = [Passage(*span, "", f"mr-s mr-{i}") for i, span in enumerate(spans)]
    plain, html = to_html(response), to_html(response, passages)
    html = html.replace('<small class="ma-label"></small>', "")
    if re.sub(r"</?mark[^>]*>", "", html) != plain:
        return plain, []
    return html, spans
