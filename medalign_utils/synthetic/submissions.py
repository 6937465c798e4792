"""The instructions as clinicians submitted them, before near-duplicates were removed.

They are the release's instructions and light rewordings of some. Two submissions are duplicates if
they make the same `request`: the same template with the same values, for any patient, because the
paper compared questions before matching them to patients. `duplicate_of` names the original of a
deliberate rewording, which is about the same patient.
"""

import random
import re
from typing import NamedTuple

from medalign_utils.synthetic import catalogue as cat
from medalign_utils.synthetic.instructions import SPECIALTIES, Instruction

OPENINGS = ("Please: ", "Hello, ", "Before rounds: ", "When you have a moment, ")
CLOSINGS = (" Thanks.", " Thank you.", " Much appreciated.")
_NAMED = {**cat.ANALYTES, **cat.CONDITIONS, **cat.DRUG_CLASSES}.values()
_ABBREVIATED = [entry.spellings for entry in (*_NAMED, *cat.STUDIES, *cat.SURGERIES, cat.ECHO)]
_ABBREVIATED += [*cat.FAMILY_CONDITIONS, *cat.SYMPTOMS, *cat.NEVER_HAD, *cat.ALLERGENS]
ABBREVIATIONS = {drug.name: drug.brand for drug in cat.DRUGS.values()}
ABBREVIATIONS |= {words[0]: words[1] for words in _ABBREVIATED if len(words) > 1}
ABBREVIATIONS |= dict(
    cat.spelling_lists("""blood pressure, BP | ejection fraction, EF | temperature, temp
    diagnosis, dx | history, hx | appointment, appt | follow-up, f/u | patient, pt | admission, adm
    hospital, hosp | department, dept | reason, rsn""")
)
_DATED = re.compile(
    r"(?P<rest>.+?) (?:as of|after|drawn|from|of|on|at|for)(?: the)? "
    r"(?P<front>\d\d/\d\d/\d{4}(?: admission| colonoscopy| stay| visit)?)(?P<end>[?.])"
)
_SUPERLATIVE = re.compile(r"(?P<front>Most recent|Latest|Last|Current|Next) (?P<rest>.+)[?.]")


class Submission(NamedTuple):
    """One instruction as submitted; `duplicate_of` is empty for the release's own."""

    instruction_id: str
    question: str
    submitter_specialty: str
    person_id: str
    duplicate_of: str
    request: str


def submit(rng: random.Random, chosen: list[Instruction], duplicates: int) -> list[Submission]:
    """Return the release's instructions and `duplicates` rewordings, in order of submission."""
    taken = {i.instruction_id for i in chosen}
    reworded = {i.instruction_id for i in rng.sample(chosen, duplicates)}
    timed = []
    for i in chosen:
        moment, request = rng.random(), i.answer.request
        first = Submission(i.instruction_id, i.question, i.specialty, i.person_id, "", request)
        timed.append((moment, first))
        if i.instruction_id in reworded:
            while (new_id := f"{rng.randint(10**8, 10**10 - 1)}") in taken:
                pass
            taken.add(new_id)
            rewording = first._replace(
                instruction_id=new_id,
                question=_reword(rng, i),
                submitter_specialty=rng.choice(list(SPECIALTIES)),
                duplicate_of=i.instruction_id,
            )
            timed.append((moment + (1 - moment) * rng.random(), rewording))
    return [submission for _, submission in sorted(timed, key=lambda pair: pair[0])]


def _reword(rng: random.Random, instruction: Instruction) -> str:
    question = text = instruction.question
    edits = rng.sample((_politely, _reordered, _abbreviated, _mistyped), rng.randint(1, 2))
    if rng.random() < 0.3:
        text = rng.choice([other for other in instruction.answer.questions if other != question])
        edits = edits[1:]
    for edit in edits:
        text = edit(rng, text)
    # An edit that does not apply leaves the text as it is.
    return _politely(rng, text) if text == question else text


def _politely(rng: random.Random, text: str) -> str:
    if rng.random() < 0.5:
        return text + rng.choice(CLOSINGS)
    return rng.choice(OPENINGS) + _lowered(text)


def _lowered(text: str) -> str:
    return text if text[:2].isupper() else text[0].lower() + text[1:]


def _reordered(rng: random.Random, text: str) -> str:
    if match := _DATED.fullmatch(text):
        return f"{match['front']}: {_lowered(match['rest'])}{match['end']}"
    if match := _SUPERLATIVE.fullmatch(text):
        rest = match["rest"]
        return f"{rest[0].upper()}{rest[1:]}, {match['front'].lower()}?"
    return text


def _abbreviated(rng: random.Random, text: str) -> str:
    found = [word for word in ABBREVIATIONS if re.search(rf"\b{re.escape(word)}\b", text)]
    if not found:
        return text
    word = rng.choice(sorted(found))
    return re.sub(rf"\b{re.escape(word)}\b", ABBREVIATIONS[word], text)


def _mistyped(rng: random.Random, text: str) -> str:
    """Return the text with two neighbouring letters inside a longer word swapped."""
    inside = [i for m in re.finditer(r"[a-z]{5,}", text) for i in range(m.start() + 1, m.end() - 1)]
    places = [i for i in inside if text[i] != text[i + 1]]
    if not places:
        return text
    i = rng.choice(places)
    return text[:i] + text[i + 1] + text[i] + text[i + 2 :]
