"""A system's tokenizer with its model's chat template."""

import datetime
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tokenizers import Encoding, Tokenizer

from medalign_utils.errors import ParamsError
from medalign_utils.hub import has_tokenizer_config, in_one_line, load_pretrained_tokenizer
from medalign_utils.minilm import minilm_path
from medalign_utils.prompts.gguf import load_gguf_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

# Replaced by the message; it means nothing to any template or tokenizer.
_MESSAGE = "Question: what is asked? Answer:"
# The day on which chat templates are rendered that ask for one: the paper's. With today's, a run
# that goes on after midnight would ask everything again.
DATE = "2023-08-27"
_RESPONSE = "What is answered."


class Chat(NamedTuple):
    """What a chat template puts around a user's message.

    Special tokens are in the ids, since no text may become one. `end_ids` is the special token, if
    there is one, that ends an assistant's turn.
    """

    before_ids: tuple[int, ...] = ()
    before: str = ""
    after: str = ""
    after_ids: tuple[int, ...] = ()
    end_ids: tuple[int, ...] = ()


class PromptTokenizer:
    """A tokenizer and its chat template, None for prompts of plain text.

    It neither truncates nor pads, and reads a special token's name in a text as plain characters.
    """

    def __init__(self, backend: Tokenizer, chat: Chat | None = None) -> None:
        """Take over `backend`, which is changed."""
        backend.no_truncation()
        backend.no_padding()
        backend.encode_special_tokens = True
        scheme = backend.pre_tokenizer
        # Llama's kind, unless "legacy", puts a blank before a text, but not after a special token.
        if chat and chat.before_ids and getattr(scheme, "prepend_scheme", None) == "first":
            scheme.prepend_scheme = "never"
        self.backend = backend
        self.chat = chat

    def encode(self, text: str) -> Encoding:
        """Return a text's own tokens, without special ones."""
        return self.backend.encode(text, add_special_tokens=False)

    def starts(self, text: str) -> list[int]:
        """Return the character at which each token of a text starts, ascending."""
        return [start for start, _ in self.encode(text).offsets]

    def count(self, text: str) -> int:
        """Return the number of tokens of a text, without special ones."""
        # Without offsets, which would take half of the time.
        return len(self.backend.encode_batch_fast([text], add_special_tokens=False)[0])

    def prompt_ids(self, text: str) -> list[int]:
        """Return the tokens that a model is given for a prompt, in its chat template if it has one.

        Those of transformers' `apply_chat_template`, but blanks at a text's ends are kept.
        """
        chat = self.chat or Chat()
        [encoding] = self.backend.encode_batch_fast(
            [chat.before + text + chat.after], add_special_tokens=self.chat is None
        )
        return [*chat.before_ids, *encoding.ids, *chat.after_ids]

    @property
    def response_prefix(self) -> str:
        """The text that the chat template puts before a response."""
        chat = self.chat or Chat()
        return chat.after + self.backend.decode(chat.after_ids, skip_special_tokens=False)

    def without_special(self, text: str) -> str:
        """Return a text without the special tokens spelled in it."""
        for token in self.backend.get_added_tokens_decoder().values():
            if token.special:
                text = text.replace(token.content, "")
        return text


def load_tokenizer(
    name: str,
    chat_template: str | bool | None = None,
    template_kwargs: Mapping[str, Any] | None = None,
    *,
    date: str = DATE,
) -> PromptTokenizer:
    """Return a system's tokenizer with its chat template.

    `name` is "minilm", a folder with a tokenizer's files, a repository on Hugging Face or a GGUF
    file.
    `chat_template` is Jinja; or False for none, True for the tokenizer's own, None for its own if
    it has one. `template_kwargs` are further variables of the template, and `date` is the day that
    it reads as today's.

    Raises: ParamsError if the tokenizer cannot be loaded; or the template is missing, fails, or
    does not return a message once and unchanged.

    >>> tokenizer = load_tokenizer("minilm")
    >>> tokenizer.encode("[CLS] LOINC").tokens
    ['[', 'cl', '##s', ']', 'lo', '##in', '##c']
    >>> tokenizer.count("Any cough?"), len(tokenizer.prompt_ids("Any cough?"))
    (3, 5)
    """
    folder, pretrained = minilm_path() if name == "minilm" else Path(name), None
    try:
        # transformers, since a tokenizer_config.json overrules a tokenizer.json on special tokens
        # and blanks, and since some models have a tokenizer.model instead.
        if name.endswith(".gguf"):
            pretrained = load_gguf_tokenizer(name)
            backend = pretrained.backend_tokenizer
        elif name != "minilm" and has_tokenizer_config(name):
            pretrained = load_pretrained_tokenizer(name)
            backend = pretrained.backend_tokenizer
        elif folder.is_dir():
            backend = Tokenizer.from_file(str(folder / "tokenizer.json"))
        else:
            backend = Tokenizer.from_pretrained(name)
    except Exception as error:  # the libraries raise many kinds, bare Exception among them
        raise ParamsError(
            f"load_tokenizer: {name!r} is neither minilm, nor a folder with a tokenizer, nor a "
            f"repository that can be loaded from here ({in_one_line(error)})"
        ) from None
    day = datetime.date.fromisoformat(date)
    variables = {**(template_kwargs or {}), "strftime_now": day.strftime}
    return PromptTokenizer(backend, _chat(name, pretrained, chat_template, variables))


def _chat(
    name: str,
    pretrained: "PreTrainedTokenizerFast | None",
    template: str | bool | None,
    variables: Mapping[str, Any],
) -> Chat | None:
    own = pretrained.chat_template if pretrained is not None else None
    if template is False or (template is None and own is None):
        return None
    if pretrained is None or (template is True and own is None):
        file = "tokenizer_config.json, which a chat template needs"
        missing = file if pretrained is None else "chat template of its own"
        raise ParamsError(f"load_tokenizer: {name!r} has no {missing}")
    render = functools.partial(
        pretrained.apply_chat_template,
        chat_template=template if isinstance(template, str) else None,
        tokenize=False,
        **variables,
    )
    user = {"role": "user", "content": _MESSAGE}
    try:
        text = render([user], add_generation_prompt=True)
        fault = "does not return a user's message once and unchanged"
    except Exception as error:  # Jinja's errors, and those that a template raises itself
        text, fault = "", f"fails on a user's message ({in_one_line(error)})"
    if text.count(_MESSAGE) != 1:
        raise ParamsError(
            f"load_tokenizer: the chat template of {name!r} {fault}; `chat_template:` in the "
            "system's YAML names another, false none"
        )
    try:
        both = render([user, {"role": "assistant", "content": _RESPONSE}])
    except Exception:  # of a template for a single message
        both = ""
    tail = both.partition(_RESPONSE)[2].lstrip()
    chat = _split_at_message(text, pretrained)
    ends = [i for i, token in _special(pretrained).items() if tail.startswith(token)]
    return chat._replace(end_ids=tuple(ends))


def _special(pretrained: "PreTrainedTokenizerFast") -> dict[int, str]:
    tokens = pretrained.added_tokens_decoder.items()
    return {id: token.content for id, token in tokens if token.special}


def _split_at_message(text: str, pretrained: "PreTrainedTokenizerFast") -> Chat:
    special = _special(pretrained)
    encoding = pretrained.backend_tokenizer.encode(text, add_special_tokens=False)
    begin, end = text.index(_MESSAGE), text.index(_MESSAGE) + len(_MESSAGE)
    # The offsets of a special token include the blanks that it swallows.
    n_before, before = 0, 0
    n_until, after = len(encoding.ids), len(text)
    for place, (id, (start, stop)) in enumerate(zip(encoding.ids, encoding.offsets, strict=True)):
        if id in special and stop <= begin:
            n_before, before = place + 1, stop
        elif id in special and start >= end:
            n_until, after = place, start
            break
    before_ids, after_ids = tuple(encoding.ids[:n_before]), tuple(encoding.ids[n_until:])
    return Chat(before_ids, text[before:begin], text[end:after], after_ids)
