"""Read and write rows of a table as JSON: a list of objects, or one object per line."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from medalign_utils.data.table_text import Rows, read_text
from medalign_utils.errors import ReleaseError


def read_json_rows(file: Path) -> Rows:
    """Return the rows of a file in UTF-8; numbers keep their spelling, true becomes "true".

    If each line is an object, a row's number is its line. A missing key and null give "".

    Raises:
        ReleaseError: as `read_text`; or the file is a list that is not JSON.
    """
    text = read_text(file)
    faults: list[tuple[str, str]] = []
    objects: dict[int, dict[str, str]] = {}
    is_list = text.lstrip().startswith("[")
    for number, item in _items(text, file) if is_list else _lines(text, faults):
        fault = _fault(item)
        if fault:
            faults.append((f"{'row' if is_list else 'line'} {number}", fault))
        else:
            objects[number] = {key: _text(value) for key, value in item.items()}
    header = list(dict.fromkeys(key for row in objects.values() for key in row))
    rows = {n: [row.get(key, "") for key in header] for n, row in objects.items()}
    return Rows(header, rows, faults)


def to_json(rows: Iterable[Mapping[str, Any]], *, lines: bool = False) -> str:
    """Return rows as the text of a JSON file: a list of objects, or with `lines` one per line.

    >>> print(to_json([{"a": "1"}, {"a": None}], lines=True), end="")
    {"a": "1"}
    {"a": null}
    """
    objects = [json.dumps(row, ensure_ascii=False) for row in rows]
    if lines:
        return "".join(f"{row}\n" for row in objects)
    return "[\n" + ",\n".join(objects) + "\n]\n" if objects else "[]\n"


def _items(text: str, file: Path) -> Iterable[tuple[int, Any]]:
    try:
        return enumerate(_decode(text), 1)
    except json.JSONDecodeError as error:
        raise ReleaseError(f"{file}, line {error.lineno}: not JSON ({error.msg})") from None
    except (ValueError, RecursionError) as error:
        raise ReleaseError(f"{file}: not a table in JSON ({error})") from None


def _lines(text: str, faults: list[tuple[str, str]]) -> Iterable[tuple[int, Any]]:
    # Not str.splitlines, which also splits at characters that a text may contain.
    for number, line in enumerate(text.split("\n"), 1):
        try:
            item = _decode(line) if line.strip() else None
        except (ValueError, RecursionError) as error:
            message = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
            expected = "; expected a list of objects, or one object per line"
            faults.append((f"line {number}", f"not JSON ({message}){expected}"))
            continue
        if line.strip():
            yield number, item


def _decode(text: str) -> Any:
    """Return the content of a JSON text; numbers stay text, so that long ids keep all digits."""
    return json.loads(
        text,
        parse_int=str,
        parse_float=str,
        parse_constant=lambda name: None if name == "NaN" else name,
        object_pairs_hook=_without_repeats,
    )


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) < len(pairs):
        names = [key for key, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"an object has {repeated!r} twice")
    return row


def _fault(item: Any) -> str:
    """Return what is wrong with a row, or ""."""
    if not isinstance(item, dict):
        return f"{_kind(item)}, expected an object"
    for key, value in item.items():
        if isinstance(value, list | dict):
            return f"{key} is {_kind(value)}, expected text or a number"
        try:
            f"{key}{value}".encode()
        except UnicodeEncodeError:
            return f"{key} has an escape that is half a character"
    return ""


def _kind(value: Any) -> str:
    kinds = {list: "a list", dict: "an object", str: "text or a number", bool: "true or false"}
    return kinds.get(type(value), "null")


def _text(value: str | bool | None) -> str:
    """Return a value as a field of a CSV file would have it."""
    return "" if value is None else str(value).lower() if isinstance(value, bool) else value
