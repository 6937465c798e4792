"""Language models behind a server that speaks OpenAI's API.

It uses chat completions through the official client: OpenAI, Azure OpenAI, vLLM, Ollama, llama.cpp,
`transformers serve` and others. No failure, exception or log line quotes a prompt, a reply or the
key.
"""

import ipaddress
import json
import logging
import os
import re
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, Field, JsonValue, PositiveInt

from medalign_utils.errors import ParamsError
from medalign_utils.generation.base import Failure, Generation, Generator, Sampling
from medalign_utils.generation.reasoning import Parts, Pattern, split, to_generation
from medalign_utils.generation.reply import FINISH_REASONS, Reply, UnusableReply, read_reply
from medalign_utils.prompts.templates import RESPONSE_TOKENS, Prompt
from medalign_utils.prompts.tokenizers import PromptTokenizer

if TYPE_CHECKING:
    import httpx2

LONGEST_CONNECT_S = 4.0  # short, so that a missing server is noticed soon
# So long a server that has never answered is asked again after errors of its own.
LONGEST_START_S = 5.0
LONGEST_REPLY = 16 * 2**20  # bytes, far more than any response takes

# The client requires a key, which servers on this machine seldom need.
_NO_KEY = "no-key-needed"
# How servers name the most tokens of a response.
LENGTH_KEYS = ("max_tokens", "max_completion_tokens")
# What to do about a server that refuses every prompt, by status.
_TO_DO = {
    401: "the server does not accept the key; api_key_env names its variable",
    402: "the account has no quota left",
    403: "the key may not use this model or this server",
    404: "is `model:` its name on the server, and is it pulled there? base_url often ends with /v1",
    405: "base_url often ends with /v1",
}
_NO_QUOTA = (
    "insufficient_quota",
    "quota_exceeded",
    "billing_not_active",
    "billing_hard_limit_reached",
)
# What only the message of an HTTP 400 says, by the status that it should have been.
_MISREPORTED = {
    "credit balance is too low": 402,  # Anthropic
    "API key not valid": 401,  # Gemini
    "location is not supported": 403,  # Gemini
}
# Errors that servers send with a status of success, by their type, and the status that they mean.
_ERROR_TYPES = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "rate_limit_error": 429,
}
# Stricter than the standard for URLs, so that every parser finds the same host.
_URL = re.compile(
    r"https?://(?P<host>[a-z0-9._-]+|\[[0-9a-f:.]+\])(:(?P<port>\d{1,5}))?(/[!-~]*)?", re.A | re.I
)

_asking = threading.local()


class _Stopped(Exception):
    """The run ended before the next attempt."""


class _WebPage(Exception):
    """The server replied with a web page; every prompt would get it."""


class _Unreachable(Exception):
    """There was no connection, and has never been one in this run."""


def _check_request(request: dict[str, Any]) -> dict[str, Any]:
    for name in LENGTH_KEYS:
        length = request.get(name)
        if length is not None and (type(length) is not int or length < 1):
            raise ValueError(f"request: {name}: found {length!r}, expected a whole number from 1")
    if fixed := sorted({"messages", "model"} & set(request)):
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
        http_client=_http_client(base_url, concurrency, timeout_s, stopped),
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
            logging.getLogger(name).addFilter(_not_ours)

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
        _asking.now, _asking.attempts = True, 0
        try:
            reply = create(model=model, messages=messages, extra_body=body)
            read = read_reply(reply.content)
            reason = read.finish_reason
            if reason not in FINISH_REASONS and not _is_harmless(reason, (prompt.text, key)):
                read = read._replace(finish_reason="other")
            return answer_of(read)
        except APIStatusError as error:
            if error.status_code == 400 and error.code == "content_filter":
                return Generation("", "content_filter")
            failure = _refused(error, body, private=(prompt.text, key))
        except APITimeoutError as error:
            failure = Failure(f"no reply within {timeout_s} s")
            if isinstance(error.__cause__, httpx2.ConnectTimeout):
                failure = _no_connection(base_url, error.__cause__)
        except APIConnectionError as error:
            cause = error.__cause__ or error
            failure = Failure(f"a connection that broke ({type(cause).__name__})")
            if isinstance(cause, httpx2.ConnectError):
                failure = _no_connection(base_url, cause)
            elif isinstance(cause.__cause__, UnusableReply):
                failure = Failure(f"unusable body: {cause.__cause__}")
        except _WebPage:
            failure = Failure(f"a web page, not a completion: {_TO_DO[405]}", "systemic")
        except _Unreachable as error:
            failure = _no_connection(base_url, error.__cause__)
        except _Stopped:
            failure = Failure("the run ended before another attempt")
        except Exception as error:
            # A reply that breaks the client. Only the class, since a message may quote the body.
            failure = Failure(f"the client failed on the reply ({type(error).__name__})")
        finally:
            _asking.now = False
        tried = f"; attempts: {_asking.attempts}" if _asking.attempts > 1 else ""
        return failure._replace(reason=failure.reason + tried)

    return Generator(lambda prompts: list(map(ask, prompts)), 1, concurrency, stopped.set)


def host_of(base_url: str) -> str:
    """Return the host of a server's URL, in lower case, an IPv6 address without its brackets.

    Raises:
        ParamsError: it is not an http:// or https:// URL of host, port and path only. The message
            does not repeat the URL, because it may contain a secret.
    """
    parts = _URL.fullmatch(base_url)
    if not parts or "?" in base_url or "#" in base_url or int(parts["port"] or 0) > 65535:
        raise ParamsError(
            "base_url: expected http:// or https://, a host, a port up to 65535 and a path, in "
            "ASCII; no user, password, query or fragment: api_key_env names the key's variable"
        )
    host = parts["host"].lower()
    try:
        if host.startswith("["):
            host = host.strip("[]")
            ipaddress.IPv6Address(host)
        elif re.fullmatch(r"\d+(\.\d+){3}", host):
            ipaddress.IPv4Address(host)
    except ValueError:
        raise ParamsError("base_url: its host looks like an IP address but is not one") from None
    return host


def is_loopback(base_url: str) -> bool:
    """Return whether a server's URL names this machine: a loopback address, or localhost as one.

    Other names are not resolved and count as other machines.
    """
    host = host_of(base_url)
    try:
        if host == "localhost":
            found = {address[0] for *_, address in socket.getaddrinfo(host, None)}
            return all(ipaddress.ip_address(address).is_loopback for address in found)
        return ipaddress.ip_address(host).is_loopback
    except (ValueError, OSError):
        return False


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


def _http_client(
    base_url: str, concurrency: int, timeout_s: float, stopped: threading.Event
) -> "httpx2.Client":
    """Return an HTTP client for the official client, which limits and checks the replies."""
    import httpx2

    reached, answered = threading.Event(), threading.Event()
    first_error: list[float] = []

    class Client(httpx2.Client):
        def send(self, *args: Any, **options: Any) -> httpx2.Response:
            try:
                return super().send(*args, **options)
            except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
                if reached.is_set():
                    raise
                raise _Unreachable from error

    def count(_: httpx2.Request) -> None:
        _asking.attempts += 1
        if stopped.is_set():
            raise _Stopped

    def check(response: httpx2.Response) -> None:
        """Bound the whole reply, not each wait alone; fail if it holds no response."""
        reached.set()
        deadline = time.monotonic() + timeout_s
        body = bytearray()
        decode = _decoder(response.headers.pop("content-encoding", "identity"))
        for piece in response.stream:
            try:
                body += decode(piece, LONGEST_REPLY + 1 - len(body))
            except zlib.error:
                raise httpx2.ReadError("the reply is not compressed as it says") from None
            if time.monotonic() > deadline:
                raise httpx2.ReadTimeout("the reply does not end")
            if len(body) > LONGEST_REPLY:
                raise httpx2.ReadError("the reply is too long")
        response.stream.close()
        response.stream = httpx2.ByteStream(bytes(body))
        if response.is_success:
            if _is_page(body):
                raise _WebPage
            try:
                read_reply(bytes(body))
                answered.set()
                return
            except UnusableReply as error:
                status = _status_meant(bytes(body))
                if status is None:
                    raise httpx2.ReadError("no response in the reply") from error
                response.extensions["sent_status"] = response.status_code
                response.status_code = status
        if _error_of(bytes(body)).get("code") in _NO_QUOTA:
            response.headers["x-should-retry"] = "false"
        if response.is_server_error and not answered.is_set():
            first_error.append(time.monotonic())
            if first_error[-1] - first_error[0] > LONGEST_START_S:
                response.headers["x-should-retry"] = "false"

    return Client(
        # A proxy of the environment sees what goes by plain http, and is not the host named.
        trust_env=base_url.lower().startswith("https:") and not is_loopback(base_url),
        # A redirect could carry a record to another host.
        follow_redirects=False,
        headers={"Accept-Encoding": "identity"},
        timeout=httpx2.Timeout(timeout_s, connect=min(timeout_s, LONGEST_CONNECT_S)),
        limits=httpx2.Limits(max_connections=concurrency, max_keepalive_connections=concurrency),
        event_hooks={"request": [count], "response": [check]},
    )


def _decoder(encoding: str) -> Callable[[bytes, int], bytes]:
    """Return a function that decodes the next piece of a body to at most so many bytes.

    httpx2 has no such limit, and a few bytes may become many when they are decompressed.
    """
    if encoding.strip().lower() in ("identity", ""):
        return lambda piece, most: piece[:most]
    if encoding.strip().lower() not in ("gzip", "x-gzip", "deflate"):
        import httpx2

        # Several encodings, or one that was not asked for.
        raise httpx2.ReadError("the reply has an unknown encoding")
    return zlib.decompressobj(zlib.MAX_WBITS | 32).decompress


def _not_ours(_record: object) -> bool:
    return not getattr(_asking, "now", False)


def _is_harmless(code: Any, private: Sequence[str]) -> bool:
    """Return whether a server's text looks like a code, and is not made of private words.

    >>> [_is_harmless(code, ["John Smith has HIV"]) for code in ("server_error", "HIV-john.SMITH")]
    [True, False]
    """
    if not isinstance(code, str) or not re.fullmatch(r"[A-Za-z0-9_.-]{1,40}", code):
        return False
    words = re.findall(r"[a-z0-9]+", code.lower())
    for text in private:
        own = re.findall(r"[^\W_]+", text.casefold())
        joined, own_joined = "".join(words), "".join(own)
        if set(words) <= set(own) or joined in own_joined or (own and own_joined in joined):
            return False
    return True


def _refused(error: Any, body: dict[str, Any], private: Sequence[str]) -> Failure:
    """Return the failure that a reply with an error status means."""
    status, code = error.status_code, error.code
    name = type(error).__name__ + (f", {code}" if _is_harmless(code, private) else "")
    sent = error.response.extensions.get("sent_status")
    reason = f"HTTP {sent} with an error {status} ({name})" if sent else f"HTTP {status} ({name})"
    text = error.response.content.decode(errors="replace")
    meant = next((n for words, n in _MISREPORTED.items() if words in text), status)
    if code in _NO_QUOTA:
        meant = 402
    elif code == "model_not_found" or error.param == "model":
        meant = 404
    if meant in _TO_DO:
        return Failure(f"{reason}: {_TO_DO[meant]}", "systemic")
    refused = next((key for key in body if key == error.param), None)
    is_unknown = str(code).startswith(("unsupported_", "unknown_param"))
    # Servers also refuse a length limit if the prompt leaves too little room for it.
    if is_unknown or (refused and refused not in LENGTH_KEYS):
        named = refused or "a key of the request"
        return Failure(f"{reason}: the server refuses {named}; see `request:`", "systemic")
    if status < 400:
        return Failure(f"{reason}: a redirect, which is not followed; check base_url", "systemic")
    if status not in (400, 413, 422):
        return Failure(reason)
    if _is_page(error.response.content):
        reason += ": a web page; check base_url (http or https, /v1)"
    return Failure(reason, "permanent")


def _is_page(body: bytes | bytearray) -> bool:
    return body.lstrip().startswith(b"<")


def _no_connection(base_url: str, error: BaseException) -> Failure:
    """Return the failure to reach a server, with what to do."""
    causes, to_do = [error], "is it running there, and is base_url its address?"
    while cause := causes[-1].__cause__ or causes[-1].__context__:
        causes.append(cause)
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes):
        to_do = "its certificate is not trusted here; SSL_CERT_FILE names further authorities"
    elif any(isinstance(cause, ssl.SSLError) for cause in causes):
        to_do = "it does not speak TLS as expected; is it http:// or https://?"
    name = type(error).__name__
    return Failure(f"no connection to {host_of(base_url)} ({name}): {to_do}", "systemic")


def _error_of(body: bytes) -> dict[str, Any]:
    """Return the error in a reply's body, or {} if there is none."""
    try:
        error = json.loads(body)["error"]
    except (KeyError, TypeError, ValueError, RecursionError):
        return {}
    return error if isinstance(error, dict) else {}


def _status_meant(body: bytes) -> int | None:
    """Return the status that an error in a reply's body should have had, if it says so."""
    error = _error_of(body)
    code = str(error.get("code"))
    if re.fullmatch(r"[45]\d\d", code):
        return int(code)
    if code in _NO_QUOTA:
        return 429
    return _ERROR_TYPES.get(str(error.get("type")))
