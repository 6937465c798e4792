"""Subjects and clauses, which the rules for every kind of fact use."""

import re
from functools import lru_cache
from itertools import pairwise

from medalign_utils.grading.assertions import names_relative
from medalign_utils.grading.facts import Fact
from medalign_utils.grading.names import topic_mentions
from medalign_utils.grading.quantities import Quantity, mask, read_quantities
from medalign_utils.grading.spelling import Mention
from medalign_utils.grading.text import Reading, Statement

_PATIENT = re.compile(r"(?i)\b(?:patient|pt)(?!'s)\b")
_WOMAN = re.compile(r"(?i)\b(?:grand)?(?:mother|daughter|mom)\b|\b(?:sister|aunt|niece|wife)\b")
_MAN = re.compile(r"(?i)\b(?:grand)?(?:father|son|dad)\b|\b(?:brother|uncle|nephew|husband)\b")


def concerns(fact: Fact, statement: Statement, place: Mention | Quantity, reading: Reading) -> bool:
    """Return whether the statement, at `place`, is about the fact's subject."""
    if fact.subject == "family":
        own = reading.is_bare and not _names_patient(statement.text, reading.instruction.text)
        return own or names_relative(statement, place.start, place.end, as_subject=False)
    return not names_relative(statement, place.start, place.end, as_subject=True)


def _names_patient(text: str, asked: str) -> bool:
    """Return whether a bare answer is about the patient, not the relative who is asked about."""
    if pronoun := re.match(r"(?i)\W*(she|he) (?:has|had|is|was)\b", text):
        relative = (_WOMAN if pronoun[1].lower() == "she" else _MAN).search(asked)
        return relative is None
    return _PATIENT.search(text) is not None


def topic_of(fact: Fact, statement: Statement, reading: Reading) -> list[Mention]:
    """Return the mentions of the fact's topic that are about its subject."""
    mentions, _ = topic_mentions(fact.topic, statement.text)
    return [mention for mention in mentions if concerns(fact, statement, mention, reading)]


_SEGMENT = re.compile(
    r"(?i),(?![0-9]| which\b)|;|\.\s|\b(?:and|then|while|but|however|up from|down from"
    r"|compared (?:to|with)|versus|vs|previously)\b|\b(?:from|to)\b(?=\s*[0-9])"
)
_CONNECTIVES = frozenset(
    """a an the and or then than was is were are be been being has had have it its this that of at
    on in to from by up down with for as about around approximately approx roughly now today
    currently later again repeat repeated also next previous previously prior earlier before
    after since until between most recent recently latest last first second initial baseline value
    values level levels result results reading readings measurement measured measures recorded
    reported noted documented checked drawn dated date found came back returned rose risen
    rising fell fallen falling dropped declined decreased increased improved worsened peaked
    climbed went come gone got crept drifted dipped remained stable trended only just still her
    his their she he which when
    rather instead
    respectively exactly equal equals take takes daily once twice per versus vs compared am pm
    visit day days ago and/or""".split()
)


@lru_cache(maxsize=2048)
def clauses(text: str) -> tuple[tuple[int, int], ...]:
    """Return where each clause begins and ends, divided by commas, "and", "up from" and so on."""
    cuts = [match.start() for match in _SEGMENT.finditer(mask(text))]
    edges = [0, *cuts, len(text)]
    return tuple((a, b) for a, b in pairwise(edges) if b > a)


@lru_cache(maxsize=4096)
def clause_of(text: str, place: int) -> tuple[int, int]:
    """Return where the clause that contains `place` begins and ends."""
    return next((a, b) for a, b in reversed(clauses(text)) if a <= place)


def names_something(text: str) -> bool:
    """Return whether `text` contains a word that is not a mere connective."""
    return any(w.lower() not in _CONNECTIVES for w in re.findall(r"[A-Za-z][\w'/-]*", text))


def names_nothing(text: str) -> bool:
    """Return whether `text` has only numbers, dates and connectives: "It was 1.4 mg/dL"."""
    covered = mask(text)
    for quantity in read_quantities(text):
        length = quantity.end - quantity.start
        covered = covered[: quantity.start] + " " * length + covered[quantity.end :]
    return not names_something(covered)
