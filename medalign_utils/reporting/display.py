"""Tables as people read them: intervals in one cell, rounded here and nowhere before.

A table that holds a person's, a rater's or an instruction's row is refused: aggregates are shown.
"""

import math
from collections.abc import Sequence
from numbers import Integral
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from medalign_utils.data.disclosure import is_personal
from medalign_utils.errors import MedAlignError

HEADINGS = {
    "context_tokens": "Context (tokens)",
    "k": "k",
    "mcnemar_p": "McNemar p",
    "mcnemar_p_holm": "McNemar p (Holm)",
    "n": "n",
    "p": "p",
    "p_holm": "p (Holm)",
    "rouge_l": "ROUGE-L",
    "sign_flip_p": "Sign-flip p",
    "sign_flip_p_holm": "Sign-flip p (Holm)",
    "wilson": "Correct, Wilson",
}
MISSING = "–"
# Where a missing value says something.
MEANT = {"context_tokens": "full record"}
# Rounded to these many digits, an interval's width has two that count.
_MOST_DIGITS = 4


class Column(NamedTuple):
    """A column as it is shown: its heading, a line below that, and its cells."""

    heading: str
    below: str
    is_number: bool
    cells: list[str]


def read_aggregates(path: Path) -> pd.DataFrame:
    """Read a table of aggregates, as `paths.write_table` writes it.

    Returns:
        Columns of whole numbers as Int64, of other numbers as float64, of True and False as
        boolean, of anything else as text; an empty field is missing.

    Raises:
        MedAlignError: a column is one that only a table of single patients, instructions or
            responses has, by its name.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "a.csv")
    >>> pd.DataFrame({"system": ["a"], "n": [80], "tau": [1.0]}).to_csv(path, index=False)
    >>> [str(dtype) for dtype in read_aggregates(path).dtypes]
    ['str', 'Int64', 'float64']
    """
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    personal = [name for name in frame if is_personal(name)]
    if personal:
        raise MedAlignError(
            f"{path.name}: column {', '.join(personal)}: a report shows aggregates only, no row of "
            "a patient, an instruction or a response"
        )
    return frame.apply(_typed)


def columns_to_show(frame: pd.DataFrame) -> list[Column]:
    r"""A table's columns for display.

    ``x`` or ``mean_x`` and its ``x_low`` and ``x_high`` become one column, with as many digits as
    half the column's intervals need for two of their width's to show, from 2 to 4. Other fractions
    have 3 digits, p-values under 0.001 say so, whole numbers have commas, and what is missing is a
    dash.

    >>> frame = pd.DataFrame({"system": ["a"], "correct": [0.5], "correct_low": [0.4],
    ...     "correct_high": [0.625]})
    >>> [(column.heading, column.cells) for column in columns_to_show(frame)]
    [('System', ['a']), ('Correct', ['0.50 (0.40\xa0to\xa00.62)'])]
    """
    frame = frame.dropna(axis=1, how="all") if len(frame) else frame
    intervals = _intervals(list(frame))
    bounds = {bound for pair in intervals.values() for bound in pair}
    shown = []
    for name in frame:
        if name in intervals:
            low, high = intervals[name]
            estimate = None if name == low else frame[name]
            cells = _interval_cells(estimate, frame[low], frame[high])
            heading = name.removesuffix("_low") if name == low else name
            shown.append(Column(_heading(heading), "95 % interval", True, cells))
        elif name not in bounds:
            is_number = not pd.api.types.is_string_dtype(frame[name])
            is_number &= not pd.api.types.is_bool_dtype(frame[name])
            cells = [_cell(value, name) for value in _whole(frame[name])]
            shown.append(Column(_heading(name), "", is_number, cells))
    return shown


def _whole(column: pd.Series) -> pd.Series:
    """Counts that a gap or another row's fraction has made fractions, as counts again."""
    if not pd.api.types.is_float_dtype(column) or not (column.abs() > 1).any():
        return column
    return column.astype("Int64") if (column.dropna() % 1 == 0).all() else column


def _typed(column: pd.Series) -> pd.Series:
    """A column of text as what its fields say, numbers in their spelling's type."""
    given = column[column != ""]
    if given.empty or not given.str.fullmatch(r"[-+]?(\d.*|\.\d+|inf|nan)|True|False").all():
        return column.replace("", None).astype("str")
    if given.isin(["True", "False"]).all():
        return column.map({"True": True, "False": False}).astype("boolean")
    if given.str.fullmatch(r"[-+]?\d+").all():
        return pd.to_numeric(column.replace("", None)).astype("Int64")
    numbers = pd.to_numeric(given, errors="coerce")
    if (numbers.isna() & (given != "nan")).any():
        return column.replace("", None).astype("str")
    return numbers.reindex(column.index).astype("float64")


def _intervals(names: Sequence[str]) -> dict[str, tuple[str, str]]:
    """The column in whose place an interval is shown -> the columns of its bounds.

    >>> _intervals(["mean_tau", "mean_tau_low", "mean_tau_high", "wilson_low", "wilson_high"])
    {'mean_tau': ('mean_tau_low', 'mean_tau_high'), 'wilson_low': ('wilson_low', 'wilson_high')}
    >>> _intervals(["adjusted_gap", "adjusted_gap_low", "adjusted_gap_high"])
    {'adjusted_gap': ('adjusted_gap_low', 'adjusted_gap_high')}
    """
    found = {}
    for low in names:
        base = low.removesuffix("_low")
        high = f"{base}_high"
        if low != base and high in names:
            usual = [name for name in (base, f"mean_{base}") if name in names]
            others = [name for name in names if name.startswith(f"{base}_")]
            found[next(each for each in [*usual, *others] if each != high)] = (low, high)
    return found


def _interval_cells(estimate: pd.Series | None, low: pd.Series, high: pd.Series) -> list[str]:
    digits = _digits(high - low)
    cells = []
    for i in range(len(low)):
        # Spaces that do not break: a narrow cell breaks before the bracket.
        bounds = f"{_number(low.iloc[i], digits)}\u00a0to\u00a0{_number(high.iloc[i], digits)}"
        no_bounds = pd.isna(low.iloc[i]) or pd.isna(high.iloc[i])
        if estimate is None:
            cells.append(MISSING if no_bounds else bounds)
        elif pd.isna(estimate.iloc[i]):
            cells.append(MISSING)
        else:
            inside = MISSING if no_bounds else bounds
            cells.append(f"{_number(estimate.iloc[i], digits)} ({inside})")
    return cells


def _digits(widths: pd.Series) -> int:
    """Digits after the point that show two of the median width's, at least 2."""
    width = widths[widths > 0].median()
    if pd.isna(width):
        return 2
    return min(max(1 - math.floor(math.log10(width)), 2), _MOST_DIGITS)


def _cell(value: object, name: str) -> str:
    if pd.isna(value):
        return MEANT.get(name, MISSING)
    if isinstance(value, str):
        return value
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, Integral):
        return _number(value, 0)
    is_p = "p" in name.split("_")
    return "<\u00a00.001" if is_p and value < 0.001 else _number(value, 3)


def _number(value: float, digits: int) -> str:
    """A number with a real minus sign, and none before a zero.

    >>> _number(-0.25, 1), _number(-0.001, 2), _number(float("nan"), 2)
    ('−0.2', '0.00', '–')
    """
    if pd.isna(value):
        return MISSING
    return f"{value:z,.{digits}f}".replace("-", "−")


def _heading(name: str) -> str:
    words = name.removeprefix("n_").replace("_", " ")
    return HEADINGS.get(name, words[:1].upper() + words[1:])
