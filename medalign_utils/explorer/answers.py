"""Writes an instruction, its references and the systems' responses as HTML."""

from collections.abc import Mapping
from html import escape
from typing import Any

import pandas as pd

from medalign_utils.curation.evidence import Evidence
from medalign_utils.explorer.html import IN_VIEW
from medalign_utils.explorer.markdown import Passage, to_html
from medalign_utils.grading import grade

UNANSWERED = "<p>No system has answered this instruction.</p>"
_LABELS = {"found": "✓ found", "contradicted": "✗ contradicted"}
_SIGNS = {"correct": "✓ correct", "incorrect": "✗ incorrect"}


def with_verdicts(responses: pd.DataFrame, ratings: pd.DataFrame) -> pd.DataFrame:
    """Return responses with a column `verdict`, such as "✓ correct (clinician 1)"."""
    key = ["instruction_id", "system"]
    words = ratings["correct"].map({True: _SIGNS["correct"], False: _SIGNS["incorrect"]})
    words = words + " (" + ratings["rater"].astype("str") + ")"
    verdicts = words.groupby([ratings[name] for name in key]).agg(", ".join).rename("verdict")
    merged = responses.merge(verdicts.reset_index(), on=key, how="left")
    return merged.assign(verdict=merged["verdict"].fillna("not rated"))


def instruction_html(instruction: pd.Series, references: pd.DataFrame, found: Evidence) -> str:
    """Return an instruction as HTML: question, references with their evidence, and where it is."""
    labels = [instruction[c] for c in ("category", "subcategory", "submitter_specialty")]
    about = " · ".join(escape(label) for label in labels if pd.notna(label))
    html = [f'<h3 class="ma-question">{escape(instruction["question"])}</h3><small>{about}</small>']
    searched = references["evidence"].first_valid_index()
    for row in references.itertuples():
        html.append(f"<p><b>Reference</b> ({escape(row.annotator)}): {_lines(row.reference)}</p>")
        evidence = "none given." if pd.isna(row.evidence) else _lines(row.evidence)
        html.append(f"<p><b>Evidence</b>: {evidence}</p>")
        if row.Index == searched:
            html.append(f"<small>{'<br>'.join(map(escape, found.messages))}</small>")
    if references.empty:
        html.append("<p>No reference: no clinician has answered this instruction.</p>")
    return "".join(html)


def responses_html(responses: pd.DataFrame, question: str, key: Mapping | None = None) -> str:
    """Return the systems' responses as HTML, their Markdown rendered.

    If `key`, the instruction's line of the answer key, is given, the passages that decided its
    verdict are marked.
    """
    if responses.empty:
        return UNANSWERED
    articles = []
    for row in responses.itertuples():
        kind = "ma-incorrect" if "incorrect" in row.verdict else "ma-correct"
        kind = "" if row.verdict == "not rated" else kind
        verdict = f'<span class="ma-verdict {kind}">{escape(row.verdict)}</span>'
        text = row.response if isinstance(row.response, str) else ""
        body = to_html(text, _deciding(text, question, key)).replace("<mark", f"{IN_VIEW}<mark", 1)
        body = body if text.strip() else _why_empty(row)
        articles.append(
            f'<article class="ma-response"><h4>{escape(row.system)} {verdict}</h4>'
            f'<div class="ma-body" tabindex="0">{body}</div></article>'
        )
    return "".join(articles)


def _deciding(response: str, question: str, key: Mapping | None) -> list[Passage]:
    if key is None:
        return []
    return [
        Passage(piece.start, piece.end, _LABELS[piece.verdict], f"ma-{piece.verdict}")
        for piece in grade(response, key["facts"], question).evidence
    ]


def _why_empty(row: Any) -> str:
    failure = getattr(row, "failure", "")  # a release's own responses have none
    return f"(no response: {escape(failure)})" if pd.notna(failure) and failure else "(empty)"


def _lines(text: str) -> str:
    return escape(text).replace("\n", "<br>")
