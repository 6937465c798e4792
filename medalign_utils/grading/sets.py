"""Grades sets: what the response lists as missing, pending, an allergy and so on."""

import re
from typing import NamedTuple

from medalign_utils.grading.assertions import DOUBTED, ENDED, NEGATED, judge
from medalign_utils.grading.clauses import concerns
from medalign_utils.grading.concepts import mentions
from medalign_utils.grading.facts import Fact, Piece, Result
from medalign_utils.grading.markup import CONCLUDED
from medalign_utils.grading.questions import UNDECIDED, is_elsewhere, read_question
from medalign_utils.grading.spelling import Mention
from medalign_utils.grading.text import Reading, Statement


class _Polarity(NamedTuple):
    """Words that put an item into the set asked for, and words that keep it out."""

    asked: re.Pattern
    cues: re.Pattern  # the group "inside" tells the former from the latter
    negation_counts: bool  # whether a negated item is out of the set


def _polarity(asked: str, denial: str, inside: str, outside: str, *, negation=True) -> _Polarity:
    cues = re.compile(rf"(?i)(?:{denial})|(?P<inside>{inside})|{outside}")
    return _Polarity(re.compile(rf"(?i){asked}"), cues, negation)


_NEVER = r"\b\B"  # matches nowhere
_POLARITIES = (
    _polarity(
        r"\b(?:pending|outstanding|chase|await\w*)\b",
        r"\b(?:no (?:longer|other)|not|nothing) (?:else )?(?:is )?(?:pending|outstanding)\b",
        r"\bpending\b|\boutstanding\b|\bawait\w*|\bnot (?:yet )?(?:been )?(?:come back|back"
        r"|resulted|available|final\w*|returned|reported)\b|\bstill out\b|\bchase\b"
        r"|\bfollow up on\b|\bto follow\b"
        r"|\bunresulted\b|\bpendientes?\b",
        r"\bresulted\b|\bfinal\w*(?! (?:report|read|result)s? (?:of|on))|\breturned\b"
        r"|\bcompleted?\b|\bnegative\b"
        r"|\bpositive\b|\bnormal\b|\b(?:came|is|are|was|were) back\b|\balready\b|\breviewed\b",
    ),
    _polarity(
        r"\ballerg",
        r"\bno (?:known |documented |recorded |other )*(?:\w+ )?(?:allerg\w*|reactions?)"
        r"|\bnot (?:\w+ )?allergic\b|\bnon-?allergic\b|\bsin alergia",
        r"\ballerg\w*(?! to nothing)|\breact\w*|\bintoleran\w*|\bal[eé]rgi\w*",
        r"\btolerat\w*|\b(?:takes?|taking|prescribed)\b|\b[0-9]+ ?mg\b|\bsafe\w*"
        r"|\bwithout (?:any |an? )?(?:problems?|reactions?|issues?)\b|\b(?:not a|no) problem\b",
    ),
    _polarity(
        r"\b(?:missing|not had|overdue|due|none is on record|offer|needs?|lacks?)\b",
        r"\b(?:not|nothing|none|isn't|aren't)(?: is| are)? (?:missing|due|overdue|needed"
        r"|lacking)\b",
        r"\b(?:given|received|administered|documented|had|done|on (?:record"
        r"|file))\?? *[:=] *(?:(?:no|none"
        r"|never)\b|[❌✗✘])"
        r"|\bno (?:record|evidence|documentation)(?: \w+){0,5} (?:receiv\w+|given|had"
        r"|vaccinat\w+)\b"
        r"|\bno (?:ha|han|se ha) (?:sido )?\w+d[oa]s?\b|\bno recibi\w*"
        r"|(?:not|never|n't|has yet to)(?: yet| been| be)*"
        r" (?:given|received?|had|have|done|administered|documented|recorded|on (?:record|file)"
        r"|completed?|vaccinated|immunized|up[- ]to[- ]date|found)\b|\bno (?:record|documentation"
        r"|evidence|entry|entries|doses?|sign|trace)\b|\bnone\b(?: (?:is|are|were"
        r"|was))?(?: (?:on (?:record|file)|given|documented|recorded|received))?|\bmissing\b"
        r"|\b(?:over)?due\b"
        r"|\black\w*|\bwithout\b"
        r"|\bneed(?:s|ed)?\b|\boffer\w*|\boutstanding\b|\babsent\b|\brecommend\w*|\bshould\b"
        r"|\bremain\w*|\bnot yet\b|\bnever\b|[❌✗✘]|\bfalta\w*|\bpendientes?\b|:\s*(?:no|false)\b",
        r"\breceived\b|\bgiven\b|\bup[- ]to[- ]date\b|\b(?:(?:has|have|having|had)|'s|'ve) (?:only "
        r"|already |just )?"
        r"had\b|\bhad (?:the|an?|his|her|your|their)\b|\badministered\b|\bdone\b|\bcompleted?\b"
        r"|\balready\b|\bon (?:record|file)\b"
        r"|\bdocumented\b|\bvaccinated\b|\bimmunized\b|\bcovered\b|[✅✓✔]|:\s*(?:yes|true)\b"
        r"|\brecibi\w*"
        r"|\bya (?:se|ha|tiene)\b|\bcurrent\b|\bgot\b|(?:[:(]|\s-)\s*(?:on |in )?[0-9][0-9/-]{3,}",
        negation=False,
    ),
    _polarity(
        r"\b(?:h[oe]ld|stop(?:ped)?|paused?|discontinued?)\b",
        r"\b(?:no|none|not|nothing)\b[^.;]{0,30}?\b(?:held|stopped|paused|discontinued)\b",
        r"\b(?:with)?held\b|\bhold\w*|\bstopp?\w*|\bpaus\w+|\bdiscontinu\w+|\bsuspend\w+",
        r"\bcontinued\b|\bkept\b|\bresum\w+|\brestart\w+|\bremain\w*|\bstill tak\w+",
    ),
    _polarity("", _NEVER, _NEVER, r"\bresolved\b|\bno history\b|\bruled out\b"),
)
_TURN = re.compile(r"(?i);|\.\s|\b(?:but|while|whereas|although|however|pero|mientras)\b")
_INVERTED = re.compile(
    r"(?i)\b(?:all|everything|every (?:one|vaccine)|none) (?:but|except|other than|apart from)"
    r"(?:\W|\band\b|\bthe\b|\bfor\b)*$|\b(?:neither|nor)\b(?:\W|\bthe\b)*$"
)
_FILLING = re.compile(
    r"(?i)(?:[^\w\]}]|\b(?:and|or|nor|y|ni|vaccines?|shots?|boosters?|is|are|was|were|has|have|been|still"
    r"|both|all"
    r"|[0-9.]+ ?(?:mg|mcg|g|units?)|every|once|twice|daily|day|morning|evening|night|nightly"
    r"|also|the|a|status|results?|tests?|cultures?|vacunas?|not)\b)*"
)


def grade_set(fact: Fact, reading: Reading, facts: list[Fact]) -> Result:
    """Return the share of the members that the response lists, and the number of rivals listed."""
    asked = reading.instruction.text
    polarity = next(p for p in _POLARITIES if p.asked.search(asked))
    question = read_question(asked)
    if any(UNDECIDED.search(statement.text) for statement in reading.spoken):
        return Result(0.0, 0)
    found: dict[int, Piece] = {}
    claimed: dict[int, Piece] = {}
    for statement in reading.spoken:
        items = [mentions(names, statement.text) for names in (*fact.members, *fact.rivals)]
        for n, own in enumerate(items):
            others = [m for k, listed in enumerate(items) if k != n for m in listed]
            for mention in own:
                if mention.start < statement.heading or mention.is_part_of(others):
                    continue
                if not concerns(fact, statement, mention, reading):
                    continue
                if is_elsewhere(question, statement.text, mention):
                    continue
                if _is_listed(polarity, statement, mention, others):
                    span = statement.span(mention.start, mention.end)
                    if n < len(fact.members):
                        found.setdefault(n, Piece("found", *span))
                    else:
                        claimed.setdefault(n, Piece("contradicted", *span))
    elsewhere = {
        name for f in facts if f is not fact for m in (*f.members, f.accepted) for name in m
    }
    rivals = dict(enumerate(fact.rivals, start=len(fact.members)))
    claimed = {n: p for n, p in claimed.items() if not elsewhere.intersection(rivals[n])}
    if reading.is_part and len(found) < len(fact.members) and not claimed:
        weakest = min(statement.weight for statement in reading.statements)
        if weakest == CONCLUDED:
            return Result(0.0, 0)  # one item of a list in bold type
    evidence = (*found.values(), *claimed.values())
    return Result(len(found) / len(fact.members), len(claimed), evidence)


def _is_listed(
    polarity: _Polarity, statement: Statement, mention: Mention, others: list[Mention]
) -> bool:
    """Return whether the statement puts the mention into the set asked for."""
    text = statement.text
    # "Two results had not come back: ..." negates none of them.
    verdict = judge(polarity.cues.sub(_without_negation, text), mention)
    if verdict == DOUBTED or (polarity.negation_counts and verdict in (NEGATED, ENDED)):
        return False
    covered = text
    for other in others:
        covered = covered[: other.start] + " " * (other.end - other.start) + covered[other.end :]
    cues = [
        (match.start(), match.end(), match["inside"] is not None)
        for match in polarity.cues.finditer(covered)
    ]
    place = len(text[: mention.start].rstrip())
    marks = [c for c in cues if not text[c[0]].isascii()]
    first = min(item.start for item in (mention, *others))
    if marks and marks[0][0] < first:  # marks stand before their items
        marks = [c for c in marks if c[1] == place]
        if marks:
            return marks[0][2]
    after = [
        c for c in cues if c[0] >= mention.end and _FILLING.fullmatch(covered, mention.end, c[0])
    ]
    if after and not ("(" in text[mention.end : after[0][0]] and _cross(mention, others, after[0])):
        return after[0][2] != bool(_INVERTED.search(covered, 0, mention.start))
    before = [
        c for c in cues if c[1] <= mention.start and not _TURN.search(text, c[1], mention.start)
    ]
    if before:
        return before[-1][2]
    later = [c for c in cues if c[0] >= mention.end and not _TURN.search(text, mention.end, c[0])]
    return later[0][2] if later else not _INVERTED.search(covered, 0, mention.start)


def _without_negation(cue: re.Match) -> str:
    is_negation = cue["inside"] is not None and cue[0].lower().startswith("not ")
    return " " * len(cue[0]) if is_negation else cue[0]


def _cross(mention: Mention, others: list[Mention], cue: tuple[int, int, bool]) -> bool:
    return any(mention.end <= other.start < cue[0] for other in others)
