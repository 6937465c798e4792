"""Separate a response's reasoning from its answer: only the answer is graded and scored."""

import re
from typing import Annotated, NamedTuple

from pydantic import AfterValidator, Field

from medalign_utils.errors import ParamsError
from medalign_utils.generation.base import Generation
from medalign_utils.prompts.tokenizers import PromptTokenizer

# The marks around reasoning, as the makers' chat templates document them; in any case.
MARKS = (
    ("<think>", "</think>"),  # DeepSeek-R1, Qwen3, GLM, MiniMax, Nemotron, Phi-4-reasoning
    ("[THINK]", "[/THINK]"),  # Magistral and later models of Mistral
    ("<|channel>thought", "<channel|>"),  # Gemma 4
    ("<unused94>thought", "<unused95>"),  # MedGemma 27B
    ("<|START_THINKING|>", "<|END_THINKING|>"),  # Command A Reasoning
    ("<seed:think>", "</seed:think>"),  # Seed-OSS
    ("◁think▷", "◁/think▷"),  # Kimi-VL
    ("<thought>", "</thought>"),  # EXAONE Deep
    ("<thinking>", "</thinking>"),
    ("<reasoning>", "</reasoning>"),
)
# A message of gpt-oss in OpenAI's harmony format, from the name of its channel on.
_HARMONY = re.compile(
    r"(?:\A|<\|channel\|>)\s*(analysis|commentary|final)\b[^<]*(?:<\|constrain\|>[^<]*)?<\|message\|>"
    r"(.*?)(?=<\|(?:end|return|call|start|channel)\|>|\Z)",
    re.DOTALL,
)
# The same from a server that drops special tokens.
_BARE_HARMONY = re.compile(r"\A\s*analysis(?:(.*?)assistantfinal(.*)|(?=[A-Z])(.*))\Z", re.DOTALL)
# Some models also mark the answer after their reasoning.
_WRAPPED = re.compile(r"<(answer|response)>(.*?)(?:</\1>)?", re.DOTALL)


class Parts(NamedTuple):
    """A response's reasoning, "" if it has none, and its answer, "" if it ends while reasoning."""

    reasoning: str
    answer: str
    is_finished: bool = True  # False if the response ends inside its reasoning


def check_pattern(pattern: str) -> str:
    """Return what a system's `reasoning:` says; raise a ParamsError for an invalid expression."""
    try:
        re.compile(pattern)
    except re.error as error:
        raise ParamsError(
            f"reasoning: found {pattern!r}, expected auto, none or a regular expression ({error})"
        ) from None
    return pattern


Pattern = Annotated[
    str, AfterValidator(check_pattern), Field(description="auto, none or a regular expression")
]


def split(text: str, pattern: str = "auto", prompt_end: str = "") -> Parts:
    r"""Return the reasoning and the answer of a response.

    `pattern` is "auto" for all formats above, "none", or a regular expression for the reasoning, in
    which a dot also matches a line end. `prompt_end` is the text that the chat template puts before
    a response; if it opens the reasoning, the response begins inside it.

    >>> split("<think>Creatinine was 1.4.</think>\n\nIt was 1.4 mg/dL.").answer
    'It was 1.4 mg/dL.'
    >>> split("Creatinine was", prompt_end="<|im_start|>assistant\n<think>\n")
    Parts(reasoning='Creatinine was', answer='', is_finished=False)
    """
    if pattern == "none":
        return Parts("", text)
    if pattern != "auto":
        found = [match[0].strip() for match in re.finditer(pattern, text, re.DOTALL)]
        answer = re.sub(pattern, "", text, flags=re.DOTALL)
        return Parts("\n".join(found), answer.strip()) if any(found) else Parts("", text)
    if parts := _split_harmony(text):
        return parts
    for begin, end in MARKS:
        before, first, _ = _partition(text, begin, end)
        is_open = _last(prompt_end, begin) > _last(prompt_end, end)
        begins_inside = first == end or (is_open and (before.strip() or first != begin))
        if begins_inside or (first and _is_mentioned(before, text, end)):
            text, first = begin + text, begin
        if first:
            return _split_marked(text, begin, end)
    return Parts("", text)


def to_generation(
    parts: Parts,
    finish_reason: str,
    tokens: int | None,
    reasoning_tokens: int | None = None,
    tokenizer: PromptTokenizer | None = None,
) -> Generation:
    """Return a response; the tokenizer counts the reasoning if the server did not."""
    if not parts.is_finished:
        finish_reason = "length"
    if not parts.reasoning:
        reasoning_tokens = reasoning_tokens or 0
    elif reasoning_tokens is None and tokenizer is not None:
        reasoning_tokens = tokenizer.count(parts.reasoning)
    return Generation(parts.answer, finish_reason, tokens, parts.reasoning, reasoning_tokens)


def _partition(text: str, *marks: str) -> tuple[str, str, str]:
    """Partition a text at the first of the marks that it does not quote."""
    found = _marks(*marks).search(text)
    if not found:
        return text, "", ""
    name = next(mark for mark in marks if mark.lower() == found[0].lower())
    return text[: found.start()], name, text[found.end() :]


def _marks(*marks: str) -> re.Pattern:
    """Return the expression for marks that a text does not quote."""
    mark = "|".join(map(re.escape, marks))
    return re.compile(rf"(?<![`\"'])({mark})|({mark})(?![`\"'])", re.IGNORECASE)


def _last(text: str, mark: str) -> int:
    return text.lower().rfind(mark.lower())


def _is_mentioned(before: str, text: str, end: str) -> bool:
    """Return whether the first mark, after `before`, is only mentioned in reasoning under way.

    It is if it does not begin a line, and an answer follows the end of the reasoning.
    """
    in_a_line = before.rpartition("\n")[2].strip()
    return bool(in_a_line and _partition(text, end)[2].strip())


def _split_marked(text: str, begin: str, end: str) -> Parts:
    # By positions, since a server may repeat the marks a million times.
    marks = [*_marks(begin, end).finditer(text)]
    closes = [mark[0].lower() == end.lower() for mark in marks]
    reasoning, answer, position, n = [], [], 0, 0
    last = {close: i for i, close in enumerate(closes)}
    while n <= last.get(False, -1):
        opened = closes.index(False, n)
        answer.append(text[position : marks[opened].start()])
        start = marks[opened].end()
        if last.get(True, -1) < opened:
            # What precedes reasoning without an end is no answer, but is kept.
            return Parts(_join([*reasoning, *answer, text[start:]]), "", is_finished=False)
        n = closes.index(True, opened)
        # Nested reasoning ends as often as it begins, unless a mark was only repeated.
        for _ in range(text[start : marks[n].start()].lower().count(begin.lower())):
            if n + 1 == len(marks) or not closes[n + 1]:
                break
            n += 1
        reasoning.append(text[start : marks[n].start()])
        position, n = marks[n].end(), n + 1
    answer.append(text[position:])
    return Parts(_join(reasoning), _unwrap("".join(answer)))


def _split_harmony(text: str) -> Parts | None:
    if bare := _BARE_HARMONY.fullmatch(text):
        reasoning, answer, unfinished = bare.groups()
        if answer is None:
            return Parts(unfinished.strip(), "", is_finished=False)
        return Parts(reasoning.strip(), answer.strip())
    messages = _HARMONY.findall(text)
    if not messages and "<|channel|>" not in text:
        return None
    reasoning = _join([content.strip() for channel, content in messages if channel != "final"])
    answers = [content.strip() for channel, content in messages if channel == "final"]
    return Parts(reasoning, _join(answers), is_finished=bool(answers))


def _join(texts: list[str]) -> str:
    return "\n".join(filter(None, map(str.strip, texts)))


def _unwrap(answer: str) -> str:
    wrapped = _WRAPPED.fullmatch(answer.strip())
    return (wrapped[2] if wrapped else answer).strip()
