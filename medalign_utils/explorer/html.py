"""What `browse` shows of one record: the events that pass its filters, and all of its HTML.

Everything that becomes HTML is escaped here: a note may hold anything.
"""

import base64
import io
import re
from collections.abc import Collection, Iterable
from datetime import date
from html import escape

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from medalign_utils import plots
from medalign_utils.explorer.evidence import Evidence

_COLOURS = {"evidence": "#9ED8FF", "search": "#F5E663"}
# Where the browser knows how, a `medalign-scroll` opens scrolled to this.
_IN_VIEW = '<span style="display:inline-block;scroll-initial-target:nearest"></span>'
# Of the tables here; `browse` puts it in the page once.
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
    """Keep the events of these types and days; None sets no limit, `until` is included.

    >>> moments = pd.to_datetime(["2014-08-10 23:59", "2014-08-11 00:00"])
    >>> events = pd.DataFrame({"timestamp": moments, "type": ["note", "visit"]})
    >>> select_events(events, until=date(2014, 8, 10))["type"].tolist()
    ['note']
    """
    keep = np.ones(len(events), dtype=bool)
    if types is not None:
        keep &= events["type"].isin(types)
    if since is not None:
        keep &= events["timestamp"] >= pd.Timestamp(since)
    if until is not None:
        keep &= events["timestamp"] < pd.Timestamp(until) + pd.Timedelta(days=1)
    return events[keep]


def count_hits(events: pd.DataFrame, pattern: re.Pattern) -> pd.Series:
    """How often the pattern occurs in each event's name, value and code together."""
    texts = zip(*(events[column].fillna("") for column in ("name", "value", "code")), strict=True)
    counts = [sum(len(pattern.findall(text)) for text in each) for each in texts]
    return pd.Series(counts, index=events.index, dtype="int64")


def highlight(
    text: str, search: re.Pattern | None = None, evidence: re.Pattern | None = None
) -> str:
    """A text as HTML, escaped, with what the patterns find marked, evidence before search.

    >>> highlight("<b>No pain</b>", re.compile("pain")).split("</span>")[1]
    '<mark style="background:#F5E663;color:black">pain</mark>&lt;/b&gt;'
    """
    parts = {"evidence": evidence, "search": search}
    patterns = [f"(?P<{name}>{p.pattern})" for name, p in parts.items() if p is not None]
    if not patterns:
        return escape(text)
    html, end = [], 0
    for hit in re.finditer("|".join(patterns), text, re.IGNORECASE):
        style = f"background:{_COLOURS[hit.lastgroup]};color:black"
        html += [escape(text[end : hit.start()]), "" if end else _IN_VIEW]
        html.append(f'<mark style="{style}">{escape(hit.group())}</mark>')
        end = hit.end()
    return "".join([*html, escape(text[end:])])


def excerpt(text: str, pattern: re.Pattern | None = None, width: int = 160) -> str:
    """At most about `width` characters of a text, around the first hit if there is one.

    >>> excerpt("It was all about nothing, but pain.", re.compile("pain"), width=10)
    '… but pain.'
    """
    hit = pattern.search(text) if pattern else None
    start = max(0, hit.start() - width // 2) if hit else 0
    if start:
        start = text.find(" ", start, hit.start()) + 1 or start
    end = start + width
    return ("… " if start else "") + text[start:end] + (" …" if end < len(text) else "")


def number(n: int, noun: str) -> str:
    """A number of things, in words.

    >>> number(1, "note"), number(1200, "note")
    ('1 note', '1,200 notes')
    """
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def title_of(event: pd.Series) -> str:
    """An event's date and name, for lists."""
    name = next((each for each in (event["name"], event["code"]) if pd.notna(each)), "(no title)")
    return f"{event['timestamp']:%Y-%m-%d %H:%M}  {name}"


def person_line(events: pd.DataFrame) -> str:
    """What a record says of its person, last said counting, and how much it holds; HTML."""
    said = events[events["type"] == "person"].groupby("name")["value"].last()
    born = [f"born {said['birthdate']}"] if "birthdate" in said else []
    about = [*(said[k] for k in ("gender", "race", "ethnicity") if k in said), *born]
    rest = events[events["type"] != "person"]
    counts = "no events"
    if len(rest):
        first, last = rest["timestamp"].min(), rest["timestamp"].max()
        counts = f"{number(rest['encounter'].nunique(), 'encounter')}, {number(len(rest), 'event')}"
        counts += f", {first:%Y-%m-%d} to {last:%Y-%m-%d}"
    return escape(" · ".join([*([", ".join(about)] if about else []), counts]))


def timeline_image(events: pd.DataFrame, **marks) -> str:
    """`plots.timeline` as an HTML image as wide as the page; "" without events."""
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
    """One note: its title, and its text with the line breaks it has."""
    text = "" if pd.isna(event["value"]) else event["value"]
    body = highlight(text, search, evidence) or "(no text)"
    text_style = "white-space:pre-wrap;line-height:1.45"
    return f"<b>{escape(title_of(event))}</b>" + _box(f'<div style="{text_style}">{body}</div>')


def events_html(events: pd.DataFrame, search: re.Pattern | None, marked: int | None = None) -> str:
    """A page of events as a table; the event with the index label `marked` stands out."""
    rows = []
    for event in events.itertuples():
        name, code = ("" if pd.isna(each) else each for each in (event.name, event.code))
        value = "" if pd.isna(event.value) else excerpt(event.value, search)
        value += "" if pd.isna(event.unit) else f" {event.unit}"
        cells = [f"{event.timestamp:%Y-%m-%d&nbsp;%H:%M}", escape(event.type)]
        cells += [highlight(text, search).replace(_IN_VIEW, "") for text in (name, value, code)]
        if event.Index == marked:
            cells[0] = _IN_VIEW + cells[0]
        style = f"background:{_COLOURS['evidence']};color:black"
        rows.append((style if event.Index == marked else "", cells))
    return _box(_table(("Time", "Type", "Name", "Value", "Code"), rows))


def with_verdicts(responses: pd.DataFrame, ratings: pd.DataFrame) -> pd.DataFrame:
    """Responses with a column `verdict`: what each rater said of them, in words.

    >>> responses = pd.DataFrame({"instruction_id": ["1", "1"], "system": ["a", "b"]})
    >>> ratings = pd.DataFrame({"instruction_id": ["1"], "system": ["a"], "rater": ["x"],
    ...     "correct": [True]})
    >>> with_verdicts(responses, ratings)["verdict"].tolist()
    ['correct (x)', 'not rated']
    """
    key = ["instruction_id", "system"]
    said = ratings["correct"].map({True: "correct", False: "incorrect"})
    said = said + " (" + ratings["rater"].astype("str") + ")"
    verdicts = said.groupby([ratings[name] for name in key]).agg(", ".join).rename("verdict")
    merged = responses.merge(verdicts.reset_index(), on=key, how="left")
    return merged.assign(verdict=merged["verdict"].fillna("not rated"))


def instruction_html(
    instruction: pd.Series, references: pd.DataFrame, responses: pd.DataFrame, found: Evidence
) -> str:
    """An instruction: question, references with their evidence, and the systems' responses.

    Args:
        instruction: its row of the release's table.
        references: its rows of the release's table.
        responses: its responses: system, response, verdict.
        found: where the first evidence that a reference gives stands.
    """
    asked_by = [instruction[c] for c in ("category", "subcategory", "submitter_specialty")]
    about = " · ".join(escape(each) for each in asked_by if pd.notna(each))
    html = [f"<b>{escape(instruction['question'])}</b><br><small>{about}</small>"]
    searched = references["evidence"].first_valid_index()
    for row in references.itertuples():
        html.append(f"<p><b>Reference</b> ({escape(row.annotator)}): {_lines(row.reference)}</p>")
        if pd.isna(row.evidence):
            html.append("<p><b>Evidence</b>: none is given.</p>")
        else:
            html.append(f"<p><b>Evidence</b>: {_lines(row.evidence)}</p>")
        if row.Index == searched:
            html.append(f"<small>{'<br>'.join(map(escape, found.messages))}</small>")
    if references.empty:
        html.append("<p>No clinician has answered it, so there is no reference.</p>")
    if len(responses):
        cells = (
            (escape(row.system), escape(row.verdict), _lines(row.response) or "(empty)")
            for row in responses.itertuples()
        )
        html.append(_table(("System", "Verdict", "Response"), (("", row) for row in cells)))
    else:
        html.append("<p>No system's response to it is there.</p>")
    return "".join(html)


def _lines(text: str) -> str:
    return escape(text).replace("\n", "<br>")


def _box(html: str) -> str:
    # Made anew with what it holds, for only then does the browser look for what is to be in view.
    return f'<div class="medalign-scroll">{html}</div>'


def _table(heads: Iterable[str], rows: Iterable[tuple[str, Iterable[str]]]) -> str:
    """A table; each row is its style and its cells, as HTML."""
    html = ["<tr>", *(f"<th>{head}</th>" for head in heads), "</tr>"]
    for style, cells in rows:
        html += [f'<tr style="{style}">', *(f"<td>{cell}</td>" for cell in cells), "</tr>"]
    return f'<table class="medalign-table">{"".join(html)}</table>'
