"""Language models behind a server that speaks OpenAI's API.

It uses chat completions through the official client: OpenAI, Azure OpenAI, vLLM, Ollama, llama.cpp,
`transformers serve` and others. No failure, exception or log line quotes a prompt, a reply or the
key.
"""

import logging
import os
import re
import threading
from typing import Annotated, Any

from pydantic import AfterValidator, Field, JsonValue, PositiveInt

from medalign_utils.errors import ParamsError
from medalign_utils.generation.base import LENGTH_KEYS, Failure, Generation, Generator, Sampling
from medalign_utils.generation.reasoning import Parts, Pattern, split, to_generation
from medalign_utils.generation.reply import FINISH_REASONS, Reply, UnusableReply, read_reply
from medalign_utils.generation.server_client import (
    Stopped,
    Unreachable,
    WebPage,
    asking,
    http_client,
    not_ours,
)
from medalign_utils.generation.server_errors import TO_DO, is_harmless, no_connection, refused
from medalign_utils.generation.server_url import host_of, is_loopback
from medalign_utils.prompts.templates import RESPONSE_TOKENS, Prompt
from medalign_utils.prompts.tokenizers import PromptTokenizer

# The client requires a key, which servers on this machine seldom need.
_NO_KEY = "no-key-needed"


def _check_request(request: dict[str, Any]) -> dict[str, Any]:
    for name in LENGTH_KEYS:
        length = request.get(name)
        if length is not None and (type(length) is not int or length < 1):
            raise ValueError(f"request: {name}: found {length!r}, expected a whole number from 1")
    # Some servers, such as Ollama, read names of keys in any case, and the last one counts.
    if fixed := sorted({"messages", "model"} & {name.casefold() for name in request}):
        raise ValueError(f"request: may not hold {' or '.join(fixed)}")
    return request


def _check_variable(name: str) -> str:
    """Return the name of an environment variable; a key in its place is not repeated."""
    if not re.fullmatch(r"[A-Z_][A-Z0-9_]*", name):
        raise ParamsError("api_key_env: expected the name of an environment variable, in capitals")
    return name


def openai(
    tokenizer: PromptTokenizer | None = None,
    *,
    model: Annotated[str, Field(min_length=1)],
    base_url: Annotated[str, AfterValidator(lambda url: host_of(url) and url)],
    api_key_env: Annotated[str, AfterValidator(_check_variable)] | None = None,
    api_version: Annotated[str, Field(min_length=1)] | None = None,
    concurrency: PositiveInt = 8,
    timeout_s: Annotated[float, Field(gt=0, le=86400)] | None = None,
    attempts: PositiveInt = 6,
    max_new_tokens: PositiveInt = RESPONSE_TOKENS,
    generation: Sampling | None = None,
    chat_template_kwargs: dict[str, JsonValue] | None = None,
    request: Annotated[dict[str, JsonValue], AfterValidator(_check_request)] | None = None,
    reasoning: Pattern = "auto",
) -> Generator:
    """Return a generator that sends prompts to a server as OpenAI chat completions.

    The prompt is one user message, and temperature is 0 unless `generation` sets another.

    The client tries again, at growing intervals or after the server's Retry-After, if there is no
    connection or no reply in time, after HTTP 408, 409, 429 and 5xx, and after a reply without a
    response. It does not if the server was never reached or the account's quota is used up. A
    prompt that still fails, or would have to wait for over two minutes, is a `Failure`. A refusal
    is a response, and so is one that a content filter withheld. Unknown finish reasons are kept. An
    error that is sent with a status of success counts as if it had the status in its code or type.
    A server that has not answered any prompt is not tried again after HTTP 5xx for longer than
    `LONGEST_START_S`.

    Proxies set in the environment are used only for https to another machine. Of OpenAI's own
    environment variables, only the key's is read.

    Args:
        tokenizer: the model's, to count reasoning; its wording has the system message, if any; its
            chat template says whether a response that
            was cut began inside its reasoning.
        model: its name on the server; on Azure, the deployment.
        base_url: for vLLM "http://127.0.0.1:8000/v1", on Azure
            "https://RESOURCE.openai.azure.com/openai".
        api_key_env: environment variable with the key; by default OPENAI_API_KEY, but none for
            servers on this machine.
        api_version: version of Azure's API, such as "2024-10-21"; None for any other server.
        concurrency: number of requests at a time.
        timeout_s: seconds until the reply begins, and again until it ends; by default 120, or the
            time that `max_new_tokens` take at 10 a second.
        attempts: number of attempts per prompt, including the first.
        max_new_tokens: maximum length of answer and reasoning; sent as max_tokens.
        generation: sampling settings, which are keys of the request's body.
        chat_template_kwargs: variables for the server's chat template, such as enable_thinking.
        request: keys to add to the request's body or to replace; None leaves a key out.
        reasoning: how the model marks its reasoning; see `reasoning.split`.

    Raises:
        ParamsError: the URL is not valid, or there is no key.
    """
    body = {"max_tokens": max_new_tokens, "temperature": 0, **(generation or {}), **(request or {})}
    if "max_completion_tokens" in body and "max_tokens" not in (request or {}):
        del body["max_tokens"]
    if chat_template_kwargs:
        body["chat_template_kwargs"] = chat_template_kwargs
    body = {name: value for name, value in body.items() if value is not None}
    if timeout_s is None:
        timeout_s = max(120, *(body.get(name, 0) / 10 for name in LENGTH_KEYS))
    key = _api_key(base_url, api_key_env)

    import httpx2
    from openai import APIConnectionError, APIStatusError, APITimeoutError, AzureOpenAI, OpenAI

    stopped = threading.Event()
    options = {} if api_version is None else {"api_version": api_version}
    client = (AzureOpenAI if options else OpenAI)(
        base_url=base_url,
        api_key=key,
        max_retries=attempts - 1,
        http_client=http_client(base_url, concurrency, timeout_s, stopped),
        **options,
    )
    # The client takes these from the environment, with no option to refuse them. The headers of
    # OPENAI_CUSTOM_HEADERS could name another host or another key.
    client.organization = client.project = None
    client._custom_headers = {}
    # Raw, since the client returns a body that it cannot read as a completion all the same.
    create = client.chat.completions.with_raw_response.create
    # Its log lines about our requests may quote a prompt. Loggers do not inherit filters, so each
    # gets its own; OPENAI_LOG takes effect when openai is imported.
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] in ("openai", "httpx2", "httpcore2"):
            logging.getLogger(name).addFilter(not_ours)

    def answer_of(reply: Reply) -> Generation:
        prompt_end = tokenizer.response_prefix if tokenizer else ""
        # If a finished answer has no marks, the server has dropped the reasoning.
        is_cut = reply.finish_reason == "length" and not reply.reasoning
        parts = split(reply.text, reasoning, prompt_end if is_cut else "")
        if reply.reasoning and not reply.text.strip():
            if reply.finish_reason == "length":
                parts = Parts(reply.reasoning, "", is_finished=False)
            else:  # servers mistake the answer of a model that did not reason for reasoning
                parts = split(reply.reasoning, reasoning, prompt_end)
        elif reply.reasoning:
            both = "\n".join(filter(None, (reply.reasoning, parts.reasoning)))
            parts = parts._replace(reasoning=both)
        if tokenizer and tokenizer.chat:  # the model's own; some servers keep special tokens
            parts = parts._replace(answer=tokenizer.without_special(parts.answer))
        generation = to_generation(
            parts, reply.finish_reason, reply.tokens, reply.reasoning_tokens, tokenizer
        )
        return generation._replace(prompt_tokens=reply.prompt_tokens)

    system = tokenizer.wording.system if tokenizer else ""
    first = [{"role": "system", "content": system}] if system else []

    def ask(prompt: Prompt) -> Generation | Failure:
        messages = [*first, {"role": "user", "content": prompt.text}]
        asking.now, asking.attempts = True, 0
        try:
            reply = create(model=model, messages=messages, extra_body=body)
            read = read_reply(reply.content)
            reason = read.finish_reason
            if reason not in FINISH_REASONS and not is_harmless(reason, (prompt.text, key)):
                read = read._replace(finish_reason="other")
            return answer_of(read)
        except APIStatusError as error:
            if error.status_code == 400 and error.code == "content_filter":
                return Generation("", "content_filter")
            failure = refused(error, body, private=(prompt.text, key))
        except APITimeoutError as error:
            failure = Failure(f"no reply within {timeout_s} s")
            if isinstance(error.__cause__, httpx2.ConnectTimeout):
                failure = no_connection(base_url, error.__cause__)
        except APIConnectionError as error:
            cause = error.__cause__ or error
            failure = Failure(f"a connection that broke ({type(cause).__name__})")
            if isinstance(cause, httpx2.ConnectError):
                failure = no_connection(base_url, cause)
            elif isinstance(cause.__cause__, UnusableReply):
                failure = Failure(f"unusable body: {cause.__cause__}")
        except WebPage:
            failure = Failure(f"a web page, not a completion: {TO_DO[405]}", "systemic")
        except Unreachable as error:
            failure = no_connection(base_url, error.__cause__)
        except Stopped:
            failure = Failure("the run ended before another attempt")
        except Exception as error:
            # A reply that breaks the client. Only the class, since a message may quote the body.
            failure = Failure(f"the client failed on the reply ({type(error).__name__})")
        finally:
            asking.now = False
        tried = f"; attempts: {asking.attempts}" if asking.attempts > 1 else ""
        return failure._replace(reason=failure.reason + tried)

    return Generator(lambda prompts: list(map(ask, prompts)), 1, concurrency, stopped.set)


def _api_key(base_url: str, api_key_env: str | None) -> str:
    if api_key_env is None and is_loopback(base_url):
        return _NO_KEY
    variable = "OPENAI_API_KEY" if api_key_env is None else _check_variable(api_key_env)
    key = os.environ.get(variable, "")
    if not re.fullmatch(r"[!-~]+", key):
        found = "holds spaces, or more than ASCII" if key else "is unset or empty"
        raise ParamsError(
            f"the environment variable {variable}, expected to hold the key for "
            f"{host_of(base_url)}, {found}; api_key_env may name another"
        )
    return key
