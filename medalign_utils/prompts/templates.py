"""The wording of prompts."""

from typing import NamedTuple

# Tokens of the context kept for the response, and the most that a response takes.
RESPONSE_TOKENS = 256


class Template(NamedTuple):
    """The text before an EHR, and the one after it, which holds the instruction."""

    opening: str
    closing: str


ANSWER = Template(
    "Use the patient's health record below to answer the question that follows it.\n\n",
    "\n\nQuestion: {instruction}\n\nAnswer:",
)
# Multi-step refinement, after the first part of the EHR.
REFINE = Template(
    "Below is the next part of the patient's health record. Use it to refine the answer that was "
    "given from the parts before it to the question that follows it.\n\n",
    "\n\nQuestion: {instruction}\n\nAnswer so far: {previous}\n\nIf this part of the record "
    "changes or completes the answer, write the new answer; if not, write the same answer again."
    "\n\nAnswer:",
)


class Prompt(NamedTuple):
    """What a system is given: the instruction, the EHR text kept, and both in the template.

    `previous` is the answer to refine, None in a first prompt.
    """

    instruction: str
    ehr: str
    text: str
    previous: str | None = None


def fill(question: str, ehr: str, previous: str | None = None) -> Prompt:
    """Return the prompt for an instruction and an EHR's text, whatever their length.

    `previous`, the answer from the parts of the EHR before, makes it a prompt to refine.

    >>> fill("Any cough?", "2013-01-05 09:00 note: cough.").text.splitlines()[-1]
    'Answer:'
    """
    template = ANSWER if previous is None else REFINE
    closing = template.closing.format(instruction=question, previous=previous)
    return Prompt(question, ehr, template.opening + ehr + closing, previous)
