"""Tables for papers, in LaTeX with the rules of `booktabs`."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from pandas.api.types import is_numeric_dtype

from medalign_utils import paths
from medalign_utils.data.disclosure import unknown_text
from medalign_utils.errors import MedAlignError
from medalign_utils.outputs import OUTPUTS, stem
from medalign_utils.reporting.results_table import formatted, heading
from medalign_utils.reporting.run_record import read_tables

# Rows that fit on a page; a longer table has several parts. All shrink to the width of the page.
_LONG = 40
# Characters that LaTeX's text fonts lack.
_SYMBOLS = {
    **{"<": "$<$", ">": "$>$", "≤": r"$\leq$", "≥": r"$\geq$", "\N{MINUS SIGN}": "$-$"},
    **{"±": r"$\pm$", "×": r"$\times$", "†": r"\textdagger{}", "…": r"\ldots{}"},
}
_PACKAGES = r"% \usepackage{booktabs, adjustbox}"


def to_latex(
    frame: pd.DataFrame,
    caption: str = "",
    label: str = "",
    columns: Sequence[str] | None = None,
) -> str:
    r"""Return a table in LaTeX, rounded and with headings as in reports; see `formatted`.

    `columns` are the columns to show, in order; by default all that have a value. The first line
    names the packages that the table needs.

    Raises:
        MedAlignError: the table has no such column.

    >>> frame = pd.DataFrame({"system": ["a_b"], "p_holm": [0.0002]})
    >>> print(to_latex(frame))  # doctest: +ELLIPSIS
    % \usepackage{booktabs, adjustbox}
    ...
    \toprule
    System & p (Holm) \\
    \midrule
    a\_b & $<$0.001 \\
    \bottomrule
    ...
    """
    kept = frame.dropna(axis=1, how="all") if len(frame) else frame
    shown = formatted(kept)
    if unknown := sorted({*(columns or ())} - {*formatted(frame[:0])}):
        raise MedAlignError(f"no column {', '.join(unknown)}; the table has {', '.join(shown)}")
    if columns is not None:
        shown = shown[[name for name in columns if name in shown]]
    is_text = [name in kept and not is_numeric_dtype(kept[name]) for name in shown]
    n_parts = -(-len(shown) // _LONG) or 1
    box = "\\centering\n\\begin{adjustbox}{max width=\\linewidth}\n\\begin{tabular}"
    parts = [_PACKAGES]
    for i in range(n_parts):
        counted = f" (part {i + 1} of {n_parts})" if n_parts > 1 else ""
        text = (
            shown[i * _LONG : (i + 1) * _LONG]
            .rename(columns=heading)
            .to_latex(
                index=False,
                escape=True,
                column_format="".join("l" if text else "r" for text in is_text),
                caption=_escaped(caption + counted) or None,
                label=label if label and not i else None,
                position="htbp",
            )
        )
        for character, command in _SYMBOLS.items():
            text = text.replace(character, command)
        text = text.replace(r"\begin{tabular}", box)
        parts.append(text.replace(r"\end{tabular}", "\\end{tabular}\n\\end{adjustbox}"))
    return "\n".join(parts)


def write_latex(run: Mapping[str, Any]) -> list[Path]:
    """Write the run's tables as LaTeX, each beside its CSV, and return the files.

    `run` is as in `run_record.describe_run`. Columns of free text are left out if the release is
    restricted.
    """
    tables, files = read_tables(run["experiment"]), []
    for notebook, outputs in OUTPUTS.items():
        for suffix, caption in outputs.tables.items():
            name = stem(notebook, suffix)
            if name not in tables:
                continue
            table = tables[name].drop(columns=["signature", "limited_to"], errors="ignore")
            if run["is_restricted"]:
                table = table.drop(columns=unknown_text(table))
            limit = f" Limited to {run['limited_to']}." if run["limited_to"] else ""
            release = run["release"][0].upper() + run["release"][1:]
            text = to_latex(table, f"{caption}{limit} {release}.", f"tab:{name}")
            file = paths.table(run["experiment"], name).with_suffix(".tex")
            files.append(paths.write_text(text, file, private=run["is_restricted"]))
    return files


def _escaped(text: str) -> str:
    return re.sub(r"([&%$#_{}])", r"\\\1", text)
