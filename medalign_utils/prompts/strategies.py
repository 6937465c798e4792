"""Strategies: how an EHR that may be longer than the context reaches the generator.

`STRATEGIES` maps a name to a function that packs the instructions of one EHR. All take the same
arguments, and keyword options of their own.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from tokenizers import Tokenizer

from medalign_utils.errors import ParamsError, PromptError
from medalign_utils.prompts.chat import Chat, prompt_ids
from medalign_utils.prompts.measuring import KnownEnd, known_end
from medalign_utils.prompts.passages import split_chunks
from medalign_utils.prompts.retrieval import RETRIEVERS
from medalign_utils.prompts.templates import (
    RESPONSE_TOKENS,
    Packed,
    Prompt,
    check_fits,
    count_tokens,
    fill,
    measure,
    pack,
    pack_all,
)

# A part of the EHR ends at a line's end if there is one in its last tenth.
_LAST_PART = 0.1
# Tokens that a part of the EHR takes at least.
_LEAST = 64


def truncate(
    questions: Sequence[str],
    ehr_text: str,
    tokenizer: Tokenizer,
    context_length: int | None,
    chat: Chat | None,
) -> Iterator[Packed]:
    """Keep the most recent part of the EHR; see :func:`pack_all`."""
    yield from pack_all(questions, ehr_text, tokenizer, context_length, chat)


def refine(
    questions: Sequence[str],
    ehr_text: str,
    tokenizer: Tokenizer,
    context_length: int | None,
    chat: Chat | None,
) -> Iterator[Packed]:
    """Part the whole EHR, oldest part first: an answer from the first, refined with each other one.

    The parts make up the EHR, each character once. Each is as long as the context allows beside the
    template, the instruction and an answer of `RESPONSE_TOKENS` to refine, and ends at a line's end
    where one is near. An EHR that fits is one part, as `truncate` has it.

    Yields:
        The first prompt; ``later`` has the parts for the others, which :func:`next_prompt` makes.

    Raises:
        ParamsError: there is no context length.
        PromptError: an instruction does not fit with an answer to refine.

    Source: the paper's multi-step refinement ("MR").
    """
    if context_length is None:
        raise ParamsError("strategy refine needs a context_length, to part the record by")
    limit = context_length - RESPONSE_TOKENS
    known = KnownEnd(ehr_text, tokenizer)
    for question in questions:
        check_fits(question, tokenizer, context_length, chat)
        count = measure(question, known, 0, tokenizer, chat)
        if count.text <= limit:
            yield Packed(fill(question, ehr_text), *count)
            continue
        first, *later = _parts(question, known, tokenizer, context_length, chat)
        prompt = fill(question, first)
        tokens = len(prompt_ids(prompt.text, tokenizer, chat))
        yield Packed(prompt, tokens, len(known.starts), tuple(later))


def retrieve(
    questions: Sequence[str],
    ehr_text: str,
    tokenizer: Tokenizer,
    context_length: int | None,
    chat: Chat | None,
    *,
    retriever: str = "bm25",
) -> Iterator[Packed]:
    """Keep the passages that rank highest for the instruction, in the order of time.

    A passage is a coded event, or a few sentences of a note under the note's line. They are taken
    in the order of their rank, those left out that would no longer fit; among passages of the same
    score the most recent one comes first. An EHR that fits is kept whole. This is beyond the paper.

    Args:
        questions: the instructions.
        ehr_text: the EHR in the ``lines`` format.
        tokenizer: as for :func:`truncate`.
        context_length: in tokens.
        chat: as for :func:`truncate`.
        retriever: "bm25", or "minilm", the cosine of the sentence encoder's embeddings.

    Raises:
        ParamsError: there is no context length, or the retriever is unknown.
        PromptError: an instruction does not fit.
    """
    if context_length is None:
        raise ParamsError("strategy retrieve needs a context_length, to choose passages by")
    if retriever not in RETRIEVERS:
        raise ParamsError(f"retriever: no {retriever!r}; there are {', '.join(RETRIEVERS)}")
    limit = context_length - RESPONSE_TOKENS
    end = known_end(ehr_text, tokenizer, limit)
    is_whole = len(end.text) == len(ehr_text)
    ranked = None
    for question in questions:
        budget = limit - check_fits(question, tokenizer, context_length, chat)
        if is_whole:
            count = measure(question, end, 0, tokenizer, chat)
            if count.text <= limit:
                yield Packed(fill(question, ehr_text), *count)
                continue
        if ranked is None:
            passages = split_chunks(ehr_text)
            ranked = RETRIEVERS[retriever](passages)
            encoded = tokenizer.encode_batch_fast(passages, add_special_tokens=False)
            # A line's end between two passages may be a token too.
            lengths = np.array([len(encoding) for encoding in encoded])
            lengths += count_tokens("\n", tokenizer)
        chosen = _within(budget, lengths, ranked.scores(question))
        yield _joined(question, passages, chosen, tokenizer, limit, chat)


STRATEGIES: dict[str, Callable[..., Iterator[Packed]]] = {
    "refine": refine,
    "retrieve": retrieve,
    "truncate": truncate,
}


def next_prompt(
    question: str,
    ehr: str,
    previous: str,
    tokenizer: Tokenizer,
    context_length: int,
    chat: Chat | None,
) -> tuple[Prompt, int]:
    """The prompt that refines an answer with the next part of the EHR, and its tokens.

    An answer that takes more room than was kept for it, since it is tokenized otherwise than it was
    generated, loses its end.
    """
    limit = context_length - RESPONSE_TOKENS
    while True:
        prompt = fill(question, ehr, previous)
        tokens = len(prompt_ids(prompt.text, tokenizer, chat))
        if tokens <= limit or not previous:
            return prompt, tokens
        offsets = tokenizer.encode(previous, add_special_tokens=False).offsets
        kept = max(len(offsets) - (tokens - limit), 0)
        shorter = previous[: offsets[kept][0]] if kept < len(offsets) else ""
        previous = shorter if len(shorter) < len(previous) else previous[:-1]


def _parts(
    question: str, known: KnownEnd, tokenizer: Tokenizer, context_length: int, chat: Chat | None
) -> Iterator[str]:
    limit = context_length - RESPONSE_TOKENS
    around = len(prompt_ids(fill(question, "", "").text, tokenizer, chat)) + RESPONSE_TOKENS
    budget = limit - around
    if budget < _LEAST:
        raise PromptError(
            f"strategy refine: template, instruction and an answer to refine take {around} tokens, "
            f"but a context of {context_length} leaves {limit}; lengthen the context"
        )
    text, starts = known.text, known.starts
    begin = 0
    while begin < len(text):
        first = bisect_left(starts, begin)
        size = budget
        while True:
            # Several tokens may start at one character, which each stand for a part of.
            end = next((start for start in starts[first + size :] if start > begin), len(text))
            line = text.rfind("\n", begin, end) + 1
            if end < len(text) and line > end - _LAST_PART * (end - begin):
                end = line
            prompt = fill(question, text[begin:end], "")
            excess = len(prompt_ids(prompt.text, tokenizer, chat)) + RESPONSE_TOKENS - limit
            if excess <= 0:
                break
            size = max(size - excess, 1)
        yield text[begin:end]
        begin = end


def _within(budget: int, lengths: np.ndarray, scores: np.ndarray) -> list[int]:
    """The passages that fit, best first, of equal ones the most recent first."""
    chosen = []
    for i in np.lexsort((-np.arange(len(scores)), -scores)):
        if lengths[i] <= budget:
            chosen.append(int(i))
            budget -= lengths[i]
    return chosen


def _joined(
    question: str,
    passages: list[str],
    chosen: list[int],
    tokenizer: Tokenizer,
    limit: int,
    chat: Chat | None,
) -> Packed:
    while True:
        ehr = "\n".join(passages[i] for i in sorted(chosen))
        packed = pack(question, ehr, tokenizer, None, chat)
        if packed.prompt_tokens <= limit or not chosen:
            return packed
        # Side by side they may take a few more tokens than alone.
        chosen = chosen[:-1]
