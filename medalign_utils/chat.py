"""The chat template of a model: what stands around a message, and how a prompt becomes tokens."""

from pathlib import Path
from typing import NamedTuple

from tokenizers import Tokenizer

from medalign_utils.errors import ParamsError

# Takes the place of the message; no template and no tokenizer gives it a meaning.
_MESSAGE = "Question: what is asked? Answer:"


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
        template: Jinja to use instead of the tokenizer's own; False for none; None for its own, if
            it has one.

    Returns:
        What stands around a message, the opening of the model's answer included; None where there
        is no template, so that prompts are given as plain text.

    Raises:
        ParamsError: the template fails, or does not give the message back unchanged.
    """
    if template is False or (template is None and not _may_have_template(tokenizer)):
        return None
    from transformers import AutoTokenizer

    try:
        loaded = AutoTokenizer.from_pretrained(tokenizer)
    except Exception as error:  # the library raises many kinds
        fault = " ".join(str(error).split())[:200]
        raise ParamsError(f"load_chat: no tokenizer {tokenizer!r} ({fault})") from None
    template = template or loaded.chat_template
    if template is None:
        return None
    try:
        text = loaded.apply_chat_template(
            [{"role": "user", "content": _MESSAGE}],
            chat_template=template,
            tokenize=False,
            add_generation_prompt=True,
        )
    except Exception as error:  # Jinja's errors, and those that a template raises itself
        raise ParamsError(
            f"load_chat: the chat template of {tokenizer!r} fails on a user's message ({error})"
        ) from None
    before, found, after = text.partition(_MESSAGE)
    if not found or _MESSAGE in after:
        raise ParamsError(
            f"load_chat: the chat template of {tokenizer!r} does not give a user's message back "
            "once and unchanged; `chat_template:` in the system's YAML names another, false none"
        )
    return _taken_apart(before, after, loaded)


def prompt_ids(text: str, tokenizer: Tokenizer, chat: Chat | None) -> list[int]:
    """A prompt's tokens, as the model is given them.

    Without a chat template these are the text's, with the special tokens that the tokenizer adds.

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


def _may_have_template(tokenizer: str) -> bool:
    folder = Path(tokenizer)
    return tokenizer != "minilm" and (
        not folder.is_dir() or (folder / "tokenizer_config.json").is_file()
    )


def _taken_apart(before: str, after: str, loaded) -> Chat:
    special = set(loaded.all_special_tokens) | {
        token.content for token in loaded.added_tokens_decoder.values() if token.special
    }
    split = max((before.rfind(s) + len(s) for s in special if s in before), default=0)
    rest = min((after.find(s) for s in special if s in after), default=len(after))

    def ids(text: str) -> tuple[int, ...]:
        return tuple(loaded(text, add_special_tokens=False)["input_ids"]) if text else ()

    return Chat(ids(before[:split]), before[split:], after[:rest], ids(after[rest:]))
