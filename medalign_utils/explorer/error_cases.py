"""Shows errors of systems: the fact asked, the response, and the passage of the record."""

import re
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

import pandas as pd
from IPython.display import HTML, display

from medalign_utils.curation.evidence import locate_evidence
from medalign_utils.curation.record_text import RecordText
from medalign_utils.data.ehr import read_events
from medalign_utils.data.release import primary_references
from medalign_utils.explorer.html import excerpt, title_of
from medalign_utils.grading import load_answer_key
from medalign_utils.run import Run, say

RESTRICTED = "This release is restricted, so no record and no response is shown."
NO_KEY = "Without an answer key it is not known what is wrong with a response."
NO_ERRORS = "Every response is correct."
_WIDTH = 320  # characters of a passage
# The evidence in a record, and the spans that decided about a response.
_COLOURS = {"evidence": "#9ED8FF", "found": "#B7E1A1", "contradicted": "#FFBE86"}
_CELL = "text-align:left;vertical-align:top;padding:2px 8px;white-space:pre-wrap"


def show_errors(run: Run, errors: pd.DataFrame) -> None:
    """Display errors from `choose_errors`, or a sentence if none may or can be shown.

    The columns of `with_groups` are needed, and those of `judge_responses` for an answer key.
    """
    if run.is_restricted:
        say(RESTRICTED)
    elif "outcome" not in errors:
        say(NO_KEY)
    elif errors.empty:
        say(NO_ERRORS)
    else:
        key = load_answer_key(run.release.answer_key_path)
        references = primary_references(run.release.references, run.annotator)
        references = references.set_index("instruction_id")
        blocks = []
        for number, error in enumerate(errors.itertuples(), start=1):
            i = error.instruction_id
            rows = {
                "Instruction": escape(run.release.questions[i]),
                "Facts": "<br>".join(escape(describe_fact(fact)) for fact in key[i]["facts"]),
                "Reference": escape(references["reference"].get(i, "none")),
                "Response": _response(error),
                "Record": _passage(run, error, references["evidence"].get(i)),
            }
            blocks.append(_block(number, error, rows))
        display(HTML("\n".join(blocks)))


def describe_fact(fact: Mapping[str, Any]) -> str:
    """Return a fact of an answer key in words.

    >>> describe_fact({"kind": "number", "topic": ["creatinine"], "value": 1.4, "unit": "mg/dL",
    ...     "tolerance": 0.05, "date": "2014-08-10"})
    'creatinine: 1.4 mg/dL on 2014-08-10'
    >>> describe_fact({"kind": "set", "members": [["aspirin", "ASA"], ["statin"]]})
    'aspirin, statin'
    """
    topic = f"{fact['topic'][0]}: " if fact.get("topic") else ""
    kind = fact["kind"]
    if kind == "number":
        values = fact["value"] if isinstance(fact["value"], list) else [fact["value"]]
        number = "/".join(f"{value:g}" for value in values)
        text = " ".join(filter(None, [number, fact["unit"]]))
        text += f" on {fact['date']}" if fact.get("date") else ""
        text += f" from {fact['from']}" if fact.get("from") else ""
    elif kind == "date":
        text = fact["date"][: {"day": 10, "month": 7, "year": 4}[fact["precision"]]]
    elif kind == "term":
        text = fact["accepted"][0]
    elif kind == "set":
        text = ", ".join(names[0] for names in fact["members"])
    elif kind == "yes_no":
        text = "yes" if fact["answer"] else "no"
    else:
        text = "not documented"
    return f"{topic}{text}" + " (a relative)" * (fact.get("subject") == "family")


def marked(text: str, spans: Iterable[tuple[int, int, str]]) -> str:
    """Return a text as escaped HTML with its spans (start, end, kind) marked.

    A span that overlaps an earlier one is not marked.

    >>> marked("K < 3", [(4, 5, "found")])
    'K &lt; <mark style="background:#B7E1A1;color:black">3</mark>'
    """
    html, end = [], 0
    for start, stop, kind in sorted(spans):
        if start < end or stop <= start:
            continue
        style = f"background:{_COLOURS[kind]};color:black"
        html.append(escape(text[end:start]))
        html.append(f'<mark style="{style}">{escape(text[start:stop])}</mark>')
        end = stop
    return "".join([*html, escape(text[end:])])


def _response(error: Any) -> str:
    if not error.response.strip():
        return f"(none: {escape(error.failure)})" if error.failure else "(empty)"
    spans = [(piece.start, piece.end, piece.verdict) for piece in error.evidence]
    return marked(error.response, spans)


def _passage(run: Run, error: Any, evidence: str | None) -> str:
    """Return the record's event with the evidence, or that at the place of the answer, as HTML."""
    if error.where == "nowhere":
        return "(the record does not document this)"
    events = read_events(run.release.ehr_path(error.person_id))
    found = locate_evidence(RecordText(events), None if pd.isna(evidence) else evidence)
    rows = events.loc[found.rows]
    if rows.empty:
        rows = events[events["timestamp"] == error.timestamp]
    if rows.empty:
        return "(the place of the answer is not known)"
    distance = (rows["timestamp"] - error.timestamp).abs()
    event = rows.loc[distance.idxmin() if distance.notna().any() else rows.index[0]]
    text = "" if pd.isna(event["value"]) else event["value"]
    hits = {text[start:end] for start, end in found.spans(event.name, text)}
    pattern = re.compile("|".join(map(re.escape, sorted(hits, key=len, reverse=True))) or "(?!)")
    text = excerpt(text, pattern, _WIDTH)
    text += "" if pd.isna(event["unit"]) else f" {event['unit']}"
    spans = [(*hit.span(), "evidence") for hit in pattern.finditer(text)]
    return f"{escape(title_of(event))}\n{marked(text, spans)}".strip()


def _block(number: int, error: Any, rows: Mapping[str, str]) -> str:
    place = "" if pd.isna(error.prompt) else f" (the place of the answer is {error.prompt})"
    title = f"{number}. {error.system}: {error.outcome}{place}"
    cells = "".join(
        f'<tr><th style="{_CELL}">{name}</th><td style="{_CELL}">{content}</td></tr>'
        for name, content in rows.items()
    )
    return f"<p><b>{escape(title)}</b></p><table>{cells}</table>"
