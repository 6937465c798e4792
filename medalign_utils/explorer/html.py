"""Selects the events of a record that pass the explorer's filters, and writes its HTML.

All text is escaped here, because a note may contain anything.
"""

import base64
import io
import re
from collections.abc import Collection, Iterable
from datetime import date
from html import escape
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from medalign_utils import plots
from medalign_utils.data.evidence import Evidence

_COLOURS = {"evidence": "#9ED8FF", "search": "#F5E663"}
# Browsers that support it open a `medalign-scroll` scrolled to this element.
_IN_VIEW = '<span style="display:inline-block;scroll-initial-target:nearest"></span>'
UNANSWERED = "<p>No system has answered this instruction.</p>"
# Once per page.
STYLE = """<style>
.medalign-table {border-collapse: collapse; width: 100%; line-height: 1.4; margin-top: 6px}
.medalign-table td, .medalign-table th {
  padding: 2px 8px; border-bottom: 1px solid #ddd; text-align: left; vertical-align: top}
.medalign-table td:first-child {white-space: nowrap}
.medalign-scroll {height: 380px; overflow: auto; margin-top: 4px}
.medalign p {margin: 4px 0; line-height: 1.4}
</style>"""


def select_events(
    events: pd.DataFrame,
    types: Collection[str] | None = None,
    since: date | None = None,
    until: date | None = None,
) -> pd.DataFrame:
    """Return the events of these types and days, including `until`; None sets no limit."""
    keep = np.ones(len(events), dtype=bool)
    if types is not None:
        keep &= events["type"].isin(types)
    if since is not None:
        keep &= events["timestamp"] >= pd.Timestamp(since)
    if until is not None:
        keep &= events["timestamp"] < pd.Timestamp(until) + pd.Timedelta(days=1)
    return events[keep]


def count_hits(events: pd.DataFrame, pattern: re.Pattern) -> pd.Series:
    """Return how often the pattern occurs in each event's name, value and code together."""
    texts = events[["name", "value", "code"]].fillna("")
    return texts.map(lambda text: len(pattern.findall(text))).sum(axis=1).astype("int64")


def highlight(
    text: str, search: re.Pattern | None = None, evidence: re.Pattern | None = None
) -> str:
    """Return a text as escaped HTML with matches marked; evidence takes precedence over search."""
    parts = {"evidence": evidence, "search": search}
    patterns = [f"(?P<{name}>{p.pattern})" for name, p in parts.items() if p is not None]
    if not patterns:
        return escape(text)
    html, end = [], 0
    for hit in re.finditer("|".join(patterns), text, re.IGNORECASE):
        html += [escape(text[end : hit.start()]), "" if end else _IN_VIEW]
        html.append(f'<mark style="{_marked(hit.lastgroup)}">{escape(hit.group())}</mark>')
        end = hit.end()
    return "".join([*html, escape(text[end:])])


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
    name = next((name for name in (event["name"], event["code"]) if pd.notna(name)), "(no title)")
    return f"{event['timestamp']:%Y-%m-%d %H:%M}  {name}"


def person_line(events: pd.DataFrame) -> str:
    """Return the patient's most recent demographics and the size of the record, as HTML."""
    last = events[events["type"] == "person"].groupby("name")["value"].last()
    about = [last[name] for name in ("gender", "race", "ethnicity") if name in last]
    about += [f"born {last['birthdate']}"] if "birthdate" in last else []
    rest, counts = events[events["type"] != "person"], "no events"
    if len(rest):
        days = f"{rest['timestamp'].min():%Y-%m-%d} to {rest['timestamp'].max():%Y-%m-%d}"
        encounters = number(rest["encounter"].nunique(), "encounter")
        counts = f"{encounters}, {number(len(rest), 'event')}, {days}"
    return escape(" · ".join(filter(None, [", ".join(about), counts])))


def timeline_image(events: pd.DataFrame, **marks) -> str:
    """Return `plots.timeline` as an HTML image of full width; "" without events."""
    if events.empty:
        return ""
    rows = 1 + events["type"].nunique()
    figure = Figure(figsize=(9.5, 0.75 + 0.19 * rows), layout="constrained")
    plots.timeline(events, figure.add_subplot(), **marks)
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=130)
    data = base64.b64encode(png.getvalue()).decode()
    alt = "Timeline of the record's events by type"
    return f'<img alt="{alt}" style="width:100%" src="data:image/png;base64,{data}">'


def note_html(event: pd.Series, search: re.Pattern | None, evidence: re.Pattern | None) -> str:
    """Return a note as HTML: its title, and its text with line breaks."""
    text = "" if pd.isna(event["value"]) else event["value"]
    body = highlight(text, search, evidence) or "(no text)"
    text_style = "white-space:pre-wrap;line-height:1.45"
    return f"<b>{escape(title_of(event))}</b>" + _box(f'<div style="{text_style}">{body}</div>')


def events_html(events: pd.DataFrame, search: re.Pattern | None, marked: int | None = None) -> str:
    """Return events as an HTML table, highlighting the one with the index label `marked`."""
    rows = []
    for event in events.itertuples():
        name, code = ("" if pd.isna(text) else text for text in (event.name, event.code))
        value = "" if pd.isna(event.value) else excerpt(event.value, search)
        value += "" if pd.isna(event.unit) else f" {event.unit}"
        cells = [f"{event.timestamp:%Y-%m-%d&nbsp;%H:%M}", escape(event.type)]
        cells += [highlight(text, search).replace(_IN_VIEW, "") for text in (name, value, code)]
        is_marked = event.Index == marked
        cells[0] = _IN_VIEW * is_marked + cells[0]
        rows.append((_marked("evidence") * is_marked, cells))
    return _box(_table(("Time", "Type", "Name", "Value", "Code"), rows))


def with_verdicts(responses: pd.DataFrame, ratings: pd.DataFrame) -> pd.DataFrame:
    """Return responses with a column `verdict`, such as "correct (clinician 1)"."""
    key = ["instruction_id", "system"]
    words = ratings["correct"].map({True: "correct", False: "incorrect"})
    words = words + " (" + ratings["rater"].astype("str") + ")"
    verdicts = words.groupby([ratings[name] for name in key]).agg(", ".join).rename("verdict")
    merged = responses.merge(verdicts.reset_index(), on=key, how="left")
    return merged.assign(verdict=merged["verdict"].fillna("not rated"))


def instruction_html(
    instruction: pd.Series, references: pd.DataFrame, responses: pd.DataFrame, found: Evidence
) -> str:
    """Return an instruction as HTML: question, references, evidence found, systems' responses."""
    labels = [instruction[c] for c in ("category", "subcategory", "submitter_specialty")]
    about = " · ".join(escape(label) for label in labels if pd.notna(label))
    html = [f"<b>{escape(instruction['question'])}</b><br><small>{about}</small>"]
    searched = references["evidence"].first_valid_index()
    for row in references.itertuples():
        html.append(f"<p><b>Reference</b> ({escape(row.annotator)}): {_lines(row.reference)}</p>")
        evidence = "none given." if pd.isna(row.evidence) else _lines(row.evidence)
        html.append(f"<p><b>Evidence</b>: {evidence}</p>")
        if row.Index == searched:
            html.append(f"<small>{'<br>'.join(map(escape, found.messages))}</small>")
    if references.empty:
        html.append("<p>No reference: no clinician has answered this instruction.</p>")
    rows = [
        ("", (escape(row.system), escape(row.verdict), _lines(row.response) or _why_empty(row)))
        for row in responses.itertuples()
    ]
    table = _table(("System", "Verdict", "Response"), rows)
    return "".join([*html, table if rows else UNANSWERED])


def _marked(kind: str) -> str:
    return f"background:{_COLOURS[kind]};color:black"


def _why_empty(row: Any) -> str:
    failure = getattr(row, "failure", "")  # a release's own responses have none
    return f"(no response: {escape(failure)})" if pd.notna(failure) and failure else "(empty)"


def _lines(text: str) -> str:
    return escape(text).replace("\n", "<br>")


def _box(html: str) -> str:
    # A new element each time, or the browser would not scroll to the mark.
    return f'<div class="medalign-scroll">{html}</div>'


def _table(heads: Iterable[str], rows: Iterable[tuple[str, Iterable[str]]]) -> str:
    """Return an HTML table; each row is its style and its cells."""
    html = ["<tr>", *(f"<th>{head}</th>" for head in heads), "</tr>"]
    for style, cells in rows:
        html += [f'<tr style="{style}">', *(f"<td>{cell}</td>" for cell in cells), "</tr>"]
    return f'<table class="medalign-table">{"".join(html)}</table>'
