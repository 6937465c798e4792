"""Reads characters: uniform quotes and dashes, HTML entities and LaTeX as plain text."""

import html
import re
import unicodedata
from functools import lru_cache

from medalign_utils.grading.source import Source

_PLAIN = {
    **dict(zip("’‘′“”–−‐‑µμ×·•", "'''\"\"----uux**", strict=True)),
    "—": " - ", "→": " to ", "⟶": " to ", "≥": ">=", "≤": "<=", "≈": "~", "²": "^2", "³": "^3",
    "⁶": "^6", "⁹": "^9", "¹²": "^12", "½": ".5",
    "->": " to ", "-->": " to ", "=>": " to ", "⇒": " to ",
    "\u200b": "", "\x01": " ", "\x02": " ", "\r\n": "\n", "\r": "\n", "\v": "\n", "\f": "\n",
    "\x85": "\n", "\u2028": "\n", "\u2029": "\n",
}  # fmt: skip
_SPECIAL = re.compile(
    r"¹²|--?>|=>|\r\n?|[\v\f\x01\x02]|[^\x00-\x7f]|[a-zA-Z][\u0300-\u036f]+|&#?\w{2,8};"
)
_SPACES = re.compile(r"[^\S\n]+")
_ODD_SPACES = re.compile(r"(?<! ) *[^\S\n ][^\S\n]*")  # without single plain ones, which may stay

_THOUGHT = re.compile(r"(?s)\A\s*<think(?:ing)?>.*?</think(?:ing)?>(?=\s*\S)")
_TAGGED_ANSWER = re.compile(r"(?is)<(?P<tag>answer|final)>(?P<kept>.*?)</(?P=tag)>")
_BREAK = re.compile(r"(?i)<br\s*/?>")
_HTML = (  # a table becomes one of Markdown, a list item a line
    (re.compile(r"(?i)\s*</th>\s*</tr>"), " |\n|--|"),
    (re.compile(r"(?i)\s*</t[dh]>\s*"), " | "),
    (re.compile(r"(?i)\s*<tr(?:\s[^<>\n]*)?>\s*"), "\n"),
    (re.compile(r"(?i)\s*<li(?:\s[^<>\n]*)?>\s*"), "\n- "),
    (re.compile(r"(?i)</?(?:p|div|ul|ol|table|tbody|thead|h[1-6])(?:\s[^<>\n]*)?>"), "\n"),
    (re.compile(r"(?i)</(?!(?:b|i|u|em|strong|su[bp]|span|mark|code|small|a|td|th|tr)>)\w+>"), " "),
)
_TAG = re.compile(r"</?[A-Za-z][\w-]*(?:\s[^<>\n]*)?/?>")

_LATEX_TEXT = re.compile(
    r"\\(?:text(?:bf|rm|it)?|math(?:rm|bf|it)|operatorname)\s*\{(?P<kept>[^{}]*)\}"
)
_LATEX_BOX = re.compile(r"\\(?:boxed|fbox)\s*\{(?P<kept>[^{}]*)\}")
_LATEX_FRACTION = re.compile(r"\\[dt]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}")
_LATEX_SYMBOLS = {
    "times": "*", "cdot": "*", "rightarrow": " to ", "to": " to ", "Rightarrow": " to ",
    "approx": "~", "leq": "<=", "le": "<=", "geq": ">=", "ge": ">=", "div": "/", "mu": "u",
}  # fmt: skip
_LATEX_SYMBOL = re.compile(r"\\(?P<name>[A-Za-z]+)(?![A-Za-z])|\\(?P<sign>[^\sA-Za-z]|\s)|\$+")


def _plain(match: re.Match) -> str:
    found = match[0]
    if found in _PLAIN:
        return _PLAIN[found]
    if found.startswith("&"):
        found = html.unescape(found)
    plain = unicodedata.normalize("NFKC", "".join(_PLAIN.get(c, c) for c in found))
    return "".join(_PLAIN.get(character, character) for character in plain)


def _latex_symbol(match: re.Match) -> str:
    if match["name"]:
        return _LATEX_SYMBOLS.get(match["name"], " ")
    return match["sign"] if match["sign"] and match["sign"] in "%_&#*|" else " "


def _without_latex(source: Source) -> Source:
    for _ in range(2):  # \boxed{650\ \text{ng/mL}}
        source = source.keep(_LATEX_TEXT)
    source = source.replace(_LATEX_FRACTION, lambda match: f"{match[1]} / {match[2]}")
    return source.keep(_LATEX_BOX, "\nAnswer: ", "\n").replace(_LATEX_SYMBOL, _latex_symbol)


_JSON_KEY = re.compile(r"(?<=[A-Za-z])_(?=[A-Za-z])")  # "lives_with"


def characters(text: str) -> Source:
    """Return the text in plain characters, its lines and its Markdown unchanged."""
    source = Source.of(text).replace(_SPECIAL, _plain).replace(_JSON_KEY, " ")
    if "<" in text:
        source = source.replace(_THOUGHT, "").keep(_TAGGED_ANSWER, "\nAnswer: ", "\n")
        source = source.replace(_BREAK, "; ")
        for pattern, plain in _HTML:
            source = source.replace(pattern, plain)
        source = source.replace(_TAG, "")
    if "\\" in text:
        source = _without_latex(source)
    if "\t" in text:
        return source.replace(_SPACES, " ")
    return source if "  " in text else source.replace(_ODD_SPACES, " ")


@lru_cache(maxsize=2048)
def normalise(text: str) -> str:
    """Return a spelling, a unit or an instruction in plain characters and single spaces."""
    return _SPACES.sub(" ", characters(text).text)
