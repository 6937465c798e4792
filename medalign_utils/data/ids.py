"""Find ids that a spreadsheet or a program has respelled."""

import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from medalign_utils.data.tables import Problem, Table
from medalign_utils.errors import shown_id

_ANNOTATOR = re.compile(r"(?:annotator)?[\s_#-]*0*(\d+)(?:\.0*)?", re.IGNORECASE)
_COLUMNS = ("instruction_id", "person_id")
# Around an id; an equals sign is part of ="0501", which spreadsheets read as text.
_AROUND = " =\"'`´‘’“”′\N{NO-BREAK SPACE}"


def ids_in_two_spellings(tables: Sequence[Table]) -> list[Problem]:
    """Return a problem for each id that is also spelled otherwise in an earlier row.

    Spellings are those that differ only by leading zeros, by quotation marks around the id, by
    invisible characters, or by the width or script of digits.
    """
    problems = []
    for column in _COLUMNS:
        first: dict[str, tuple[str, Path, int]] = {}
        seen: set[str] = set()
        for table in tables:
            named = table.frame[column] if column in table.frame else []
            for row, name in named.dropna().items() if len(named) else ():
                if name in seen:
                    continue
                seen.add(name)
                other, file, where = first.setdefault(bare(name), (name, table.file, row))
                if other != name:
                    fault = (
                        f"{column} {shown_id(name)!r} and {shown_id(other)!r} in {file.name}, row "
                        f"{where}, differ only "
                        "by leading zeros, quotation marks or invisible characters; spell each id "
                        "in one way, as text"
                    )
                    problems.append(Problem(table.file, f"row {row}", fault))
    return problems


def systems_in_two_spellings(table: Table) -> list[Problem]:
    """Return a problem for each system that an earlier row spells otherwise.

    Spellings are those that differ only by case, or by blanks, hyphens and the like.
    """
    problems: list[Problem] = []
    first: dict[str, tuple[str, int]] = {}
    for row, name in table.frame["system"].drop_duplicates().items():
        key = re.sub(r"[\W_]+", "-", unicodedata.normalize("NFKC", name).casefold())
        other, where = first.setdefault(key, (name, row))
        if other != name:
            fault = f"system {name!r} is {other!r} in row {where}; spell each system in one way"
            problems.append(Problem(table.file, f"row {row}", fault))
    return problems


def bare(name: str) -> str:
    r"""Return an id without what programs add or drop, with digits of any script as ASCII.

    >>> bare("0501"), bare("'501"), bare("501\ufeff"), bare("000"), bare("\u0665\u0660\u0661")
    ('501', '501', '501', '0', '501')
    """
    text = unicodedata.normalize("NFKC", name)
    text = "".join(c for c in text if unicodedata.category(c) not in ("Cf", "Cc"))
    text = "".join(str(unicodedata.decimal(c)) if c.isdecimal() else c for c in text)
    return text.strip(_AROUND).lstrip("0") or "0"


def annotator_name(name: str) -> str:
    """Return an annotator's name, in the release's spelling if it is a number.

    >>> annotator_name("1"), annotator_name("annotator 2.0"), annotator_name("Dr. Who")
    ('Annotator_1', 'Annotator_2', 'Dr. Who')
    """
    match = _ANNOTATOR.fullmatch(name.strip())
    return f"Annotator_{match[1]}" if match else name
