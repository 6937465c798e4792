"""Grades yes/no answers: by how the response opens, and by what it says about the topic."""

import re
from functools import lru_cache

from medalign_utils.grading.assertions import AFFIRMED, ENDED, NAMED, NEGATED, STOPPED, judge
from medalign_utils.grading.clauses import concerns
from medalign_utils.grading.concepts import mentions
from medalign_utils.grading.facts import Fact, Piece, Result
from medalign_utils.grading.lexicon import Spellings, opposites, sections
from medalign_utils.grading.modality import is_supposed
from medalign_utils.grading.questions import ASIDE, read_question, relevance
from medalign_utils.grading.spelling import Mention
from medalign_utils.grading.text import Reading, Statement

_OPENING = re.compile(
    r"(?i)(?:(?:based on|as far as|according to|per|from|in|after|having)\b[^,.;:]{0,60},\s*)?"
    r"(?:(?:the )?(?:\w+ )?(?:answer|response|result|conclusion|respuesta|a)(?:\s*:| is)\s*)?"
    r"(?:(?P<yes>yes|yeah|yep|affirmative|correct|that's (?:right|correct)|indeed|s[ií]|positive)"
    r"|(?P<no>no|nope|never|none|negative|nothing|nada|ningun[ao]|nunca|not (?:once|at all"
    r"|at this|at the"
    r"|currently|now|that|yet|any ?more|really)|(?:un)?eventful|i'm afraid not|it does not"
    r"|it did not|there (?:were|was|are|is)(?:n't| not) any|there (?:were"
    r"|was) none))\b(?=\W*(?:$|[,.;:!-])|\s+\(|\s+(?:she|he|they|the|there|it|this|that"
    r"|patient|pt|her|his|personal|known|prior|such|history|evidence|mention|record"
    r"|documentation|point|moment|longer|documented|recorded|reported|noted|found|on|in|of"
    r"|hay|ha|tiene)\b)"
)
_ELLIPTIC = re.compile(
    r"(?i)(?:(?:the )?(?:patient|pt|she|he)\s+)?(?:(?:\w+ly|always|has|have|had|did|does|is"
    r"|was)\s+)*"
    r"(?:(?P<no>(?:does|did|is|has)n't|den(?:ies|ied)|none|never|not|negative|absent|nieg\w+"
    r"|neg[oó])"
    r"|(?P<yes>(?:does|has|is|did|has had)(?=\W*$|[,.:;])|meets (?:them|all|these)|reports"
    r"|endorses|positive|present|refiere|presenta))\b"
)
# "Her mother had glaucoma, but she does not."
_CONTRAST = re.compile(
    r"(?i)\b(?:she|he|the patient|they) (?:herself |himself )?(?:does|has|did|is|was)(?: not|n't)"
    r"(?=\W*$|[.,;])"
)
# "He denied headache in 2010 but reported it in 2012."
_LATER = re.compile(
    r"(?i)\b(?:but|and) (?:\w+ly |later |then )?(?:reported|had|endorsed|mentioned|complained of) "
    r"(?:them|it|one|some)\b"
)
_OTHER = re.compile(r"(?i)\b(?:any|no) other (?:[\w-]+ ){0,3}$")  # besides the one named before
_EVER = re.compile(
    r"(?i)\b(?:ever|any|at any time|history|past|known|run in|does .* run|complicat\w+)\b"
)
_LOOKING = re.compile(
    r"(?i)\b(?:search\w*|look(?:ed|ing)? (?:for|at)|check(?:ed|ing)?|review\w*|asks?|asked|asking"
    r"|question|hits?|mentions? of|terms?|whether)\b"
)


@lru_cache(maxsize=4096)
def _instances(topic: Spellings) -> Spellings:
    """Return terms of which each one affirms the topic: a wound infection is a complication."""
    if any("complication" in name for name in topic):
        return tuple(name for group in sections()["complication"] for name in group)
    return ()


def grade_yes_no(fact: Fact, reading: Reading, facts: list[Fact]) -> Result:
    """Return the share found (0 or 1) and the contradictions (0 or 1) of a yes_no fact."""
    spoken = reading.spoken
    question = read_question(reading.instruction.text)
    claims: list[tuple[str, tuple[int, int]]] = []
    opening: bool | None = None
    place = (0, 0)
    for statement in spoken:
        own = statement.text[statement.start :]
        match = _OPENING.match(own)
        if match and not reading.n_quoted and (opening is None or "answer" in match[0].lower()):
            if statement is spoken[0] or "answer" in match[0].lower():
                opening, place = match["yes"] is not None, statement.own_span
        for mention, verdict in _verdicts(fact, statement, reading):
            is_aside = relevance(question, statement, mention) == ASIDE and verdict == NAMED
            if not is_aside:
                claims.append((verdict, statement.own_span))
        if not mentions(fact.topic, own) and (match := _ELLIPTIC.match(own)):
            is_about = mentions(fact.topic, statement.text) or len(spoken) == 1
            if is_about and (match := _ELLIPTIC.match(own)):
                claims.append((NEGATED if match["no"] else AFFIRMED, statement.own_span))
        if _LATER.search(own):
            claims.append((AFFIRMED, statement.own_span))
        if _CONTRAST.search(own):
            claims.append((NEGATED, statement.own_span))
    if fact.subject == "family" and not claims and opening is None:
        claims = [(AFFIRMED, s.own_span) for s in spoken if _names_affected(s)]
    is_known = bool(reading.instruction.text) or _is_named(fact, reading) or len(spoken) == 1
    if opening is not None and not is_known:
        return Result(0.0, 0)
    answers = _answers(opening, [verdict for verdict, _ in claims], reading.instruction.text)
    said = {True: (AFFIRMED, NAMED, STOPPED), False: (NEGATED, ENDED)}
    pieces = []
    for answer in answers:
        name = "found" if answer == fact.answer else "contradicted"
        spans = [span for verdict, span in claims if verdict in said[answer]]
        spans = [place] if opening == answer else spans
        pieces += [Piece(name, *span) for span in spans]
    return Result(float(fact.answer in answers), int((not fact.answer) in answers), tuple(pieces))


def _names_affected(statement: Statement) -> bool:
    """Return whether a statement only names a relative, as those who have the disease."""
    words = tuple(name for group in sections()["relative"] for name in group)
    found = mentions(words, statement.own, loose=False)
    return (
        bool(found)
        and len(statement.own.split()) <= 4
        and (judge(statement.own, found[0]) in (AFFIRMED, NAMED))
    )


def _is_named(fact: Fact, reading: Reading) -> bool:
    return any(mentions(fact.topic, statement.text) for statement in reading.statements)


def _verdicts(fact: Fact, statement: Statement, reading: Reading) -> list[tuple[Mention, str]]:
    """Return what the statement says about the topic, each time it names it."""
    text = statement.text
    said = []
    for names, is_instance in ((fact.topic, False), (_instances(fact.topic), True)):
        for mention in mentions(names, text, loose=not is_instance) if names else ():
            if mention.start < statement.heading or not concerns(fact, statement, mention, reading):
                continue
            if _OTHER.search(text, 0, mention.start):
                continue
            verdict = judge(text, mention)
            if is_supposed(text, mention.start, mention.end, reading.instruction.text):
                continue
            if is_instance and verdict == NAMED:
                verdict = AFFIRMED
            if verdict == NAMED and _LOOKING.search(text, statement.start):
                continue
            if not is_instance or verdict == AFFIRMED:
                said.append((mention, verdict))
    for mention in mentions(opposites(fact.topic), text) if opposites(fact.topic) else ():
        if judge(text, mention) != NEGATED:
            said.append((mention, NEGATED))
    return said


def _answers(opening: bool | None, verdicts: list[str], question: str) -> set[bool]:
    """Return the answers that the response gives: one, both or none."""
    yes = any(verdict in (AFFIRMED, STOPPED) for verdict in verdicts)
    no = any(verdict in (NEGATED, ENDED) for verdict in verdicts)
    named = NAMED in verdicts
    if opening is not None:
        is_opposed = (no and not yes and not named) if opening else (yes and not no)
        return {opening, not opening} if is_opposed else {opening}
    if yes and no:
        # Denied at one visit and reported at another: it was reported once.
        return {True} if _EVER.search(question) else {True, False}
    if yes or no:
        return {yes}
    return {True} if named else set()
