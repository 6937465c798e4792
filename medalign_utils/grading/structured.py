"""Reads answers in JSON as prose: `{"drug": "aspirin", "stopped": true}` as two fields."""

import json
import re
from collections.abc import Mapping

from medalign_utils.grading.source import Source

_FENCED = re.compile(r"```(?:json|JSON)?[ ]*\n(?P<json>[\[{].*?[\]}])\s*```", re.DOTALL)
_WHOLE = re.compile(r"\s*(?P<json>[\[{].*[\]}])\s*", re.DOTALL)
_TOKEN = re.compile(
    r'"(?P<string>(?:[^"\\]|\\.)*)"(?P<colon>\s*:)?|(?P<mark>[\[\]{},])|(?P<bare>[^\s"\[\]{},:]+)'
)
_UNDERSCORE = re.compile("_")
_ANYTHING = re.compile(r".+", re.DOTALL)
_WORDS = {"true": "yes", "false": "no", "null": "none"}
_SHORT = 4  # words


def without_json(source: Source) -> Source:
    """Return the text with a JSON answer, alone or in a code fence, as fields: "key: value"."""
    match = _WHOLE.fullmatch(source.text)
    for found in [match] if match else reversed(list(_FENCED.finditer(source.text))):
        try:
            value = json.loads(found["json"])
        except (ValueError, RecursionError):
            continue
        begin, end = found.span("json")
        before, after = source.part(0, begin), source.part(end, len(source.text))
        source = before.join(_prose(source.part(begin, end), _is_short(value)), after)
    return source


def _is_short(value: object) -> bool:
    """Return whether all fields are short enough for one line."""
    return isinstance(value, Mapping) and not any(
        key.lower() == "answer"
        or isinstance(field, (list, dict))
        or len(str(field).split()) > _SHORT
        for key, field in value.items()
    )


def _prose(source: Source, is_short: bool) -> Source:
    pieces: list[Source | str] = []
    open_marks = []
    for token in _TOKEN.finditer(source.text):
        mark = token["mark"]
        if mark == ",":
            is_field = len(open_marks) == 1 and not is_short
            pieces.append("\n" if is_field else ", ")
        elif mark in ("{", "["):
            open_marks.append(mark)
        elif mark:
            open_marks.pop()
        elif token["colon"]:
            pieces += source.part(*token.span("string")).replace(_UNDERSCORE, " "), ": "
        elif token["string"] is not None:
            pieces.append(source.part(*token.span("string")))
        else:
            bare = source.part(*token.span("bare"))
            known = _WORDS.get(bare.text)
            pieces.append(bare.replace(_ANYTHING, known) if known else bare)
    return Source.of("").join(*pieces)
