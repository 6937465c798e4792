"""What a number is besides a value: an earlier value, a difference, a goal, an operand."""

import re
from functools import lru_cache

from medalign_utils.grading.clauses import clause_of
from medalign_utils.grading.quantities import Quantity, mask

_EARLIER = re.compile(
    r"(?i)\b(?:previous(?:ly)?|prior|compared|versus|vs|formerly|baseline|up from|down from|used to"
    r"|had been|before that|earlier|last (?:year|month|week)|instead of|rather than)\b"
    r"|\bfrom(?: an?| \w+ of)?\s*$"
)
_EARLIER_AFTER = re.compile(
    r"(?i)\b(?:ago|previously|last (?:year|month|week|visit)|at baseline|before that"
    r"|earlier|until)\b"
)
_LATER = re.compile(
    r"(?i)\b(?:(?:an?|one|two|three|several|\d+) (?:day|week|month|year)s? later|later (?:on|that)"
    r"|after(?:wards?| that)|since then"
    r"|(?:the )?(?:next|following) (?:day|week|month|year|visit))\b"
)
_STOPPED = re.compile(
    r"(?i)\b(?:stopped|discontinued|no longer|any ?more|was held|were held|ended|was replaced)\b"
)
_NOW = re.compile(
    r"(?i)\b(?:(?<!from )now(?! that)|current(?:ly)?|at present|(?<!from )today|these days|as of"
    r"|at (?:(?:her|his|the) )?(?:last|latest|most recent) (?:visit|note))\b"
)
_LATEST = re.compile(
    r"(?i)\b(?:now|current(?:ly)?|at present|today|latest|newest|most recent(?:ly)?"
    r"|last(?! (?:year|month|week|summer|winter|spring|fall)))\b"
)
_EXTREME = re.compile(
    r"(?i)\b(?:earlier|before|initial(?:ly)?|first|peak(?:ed)?|highest|lowest|nadir|max(?:imum)?"
    r"|min(?:imum)?|average|mean|median|usual(?:ly)?|typical(?:ly)?|used to)\b"
)
_HIGHEST = re.compile(r"(?i)\b(?:highest|peak|max(?:imum)?|tmax|t max|how high)\b")
_REFERENCE = re.compile(
    r"(?i)(?:\breference|\bref\.?|\bnormal (?:range|values?|limits?)|\brang(?:e|ed|es|ing)"
    r"|\bbetween|\bgoal|\btarget|\blimits?|\bULN|\bcut-?off|\bthreshold|\bvaried)\b[^,;]{0,30}$"
    r"|\bnormal\s*[:=(<]?\s*$"
)
_HYPOTHETICAL = re.compile(
    r"(?i)\b(?:would (?:have been|be)|conventional|unadjusted|non-adjusted|standard|usual|typical"
    r"|otherwise)\b[^,;]*$"
)
# "10 x age for anyone over 50": the number says to whom a rule applies.
_WHOM = re.compile(
    r"(?i)\b(?:anyone|everyone|people|patients?|adults?|those|men|women|persons?|individuals"
    r"|ages?|aged|(?:who|she|he) (?:is|are|was|were))\s+"
    r"(?:who (?:is|are)\s+)?(?:aged\s+)?"
    r"(?:over|under|above|below|older than|younger than|[<>]=?)\s*$"
)
_PROPOSED = re.compile(
    r"(?i)[^,;.]{0,20}\b(?:was|were) (?:only |just |merely |never )*"
    r"(?:proposed|considered|suggested|discussed|offered|debated)\b"
)
_NOT_BEFORE = re.compile(
    r"(?i)(?:\bnot|n't|\bnever)\s+(?:(?!went|rose|climbed|got|exceed)\w+\s+){0,2}$"
)
_CHANGE = (
    r"(?:drop|fall|rise|increase|decrease|change|gain|loss|difference|delta|growth|decline"
    r"|improvement|reduction|jump)"
)
_ABOUT = r"(?:about|approximately|roughly|around|some|only|just|nearly|~)?"
_DIFFERENCE_BEFORE = re.compile(
    rf"(?i)(?:\bby|\b{_CHANGE}(?: \w+){{0,3}} of"
    rf"|\b(?:difference|change|delta|net)(?: is| was)?\s*[:=]?|Δ)\s*{_ABOUT}\s*$"
)
_DIFFERENCE_AFTER = re.compile(
    rf"(?i)\s*(?:{_CHANGE}|higher|lower|more|less|greater|above|below|older|younger|heavier"
    r"|lighter|later|earlier|apart)\b"
)
_OPERAND_BEFORE = re.compile(
    r"(?i)(?:[*/+^]|(?<=[\s)])[x-]|\bminus|\btimes|\bdivided by)\s*\(?\s*$"
)
_MULTIPLIED = re.compile(r"(?i)(?:[a-z)] (?:\*|times)|\bage x) $")  # age x 10 ng/mL
_TIMES_AGE = re.compile(r"(?i)\s*(?:[\w/]+\s)?(?:x|\*|times)\s*(?:the |her |his |patient\s)*age\b")
_OPERAND_AFTER = re.compile(
    r"(?i)\s*(?:\([^()]*\)\s*)?(?:[*/+^]|x(?=\s)|-(?=\s)|minus\b|times\b|divided by\b)\s*[\w(]"
)
_SUMMAND_AFTER = re.compile(r"\s*(?:\([^()]*\)\s*)?\+")
_SUMMED_AFTER = re.compile(r"[^=.;\n]*\s\+\s[^=.;\n]*=")  # "1 in the cecum + 1 in the colon = 2"
_HALVED = re.compile(r"(?i)\bhalf (?:of )?(?:an?|one|the) $")  # half a 10 mg tablet
_ASIDE = re.compile(r"\([^()]*[0-9][^()]*\)")
_PLACE = re.compile(
    r"(?i)\b(?:(?P<home>home|outpatient|before admission)|inpatient|in-?hospital|hospital|stay"
    r"|admission|received|given|got)\b"
)
_AT_HOME = re.compile(
    r"(?i)[^.;,0-9]{0,30}?\b(?:at home|home dose|(?:his|her|the) (?:usual|outpatient|home) \w+"
    r"|before (?:the )?admission)\b"
)
_SAME = re.compile(r"(?i)\b(?:same|as at|unchanged|continu\w+|kept|also|both|still|identical)\b")
_IN_HOSPITAL = re.compile(r"(?i)\b(?:inpatient|hospital|admission|stay)\b")
_TOTAL_BEFORE = re.compile(  # "3 of 21 appointments"
    r"(?i)(?:[0-9]|\b(?:one|two|three|four|five|six|seven|eight|nine|ten))\s"
    r"(?:out of|of)\s(?:(?:the|his|her|all|a total of)\s)?$"
)
_RESULT = re.compile(r"=\s*\(?[0-9]+\b[^=]*$")
_UP_OR_DOWN = re.compile(r"(?i)\b(?:up|down)\s$")
_SUBTRACTION = re.compile(r"[0-9]\S*(?: [A-Za-z/%]+)?\s(?:-|minus)\s[^=]*=[^=]*$")


def is_negated(text: str, quantity: Quantity) -> bool:
    """Return whether the text says that the number is not the value."""
    return _NOT_BEFORE.search(text[: quantity.start]) is not None


def is_of_people(text: str, quantity: Quantity) -> bool:
    """Return whether the number is an age that says to whom a rule applies."""
    return _WHOM.search(text[: quantity.start]) is not None


def is_reference(text: str, start: int = 0, end: int | None = None) -> bool:
    """Return whether the words just before `end` announce a reference range or a goal."""
    return _REFERENCE.search(mask(text)[start:end]) is not None


def is_calculation(text: str, quantity: Quantity, *, is_measured: bool) -> bool:
    """Return whether the number is an operand or a difference; `is_measured` if values are."""
    covered = mask(text)
    before, after = covered[: quantity.start], covered[quantity.end :]
    if _SUMMAND_AFTER.match(after) or before.rstrip().endswith("+") or _TOTAL_BEFORE.search(before):
        return True
    if not is_measured and _RESULT.search(after) and ("," in after or "," in before):
        return True  # "HTN 1, age 1, female 1 = 3"
    if _DIFFERENCE_BEFORE.search(before) or quantity.is_signed:
        return True
    has_result = "=" in after or "~" in after
    if has_result and _OPERAND_AFTER.match(after):
        return True
    is_equation = has_result or "=" in before or "~" in before
    if not quantity.is_word and _UP_OR_DOWN.search(before, max(0, quantity.start - 6)):
        return True  # "96.1 kg, up 1.3 kg"
    if _HALVED.search(before) or _SUMMED_AFTER.match(after):
        return True
    if _MULTIPLIED.search(before) or _TIMES_AGE.match(after):
        return True
    if is_equation and _OPERAND_BEFORE.search(before):
        return True
    return is_measured and bool(
        _DIFFERENCE_AFTER.match(after) or _SUBTRACTION.search(before.rpartition("\n")[2])
    )


def is_earlier(text: str, quantity: Quantity) -> bool:
    """Return whether the clause says that the value was an earlier one ("up from 1.1")."""
    before, after = _around(text, quantity)
    return bool(_EARLIER.search(before) or _EARLIER_AFTER.search(after))


def is_later(text: str, quantity: Quantity) -> bool:
    """Return whether the clause says that the value is a later one ("a month later")."""
    return any(map(_LATER.search, _around(text, quantity)))


def is_stopped(text: str, quantity: Quantity) -> bool:
    """Return whether the clause says that the drug was stopped."""
    return any(map(_STOPPED.search, _around(text, quantity)))


def is_now(text: str, quantity: Quantity) -> bool:
    """Return whether the clause says that the value is the current one."""
    return any(map(_NOW.search, _around(text, quantity)))


def asks_latest(instruction: str) -> bool:
    """Return whether the instruction asks for the current state or the latest value."""
    return _LATEST.search(instruction) is not None


def is_latest(text: str, quantity: Quantity) -> bool:
    """Return whether the clause says that the value is the latest or current one."""
    return any(map(_LATEST.search, _around(text, quantity)))


def is_extreme(text: str, quantity: Quantity) -> bool:
    """Return whether the clause calls the value a peak, a mean, the first one or a usual one."""
    words = re.split("[0-9]", _around(text, quantity)[0])[-1]  # since the number before
    return _EXTREME.search(words) is not None


def asks_highest(instruction: str) -> bool:
    """Return whether the instruction asks for the highest value."""
    return _HIGHEST.search(instruction) is not None


def is_hypothetical(text: str, quantity: Quantity) -> bool:
    """Return whether the value is what is usual or would have been, not what is."""
    before, after = _around(text, quantity)
    return bool(_HYPOTHETICAL.search(before) or _PROPOSED.match(after))


def is_home_dose(text: str, quantity: Quantity, asked: str) -> bool:
    """Return whether it is the dose at home, and the instruction asks for the one in hospital."""
    if not _IN_HOSPITAL.search(asked) or _SAME.search(text):
        return False
    places = list(_PLACE.finditer(text, 0, quantity.start))
    at_home = _AT_HOME.match(text, quantity.end)
    return bool((places and places[-1]["home"]) or at_home)


def is_aside(text: str, quantity: Quantity) -> bool:
    """Return whether the number is in parentheses."""
    before = text[: quantity.start]
    return before.count("(") > before.count(")")


def _around(text: str, quantity: Quantity) -> tuple[str, str]:
    return _around_place(text, quantity.start, quantity.end)


@lru_cache(maxsize=2048)
def _around_place(text: str, start: int, stop: int) -> tuple[str, str]:
    begin, end = clause_of(text, start)
    after = text[stop:end]
    # "Age 47 (she is 59 today)": an aside with another number is about that number.
    if aside := _ASIDE.search(mask(text)[stop:end]):
        after = after[: aside.start()]
    return text[begin:start], after
