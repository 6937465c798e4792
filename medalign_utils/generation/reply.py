"""Read a chat completion as servers send it, in one piece or as a stream of chunks."""

import json
import re
from typing import Any, NamedTuple

from medalign_utils.data.responses import is_count

# How servers say that a reply is complete, that the limit cut it, or that a filter withheld it.
_FINISH_REASONS = {
    "stop": ("", "stop", "eos", "eos_token", "stop_sequence", "end_turn", "complete", "completed"),
    "length": (
        *("length", "max_tokens", "max_output_tokens", "max_new_tokens", "model_length"),
        "model_context_window_exceeded",
    ),
    "content_filter": (
        *("content_filter", "safety", "recitation", "prohibited_content", "blocklist", "spii"),
        "sensitive",
    ),
}
FINISH_REASONS = tuple(_FINISH_REASONS)
_KNOWN = {name: ours for ours, names in _FINISH_REASONS.items() for name in names}
# Without a text, the server failed. Any other reason without a text is the model's: some servers
# leave out the content if all tokens went into reasoning.
_BROKEN = ("abort", "aborted", "cancelled", "error")
# The texts of a message. Servers report reasoning under either name.
_ANSWER, _REFUSAL, _REASONING = "content", "refusal", ("reasoning_content", "reasoning")


# How a stream of Server-Sent Events begins.
_STREAM = (b"data:", b"event:", b"id:", b"retry:", b":")


class UnusableReply(Exception):
    """Why a reply of status 2xx contains no response."""


class Reply(NamedTuple):
    """A completion; `reasoning` is what the server reported separately from the text.

    `finish_reason` is "stop", "length", "content_filter" or another reason, in lower case.
    Counts that the server does not report are None.
    """

    text: str
    reasoning: str
    finish_reason: str
    tokens: int | None
    reasoning_tokens: int | None
    prompt_tokens: int | None


def read_reply(body: bytes) -> Reply:
    """Return the completion in a reply's body; raise an UnusableReply if there is none."""
    try:
        # `transformers serve` streams although it is not asked to. Not all servers name the type.
        if body.lstrip().startswith(_STREAM):
            completion = _joined(body)
        else:
            completion = json.loads(body)
    except (AttributeError, TypeError, ValueError, RecursionError):
        raise UnusableReply("not JSON, or not of a completion") from None
    match completion:
        case {"choices": [{"message": {**message}, **choice}, *_]}:
            pass
        case _:
            raise UnusableReply("no choices")
    reason = choice.get("finish_reason") or ""
    # Gemini: "content_filter: RECITATION"
    reason = reason.lower().partition(":")[0] if isinstance(reason, str) else "other"
    finish_reason = _KNOWN.get(reason, reason)
    text, reasoning = _texts(message.get(_ANSWER))
    text = text or _texts(message.get(_REFUSAL))[0]
    reasoning += next(filter(None, (_texts(message.get(name))[0] for name in _REASONING)), "")
    is_empty = not (text or reasoning or message.get("tool_calls"))
    if is_empty and (reason in _BROKEN or not (reason or _ANSWER in message)):
        raise UnusableReply("no content")
    if not isinstance(message.get(_ANSWER), str | list | None):
        raise UnusableReply("content that is not text")
    if finish_reason == "content_filter":
        text = reasoning = ""
    usage = completion.get("usage")
    return Reply(
        _writable(text),
        _writable(reasoning),
        finish_reason,
        _count(usage, "completion_tokens"),
        _count(usage, "completion_tokens_details", "reasoning_tokens"),
        _count(usage, "prompt_tokens") or None,  # 0 if the server does not count
    )


def _texts(content: Any) -> tuple[str, str]:
    """Return the text and the reasoning of a message's content: a text, or a list of parts."""
    if isinstance(content, str):
        return content, ""
    text = reasoning = ""
    for part in content if isinstance(content, list) else []:
        match part:
            case {"type": "thinking" | "reasoning" as name, **more}:
                reasoning += _texts(more.get(name) or more.get("text"))[0]
            case {"text": str(piece)} | {"refusal": str(piece)} | str(piece):
                text += piece
    return text, reasoning


def _count(usage: Any, *keys: str) -> int | None:
    for key in keys:
        usage = usage.get(key) if isinstance(usage, dict) else None
    return usage if is_count(usage) else None


def _writable(text: str) -> str:
    """Join surrogates that JSON or chunks have split; replace lone ones, which have no UTF-8."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _joined(stream: bytes) -> dict[str, Any]:
    """Return the chunks of a stream of Server-Sent Events as one completion."""
    texts: dict[str, str] = dict.fromkeys((_ANSWER, _REFUSAL, *_REASONING), "")
    finish_reason, usage, tool_calls = None, None, []
    for event in re.split(rb"\r\n\r\n|\n\n|\r\r", stream):
        lines = [line for line in event.splitlines() if line.startswith(b"data:")]
        data = b"\n".join(line[5:] for line in lines)
        if data.strip() == b"[DONE]":
            finish_reason = finish_reason or "stop"
            break
        chunk = json.loads(data) if lines else {}
        usage = chunk.get("usage") or usage
        match chunk:
            case {"choices": [{"delta": {**delta}, **choice}, *_]} if choice.get("index", 0) == 0:
                for name in texts:
                    text, reasoning = _texts(delta.get(name))
                    texts[name] += text
                    texts[_REASONING[0]] += reasoning
                tool_calls += delta.get("tool_calls") or []
                finish_reason = choice.get("finish_reason") or finish_reason
            case {"error": _}:
                raise UnusableReply("the stream broke off")
    if finish_reason is None:
        raise UnusableReply("the stream broke off")
    choice = {"message": {**texts, "tool_calls": tool_calls}, "finish_reason": finish_reason}
    return {"choices": [choice], "usage": usage}
