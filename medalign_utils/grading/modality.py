"""Tells what is so from what only might be: conditions, advice, risks, failed plans."""

import re
from functools import lru_cache

from medalign_utils.grading.text import THIS_PATIENT

_ADVICE = re.compile(
    r"(?i)\b(?:recommend\w*|should|advi[sc]e\w*|plan\w*|next|follow(?:ing)?[- ]?up|needs?|due"
    r"|suggest\w*|consider\w*|would|repeat\w*|options?|return|warning|come back|call|discharge"
    r"|instructions?|what if)\b"
)
_BEFORE = re.compile(
    r"(?i)\b(?:"
    # conditions, but not "if you mean the last one"
    r"(?:if|unless|suppos(?:e|ing)|assuming|in case|whenever|when(?= [^,]*\breach))"
    r"(?! (?:you|asked|the question|i|we|so)\b)"
    r"|would(?! (?:say|put|estimate|answer|call it))(?: \w+)? (?:be|have been|require|mean"
    r"|need|call)"
    r"|(?:warned|worried|fear(?:ed|s)?|counsell?ed|consented) (?:about|of|for|that)"
    r"|fear(?:ed|s) (?:of|that)|(?:in|at) (?:case|risk) of"
    r")\b[^,:;]*$"
)
_ADVISED = re.compile(
    r"(?i)(?:^|[,:;.]\s*|\b(?:i|we|i'd|would|could|should|may|might)\s)(?:\w+ly )?"
    r"(?:consider(?:ing)?|recommend(?:ing)?|suggest(?:ing)?|advise|benefit from"
    r"|options (?:include|are))\b(?! (?:it|that|this) )[^,:;]*$"
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
# Of a plan: "scheduled for 5/17/2012, but he did not come".
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
_GUIDELINE = re.compile(
    r"(?i)\s*(?:the |current |most |usual )*(?:[A-Z][\w/-]+ )*(?:guidelines?|guidance)\b"
)
_SENTENCE_END = re.compile(r"[;|\n]|[.!?]\s")
_ANY = re.compile(
    r"(?i)\b(?:if|unless|suppos|assuming|in case|when(?:ever)?|would|consider|recommend|suggest"
    r"|advise|benefit|try|options|warned|worried|fear|counsel|consented|usually|generally"
    r"|typically|often|is|discussed|mentioned|listed|named|noted|explained|cited|anticipated"
    r"|expected|did|never|didn't|or|risk|declined|refused|not|wasn't|weren't|none)"
)


def is_supposed(text: str, start: int, end: int, asked: str) -> bool:
    """Return whether the text does not say that `text[start:end]` is so, only that it might be."""
    if not _may_suppose(text):
        return False
    before, after = text[:start], text[end:]
    sentence = _SENTENCE_END.split(before)[-1]
    if _PLANNED.search(sentence) and _UNDONE.match(after):
        return True
    if _GUIDELINE.match(sentence) and not THIS_PATIENT.search(sentence):
        return True
    if not asked or _ADVICE.search(asked):  # "come back if the wound drains"
        return False
    return bool(_BEFORE.search(sentence) or _ADVISED.search(sentence) or _AFTER.match(after))


@lru_cache(maxsize=4096)
def _may_suppose(text: str) -> bool:
    return _ANY.search(text) is not None
