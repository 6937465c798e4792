"""Fit an EHR, which may be longer than a system's context, into prompts.

Pack all prompts of one EHR before the next: they share cached work.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from medalign_utils.data.ehr import ehr_text
from medalign_utils.errors import ParamsError, PromptError, suggest
from medalign_utils.prompts.retrieval import RETRIEVERS, WINDOW_SENTENCES, split_passages
from medalign_utils.prompts.templates import RESPONSE_TOKENS, Prompt
from medalign_utils.prompts.tokenizers import PromptTokenizer, load_tokenizer

_LEAST_TOKENS = 64  # minimum length in tokens of a part of the EHR in refinement


class Packed(NamedTuple):
    """A prompt, with its length and the length of the EHR text in it, in tokens.

    In refinement, `later` has the later parts of the EHR, and `ehr_tokens_kept` includes them. Only
    `pack_ehr` sets `ehr_tokens_total`, the length of the whole EHR.
    """

    prompt: Prompt
    prompt_tokens: int
    ehr_tokens_kept: int
    ehr_tokens_total: int | None = None
    later: tuple[str, ...] = ()


def check_fits(
    question: str,
    tokenizer: PromptTokenizer,
    context_length: int,
    max_new_tokens: int = RESPONSE_TOKENS,
) -> int:
    """Return the number of tokens of a prompt with an empty EHR.

    Raises: PromptError if it exceeds the context.

    >>> check_fits("Any cough?", load_tokenizer("minilm"), 2048)
    25
    """
    tokens = _count(tokenizer.fill(question, ""), tokenizer)
    limit = context_length - max_new_tokens
    if tokens > limit:
        raise PromptError(
            f"pack: instruction and template take {tokens} tokens, but a context of "
            f"{context_length} leaves {limit} ({max_new_tokens} are for the response); shorten "
            "the instruction or lengthen the context"
        )
    return tokens


def truncate(
    question: str,
    ehr_text: str,
    tokenizer: PromptTokenizer,
    context_length: int | None,
    *,
    max_new_tokens: int = RESPONSE_TOKENS,
) -> Packed:
    """Return a prompt with the most recent part of the EHR, or all of it without a context length.

    The prompt has at most ``context_length - max_new_tokens`` tokens. The EHR is cut at the start
    of a token.

    Raises: PromptError if the instruction and the template alone exceed the context.
    """
    if context_length is None:
        return _packed(tokenizer.fill(question, ehr_text), tokenizer)
    check_fits(question, tokenizer, context_length, max_new_tokens)
    limit = context_length - max_new_tokens
    end, starts = _tokenized_end(ehr_text, tokenizer, limit)
    # A sample prompt with the EHR's last tokens shows how many tokens the rest needs. If the EHR
    # were empty, the line ends around it could merge into one token.
    few = starts[-20:]
    sample = tokenizer.fill(question, end[few[0] :] if few else "")
    first = max(len(starts) - len(few) + _count(sample, tokenizer) - limit, 0)
    cut = _next_start(starts, first, -1, end) if first else 0
    while (packed := _packed(tokenizer.fill(question, end[cut:]), tokenizer)).prompt_tokens > limit:
        first += (packed.prompt_tokens - limit + 1) // 2
        cut = _next_start(starts, first, cut, end)
    return packed


def refine(
    question: str,
    ehr_text: str,
    tokenizer: PromptTokenizer,
    context_length: int | None,
    *,
    max_new_tokens: int = RESPONSE_TOKENS,
) -> Packed:
    """Return a prompt with the first part of the EHR and, in ``later``, the other parts.

    The EHR is split into parts, oldest first. Each is as long as the context allows beside the
    template, the instruction and an answer of `max_new_tokens`, and if possible ends at the end of
    a line. An EHR that fits is a single part. `next_prompt` returns the later prompts.

    Raises: ParamsError without a context length; PromptError if the instruction and an answer to
    refine do not fit.

    Source: the paper's multi-step refinement ("MR").
    """
    if context_length is None:
        raise ParamsError("strategy refine needs a context_length")
    limit = context_length - max_new_tokens
    if packed := _whole(question, ehr_text, tokenizer, limit):
        return packed
    around = _count(tokenizer.fill(question, "", ""), tokenizer) + max_new_tokens
    if limit - around < _LEAST_TOKENS:
        raise PromptError(
            f"strategy refine: instruction, template and an answer to refine take {around} tokens, "
            f"but a context of {context_length} leaves {limit}; lengthen the context"
        )
    _, starts = _tokenized_end(ehr_text, tokenizer, len(ehr_text))
    begin, parts = 0, []
    while begin < len(ehr_text):
        size = excess = limit - around
        while excess > 0:
            end = _next_start(starts, bisect_left(starts, begin) + size, begin, ehr_text)
            line = ehr_text.rfind("\n", begin, end) + 1
            if end < len(ehr_text) and line > end - 0.1 * (end - begin):
                end = line
            prompt = tokenizer.fill(question, ehr_text[begin:end], "")
            excess = _count(prompt, tokenizer) + max_new_tokens - limit
            size = max(size - excess, 1)
        parts.append(prompt.ehr)
        begin = end
    packed = _packed(tokenizer.fill(question, parts[0]), tokenizer)
    return packed._replace(ehr_tokens_kept=len(starts), later=tuple(parts[1:]))


def next_prompt(
    question: str,
    ehr: str,
    previous: str,
    tokenizer: PromptTokenizer,
    context_length: int,
    max_new_tokens: int = RESPONSE_TOKENS,
) -> tuple[Prompt, int]:
    """Return the prompt that refines an answer with the next part of the EHR, and its length.

    If the previous answer does not fit, its end is cut off.
    """
    limit = context_length - max_new_tokens
    while True:
        prompt = tokenizer.fill(question, ehr, previous)
        tokens = _count(prompt, tokenizer)
        if tokens <= limit or not previous:
            return prompt, tokens
        starts = tokenizer.starts(previous)
        kept = len(starts) - (tokens - limit)
        previous = previous[: min(starts[kept], len(previous) - 1)] if kept > 0 else ""


def retrieve(
    question: str,
    ehr_text: str,
    tokenizer: PromptTokenizer,
    context_length: int | None,
    *,
    max_new_tokens: int = RESPONSE_TOKENS,
    retriever: str = "bm25",
) -> Packed:
    """Return a prompt with the highest-ranking passages of an EHR, in chronological order.

    Passages are added by rank, the most recent first among equals; those that do not fit are
    skipped. `ehr_text` must have the ``lines`` format; it is kept whole if it fits. The paper has
    no such system.

    Raises: ParamsError without a context length or with an unknown retriever; PromptError if the
    instruction does not fit.
    """
    if context_length is None:
        raise ParamsError("strategy retrieve needs a context_length")
    if retriever not in RETRIEVERS:
        raise ParamsError(f"no retriever {retriever!r}{suggest(retriever, RETRIEVERS)}")
    limit = context_length - max_new_tokens
    budget = limit - check_fits(question, tokenizer, context_length, max_new_tokens)
    if packed := _whole(question, ehr_text, tokenizer, limit):
        return packed
    passages, lengths, ranker = _indexed(ehr_text, tokenizer, retriever)
    scores, chosen = ranker.scores(question), []
    for i in np.lexsort((-np.arange(len(scores)), -scores)):
        if lengths[i] <= budget:
            chosen.append(i)
            budget -= lengths[i]
    while True:
        ehr = "\n".join(passages[i] for i in sorted(chosen))
        packed = _packed(tokenizer.fill(question, ehr), tokenizer)
        if packed.prompt_tokens <= limit:
            return packed
        chosen.pop()  # joined passages may have a few more tokens than separate ones


STRATEGIES: dict[str, Callable[..., Packed]] = {
    "refine": refine,
    "retrieve": retrieve,
    "truncate": truncate,
}


def pack_prompt(
    question: str,
    ehr_text: str,
    tokenizer: PromptTokenizer | str,
    context_length: int | None,
    strategy: str = "truncate",
    **options: Any,
) -> Packed:
    """Return a strategy's first prompt for an instruction; `tokenizer` may also be a name.

    >>> record = "2013-01-05 09:00 note: cough. 2014-02-06 09:00 note: cough resolved."
    >>> packed = pack_prompt("Any cough?", record, "minilm", 256 + 38)
    >>> packed.prompt.ehr, packed.prompt_tokens
    ('2014-02-06 09:00 note: cough resolved.', 38)
    """
    if isinstance(tokenizer, str):
        tokenizer = load_tokenizer(tokenizer)
    return STRATEGIES[strategy](question, ehr_text, tokenizer, context_length, **options)


def pack_ehr(
    path: Path, questions: Sequence[str], format: str, tokenizer: PromptTokenizer, *how, **options
) -> list[Packed]:
    """Return the prompts of a patient's instructions, with `ehr_tokens_total`.

    `format` is as in `ehr_text`; further arguments and errors are as in `pack_prompt`.
    """
    text = ehr_text(path, format)
    total = tokenizer.count(text)
    prompts = [pack_prompt(question, text, tokenizer, *how, **options) for question in questions]
    # If tokens merge with the template's, the count of a whole EHR would differ by one.
    kept = [total if p.prompt.ehr == text else p.ehr_tokens_kept for p in prompts]
    return [
        packed._replace(ehr_tokens_kept=n, ehr_tokens_total=total)
        for packed, n in zip(prompts, kept, strict=True)
    ]


def _count(prompt: Prompt, tokenizer: PromptTokenizer) -> int:
    return len(tokenizer.prompt_ids(prompt.text))


def _packed(prompt: Prompt, tokenizer: PromptTokenizer) -> Packed:
    # A digit is one token and does not merge with the line ends around it.
    around = _count(tokenizer.fill(prompt.instruction, "0"), tokenizer) - 1
    tokens = _count(prompt, tokenizer)
    return Packed(prompt, tokens, max(tokens - around, 0))


def _whole(question: str, ehr_text: str, tokenizer: PromptTokenizer, limit: int) -> Packed | None:
    """Return the prompt with the whole EHR; None if it does not fit."""
    if len(_tokenized_end(ehr_text, tokenizer, limit)[1]) > limit:
        return None
    packed = _packed(tokenizer.fill(question, ehr_text), tokenizer)
    return packed if packed.prompt_tokens <= limit else None


@lru_cache(maxsize=2)  # refinement also needs the whole text
def _tokenized_end(text: str, tokenizer: PromptTokenizer, tokens: int) -> tuple[str, list[int]]:
    """Return the end of a text, longer than `tokens` if possible, and the starts of its tokens."""
    size = 4 * tokens  # clinical text has 2 to 4 characters per token
    while True:
        end = text[-size:]
        starts = tokenizer.starts(end)
        if len(end) == len(text) or len(starts) > tokens:
            return end, starts
        size *= 2


@lru_cache(maxsize=1)
def _indexed(text: str, tokenizer: PromptTokenizer, retriever: str) -> tuple[list, list, Any]:
    """Return an EHR's passages, their lengths in tokens including a line end, and their ranker."""
    passages = split_passages(text, step=WINDOW_SENTENCES)
    line_end = tokenizer.count("\n")
    lengths = [tokenizer.count(passage) + line_end for passage in passages]
    return passages, lengths, RETRIEVERS[retriever](passages)


def _next_start(starts: list[int], index: int, after: int, text: str) -> int:
    """Return the first of `starts[index:]` above `after`, as tokens may share a start."""
    index = bisect_right(starts, after, lo=min(index, len(starts)))
    return starts[index] if index < len(starts) else len(text)
