"""The wording of prompts."""

from typing import NamedTuple

# Default maximum length of a response, which is reserved in the context.
RESPONSE_TOKENS = 256

ANSWER = (
    "Use the patient's health record below to answer the question that follows it.\n\n"
    "{ehr}\n\nQuestion: {instruction}\n\nAnswer:"
)
# For multi-step refinement, from the second part of the EHR on.
REFINE = (
    "Below is the next part of the patient's health record. Use it to refine the answer that was "
    "given from the parts before it to the question that follows it.\n\n"
    "{ehr}\n\nQuestion: {instruction}\n\nAnswer so far: {previous}\n\nIf this part of the record "
    "changes or completes the answer, write the new answer; if not, write the same answer again."
    "\n\nAnswer:"
)


class Prompt(NamedTuple):
    """A prompt and its parts; `previous` is the answer to refine, None in a first prompt."""

    instruction: str
    ehr: str
    text: str
    previous: str | None = None


def fill(question: str, ehr: str, previous: str | None = None) -> Prompt:
    """Return the prompt for an instruction and an EHR's text, or the prompt to refine an answer.

    >>> fill("Any cough?", "2013-01-05 09:00 note: cough.").text.splitlines()[-1]
    'Answer:'
    """
    template = ANSWER if previous is None else REFINE
    text = template.format(ehr=ehr, instruction=question, previous=previous)
    return Prompt(question, ehr, text, previous)
