"""Grades whether the response says that the record is silent about something."""

import re

from medalign_utils.grading.assertions import NEGATED, OPEN, judge
from medalign_utils.grading.concepts import mentions
from medalign_utils.grading.dates import read_dates
from medalign_utils.grading.facts import Fact, Piece, Result
from medalign_utils.grading.lexicon import section_of
from medalign_utils.grading.names import ALL_TESTS
from medalign_utils.grading.quantities import read_quantities
from medalign_utils.grading.spelling import Mention, find
from medalign_utils.grading.text import Reading, Statement

_SAID = (
    r"(?:documented|recorded|mentioned|noted|reported|stated|specified|available|found|listed"
    r"|provided|indicated|described|addressed|discussed|included|identified|located|present|named"
    r"|designated|assigned|appointed|seen|performed|done|ordered|obtained|measured|checked|drawn"
    r"|resulted|scheduled|given|on (?:file|record|the chart)|in (?:the|her|his|this) (?:\w+ )?"
    r"(?:record|chart|EHR|notes?|file))"
)
_RECORD = (
    r"(?:record|chart|EHR|EMR|notes?|file|documentation|documents?|records|registro|expediente"
    r"|historia|nota)"
)
SILENT = re.compile(
    rf"(?i)\b(?:not|never|n't)(?: (?:been|be|\w+ly|yet|otherwise|ever|appear to be))* {_SAID}"
    rf"|\w+n't (?:been |be |\w+ly |ever )*{_SAID}\b"
    r"|(?:\bis|\bwas|\bare)(?: not|n't) (?:one|any|anyone|anybody)\b"
    rf"|(?:\bnot|n't) (?:among|one of|part of)\b|[:=-]\s*(?:none|no|nil|never|nothing)\b"
    rf"|\bnot (?:in|part of|present in|on) (?:the|her|his|this|any) (?:\w+ )*{_RECORD}\b"
    r"|\bundocumented\b|\bfound (?:none|nothing|no)\b|\b(?:came|come|comes|turned) up empty\b"
    r"|\bnot (?:in|on) (?:chart|file|record)\b"
    rf"|\b(?:no|without|lacks?|absence of)(?: \w+){{0,3}}? (?:{_RECORD}|mention|information|info"
    rf"|data|entry"
    r"|entries|trace|evidence|results?|values?|levels?|reports?|reference|indication)\b"
    rf"|\b(?:no|none|nothing|neither|nobody|no one)\b(?:[ ,]+[\w/()'.-]+){{0,12}}? (?:(?:is|are"
    rf"|was|were"
    rf"|has been|have been|could be|can be|appears?|being) )?(?:ever )?{_SAID}\b"
    rf"|\b(?:none|nothing|no)(?: \w+){{0,5}} (?:on file|on record|in the (?:\w+ )*{_RECORD}"
    rf"|to report)\b"
    r"|\bnothing (?:about|on|in the)\b|\b(?:does|do|did|has|have)(?: not|n't) (?:\w+ly )?(?:mention"
    r"|document|record|say|state|contain|include|indicate|specify|list|provide|describe|address"
    r"|identif"
    r"|give"
    r"|report|show|have|appear|feature|figure|exist|name|designate"
    r"|had|undergone|undergo|reference|come back"
    r"|turn up)\w*\b"
    r"|\b(?:cannot|can't|can not|could not|couldn't|unable to|not possible to|impossible to"
    r"|not able to|did not|didn't|do not|don't|failed to|wasn't able to) (?:be )?(?:determine|find"
    r"|found|tell|answer|locate|identif|see|confirm|give|provide|say|report|retrieve|state)\w*\b"
    rf"|\b(?:unclear|unknown) from the\b|\b(?:unknown|unavailable|missing|absent"
    rf"|N/?A)\b|(?:[:=-]|\b(?:is|are|was|were|left))\s*unspecified\b"
    rf"|\b{_RECORD} (?:is|are|remains?) silent\b|\bsilent (?:on|about)\b|\bnot known\b|\bno such\b"
    r"|\bno (?:hay|existe|se|consta|figura|aparece|est[aá]|encontr\w+|documentad\w+|dispon\w+"
    r"|registr\w+)"
    r"|\bsin (?:registro|documentaci[oó]n|datos|informaci[oó]n)\b|\bning[uú]n[ao]? (?:registro"
    r"|documento|resultado|dato|menci[oó]n)\b|\bnever (?:had|been|undergone|ordered|checked"
    r"|measured)\b"
)
# Advice and search say nothing about what the record contains.
_NO_CLAIM = re.compile(
    r"(?i)\b(?:search\w*|look(?:ed|ing)? (?:for|at|through)|review\w*|check\w*|asks?|asked|asking"
    r"|question|consider|order|recommend\w*|suggest(?!ed)\w*|if|whether|would|could|should|may|might|can"
    r"|please|let me know|need\w*|want|discuss\w*|obtain\w*|request\w*|complete|typical\w*|usual\w*"
    r"|generally|pending|await\w*|reference range|form|importan\w*|revis\w+|busqu\w+|busc\w+)\b"
)
# "Sleep study normal, date not stated": only a detail is not documented.
_DETAIL = re.compile(
    r"(?i)[,(]\s*(?:but )?(?:(?:the|its|exact|full|signed|written)\s)*(?:date|form|details?|year"
    r"|report|paperwork|document|copy)s?\b[^,;(]*$"
)
_TURN = re.compile(
    r"(?i)[;\n]|,\s(?=(?:the|her|his|she|he)\s)|\.\s|\b(?:but|however|although|though|except"
    r"|pero|aunque)\b"
)
_DENIAL = re.compile(
    r"(?i)(?:\b(?:no|not|never|without|nor|neither|lacks?|denie[sd]|sin|ning[uú]n\w*)\b|n't\b)"
)
# "No ALT was flagged abnormal; the latest was 28 U/L."
_VALUE = re.compile(
    r"(?i)\b(?:latest|last|most recent|it|level|result|value)\b(?: one)? (?:was|is"
    r"|came back at) [0-9]"
)
_OPENING_YES = re.compile(r"(?i)\W*(?:yes|yep|yeah|s[ií])\b")
# Words that add no content: about the record, the question or the patient.
_CONTENTLESS = frozenset(
    """a an the this that these those it its is are was were be been being has have had do does
    did not no never none any of in on at to for from by with as about regarding and or so if
    whether patient patient's pt she he you they her his their him there here i we could can
    cannot can't couldn't unable find found locate located identify identified determine
    determined documented recorded mentioned noted stated specified available listed provided
    reported described addressed record records chart charts ehr emr note notes medical health
    information info data documentation mention evidence answer question requested asked such
    within based given see seen say says said state states contain contains include includes
    indicate indicates specify specifies document documents mentions yes unknown unclear
    explicitly clearly specifically one anything nothing what according per undocumented i'm
    it's there's isn't aren't wasn't weren't doesn't don't didn't appears anywhere specific
    relevant result results unfortunately current currently file n a na value values level
    status date last latest most recent sorry reviewed entire full s name names who when
    report reports entry entries all lab labs""".split()
)


def grade_not_documented(fact: Fact, reading: Reading, facts: list[Fact]) -> Result:
    """Return the share found (0 or 1) and the contradictions (0 or 1) of such a fact."""
    found: list[Piece] = []
    asserted: list[Piece] = []
    spoken = reading.spoken
    for statement in spoken:
        own = statement.text[statement.start :]
        named = mentions(fact.topic, statement.text)
        is_answer = statement is spoken[0] and bool(reading.instruction.text)
        is_answer = is_answer and not reading.n_quoted  # a quoted line is about its own topic
        is_silent = _is_silent(statement) or _is_absent(fact, statement, named)
        if is_silent and (named or is_answer or _without_content(own)):
            found.append(Piece("found", *statement.own_span))
        if statement is spoken[0] and _OPENING_YES.match(own):
            asserted.append(Piece("contradicted", *statement.own_span))
        for mention in named:
            # Under a heading that names the topic, other things may be said if the answer is.
            if mention.start >= (statement.start if found else statement.heading):
                if _claims_something(statement, mention, named):
                    asserted.append(Piece("contradicted", *statement.own_span))
        if _VALUE.search(own) and not find(ALL_TESTS, own):
            asserted.append(Piece("contradicted", *statement.own_span))
    if asserted:
        return Result(0.0, 1, tuple(asserted))
    return Result(float(bool(found)), 0, tuple(found))


def _is_absent(fact: Fact, statement: Statement, named: tuple[Mention, ...]) -> bool:
    """Return whether a test is said not to exist, which means that it is not documented."""
    is_test = section_of(fact.topic) == "test" or not set(ALL_TESTS).isdisjoint(fact.topic)
    return is_test and any(_is_denied(statement.text, mention) for mention in named)


def _is_denied(text: str, mention: Mention) -> bool:
    """Return whether it is denied ahead: "no biopsy", unlike "the biopsy was negative"."""
    return _DENIAL.search(text, 0, mention.start) is not None and judge(text, mention) == NEGATED


def _is_silent(statement: Statement) -> bool:
    return SILENT.search(statement.text, statement.heading) is not None


def _claims_something(statement: Statement, mention: Mention, named: tuple[Mention, ...]) -> bool:
    """Return whether the part of the statement around a mention says anything about it."""
    text = statement.text
    begin = max((m.end() for m in _TURN.finditer(text, 0, mention.start)), default=0)
    turn = _TURN.search(text, mention.end)
    end = turn.start() if turn else len(text)
    rest = text[end:]
    silent = SILENT.search(text, mention.end, end)
    if silent:
        between = text[mention.end : silent.start()]
        detail = _DETAIL.search(between)
        if read_quantities(between) or (detail and not _without_content(between[: detail.start()])):
            return True  # "was 30, date not documented"
    if SILENT.search(text, begin, end):
        # "is not documented, but was 7.2 in 2013"
        is_value = bool(read_quantities(rest) or read_dates(rest))
        return is_value and turn is not None and turn[0].isalpha() and not SILENT.search(rest)
    own = Mention(mention.start - begin, mention.end - begin, mention.is_non)
    part = text[begin:end]
    if _NO_CLAIM.search(part) or _is_denied(part, own) or judge(part, own) == OPEN:
        return False
    covered = text[begin:end]
    for other in named:
        if begin <= other.start < end:
            a, b = other.start - begin, other.end - begin
            covered = covered[:a] + " " * (b - a) + covered[b:]
    return not _without_content(covered)


def _without_content(text: str) -> bool:
    words = re.findall(r"[^\W\d_][\w'-]*|[0-9]+", text.lower())
    return all(word in _CONTENTLESS for word in words)
