"""Strategies that fit an EHR into the context of a system, and the packing of an EHR's prompts.

A strategy in `STRATEGIES` takes the instructions of one EHR, its text, a tokenizer, the context
length and options of its own. It yields the first prompt of each instruction.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from medalign_utils.data.ehr import ehr_text
from medalign_utils.errors import ParamsError, PromptError
from medalign_utils.prompts.retrieval import RETRIEVERS, WINDOW_SENTENCES, split_passages
from medalign_utils.prompts.templates import RESPONSE_TOKENS, Prompt, fill
from medalign_utils.prompts.tokenizers import PromptTokenizer, load_tokenizer

# Refinement: a part of the EHR has at least so many tokens, and ends at a line's end if there is
# one in its last tenth.
_LEAST_TOKENS = 64
_LAST_PART = 0.1


class Packed(NamedTuple):
    """A prompt with its length and those of its EHR, in tokens of the system's tokenizer.

    `later` are the parts of the EHR for the prompts that refine the answer; `ehr_tokens_kept`
    counts them too. `ehr_tokens_total` is None unless the whole EHR was counted.
    """

    prompt: Prompt
    prompt_tokens: int
    ehr_tokens_kept: int
    ehr_tokens_total: int | None = None
    later: tuple[str, ...] = ()


def check_fits(question: str, tokenizer: PromptTokenizer, context_length: int) -> int:
    """Return the number of tokens of a prompt without an EHR.

    Raises:
        PromptError: they exceed the context; the message says by how much.

    >>> check_fits("Any cough?", load_tokenizer("minilm"), 2048)
    25
    """
    tokens = _count(fill(question, ""), tokenizer)
    limit = context_length - RESPONSE_TOKENS
    if tokens > limit:
        raise PromptError(
            f"pack: the instruction takes {tokens} tokens with its template, but a context of "
            f"{context_length} leaves {limit} (it keeps {RESPONSE_TOKENS} for the response); "
            "shorten the instruction or lengthen the context"
        )
    return tokens


def pack_prompt(
    question: str, ehr_text: str, tokenizer: PromptTokenizer, context_length: int | None
) -> Packed:
    """Return an instruction and the most recent part of an EHR that fits; see `truncate`.

    >>> record = "2013-01-05 09:00 note: cough. 2014-02-06 09:00 note: cough resolved."
    >>> packed = pack_prompt("Any cough?", record, load_tokenizer("minilm"), 256 + 38)
    >>> packed.prompt.ehr, packed.prompt_tokens
    ('2014-02-06 09:00 note: cough resolved.', 38)
    """
    return next(truncate([question], ehr_text, tokenizer, context_length))


def truncate(
    questions: Sequence[str], ehr_text: str, tokenizer: PromptTokenizer, context_length: int | None
) -> Iterator[Packed]:
    """Keep the most recent part of the EHR, or all of it if there is no context length.

    A prompt has at most ``context_length - RESPONSE_TOKENS`` tokens, counted on its whole text. The
    EHR is cut at the start of one of its tokens; where the rest of a word takes more tokens than
    it did within the word, a few more are dropped. Only the end of the EHR is tokenized, once.

    Raises:
        PromptError: an instruction and the template alone exceed the context.
    """
    if context_length is None:
        for question in questions:
            yield _packed(fill(question, ehr_text), tokenizer)
        return
    limit = context_length - RESPONSE_TOKENS
    for question in questions:
        check_fits(question, tokenizer, context_length)
    end, starts = _tokenized_end(ehr_text, tokenizer, limit)
    # A few of the EHR's tokens show what the rest of the prompt takes. Without any, the line ends
    # around the EHR may become one token.
    few = starts[-20:]
    for question in questions:
        sample = fill(question, end[few[0] :] if few else "")
        budget = limit - (_count(sample, tokenizer) - len(few))
        first = max(len(starts) - budget, 0)
        cut = _next_start(starts, first, -1, end) if first else 0
        while (packed := _packed(fill(question, end[cut:]), tokenizer)).prompt_tokens > limit:
            first += (packed.prompt_tokens - limit + 1) // 2
            cut = _next_start(starts, first, cut, end)
        yield packed


def refine(
    questions: Sequence[str], ehr_text: str, tokenizer: PromptTokenizer, context_length: int | None
) -> Iterator[Packed]:
    """Split the whole EHR: the first part gives an answer, each later one refines it.

    The parts make up the EHR, oldest first. Each is as long as the context allows beside template,
    instruction and an answer of `RESPONSE_TOKENS`, and ends at a line's end if one is near.
    `next_prompt` makes the prompts of the parts in ``later``. An EHR that fits is one part.

    Raises:
        ParamsError: there is no context length.
        PromptError: an instruction does not fit with an answer to refine.

    Source: the paper's multi-step refinement ("MR").
    """
    if context_length is None:
        raise ParamsError("strategy refine needs a context_length, to split the record by")
    limit = context_length - RESPONSE_TOKENS
    starts = tokenizer.starts(ehr_text)
    for question in questions:
        check_fits(question, tokenizer, context_length)
        if len(starts) <= limit:
            packed = _packed(fill(question, ehr_text), tokenizer)
            if packed.prompt_tokens <= limit:
                yield packed
                continue
        first, *later = _parts(question, ehr_text, starts, tokenizer, context_length)
        packed = _packed(fill(question, first), tokenizer)
        yield packed._replace(ehr_tokens_kept=len(starts), later=tuple(later))


def _parts(
    question: str, text: str, starts: list[int], tokenizer: PromptTokenizer, context_length: int
) -> Iterator[str]:
    limit = context_length - RESPONSE_TOKENS
    around = _count(fill(question, "", ""), tokenizer) + RESPONSE_TOKENS
    if limit - around < _LEAST_TOKENS:
        raise PromptError(
            f"strategy refine: template, instruction and an answer to refine take {around} tokens, "
            f"but a context of {context_length} leaves {limit}; lengthen the context"
        )
    begin = 0
    while begin < len(text):
        size = excess = limit - around
        while excess > 0:
            end = _next_start(starts, bisect_left(starts, begin) + size, begin, text)
            line = text.rfind("\n", begin, end) + 1
            if end < len(text) and line > end - _LAST_PART * (end - begin):
                end = line
            part = _count(fill(question, text[begin:end], ""), tokenizer)
            excess = part + RESPONSE_TOKENS - limit
            size = max(size - excess, 1)
        yield text[begin:end]
        begin = end


def next_prompt(
    question: str, ehr: str, previous: str, tokenizer: PromptTokenizer, context_length: int
) -> tuple[Prompt, int]:
    """Return the prompt that refines an answer with the next part of the EHR, and its tokens.

    An answer too long for the room kept for it, because its text takes more tokens than were
    generated, loses its end.
    """
    limit = context_length - RESPONSE_TOKENS
    while True:
        prompt = fill(question, ehr, previous)
        tokens = _count(prompt, tokenizer)
        if tokens <= limit or not previous:
            return prompt, tokens
        starts = tokenizer.starts(previous)
        kept = len(starts) - (tokens - limit)
        previous = previous[: min(starts[kept], len(previous) - 1)] if kept > 0 else ""


def retrieve(
    questions: Sequence[str],
    ehr_text: str,
    tokenizer: PromptTokenizer,
    context_length: int | None,
    *,
    retriever: str = "bm25",
) -> Iterator[Packed]:
    """Keep the passages that rank highest for the instruction, in chronological order.

    Passages are taken by rank, the most recent of equals first, and skipped if they no longer fit.
    The EHR is in the ``lines`` format; one that fits is kept whole. The paper has no such system.

    Raises:
        ParamsError: there is no context length, or the retriever is unknown.
        PromptError: an instruction does not fit.
    """
    if context_length is None:
        raise ParamsError("strategy retrieve needs a context_length, to choose passages by")
    if retriever not in RETRIEVERS:
        raise ParamsError(f"retriever: no {retriever!r}; there are {', '.join(RETRIEVERS)}")
    limit = context_length - RESPONSE_TOKENS
    may_fit = len(_tokenized_end(ehr_text, tokenizer, limit)[1]) <= limit
    ranker = None
    for question in questions:
        budget = limit - check_fits(question, tokenizer, context_length)
        if may_fit:
            packed = _packed(fill(question, ehr_text), tokenizer)
            if packed.prompt_tokens <= limit:
                yield packed
                continue
        if ranker is None:
            passages = split_passages(ehr_text, step=WINDOW_SENTENCES)
            ranker = RETRIEVERS[retriever](passages)
            # The line's end between two passages may be a token too.
            lengths = np.array(tokenizer.counts(passages)) + tokenizer.count("\n")
        scores, chosen = ranker.scores(question), []
        for i in np.lexsort((-np.arange(len(scores)), -scores)):
            if lengths[i] <= budget:
                chosen.append(i)
                budget -= lengths[i]
        while True:
            ehr = "\n".join(passages[i] for i in sorted(chosen))
            packed = _packed(fill(question, ehr), tokenizer)
            if packed.prompt_tokens <= limit:
                break
            chosen.pop()  # joined, passages may take a few more tokens than alone
        yield packed


STRATEGIES: dict[str, Callable[..., Iterator[Packed]]] = {
    "refine": refine,
    "retrieve": retrieve,
    "truncate": truncate,
}


def pack_ehr(
    path: Path,
    questions: Sequence[str],
    format: str,
    tokenizer: str,
    context_length: int | None,
    *,
    strategy: str = "truncate",
    chat_template: str | bool | None = None,
    options: Mapping[str, Any] | None = None,
) -> list[Packed]:
    """Return a prompt for each of a patient's instructions, with the EHR's tokens counted.

    Args:
        path: the EHR, read once.
        questions: the instructions.
        format: as for `ehr_text`.
        tokenizer: as for `load_tokenizer`.
        context_length: in tokens; None keeps the whole EHR.
        strategy: a name in `STRATEGIES`.
        chat_template: as for `load_tokenizer`.
        options: of the strategy.

    Raises:
        EHRError, ParamsError, PromptError: as `ehr_text`, `load_tokenizer` and the strategy.
    """
    loaded = _load_tokenizer(tokenizer, chat_template)
    text = ehr_text(path, format)
    total = loaded.count(text)
    return [
        packed._replace(
            # Tokens that join across the template's edges would make it differ by one.
            ehr_tokens_kept=total if packed.prompt.ehr == text else packed.ehr_tokens_kept,
            ehr_tokens_total=total,
        )
        for packed in STRATEGIES[strategy](
            questions, text, loaded, context_length, **(options or {})
        )
    ]


_load_tokenizer = lru_cache(maxsize=1)(load_tokenizer)


def _count(prompt: Prompt, tokenizer: PromptTokenizer) -> int:
    return len(tokenizer.prompt_ids(prompt.text))


def _packed(prompt: Prompt, tokenizer: PromptTokenizer) -> Packed:
    # A digit is one token, and neither line end around it joins it.
    around = _count(fill(prompt.instruction, "0"), tokenizer) - 1
    tokens = _count(prompt, tokenizer)
    return Packed(prompt, tokens, max(tokens - around, 0))


def _tokenized_end(text: str, tokenizer: PromptTokenizer, tokens: int) -> tuple[str, list[int]]:
    """An end of a text with more than so many tokens, or all of it; and where its tokens start."""
    size = 4 * tokens  # clinical text has 2 to 4 characters a token
    while True:
        end = text[-size:]
        starts = tokenizer.starts(end)
        if len(end) == len(text) or len(starts) > tokens:
            return end, starts
        size *= 2


def _next_start(starts: list[int], index: int, after: int, text: str) -> int:
    """The first start from an index on that is after a place; several tokens may share a start."""
    index = bisect_right(starts, after, lo=min(index, len(starts)))
    return starts[index] if index < len(starts) else len(text)
