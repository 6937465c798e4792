"""Grades terms: whether the response names the right one as its answer, and no rival."""

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import chain
from typing import NamedTuple

from medalign_utils.grading.assertions import DOUBTED, ENDED, NAMED, NEGATED, STOPPED, judge
from medalign_utils.grading.clauses import clause_of, concerns
from medalign_utils.grading.concepts import mentions
from medalign_utils.grading.dates import read_dates
from medalign_utils.grading.facts import Fact, Piece, Result
from medalign_utils.grading.lexicon import Spellings, alternatives, section_of, stems, with_synonyms
from medalign_utils.grading.modality import is_supposed
from medalign_utils.grading.questions import (
    ANSWER,
    ASIDE,
    BEST,
    NEUTRAL,
    UNDECIDED,
    Question,
    read_question,
    relevance,
    segment_of,
)
from medalign_utils.grading.spelling import Mention
from medalign_utils.grading.text import Reading, Statement
from medalign_utils.grading.topics import belongs

_OR = re.compile(r"(?i)[\s,]*(?:[\w'-]+\s+){0,4}(?:or|vs\.?|versus|o)\s+(?:[\w'-]+\s+){0,4}\W*")
_SHORT = 8  # words: an opening that just answers
_BECAUSE = re.compile(
    r"(?i)\b(?:because|due to|owing to|secondary to|on account of|reason\b[^.;]{0,40}?(?:was|is|:)"
    r"|as a result of|debido a|porque|por causa de)"
)
_ADMITTED = re.compile(
    r"(?i)\b(?:admi(?:tted|ssion)|hospitali[sz]\w+|referr\w+)\b[^.;]*? (?:for|because of|due to) "
    r"(?!evaluation|management|work-?up)"
)
# A relative who does something is neither whom the patient lives with nor the contact.
_ACTS = re.compile(
    r"(?i)\s+(?:who )?(?:lives?(?! with)|visits?|checks?|helps?|comes|brought|brings|manages|drives"
    r"|works?|stays?(?! with))\b"
)
_AFTER = re.compile(r"(?i)\bafter (?:her |his |the )?$")
# A term of another kind may name a relative's telephone number or home.
_CLINICAL = ("condition", "symptom", "complication", "finding", "drug", "surgery", "test")


_SUCCESSOR = re.compile(
    r"(?i)\b(?:(?:switch|chang|mov|went|convert|transition)\w*(?: \w+){0,3}? (?:to|onto)"
    r"|(?:replac|substitut)ed (?:\w+ )?(?:with|by)|swapped for|started|began|now on|now takes) $"
)
_NOW = re.compile(r"(?i)\b(?:now|current(?:ly)?|at present|ever since|since(?! \w*\d))\b")
_THEN = re.compile(r"(?i)\s*(?:[0-9.]+ ?\w+ )?(?:to|then)\s*")
_OR_CODE = re.compile(r"(?<=[0-9])\s+or\s+[A-Z]?[0-9]")  # F32.9 or F33.9
_POSSESSED = re.compile(  # her mother's side
    r"(?i)'s\s+(?:side|family|mother|father|sister|brother|aunt|uncle|parents?|husband|wife)\b"
)
_SPANISH = re.compile(
    r"(?i)\b(?:al?|la|el|de|del|cada|por|una?|dos|tres|con|seg[uú]n|cuando|si|antes|vez|veces"
    r"|d[ií]as?|diari\w+|horas?|noches?|mañanas?|semana\w*|desayuno|cena|dormir|acostarse)\b"
)
_ASKS_SPANISH = re.compile(r"(?i)\bSpanish\b")
_DENIES = re.compile(
    r"(?i)(?:(?:no|none|never)\b(?=\W*(?:$|[,.;!-]))"
    r"|no (?:upcoming|next|future) (?:appointment|visit|booking))"
)
_UNDATED = (0, 0, 0)


class Claim(NamedTuple):
    """One mention of a term, what is said about it and how well it answers the question."""

    statement: Statement
    mention: Mention
    verdict: str
    relevance: int
    is_tied: bool  # to the fact's topic, if there is one

    @property
    def span(self) -> tuple[int, int]:
        """Where the mention is in the response."""
        return self.statement.span(self.mention.start, self.mention.end)

    @property
    def text(self) -> str:
        """The words of the mention."""
        return self.statement.text[self.mention.start : self.mention.end]

    @property
    def day(self) -> tuple[int, int, int]:
        """The latest date in the mention's part of the sentence, `_UNDATED` if there is none."""
        text = self.statement.text
        begin, end = clause_of(text, self.mention.start)
        dates = [d for d in read_dates(text) if begin <= d.start < end and d.year]
        if not dates:
            begin, end = segment_of(text, self.mention)
            dates = [d for d in read_dates(text) if begin <= d.start < end and d.year]
        return max(((d.year, d.month or 0, d.day or 0) for d in dates), default=_UNDATED)


class _Names(NamedTuple):
    """The names of a term and its rivals, and of what else they could be."""

    own: Spellings
    rivals: tuple[Spellings, ...]
    absent: Spellings  # what a term such as "no acute abnormality" says is not there
    hidden: Spellings  # other terms of the same section, which the fact doesn't list
    topic: Spellings
    other_topics: Spellings


@lru_cache(maxsize=4096)
def _names(
    accepted: Spellings,
    rivals: tuple[Spellings, ...],
    topic: Spellings,
    asked: tuple[Spellings, ...],
) -> _Names:
    kind = section_of(accepted)
    topic = topic or next((group for group in asked if section_of(group) != kind), ())
    known = {stems(name) for names in (accepted, *rivals) for name in with_synonyms(names)}
    hidden = chain.from_iterable(alternatives(accepted))
    return _Names(
        accepted,
        rivals,
        tuple(name.removeprefix("no ") for name in accepted if name.startswith("no ")),
        tuple(name for name in hidden if stems(name) not in known),
        topic,
        tuple(chain.from_iterable(alternatives(topic))) if topic else (),
    )


def grade_term(fact: Fact, reading: Reading, facts: list[Fact]) -> Result:
    """Return the share found (0 or 1) and the number of rivals claimed."""
    question = read_question(reading.instruction.text)
    names = _names(fact.accepted, fact.rivals, fact.topic, question.topics)
    lost = {NEGATED, DOUBTED} | ({STOPPED, ENDED} if question.is_current else set())

    def claims(spellings: Spellings) -> list[Claim]:
        return list(_claims(spellings, fact, names, reading, question)) if spellings else []

    sides = map(claims, (names.own, names.hidden, *names.rivals))
    own, hidden, *rivals = _without_parts(list(sides))
    hidden = [c for c in hidden if not _overlaps(c, chain(own, *rivals))]
    hidden = [c for c in hidden if c.text.lower() not in reading.instruction.text.lower()]
    hidden = [c for c in hidden if c.verdict not in lost and c.relevance != ASIDE]
    own = [c._replace(verdict=NAMED) if _is_negative(c) else c for c in own]
    if question.is_best:
        own = [c._replace(verdict=NAMED) if _is_called_best(c) else c for c in own]
    own += [c._replace(verdict=NAMED) for c in claims(names.absent) if c.verdict == NEGATED]
    said = [c for c in own if c.verdict not in lost and c.relevance != ASIDE]
    against = [[c for c in r if c.verdict not in lost and c.relevance != ASIDE] for r in rivals]
    others = [c for c in chain.from_iterable(rivals) if c.verdict != NEGATED]
    if question.is_yes_no and _DENIES.match(reading.spoken[0].own if reading.spoken else ""):
        said = []
    said = [c for c in said if not any(_are_alternatives(c, o) for o in (*others, *hidden))]
    undecided = [m[0] for s in reading.spoken if (m := UNDECIDED.search(s.text))]
    if undecided and (others or any("which" in text for text in undecided)):
        said = []
    said = [c for c in said if not _OR_CODE.match(c.statement.text, c.mention.end)]
    if question.is_current:
        against = [[c for c in r if not any(_gives_way(c, s) for s in said)] for r in against]
        said, against = _latest(said, against)
    best = max((c.relevance for c in said), default=ASIDE)
    if best == NEUTRAL and _answers_otherwise(said, hidden, question, reading):
        said = []

    elsewhere = {n for f in facts if f is not fact for m in (*f.members, f.accepted) for n in m}
    contradicting = [
        rival
        for spellings, rival, every in zip(names.rivals, against, rivals, strict=True)
        if not elsewhere.intersection(spellings)
        and any(c.relevance >= best or any(_are_together(c, s) for s in said) for c in rival)
        and not any(c.verdict in (STOPPED, ENDED) for c in every)
    ]
    if hidden and ((reading.is_part and not said) or (fact.subject == "family" and fact.topic)):
        contradicting.append(hidden)
    evidence = [Piece("found", *claim.span) for claim in said]
    evidence += [Piece("contradicted", *rival[0].span) for rival in contradicting]
    return Result(float(bool(said)), len(contradicting), tuple(evidence))


def _is_negative(claim: Claim) -> bool:
    """Return whether the term itself is a negation: no acute abnormality."""
    return claim.statement.text[claim.mention.start :].lower().startswith(("no ", "nothing "))


def _is_called_best(claim: Claim) -> bool:
    """Return whether the text after a doubted one calls it the likeliest of a differential."""
    text = claim.statement.text
    end = segment_of(text, claim.mention)[1]
    return claim.verdict == DOUBTED and BEST.search(text, claim.mention.end, end) is not None


def _gives_way(claim: Claim, later: Claim) -> bool:
    """Return whether one is followed by the other: "atenolol to metoprolol"."""
    between = claim.statement.text[claim.mention.end : later.mention.start]
    return claim.statement is later.statement and _THEN.fullmatch(between) is not None


def _latest(said: list[Claim], against: list[list[Claim]]) -> tuple[list, list]:
    """Drop claims of either side that are dated, and older than the other side's."""

    def last(claims: Iterable[Claim]) -> tuple[int, int, int]:
        return max((c.day for c in claims), default=_UNDATED)

    newest = last(said), last(chain.from_iterable(against))
    if newest[0] == _UNDATED and any(_NOW.search(c.statement.own) for c in said):
        against = [[c for c in rival if c.day == _UNDATED] for rival in against]
    kept = [c for c in said if not _UNDATED < c.day < newest[1]]
    return kept, [[c for c in rival if not _UNDATED < c.day < newest[0]] for rival in against]


def _claims(
    spellings: Spellings, fact: Fact, names: _Names, reading: Reading, question: Question
) -> Iterator[Claim]:
    """Yield what the response says about a term, in connection with the fact's topic if any."""
    is_clinical = section_of(fact.accepted) in _CLINICAL
    is_carried = bool(fact.topic) and section_of(fact.topic) != "drug"
    is_spanish = _ASKS_SPANISH.search(reading.instruction.text) and any(
        _SPANISH.search(name) for name in fact.accepted
    )
    spoken = reading.spoken
    last: bool | None = None  # whether the topic last named is the fact's
    for statement in spoken:
        text = statement.text
        found = mentions(spellings, text, loose=spellings is not names.hidden)
        if not found and not is_carried:
            continue
        topics, others = _topics(names, text)
        values = _values(names, text) if names.topic else ()
        for mention in found:
            is_own = None
            if mention.start < statement.heading or _POSSESSED.match(text, mention.end - 2):
                continue
            if names.topic:
                is_own = belongs(text, mention, values, topics, others)
                if is_own is False or (is_own is None and last is False):
                    continue
            if is_spanish and not _SPANISH.search(text[mention.start : mention.end]):
                continue
            if is_clinical and not concerns(fact, statement, mention, reading):
                continue
            verdict = judge(text, mention)
            if is_supposed(text, mention.start, mention.end, reading.instruction.text):
                verdict = DOUBTED
            is_tied = bool(is_own) or not names.topic
            weight = relevance(question, statement, mention)
            if section_of(spellings) == "relative" and _ACTS.match(text, mention.end):
                weight = ASIDE
            if question.is_current and _AFTER.search(text, 0, mention.start):
                weight = ASIDE
            if statement is spoken[0] and len(statement.own.split()) <= _SHORT:
                weight = max(weight, ANSWER) if weight else weight
            yield Claim(statement, mention, verdict, weight, is_tied)
        if is_carried and (topics or others):
            last = bool(topics)


def _topics(names: _Names, text: str) -> tuple[list[Mention], list[Mention]]:
    """Return mentions of the topic, and of others of its kind."""
    if not names.topic:
        return [], []
    topics = mentions(names.topic, text)
    others = mentions(names.other_topics, text, loose=False) if names.other_topics else ()
    apart = [o for o in others if not any(o.start < t.end and t.start < o.end for t in topics)]
    # The drug that followed is not the one that was stopped.
    return list(topics), [o for o in apart if not _SUCCESSOR.search(text, 0, o.start)]


def _values(names: _Names, text: str) -> list[Mention]:
    """Return mentions of the term and of everything that could be in its place."""
    found = list(chain.from_iterable(mentions(n, text) for n in (names.own, *names.rivals)))
    return found + list(mentions(names.hidden, text, loose=False) if names.hidden else ())


def _without_parts(sides: list[list[Claim]]) -> list[list[Claim]]:
    """Drop mentions within a longer mention of another side: migraine in migraine headache."""
    every = list(chain.from_iterable(sides))
    return [
        [
            c
            for c in side
            if not c.mention.is_part_of(o.mention for o in every if o.statement is c.statement)
        ]
        for side in sides
    ]


def _overlaps(claim: Claim, others: Iterable[Claim]) -> bool:
    return any(
        o.statement is claim.statement
        and o.mention.start < claim.mention.end
        and claim.mention.start < o.mention.end
        for o in others
    )


def _are_alternatives(claim: Claim, other: Claim) -> bool:
    """Return whether the two are joined by "or": gout or cellulitis."""
    if claim.statement is not other.statement:
        return False
    first, second = sorted([claim.mention, other.mention])
    between = claim.statement.text[first.end : second.start]
    return _OR.fullmatch(between) is not None


def _are_together(claim: Claim, other: Claim) -> bool:
    """Return whether both are in the same part of a sentence."""
    return claim.statement is other.statement and segment_of(
        claim.statement.text, claim.mention
    ) == segment_of(other.statement.text, other.mention)


def _answers_otherwise(
    said: list[Claim], hidden: list[Claim], question: Question, reading: Reading
) -> bool:
    """Return whether another statement answers the question with something else."""
    own = [c.statement for c in said]
    if any(c.relevance == ANSWER and c.is_tied and c.statement not in own for c in hidden):
        return True
    spoken = [statement for statement in reading.spoken if statement not in own]
    cues = [_BECAUSE] * question.is_reason + [_ADMITTED] * question.is_admission
    return any(cue.search(statement.text) for cue in cues for statement in spoken)
