"""What makes an instruction hard to answer from the record, as the answer key names it."""

from medalign_utils.synthetic.patient import Patient
from medalign_utils.synthetic.templates import Answer

# `Answer.hard` has the first four.
DIFFICULTIES = {
    "copied error": "notes copied an old or wrong entry forward; only an addendum and newer notes "
    "have the right one",
    "two units": "two laboratories report the test in different units; the question says in which "
    "to answer",
    "hospital medication": "the drug was held or given at another dose during a hospital stay",
    "relative date": 'the newest note gives the date only as "for three weeks" or "14 years ago"',
    "scanned": "the newest note with the answer is a scan from elsewhere, with broken lines and "
    "page headers",
    "codes only": "no note has the answer, only coded events",
    "not documented": "the record does not have the answer, and the right response says so",
    "older half": "the newest statement of the answer is in the older half of the record",
    "several facts": "a correct response needs more than one fact, or a list of two or more",
    "calculation": "the answer is computed: an age, a score, a body mass index",
}
CALCULATED = ("calculate numerical measures", "provide risk assessment")


def difficulties_of(patient: Patient, answer: Answer, position: float | None) -> list[str]:
    """Return the names of an instruction's difficulties, in the order of `DIFFICULTIES`.

    `position` is where the record last has the answer, 0 to 1; None if nowhere.
    """
    scans = {visit.end for visit in patient.visits if visit.is_outside}
    scans |= {study.time for study in patient.studies if study.is_outside}
    n_facts = sum(len(fact.get("members", [fact])) for fact in answer.facts)
    holds = {
        **dict.fromkeys(answer.hard, True),
        "scanned": answer.where == "notes" and answer.time in scans,
        "codes only": answer.where == "codes",
        "not documented": answer.where == "nowhere",
        "older half": position is not None and position < 0.5,
        "several facts": n_facts > 1,
        "calculation": answer.template.subcategory in CALCULATED,
    }
    return [name for name in DIFFICULTIES if holds.get(name)]
