"""Prompts: an instruction and as much of the EHR as fits, the most recent part of it."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from tokenizers import Tokenizer

from medalign_utils.errors import ParamsError, PromptError
from medalign_utils.hub import has_tokenizer_config, in_one_line, load_pretrained_tokenizer
from medalign_utils.prompts.chat import Chat, added_tokens, prompt_ids
from medalign_utils.prompts.measuring import Count, KnownEnd, known_end

# Tokens of the context kept for the response, and the most that a response takes.
RESPONSE_TOKENS = 256


class Template(NamedTuple):
    """What stands around an EHR's text; `closing` holds the instruction's place."""

    opening: str
    closing: str


ANSWER = Template(
    "Use the patient's health record below to answer the question that follows it.\n\n",
    "\n\nQuestion: {instruction}\n\nAnswer:",
)
# Of multi-step refinement, after the first part of the record.
REFINE = Template(
    "Below is the next part of the patient's health record. Use it to refine the answer that was "
    "given from the parts before it to the question that follows it.\n\n",
    "\n\nQuestion: {instruction}\n\nAnswer so far: {previous}\n\nIf this part of the record "
    "changes or completes the answer, write the new answer; if not, write the same answer again."
    "\n\nAnswer:",
)


class Prompt(NamedTuple):
    """What a system is given: the instruction, the EHR text kept, and both in the template.

    `previous` is the answer that is to be refined; None where there is none to refine.
    """

    instruction: str
    ehr: str
    text: str
    previous: str | None = None


class Packed(NamedTuple):
    """A prompt with its length and that of its EHR, in tokens of the system's tokenizer.

    `later` are the parts of the EHR that further prompts are to hold, where refinement takes
    several; `ehr_tokens_kept` counts them too.
    """

    prompt: Prompt
    prompt_tokens: int
    ehr_tokens_kept: int
    later: tuple[str, ...] = ()


def load_tokenizer(name: str, chat: Chat | None = None) -> Tokenizer:
    """Load a system's tokenizer, set to count all of a text, and as text.

    Cutting and padding are off (MiniLM's own file cuts at 128 tokens), and a special token's name
    that occurs in a text, such as ``[CLS]``, is read as the characters it is made of.

    A model's tokenizer is loaded as transformers does. Its ``tokenizer_config.json`` may say
    otherwise than ``tokenizer.json`` whether a text begins with a special token or with a blank,
    and then it is right; and many models have a ``tokenizer.model`` instead.

    Args:
        name: ``"minilm"``; a folder with a ``tokenizer_config.json`` and a tokenizer's files, or
            with a ``tokenizer.json`` alone; or a repository on Hugging Face.
        chat: the chat template in which all texts are to stand. Some tokenizers (of Llama's kind,
            unless they are "legacy") put a blank before what opens a text, which what follows a
            template's special token does not.

    Raises:
        ParamsError: there is none of that name, or its file cannot be read.

    >>> load_tokenizer("minilm").encode("[CLS] LOINC", add_special_tokens=False).tokens
    ['[', 'cl', '##s', ']', 'lo', '##in', '##c']
    """
    if name == "minilm":
        from medalign_utils.minilm import minilm_path

        load = partial(Tokenizer.from_file, str(minilm_path() / "tokenizer.json"))
    elif has_tokenizer_config(name):
        load = partial(_load_backend, name)
    elif Path(name).is_dir():
        file = Path(name) / "tokenizer.json"
        if not file.is_file():
            raise ParamsError(
                f"load_tokenizer: no tokenizer.json in {name}, and no tokenizer_config.json"
            )
        load = partial(Tokenizer.from_file, str(file))
    else:
        load = partial(Tokenizer.from_pretrained, name)
    try:
        tokenizer = load()
    except Exception as error:  # the libraries raise many kinds, bare Exception among them
        raise ParamsError(
            f"load_tokenizer: {name!r} is neither minilm, nor a folder with a tokenizer, nor a "
            f"repository that can be had from here ({in_one_line(error)})"
        ) from None
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.encode_special_tokens = True
    blank = tokenizer.pre_tokenizer
    if chat and chat.before_ids and getattr(blank, "prepend_scheme", None) == "first":
        blank.prepend_scheme = "never"
    return tokenizer


def _load_backend(name: str) -> Tokenizer:
    return load_pretrained_tokenizer(name).backend_tokenizer


def pack(
    question: str,
    ehr_text: str,
    tokenizer: Tokenizer,
    context_length: int | None,
    chat: Chat | None = None,
) -> Packed:
    """Put an instruction and the end of an EHR into a prompt that fits the context.

    As :func:`pack_all`, for one instruction.

    >>> record = "2013-01-05 09:00 note: cough. 2014-02-06 09:00 note: cough resolved."
    >>> packed = pack("Any cough?", record, load_tokenizer("minilm"), 256 + 38)
    >>> packed.prompt.ehr, packed.prompt_tokens
    ('2014-02-06 09:00 note: cough resolved.', 38)
    """
    return next(pack_all([question], ehr_text, tokenizer, context_length, chat))


def pack_all(
    questions: Sequence[str],
    ehr_text: str,
    tokenizer: Tokenizer,
    context_length: int | None,
    chat: Chat | None = None,
) -> Iterator[Packed]:
    """Put each instruction and the end of one EHR into a prompt that fits the context.

    The EHR is cut at the start of one of its tokens, so that the prompt, with the tokens that the
    tokenizer or the chat template adds, takes at most ``context_length - RESPONSE_TOKENS`` tokens.
    The EHR is tokenized once for all instructions, and of it only an end that grows until it
    suffices for the shortest one; of each prompt only the edges are tokenized anew, to make sure of
    its length (see :mod:`medalign_utils.measuring`).

    The text kept is what remains of the whole EHR's tokens if the oldest are dropped, with two
    exceptions. An end of a text may be tokenized otherwise than the whole where no word begins, so
    a cut within a word may lie a few characters off. And where the cut parts a word or a character
    whose rest takes more tokens than before, some more are dropped to keep to the budget.

    Args:
        questions: the instructions.
        ehr_text: the whole EHR, oldest part first.
        tokenizer: as :func:`load_tokenizer` gives it.
        context_length: in tokens; None keeps the whole EHR.
        chat: the model's chat template, as :func:`medalign_utils.prompts.chat.load_chat` gives it.

    Yields:
        The prompts, whose ``ehr`` is an end of ``ehr_text``, and the tokens of each prompt and of
        the EHR within it.

    Raises:
        PromptError: an instruction and the template alone exceed the context.

    >>> record = "2013-01-05 09:00 note: cough. 2014-02-06 09:00 note: cough resolved."
    >>> tokenizer = load_tokenizer("minilm")
    >>> questions = ["Any cough?", "Is there still any cough?"]
    >>> [packed.prompt.ehr[:16] for packed in pack_all(questions, record, tokenizer, 256 + 38)]
    ['2014-02-06 09:00', '-06 09:00 note: ']
    """
    if context_length is None:
        whole = KnownEnd(ehr_text, tokenizer)
        for question in questions:
            yield packed(fill(question, ehr_text), measure(question, whole, 0, tokenizer, chat))
        return
    limit = context_length - RESPONSE_TOKENS
    budgets = [
        limit - check_fits(question, tokenizer, context_length, chat) for question in questions
    ]
    end = known_end(ehr_text, tokenizer, max(budgets, default=0))
    for question, budget in zip(questions, budgets, strict=True):
        yield _fit(question, end, tokenizer, budget, limit, chat)


def _fit(
    question: str, end: KnownEnd, tokenizer: Tokenizer, budget: int, limit: int, chat: Chat | None
) -> Packed:
    starts, text = end.starts, end.text
    first = max(len(starts) - budget, 0)
    cut = starts[first] if 0 < first < len(starts) else len(text) if first else 0
    while True:
        count = measure(question, end, cut, tokenizer, chat)
        excess = count.text - limit
        if excess <= 0:
            return packed(fill(question, text[cut:]), count)
        # A word cut in two may take more tokens than its halves did, and so may a character that
        # shares its place with an earlier token: drop as many again, and look again.
        first += (excess + 1) // 2
        while first < len(starts) and starts[first] <= cut:
            first += 1
        cut = starts[first] if first < len(starts) else len(text)


def measure(
    question: str, end: KnownEnd, cut: int, tokenizer: Tokenizer, chat: Chat | None
) -> Count:
    """Count the tokens of the prompt that holds an end of an EHR from a cut on."""
    before, after = (chat.before, chat.after) if chat else ("", "")
    closing = ANSWER.closing.format(instruction=question)
    count = end.count(before + ANSWER.opening, cut, closing + after)
    return count._replace(text=count.text + added_tokens(tokenizer, chat))


def packed(prompt: Prompt, count: Count) -> Packed:
    """A prompt with what has been counted of it."""
    return Packed(prompt, count.text, count.ehr)


def check_fits(
    question: str, tokenizer: Tokenizer, context_length: int, chat: Chat | None = None
) -> int:
    """Count the tokens of an instruction in the template, which must leave the context unfilled.

    Returns:
        The tokens of the prompt with an empty EHR.

    Raises:
        PromptError: they exceed the context; the message says by what.

    >>> check_fits("Any cough?", load_tokenizer("minilm"), 2048)
    25
    """
    tokens = len(prompt_ids(fill(question, "").text, tokenizer, chat))
    limit = context_length - RESPONSE_TOKENS
    if tokens > limit:
        raise PromptError(
            f"pack: the instruction takes {tokens} tokens with its template, but a context of "
            f"{context_length} leaves {limit} (it keeps {RESPONSE_TOKENS} for the response); "
            "shorten the instruction or lengthen the context"
        )
    return tokens


def count_tokens(text: str, tokenizer: Tokenizer) -> int:
    """Count a text's own tokens, without those that a tokenizer adds around it.

    >>> count_tokens("Any cough?", load_tokenizer("minilm"))
    3
    """
    # Without the places of the tokens in the text, which would take half of the time.
    [encoding] = tokenizer.encode_batch_fast([text], add_special_tokens=False)
    return len(encoding)


def fill(question: str, ehr: str, previous: str | None = None) -> Prompt:
    """Put an instruction and an EHR's text into the template, whatever their length.

    Args:
        question: the instruction.
        ehr: the EHR's text, or a part of it.
        previous: the answer that was given from the parts before, which this prompt asks to
            refine; None for the first prompt.

    >>> fill("Any cough?", "2013-01-05 09:00 note: cough.").text.splitlines()[-1]
    'Answer:'
    """
    template = ANSWER if previous is None else REFINE
    closing = template.closing.format(instruction=question, previous=previous)
    return Prompt(question, ehr, template.opening + ehr + closing, previous)
