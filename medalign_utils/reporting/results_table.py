"""Tables for readers: readable headings, rounded numbers, intervals in brackets."""

import html
import re
from collections.abc import Iterable, Sequence
from numbers import Integral
from pathlib import Path

import numpy as np
import pandas as pd
from IPython.display import HTML, display
from pandas.api.types import is_numeric_dtype

from medalign_utils.metrics.base import metric_labels
from medalign_utils.paths import read_csv
from medalign_utils.run import say
from medalign_utils.stats.rounding import rounded

# Column -> heading; `heading` turns other names into words.
COLUMNS = {
    "25%": "Lower quartile",
    "50%": "Median",
    "75%": "Upper quartile",
    "adjusted_gap": "Adjusted gap",
    "best": "Best group",
    "changed": "Answers changed",
    "changed_beyond": "Changed beyond the rewritten words",
    "context_cost": "Cost of the context",
    "context_tokens": "Context (tokens)",
    "dollars_per_correct": "Dollars per correct response",
    "ehr_tokens_kept": "Record tokens in the prompts",
    "ehr_tokens_total": "Record tokens in all",
    "flipped": "Verdicts changed",
    "gained": "Wrong, then correct",
    "gpu_seconds": "GPU-seconds",
    "in_prompt": "Answer in the prompt",
    "input_tokens": "Tokens read",
    "k": "k",
    "kendall_tau_b": "Kendall's tau-b",
    "lost": "Correct, then wrong",
    "max": "Largest",
    "mcnemar_p": "p (McNemar)",
    "mcnemar_p_holm": "p (McNemar, Holm)",
    "mean_tau": "Mean tau",
    "mean_tau_published": "Mean tau (paper\N{DAGGER})",
    "mean_tau_undefined_as_0": "Mean tau, undefined as 0",
    "mean_tau_a": "Mean tau of A",
    "mean_tau_b": "Mean tau of B",
    "metric_a": "Metric A",
    "metric_b": "Metric B",
    "min": "Smallest",
    "n": "n",
    "n_absent": "Without an answer",
    "n_abstained": "Abstentions",
    "n_both": "Both",
    "n_instructions": "Instructions",
    "n_left_out": "Left out",
    "n_pairs": "Pairs of responses",
    "n_patients": "Patients",
    "n_prompts": "Prompts",
    "n_published": "n (paper)",
    "n_raters": "Raters",
    "n_responses": "Responses",
    "n_same_best": "n (same best system)",
    "n_systems": "Systems",
    "n_undefined": "Undefined",
    "net": "Net change",
    "not_documented": "Errors: not documented",
    "not_in_prompt": "Answer not in the prompt",
    "not_scored": "Not scored because",
    "not_shown": "Errors: not shown",
    "not_used": "Errors: shown, not used",
    "on_front": "On the Pareto front",
    "only_opponent": "Only the opponent correct",
    "only_system": "Only the system correct",
    "other_patient": "Of another patient",
    "output_tokens": "Tokens written",
    "p": "p",
    "p_holm": "p (Holm)",
    "p_least": "Smallest possible p",
    "pool": "Records",
    "random": "By chance",
    "run_values": "Values of this run",
    "relevant": "Clinically relevant",
    "reworded": "Reworded duplicates",
    "reworded_recall": "Recall of reworded duplicates",
    "rouge_l": "ROUGE-L",
    "same_best": "Same best response",
    "same_best_chance": "Same best response, by chance",
    "same_best_system_resampled": "Same best system, resampled",
    "share_undefined": "Share undefined",
    "sign_flip_p": "p (sign flip)",
    "sign_flip_p_holm": "p (sign flip, Holm)",
    "sign_flip_p_least": "Smallest possible p (sign flip)",
    "std": "Standard deviation",
    "suppressed": "Not shown because",
    "tokens_per_response": "Tokens read per response",
    "where": "Answer in",
    "within": "Within the interval",
    "win_rate_ties_half": "Win rate, ties as half",
    "worst": "Worst group",
}
# Columns of names, which are shown as in figures and headings.
_OF_NAMES = frozenset(
    "coefficient measure metric metric_a metric_b per_patient per_response rating setting".split()
)


def read_table(file: Path) -> pd.DataFrame:
    """Return a table that a notebook saved, with nullable dtypes; empty cells are missing."""
    options = {"na_values": [""], "keep_default_na": False, "dtype_backend": "numpy_nullable"}
    return read_csv(file, float_precision="round_trip", **options)


def heading(name: str) -> str:
    """Return a column's heading.

    >>> heading("p_holm"), heading("finish_reason"), heading("bm25-2k")
    ('p (Holm)', 'Finish reason', 'bm25-2k')
    """
    if name not in COLUMNS and name.endswith("_published"):
        return f"{heading(name.removesuffix('_published'))} (paper)"
    words = name.replace("_", " ")
    is_name = re.fullmatch("[a-z ]+", words)  # and not a value, such as a system
    return COLUMNS.get(name, words[:1].upper() + words[1:] if is_name else words)


def _heading_beside(name: str, shown: pd.DataFrame) -> str:
    """Return a column's heading in a table that may have the paper's values beside the run's."""
    text = heading(name)
    return f"{text} (this run)" if f"{name}_published" in shown else text


def formatted(frame: pd.DataFrame, missing: str = "–") -> pd.DataFrame:
    """Return a table as text, with `x`, `x_low` and `x_high` merged into one column `x`.

    Merged columns have two decimals, or none if they reach 100. Other columns have three; whole
    numbers and numbers from 100 have none. A missing `context_tokens` is shown as "full record".

    >>> frame = pd.DataFrame({"system": ["a"], "correct": [0.5], "correct_low": [0.4],
    ...     "correct_high": [0.625], "tokens": [1234.5], "p": [1e-9]})
    >>> formatted(frame).loc[0].tolist()
    ['a', '0.50 (0.40 to 0.63)', '1,235', '<0.001']
    """
    shown = {}
    for name in map(str, frame):
        base = _base(name)
        low, high = f"{base}_low", f"{base}_high"
        if base in shown:
            continue
        absent = "full record" if name == "context_tokens" else missing
        if low not in frame or high not in frame:
            shown[name] = _cells(frame[name], absent, _printed_decimals(name, frame[name]))
            if name in _OF_NAMES:
                shown[name] = [metric_labels().get(text) or heading(text) for text in shown[name]]
            continue
        parts = [frame[column] for column in (low, high, base) if column in frame]
        decimals = 0 if _are_counts(pd.concat(parts)) or (parts[1] >= 100).any() else 2
        bounds = zip(
            _cells(frame[low], "", decimals), _cells(frame[high], "", decimals), strict=True
        )
        ranges = [f"{least} to {most}" if least and most else "" for least, most in bounds]
        if base not in frame:
            shown[base] = [text or missing for text in ranges]
            continue
        values = _cells(frame[base], missing, decimals)
        pairs = zip(values, ranges, strict=True)
        shown[base] = [f"{value} ({text})" if text else value for value, text in pairs]
    return pd.DataFrame(shown, index=frame.index)


def to_html(frame: pd.DataFrame, columns: Sequence[str] | None = None) -> str:
    """Return a `formatted` table as HTML, without empty columns; see `show`."""
    kept = frame.dropna(axis=1, how="all") if len(frame) else frame
    shown = formatted(kept)
    if columns is not None:
        shown = shown[[name for name in columns if name in shown]]
    is_number = [name not in kept or is_numeric_dtype(kept[name]) for name in shown]
    sides = [f"text-align: {'right' if number else 'left'}" for number in is_number]
    # Names such as bm25-full would wrap at their hyphens.
    is_short = len(sides) and max(map(len, shown.iloc[:, 0]), default=0) <= 40
    is_whole = [number or (is_short and i == 0) for i, number in enumerate(is_number)]
    wholes = [
        f"{side}; white-space: nowrap" if whole else side
        for side, whole in zip(sides, is_whole, strict=True)
    ]

    def row(tag: str, texts: Iterable[str], styles: Sequence[str]) -> str:
        cells = "".join(
            f'<{tag} style="{style}">{html.escape(text)}</{tag}>'
            for style, text in zip(styles, texts, strict=True)
        )
        return f"<tr>{cells}</tr>"

    body = "\n".join(row("td", texts, wholes) for texts in shown.to_numpy())
    head = row("th", (_heading_beside(name, shown) for name in shown), sides)
    return f'<table class="dataframe">\n<thead>{head}</thead>\n<tbody>\n{body}\n</tbody>\n</table>'


def show(frame: pd.DataFrame, columns: Sequence[str] | None = None, *, empty: str = "") -> None:
    """Display a table in a notebook as in the report; see `formatted`.

    `columns` are the columns to show, in order; a value is shown with its interval. A table without
    rows is replaced by the sentence `empty`, if there is one.
    """
    if empty and frame.empty:
        say(empty)
        return
    if unknown := sorted({*(columns or ())} - {*frame, *map(_base, frame)}):
        raise KeyError(f"no column {', '.join(unknown)}; the table has {', '.join(frame)}")
    display(HTML(to_html(frame, columns)))


def not_scored(skipped: pd.DataFrame) -> str:
    """Return one line that names the metrics without scores, and why.

    >>> reasons = ["no weights configured (params: weights.bleurt)"] * 2
    >>> not_scored(pd.DataFrame({"metric": ["bleurt", "lens"], "reason": reasons}))
    'Not scored: BLEURT, LENS (no weights configured).'
    >>> not_scored(pd.DataFrame({"metric": [], "reason": []}))
    'Every metric has scores.'
    """
    if skipped.empty:
        return "Every metric has scores."
    reasons = skipped["reason"].str.replace(r" \(params.*", "", regex=True)
    metrics = skipped["metric"].replace(metric_labels())
    groups = [
        f"{', '.join(names.unique())} ({reason})"
        for reason, names in metrics.groupby(reasons, sort=False)
    ]
    return f"Not scored: {'; '.join(groups)}."


def without_not_scored(frame: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Return the table without metrics that have no scores, and a line that names them, or ""."""
    if "not_scored" not in frame:
        return frame, ""
    is_scored = frame["not_scored"].astype("str").fillna("").eq("")  # Int64 if none has a reason
    skipped = frame[~is_scored].rename(columns={"not_scored": "reason"})
    return frame[is_scored].drop(columns="not_scored"), not_scored(skipped) * bool(len(skipped))


def markdown_table(frame: pd.DataFrame, columns: Sequence[str]) -> str:
    """Return some columns of a table in Markdown, with missing values empty."""
    shown = formatted(frame, missing="")[list(columns)].rename(columns=heading)
    # A cell may neither end its column nor its line.
    shown = shown.map(_in_markdown).rename(columns=_in_markdown)
    sides = ("left", *["right"] * (len(columns) - 1))
    text = shown.to_markdown(index=False, colalign=sides, disable_numparse=True)
    return re.sub("  +", " ", re.sub("---+", "---", text))  # without the padding


def _in_markdown(cell: str) -> str:
    return " ".join(cell.replace("|", r"\|").splitlines())


def _base(name: object) -> str:
    """Return the name of the value that a bound belongs to."""
    return re.sub("_(low|high)$", "", str(name))


def _printed_decimals(name: str, column: pd.Series) -> int | None:
    """Return 2 for published values that have no third decimal, because they were not rounded."""
    numbers = _floats(column)
    has_two = name.endswith("_published") and all(round(x, 2) == x for x in numbers)
    return 2 if has_two and not _are_counts(column) else None


def _cells(column: pd.Series, missing: str, decimals: int | None = None) -> list[str]:
    """Return a column's values as text, with three decimals unless they are counts."""
    is_p = "p" in str(column.name).split("_")
    numbers = _floats(column)
    has_counts = max(map(abs, numbers), default=0) >= 100
    if decimals is None:
        decimals = 0 if _are_counts(column) else 3
    return [
        missing
        if pd.isna(value)
        else _cell(value, 0 if has_counts and value == round(value) else decimals, is_p)
        for value in column
    ]


def _floats(column: pd.Series) -> list[float]:
    return [value for value in column if isinstance(value, float) and pd.notna(value)]


def _are_counts(column: pd.Series) -> bool:
    """Whether floats are counts, some of which are missing; 0.0 and 1.0 alone may be shares."""
    numbers = _floats(column)
    return all(map(float.is_integer, numbers)) and max(map(abs, numbers), default=0) > 1


def _cell(value: object, decimals: int, is_p: bool) -> str:
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, float):
        if is_p and value < 0.001:
            return "<0.001"
        decimals = 0 if abs(value) >= 100 else decimals
        return f"{rounded(value, decimals):z,.{decimals}f}"
    return f"{value:,}" if isinstance(value, Integral) else str(value)
