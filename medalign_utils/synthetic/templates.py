"""Instruction templates: how a question is phrased, and its true answers for a simulated patient.

`TEMPLATES` holds those of a release by name; `template` registers one there or in another mapping.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from string import Formatter

from medalign_utils.synthetic.catalogue import OF_ONE_SEX, fields, spellings
from medalign_utils.synthetic.patient import Patient


@dataclass(frozen=True)
class Template:
    """A template; `slots` are the names in its phrasings but for those of `pronouns`."""

    name: str
    subcategory: str
    phrasings: tuple[str, ...]
    reference: str
    evidence: str
    generate: "Callable[[Patient], Iterator[Answer]]"
    slots: tuple[str, ...]

    def answers(self, patient: Patient) -> "Iterator[Answer]":
        """Yield the answers to all that the template can ask of this patient."""
        for answer in self.generate(patient):
            answer.template = self
            answer.words |= pronouns(patient)
            yield answer


class Answer:
    """An answer to a template's question, true of one patient.

    `time` is the newest place of the record that holds the answer, None if none does; `where` says
    whether it is in codes, in notes, in both or nowhere. `relevant` holds "sex" or "age" where the
    right answer rests on them. `words` fill the template's texts.
    """

    template: Template

    def __init__(self, facts, time: datetime | None, where="notes", relevant=(), **words):
        """Takes one fact or a list of them."""
        self.facts: list[dict] = [facts] if isinstance(facts, dict) else facts
        self.time, self.where, self.words = time, where, words
        of_one_sex = {words.get(slot, "-")[0] for slot in ("lab", "surgery")} & OF_ONE_SEX
        self.relevant = relevant or (("sex",) if of_one_sex else ())

    def fill(self, text: str) -> str:
        """Return one of the template's texts with its slots filled."""
        return _Filler().vformat(text, (), self.words)

    @property
    def request(self) -> str:
        """What is asked, whoever the patient: "latest_lab lab=sodium"."""
        name = SAME_QUESTION.get(self.template.name, self.template.name)
        values = [f"{slot}={self.fill(f'{{{slot}}}')}" for slot in self.template.slots]
        return " ".join([name, *values])

    @property
    def questions(self) -> list[str]:
        """The question in each phrasing."""
        texts = [self.fill(phrasing) for phrasing in self.template.phrasings]
        return [text[0].upper() + text[1:] for text in texts]


# Templates that differ in the answer only: the record holds such a result, or it does not.
SAME_QUESTION = {"lab_absent": "latest_lab"}
TEMPLATES: dict[str, Template] = {}


def template(text: str, *, into: dict[str, Template] = TEMPLATES):
    """Register the decorated generator of answers as a template under its own name.

    The parts of `text`, between "|" and line ends, are the subcategory, the phrasings, the
    reference ("Answer: ...") and, unless nothing is documented, the evidence ("Evidence: ...").
    Slots in braces are filled from the patient's `pronouns` and the answer's words: of spellings
    the usual one, dates as 03/09/2011.
    """
    subcategory, *phrasings = fields(text)
    texts = {"Answer": "", "Evidence": ""}
    while (last := phrasings[-1].partition(": "))[0] in texts:
        texts[last[0]] = last[2]
        phrasings.pop()
    named = {slot for text in phrasings for _, slot, _, _ in Formatter().parse(text) if slot}
    slots = tuple(sorted(named - {"she", "her", "him"}))

    def register(generate: Callable[[Patient], Iterator[Answer]]):
        name = generate.__name__
        into[name] = Template(name, subcategory, tuple(phrasings), *texts.values(), generate, slots)
        return generate

    return register


def pronouns(patient: Patient) -> dict[str, str]:
    """Return the words for the patient in a phrasing or a reference."""
    is_male = patient.gender == "MALE"
    she, her, him, woman = ("he his him man" if is_male else "she her her woman").split()
    words = {"she": she, "her": her, "him": him, "woman": woman}
    return words | {"She": she.title(), "Her": her.title()}


class _Filler(Formatter):
    def format_field(self, value, spec):
        value = value[0] if isinstance(value, tuple) else value
        if isinstance(value, date):
            named = {"": "%m/%d/%Y", "long": f"%B {value.day}, %Y"}  # 03/09/2011, March 9, 2011
            spec = named.get(spec, spec)
        return format(value, spec)


def _iso(moment: date | datetime | None) -> str | None:
    return f"{moment:%Y-%m-%d}" if moment else None


def _listed(topic: str | Sequence[str]) -> list[str]:
    return list(spellings(topic) if isinstance(topic, str) else topic)


def number_fact(topic, value, unit: str, tolerance=0.4, on=None, since=None, **more) -> dict:
    """Return a number that the answer must hold, measured `on` a day or true `since` one."""
    more = {"from": _iso(since), **more} if since else more
    return {"kind": "number", "topic": _listed(topic), "value": value, "unit": unit,
            "tolerance": tolerance, "date": _iso(on), **more}  # fmt: skip


def date_fact(topic, on: date | datetime, precision: str = "day") -> dict:
    """Return a date that the answer must hold."""
    return {"kind": "date", "topic": _listed(topic), "date": _iso(on), "precision": precision}


def term_fact(accepted, rivals=(), topic=None, **more) -> dict:
    """Return a term that the answer must hold in any accepted spelling, and no rival instead."""
    return {"kind": "term", "accepted": list(accepted), "rivals": [list(r) for r in rivals],
            "topic": _listed(topic) if topic else None, **more}  # fmt: skip


def set_fact(members, rivals=()) -> dict:
    """Return terms that the answer must hold, all of them, and none of the rivals."""
    members, rivals = [list(m) for m in members], [list(r) for r in rivals]
    return {"kind": "set", "members": members, "rivals": rivals}


def yes_no_fact(topic, answer: bool, **more) -> dict:
    """Return whether the topic is so."""
    return {"kind": "yes_no", "topic": _listed(topic), "answer": answer, **more}


def absent_fact(topic) -> dict:
    """Return that the record says nothing of the topic."""
    return {"kind": "not_documented", "topic": _listed(topic)}
