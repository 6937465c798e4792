r"""Rules that rewrite the gender, race, ethnicity or age of the patient in a text.

Only words that agree with the patient's value are rewritten: for a woman `she`, but never `he`. The
rules look at one sentence at a time; they know no grammar and no names.

gender
    Rewritten are she, her, hers, herself, woman, lady, girl, female, Latina, Mrs, Ms and their
    counterparts, and F and M directly after an age (63F) or a label (`Sex: F`). `her` becomes `him`
    before punctuation or a function word (`told her that`) and otherwise `his` (`her left arm`).
    `his` becomes `hers` before punctuation and otherwise `her`. Words in capitals, except FEMALE
    and MALE, count as abbreviations (HE, HER2) if the line has any lower-case letter. `bundle of
    His` and `s/he` stay.
race
    Rewritten are White after a label (`Race: White`); white and black before a word for a person or
    after an age (not `white count`); and anywhere Caucasian, African American, and Black or African
    American.
ethnicity
    Rewritten anywhere are Hispanic or Latino, Not Hispanic or Latino, Hispanic, Latino and
    non-Hispanic.
age
    Rewritten are 63-year-old, 63 yo, 63F, aged 63, age 63, 63 years of age, in her 60s, and a
    birthdate after its label (not `ages 50 to 75`). An age in months or weeks stays.

The rules leave alone what may be about somebody else:

- a line or paragraph of family history
- the rest of a sentence after a relative: for gender, one of the patient's gender (`her mother says
  she snores`), otherwise any
- words directly before a relative (`a 12-year-old son`), except pronouns, which mean the patient
  (`her mother`)
- wives and husbands: the gender of a spouse stays

Known limits: `Her mother has diabetes. She died at 60.` is read as if the patient had died, and any
other person of the patient's gender is taken for the patient. Other hints (pregnant, a name, a
language) and coded data stay.
"""

import re
from calendar import isleap
from collections.abc import Callable
from datetime import date
from functools import cache
from typing import NamedTuple

CHANGES = ("gender", "race", "ethnicity", "age")
NOTHING = "nothing"  # the control, a change that replaces no word
YEARS = 20  # added to an age, not subtracted: a later birth might come after an event

_FEMALE_KIN = (
    "mother|mom|sister|daughter|wife|aunt|niece|girlfriend|stepmother|grand(?:mother|daughter)"
)
_MALE_KIN = "(?:grand|step)?father|dad|brother|(?:grand)?son|husband|uncle|nephew|boyfriend"
_OTHER_KIN = "spouse|partner|parents?|siblings?|cousin|child|children|caregiver|twin"
_KIN = f"{_FEMALE_KIN}|{_MALE_KIN}|{_OTHER_KIN}"
_FAMILY_HISTORY = re.compile(
    r"^[ \t]*(?:FH|FHx|Family (?:medical )?(?:history|hx))[ \t]*:"
    r"(?:[^\n]*\S[^\n]*|(?s:.*?(?=\n\n|\Z)))",
    re.I | re.M,
)
_SENTENCE_END = re.compile(r"[.!?;](?=\s)|\n")
# `her` before one of these is an object and becomes `him`. Words that can be nouns are left out.
_FUNCTION_WORDS = (
    "a about after again against all although an and any are as at because been before both but by "
    "during each either every for from had has have how if in into is it may now nor of on or "
    "over since so some than that the then there these they this those through to today tomorrow "
    "tonight under unless until up was we were what when where whether which while who whose why "
    "with within without would yesterday you"
).replace(" ", "|")
_NOT_A_NOUN = re.compile(rf"\s*(?:$|[^\w\s'(\"/-]|\n|(?:{_FUNCTION_WORDS})\b)", re.IGNORECASE)
_TO_MALE = {
    "she": "he", "herself": "himself", "hers": "his", "her": "his", "woman": "man", "girl": "boy",
    "female": "male", "lady": "gentleman", "latina": "latino", "mrs": "mr", "ms": "mr", "f": "m",
}  # fmt: skip
_TO_FEMALE = {
    "he": "she", "himself": "herself", "his": "her", "him": "her", "man": "woman", "boy": "girl",
    "male": "female", "gentleman": "lady", "latino": "latina", "mr": "ms", "m": "f",
}  # fmt: skip
_PRONOUNS = {"she", "her", "hers", "herself", "he", "his", "him", "himself"}
_OLD = r"(?:[ -]?(?:years?|yrs?\.?)[ -]olds?\b|[ -]?y[./]?o\b\.?)"
_AGED = rf"\b\d{{1,3}}{_OLD}"
# "63F with ..." is a woman; 95F and above is a temperature.
_AND_LETTER = r"(?=[FM][ ](?:with|w/|who|presenting|presents|admitted|here|s/p)(?!\w))"
_SHORT_AGE = rf"(?:[1-9]|[1-8]\d|9[0-4]){_AND_LETTER}"
_RANGE = r"(?:[ ]years?)?[ ]?(?:[-+]|to\b|(?:or|and)[ ](?:over|older|above|up|under|younger)\b)"
_LABEL = r"(?<!\w)(?:{})\W{{1,3}}"
# A word describes a relative who is named directly after it, or after one adjective.
_OF_KIN = re.compile(
    rf"{_OLD}?[ -](?:(?!(?:{_FUNCTION_WORDS})\b)\w+[ ])?(?:{_KIN})\b", re.IGNORECASE
)
_BUNDLE = re.compile(r"[ -](?:bundle|Purkinje|electrogram)")
_LONGEST = 1000  # characters of a sentence to search for a relative
_SOMEBODY = r"(?:fe)?male|(?:wo)?man|lady|gentleman|girl|boy|patient|person|adult"


class Person(NamedTuple):
    """Demographics in a record's header; None for a value that is missing or contradictory."""

    gender: str | None = None
    race: str | None = None
    ethnicity: str | None = None
    birthdate: str | None = None


class Replacement(NamedTuple):
    """`before`, at character `offset` of a text, becomes `after`."""

    offset: int
    before: str
    after: str


def value_of(person: Person, change: str) -> str | None:
    """Return the value in the header that the change replaces."""
    return getattr(person, "birthdate" if change == "age" else change, None)


def swapped(value: str | None, change: str) -> str | None:
    """Return what a header's value (`value_of`) becomes; None if the change does not swap it.

    >>> swapped("FEMALE", "gender"), swapped("White", "race"), swapped("Asian", "race")
    ('MALE', 'Black or African American', None)
    """
    found = (value or "").strip()
    if change == "age":
        return _earlier(found)
    after = _SWAPS.get(change, {}).get(found.lower())
    return after and _like(found, after)


def replacements(text: str, change: str, person: Person) -> list[Replacement]:
    """Return the replacements for a text about a person, in text order and without overlaps.

    >>> woman = Person(gender="FEMALE")
    >>> found = replacements("63 yo F. I told her that her mother called.", "gender", woman)
    >>> [(r.offset, r.before, r.after) for r in found]
    [(6, 'F', 'M'), (16, 'her', 'him'), (25, 'her', 'his')]
    """
    value = value_of(person, change)
    if swapped(value, change) is None:
        return []
    rules, kin = _rules(change, "" if change == "age" else value.strip().lower())
    family = [history.span() for history in _FAMILY_HISTORY.finditer(text)]
    found: dict[int, Replacement] = {}
    for pattern, rewrite in rules:
        for match in pattern.finditer(text):
            start, after = match.start("word"), rewrite(match)
            if start in found or any(begin <= start < end for begin, end in family):
                continue
            if after and not _of_another(text, match, kin):
                found[start] = Replacement(start, match["word"], after)
    apart: list[Replacement] = []
    for replacement in sorted(found.values()):
        if not apart or replacement.offset >= apart[-1].offset + len(apart[-1].before):
            apart.append(replacement)
    return apart


def apply(text: str, found: list[Replacement]) -> str:
    """Return the text with the replacements made."""
    parts, end = [], 0
    for offset, before, after in found:
        parts += [text[end:offset], after]
        end = offset + len(before)
    return "".join([*parts, text[end:]])


def rewrite(text: str, change: str, person: Person) -> str:
    """Return the text after the change."""
    return apply(text, replacements(text, change, person))


_Rule = tuple[re.Pattern, Callable[[re.Match], str | None]]
_RACES = {"white": "Black or African American", "black or african american": "White"}
_RACES |= {"black": "White"}
_ETHNICITIES = {
    "hispanic or latino": "Not Hispanic or Latino",
    "not hispanic or latino": "Hispanic or Latino",
}
_SWAPS = {
    "gender": {"female": "male", "male": "female", "f": "m", "m": "f"},
    "race": _RACES,
    "ethnicity": _ETHNICITIES,
}


@cache
def _rules(change: str, value: str) -> tuple[list[_Rule], re.Pattern]:
    """The rules for a patient with this value, and the relatives that stop them."""
    kin = _KIN
    if change == "gender":
        is_female = value.startswith("f")
        rules = _gender_rules(_TO_MALE if is_female else _TO_FEMALE)
        kin = _FEMALE_KIN if is_female else _MALE_KIN
    elif change == "race":
        rules = _race_rules(value)
    else:
        rules = _ethnicity_rules(value) if change == "ethnicity" else _age_rules()
    return rules, re.compile(rf"\b(?:{kin})s?\b", re.IGNORECASE)


def _gender_rules(words: dict[str, str]) -> list[_Rule]:
    letter = next(word for word in words if len(word) == 1).upper()
    titles = "Mrs|Ms" if letter == "F" else "Mr"  # MS and MR are heart valves, 5 ms is a time
    others = {letter, *titles.split("|")}
    long = "|".join(word for word in words if word.title() not in others)

    def gendered(match: re.Match) -> str | None:
        word, text = match["word"], match.string
        rest = text[match.end("word") :]
        if word.isupper() and any(c.islower() for c in _line(text, match.start("word"))):
            # In a line with lower-case letters, other words in capitals are abbreviations.
            return _like(word, words[word.lower()]) if word in ("FEMALE", "MALE") else None
        of_bundle = text[: match.start("word")].endswith("of ")
        if word == "His" and (of_bundle or _BUNDLE.match(rest)):
            return None
        after = words[word.lower()]
        if word.lower() == "her" and _NOT_A_NOUN.match(rest):
            after = "him"
        elif word.lower() == "his" and re.match(r"\s*(?:$|[^\w\s'(\"/-]|\n)", rest):
            after = "hers"
        return _like(word, after)

    def lettered(match: re.Match) -> str:
        return words[match["word"].lower()].upper()

    sex = _LABEL.format("sex|gender")
    return [
        _rule(rf"(?<![\w/])(?P<word>{long})(?![\w/])", gendered),
        # A quotation may begin after the age, or with the letter.
        _rule(rf"(?:(?:\b\d{{1,3}}|\A){_OLD}[ ]|\b{_SHORT_AGE}|\A{_AND_LETTER})"
              rf"(?P<word>(?-i:{letter}))\b", lettered),
        _rule(rf"\b(?P<word>(?-i:{titles}))\b", gendered),
        _rule(rf"{sex}(?P<word>(?-i:{letter}))\b", lettered),
    ]  # fmt: skip


def _race_rules(value: str) -> list[_Rule]:
    own, other, names, name = "white", "black", "caucasian", "African American"
    if value != "white":
        own, other, names, name = "black", "white", "african[ -]american", "Caucasian"
    rules = [
        _rule(rf"{_LABEL.format('race')}(?P<word>{own})\b", _RACES[value]),
        _rule(rf"\b(?P<word>{own})(?=[ -](?:{_SOMEBODY})\b)", other),
        _rule(rf"{_AGED}[ ](?P<word>{own})\b(?![ ]or\b)", other),
        _rule(rf"(?<!or )\b(?P<word>{names})\b", name),
    ]
    if own == "black":
        rules.insert(0, _rule(r"\b(?P<word>black or african american)\b", _RACES[value]))
    return rules


def _ethnicity_rules(value: str) -> list[_Rule]:
    full = _rule(rf"(?<!not )(?<!\w)(?P<word>{value})\b", _ETHNICITIES[value])
    if value.startswith("not"):
        return [full, _rule(r"\b(?P<word>non-?hispanic)\b", "Hispanic")]
    # Full values come first; overlapping matches are dropped.
    pattern = r"(?<!non-)(?<!non)(?<!not )(?<!not Hispanic or )\b(?P<word>hispanic|latin[oa])\b"
    return [full, _rule(pattern, lambda m: _like(m["word"], "non-Hispanic", keep=True))]


def _age_rules() -> list[_Rule]:
    def older(match: re.Match) -> str | None:
        age = int(match["word"])
        return str(age + YEARS) if age <= 120 else None

    def older_by_days(match: re.Match) -> str | None:
        birthdate = re.search(r"<birthdate>([^<]*)", match.string[: match.start()])
        days = birthdate and days_older(birthdate[1])
        return str(int(match["word"]) + days) if days else None

    number = r"(?P<word>\d{1,3})"
    born = _LABEL.format("birthdate|birth date|date of birth|DOB|born")
    return [
        _rule(rf"\b{number}(?={_OLD})", older),
        _rule(rf"\b(?P<word>{_SHORT_AGE})", older),
        _rule(rf"\b{number}(?=[ ]years?[ ]of[ ]age\b(?!{_RANGE}))", older),
        _rule(rf"\b(?:aged?|age[ ]of)[ ]?[:=]?[ ]?{number}(?!\d|\.\d|{_RANGE})", older),
        _rule(r"\bin[ ](?:his|her|the(?:ir)?)[ ](?:early[ ]|mid[ -]?|late[ ])?(?P<word>\d0)s\b",
              older),
        _rule(r"<years>(?P<word>\d{1,3})<", older),
        _rule(r"<days>(?P<word>\d{1,5})<", older_by_days),
        _rule(rf"{born}(?P<word>\d{{4}}-\d{{2}}-\d{{2}})\b", lambda m: _earlier(m["word"])),
        _rule(rf"{born}(?P<word>\d{{1,2}}/\d{{1,2}}/\d{{4}})\b", lambda m: _earlier_us(m["word"])),
    ]  # fmt: skip


def days_older(birthdate: str) -> int | None:
    """Return the days by which the change of age makes a person older; None for an invalid date."""
    before, after = birthdate.strip(), _earlier(birthdate.strip())
    return after and (date.fromisoformat(before[:10]) - date.fromisoformat(after[:10])).days


def _earlier(day: str) -> str | None:
    """The date or timestamp `YEARS` years earlier, in the same format; None if it is invalid."""
    try:
        born = date.fromisoformat(re.match(r"\d{4}-\d{2}-\d{2}|", day)[0])
        if (born.month, born.day) == (2, 29) and not isleap(born.year - YEARS):
            born = date(born.year, 3, 1)  # as for a birthday on 29 February in a common year
        return f"{born.replace(year=born.year - YEARS)}{day[10:]}"
    except ValueError:
        return None


def _earlier_us(day: str) -> str | None:
    month, of_month, year = day.split("/")
    earlier = _earlier(f"{year}-{int(month):02}-{int(of_month):02}")
    return earlier and f"{day[: -len(year)]}{earlier[:4]}"


def _rule(pattern: str, rewrite: Callable[[re.Match], str | None] | str) -> _Rule:
    """A rule that replaces the group `word`; a replacement given as text copies its capitals."""
    function = rewrite if callable(rewrite) else lambda match: _like(match["word"], rewrite)
    return re.compile(pattern, re.IGNORECASE), function


def _of_another(text: str, match: re.Match, kin: re.Pattern) -> bool:
    """Whether a word is about a relative named in its sentence; see the module's docstring."""
    start, end = match.span("word")
    before = _SENTENCE_END.split(text[max(0, start - _LONGEST) : start])[-1]
    if kin.search(before):
        return True
    return match["word"].lower() not in _PRONOUNS and bool(_OF_KIN.match(text, end))


def _line(text: str, place: int) -> str:
    end = text.find("\n", place)
    return text[text.rfind("\n", 0, place) + 1 : len(text) if end < 0 else end]


def _like(model: str, word: str, *, keep: bool = False) -> str:
    """The word capitalized like its model; with `keep`, only if the model is all capitals."""
    if len(model) > 1 and model.isupper():
        return word.upper()
    if keep or word.lower() in ("african american", "caucasian", "hispanic"):
        return word
    return word[0].upper() + word[1:] if model[0].isupper() else word.lower()
