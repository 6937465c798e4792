"""English for notes, questions and references: counts, articles, lists, units, times past."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from medalign_utils.synthetic.catalogue import spellings

# Names that take an indefinite article in a sentence.
COUNTABLE = frozenset(
    spellings(
        "stroke, heart attack, urinary tract infection, lower GI bleed, pulmonary embolism, "
        "kidney stone, bile leak, wound infection, deep vein thrombosis, hip dislocation, "
        "pelvic abscess, ileus, sternal wound infection, pleural effusion, bladder injury, seroma, "
        "4 mm meningioma, pineal cyst, right lower lobe opacity, small left pleural effusion, "
        "simple left renal cyst, 50-69% left ICA stenosis, right vertebral artery occlusion, "
        "left frontal scalp hematoma, rash, commercial PPO, commercial HMO, handicap placard, "
        "hearing aid, refill"
    )
)
# "An SSRI" and "an LDL cholesterol": these letters are spoken with a vowel first.
_SPOKEN_WITH_VOWEL = "AEFHILMNORSX"
_SPOKEN_WITH_Y = ("eu", "uni", "ura", "uri", "use")
_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def counted(number: int, noun: str) -> str:
    """Return a count with its noun.

    >>> counted(1, "week"), counted(3, "polyp")
    ('1 week', '3 polyps')
    """
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def with_article(phrase: str) -> str:
    """Return a phrase with "a" or "an".

    >>> [with_article(x) for x in ("echo", "SSRI", "PPI", "urate-lowering drug", "uric acid")]
    ['an echo', 'an SSRI', 'a PPI', 'a urate-lowering drug', 'a uric acid']
    """
    first = phrase.split()[0]
    has_vowel = phrase[0].lower() in "aeiou" and not phrase.lower().startswith(_SPOKEN_WITH_Y)
    if first[:2].isupper():
        has_vowel = first[0] in _SPOKEN_WITH_VOWEL
    return f"{'an' if has_vowel else 'a'} {phrase}"


def named(name: str) -> str:
    """Return a name as in a sentence, with an article if it is `COUNTABLE`.

    >>> named("stroke"), named("dementia")
    ('a stroke', 'dementia')
    """
    return with_article(name) if name in COUNTABLE else name


def listed(words: Sequence[str], last: str = "and") -> str:
    """Return a list in words.

    >>> listed(["gout"]), listed(["gout", "GERD", "CKD"])
    ('gout', 'gout, GERD and CKD')
    """
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {last} {words[-1]}"


def capitalized(text: str) -> str:
    """Return a text that begins in upper case."""
    return text[:1].upper() + text[1:]


def quantity(digits: str, unit: str) -> str:
    """Return a number with its unit, as clinicians write it.

    >>> quantity("6.9", "%"), quantity("171", "10*3/uL"), quantity("1.5", "")
    ('6.9%', '171 K/uL', '1.5')
    """
    return f"{digits}%" if unit == "%" else f"{digits} {unit.replace('10*3', 'K')}".strip()


def home(how: str, her: str) -> str:
    """Return a living situation after "lives".

    >>> home("alone", "her"), home("assisted living", "her"), home("spouse", "her")
    ('alone', 'in assisted living', 'with her spouse')
    """
    if how == "alone":
        return how
    return f"in {how}" if how.endswith("living") else f"with {her} {how}"


def since(moment: datetime, days: int) -> str:
    """Return words for the day so many days before a moment, computable from its date.

    >>> [since(datetime(2014, 8, 13), days) for days in (1, 2, 3, 8, 21)]
    ['since yesterday', 'since Monday', 'since Sunday', 'for 8 days', 'for three weeks']
    """
    if days == 1:
        return "since yesterday"
    if days < 7:
        return f"since {moment - timedelta(days=days):%A}"
    if days % 7 == 0:
        weeks = days // 7
        return "for a week" if weeks == 1 else f"for {_NUMBERS[weeks]} weeks"
    return f"for {days} days"


def years_ago(year: int, now: datetime) -> str:
    """Return a calendar year as seen from a day of the same or a later year.

    >>> [years_ago(year, datetime(2014, 8, 13)) for year in (2014, 2013, 2000)]
    ['this year', 'last year', '14 years ago']
    """
    passed = now.year - year
    return {0: "this year", 1: "last year"}.get(passed, f"{passed} years ago")
