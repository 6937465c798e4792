"""Writes a record's notes and events as HTML. All text is escaped here: it may be anything."""

import re
from collections.abc import Callable, Iterable, Sequence
from html import escape
from urllib.parse import quote

import pandas as pd

from medalign_utils.data.ehr.labels import name_label, type_label, unit_label, value_label
from medalign_utils.explorer.search import Query

Spans = Sequence[tuple[int, int]]
# Browsers that support it open a `medalign-scroll` scrolled to this element.
IN_VIEW = '<span class="ma-in-view"></span>'
_SHOWN = ("gender", "race", "ethnicity")


def highlight(
    text: str, search: Spans = (), evidence: Spans = (), current: int | None = None
) -> str:
    """Return a text as escaped HTML with its passages marked; evidence takes precedence.

    `current` is the number of the search hit to scroll to; otherwise it is the first passage.
    """
    marked = [(start, end, "evidence", None) for start, end in _separate(evidence)]
    for n, (start, end) in enumerate(search):
        if all(end <= a or b <= start for a, b, *_ in marked[: len(marked)]):
            marked.append((start, end, "search", n))
    if not marked:
        return escape(text)
    marked.sort()
    numbers = [n for *_, n in marked]
    target = numbers.index(current) if current in numbers and current is not None else 0
    html, position = [], 0
    for i, (start, end, kind, n) in enumerate(marked):
        html += [escape(text[position:start]), IN_VIEW if i == target else ""]
        name = f"ma-{kind}" + (" ma-current" if n is not None and n == current else "")
        html.append(f'<mark class="{name}">{escape(text[start:end])}</mark>')
        position = end
    return "".join([*html, escape(text[position:])])


def _separate(spans: Spans) -> list[tuple[int, int]]:
    """Return spans without overlaps, in order."""
    kept: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if kept and start < kept[-1][1]:
            kept[-1] = (kept[-1][0], max(end, kept[-1][1]))
        elif end > start:
            kept.append((start, end))
    return kept


def excerpt(text: str, pattern: re.Pattern | None = None, width: int = 160) -> str:
    """Return about `width` characters of a text, around the first hit if there is one."""
    hit = pattern.search(text) if pattern else None
    start = max(0, hit.start() - width // 2) if hit else 0
    if start:
        start = text.find(" ", start, hit.start()) + 1 or start
    end = start + width
    return ("… " if start else "") + text[start:end] + (" …" if end < len(text) else "")


def number(n: int, noun: str) -> str:
    """Return a count with its noun, such as "1 note" or "1,200 notes"."""
    return f"{n:,} {noun}{'s' * (n != 1)}"


def title_of(event: pd.Series) -> str:
    """Return an event's date and name, for lists."""
    return titles_of(event.to_frame().T)[0]


def titles_of(events: pd.DataFrame) -> list[str]:
    """Return each event's date and name, for lists."""
    columns = ("timestamp", "type", "name", "code")
    titles = []
    for time, kind, name, code in zip(*(events[column] for column in columns), strict=True):
        name = name_label(kind, name) or (code if pd.notna(code) else "(no title)")
        titles.append(f"{time:%Y-%m-%d %H:%M}  {name}")
    return titles


def person_line(events: pd.DataFrame) -> str:
    """Return the patient's most recent demographics and the size of the record, as HTML."""
    last = events[events["type"] == "person"].groupby("name")["value"].last()
    about = [value_label("person", last[name]) for name in _SHOWN if name in last]
    about += [f"born {last['birthdate']}"] if "birthdate" in last else []
    rest, counts = events[events["type"] != "person"], "no events"
    if len(rest):
        days = f"{rest['timestamp'].min():%Y-%m-%d} to {rest['timestamp'].max():%Y-%m-%d}"
        encounters = number(rest["encounter"].nunique(), "encounter")
        counts = f"{encounters}, {number(len(rest), 'event')}, {days}"
    line = " · ".join(filter(None, [", ".join(filter(None, about)), counts]))
    return escape(line[:1].upper() + line[1:])


def link_to(address: str, text: str) -> str:
    """Return a link that opens an event in the explorer, also after a reload.

    Without an address it is the text alone.
    """
    if not address:
        return escape(text)
    return f'<a href="#medalign={quote(address)}">{escape(text)}</a>'


def note_html(
    event: pd.Series,
    query: Query | None = None,
    evidence: Spans = (),
    *,
    current: int | None = None,
    address: str = "",
    is_possible: bool = False,
) -> str:
    """Return a note as HTML: its title, a link to it, and its text with line breaks.

    `current` counts the hits in title and text together.
    """
    text = "" if pd.isna(event["value"]) else event["value"]
    title = title_of(event)
    in_title = query.spans(title) if query else []
    current_in_text = None if current is None else current - len(in_title)
    body = highlight(text, query.spans(text) if query else (), evidence, current_in_text)
    heading = f"<b>{highlight(title, in_title).replace(IN_VIEW, '')}</b>"
    heading += " <i>possibly the evidence</i>" if is_possible else ""
    heading += f" <small>{link_to(address, 'Link to this note')}</small>" if address else ""
    return f'<div class="ma-note-title">{heading}</div>' + box(
        f'<div class="ma-text">{body or "(no text)"}</div>', "Text of the note"
    )


def events_html(
    events: pd.DataFrame,
    query: Query | None = None,
    marked: int | None = None,
    address_of: Callable[[int], str] | None = None,
) -> str:
    """Return events as an HTML table, highlighting the one with the index label `marked`."""
    pattern = query.any_term if query else None
    rows = []
    for event in events.itertuples():
        value = value_label(event.type, event.value)
        value = excerpt(value, pattern) if event.type == "note" else value
        value = " ".join(filter(None, (value, unit_label(event.unit))))
        code = "" if pd.isna(event.code) else event.code
        texts = (type_label(event.type), name_label(event.type, event.name), value, code)
        cells = [
            highlight(text, query.spans(text) if query else ()).replace(IN_VIEW, "")
            for text in texts
        ]
        time = f"{event.timestamp:%Y-%m-%d %H:%M}"
        is_marked = event.Index == marked
        time = link_to(address_of(event.Index), time) if address_of else time
        rows.append((is_marked, [IN_VIEW * is_marked + time, *cells]))
    return box(table(("Time", "Type", "Name", "Value", "Code"), rows), "Events")


def box(html: str, label: str) -> str:
    """Return HTML in an area that scrolls by itself, also with the keyboard."""
    # A new element each time, or the browser would not scroll to the mark.
    role = f'tabindex="0" role="region" aria-label="{escape(label)}"'
    return f'<div class="medalign-scroll" {role}>{html}</div>'


def table(heads: Iterable[str], rows: Iterable[tuple[bool, Iterable[str]]], name: str = "") -> str:
    """Return an HTML table; each row says whether it is marked, and has its cells."""
    html = ["<tr>", *(f'<th scope="col">{head}</th>' for head in heads), "</tr>"]
    for is_marked, cells in rows:
        html.append('<tr class="ma-evidence" aria-current="true">' if is_marked else "<tr>")
        html += [*(f"<td>{cell}</td>" for cell in cells), "</tr>"]
    return f'<table class="medalign-table {name}">{"".join(html)}</table>'
