"""Reads numbers with their units from clinical prose and from quoted record lines.

Digits that are not measurements are ignored: dates, clock times, codes (LOINC/2160-0), names that
contain digits (B12, CHA2DS2-VASc, COVID-19, 12-lead), ordinals, list numbers, dilutions (1+) and
repeats (x3).
"""

import re
from functools import lru_cache
from typing import NamedTuple

from medalign_utils.data.ehr.units import UNIT_PATTERN
from medalign_utils.grading.dates import read_dates

_CLOCK = re.compile(r"(?<![0-9:])[0-2]?[0-9]:[0-5][0-9](?::[0-5][0-9])?(?:\s?[AaPp]\.?[Mm]\b\.?)?")
_NUMBER = r"(?:[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?|[0-9]+(?:\.[0-9]+)?|\.[0-9]+)"
_WORDS = "zero one two three four five six seven eight nine ten eleven twelve".split()
_QUANTITY = re.compile(
    r"(?P<comparator>(?:[<>]=?|(?i:\b(?:under|below|less than|over|above|greater than|more than"
    r"|at least|at most|up to))\b)\s*)?(?<![\w.#^*])(?<!\w[-/])(?:"
    # 5'6", 5 ft 6 in
    r"(?P<feet>[0-9])\s?(?:'|(?:ft|feet|foot)\b)\s?(?P<inches>[0-9]{1,2})\s?"
    r"(?:\"|''|(?i:in(?:ches)?)\b)?(?!\w)"
    rf"|(?P<first>[+-]?{_NUMBER})"
    rf"(?:\s?(?:/|\bover\b)\s?(?P<second>{_NUMBER})(?![\w/])|(?:-|\s-\s)(?P<upto>{_NUMBER}))?"
    rf"(?:(?:\s{{0,2}}|-)(?P<unit>{UNIT_PATTERN})|(?:\s(?P<of>out of)\s(?P<scale>[0-9]+)\b)?"
    r"(?![\w^*+]|[.,/][0-9]|-[A-Za-z]))"
    rf"|(?P<word>(?i:\b(?:{'|'.join(_WORDS)})\b))(?:[\s-](?P<word_unit>{UNIT_PATTERN}))?)"
)
_CODE = re.compile(
    r"\b(?:LOINC|RxNorm\w*|SNOMED\w*|ICD\w*|CPT4?|HCPCS|NDC|CVX|ATC|OMOP\w*|[A-Z][A-Z0-9]+_\w+)"
    r"/[\w.:-]+"
)
_LIST_NUMBER = re.compile(r"(?:^|(?<=: ))[0-9]{1,2}[.)](?=\s)")
# A word that turns the number after it into a name: stage 3, type 2, room 4.
_LABEL = re.compile(
    r"(?i)\b(type|stage|grade|class|phase|factor|day|week|visit|bed|room|page|step|part|version"
    r"|no\.?"
    r"|number|x)[\s:#]*$"
)
_AGE = re.compile(r"(?i)\baged?\s*(?:of|at|was|is|:)?\s*$")
_SCALES = (4, 5, 10, 15, 21, 27, 30, 100)


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
    step: float  # one unit of its last digit


def _blank(pattern: re.Pattern, text: str, mark: str) -> str:
    return pattern.sub(lambda match: mark * len(match[0]), text)


@lru_cache(maxsize=8192)
def mask(text: str) -> str:
    r"""Return `text` with dates and times replaced by \x01, codes and list numbers by \x02."""
    for found in read_dates(text):
        text = text[: found.start] + "\x01" * (found.end - found.start) + text[found.end :]
    text = _blank(_CLOCK, text, "\x01")
    return _blank(_LIST_NUMBER, _blank(_CODE, text, "\x02"), "\x02")


@lru_cache(maxsize=8192)
def read_quantities(text: str) -> tuple[Quantity, ...]:
    """Return the numbers in `text` that may be measurements, in order.

    >>> [(q.value, q.unit) for q in read_quantities("B12 350 pg/mL on 8/10/2014 (LOINC/2132-9)")]
    [(350.0, 'pg/mL')]
    """
    covered, found = mask(text), []
    for match in _QUANTITY.finditer(covered):
        part = match.groupdict()
        start = next(match.start(k) for k in ("feet", "first", "word") if part[k] is not None)
        label = _LABEL.search(covered, max(0, start - 12), start)
        unit, scale = part["unit"] or part["word_unit"], part["scale"]
        second, step = part["second"], 1.0
        if part["feet"]:
            value, unit = float(part["feet"]) * 12 + float(part["inches"]), "in"
        elif part["word"]:
            value = float(_WORDS.index(part["word"].lower()))
        else:
            value = float(part["first"].replace(",", ""))
            step = 10.0 ** -len(part["first"].partition(".")[2])
        second = float(second.replace(",", "")) if second else None
        if second and unit is None and value <= second in _SCALES:
            second, scale = None, second
        is_plain = (unit, second, scale) == (None, None, None)
        if is_plain and _AGE.search(covered, max(0, start - 12), start):
            unit = "years"
        found.append(
            Quantity(
                value=value,
                second=second,
                unit=unit,
                scale=int(scale) if scale else None,
                start=start,
                end=match.end(),
                label=label.start(1) if label else None,
                is_bound=part["comparator"] is not None,
                is_range=part["upto"] is not None,
                is_word=part["word"] is not None,
                step=step,
            )
        )
    return tuple(found)
