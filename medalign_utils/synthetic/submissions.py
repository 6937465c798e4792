"""The instructions as clinicians submitted them, before near-duplicates were taken out.

They are the release's instructions and, among these, light rewordings of some: another of the
template's phrasings, courtesies, abbreviations, another order of the words, typing errors.

Two submissions are duplicates where they make the same `request`: the same template asks with the
same values in its phrasings, whoever the patient is. That is how the paper's curation, which
compared questions before it matched them to patients, must see it: "Latest creatinine please." is
one request, of however many patients. So a release has duplicates of two kinds. `duplicate_of`
names the original of those that were reworded on purpose, for the same patient; `request` also
joins those that clinicians of different patients happened to make. Different requests may look
alike ("What is her most recent creatinine?", "What is her most recent potassium?").
"""

import random
import re
from collections.abc import Mapping
from string import Formatter
from typing import NamedTuple

from medalign_utils.synthetic import catalogue as cat
from medalign_utils.synthetic.instructions import SPECIALTIES, Instruction
from medalign_utils.synthetic.patient import Patient
from medalign_utils.synthetic.templates import pronouns

# Templates that differ in the answer only: the record holds such a result, or it does not.
SAME_QUESTION = {"lab_absent": "latest_lab"}

OPENINGS = ("Please: ", "Hello, ", "Before rounds: ", "When you have a moment, ")
CLOSINGS = (" Thanks.", " Thank you.", " Much appreciated.")
ABBREVIATIONS = {
    **{d.name: d.brand for d in cat.DRUGS.values()},
    **{
        words[0]: words[1]
        for words in (
            *(a.spellings for a in cat.ANALYTES.values()),
            *(c.spellings for c in cat.CONDITIONS.values()),
            *(c.spellings for c in cat.DRUG_CLASSES.values()),
            *(s.spellings for s in (*cat.STUDIES, *cat.SURGERIES)),
            *(*cat.FAMILY_CONDITIONS, *cat.SYMPTOMS, *cat.NEVER_HAD, *cat.ALLERGENS, cat.ECHO),
        )
        if len(words) > 1
    },
    "blood pressure": "BP", "ejection fraction": "EF", "temperature": "temp", "diagnosis": "dx",
    "history": "hx", "appointment": "appt", "follow-up": "f/u", "patient": "pt",
    "admission": "adm", "hospital": "hosp", "department": "dept", "reason": "rsn",
}  # fmt: skip
_DATED = re.compile(
    r"(?P<rest>.+?) (?:as of|after|drawn|from|of|on|at|for)(?: the)? "
    r"(?P<front>\d\d/\d\d/\d{4}(?: admission| colonoscopy| stay| visit)?)(?P<end>[?.])"
)
_SUPERLATIVE = re.compile(r"(?P<front>Most recent|Latest|Last|Current|Next) (?P<rest>.+)[?.]")


class Submission(NamedTuple):
    """One instruction as submitted; `duplicate_of` is empty for those of the release's table."""

    instruction_id: str
    question: str
    specialty: str
    person_id: str
    duplicate_of: str
    request: str


def submit(
    rng: random.Random,
    chosen: list[Instruction],
    patients: Mapping[str, Patient],
    duplicates: int,
) -> list[Submission]:
    """The release's instructions and rewordings of some of them, in the order of submission.

    Args:
        rng: the source of every draw.
        chosen: the instructions of the release.
        patients: person_id -> patient.
        duplicates: how many instructions to reword, at most all of them, none of them twice.

    Returns:
        One submission for each, every rewording somewhere after its original.
    """
    taken = {i.instruction_id for i in chosen}
    reworded = {i.instruction_id for i in rng.sample(chosen, duplicates)}
    timed = []
    for i in chosen:
        moment = rng.random()
        first = Submission(i.instruction_id, i.question, i.specialty, i.person_id, "", request(i))
        timed.append((moment, first))
        if i.instruction_id in reworded:
            again = first._replace(
                instruction_id=_new_id(rng, taken),
                question=_reword(rng, i, patients[i.person_id]),
                specialty=rng.choice(list(SPECIALTIES)),
                duplicate_of=i.instruction_id,
            )
            timed.append((moment + (1 - moment) * rng.random(), again))
    return [submission for _, submission in sorted(timed, key=lambda pair: pair[0])]


def request(instruction: Instruction) -> str:
    """What is asked, whoever the patient: the template and the values that its phrasings name.

    >>> from types import SimpleNamespace
    >>> from medalign_utils.synthetic.templates import TEMPLATES
    >>> asked = SimpleNamespace(values={"lab": "sodium", "date": "03/09/2011"})
    >>> request(SimpleNamespace(template=TEMPLATES["latest_lab"], candidate=asked))
    'latest_lab lab=sodium'
    """
    template = instruction.template
    named = {
        slot for phrasing in template.phrasings for _, slot, _, _ in Formatter().parse(phrasing)
    }
    values = [f"{k}={v}" for k, v in sorted(instruction.candidate.values.items()) if k in named]
    return " ".join((SAME_QUESTION.get(template.name, template.name), *values))


def _new_id(rng: random.Random, taken: set[str]) -> str:
    while (drawn := f"{rng.randint(10**8, 10**10 - 1)}") in taken:
        pass
    taken.add(drawn)
    return drawn


def _reword(rng: random.Random, instruction: Instruction, patient: Patient) -> str:
    question = text = instruction.question
    words = {**pronouns(patient), **instruction.candidate.values}
    edits = rng.sample((_politely, _reordered, _abbreviated, _mistyped), rng.randint(1, 2))
    if rng.random() < 0.3:
        phrasings = (phrasing.format(**words) for phrasing in instruction.template.phrasings)
        phrasings = [phrasing[0].upper() + phrasing[1:] for phrasing in phrasings]
        text = rng.choice([phrasing for phrasing in phrasings if phrasing != question])
        edits = edits[1:]
    for edit in edits:
        text = edit(rng, text)
    # What an edit does not apply to, it leaves as it is.
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
    """Two neighbouring letters inside one longer word change places."""
    inside = [i for m in re.finditer(r"[a-z]{5,}", text) for i in range(m.start() + 1, m.end() - 1)]
    places = [i for i in inside if text[i] != text[i + 1]]
    if not places:
        return text
    at = rng.choice(places)
    return text[:at] + text[at + 1] + text[at] + text[at + 2 :]


__all__ = ["Submission", "request", "submit"]
