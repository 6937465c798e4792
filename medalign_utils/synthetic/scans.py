"""Makes a note look like the text of a scanned document from another institution.

Lines break at a fixed width, also inside words, and pages have headers and footers. Numbers and the
letters themselves stay as they are.
"""

import random
from datetime import datetime

WIDTH = 52  # characters a line
PAGE = 14  # lines of text a page
_SHORTEST = 8  # letters of a word that may be divided
SITES = ("LAKESIDE MEDICAL ASSOCIATES", "NORTH VALLEY HEALTH", "ST. AGNES OUTPATIENT CENTER")


def scanned(rng: random.Random, text: str, time: datetime) -> str:
    """Return a text as read from a scan: one stream of short lines with page breaks."""
    site, fax = rng.choice(SITES), f"FAX {time:%m/%d/%Y %H:%M}"
    lines = [line for paragraph in text.split("\n") for line in _broken(paragraph)]
    pages = [lines[start : start + PAGE] for start in range(0, len(lines), PAGE)]
    scan = []
    for number, page in enumerate(pages, start=1):
        scan += [f"{site}    {fax}", *page, f"- {number} of {len(pages)} -"]
    return "\n".join(scan)


def _broken(paragraph: str) -> list[str]:
    """Return a paragraph in lines; a long word at a line's end is divided with a hyphen."""
    lines, line = [], ""
    for word in paragraph.split(" "):
        room = WIDTH - len(line) - 2
        if len(line) + len(word) + 1 <= WIDTH:
            line = f"{line} {word}".strip()
        elif len(word) >= _SHORTEST and word.isalpha() and room >= 3:
            cut = min(room, len(word) - 3)
            lines.append(f"{line} {word[:cut]}-".strip())
            line = word[cut:]
        else:
            lines.append(line)
            line = word
    return [*lines, line]
