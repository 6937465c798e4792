"""Put a record's markup into chronological order, with each encounter once."""

from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from lxml import etree

from medalign_utils.data.ehr.dates import timestamp_of
from medalign_utils.data.ehr.events import cleaned
from medalign_utils.data.ehr.parsing import Seen, iterate
from medalign_utils.errors import EHRError

# Parts of a record, inner ones first: their parent's tag, their tag (None: any), and the attributes
# with their start. A part without it starts with its first inner part, or with the part before.
_PARTS = (
    ("events", "entry", "timestamp"),
    ("eventstream", "encounter", "start_timestamp"),
    ("day", None, "start"),
    ("visit", "day", "start"),
    ("record", "visit", "start"),
)
_INNER = {"encounter": ("entry", "timestamp"), "visit": ("day", "start")}


class Arranged(NamedTuple):
    """What `arranged` changed, and the markup; None if there was nothing to change."""

    was_unordered: bool
    n_repeated: int  # encounters
    text: str | None


def arranged(path: Path) -> Arranged:
    """Return the markup of an EHR in order of time, without encounters that repeat another.

    Encounters are ordered by their start, and entries within their encounter by their timestamp;
    equals keep the file's order. Comments are left out.

    Raises: EHRError if the file is not well-formed or a timestamp is invalid.
    """
    *_, root = iterate(path, "eventstream", "record")
    seen = Seen()
    repeated = [part for part in root.iterchildren("encounter", "visit") if seen.repeats(part)]
    for part in repeated:
        root.remove(part)
    moved = False
    for parent_tag, tag, attribute in _PARTS:
        for parent in [*root.iter(parent_tag)]:
            moved |= _sort(parent, tag, attribute, path)
    text = etree.tostring(root, encoding="unicode") if moved or repeated else None
    return Arranged(moved, len(repeated), text)


def _sort(parent: etree._Element, tag: str | None, attribute: str, path: Path) -> bool:
    parts = [*parent.iterchildren(tag)] if tag else [*parent]
    starts, previous = [], datetime.min
    for part in parts:
        previous = _start(part, attribute, path) or previous
        starts.append(previous)
    order = sorted(range(len(parts)), key=starts.__getitem__)
    if order == [*range(len(parts))]:
        return False
    places, tails = [parent.index(part) for part in parts], [part.tail for part in parts]
    for part in parts:
        parent.remove(part)
    for place, i, tail in zip(places, order, tails, strict=True):
        parent.insert(place, parts[i])
        parts[i].tail = tail
    return True


def _start(part: etree._Element, attribute: str, path: Path) -> datetime | None:
    inner_tag, inner_attribute = _INNER.get(part.tag, (part.tag, attribute))
    given = [part.get(attribute), *(inner.get(inner_attribute) for inner in part.iter(inner_tag))]
    text = next(filter(cleaned, given), None)
    try:
        return timestamp_of(text, american=part.tag not in ("encounter", "entry")) if text else None
    except ValueError as error:
        raise EHRError(f"{path}, line {part.sourceline}: {error}") from None
