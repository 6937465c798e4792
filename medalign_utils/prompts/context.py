"""How an EHR that may be longer than a system's context gets into its prompts.

Work that the prompts of one EHR share is done once if they are packed one after another.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from medalign_utils.data.ehr import ehr_text
from medalign_utils.errors import ParamsError, PromptError
from medalign_utils.prompts.retrieval import RETRIEVERS, WINDOW_SENTENCES, split_passages
from medalign_utils.prompts.templates import RESPONSE_TOKENS, Prompt, fill
from medalign_utils.prompts.tokenizers import PromptTokenizer, load_tokenizer

_LEAST_TOKENS = 64  # of a part of the EHR in refinement


class Packed(NamedTuple):
    """A prompt with its length and its EHR's in tokens.

    `later` are the parts of the EHR that refine the answer; `ehr_tokens_kept` counts them too. Only
    `pack_ehr` counts the whole EHR.
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
    """Return the number of tokens of a prompt without an EHR.

    Raises: PromptError if they exceed the context.

    >>> check_fits("Any cough?", load_tokenizer("minilm"), 2048)
    25
    """
    tokens = _count(fill(question, ""), tokenizer)
    limit = context_length - max_new_tokens
    if tokens > limit:
        raise PromptError(
            f"pack: the instruction takes {tokens} tokens with its template, but a context of "
            f"{context_length} leaves {limit} (it keeps {max_new_tokens} for the response); "
            "shorten the instruction or lengthen the context"
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
    """Return a prompt with the most recent part of the EHR, or all if there is no context length.

    The prompt, counted as a whole, has at most ``context_length - max_new_tokens`` tokens. The EHR
    is cut at the start of a token.

    Raises: PromptError if the instruction and the template alone exceed the context.
    """
    if context_length is None:
        return _packed(fill(question, ehr_text), tokenizer)
    check_fits(question, tokenizer, context_length, max_new_tokens)
    limit = context_length - max_new_tokens
    end, starts = _tokenized_end(ehr_text, tokenizer, limit)
    # A few of the EHR's tokens show what the rest of the prompt takes. Without any, the line ends
    # around the EHR may become one token.
    few = starts[-20:]
    sample = fill(question, end[few[0] :] if few else "")
    first = max(len(starts) - len(few) + _count(sample, tokenizer) - limit, 0)
    cut = _next_start(starts, first, -1, end) if first else 0
    while (packed := _packed(fill(question, end[cut:]), tokenizer)).prompt_tokens > limit:
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
    """Return a prompt with the first part of the EHR and, in ``later``, the parts that refine.

    The parts, oldest first, make up the EHR. Each is as long as the context allows beside template,
    instruction and an answer of `max_new_tokens`, and ends at a line's end if one is near. An EHR
    that fits is one part. See `next_prompt` for the later prompts.

    Raises: ParamsError without a context length; PromptError if an instruction does not fit with an
    answer to refine.

    Source: the paper's multi-step refinement ("MR").
    """
    if context_length is None:
        raise ParamsError("strategy refine needs a context_length, to split the record by")
    limit = context_length - max_new_tokens
    if packed := _whole(question, ehr_text, tokenizer, limit):
        return packed
    around = _count(fill(question, "", ""), tokenizer) + max_new_tokens
    if limit - around < _LEAST_TOKENS:
        raise PromptError(
            f"strategy refine: template, instruction and an answer to refine take {around} tokens, "
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
            prompt = fill(question, ehr_text[begin:end], "")
            excess = _count(prompt, tokenizer) + max_new_tokens - limit
            size = max(size - excess, 1)
        parts.append(prompt.ehr)
        begin = end
    packed = _packed(fill(question, parts[0]), tokenizer)
    return packed._replace(ehr_tokens_kept=len(starts), later=tuple(parts[1:]))


def next_prompt(
    question: str,
    ehr: str,
    previous: str,
    tokenizer: PromptTokenizer,
    context_length: int,
    max_new_tokens: int = RESPONSE_TOKENS,
) -> tuple[Prompt, int]:
    """Return the prompt that refines an answer with the next part of the EHR, and its tokens.

    An answer that does not fit loses its end.
    """
    limit = context_length - max_new_tokens
    while True:
        prompt = fill(question, ehr, previous)
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
    """Return a prompt with the passages that rank highest, in chronological order.

    Passages are taken by rank, the most recent of equals first, and skipped if they no longer fit.
    The EHR is in the ``lines`` format; one that fits is kept whole. The paper has no such system.

    Raises: ParamsError without a context length or with an unknown retriever; PromptError if an
    instruction does not fit.
    """
    if context_length is None:
        raise ParamsError("strategy retrieve needs a context_length, to choose passages by")
    if retriever not in RETRIEVERS:
        raise ParamsError(f"retriever: no {retriever!r}; there are {', '.join(RETRIEVERS)}")
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
        packed = _packed(fill(question, ehr), tokenizer)
        if packed.prompt_tokens <= limit:
            return packed
        chosen.pop()  # joined, passages may take a few more tokens than alone


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
    """Return a strategy's first prompt for an instruction; the tokenizer may be a name.

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
    """Return the prompts of a patient's instructions, with the whole EHR's tokens counted.

    `format` is as for `ehr_text`, further arguments and errors as for `pack_prompt`.
    """
    text = ehr_text(path, format)
    total = tokenizer.count(text)
    prompts = [pack_prompt(question, text, tokenizer, *how, **options) for question in questions]
    # Tokens that join the template's would make the count of a whole EHR differ by one.
    kept = [total if p.prompt.ehr == text else p.ehr_tokens_kept for p in prompts]
    return [
        packed._replace(ehr_tokens_kept=n, ehr_tokens_total=total)
        for packed, n in zip(prompts, kept, strict=True)
    ]


def _count(prompt: Prompt, tokenizer: PromptTokenizer) -> int:
    return len(tokenizer.prompt_ids(prompt.text))


def _packed(prompt: Prompt, tokenizer: PromptTokenizer) -> Packed:
    # A digit is one token, and neither line end around it joins it.
    around = _count(fill(prompt.instruction, "0"), tokenizer) - 1
    tokens = _count(prompt, tokenizer)
    return Packed(prompt, tokens, max(tokens - around, 0))


def _whole(question: str, ehr_text: str, tokenizer: PromptTokenizer, limit: int) -> Packed | None:
    """The prompt with all of an EHR, if it fits."""
    if len(_tokenized_end(ehr_text, tokenizer, limit)[1]) > limit:
        return None
    packed = _packed(fill(question, ehr_text), tokenizer)
    return packed if packed.prompt_tokens <= limit else None


@lru_cache(maxsize=2)  # refinement needs the whole text, too
def _tokenized_end(text: str, tokenizer: PromptTokenizer, tokens: int) -> tuple[str, list[int]]:
    """The end of a text with more than so many tokens, or all of it; and where its tokens start."""
    size = 4 * tokens  # clinical text has 2 to 4 characters a token
    while True:
        end = text[-size:]
        starts = tokenizer.starts(end)
        if len(end) == len(text) or len(starts) > tokens:
            return end, starts
        size *= 2


@lru_cache(maxsize=1)
def _indexed(text: str, tokenizer: PromptTokenizer, retriever: str) -> tuple[list, list, Any]:
    """An EHR's passages, their lengths in tokens with a line's end, and their ranker."""
    passages = split_passages(text, step=WINDOW_SENTENCES)
    line_end = tokenizer.count("\n")
    lengths = [tokenizer.count(passage) + line_end for passage in passages]
    return passages, lengths, RETRIEVERS[retriever](passages)


def _next_start(starts: list[int], index: int, after: int, text: str) -> int:
    """The first start from an index on that is after a place; several tokens may share a start."""
    index = bisect_right(starts, after, lo=min(index, len(starts)))
    return starts[index] if index < len(starts) else len(text)
