"""The wording of prompts."""

from collections import Counter
from collections.abc import Mapping
from string import Formatter
from typing import Any, NamedTuple

from medalign_utils.errors import ParamsError, suggest

# Default maximum length of a response, which is reserved in the context.
RESPONSE_TOKENS = 256

# The order of the paper: what to do, the record, the instruction, "Answer:". The paper does not
# give the words.
ANSWER = (
    "Use the patient's health record below to answer the question that follows it.\n\n"
    "{record}\n\nQuestion: {instruction}\n\nAnswer:"
)
# For multi-step refinement, from the second part of the record on.
REFINE = (
    "Below is the next part of the patient's health record. Use it to refine the answer that was "
    "given from the parts before it to the question that follows it.\n\n"
    "{record}\n\nQuestion: {instruction}\n\nAnswer so far: {previous}\n\nIf this part of the "
    "record changes or completes the answer, write the new answer; if not, write the same answer "
    "again.\n\nAnswer:"
)


class Wording(NamedTuple):
    """The templates of prompts, and a message that comes before them, if any.

    `answer` has {record} and {instruction}; `refine` also has {previous}, the answer so far.
    """

    answer: str = ANSWER
    refine: str = REFINE
    system: str = ""


DEFAULT = Wording()


class Prompt(NamedTuple):
    """A prompt and its parts; `previous` is the answer to refine, None in a first prompt."""

    instruction: str
    ehr: str
    text: str
    previous: str | None = None


def fill(
    question: str, ehr: str, previous: str | None = None, wording: Wording = DEFAULT
) -> Prompt:
    """Return the prompt for an instruction and an EHR's text, or the prompt to refine an answer.

    >>> fill("Any cough?", "2013-01-05 09:00 note: cough.").text.splitlines()[-1]
    'Answer:'
    """
    template = wording.answer if previous is None else wording.refine
    text = template.format(record=ehr, instruction=question, previous=previous)
    return Prompt(question, ehr, text, previous)


_FIELDS = {"answer": ("record", "instruction"), "refine": ("record", "instruction", "previous")}


def read_wording(prompt: Mapping[str, Any] | None) -> Wording:
    """Return the wording that the key `prompt` of a system or an experiment sets.

    It may set `answer`, `refine` and `system`; what it does not set is `Wording`'s default.

    Raises:
        ParamsError: a key is unknown, a value is not text, or a template does not have each of its
            fields exactly once and no other.

    >>> read_wording({"answer": "{record} {question}"})
    Traceback (most recent call last):
    ...
    medalign_utils.errors.ParamsError: prompt: answer: found {record}, {question}, expected \
{record}, {instruction}, each once; a brace that is text is doubled: {{
    """
    prompt = prompt or {}
    if not isinstance(prompt, Mapping):
        raise ParamsError(f"prompt: {prompt!r}, expected {{answer: ..., refine: ..., system: ...}}")
    for key, text in prompt.items():
        if key not in Wording._fields:
            raise ParamsError(f"prompt: unknown key {key!r}{suggest(str(key), Wording._fields)}")
        if not isinstance(text, str) or not text.strip():
            raise ParamsError(f"prompt: {key}: {text!r}, expected text")
        if key in _FIELDS:
            _check_fields(key, text)
    return Wording(**prompt)


def _check_fields(key: str, template: str) -> None:
    try:
        parts = list(Formatter().parse(template))
    except ValueError:
        found = "a single brace"
    else:
        names = [f"{name}{'!' * bool(how)}{':' * bool(form)}" for _, name, form, how in parts
                 if name is not None]  # fmt: skip
        if Counter(names) == Counter(_FIELDS[key]):
            return
        found = ", ".join(f"{{{name}}}" for name in names) or "no field"
    expected = ", ".join(f"{{{name}}}" for name in _FIELDS[key])
    raise ParamsError(
        f"prompt: {key}: found {found}, expected {expected}, each once; a brace that is text is "
        "doubled: {{"
    )
