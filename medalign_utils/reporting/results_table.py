"""Tables for readers: numbers rounded, intervals in brackets; tables and figures of the pages.

`python -m medalign_utils.reporting.results_table` copies the demo's figures and tables to
`figures/`, and writes the tables into README.md and docs/results.md, each between its two comments
(`<!-- 05_evaluate_systems -->` and `<!-- /05_evaluate_systems -->`).
"""

import re
import shutil
from numbers import Integral
from pathlib import Path

import pandas as pd
from IPython.display import HTML, display

from medalign_utils.paths import figure, project_root, require, table

PAGES = ("README.md", "docs/results.md")
# The columns of the pages' tables, and their headings.
TABLES = {
    "05_evaluate_systems": {
        "system": "System",
        "context_tokens": "Context (tokens)",
        "n": "n",
        "correct": "Correct",
        "win_rate": "Win rate",
        "mean_rank": "Mean rank",
    },
    "05_evaluate_systems-contexts": {
        "system": "System",
        "context_tokens": "Context (tokens)",
        "correct": "Correct",
        "difference": "Paired difference to the full record",
    },
    "06_correlate_metrics": {
        "metric": "Metric",
        "n": "n",
        "n_undefined": "Undefined",
        "mean_tau": "Mean tau",
        "mean_tau_undefined_as_0": "Mean tau, undefined as 0",
        "not_scored": "Not scored, since",
    },
}


def read_table(file: Path) -> pd.DataFrame:
    """Return a table that a notebook has saved; its dtypes are nullable, empty cells missing."""
    options = {"na_values": [""], "keep_default_na": False, "dtype_backend": "numpy_nullable"}
    return pd.read_csv(file, float_precision="round_trip", **options)


def formatted(frame: pd.DataFrame, missing: str = "–") -> pd.DataFrame:
    """Return a table as text: three decimals, and `x` with its interval `x_low` to `x_high`.

    A missing `context_tokens` is the full record.

    >>> frame = pd.DataFrame({"system": ["a"], "correct": [0.5], "correct_low": [0.4],
    ...     "correct_high": [0.625], "p": [1e-9]})
    >>> formatted(frame).loc[0].tolist()
    ['a', '0.500 (0.400 to 0.625)', '<0.001']
    """
    shown = {}
    for name, column in frame.items():
        base = re.sub("_(low|high)$", "", str(name))
        if base != name and base in frame:
            continue
        absent = "full record" if name == "context_tokens" else missing
        is_p = "p" in str(name).split("_")
        cells = [_cell(value, absent, is_p=is_p) for value in column]
        if f"{name}_low" in frame and f"{name}_high" in frame:
            bounds = frame[[name, f"{name}_low", f"{name}_high"]]
            for i, (value, low, high) in enumerate(bounds.itertuples(index=False)):
                if pd.notna([value, low, high]).all():
                    cells[i] += f" ({_cell(low, '')} to {_cell(high, '')})"
        shown[name] = cells
    return pd.DataFrame(shown, index=frame.index)


def to_html(frame: pd.DataFrame) -> str:
    """Return a table as HTML, formatted, without the columns that are empty."""
    kept = frame.dropna(axis=1, how="all") if len(frame) else frame
    shown = formatted(kept).rename(columns=lambda name: str(name).replace("_", " "))
    return shown.to_html(index=False, border=0)


def show(frame: pd.DataFrame) -> None:
    """Display a table in a notebook as the report shows it; see `formatted`."""
    display(HTML(to_html(frame)))


def markdown_table(frame: pd.DataFrame, headings: dict[str, str]) -> str:
    """Return the columns named by `headings` as a Markdown table; missing values are empty."""
    shown = formatted(frame, missing="")[list(headings)].rename(columns=headings)
    sides = ("left", *["right"] * (len(headings) - 1))
    return shown.to_markdown(index=False, colalign=sides, disable_numparse=True)


def with_tables(page: str, figures: Path) -> str:
    """Return a page with the tables of `figures/` between their pairs of comments."""
    for name, headings in TABLES.items():
        content = markdown_table(read_table(figures / f"{name}.csv"), headings)
        pattern = f"(<!-- {name} -->\n).*?(\n<!-- /{name} -->)"
        page = re.sub(pattern, lambda m, text=content: m[1] + text + m[2], page, flags=re.DOTALL)
    return page


def publish(experiment: str = "demo") -> None:
    """Copy an experiment's figures and tables to `figures/` and write the tables into the pages."""
    root = project_root()
    tables = [table(experiment, name) for name in TABLES]
    require(experiment, *tables)
    figures = root / "figures"
    figures.mkdir(exist_ok=True)
    for file in [*tables, *sorted(figure(experiment, "").parent.glob("*.png"))]:
        shutil.copyfile(file, figures / file.name)
    for page in (root / name for name in PAGES):
        page.write_text(with_tables(page.read_text("utf-8"), figures), encoding="utf-8")


def _cell(value: object, missing: str, *, is_p: bool = False) -> str:
    if pd.isna(value):
        return missing
    if isinstance(value, float):
        return "<0.001" if is_p and value < 0.001 else f"{value:.3f}"
    is_count = isinstance(value, Integral) and not isinstance(value, bool)
    return f"{value:,}" if is_count else str(value)


if __name__ == "__main__":
    publish()
