"""Decides how closely a number is tied to a fact's topic: named, asked about, or unrelated."""

import re
from functools import lru_cache

from medalign_utils.grading import roles
from medalign_utils.grading.clauses import clause_of, concerns, names_nothing, names_something
from medalign_utils.grading.facts import Fact
from medalign_utils.grading.modality import is_supposed
from medalign_utils.grading.names import LIMIT, topic_mentions, with_synonyms
from medalign_utils.grading.quantities import Quantity, mask, read_quantities
from medalign_utils.grading.spelling import find
from medalign_utils.grading.text import Reading, Statement

# How a number is tied to the topic. An unrelated number still answers a question if the response
# names the topic nowhere; another topic's number never does.
ANOTHERS, UNRELATED, ASKED, NAMED, NAMED_IN_CLAUSE = range(5)

# Topics that are units or say that an age is asked for; they do not tell one number from another.
_UNIT_WORDS = re.compile(r"(?i)(?:days?|ages?|aged|years? old|year-old|yo|drinks?)")
_PERSON = re.compile(
    r"\b(?:grand)?(?:mother|father|brother|sister|son|daughter|aunt|uncle|cousin|niece|nephew)\b"
)
_OUTCOME = re.compile(r"(?i)\b(?:cancell?ed|rescheduled|kept|attended|completed)\b")
# Not the verb that follows: "a value below 550 rules it out".
_COUNTED = re.compile(
    r"\s(?!(?:rules?|excludes?|makes?|means?|applies|should|would|will|can|does|did|has|had)\b)"
    r"([A-Za-z]{3,})"
)
_DIED = re.compile(r"(?i)\b(?:died|death|passed away|deceased)\b")
_OF = re.compile(r"\s+of\s+(?=[A-Za-z]{3})(?!age\b)")
_AGE = re.compile(r"(?i)\b(?:age[ds]?|how old|years? old|year-old|yo)\b")
_LABEL = re.compile(r"[^:,.;]{1,60}:")
_DENIED = re.compile(
    r"(?i)\b(?:not|no|never|none|without|unknown|unclear)\b|n't\b|\bno (?:record|documentation)"
)
_ATTRIBUTES = frozenset(
    """dose doses dosage strength amount take takes taking tablet tablets tab pill capsule mouth
    oral orally value level levels result size interval length stay duration total score points
    count number answer date when where what how much how many please your you our my we i this
    patient patient's pt mr mrs ms dr day days week weeks month months year years old age aged time
    left right upper lower lobe measured measures measuring found there approximately estimated
    first last earliest final present current therefore so thus due recommended repeat return should
    needs need gave give quit
    lasted would like want have next one started began use using used breathe inhale inject apply
    swallow item
    tome toma tomar dosis tableta cápsula pastilla una un por cada de la el""".split()
)


@lru_cache(maxsize=4096)
def _names(fact: Fact) -> tuple[str, ...]:
    """Return the topic's spellings that tell one number from another, or all if none does."""
    telling = tuple(s for s in fact.topic if not _UNIT_WORDS.fullmatch(s)) or fact.topic
    if fact.is_limit:  # "We aim for a urate below 6" names the goal of the urate
        bare = (LIMIT.sub("", s).strip() for s in telling)
        telling += with_synonyms(tuple(s for s in bare if len(s) > 1))
    return tuple(dict.fromkeys(telling))


def bond(fact: Fact, statement: Statement, quantity: Quantity, reading: Reading) -> int:
    """Return how closely a quantity is tied to the fact: `ANOTHERS` to `NAMED_IN_CLAUSE`."""
    text = statement.text
    if _is_pronoun(fact, statement, quantity, reading) or _is_of_another_relative(
        fact, statement, quantity, reading
    ):
        return ANOTHERS
    if not fact.is_limit and is_supposed(
        text, quantity.start, quantity.end, reading.instruction.text
    ):
        return ANOTHERS
    if _is_age_at_death(fact, statement.text, quantity, reading):
        return ANOTHERS
    if not concerns(fact, statement, quantity, reading) or _has_other_role(fact, text, quantity):
        return ANOTHERS
    if _is_age_or_duration(fact, reading, text, quantity):
        return ANOTHERS
    names = _names(fact) if reading.instruction.text else fact.topic
    own, others = topic_mentions(names, text)
    if not own and fact.side is not None:
        own = find(("blood pressure", "BP"), text)
        others = tuple(o for o in others if o not in own)
    strength = _bond_to(own, others, fact, statement, quantity, reading)
    if _counts_things(fact, text, quantity, reading) or _is_of_other_outcome(
        text, fact, quantity, reading
    ):
        return ANOTHERS
    if fact.is_limit and strength > UNRELATED:
        begin, end = clause_of(text, quantity.start)
        is_limit = LIMIT.search(text[begin:end]) or (quantity.is_bound and not _no_limit(reading))
        if not is_limit:
            is_answer = reading.instruction.text or reading.is_bare
            return ASKED if is_answer and not _no_limit(reading) else ANOTHERS
    return strength


def _no_limit(reading: Reading) -> bool:
    """Return whether a sentence without numbers says that no goal or the like is documented."""
    sentences = (part for s in reading.spoken for part in re.split(r"[.;] ", s.own))
    return any(_DENIED.search(s) and LIMIT.search(s) and not read_quantities(s) for s in sentences)


def _bond_to(own, others, fact: Fact, statement: Statement, quantity: Quantity, reading) -> int:
    text, start, end = statement.text, quantity.start, quantity.end
    before = [m for m in own if m.end <= start]
    foreign = [o.start for o in others if o.start < start]
    if foreign and (not before or before[-1].start < foreign[-1]):
        return ANOTHERS
    follows = _OF.match(text, end)
    if follows and not any(m.start == follows.end() for m in own) and before:
        return UNRELATED  # "10 mg of lisinopril"
    begin, stop = clause_of(text, start)
    if before:
        # "creatinine 1.4 and selenium 3.0": the second number has its own name.
        quantities = read_quantities(text)
        since = max(before[-1].end, statement.start)
        earlier = [q.end for q in quantities if since <= q.start and q.end <= start]
        if earlier and names_other(_since_joint(text, max(earlier), start), reading):
            return UNRELATED
        return NAMED_IN_CLAUSE if before[-1].end > begin else NAMED
    after = [m.start for m in own if start <= m.start < stop]
    if after:
        # "3 polyps at the colonoscopy" counts polyps, "a 1.4 creatinine" is its value.
        counts_other = quantity.unit is None and names_something(text[end : after[0]])
        counts_other = counts_other and fact.unit is not None and not _asks_age(fact, reading)
        return UNRELATED if counts_other else NAMED_IN_CLAUSE
    if not reading.instruction.text:
        return ASKED if not others and reading.is_bare and names_nothing(text) else ANOTHERS
    label = _LABEL.match(text, statement.start)  # of a table's row, of a list's item
    words = text[max(begin, statement.start) : start]
    words += " " + label[0] if label and label.end() <= start else ""
    return UNRELATED if names_other(words, reading) else ASKED


def _is_of_other_outcome(text: str, fact: Fact, quantity: Quantity, reading: Reading) -> bool:
    """Return whether the clause counts cancelled or kept appointments though others are asked."""
    begin, end = clause_of(text, quantity.start)
    is_other = fact.is_count and _OUTCOME.search(text[begin:end])
    return bool(is_other) and not _OUTCOME.search(reading.instruction.text)


def _counts_things(fact: Fact, text: str, quantity: Quantity, reading: Reading) -> bool:
    """Return whether a number without a unit counts something: "3 polyps" if years are asked."""
    counted = _COUNTED.match(text, quantity.end)
    is_plain = fact.unit is not None and quantity.unit is None and quantity.second is None
    return is_plain and counted is not None and names_other(counted[1], reading)


def _has_other_role(fact: Fact, text: str, quantity: Quantity) -> bool:
    """Return whether the number is not a value: negated, a reference range, an operand."""
    is_measured = fact.day is not None
    if roles.is_negated(text, quantity) or roles.is_hypothetical(text, quantity):
        return True
    if roles.is_of_people(text, quantity):
        return True
    if roles.is_calculation(text, quantity, is_measured=is_measured):
        return True
    if fact.is_limit:
        return False
    own, _ = topic_mentions(fact.topic, text)
    return roles.is_reference(text, 0, quantity.start) and not any(
        m.start <= quantity.start and roles.is_reference(text, m.start, m.end) for m in own
    )


def _is_of_another_relative(fact: Fact, statement, quantity: Quantity, reading: Reading) -> bool:
    """Return whether the clause names another relative than the instruction does."""
    if fact.subject != "family":
        return False
    begin, end = clause_of(statement.text, quantity.start)
    named = set(_PERSON.findall(statement.text[begin:end].lower()))
    asked = set(_PERSON.findall(reading.instruction.text.lower()))
    return bool(named and asked) and not named & asked


def _is_age_at_death(fact: Fact, text: str, quantity: Quantity, reading: Reading) -> bool:
    """Return whether it is the age at which a relative died, of no cause that was asked about."""
    if fact.subject != "family":
        return False
    begin, end = clause_of(text, quantity.start)
    is_death = _DIED.search(text[begin : quantity.start])
    if not is_death or _DIED.search(reading.instruction.text):
        return False
    return not topic_mentions(fact.topic, text[begin:end])[0]


def _is_pronoun(fact: Fact, statement: Statement, quantity: Quantity, reading: Reading) -> bool:
    """Return whether a number in words counts nothing: "the next one", "stricter of the two"."""
    offset = quantity.start - statement.start
    is_value = quantity.unit is not None or quantity.is_bound
    if not quantity.is_word or is_value or len(statement.own.split()) <= 3:
        return False
    if offset == 0 and re.match(r"[,.;:]", statement.text[quantity.end :]):
        return False  # "Five, so in 2004."
    following = " ".join(statement.text[quantity.end :].split()[:3])
    if topic_mentions(fact.topic, following)[0]:
        return False  # "one no-show"
    is_pronoun = statement.text[quantity.start : quantity.end].lower() == "one" and not (
        re.match(r"\s*(?:[:.,;(]|$)", statement.text[quantity.end :])
        and re.search(r"(?i)(?:^|\b(?:just|only|is|was|exactly))\s*$", statement.own[:offset])
    )
    return is_pronoun or not (fact.unit is None or _asks_age(fact, reading))


def _is_age_or_duration(fact: Fact, reading: Reading, text: str, quantity: Quantity) -> bool:
    """Return whether it is an age where a duration is asked, or the reverse."""
    if not _asks_age(fact, reading):
        return quantity.is_age
    is_year = re.match(r"(?i)y|a[ñn]o", quantity.unit or "y") is not None
    return not is_year or re.match(r"\s*(?:later|earlier|ago|before)\b", text[quantity.end :])


def _asks_age(fact: Fact, reading: Reading) -> bool:
    """Return whether an age is asked for, not a duration."""
    return fact.is_time and bool(
        fact.subject == "family"
        or _AGE.search(" ".join(fact.topic))
        or _AGE.search(reading.instruction.text)
    )


def _since_joint(text: str, begin: int, end: int) -> str:
    """Return the words before `end` back to the last number, date, comma, "and" or "with"."""
    return re.split(r"(?i)[,;()]|\b(?:and|or|with)\b|[\x01\x02]+", mask(text)[begin:end])[-1]


def names_other(words: str, reading: Reading) -> bool:
    """Return whether the words contain a content word that the instruction does not."""
    return bool(stems(words) - stems(reading.instruction.text))


@lru_cache(maxsize=2048)
def stems(text: str) -> frozenset[str]:
    """Return the beginnings of the text's content words, so that "diagnosed" is "diagnosis"."""
    words = (w.lower() for w in re.findall(r"[^\W\d_][\w'/-]*", mask(text)))
    return frozenset(w[:5] for w in words if names_something(w) and w not in _ATTRIBUTES)


def is_denied(fact: Fact, reading: Reading) -> bool:
    """Return whether a statement denies the topic, so that unrelated numbers do not answer."""
    return any(
        _DENIED.search(statement.own) and topic_mentions(_names(fact), statement.own)[0]
        for statement in reading.spoken
    )


def overlap(statement: Statement, quantity: Quantity, reading: Reading) -> int:
    """Return how many of the instruction's words the quantity's clause repeats."""
    begin, end = clause_of(statement.text, quantity.start)
    said = stems(statement.text[max(begin, statement.start) : end])
    return len(said & stems(reading.instruction.text))
