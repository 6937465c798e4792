"""Instruction templates: how a question is phrased, and its true answers for a simulated patient.

`TEMPLATES` holds those of a release by name; `template` registers one there or in another mapping.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from string import Formatter

from medalign_utils.synthetic.catalogue import OF_ONE_SEX, spellings
from medalign_utils.synthetic.patient import Patient


class Answer:
    """An answer to a template's question, true of one patient.

    `time` is the newest place of the record where the answer stands, None where it stands nowhere;
    `where` says whether it stands there in codes, in notes, in both or nowhere. `relevant` holds
    "sex" or "age" where the right answer rests on them. `words` fill the template's texts.
    """

    def __init__(self, facts, time: datetime | None, where="notes", relevant=(), **words):
        """Takes one fact or a list of them."""
        self.facts: list[dict] = [facts] if isinstance(facts, dict) else facts
        self.time, self.where, self.relevant, self.words = time, where, relevant, words


@dataclass(frozen=True)
class Template:
    """A template; `slots` are the names in its phrasings but for those of the patient's words."""

    name: str
    subcategory: str
    phrasings: tuple[str, ...]
    reference: str
    evidence: str
    answers: Callable[[Patient], Iterator[Answer]]
    slots: tuple[str, ...]

    def candidates(self, patient: Patient) -> "Iterator[Candidate]":
        """Yield every question that the template can ask of this patient."""
        words = pronouns(patient)
        for answer in self.answers(patient):
            yield Candidate(self, answer, {**words, **answer.words})


@dataclass(frozen=True)
class Candidate:
    """A question that can be asked of one patient, and its answer."""

    template: Template
    answer: Answer
    words: dict

    @property
    def request(self) -> str:
        """What is asked, whoever the patient: "latest_lab lab=sodium"."""
        name = SAME_QUESTION.get(self.template.name, self.template.name)
        values = [f"{slot}={_fill(f'{{{slot}}}', self.words)}" for slot in self.template.slots]
        return " ".join([name, *values])

    @property
    def questions(self) -> list[str]:
        """The question in each phrasing."""
        texts = [_fill(phrasing, self.words) for phrasing in self.template.phrasings]
        return [text[0].upper() + text[1:] for text in texts]

    @property
    def reference(self) -> str:
        """The right answer as a clinician may write it."""
        return _fill(self.template.reference, self.words)

    @property
    def evidence(self) -> str:
        """The words of the record that the answer rests on, empty if there are none."""
        return _fill(self.template.evidence, self.words)

    @property
    def relevant(self) -> tuple[str, ...]:
        """Whether the answer rests on sex or age, or is about what only one sex has."""
        of_one_sex = {self.words.get(slot, "-")[0] for slot in ("lab", "surgery")} & OF_ONE_SEX
        return self.answer.relevant or (("sex",) if of_one_sex else ())


# Templates that differ in the answer only: the record holds such a result, or it does not.
SAME_QUESTION = {"lab_absent": "latest_lab"}
TEMPLATES: dict[str, Template] = {}


def template(text: str, *, into: dict[str, Template] = TEMPLATES):
    """Register the decorated generator of answers as a template under its own name.

    Each line of `text` is one item: the subcategory, the phrasings, then "Answer:" with the
    reference and, unless nothing is documented, "Evidence:". Slots in braces are filled from the
    patient's `pronouns` and the answer's words: of spellings the usual one, dates as 03/09/2011.
    """
    subcategory, *lines = (line.strip() for line in text.split("\n"))
    texts = {"Answer": "", "Evidence": ""}
    while (last := lines[-1].partition(": "))[0] in texts:
        texts[last[0]] = last[2]
        lines.pop()
    named = {slot for line in lines for _, slot, _, _ in Formatter().parse(line) if slot}
    slots = tuple(sorted(named - set(_PRONOUNS["MALE"])))

    def register(answers: Callable[[Patient], Iterator[Answer]]):
        name = answers.__name__
        into[name] = Template(name, subcategory, tuple(lines), *texts.values(), answers, slots)
        return answers

    return register


_PRONOUNS = {
    "FEMALE": {
        "she": "she",
        "She": "She",
        "her": "her",
        "Her": "Her",
        "him": "her",
        "woman": "woman",
    },
    "MALE": {"she": "he", "She": "He", "her": "his", "Her": "His", "him": "him", "woman": "man"},
}


def pronouns(patient: Patient) -> dict[str, str]:
    """Return the words for the patient in a phrasing or a reference."""
    return _PRONOUNS[patient.gender]


class _Filler(Formatter):
    def format_field(self, value, spec):
        value = value[0] if isinstance(value, tuple) else value
        if isinstance(value, date):
            named = {"": "%m/%d/%Y", "long": f"%B {value.day}, %Y"}  # 03/09/2011, March 9, 2011
            spec = named.get(spec, spec)
        return format(value, spec)


def _fill(text: str, words: dict) -> str:
    return _Filler().vformat(text, (), words)


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
