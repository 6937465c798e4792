"""Chooses the instructions of a release: which template, which patient, which place in the record.

The shares of subcategories and of references are the paper's. For each instruction, a target
position 1 - u**2 is drawn, with u uniform in [0, 1] (0 is the oldest end of the record, 1 the
newest), and the question with the nearest answer is chosen: a third of the targets are in the
newest tenth.
"""

import random
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime
from itertools import accumulate, chain
from typing import NamedTuple

from medalign_utils.data.taxonomy import SUBCATEGORIES
from medalign_utils.errors import MedAlignError
from medalign_utils.synthetic import ask_care, ask_history, ask_results  # noqa: F401
from medalign_utils.synthetic.difficulties import difficulties_of
from medalign_utils.synthetic.encounters import Encounter
from medalign_utils.synthetic.patient import Patient
from medalign_utils.synthetic.templates import TEMPLATES, Answer, Template

# Out of 120: (instructions, those with a reference). The category sums follow `CATEGORIES`.
SHARES = {
    "retrieve medical history": (16, 12),
    "retrieve imaging studies": (10, 8),
    "retrieve social history": (4, 3),
    "retrieve medication information": (13, 10),
    "retrieve laboratory studies": (13, 10),
    "provide patient education information": (3, 2),
    "retrieve appointment information": (5, 4),
    "retrieve demographics": (3, 3),
    "retrieve vitals": (5, 4),
    "retrieve genetic and family history": (3, 2),
    "retrieve institutional policies": (1, 0),
    "retrieve provider referrals": (2, 1),
    "retrieve communications with patient": (2, 1),
    "retrieve coding & billing information": (1, 0),
    "determine plan of care": (17, 6),
    "calculate numerical measures": (5, 2),
    "provide risk assessment": (3, 2),
    "provide diagnosis assistance": (4, 1),
    "translate materials": (1, 0),
    "other": (9, 9),
}
# The paper's number of instructions in each category, and how many have a reference.
CATEGORIES = {
    "Retrieve & Summarize": (667, 223),
    "Care Planning": (136, 22),
    "Calculation & Scoring": (70, 13),
    "Diagnosis Support": (33, 4),
    "Translation": (2, 0),
    "Other": (75, 41),
}
SPECIALTIES = {
    "Primary Care": ("retrieve medical history", "determine plan of care", "other"),
    "Cardiology": ("provide risk assessment", "retrieve vitals", "calculate numerical measures"),
    "Radiology": ("retrieve imaging studies",),
    "Emergency Medicine": ("provide diagnosis assistance", "retrieve laboratory studies"),
    "Hospital Medicine": ("retrieve medication information", "retrieve social history"),
}


class Instruction(NamedTuple):
    """One instruction of a release; `position` is where its answer is in the record, 0 to 1.

    `difficulties` has names of `difficulties.DIFFICULTIES`.
    """

    instruction_id: str
    person_id: str
    question: str
    answer: Answer
    specialty: str
    has_reference: bool
    position: float | None
    difficulties: list[str]


def places(encounters: list[Encounter]) -> Callable[[datetime | None], float | None]:
    """Return a function of time: the share of the record's text written up to then."""
    lengths = Counter()
    for event in chain.from_iterable(encounter.events for encounter in encounters):
        # 40 characters for the timestamp, type and code of the event's line.
        lengths[event.time] += 40 + len(event.name) + len(event.text)
    times = sorted(lengths)
    written = list(accumulate(lengths[time] for time in times))

    def share(time: datetime | None) -> float | None:
        return time and round(written[bisect_right(times, time) - 1] / written[-1], 4)

    return share


def plan_subcategories(
    count: int, templates: Mapping[str, Template] = TEMPLATES
) -> list[tuple[str, bool]]:
    """Return `count` pairs (subcategory, has a reference) in the subcategories' shares."""
    # Templates other than the benchmark's have equal shares, always with a reference.
    shares = SHARES
    if templates is not TEMPLATES:
        sizes = Counter(template.subcategory for template in templates.values())
        shares = {name: (n, n) for name, n in sizes.items()}
    numbers = apportion(count, {name: n for name, (n, _) in shares.items()})
    return [
        (name, i < round(numbers[name] * referenced / n))
        for name, (n, referenced) in shares.items()
        for i in range(numbers[name])
    ]


def plan_categories(count: int, referenced: int) -> list[tuple[str, bool]]:
    """Return such pairs in the paper's shares of categories, `referenced` with a reference."""
    sizes = apportion(count, {name: n for name, (n, _) in CATEGORIES.items()})
    referenced_sizes = apportion(referenced, {name: n for name, (_, n) in CATEGORIES.items()})
    plan = []
    for category in CATEGORIES:
        names = [name for name in SHARES if SUBCATEGORIES[name] == category]
        numbers = apportion(sizes[category], {name: SHARES[name][0] for name in names})
        weights = {name: SHARES[name][1] for name in names}
        with_reference = apportion(referenced_sizes[category], weights)
        plan += [(name, i < with_reference[name]) for name in names for i in range(numbers[name])]
    return plan


def apportion(count: int, weights: Mapping[str, int]) -> dict[str, int]:
    """Return `count` divided in proportion to the weights, by largest remainders."""
    total = sum(weights.values())
    exact = {name: count * n / total if total else 0.0 for name, n in weights.items()}
    numbers = {name: int(x) for name, x in exact.items()}
    remainders = sorted(exact, key=lambda name: numbers[name] - exact[name])
    for name in remainders[: count - sum(numbers.values())]:
        numbers[name] += 1
    return numbers


def choose_instructions(
    rng: random.Random,
    patients: list[tuple[Patient, Callable]],
    plan: list[tuple[str, bool]],
    templates: Mapping[str, Template] = TEMPLATES,
) -> list[Instruction]:
    """Return the planned instructions, spread evenly over the patients.

    Raises:
        MedAlignError: the patients yield too few instructions.
    """
    rng.shuffle(plan)
    pools = {}
    for name in sorted(templates):
        pools.setdefault(templates[name].subcategory, []).append(templates[name])
    uses, asked_of, asked = Counter(), Counter(), set()
    chosen = []
    for subcategory, has_reference in plan:
        target = 1 - rng.random() ** 2
        # Least used templates and least asked patients first; chance breaks ties.
        pool = sorted(pools[subcategory], key=lambda t: (uses[t.name], rng.random()))
        order = sorted(patients, key=lambda p: (asked_of[p[0].person_id], rng.random()))
        found = _nearest(pool, order, target, asked)
        if found is None:
            raise MedAlignError(
                f"choose_instructions: {len(patients)} patients yield only {len(chosen)} of "
                f"{len(plan)} instructions (none left for '{subcategory}'); ask for fewer or add "
                "patients"
            )
        patient, answer, position = found
        person = patient.person_id
        asked.add((person, answer.request))
        uses[answer.template.name] += 1
        asked_of[person] += 1
        question = rng.choice(answer.questions)
        fitting = [name for name, asks in SPECIALTIES.items() if subcategory in asks]
        asked_by = rng.choice(fitting or list(SPECIALTIES))
        number = f"{rng.randint(10**8, 10**10 - 1)}"
        hard = difficulties_of(patient, answer, position)
        chosen.append(
            Instruction(number, person, question, answer, asked_by, has_reference, position, hard)
        )
    return sorted(chosen, key=lambda i: int(i.instruction_id))


def _nearest(templates, patients, target, asked):
    """Return the answer nearest to the target, from the first template and patient with any."""
    for template in templates:
        for patient, share in patients:
            options = [
                (patient, answer, share(answer.time))
                for answer in template.answers(patient)
                if (patient.person_id, answer.request) not in asked
            ]
            if options:
                return min(options, key=lambda o: 0 if o[2] is None else abs(o[2] - target))
    return None
