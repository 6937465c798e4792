"""Renders a response's Markdown as safe HTML."""

import re
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from markdown_it import MarkdownIt

# No HTML, links or images: a response must not load or open anything. No indented code or
# underlined headings either, because quoted record lines may look like them.
_OFF = ["html_block", "html_inline", "link", "image", "autolink", "reference", "code", "lheading"]
_MARKDOWN = MarkdownIt("commonmark", {"html": False, "breaks": True}).enable("table").disable(_OFF)
# Private characters that mark the passages while the text is rendered.
_BEGIN, _END = "\ue000", "\ue001"
_MARKS = re.compile(f"<[^>]+>|[{_BEGIN}{_END}]")


class Passage(NamedTuple):
    """A passage of a response, `text[start:end]`, with a label for all readers."""

    start: int
    end: int
    label: str  # shown behind the passage
    css_class: str


def to_html(text: str, passages: Sequence[Passage] = ()) -> str:
    r"""Return a text's Markdown as HTML without active content, with its passages marked.

    >>> to_html("**1.4** <b>mg/dL</b>")
    '<p><strong>1.4</strong> &lt;b&gt;mg/dL&lt;/b&gt;</p>\n'
    """
    text = text.replace(_BEGIN, "").replace(_END, "")
    kept: list[Passage] = []
    for passage in sorted(passages):
        if passage.start < passage.end <= len(text):
            if not kept or kept[-1].end <= passage.start:
                kept.append(passage)
    for passage in reversed(kept):
        inside = text[passage.start : passage.end]
        text = f"{text[: passage.start]}{_BEGIN}{inside}{_END}{text[passage.end :]}"
    # In 10*3/uL the asterisk is no emphasis.
    text = re.sub(r"(?<=\w)\*(?=\w)", r"\\*", text)
    return _with_marks(_MARKDOWN.render(text), kept)


def _with_marks(html: str, passages: Sequence[Passage]) -> str:
    """Replace the private characters by <mark>, closed before each tag and opened after it."""
    parts, end, inside, waiting = [], 0, None, iter(passages)
    for match in _MARKS.finditer(html):
        text = html[end : match.start()]
        parts.append(_mark(text, inside) if inside and text.strip() else text)
        end = match.end()
        if match[0] == _BEGIN:
            inside = next(waiting)
        elif match[0] == _END:
            parts.append(
                f'<small class="ma-label">{escape(inside.label)}</small>' if inside else ""
            )
            inside = None
        else:
            parts.append(match[0])
    return "".join([*parts, html[end:]])


def _mark(text: str, passage: Passage) -> str:
    return f'<mark class="{passage.css_class}">{text}</mark>'
