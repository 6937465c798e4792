"""Language models behind a server that speaks OpenAI's API.

Chat completions, asked for by the official client: OpenAI, Azure OpenAI, vLLM, Ollama, llama.cpp,
`transformers serve` and others. Nothing of a prompt, of a reply or of the key gets into a reason,
an exception or a log line.
"""

import ipaddress
import json
import logging
import os
import random
import re
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

from medalign_utils.errors import ParamsError
from medalign_utils.generation.base import Failure, Generation, Generator
from medalign_utils.prompts.templates import RESPONSE_TOKENS, Prompt

BACKOFF_S = 1.0  # before the second attempt; doubled before each one after it
LONGEST_WAIT_S = 120.0  # between two attempts, whatever the server asks for
LONGEST_CONNECT_S = 10.0
LONGEST_REPLY = 16 * 2**20  # bytes; some hundred times what the tokens of a response take

# The client insists on a key, and a server on this machine seldom wants one.
_NO_KEY = "no-key-needed"
_ASK_AGAIN = (408, 409, 429)  # and everything from 500 on
# Of a reply that ended by itself, as servers name it, those that do not name it included.
_STOPPED = ("stop", "eos_token", "stop_sequence", None)
_CLIENT_LOGGERS = ("openai", "httpx2", "httpcore2")
# Narrower than what URLs may be, so that all who read one see the same host in it.
_URL = re.compile(
    r"https?://((?P<name>[a-z0-9._-]+)|\[(?P<ipv6>[0-9a-f:.]+)\])(:(?P<port>[0-9]{1,5}))?"
    r"(/[!-~]*)?",
    re.ASCII | re.IGNORECASE,
)

_asking = threading.local()


class _Again(NamedTuple):
    """An attempt after which another may succeed: what happened, and the wait asked for."""

    reason: str
    retry_after_s: float = 0.0


def openai(
    *,
    model: str,
    base_url: str,
    api_key_env: str | None = None,
    api_version: str | None = None,
    concurrency: int = 8,
    timeout_s: float = 120,
    attempts: int = 6,
    request: Mapping[str, Any] | None = None,
) -> Generator:
    """Ask a server, by the chat completions of OpenAI's API.

    The prompt is one user message; temperature is 0 and the response takes up to `RESPONSE_TOKENS`
    tokens. What may pass is tried again: no connection, no reply in time, HTTP 408, 409, 429 and
    5xx, and bodies that hold no response; at growing intervals, and not before the server's
    Retry-After (up to `LONGEST_WAIT_S`). What is left then is a `Failure`. A refusal is a response,
    and so is what a content filter withheld. Redirects are not followed.

    The environment's proxies are used for https to another machine alone, which they pass on
    unread. Of OpenAI's own variables the key's alone counts.

    Args:
        model: as the server calls it; on Azure, the deployment.
        base_url: of the API, such as "http://127.0.0.1:8000/v1" for vLLM, or, on Azure,
            "https://RESOURCE.openai.azure.com/openai".
        api_key_env: the environment variable that holds the key. Unless it is said, this machine's
            own servers get none, and others OPENAI_API_KEY.
        api_version: of Azure's API, such as "2024-10-21"; None for any other server.
        concurrency: requests at a time.
        timeout_s: how long the server may take until its reply begins, and then until it ends.
        attempts: at one prompt, the first included.
        request: further keys of the request's body, which replace those said above; a key whose
            value is None is left out. The newest models of OpenAI want
            ``{"max_tokens": None, "temperature": None, "max_completion_tokens": 256}``.

    Raises:
        ParamsError: a value is none of these, or there is no key.

    >>> generator = openai(model="llama3.1", base_url="http://127.0.0.1:11434/v1", concurrency=4)
    >>> generator.batch_size, generator.concurrency
    (1, 4)
    """
    _check_options(model, api_version, concurrency, timeout_s, attempts)
    body = {"max_tokens": RESPONSE_TOKENS, "temperature": 0, **_checked_request(request)}
    body = {name: value for name, value in body.items() if value is not None}
    key = _api_key(base_url, api_key_env)

    from openai import APIConnectionError, APIStatusError, APITimeoutError
    from tenacity import (
        Retrying,
        retry_if_result,
        sleep_using_event,
        stop_after_attempt,
        stop_when_event_set,
        wait_exponential_jitter,
    )

    # Raw, since the client would give a body that it cannot read as a completion all the same.
    create = _client(
        base_url, key, api_version, concurrency, timeout_s
    ).chat.completions.with_raw_response.create
    _quieten_client_loggers()

    def ask(prompt: Prompt) -> Generation | Failure | _Again:
        messages = [{"role": "user", "content": prompt.text}]
        _asking.now = True
        try:
            reply = create(model=model, messages=messages, extra_body=body)
            outcome = _read(reply.content, reply.headers.get("content-type", ""))
        except APIStatusError as error:
            outcome = _refused(error, private=(prompt.text, key))
        except APITimeoutError:
            outcome = _Again(f"no reply within {timeout_s} s")
        except APIConnectionError as error:
            cause = type(error.__cause__ or error).__name__
            outcome = _Again(f"no connection, or one that broke ({cause})")
        except Exception as error:
            # By a reply that breaks the client. The class alone is told, since what a library says
            # of a body may quote it.
            outcome = Failure(f"the client failed on the reply ({type(error).__name__})")
        finally:
            _asking.now = False
        return outcome

    backoff = wait_exponential_jitter(initial=BACKOFF_S, max=LONGEST_WAIT_S, jitter=BACKOFF_S)

    def wait(state: Any) -> float:
        asked_for = state.outcome.result().retry_after_s
        # Those that were told to wait for as long do not come back all at once.
        return max(backoff(state), asked_for and asked_for + random.uniform(0, BACKOFF_S))

    def give_up(state: Any) -> Failure:
        return Failure(f"{state.outcome.result().reason}; attempts: {attempts}")

    stopped = threading.Event()
    retrying = Retrying(
        stop=stop_after_attempt(attempts) | stop_when_event_set(stopped),
        sleep=sleep_using_event(stopped),
        wait=wait,
        retry=retry_if_result(lambda outcome: isinstance(outcome, _Again)),
        retry_error_callback=give_up,
    )

    def answer(prompts: Sequence[Prompt]) -> list[Generation | Failure]:
        return [retrying(ask, prompt) for prompt in prompts]

    return Generator(answer, concurrency=concurrency, stop=stopped.set)


def host_of(base_url: str) -> str:
    """Give the host of a server's URL, in lower case, an IPv6 address without its brackets.

    Raises:
        ParamsError: it is no http:// or https:// URL with a host, or it holds more than scheme,
            host, port and path. The message does not repeat it, since it may hold a secret.

    >>> host_of("https://api.OpenAI.com/v1")
    'api.openai.com'
    >>> host_of("http://[::1]:8000/v1")
    '::1'
    >>> host_of("https://me:secret@api.openai.com/v1")
    Traceback (most recent call last):
    ...
    medalign_utils.errors.ParamsError: base_url: may hold no user, password, query or fragment; \
api_key_env names the variable that holds the key
    """
    if not isinstance(base_url, str):
        raise ParamsError("base_url: expected text")
    if re.match(r"[^/]*//[^/]*@", base_url) or "?" in base_url or "#" in base_url:
        raise ParamsError(
            "base_url: may hold no user, password, query or fragment; api_key_env names the "
            "variable that holds the key"
        )
    parts = _URL.fullmatch(base_url)
    if not parts:
        raise ParamsError("base_url: expected http:// or https://, a host and a path, in ASCII")
    if int(parts["port"] or 0) > 65535:
        raise ParamsError("base_url: its port is above 65535")
    host = (parts["name"] or parts["ipv6"]).lower()
    try:
        if parts["ipv6"]:
            ipaddress.IPv6Address(host)
        elif re.fullmatch(r"[0-9]+(\.[0-9]+){3}", host):
            ipaddress.IPv4Address(host)
    except ValueError:
        raise ParamsError("base_url: its host looks like an address, and is none") from None
    return host


def is_loopback(base_url: str) -> bool:
    """Whether a server's URL names this machine: localhost, or a loopback address.

    Nothing is resolved, so a name that stands for a loopback address is taken for another machine.

    Raises:
        ParamsError: as :func:`host_of`.

    >>> [is_loopback(f"http://{host}:8000/v1") for host in ("localhost", "127.0.0.1", "[::1]")]
    [True, True, True]
    >>> [is_loopback(f"http://{host}/v1") for host in ("127.0.0.1.example.com", "0.0.0.0")]
    [False, False]
    """
    host = host_of(base_url)
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check_options(
    model: object, api_version: object, concurrency: object, timeout_s: object, attempts: object
) -> None:
    if not (isinstance(model, str) and model):
        raise ParamsError(f"model: found {model!r}, expected the name of a model")
    if not (api_version is None or (isinstance(api_version, str) and api_version)):
        # YAML reads 2024-10-21 as a date.
        raise ParamsError(f"api_version: found {api_version!r}, expected text; quote it in YAML")
    for name, value in (("concurrency", concurrency), ("attempts", attempts)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ParamsError(f"{name}: found {value!r}, expected a whole number from 1 on")
    number = isinstance(timeout_s, int | float) and not isinstance(timeout_s, bool)
    if not (number and 0 < timeout_s <= 86400):
        raise ParamsError(f"timeout_s: found {timeout_s!r}, expected seconds, at most a day's")


def _checked_request(request: object) -> Mapping[str, Any]:
    if request is None:
        return {}
    if not isinstance(request, Mapping) or not all(isinstance(name, str) for name in request):
        raise ParamsError("request: expected a mapping of names to values")
    if taken := sorted({"messages", "model"} & set(request)):
        raise ParamsError(f"request: may not hold {' or '.join(taken)}, which are set elsewhere")
    try:
        json.dumps(dict(request), allow_nan=False)
    except (TypeError, ValueError):
        raise ParamsError("request: holds a value that JSON cannot hold") from None
    return request


def _api_key(base_url: str, api_key_env: object) -> str:
    if api_key_env is None and is_loopback(base_url):
        return _NO_KEY
    variable = "OPENAI_API_KEY" if api_key_env is None else api_key_env
    # Not repeated: who mistakes it for the key's own place has written the key there.
    if not (isinstance(variable, str) and re.fullmatch(r"[A-Za-z_]\w*", variable, re.ASCII)):
        raise ParamsError("api_key_env: expected the name of an environment variable")
    key = os.environ.get(variable, "")
    if not key:
        raise ParamsError(
            f"the environment variable {variable} is to hold the key for {host_of(base_url)}, and "
            "is unset or empty; api_key_env may name another"
        )
    if not re.fullmatch(r"[!-~]+", key):
        raise ParamsError(f"the environment variable {variable} holds spaces, or more than ASCII")
    return key


def _client(
    base_url: str, key: str, api_version: str | None, concurrency: int, timeout_s: float
) -> Any:
    """Build the official client, which then serves all threads."""
    import httpx2
    from openai import AzureOpenAI, OpenAI

    class Bounded(httpx2.SyncByteStream):
        """A reply's body, which fails where it goes on for too long.

        The client's own limit is on the wait for each piece.
        """

        def __init__(self, body: httpx2.SyncByteStream) -> None:
            self.body = body

        def __iter__(self) -> Iterator[bytes]:
            deadline = time.monotonic() + timeout_s
            size = 0
            for piece in self.body:
                size += len(piece)
                if time.monotonic() > deadline:
                    raise httpx2.ReadTimeout("the reply does not end")
                if size > LONGEST_REPLY:
                    raise httpx2.ReadError("the reply is too long")
                yield piece

        def close(self) -> None:
            self.body.close()

    def bound(response: httpx2.Response) -> None:
        response.stream = Bounded(response.stream)

    http_client = httpx2.Client(
        # A proxy of the environment sees what goes by plain http, and is no host that was named.
        trust_env=base_url.lower().startswith("https:") and not is_loopback(base_url),
        # A redirect could carry a record to another host.
        follow_redirects=False,
        timeout=httpx2.Timeout(timeout_s, connect=min(timeout_s, LONGEST_CONNECT_S)),
        limits=httpx2.Limits(max_connections=concurrency, max_keepalive_connections=concurrency),
        event_hooks={"response": [bound]},
    )
    options = {"base_url": base_url, "api_key": key, "max_retries": 0, "http_client": http_client}
    if api_version is None:
        client = OpenAI(**options)
    else:
        client = AzureOpenAI(api_version=api_version, **options)
    # The client takes these from the environment, and there is no asking it not to. The headers of
    # OPENAI_CUSTOM_HEADERS could name another host or another key.
    client.organization = client.project = None
    client._custom_headers = {}
    return client


def _quieten_client_loggers() -> None:
    """Keep what the client's libraries log of our requests out of every log, whatever its level.

    Their lines hold headers and, in other versions, bodies, in which a server may repeat a prompt.
    A filter counts for one logger, so each gets it. OPENAI_LOG acts when openai is imported.
    """
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] in _CLIENT_LOGGERS:
            logging.getLogger(name).addFilter(_not_ours)


def _not_ours(_record: object) -> bool:
    return not getattr(_asking, "now", False)


def _refused(error: Any, private: Sequence[str]) -> Generation | Failure | _Again:
    """Judge a reply of another status than 2xx."""
    status = error.status_code
    if status == 400 and error.code == "content_filter":
        return Generation("", "content_filter")
    told = [type(error).__name__]
    if _is_identifier(error.code, private):
        told.append(error.code)
    reason = f"HTTP {status} ({', '.join(told)})"
    if status in _ASK_AGAIN or status >= 500:
        return _Again(reason, _retry_after(error.response.headers))
    if 300 <= status < 400:
        return Failure(f"{reason}: a redirect, which is not followed")
    return Failure(reason)


def _is_identifier(code: object, private: Sequence[str]) -> bool:
    """Whether a server's code for an error looks like one, and repeats nothing of ours."""
    if not isinstance(code, str) or not re.fullmatch(r"[A-Za-z0-9_.-]{1,40}", code):
        return False
    return not any(code in text or text in code for text in private)


def _retry_after(headers: Mapping[str, str]) -> float:
    """Give the seconds that a server asks to wait, 0 if it does not or has it wrong."""
    seconds = 0.0
    for name, unit in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        if name not in headers:
            continue
        try:
            seconds = float(headers[name]) * unit
            break
        except ValueError:
            pass
        try:
            at = parsedate_to_datetime(headers[name])
            seconds = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() - time.time()
            break
        except (ValueError, OverflowError):
            pass
    return min(max(0.0, seconds), LONGEST_WAIT_S)  # in this order NaN gives 0


def _read(body: bytes, content_type: str) -> Generation | _Again:
    """Read a completion from a reply of status 2xx, or say why there is none in it."""
    try:
        # `transformers serve` streams although it is not asked to.
        if content_type.lower().startswith("text/event-stream"):
            completion = _joined(body)
        else:
            completion = json.loads(body)
    except EOFError:
        return _Again("unusable body: the stream broke off")
    except (TypeError, ValueError, RecursionError):
        return _Again("unusable body: not JSON, or not of a completion")
    match completion:
        case {"choices": [{"message": {**message}, **choice}, *_]}:
            pass
        case _:
            return _Again("unusable body: no choices")
    usage = completion.get("usage")
    counted = usage.get("completion_tokens") if isinstance(usage, dict) else None
    tokens = counted if type(counted) is int else None
    finish_reason = choice.get("finish_reason")
    if finish_reason == "content_filter":
        return Generation("", finish_reason, tokens)
    text = message.get("content")
    if text is None:
        text = message.get("refusal")
    if text is None and finish_reason == "length":
        text = ""  # the tokens went into what a model thinks before it answers
    if not isinstance(text, str):
        return _Again("unusable body: no content")
    if finish_reason != "length" and finish_reason not in _STOPPED:
        return _Again("unusable body: neither finished nor cut at the limit")
    return Generation(_paired(text), "length" if finish_reason == "length" else "stop", tokens)


def _joined(stream: bytes) -> dict[str, Any]:
    """Put the chunks of a stream of Server-Sent Events together, as one completion.

    Raises:
        EOFError: the stream ends before the completion does.
        TypeError, ValueError: an event is not JSON, or not of a completion.
    """
    content, refusal = [], []
    finish_reason, usage, done = None, None, False
    for data in _events(stream):
        if data.strip() == b"[DONE]":
            done = True
            break
        chunk = json.loads(data)
        match chunk:
            case {"usage": {**found}}:
                usage = found
        match chunk:
            case {"choices": [{"delta": {**delta}, **choice}, *_]} if choice.get("index", 0) == 0:
                content.append(delta.get("content") or "")
                refusal.append(delta.get("refusal") or "")
                finish_reason = choice.get("finish_reason") or finish_reason
            case {"error": _}:
                raise EOFError
    if not done and finish_reason is None:
        raise EOFError
    message = {"content": "".join(content) or "".join(refusal)}
    choice = {"message": message, "finish_reason": finish_reason}
    return {"choices": [choice], "usage": usage}


def _events(stream: bytes) -> list[bytes]:
    r"""Give the data of each of a stream's Server-Sent Events.

    >>> _events(b": ping\n\ndata: 1\r\n\r\ndata: 2\ndata: 3\n\n")
    [b'1', b'2\n3']
    """
    events: list[list[bytes]] = [[]]
    for line in stream.splitlines():  # of bytes, so at \r and \n alone
        if not line:
            events.append([])
        elif line.startswith(b"data:"):
            events[-1].append(line[5:].removeprefix(b" "))
    return [b"\n".join(lines) for lines in events if lines]


def _paired(text: str) -> str:
    """Join surrogates that JSON or a stream's chunks split, and replace one that stands alone.

    Such text could not be written to a file.
    """
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
