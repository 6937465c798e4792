"""Tells what is so from what only might be: conditions, advice, risks, failed plans."""

import re
from functools import lru_cache

from medalign_utils.grading.text import THIS_PATIENT

# What an instruction asks for: then conditions and advice may be the answer ...
_ASKS_ADVICE = re.compile(
    r"(?i)\b(?:recommend\w*|should|advi[sc]e\w*|plan\w*|next|follow(?:ing)?[- ]?up|needs?|due"
    r"|suggest\w*|consider\w*|would|repeat\w*|options?|return|warning|come back|call|discharge"
    r"|instructions?|what if)\b"
)
# ... and so may what was looked for.
_ASKS_CAUSE = re.compile(
    r"(?i)\b(?:why|reason|admi\w+|referr\w+|present\w*|brought|come in|visit)\b"
)
# These stand before a mention and reach to it, if no comma or colon is between.
_CUES = (
    # a condition, but not "if you mean the last one" or "he asked if"
    r"(?:(?<!asked )(?<!ask )(?<!asks )(?<!know )(?<!wondering )if|unless|suppos(?:e|ing)|assuming"
    r"|in case|whenever|when(?= [^,]*\breach))(?! (?:you|asked|the question|i|we|so)\b)",
    # what would be, but not "I would say" or "that would be"
    r"(?<!i )(?<!we )(?<!that )(?<!this )would(?! (?:say|put|estimate|answer|call it))(?: \w+)?"
    r" (?:be|have been|require|mean|need|call)",
    # a risk
    r"(?:warned|worried|fear(?:ed|s)?|counsell?ed|consented) (?:about|of|for|that)"
    r"|fears? (?:of|that)|(?:in|at) (?:case|risk) of",
)
_BEFORE = re.compile(rf"(?i)\b(?:{'|'.join(_CUES)})\b[^,:;]*$")
_ADVISED = re.compile(
    r"(?i)(?:^|[,:;.]\s*|\b(?:i|we|i'd|would|could|should|may|might)\s)(?:\w+ly )?"
    r"(?:consider(?:ing)?|recommend(?:ing)?|suggest(?:ing)?|advise|benefit from"
    r"|options (?:include|are))\b(?! (?:it|that|this) )[^,:;]*$"
)
_SOUGHT = re.compile(
    r"(?i)\b(?:(?:look|search|screen|evaluat|assess)\w* for|to (?:exclude|rule out)|rule out|r/o)\b"
    r"[^,:;]*$"
)
_GUIDELINE = re.compile(
    r"(?i)\s*(?:the |current |most |usual )*(?:[A-Z][\w/-]+ )*(?:guidelines?|guidance)\b"
)
_AFTER = re.compile(
    r"(?i)[^,:;.]{0,25}?(?:"
    r"\bwould(?: (?:not|also|probably|likely))? (?:be|call|mean|require|need|warrant|make|have)\b"
    r"|\b(?:usually|generally|typically|often) (?:means?|indicates?|suggests?)\b"
    r"|\bis (?:an? |the |one of the )?(?:\w+ly )?(?:common|typical|standard|first-line|usual"
    r"|well-known|popular|frequent)\b"
    r"|\b(?:discussed|mentioned|listed|named|noted|explained|cited) (?:only )?(?:as|among) "
    r"(?:an? |the |his |her )?(?:\w+ )?(?:risks?|possibilit\w+|options?)\b"
    r"|\b(?:feared|anticipated|was expected|were expected)\b"
    r"|\b(?:did(?: not|n't)|never) (?:actually )?(?:occur|happen|develop|ar[io]se|materiali[sz]e"
    r"|take place)\w*"
    r"|\bnever (?:filled|taken|started|given|happened|picked up|administered)\b"
    r"|\bor (?:higher|more|above|over|greater|lower|less|below|under) (?:would|means?|is|calls?)\b)"
    r"|(?i:[- ]risk\b)"
)
# A plan that came to nothing: "scheduled for 5/17/2012, but he did not come".
_PLANNED = re.compile(
    r"(?i)\b(?:plan(?:ned|s)?|scheduled|booked|meant|intended|proposed|discussed|offered|advised"
    r"|recommended|ordered|prescribed|suggested|considered)\b[^.;:]*$"
)
_UNDONE = re.compile(
    r"(?i)[^.;:]{0,60}?(?:\b(?:but|yet|though|and)\b|,)[^.;:]{0,25}?\b(?:(?:did(?: not|n't)|never)"
    r" (?:\w+ly )?(?:occur\w*|happen\w*|come|came|attend\w*|show\w*|go|went|start\w*|take|took"
    r"|fill\w*|get|got|ar[io]se|begin|began)|declined|refused"
    r"|(?:was|were)(?: not|n't| never) (?:done|performed|started|given|filled|taken|needed)"
    r"|none was (?:done|given|performed))\b"
)
_SENTENCE_END = re.compile(r"[;|\n]|[.!?]\s")
# Most texts have none of these and need no closer look.
_ANY = re.compile(
    r"(?i)\b(?:if|unless|suppos|assuming|in case|when|would|risk|consent|counsel|fear|warn|worri"
    r"|consider|recommend|suggest|advise|benefit|options|look|search|screen|evaluat|assess"
    r"|exclude|rule out|r/o|guid|usually|generally|typically|often|common|typical|standard"
    r"|first-line|usual|well-known|popular|frequent|possibilit|option|anticipat|expected|did|never"
    r"|or (?:higher|more|above|over|greater|lower|less|below|under)|declined|refused|not|none"
    r"|wasn't|weren't)"
)


@lru_cache(maxsize=4096)
def _may_suppose(text: str) -> bool:
    return _ANY.search(text) is not None


def is_supposed(text: str, start: int, end: int, asked: str) -> bool:
    """Return whether `text[start:end]` is said to be possible, usual, advised or planned, not so.

    Conditions and advice count as answers if the instruction `asked` asks for them or is not known.
    """
    if not _may_suppose(text):
        return False
    sentence, after = _SENTENCE_END.split(text[:start])[-1], text[end:]
    if _PLANNED.search(sentence) and _UNDONE.match(after):
        return True
    if _GUIDELINE.match(sentence) and not THIS_PATIENT.search(sentence):
        return True
    if not asked or _ASKS_ADVICE.search(asked):
        return False
    if _SOUGHT.search(sentence) and not _ASKS_CAUSE.search(asked):
        return True
    return bool(_BEFORE.search(sentence) or _ADVISED.search(sentence) or _AFTER.match(after))
