"""Reads numbers with their units from clinical prose and from quoted record lines.

Digits that are not measurements are ignored: dates, clock times, codes (LOINC/2160-0), names that
contain digits (B12, CHA2DS2-VASc, COVID-19, 12-lead), ordinals, list numbers, dilutions (1+) and
repeats (x3). Numbers below 100 may be written as words.
"""

import re
from functools import lru_cache
from typing import NamedTuple

from medalign_utils.data.ehr.units import UNIT_PATTERN
from medalign_utils.grading.dates import read_dates

_CLOCK = re.compile(r"(?<![0-9:])[0-2]?[0-9]:[0-5][0-9](?::[0-5][0-9])?(?:\s?[AaPp]\.?[Mm]\b\.?)?")
_NUMBER = (
    r"(?:[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?"
    r"|[0-9]+,[0-9]{1,2}(?![0-9,])"  # a decimal comma
    r"|[0-9]+(?:\.[0-9]+)?|\.[0-9]+)"
)
_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen"
    " sixteen seventeen eighteen nineteen"
).split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
_TIMES = {"once": 1.0, "twice": 2.0, "thrice": 3.0}
_WORD = rf"(?:(?:{'|'.join(_TENS)})(?:[\s-](?:{'|'.join(_ONES[1:10])}))?|{'|'.join(_ONES)})"
# Words between a number and its unit: "three alcoholic drinks".
_KIND = (
    r"(?:\s(?i:alcoholic|standard|full|consecutive|calendar|whole|additional|more|inpatient"
    r"|hospital"
    r"|total))?"
)
_QUANTITY = re.compile(
    r"(?P<comparator>(?:[<>]=?|(?i:\b(?:under|below|less than|over|above|greater than|more than"
    r"|at least|at most|up to|no more than))\b)\s*)?(?<![\w.#^*])(?<!\w[-/])(?:"
    # 5'6", 5 ft 6 in
    r"(?P<feet>[0-9])\s?(?:'|(?:ft|feet|foot)\b)\s?(?P<inches>[0-9]{1,2})\s?"
    r"(?:\"|''|(?i:in(?:ches)?)\b)?(?!\w)"
    # 57F, 64M, 57 y man
    r"|(?P<age>[0-9]{1,3})(?:\s?(?:y/?o)?[MF](?![\w/°])|\s?y(?=\s(?:man|woman|male|female|[MF])\b))"
    rf"|(?P<first>[+-]?{_NUMBER})"
    rf"(?:(?:\s?x\s?{_NUMBER})+(?=\s?[cm]m\b))?"  # 8 x 6 mm: the first is the longest
    rf"(?:\s?(?:/|(?:systolic )?\bover\b)\s?(?P<second>{_NUMBER})(?![\w/])"
    rf"|(?:-|\s-\s)(?P<upto>{_NUMBER}))?"
    rf"(?:{_KIND}(?:\s{{0,2}}|-)(?P<unit>{UNIT_PATTERN}|(?<=[0-9])y\b)"
    r"|(?:\s(?P<of>out of)\s(?P<scale>[0-9]+)\b)?(?![\w^*+]|[.,/][0-9]|-[A-Za-z]))"
    rf"|(?P<word>(?i:\b{_WORD}\b|(?<=\ba )single\b))(?P<half>(?i: and a half))?"
    rf"(?:{_KIND}[\s-](?P<word_unit>{UNIT_PATTERN}))?"
    r"|\b[qQ](?P<every>[0-9]{1,2})\s?"
    r"(?P<period>y(?:ears?|rs?)?|mo(?:nths?)?|w(?:ee)?ks?)\b"
    r"|(?P<times>(?i:\b(?:once|twice|thrice)\b))(?!\s(?i:a|per|each|every|daily|weekly|monthly"
    r"|nightly|more|again|he|she|it|you|they|the|in)\b)"
    r"|(?:^|(?<=: )|(?<=\b(?i:for) )|(?<=\b(?i:in) )|(?<=\b(?i:after) )"
    r"|(?<=\b(?i:of) )|(?<=\b(?i:about) ))"
    r"an?\s(?P<single>week|month|year|fortnight)\b)"
)
_WEEKLY = re.compile(r"(?: of alcohol)?\s(?:(week|dai)ly|(?:a|per|each|every) (week|day))\b")
_MOVED = re.compile(
    r"(?i)\b(?:got|went|goes|rose|climbed|spiked|shot|came|increased|raised|from)\b"
)
# "never went above 37.4": that is the highest value.
_NEVER_ABOVE = re.compile(r"(?i)\bnever (?:\w+ )?(?:went|rose|climbed|got|goes|rises)\s*$")
_CODE = re.compile(
    r"\b(?:LOINC|RxNorm\w*|SNOMED\w*|ICD\w*|CPT4?|HCPCS|NDC|CVX|ATC|OMOP\w*|[A-Z][A-Z0-9]+_\w+)"
    r"/[\w.:-]+"
)
_LIST_NUMBER = re.compile(r"(?:^|(?<=: ))[0-9]{1,2}[.)](?=\s)")
# A word that turns the number after it into a name: stage 3, type 2, room 4.
_LABEL = re.compile(
    r"(?i)\b(type|stage|grade|class|phase|factor|(?<!per )(?:day|week)|visit"
    r"|bed|room|page|step|part|version"
    r"|no\.?|x)[\s:#]*$"
)
_AGE = re.compile(
    r"(?i)\bage(?:d|s)?\b(?:\s+(?:at|of)(?:\s+[a-z]+){1,3})?\s*(?:of|at|was|is|were|[:=])?\s*$"
)
_OLD = re.compile(r"(?i)\b(?:old|age)\b|y/?o$|y\.o")
_BETWEEN = re.compile(r"(?i)\bbetween\s+(?:\S+\s+(?:\S+\s+)?and\s+)?$")
_OLDEST = 93  # above, 98F is a temperature
_SCALES = (4, 5, 9, 10, 15, 21, 27, 30, 100)


class Quantity(NamedTuple):
    """A number as written, at `start:end` of its text (the unit included)."""

    value: float
    second: float | None  # the other half of a pair such as 138/82
    unit: str | None
    scale: int | None  # the 10 of a score such as 8/10
    start: int
    end: int
    label: int | None  # start of a word that turns the number into a name: "stage 3"
    is_bound: bool  # < 60, "under 60"
    is_range: bool  # 1.2-1.6
    is_word: bool  # "two"
    is_age: bool  # "56 years old", "56F"
    is_signed: bool  # "+1.0"
    step: float  # one unit of its last digit


def _blank(pattern: re.Pattern, text: str, mark: str) -> str:
    return pattern.sub(lambda match: mark * len(match[0]), text)


@lru_cache(maxsize=2048)
def mask(text: str) -> str:
    r"""Return `text` with dates and times replaced by \x01, codes and list numbers by \x02."""
    for found in read_dates(text):
        text = text[: found.start] + "\x01" * (found.end - found.start) + text[found.end :]
    text = _blank(_CLOCK, text, "\x01")
    return _blank(_LIST_NUMBER, _blank(_CODE, text, "\x02"), "\x02")


@lru_cache(maxsize=2048)
def read_quantities(text: str) -> tuple[Quantity, ...]:
    """Return the numbers in `text` that may be measurements, in order.

    >>> [(q.value, q.unit) for q in read_quantities("B12 350 pg/mL on 8/10/2014 (LOINC/2132-9)")]
    [(350.0, 'pg/mL')]
    """
    covered = mask(text)
    return tuple(_quantity(match, covered) for match in _QUANTITY.finditer(covered))


def _quantity(match: re.Match, text: str) -> Quantity:
    part = match.groupdict()
    names = ("feet", "age", "first", "word", "times", "single", "every")
    name = next(name for name in names if part[name] is not None)
    start, end = match.start(name), match.end()
    unit, scale, second, step = (
        part["unit"] or part["word_unit"],
        part["scale"],
        part["second"],
        1.0,
    )
    if name == "feet":
        value, unit = float(part["feet"]) * 12 + float(part["inches"]), "in"
    elif name == "word":
        value = _in_words(part["word"]) + (0.5 if part["half"] else 0.0)
    elif name == "times":
        value, unit = _TIMES[part["times"].lower()], "times"
    elif name == "single":
        value, unit = 1.0, part["single"]
    elif name == "every":  # q3y
        value, unit = float(part["every"]), part["period"]
    elif name == "age":
        value = float(part["age"])
        unit = "years" if value < _OLDEST or text[end - 1] != "F" else "F"
    else:
        value = _number(part["first"])
        step = 10.0 ** -len(part["first"].partition(".")[2])
    unit = "years" if unit == "y" else unit
    second = _number(second) if second else None
    if second and unit is None and value <= second in _SCALES:
        second, scale = None, second
    is_plain = (unit, second, scale) == (None, None, None)
    follows_age = is_plain and _AGE.search(text, max(0, start - 50), start) is not None
    if unit and (weekly := _WEEKLY.match(text, end)) and re.search("(?i)drink|bever|pack", unit):
        unit, end = f"{unit}/{'week' if 'week' in weekly.groups() else 'day'}", weekly.end()
    label = _LABEL.search(text, max(0, start - 12), start)
    comparator = (part["comparator"] or "").strip().lower()
    before = text[max(0, match.start() - 60) : match.start()]
    is_moved = (
        comparator == "up to" and (_MOVED.search(before) or re.match(r"\s+on \x01", text[end:]))
    ) or _NEVER_ABOVE.search(before)
    return Quantity(
        value=value,
        second=second,
        unit="years" if follows_age else unit,
        scale=int(scale) if scale else None,
        start=start,
        end=end,
        label=label.start(1) if label and not unit else None,
        is_bound=bool(comparator) and not is_moved,
        is_range=part["upto"] is not None or _BETWEEN.search(text[:start]) is not None,
        is_word=name in ("word", "times", "single"),
        is_age=follows_age or (name == "age" and unit == "years") or bool(_OLD.search(unit or "")),
        is_signed=(part["first"] or "").startswith("+"),
        step=step,
    )


def _number(text: str) -> float:
    text = re.sub(r"^([0-9]{1,3})\.000$", r"\g<1>000", text)  # 1.000 mg, as written in Spanish
    return float(re.sub(r",(?=[0-9]{1,2}$)", ".", text).replace(",", ""))


def _in_words(text: str) -> float:
    words = re.split(r"[\s-]", text.lower())
    if words == ["single"]:
        return 1.0
    tens = 10 * (_TENS.index(words[0]) + 2) if words[0] in _TENS else 0
    return float(tens + (_ONES.index(words[-1]) if words[-1] in _ONES else 0))
