"""Publish the demo's figures and tables: `python -m medalign_utils.reporting.publish`.

Copies `runs/demo/figures/*.png` and the tables named in `TABLES` to `figures/`, and writes the
tables into README.md, each between its two comments (`<!-- 05_evaluate_systems -->` and
`<!-- /05_evaluate_systems -->`).
"""

import re
import shutil
from pathlib import Path

import pandas as pd

from medalign_utils.errors import MedAlignError
from medalign_utils.paths import COMET_COMPACT, project_root, require, table

# The columns of README's tables and their headings; `x` stands for x with its interval, where the
# table has one.
TABLES = {
    "05_evaluate_systems": {
        "system": "System",
        "context_tokens": "Context (tokens)",
        "n": "n",
        "correct": "Correct (95 % interval)",
        "win_rate": "Win rate",
        "mean_rank": "Mean rank",
    },
    "05_evaluate_systems-contexts": {
        "system": "System",
        "context_tokens": "Context (tokens)",
        "correct": "Correct (95 % interval)",
        "difference": "Paired difference to the full record (95 % interval)",
    },
    "06_correlate_metrics": {
        "metric": "Metric",
        "n": "n",
        "n_undefined": "Undefined",
        "mean_tau": "Mean tau (95 % interval)",
        "mean_tau_undefined_as_0": "Mean tau, undefined as 0",
        "not_scored": "Not scored, since",
    },
    "comet_compact-held_out": {
        "metric": "Held out",
        "n": "n",
        "n_undefined": "Undefined",
        "mean_tau": "Mean tau (95 % interval)",
    },
}


def markdown_table(frame: pd.DataFrame, headings: dict[str, str]) -> str:
    """The columns named by `headings` as a Markdown table, shares and taus to three decimals.

    A column `x` or `mean_x` is shown with its interval where `x_low` and `x_high` exist. What is
    missing is left empty, save that a system without `context_tokens` sees the full record.

    >>> frame = pd.DataFrame({"system": ["a"], "correct": [0.5], "correct_low": [0.4],
    ...     "correct_high": [0.625]})
    >>> print(markdown_table(frame, {"system": "System", "correct": "Correct"}))
    | System | Correct |
    |---|---:|
    | a | 0.500 (0.400 to 0.625) |
    """
    lines = [
        "| " + " | ".join(headings.values()) + " |",
        "|---" + "|---:" * (len(headings) - 1) + "|",
    ]
    for row in frame.to_dict("records"):
        lines.append("| " + " | ".join(_cell(row, column) for column in headings) + " |")
    return "\n".join(lines)


def fill(readme: str, name: str, content: str) -> str:
    r"""Replace what stands between a table's two comments.

    Raises: MedAlignError where the comments are not there.

    >>> fill("<!-- a -->\nold\n<!-- /a -->", "a", "new")
    '<!-- a -->\nnew\n<!-- /a -->'
    """
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    filled, n = re.subn(
        f"{re.escape(begin)}.*?{re.escape(end)}",
        lambda _: f"{begin}\n{content}\n{end}",
        readme,
        flags=re.DOTALL,
    )
    if n != 1:
        raise MedAlignError(f"README.md: {n} places between {begin} and {end}, expected 1")
    return filled


def readme_with_tables(readme: str, figures: Path) -> str:
    """README's text with the tables of `figures/` in their places."""
    for name, headings in TABLES.items():
        frame = pd.read_csv(figures / f"{name}.csv", dtype={"context_tokens": "Int64"})
        readme = fill(readme, name, markdown_table(frame, headings))
    return readme


def publish(experiment: str = "demo") -> None:
    """Copy an experiment's figures and tables to `figures/` and refresh README.md.

    Raises: MedAlignError where the experiment has not been run.
    """
    root = project_root()
    sources = {name: table(experiment, name) for name in TABLES}
    sources["comet_compact-held_out"] = root / COMET_COMPACT / "held_out.csv"
    require(experiment, *sources.values())
    figures = root / "figures"
    figures.mkdir(exist_ok=True)
    for name, file in sources.items():
        shutil.copyfile(file, figures / f"{name}.csv")
    for file in sorted((root / f"runs/{experiment}/figures").glob("*.png")):
        shutil.copyfile(file, figures / file.name)
    readme = root / "README.md"
    readme.write_text(readme_with_tables(readme.read_text("utf-8"), figures), encoding="utf-8")


def _cell(row: dict, column: str) -> str:
    value = row[column]
    if pd.isna(value):
        return "full record" if column == "context_tokens" else ""
    if not isinstance(value, float):
        return f"{value:,}" if column == "context_tokens" else str(value)
    if f"{column}_low" in row:
        return f"{value:.3f} ({row[f'{column}_low']:.3f} to {row[f'{column}_high']:.3f})"
    return f"{value:.3f}"


if __name__ == "__main__":
    publish()
