"""The chat template of a model: what stands around a message, and how a prompt becomes tokens."""

from typing import TYPE_CHECKING, NamedTuple

from tokenizers import Tokenizer

from medalign_utils.errors import ParamsError
from medalign_utils.hub import has_tokenizer_config, in_one_line, load_pretrained_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

# Takes the place of the message; no template and no tokenizer gives it a meaning.
_MESSAGE = "Question: what is asked? Answer:"
_ANOTHER = "`chat_template:` in the system's YAML names another, false none"


class Chat(NamedTuple):
    """What a chat template puts around a user's message.

    The special tokens at either side are given as ids, because a text that looks like them, within
    a note for instance, must never become one.

    Attributes:
        before_ids: tokens up to the last special one before the message.
        before: text between these and the message.
        after: text between the message and `after_ids`.
        after_ids: tokens from the first special one behind the message.
    """

    before_ids: tuple[int, ...] = ()
    before: str = ""
    after: str = ""
    after_ids: tuple[int, ...] = ()


def load_chat(tokenizer: str, template: str | bool | None = None) -> Chat | None:
    """Find out what a model's chat template puts around a message.

    Args:
        tokenizer: a folder or a repository on Hugging Face, or "minilm", which has no template.
        template: Jinja to use instead of the tokenizer's own; False for none; True for its own;
            None for its own, if it has one.

    Returns:
        What stands around a message, the opening of the model's answer included; None where there
        is no template, so that prompts are given as plain text.

    Raises:
        ParamsError: the template is missing or fails, or does not give the message back unchanged.

    >>> load_chat("minilm") is None
    True
    """
    own = template is None or template is True
    if template is False or (own and not _may_have_template(tokenizer)):
        return _none(tokenizer, template)
    try:
        loaded = load_pretrained_tokenizer(tokenizer)
    except Exception as error:  # the library raises many kinds
        raise ParamsError(
            f"load_chat: no tokenizer {tokenizer!r} for a chat template ({in_one_line(error)})"
        ) from None
    if own and loaded.chat_template is None:
        return _none(tokenizer, template)
    try:
        text = loaded.apply_chat_template(
            [{"role": "user", "content": _MESSAGE}],
            chat_template=None if own else template,
            tokenize=False,
            add_generation_prompt=True,
        )
    except Exception as error:  # Jinja's errors, and those that a template raises itself
        raise ParamsError(
            f"load_chat: the chat template of {tokenizer!r} fails on a user's message "
            f"({in_one_line(error)}); {_ANOTHER}"
        ) from None
    if text.count(_MESSAGE) != 1:
        raise ParamsError(
            f"load_chat: the chat template of {tokenizer!r} does not give a user's message back "
            f"once and unchanged; {_ANOTHER}"
        )
    return _taken_apart(text, loaded)


def prompt_ids(text: str, tokenizer: Tokenizer, chat: Chat | None) -> list[int]:
    """A prompt's tokens, as the model is given them.

    They are those that transformers' `apply_chat_template` gives for a text without blanks at its
    ends, which some templates strip, and without special tokens' names.

    Without a chat template they are the text's, with the special tokens that the tokenizer adds.

    Args:
        text: the prompt's.
        tokenizer: as :func:`load_tokenizer` gives it for this chat template.
        chat: as :func:`load_chat` gives it.

    >>> from medalign_utils.prompts import load_tokenizer
    >>> len(prompt_ids("Any cough?", load_tokenizer("minilm"), None))
    5
    """
    if chat is None:
        return tokenizer.encode(text).ids
    message = tokenizer.encode(chat.before + text + chat.after, add_special_tokens=False).ids
    return [*chat.before_ids, *message, *chat.after_ids]


def added_tokens(tokenizer: Tokenizer, chat: Chat | None) -> int:
    """How many tokens a prompt has besides those of its text and of the template's."""
    if chat is None:
        return tokenizer.num_special_tokens_to_add(False)
    return len(chat.before_ids) + len(chat.after_ids)


def _none(tokenizer: str, template: str | bool | None) -> None:
    if template is True:
        raise ParamsError(f"load_chat: {tokenizer!r} has no chat template of its own; {_ANOTHER}")


def _may_have_template(tokenizer: str) -> bool:
    return tokenizer != "minilm" and has_tokenizer_config(tokenizer)


def _taken_apart(text: str, loaded: "PreTrainedTokenizerFast") -> Chat:
    special = {id for id, token in loaded.added_tokens_decoder.items() if token.special}
    encoding = loaded.backend_tokenizer.encode(text, add_special_tokens=False)
    begin = text.index(_MESSAGE)
    end = begin + len(_MESSAGE)
    # A special token's place takes in the blanks that it swallows.
    first, before = 0, 0  # behind the last special token before the message
    last, after = len(encoding.ids), len(text)  # at the first one behind it
    for place, (id, (start, stop)) in enumerate(zip(encoding.ids, encoding.offsets, strict=True)):
        if id in special and stop <= begin:
            first, before = place + 1, stop
        elif id in special and start >= end:
            last, after = place, start
            break
    return Chat(
        tuple(encoding.ids[:first]), text[before:begin], text[end:after], tuple(encoding.ids[last:])
    )
