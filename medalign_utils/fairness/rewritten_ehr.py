"""Rewrite one demographic in an EHR's markup, by the rules of `perturbation`."""

from itertools import count
from pathlib import Path

from lxml import etree

from medalign_utils.data.ehr.event_types import event_type_of
from medalign_utils.data.ehr.events import cleaned, text_of
from medalign_utils.data.ehr.parsing import iterate, read_opening
from medalign_utils.errors import EHRError
from medalign_utils.fairness import perturbation
from medalign_utils.fairness.perturbation import Person, Replacement, apply, swapped

REPLACEMENT_COLUMNS = (
    "person_id", "place", "encounter", "event", "item", "offset", "before", "after",
)  # fmt: skip
_HEADER = ("birthdate", "days", "years", "gender", "race", "ethnicity")
# Elements of an encounter, in the order of the file.
_rewritable = etree.XPath(" | ".join([".//event", *(f"person//{tag}" for tag in _HEADER)]))


def read_tree(path: Path) -> etree._Element:
    """Return an EHR's tree; EHRError if it is not in the dialect that can be rewritten."""
    dialect, _ = read_opening(path, ("eventstream", "record"))
    if dialect != "eventstream":
        raise EHRError(f"{path}: root element <{dialect}>; only <eventstream> can be rewritten")
    [root] = iterate(path, "eventstream")
    return root


def person_of(ehr: etree._Element) -> Person:
    """Return the demographics in an EHR's headers; None where headers disagree or have no value."""
    found = {}
    for name in Person._fields:
        texts = {cleaned(text_of(e)) for person in ehr.iter("person") for e in person.iter(name)}
        texts.discard(None)
        found[name] = texts.pop() if len(texts) == 1 else None
    return Person(**found)


def rewrite_ehr(ehr: etree._Element, change: str, person: Person) -> list[tuple]:
    """Rewrite an EHR's tree in place; return rows of `REPLACEMENT_COLUMNS` without person_id.

    >>> ehr = etree.fromstring("<eventstream><encounter><person><gender>MALE</gender></person>"
    ...     "<events><entry><event type='note' note_id='9'>He is 63.</event></entry></events>"
    ...     "</encounter></eventstream>")
    >>> rewrite_ehr(ehr, "gender", person_of(ehr))
    [('header', 0, None, 'gender', 0, 'MALE', 'FEMALE'), ('note', 0, 0, '9', 0, 'He', 'She')]
    >>> ehr.findtext(".//event")
    'She is 63.'
    """
    rows, events = [], count()
    for number, encounter in enumerate(ehr.iter("encounter")):
        for element in _rewritable(encounter):
            text = text_of(element)
            if element.tag != "event":
                place = ("header", number, None, element.tag)
                found = _header_replacements(element.tag, text, change, person)
            else:
                place = ("note", number, next(events), element.get("note_id", ""))
                is_note = event_type_of(element.get("type", "")) == "note"
                found = perturbation.replacements(text, change, person) if is_note else []
            if found or not len(element):
                del element[:]
                element.text = apply(text, found)  # not None, so that end tags are kept
            rows += [(*place, *replacement) for replacement in found]
    return rows


def _header_replacements(tag: str, text: str, change: str, person: Person) -> list[Replacement]:
    before, after = text.strip(), None
    if tag == ("birthdate" if change == "age" else change):
        after = swapped(before, change)
    elif change == "age" and tag in ("days", "years") and before.isdecimal():
        days, years = perturbation.days_older(person.birthdate), perturbation.YEARS
        after = str(int(before) + (days if tag == "days" else years))
    return [] if after is None else [Replacement(text.index(before), before, after)]
