"""A system's tokenizer with its model's chat template."""

import datetime
import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from tokenizers import Encoding, Tokenizer

from medalign_utils.errors import MedAlignError, ParamsError
from medalign_utils.hub import TOKENIZER, fetch, in_one_line, load_pretrained_tokenizer
from medalign_utils.minilm import minilm_path
from medalign_utils.prompts.gguf import load_gguf_tokenizer
from medalign_utils.prompts.templates import DEFAULT, Prompt, Wording, fill

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

# A placeholder for the user's message, which means nothing to templates and tokenizers.
_MESSAGE = "Question: what is asked? Answer:"
# The date for chat templates that ask for one: the paper's. With the current date, a run that
# continues after midnight would request all responses again.
DATE = "2023-08-27"
_RESPONSE = "What is answered."


class Chat(NamedTuple):
    """What a chat template puts around a user's message.

    Special tokens are given as ids, because text is never encoded as special tokens. `end_ids` has
    the special token, if any, that ends an assistant's turn.
    """

    before_ids: tuple[int, ...] = ()
    before: str = ""
    after: str = ""
    after_ids: tuple[int, ...] = ()
    end_ids: tuple[int, ...] = ()


class PromptTokenizer:
    """A tokenizer, its chat template (None for plain text) and the wording of prompts.

    It neither truncates nor pads. In a text, the names of special tokens are plain text.
    """

    def __init__(
        self, backend: Tokenizer, chat: Chat | None = None, wording: Wording = DEFAULT
    ) -> None:
        """Configure `backend` in place."""
        backend.no_truncation()
        backend.no_padding()
        backend.encode_special_tokens = True
        scheme = backend.pre_tokenizer
        # Unless "legacy", Llama's tokenizers put a blank before text, but not after special tokens.
        if chat and chat.before_ids and getattr(scheme, "prepend_scheme", None) == "first":
            scheme.prepend_scheme = "never"
        self.backend = backend
        self.chat = chat
        self.wording = wording

    def fill(self, question: str, ehr: str, previous: str | None = None) -> Prompt:
        """Return a prompt in this tokenizer's wording; see `prompts.templates.fill`."""
        return fill(question, ehr, previous, self.wording)

    def encode(self, text: str) -> Encoding:
        """Return the tokens of a text, without special tokens."""
        return self.backend.encode(text, add_special_tokens=False)

    def starts(self, text: str) -> list[int]:
        """Return the position of each token's first character, ascending."""
        return [start for start, _ in self.encode(text).offsets]

    def count(self, text: str) -> int:
        """Return the number of tokens of a text, without special tokens."""
        # encode_batch_fast takes half the time, because it computes no offsets.
        return len(self.backend.encode_batch_fast([text], add_special_tokens=False)[0])

    def prompt_ids(self, text: str) -> list[int]:
        """Return the tokens that the model receives for a prompt, with its chat template if any.

        The system message, if any, is in the chat template, or else in front of plain text.
        Same as transformers' `apply_chat_template`, except that blanks at the ends are kept.
        """
        chat = self.chat or Chat(before=self.wording.system and f"{self.wording.system}\n\n")
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
        """Return a text without the names of special tokens that it contains."""
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
    wording: Wording = DEFAULT,
    trust_remote_code: bool = False,
) -> PromptTokenizer:
    """Return a system's tokenizer with its chat template.

    `name` is "minilm", a folder with a tokenizer's files, a hub id, or a GGUF file. `chat_template`
    is a Jinja template, False for none, True for the tokenizer's own, or None for its own if it has
    one. `template_kwargs` are additional variables for the template, and `date` is its "today".
    `wording` is that of prompts, with a system message. Only with `trust_remote_code` is the
    tokenizer's own code run.

    Raises: ParamsError if the tokenizer cannot be loaded, or the template is missing, fails, or
    does not contain the message exactly once and unchanged.

    >>> tokenizer = load_tokenizer("minilm")
    >>> tokenizer.encode("[CLS] LOINC").tokens
    ['[', 'cl', '##s', ']', 'lo', '##in', '##c']
    >>> tokenizer.count("Any cough?"), len(tokenizer.prompt_ids("Any cough?"))
    (3, 5)
    """
    pretrained = None
    try:
        if name.endswith(".gguf"):
            pretrained = load_gguf_tokenizer(name)
        else:
            code = ("*.py",) * trust_remote_code
            folder = minilm_path() if name == "minilm" else fetch(name, (*TOKENIZER, *code))
            # tokenizer_config.json overrides tokenizer.json on special tokens and blanks, and some
            # models have tokenizer.model instead: transformers handles both.
            if name != "minilm" and (folder / "tokenizer_config.json").is_file():
                pretrained = load_pretrained_tokenizer(folder, trust_remote_code=trust_remote_code)
        if pretrained is not None:
            backend = pretrained.backend_tokenizer
        else:
            backend = Tokenizer.from_file(str(folder / "tokenizer.json"))
    except MedAlignError as error:
        raise ParamsError(f"load_tokenizer: {error}") from None
    except Exception as error:  # the libraries raise many types, even Exception itself
        raise ParamsError(
            f"load_tokenizer: {name!r} has no tokenizer that can be loaded ({in_one_line(error)})"
        ) from None
    day = datetime.date.fromisoformat(date)
    variables = {**(template_kwargs or {}), "strftime_now": day.strftime}
    chat = _chat(name, pretrained, chat_template, variables, wording.system)
    return PromptTokenizer(backend, chat, wording)


def _chat(
    name: str,
    pretrained: "PreTrainedTokenizerFast | None",
    template: str | bool | None,
    variables: Mapping[str, Any],
    system: str,
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
    first = [{"role": "system", "content": system}] if system else []
    user = {"role": "user", "content": _MESSAGE}
    try:
        text = render([*first, user], add_generation_prompt=True)
        fault = "does not return a user's message once and unchanged"
    except Exception as error:  # Jinja's errors, and errors that a template raises
        what = "a system message" if system else "a user's message"
        text, fault = "", f"fails on {what} ({in_one_line(error)})"
    if text and system not in text:
        raise ParamsError(
            f"prompt: system: the chat template of {name!r} leaves out a system message; write it "
            "into `answer` and `refine`"
        )
    if text.count(_MESSAGE) != 1:
        raise ParamsError(
            f"load_tokenizer: the chat template of {name!r} {fault}; set `chat_template:` in the "
            f"system's YAML, or false for none{', or leave out `prompt: system:`' * bool(system)}"
        )
    try:
        both = render([*first, user, {"role": "assistant", "content": _RESPONSE}])
    except Exception:  # the template supports only a single message
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
    # The offsets of a special token include the blanks that it absorbs.
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
