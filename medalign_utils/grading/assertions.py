"""What a text says about a mention (affirmed, negated, stopped, only possible), and about whom.

Like NegEx (Chapman et al. 2001), it uses cue words, the direction in which each one works, and
words that end a cue's scope. The word lists are this module's own.
"""

import re
from functools import lru_cache

from medalign_utils.grading.spelling import Mention
from medalign_utils.grading.text import RELATIVE, Statement

AFFIRMED, NAMED, NEGATED = "affirmed", "named", "negated"
ENDED, STOPPED, OPEN, DOUBTED = "ended", "stopped", "open", "doubted"

_CLAUSE_END = re.compile(
    r"(?i)[.!?;](?=\s|$)|\s-\s|\x22\s*(?=\()|\b(?:but|however|although|though|except(?: for)?"
    r"|nevertheless"
    r"|whereas"
    r"|while|besides|other than|aside from|apart from|instead(?! of)|pero|aunque|mientras|salvo"
    r"|excepto)\b"
)
# Words that look like a negation but are not, or two that cancel each other.
_NO_NEGATION = re.compile(
    r"(?i)\b(?:may|might) or (?:may|might) not\b|\b(?:no|not|without|\w+n't)(?: an?| any"
    r"| significant| further| other| recent| interval"
    r"| major)*(?: change| increase| decrease| worsening| improvement| progression)s?\b"
    r"|\bnot (?:only|just|merely|uncommon|necessarily|to mention)\b|\bno (?:doubt|wonder)\b"
    r"|(?:\bnot|n't|\bnever|\bcannot)(?: be| been)? (?:den(?:y|ies|ied|ying)|ruled? out|excluded?"
    r"|without|absent|negative)\b"
    r"|\bno (?:issues?|problems?|difficult\w+|trouble) (?:with|tolerating|taking|on)\b"
    r"|\bno (?:relief|response|benefit|improvement|effect) (?:from|with|to|on)\b"
    r"|\bnot (?:\w+ly |well |yet )?(?:controlled|managed|at goal|improv\w+|respond\w+|adherent"
    r"|compliant|tolerat\w+|helped|relieved|sure|clear)\b|\bgram[- ]negative"
)
_NEGATION = re.compile(
    r"(?i)(?<![\w-])(?:(?P<near>not|\w+n't|cannot|never|nothing|nobody)\b"
    r"|no(?=\s+[a-z(]|\s*$)(?! longer)|none of|neither|nor\b|without\b|w/o\b"
    r"|den(?:y|ies|ied|ying)\b|denials? of|pertinent negatives?|ni[eé]ga\w*|neg[oó]\b|sin\b"
    r"|nunca\b|jam[aá]s\b|ning[uú]n[ao]?\b|tampoco\b|ausencia de|neg(?:ative)? for|negatives?:"
    r"|absence of|(?:0|zero) of\b|absent\b"
    r"|instead of\b|rather than\b|in place of\b|in lieu of\b|free of|lack(?:s|ed|ing| of)?\b"
    r"|ruled out\b|declin(?:es|ed)\b|refus(?:es|ed)\b|\(-\)|\[-\])"
)
_NEAR = 10  # words
# After a comma or "and", the sentence may turn to what is present: "denies fever, reports cough".
_TURN = re.compile(
    r"(?i)(?:,|\band\b|\s-)\s+(?:(?:and|also|now|then|still|currently|she|he|they|the patient"
    r"|patient"
    r"|pt)\s+)*(?:report(?:s|ed)|endors\w+|complain\w*|admits?|has|had|have|is|was|are|were|with"
    r"|present(?:s|ed)|takes?|taking|on|uses?|using|started|continues?|remains?|received|given"
    r"|smokes?|drinks?|states|positive for|allergic to|known|presenta|refiere|tiene|toma)\b"
    r"|\(\+\)|\[\+\]|\bpositive for\b"
    r"|:\s*(?:yes|positive|present)\b"
)
_STOP_BEFORE = re.compile(
    r"(?i)(?<![\w-])(?P<ended>no longer(?! (?:on|taking|takes?|uses?|using|prescribed|receiv\w+))"
    r"|quit(?! (?:in )?[0-9])|former|ex-|gave up|resolved)|(?<![\w-])(?:stop(?:ped|ping|s)?"
    r"|discontinu\w+"
    r"|d/?c'?d|(?:switch|chang|transition)(?:ed|ing|e)?(?: over)? from|(?:wean|taper)(?:ed|ing) off"
    r"|off|held"
    r"|hold(?:ing)?|replac(?:ed|ing|es)|previous|prior|past|lost (?:her|his|their)|suspendi\w+"
    r"|dej[oó] de|failed"
    r"|intolerant (?:to|of)"
    r"|(?P<past>used to|had been (?:on|taking|using|treated with|living)|lived|moved from"
    r"|no longer|previously|formerly|earlier|early on|in the past|before that|antes)"
    r"|(?:not|unable to) tolerat\w+|\w+n't tolerat\w+)\b"
)
_NOW = re.compile(
    r"(?i)\b(?:now|into|current(?:ly)?|since|then|today|but|latest)\b|[,:]\s*(?:is|on)\b"
)
_COMPANION = re.compile(r"(?i)\s*(?:liv(?:es?|ing|ed) )?with\b")  # no longer lives with
_STOP_REACH_ENDS = re.compile(
    r"(?i)\b(?:to|with|for|by|because|due|after|since|in favor|when|then|now|currently|started)\b"
    r"|,\s*(?:she|he|they|it|the patient)\b|(?:,|\band\b)\s*(?:and |then |now )*(?:began"
    r"|switched|changed|is|takes?|taking|on)\b"
)
_POSSIBLE = re.compile(
    r"(?i)\b(?:(?P<list>differential(?! diagnosis favou?r)|ddx|alternatives?|whether|if)"
    r"|risk (?:of|for"
    r"|factors? for)"
    r"|(?:screen|monitor|assess|look|search|watch)(?:ed|ing|s)? for|evaluat\w+ for|work-?up for"
    r"|(?:return|call) (?:for|if)|concern for"
    r"|to exclude|rule out|r/o|asked about|(?:counsel|educat)\w+ (?:on|about|regarding)"
    r"|(?P<doubt>considered|weighed|debated"
    r"|thought about|entertained|possibly|perhaps|maybe|either|(?:may|might"
    r"|could) (?:also )?(?:be(?! (?:taken|used|given|repeated|continued|restarted|resumed|stopped"
    r"|increased))|have)|quiz[aá]s?"
    r"|tal vez|posiblemente|puede (?:ser|que)|podr[ií]a ser|(?<=[a-z] )or possibly)"
    r"|prevent(?:ion of|ing)?|prophylaxis|should|consider(?:ing)?|possib(?:le|ility of)|might"
    r"|un(?:clear|known|certain)|cannot (?:be )?(?:determine|tell|confirm)\w*)(?!\w)"
)
_SO_BEFORE = re.compile(
    r"(?i)\b(?:has|had|have|having|report(?:s|ed|ing)|endors\w+|complain\w* of"
    r"|admit(?:s|ted)?(?: to)?|positive for|diagnosed with|history of|h/o"
    r"|takes?|took|taken|taking|on|started|confirmed"
    r"|known|noticed|developed|experienc\w+|suffer\w+|underwent|received|allergic to)\b"
)
_FIELD = re.compile(r"(?:\s\w+){0,2}\s*:")
_ENDS_DRUG = re.compile(r"[^:]*:\s*end\s*$")  # a quoted record line
_FREE = re.compile(r"(?i)[- ]free\b")
_CROSSED = re.compile(r"[❌✗✘]\s*$")
_PRECAUTION = re.compile(r"(?i)\s+(?:prophyla\w+|prevention|precautions?)\b")
_REASON = re.compile(r"(?i)(?:because of|due to|for)(?: an?)? $")
_IN_BRACKETS = re.compile(r"\s*(?:[\w.%/-]+\s+){0,4}\(")
_JOINS = re.compile(r"[,(]|\band\b|\bor\b")
# Right after the mention: "chest pain: denies", "Tobacco use - never". Groups are named by verdict.
_ANSWER = re.compile(
    r"(?i)[\"']?(?:\s*\([^)]*\))?(?:\s(?:status|use|history|hx|symptoms?|(?:ever )?reported"
    r"|(?:in|of) (?:the|her"
    r"|his) \w+))?[\"']?\s*(?::|=|\s-\s|\?:?)\s*"
    r"(?:(?:the )?(?:patient|pt|she|he)\s+)?(?:(?P<open>not (?:documented|recorded|available"
    r"|mentioned|stated|assessed|known|on file)|un(?:known|clear|documented))"
    r"|(?P<negated>no(?:ne)?\b(?! (?:change|longer|doubt))|den(?:ies|ied|ying)\b|never\b|false\b"
    r"|nieg\w+|ning\w+|nunca\b|[❌✗✘]"
    r"|neg(?:ative)?\b|absent\b|nil\b|not\b(?! only)|\(-\)|declin(?:es|ed)\b|NKDA\b)"
    r"|(?P<stopped>(?:end|stopped|discontinued)\b)"
    r"|(?P<affirmed>(?:yes|true|pos(?:itive)?|present|reports|endorses|confirmed|active|s[ií])\b"
    r"|\(\+\)|[✅✓✔]))"
)
_AFTER = re.compile(
    r"(?i)(?P<aux>\b(?:had to be|needed to be|is|was|were|are|be|has been|have been|had been"
    r"|been|has|have|had|does|did|do"
    r"|got|being)\b\s*)?"
    r"(?:(?:listed|marked|documented|noted|recorded) as "
    r"|(?:felt|thought|considered|deemed|judged) (?:to be )?)?(?:also |now |both |all |since "
    r"|currently |ever |then |later |subsequently )*"
    r"(?:(?P<open>not (?:been )?(?:documented|mentioned|recorded|stated|specified|known|ruled out"
    r"|excluded)\b(?! (?:as|to) hav)|cannot be (?:ruled out|excluded)\b|unknown\b)"
    r"|(?P<doubted>(?:also )?(?:possible|considered)\b|(?:on|in) (?:the|her|his) differential\b"
    r"|a possibility\b|questionable\b|uncertain\b)"
    r"|(?P<negated>denied\b(?!(?: any| all)? (?!by|on|at|in|and|both|as|to|throughout|during"
    r"|today|or|this|that|repeatedly|consistently|again|only)[a-z])|as (?:negative|absent|denied)\b"
    r"|(?:declined|refused|rejected)\b|absent\b|ruled out\b|excluded\b"
    r"|looked for\b|searched for\b|sought\b"
    r"|negative\b|unlikely\b"
    r"|not (?:\w+ )?(?:recorded|documented|known|noted|reported|listed|said) (?:as hav|to hav)"
    r"|no (?:\w+ )?(?:visits?|appointments?|bookings?)\b"
    r"|(?:not |un)affected\b|healthy\b|less likely\b|fits? less well\b"
    r"|(?:[a-z]+ ){0,3}only (?:[a-z]+ )?as (?:denied|absent|an? (?:pertinent )?(?:negative"
    r"|denial))\b|an? (?:pertinent )?negative\b"
    r"|descart\w+"
    r"|(?:not|never) (?:been )?(?:present|found|seen|noted|reported|endorsed"
    r"|observed|detected|identified|evident|taken"
    r"|given|performed|done|prescribed|started|used|indicated|on|in|among|part of|listed)\b"
    r"|(?:not|never) (?:been )?(?:needed|necessary|required|planned|recommended|warranted|confirmed"
    r"|established|supported|diagnosed)\b"
    r"|\w+n't (?:present|found|seen|noted|reported|done|performed|given|prescribed|taken)\b)"
    r"|(?P<ended>resolved\b|died\b|passed away\b|deceased\b"
    r"|removed (?:from (?:the|her|his) (?:\w+ )?(?:list|chart|record)|after (?:\w+ )?test)"
    r"|disproved\b|refuted\b|quit\b)"
    r"|(?P<switched>(?:switched|changed) to\b|(?:(?<=been )|(?<=was )|(?<=were )"
    r"|(?<=is ))replaced\b"
    r"|replaced (?:by|with)\b)"
    r"|(?P<stopped>until\b|past\b(?=\W*$)|cancell?ed\b"
    r"|(?:from )?(?:[a-z]+ )?(?:19|20)[0-9]{2} ?(?:-|to|until) ?(?:[a-z]+ )?(?:19|20)[0-9]{2}\b"
    r"|up to\b|stopped\b|(?:came|went|taken) off\b"
    r"|(?:previously|formerly|in the past|early on|earlier|at first|initially)\b(?=\s*(?:[).,;]"
    r"|$))|discontinued\b|d/?c'?d\b|held\b|weaned\b|tapered off\b|ended\b))"
)
_BETWEEN_ENDS = re.compile(
    r"(?i)\b(?:after|when|since|because|due|then|until|before|as|instead|start(?:s|ed)?|takes?"
    r"|taking|on|now|current(?:ly)?|for|to|with|whether|if)\b"
)


@lru_cache(maxsize=4096)
def judge(text: str, mention: Mention) -> str:
    """Return what `text` says about a mention in it.

    `AFFIRMED` if a word says so (has, reports), `NEGATED`, `NAMED` if no word does either, `OPEN`
    (whether, risk of), `DOUBTED` (possibly, either), `STOPPED` (a drug) or `ENDED` (quit, former,
    resolved).
    """
    if mention.is_non or _FREE.match(text, mention.end) or _CROSSED.search(text, 0, mention.start):
        return NEGATED
    begin, clause_end = _clause(_CLAUSE_END, text, mention.start, mention.end)
    if answer := _ANSWER.match(text, mention.end):
        return answer.lastgroup
    if _FIELD.match(text, mention.end):
        # A separate field, "Chest pain: no, SOB: mild": ignore what precedes the comma.
        begin = max(begin, text.rfind(",", begin, mention.start) + 1)
    if _ENDS_DRUG.match(text, mention.end):
        return STOPPED
    if _PRECAUTION.match(text, mention.end):
        return DOUBTED
    before = text[begin : mention.start]
    if after := _verdict_after(text, mention.end, clause_end, before):
        return after

    blanked = _NO_NEGATION.sub(lambda match: " " * len(match[0]), before)
    for cue in reversed(list(_NEGATION.finditer(blanked))):
        between = before[cue.end() :]
        if cue[0].lower() == "without" and ":" in between:
            continue  # of a table's cell: "GERD without esophagitis: code: K21.9"
        if _TURN.search(between):
            break
        if cue["near"] is None or len(between.split()) <= _NEAR:
            return NEGATED
    for cue in reversed(list(_STOP_BEFORE.finditer(before))):
        between = before[cue.end() :]
        if cue["past"]:
            if len(between.split()) <= _NEAR and not _NOW.search(between):
                return STOPPED
            continue
        company = _COMPANION.match(between)
        reach_ends = _STOP_REACH_ENDS.search(between, company.end() if company else 0)
        if not reach_ends and len(between.split()) <= 5:
            return ENDED if cue["ended"] else STOPPED
    for cue in _POSSIBLE.finditer(before):
        between = before[cue.end() :]
        if between.startswith(","):
            continue  # "of those considered, PE fits best"
        # A differential stays open to its end; other cues reach only a few words, and a
        # condition to its comma.
        is_over = (cue["list"] or "").lower() == "if" and "," in between
        reaches = (cue["list"] and not is_over) or len(between.split()) <= 6
        if reaches and not is_over and not _TURN.search(between):
            is_open = cue["list"] is None or cue["list"].lower() in ("whether", "if")
            return DOUBTED if cue["doubt"] or not is_open else OPEN
    cues = [cue for cue in _SO_BEFORE.finditer(before) if before[cue.end() : cue.end() + 1] != ","]
    return AFFIRMED if cues and len(before[cues[-1].end() :].split()) <= 3 else NAMED


def _clause(ends: re.Pattern, text: str, start: int, end: int) -> tuple[int, int]:
    """Return where the clause around `start:end` begins and ends."""
    begin = max((match.end() for match in ends.finditer(text, 0, start)), default=0)
    stop = ends.search(text, end)
    return begin, stop.start() if stop else len(text)


def _verdict_after(text: str, start: int, end: int, before: str) -> str | None:
    match = _AFTER.search(text, start, end)
    if match is None:
        return None
    between = text[start : match.start()]
    # "Fever and cough were denied" negates both, "fever, and cough was denied" only the second.
    aux = match["aux"] or ""
    several = re.match(r"(?i)were|are|have", aux) or (
        not aux and match.lastgroup in ("negated", "doubted")
    )
    # "simvastatin, switched to" stops a drug; "because of cramps, switched to" gives a reason.
    splits = _JOINS.search(between) and (_REASON.search(before) or not match["switched"])
    inside = _IN_BRACKETS.fullmatch(between)  # "simvastatin 20 mg (stopped"
    if _BETWEEN_ENDS.search(between) or len(between.split()) > 6:
        return None
    if (splits and not several and not inside) or ("(" in between and not inside):
        return None
    return STOPPED if match["switched"] else match.lastgroup


# Here the relative is a companion, informant or contact, not the subject.
_COMPANY = re.compile(
    r"(?i)\b(?:lives?|living|resides|stays?|with|by|per|from|for|to|called|is|contact|proxy|kin"
    r"|caregiver|home)\s*:?\s*(?:(?:her|his|their|the|an?|elderly|adult|grown|[0-9])\s+)*$"
)
_INFORMANT = re.compile(
    r"(?i)\s*(?:\([^)]*\)\s*)?(?:also |who |is |was )?(?:reports?|states?|says?|notes?|noted"
    r"|call(?:ed|s)|believes|thinks|requests|brought|present\b|concerned|describes|accompan\w+"
    r"|helps?|aware|updated|at (?:the )?bedside|here|lives?|manages|provides|drove|and (?:the )?"
    r"patient|of (?:two|three|four|five|[0-9]))"
)
_SUBJECT_ENDS = re.compile(
    r"(?i)[.;!?](?=\s|$)|\b(?:but|however|while|whereas|although)\b"
    r"|,?\s*\band\b(?=\s+(?:she|he|the patient|patient|pt)\b)"
    r"|(?:,|\s-)\s*(?=(?:she|he|the patient|patient|pt)\b)"
)


@lru_cache(maxsize=2048)
def _has_relative(text: str) -> bool:
    return RELATIVE.search(text) is not None


def names_relative(statement: Statement, start: int, end: int, *, as_subject: bool) -> bool:
    """Return whether the clause around `start:end` is about a relative.

    With `as_subject`, a companion, informant or contact does not count ("lives with her son",
    "daughter reports", "contact: sister"), and neither does a relative within `start:end`.
    """
    if statement.in_family_history:
        return True
    text = statement.text
    if not _has_relative(text):
        return False
    for match in RELATIVE.finditer(text, *_clause(_SUBJECT_ENDS, text, start, end)):
        is_within = match.start() < end and match.end() > start
        is_company = _COMPANY.search(text[max(0, match.start() - 40) : match.start()])
        if not as_subject or not (is_within or is_company or _INFORMANT.match(text, match.end())):
            return True
    return False
