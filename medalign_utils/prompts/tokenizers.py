"""Tokenizers of systems, each with its model's chat template."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tokenizers import Encoding, Tokenizer

from medalign_utils.errors import ParamsError
from medalign_utils.hub import has_tokenizer_config, in_one_line, load_pretrained_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

# Replaced by the message; it means nothing to any template or tokenizer.
_MESSAGE = "Question: what is asked? Answer:"
_ANOTHER = "`chat_template:` in the system's YAML names another, false none"


class Chat(NamedTuple):
    """What a chat template puts around a user's message.

    Special tokens are ids, so that no text within a message can become one: `before_ids` run up to
    the last special token before the message, `after_ids` start at the first one after it.
    """

    before_ids: tuple[int, ...] = ()
    before: str = ""
    after: str = ""
    after_ids: tuple[int, ...] = ()


class PromptTokenizer:
    """A tokenizer and its chat template, None for prompts of plain text.

    It neither truncates nor pads (MiniLM's own file truncates at 128 tokens), and it reads the
    name of a special token in a text, such as ``[CLS]``, as plain characters.
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

    def counts(self, texts: Sequence[str]) -> list[int]:
        """Return the number of tokens of each text, without special ones."""
        # Without offsets, which would take half of the time.
        encodings = self.backend.encode_batch_fast(list(texts), add_special_tokens=False)
        return [len(encoding) for encoding in encodings]

    def count(self, text: str) -> int:
        """Return the number of tokens of a text, without special ones."""
        return self.counts([text])[0]

    def prompt_ids(self, text: str) -> list[int]:
        """Return a prompt's tokens in the chat template, as the model is given them.

        They equal those of transformers' `apply_chat_template` for a text that has no blanks at its
        ends, which some templates strip, and no special token's name. Without a chat template they
        are the text's, with the special tokens that the tokenizer adds.
        """
        chat = self.chat
        if chat is None:
            return self.backend.encode_batch_fast([text])[0].ids
        message = [chat.before + text + chat.after]
        [encoding] = self.backend.encode_batch_fast(message, add_special_tokens=False)
        return [*chat.before_ids, *encoding.ids, *chat.after_ids]


def load_tokenizer(name: str, chat_template: str | bool | None = None) -> PromptTokenizer:
    """Return a system's tokenizer with its chat template.

    It is loaded as transformers does, since a ``tokenizer_config.json`` overrules a
    ``tokenizer.json`` on special tokens and blanks, and some models have a ``tokenizer.model``
    instead.

    Args:
        name: ``"minilm"``, which has no chat template; a folder with a tokenizer's files; or a
            repository on Hugging Face.
        chat_template: Jinja to use instead of the tokenizer's own; False for none; True for its
            own; None for its own, if it has one.

    Raises:
        ParamsError: the tokenizer cannot be loaded, or the template is missing, fails, or does not
            return the message once and unchanged.

    >>> tokenizer = load_tokenizer("minilm")
    >>> tokenizer.encode("[CLS] LOINC").tokens
    ['[', 'cl', '##s', ']', 'lo', '##in', '##c']
    >>> tokenizer.count("Any cough?"), len(tokenizer.prompt_ids("Any cough?"))
    (3, 5)
    """
    folder, pretrained = Path(name), None
    if name == "minilm":
        from medalign_utils.minilm import minilm_path

        folder = minilm_path()
    try:
        if name != "minilm" and has_tokenizer_config(name):
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
    return PromptTokenizer(backend, _chat(name, pretrained, chat_template))


def _chat(
    name: str, tokenizer: "PreTrainedTokenizerFast | None", template: str | bool | None
) -> Chat | None:
    if template is False:
        return None
    if isinstance(template, str) and tokenizer is None:
        raise ParamsError(
            f"load_tokenizer: {name!r} has no tokenizer_config.json, which a chat template needs"
        )
    if template is None or template is True:
        own = tokenizer.chat_template if tokenizer else None
        if own is None and template:
            raise ParamsError(
                f"load_tokenizer: {name!r} has no chat template of its own; {_ANOTHER}"
            )
        if own is None:
            return None
        template = None
    try:
        text = tokenizer.apply_chat_template(
            [{"role": "user", "content": _MESSAGE}],
            chat_template=template,
            tokenize=False,
            add_generation_prompt=True,
        )
    except Exception as error:  # Jinja's errors, and those that a template raises itself
        raise ParamsError(
            f"load_tokenizer: the chat template of {name!r} fails on a user's message "
            f"({in_one_line(error)}); {_ANOTHER}"
        ) from None
    if text.count(_MESSAGE) != 1:
        raise ParamsError(
            f"load_tokenizer: the chat template of {name!r} does not return a user's message "
            f"once and unchanged; {_ANOTHER}"
        )
    return _split_at_message(text, tokenizer)


def _split_at_message(text: str, tokenizer: "PreTrainedTokenizerFast") -> Chat:
    special = {id for id, token in tokenizer.added_tokens_decoder.items() if token.special}
    encoding = tokenizer.backend_tokenizer.encode(text, add_special_tokens=False)
    begin = text.index(_MESSAGE)
    end = begin + len(_MESSAGE)
    # The offsets of a special token include the blanks that it swallows.
    tokens = [
        (place, *offsets)
        for place, (id, offsets) in enumerate(zip(encoding.ids, encoding.offsets, strict=True))
        if id in special
    ]
    opening = [(place + 1, stop) for place, _, stop in tokens if stop <= begin]
    closing = [(place, start) for place, start, _ in tokens if start >= end]
    n_before, before = opening[-1] if opening else (0, 0)
    n_until, after = closing[0] if closing else (len(encoding.ids), len(text))
    return Chat(
        tuple(encoding.ids[:n_before]),
        text[before:begin],
        text[end:after],
        tuple(encoding.ids[n_until:]),
    )
