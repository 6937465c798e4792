"""Instruction templates: phrasings of a question, and its true answers for a simulated patient.

`TEMPLATES` has a release's templates by name; `templates` registers them there or elsewhere.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from string import Formatter

from medalign_utils.synthetic.catalogue import OF_ONE_SEX, rows
from medalign_utils.synthetic.patient import Patient
from medalign_utils.synthetic.wording import capitalized, named, with_article


@dataclass(frozen=True)
class Template:
    """A template; `slots` are the fields of its phrasings other than pronouns."""

    name: str
    subcategory: str
    phrasings: list[str]
    reference: str
    evidence: str
    generate: "Callable[[Patient], Iterator[Answer]]"
    slots: tuple[str, ...]

    def answers(self, patient: Patient) -> "Iterator[Answer]":
        """Yield the answer to each question that the template can ask about this patient."""
        for answer in self.generate(patient):
            if answer.name == self.name:
                answer.template = self
                answer.words |= pronouns(patient)
                yield answer


class Answer:
    """A true answer, for one patient, to the question of the template called `name`.

    `time` is the newest place in the record that contains it, None if none does; `where` is codes,
    notes, both or nowhere; `relevant` has "sex" or "age" if the right answer depends on it.
    """

    template: Template

    def __init__(
        self, name, facts, time: datetime | None, where="notes", relevant=(), hard=(), **words
    ):
        """Take one fact or a list of facts; `hard` has names of `difficulties.DIFFICULTIES`."""
        self.facts: list[dict] = [facts] if isinstance(facts, dict) else facts
        self.hard: tuple[str, ...] = tuple(hard)
        self.name, self.time, self.where, self.words = name, time, where, words
        of_one_sex = {words.get(slot, "-")[0] for slot in ("lab", "surgery")} & OF_ONE_SEX
        self.relevant = relevant or (("sex",) if of_one_sex else ())

    def fill(self, text: str) -> str:
        """Return one of the template's texts with its slots filled."""
        return _Filler().vformat(text, (), self.words)

    @property
    def request(self) -> str:
        """What is asked, regardless of the patient: "latest_lab lab=sodium"."""
        # Whether or not the record contains a result, the question is the same.
        name = "latest_lab" if self.name == "lab_absent" else self.name
        values = [f"{slot}={self.fill(f'{{{slot}}}')}" for slot in self.template.slots]
        return " ".join([name, *values])

    @property
    def questions(self) -> list[str]:
        """The question in each phrasing."""
        return [capitalized(self.fill(phrasing)) for phrasing in self.template.phrasings]

    @property
    def reference(self) -> str:
        """The reference response."""
        return capitalized(self.fill(self.template.reference))

    @property
    def evidence(self) -> str:
        """What the record says, abridged."""
        return self.fill(self.template.evidence)


TEMPLATES: dict[str, Template] = {}


def templates(table: str, *, into: dict[str, Template] = TEMPLATES):
    """Register a template for each row of a table; the decorated function generates their answers.

    A row has the template's name, the subcategory, phrasings, the reference ("Answer: ...") and,
    if anything is documented, the evidence ("Evidence: ..."). Braces are filled with `pronouns` and
    the answer's words: the usual spelling of a term, dates as 03/09/2011; {lab:a} has an article,
    {disease:a?} has one if it needs one.
    """

    def register(generate: Callable[[Patient], Iterator[Answer]]):
        for name, subcategory, *phrasings in rows(table):
            texts = {"Answer": "", "Evidence": ""}
            while (last := phrasings[-1].partition(": "))[0] in texts:
                texts[last[0]] = last[2]
                phrasings.pop()
            fields = {slot for text in phrasings for _, slot, *_ in Formatter().parse(text)}
            slots = tuple(sorted(fields - {None, "", "she", "her", "him"}))
            into[name] = Template(name, subcategory, phrasings, *texts.values(), generate, slots)
        return generate

    return register


def pronouns(patient: Patient) -> dict[str, str]:
    """Return the words for the patient in a phrasing or a reference."""
    is_male = patient.gender == "MALE"
    she, her, him, woman = ("he his him man" if is_male else "she her her woman").split()
    words = {"she": she, "her": her, "him": him, "woman": woman}
    return words | {"She": she.title(), "Her": her.title()}


# How a name is written in a sentence: always with an article, or if `wording.COUNTABLE`.
_ARTICLES = {"a": with_article, "a?": named}


class _Filler(Formatter):
    def format_field(self, value, spec):
        value = value[0] if isinstance(value, tuple) else value
        if spec in _ARTICLES:
            return _ARTICLES[spec](value)
        if isinstance(value, date):
            named = {"": "%m/%d/%Y", "long": f"%B {value.day}, %Y"}  # 03/09/2011, March 9, 2011
            spec = named.get(spec, spec)
        return format(value, spec)
