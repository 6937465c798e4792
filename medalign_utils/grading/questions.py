"""What an instruction asks, and how well a part of a response answers it."""

import re
from functools import lru_cache
from itertools import chain
from typing import NamedTuple

from medalign_utils.grading.clauses import clause_of
from medalign_utils.grading.concepts import mentions
from medalign_utils.grading.dates import Date, read_dates
from medalign_utils.grading.lexicon import Spellings, sections
from medalign_utils.grading.spelling import Mention
from medalign_utils.grading.text import Statement

ASIDE, NEUTRAL, ANSWER = 0, 1, 2

_CURRENT = re.compile(
    r"(?i)\b(?:now|current(?:ly)?|at present|these days|is (?:she|he) on|takes?|most recent|latest"
    r"|applies|full code or|code status|next|upcoming)\b|\b(?:who does|does (?:she|he)) live\b"
)
_YES_NO = re.compile(r"(?i)(?:was|is|are|did|does|has|have|any)\b")
_ADMISSION = re.compile(r"(?i)\b(?:admi(?:tted|ssion)|hospital\w*|stay|referr\w*)\b")
_REASON = re.compile(r"(?i)\b(?:why|reason|come off)\b")
BREAK = re.compile(
    r"(?i)[;|\n]|[.!?](?=\s)|\((?=(?:[^\s()]+\s+){4})|,?\s*\b(?:but|while|whereas|although"
    r"|though|however|pero|mientras"
    r"|aunque)\b|,\s*(?:and )?(?=(?:she|he|the patient|her|his)\b)"
)
_ASIDE = re.compile(
    r"(?i)\bother (?:\w+ )?(?:problem|condition|diagnos[ei]s|issue|allerg|medication|chronic"
    r"|finding"
    r"|relative|plan|active|family)|\bcomorbid|\bbackground\b|\bpast medical\b|\bPMH\b"
    r"|\bhistory of\b"
    r"|\bh/o\b"
    r"|\balso (?:has|had|carries|known)\b|\bin general\b|\bgenerally\b|\btypically\b"
    r"|\bcommon(?:ly)?"
    r" (?:reasons?|causes?|side|used|seen)\b|\bknown (?:to cause|side effects?)\b"
    r"|\bside effects? (?:of|include|such)\b"
    r"|\b(?:can|may|could|might|often) (?:\w+ly |also |all |sometimes )*(?:cause|lead|produce"
    r"|trigger|raise|lower|increase|reduce|elevate|make|give|result)\b"
    r"|\bpertinent negatives?\b|\bincidental|\bunrelated\b|\bdifferent (?:visit|admission|stay)\b"
    r"|\botros (?:problemas|diagn)"
)
_ASIDE_AFTER = re.compile(
    r"(?i)\W*(?:is|are|can be|may be) (?:also )?(?:an? )?(?:\w+ )?(?:common|known|typical|frequent"
    r"|well-known|possible|usual|recognized) (?:\w+ )?(?:reasons?|causes?|effects?|reactions?)"
)
_ELSEWHERE = re.compile(
    r"(?i)\W*(?:is|are|was|were) (?:being )?(?:followed|managed|treated|handled|looked after)"
    r" (?:elsewhere|separately|by)\b"
)
_ARISEN = re.compile(  # during the stay, so it is not why the stay began
    r"(?i)\W*(?:(?:was|were) (?:found|noted|noticed|discovered)|came up|arose|appeared|developed"
    r"|occurred)\b[^.;]{0,20}?\b(?:later|on (?:hospital )?day|during)\b"
)
BEST = re.compile(
    r"(?i)\b(?:most (?:likely|probabl[ey])|best (?:fits?|explains?|match|explanation)|fits best)\b"
)
_RANK = re.compile(r"(?<![\w.])(?<!stage )(?<!grade )(?<!type )([1-9])[.)]\s")
_ALLERGY = re.compile(r"(?i)\ballerg(?:ic|y) to\b")
_LAST_VISIT = re.compile(r"(?i)\b(?:last|previous|prior|past) (?:visit|appointment|encounter|seen)")
_OTHER_TIME = re.compile(
    r"(?i)\bcopied[- ]forward|\b(?:at|from|of|in) (?:the|an?|her|his) (?:previous|prior|earlier"
    r"|other"
    r"|different) (?:\w+ )?(?:visit|note|admission|stay|encounter|hospitali[sz]ation)\b"
    r"|^\W*(?:the|an?|her|his) (?:previous|prior|earlier|older|other) (?:\w+ )?(?:scan|MRI|CT|film"
    r"|x-?ray|image|imaging|study|echo\w*|test|exam\w*|report|biopsy|colonoscopy|ultrasound) "
    r"(?:had )?(?:show|reveal|demonstrat|found|describ|report|read)\w*"
)
# The response can't tell which of several terms is the answer.
UNDECIDED = re.compile(
    r"(?i)\b(?:hard to (?:say|tell)|(?:either|both) (?:could|may|might)|could be either"
    r"|unable to (?:say|tell|determine|decide)|can(?:not|'t) (?:say|tell|determine|decide)"
    r"|cannot tell which|can't tell which|not (?:entirely |fully )?(?:clear|certain|sure)"
    r"|isn't (?:entirely )?clear|unclear which"
    r"|any of which|which of (?:the|these) (?:two|three)|one of the two|not consistent"
    r"|does(?: not|n't) (?:\w+ )*(?:say|specify|spell out|state) (?:which|a single|one))\b"
)
_FAR = 45  # days: a date further away belongs to something else


class Question(NamedTuple):
    """What an instruction asks, as far as terms are concerned."""

    cues: Spellings  # words that mark a statement as an answer
    dates: tuple[Date, ...]
    is_current: bool
    is_next: bool
    is_yes_no: bool
    is_reason: bool
    is_admission: bool  # or a referral
    is_best: bool  # the likeliest of several
    topics: tuple[Spellings, ...]  # the operation, condition or the like that it is about


_TOPIC_SECTIONS = ("surgery", "condition", "department", "allergen", "drug")


@lru_cache(maxsize=4096)
def read_question(instruction: str) -> Question:
    """Return what the instruction asks; nothing in particular if it is empty."""
    roles = [group for group in sections()["role"] if mentions(group, instruction, loose=False)]
    cues = tuple(dict.fromkeys(chain.from_iterable(roles)))
    dates = tuple(d for d in read_dates(instruction) if d.year and d.month and d.day)
    is_current = bool(_CURRENT.search(instruction)) and not dates
    known = sections()
    topics = tuple(
        group
        for section in _TOPIC_SECTIONS
        for group in known[section]
        if mentions(group, instruction, loose=False)
    )
    is_next = re.search(r"(?i)\b(?:next|upcoming)\b", instruction) is not None
    is_admission = _ADMISSION.search(instruction) is not None
    is_reason = _REASON.search(instruction) is not None
    is_best = BEST.search(instruction) is not None
    is_yes_no = _YES_NO.match(instruction) is not None
    kinds = is_current, is_next, is_yes_no, is_reason, is_admission, is_best
    return Question(cues, dates, *kinds, topics)


def segment_of(text: str, mention: Mention) -> tuple[int, int]:
    """Return the part of the sentence around a mention, up to a "but", "while" and the like."""
    begin = max((m.end() for m in BREAK.finditer(text, 0, mention.start)), default=0)
    end = BREAK.search(text, mention.end)
    return begin, end.start() if end else len(text)


def relevance(question: Question, statement: Statement, mention: Mention) -> int:
    """Return whether a mention is in an `ANSWER`, an `ASIDE` or neither."""
    text = statement.text
    begin, end = segment_of(text, mention)
    if is_elsewhere(question, text, mention) or _ASIDE_AFTER.match(text, mention.end):
        return ASIDE
    if _ELSEWHERE.match(text, mention.end):
        return ASIDE
    if question.is_admission and _ARISEN.match(text, mention.end):
        return ASIDE
    if question.is_best and _is_ranked_lower(text, mention):
        return ASIDE
    for aside in _ASIDE.finditer(text, begin, mention.start):
        if not _has_cue(question, text[aside.end() : mention.start]):
            return ASIDE
    if "allergic" not in question.cues and _ALLERGY.search(text, begin, mention.start):
        return ASIDE
    where = text[: statement.start] + text[begin:end]
    return ANSWER if _has_cue(question, where) else NEUTRAL


def _is_ranked_lower(text: str, mention: Mention) -> bool:
    """Return whether it is not the first of "1) gout 2) cellulitis"; the 1 may be stripped."""
    ranks = [match[1] for match in _RANK.finditer(text, 0, mention.start)]
    return bool(ranks) and ranks[0] in "12" and ranks[-1] != "1"


def _has_cue(question: Question, text: str) -> bool:
    return bool(question.cues) and bool(mentions(question.cues, text, loose=False))


def is_elsewhere(question: Question, text: str, mention: Mention) -> bool:
    """Return whether a mention is about another visit, or dated far from what is asked."""
    begin, end = segment_of(text, mention)
    if _OTHER_TIME.search(text, begin, end):
        return True
    if (question.is_next or question.dates) and _LAST_VISIT.search(text, begin, end):
        return True
    dates = [d for d in read_dates(text) if d.year]
    low, high = clause_of(text, mention.start)
    low, high = max(low, begin), min(high, end)
    given = [d for d in dates if low <= d.start < high] or [
        d for d in dates if begin <= d.start < end
    ]
    return bool(question.dates and given) and not any(
        _are_close(a, b) for a in given for b in question.dates
    )


def _are_close(given: Date, asked: Date) -> bool:
    year = given.year if given.year > 99 else given.year + 100 * (asked.year // 100)
    if given.month is None:
        return year == asked.year
    days = 365.25 * (year - asked.year) + 30.4 * (given.month - asked.month)
    days += given.day - asked.day if given.day else 0
    return abs(days) <= _FAR
