"""Units of measurement, as spelled in notes, by laboratories and in UCUM."""

import re
from functools import lru_cache
from typing import NamedTuple

# Pattern, dimension, size in the dimension's base unit. Longer spellings come first; spellings that
# depend on upper or lower case are outside (?i:...).
_MASS, _LENGTH, _VOLUME, _AMOUNT, _ACTIVITY = "mass", "length", "volume", "amount", "activity"
_ATOMS: tuple[tuple[str, str, float], ...] = (
    # The "per 1.73 m2" of an eGFR is often omitted, so it is not a dimension here.
    (r"(?i:\{?1\.73[\s_]?(?:sq\.?\s?m|m\^?2)\}?)", "", 1),
    (r"(?i:(?:[x*]\s?)?10\s?(?:\*|\^|e|\(|exp)\s?3\)?|thou(?:sand)?)", "", 1e3),
    (r"(?i:(?:[x*]\s?)?10\s?(?:\*|\^|e|\(|exp)\s?6\)?|million)", "", 1e6),
    (r"(?i:(?:[x*]\s?)?10\s?(?:\*|\^|e|\(|exp)\s?9\)?)", "", 1e9),
    (r"(?i:(?:[x*]\s?)?10\s?(?:\*|\^|e|\(|exp)\s?12\)?)", "", 1e12),
    (r"(?i:k)(?=\s?/)", "", 1e3),
    (r"(?i:\{?(?:cells|beats|breaths|copies|counts)\}?|#)", "", 1),
    (r"(?i:mm\s?\[?hg\]?)", "pressure", 1),
    (r"(?i:kpa)", "pressure", 7.50062),
    (r"(?i:kg\s?(?:/|per)\s?(?:m\^?2|sq\.?\s?m))", "body mass index", 1),
    (r"(?i:pack[\s-]?(?:years?|yrs?))", "pack-years", 1),
    (r"(?i:packs?)", "packs", 1),
    (r"(?i:(?:alcoholic )?(?:drinks?|beverages?|beers?|glass(?:es)? of wine))", "drinks", 1),
    (
        r"(?i:years? of age|years?[\s-]olds?|years?|yrs?\b\.?|y/?o|y\.o\.|a[ñn]os?)",
        "time",
        365.25 * 86400,
    ),
    (r"(?i:months?|mos?\b)", "time", 365.25 / 12 * 86400),
    (r"(?i:fortnights?)", "time", 14 * 86400),
    (r"(?i:weeks?|wks?|semanas?)", "time", 7 * 86400),
    (r"(?i:days?|d[ií]as?)|d", "time", 86400),
    (r"(?i:hours?|hrs?)|h", "time", 3600),
    (r"(?i:minutes?|mins?)", "time", 60),
    (r"(?i:seconds?|secs?)|s", "time", 1),
    (r"(?i:kilogram(?:me|o)?s?|kilos?|kgs?)", _MASS, 1e3),
    (r"(?i:mill?igram(?:me|o)?s?|mgs?)", _MASS, 1e-3),
    (r"(?i:microgram(?:me|o)?s?|mcg|ug)", _MASS, 1e-6),
    (r"(?i:nanograms?|ng)", _MASS, 1e-9),
    (r"(?i:picograms?|pg)", _MASS, 1e-12),
    (r"(?i:\[?lb_av\]?|pounds?|lbs?\b)", _MASS, 453.59237),
    (r"(?i:ounces?|oz)", _MASS, 28.349523125),
    (r"(?i:gram(?:me|o)?s?|gms?)|g", _MASS, 1),
    (r"(?i:centimet(?:er|re)s?|cms?)", _LENGTH, 1e-2),
    (r"(?i:mm\^?3|cmm)", _VOLUME, 1e-6),
    (r"(?i:millimet(?:er|re)s?|mm)", _LENGTH, 1e-3),
    # "in August" is not inches: require punctuation, the end of the text or "tall".
    (r"(?i:\[?in_i\]?|inch(?:es)?|in\b(?=\.?\s*(?:tall\b|[,.;:)\]]|$)))", _LENGTH, 0.0254),
    (r"(?i:feet|foot|ft)", _LENGTH, 0.3048),
    (r"(?i:deciliters?|dl)", _VOLUME, 0.1),
    (r"(?i:mill?ilit(?:er|re|ro)s?|mls?|cc)", _VOLUME, 1e-3),
    (r"(?i:microlit(?:er|re)s?|[um]cl|ul)", _VOLUME, 1e-6),
    (r"(?i:femtolit(?:er|re)s?|fl)", _VOLUME, 1e-15),
    (r"(?i:lit(?:er|re)s?)|[Ll]", _VOLUME, 1),
    # Equal for the ions that labs report in mEq (sodium, potassium, chloride, bicarbonate).
    (r"(?i:meq|mmol)", _AMOUNT, 1e-3),
    (r"(?i:[um]c?mol)", _AMOUNT, 1e-6),
    (r"(?i:nmol)", _AMOUNT, 1e-9),
    (r"(?i:pmol)", _AMOUNT, 1e-12),
    (r"(?i:mosm)", "osmoles", 1),
    (r"(?i:m\[?iu\]?|mu)", _ACTIVITY, 1e-3),
    (r"(?i:u\[?iu\]?|uu)", _ACTIVITY, 1e-6),
    (r"(?i:\[?iu\]?|units?)|U", _ACTIVITY, 1),
    (r"(?i:%|percent|pct\b)", "percent", 1),
    (r"(?i:\[?degf\]?|(?:°|deg(?:rees?)?\.?)\s?f(?:ahrenheit)?|fahrenheit)|F", "fahrenheit", 1),
    (r"(?i:\[?degc\]?|(?:°|deg(?:rees?)?\.?)\s?c(?:elsius)?|celsius|cel)|C", "celsius", 1),
    (r"(?i:times|occasions)", "times", 1),
    (r"(?i:doses|tab(?:let)?s?|capsules?|pills|puffs|refills)", "doses", 1),
    (r"(?i:m\^?2|sq(?:uare|\.)?\s?m(?:et(?:er|re)s?)?)", "area", 1),
    (r"(?i:m(?:et(?:er|re)s?)?)(?!\^?2)", _LENGTH, 1),
)
_ATOM = "(?:(?:" + "|".join(pattern for pattern, _, _ in _ATOMS) + ")(?![A-Za-z]))"
_PER = r"\s?(?:/|\b(?i:per|a|each|every)\b)\s?"
UNIT_PATTERN = (
    rf"(?:(?i:\{{?(?:beats|breaths)\}}?/min|bpm|ppd)|{_ATOM}?(?:{_PER}{_ATOM})+|{_ATOM})"
    r"(?![A-Za-z0-9])"
)
# After a year, only units that cannot be ordinary words or initials.
UNIT_AFTER = re.compile(rf"\s?(?!(?i:in|d|h|s|c|f|m|l|g|u)\b){UNIT_PATTERN}")
_COMPILED_ATOMS = [(re.compile(p + "(?![A-Za-z])"), kind, size) for p, kind, size in _ATOMS]
_ANY_ATOM, _ANY_UNIT, _ANY_PER = re.compile(_ATOM), re.compile(UNIT_PATTERN), re.compile(_PER)


class Unit(NamedTuple):
    """A unit as powers of dimensions, with its size in base units."""

    dimension: tuple[tuple[str, int], ...]
    size: float


@lru_cache(maxsize=1024)
def parse_unit(text: str | None) -> Unit | None:
    """Return the unit that a text spells, or None if it is unknown.

    >>> parse_unit("K/uL") == parse_unit("10*3/uL") == parse_unit("x10^9/L")
    True
    >>> parse_unit("points") is None
    True
    """
    text = (text or "").strip()
    if not _ANY_UNIT.fullmatch(text):
        return None
    text = re.sub(r"(?i)\{?\b(?:beats|breaths)\}?/min|\bbpm\b", "/min", text)
    text = re.sub(r"(?i)\bppd\b", "packs/day", text)
    powers: dict[str, int] = {}
    size, position, sign = 1.0, 0, 1
    while position < len(text):
        if divisor := _ANY_PER.match(text, position):
            position, sign = divisor.end(), -1
            continue
        atom = _ANY_ATOM.match(text, position)
        if atom is None or atom.end() == position:
            return None
        pattern = next(i for i, (p, _, _) in enumerate(_COMPILED_ATOMS) if p.match(text, position))
        _, dimension, scale = _COMPILED_ATOMS[pattern]
        if dimension:
            powers[dimension] = powers.get(dimension, 0) + sign
        size *= scale**sign
        position = atom.end()
    return Unit(tuple(sorted((d, n) for d, n in powers.items() if n)), size)


_FAHRENHEIT, _CELSIUS = (("fahrenheit", 1),), (("celsius", 1),)


def convert(value: float, unit: Unit, to: Unit) -> float | None:
    """Return the value in the unit `to`; None if the units have different dimensions.

    >>> convert(98.6, parse_unit("F"), parse_unit("Cel"))
    37.0
    """
    if unit.dimension == to.dimension:
        return value if unit.size == to.size else value * unit.size / to.size
    if (unit.dimension, to.dimension) == (_FAHRENHEIT, _CELSIUS):
        return (value - 32) * 5 / 9
    if (unit.dimension, to.dimension) == (_CELSIUS, _FAHRENHEIT):
        return value * 9 / 5 + 32
    return None
