"""The HTTP client below the official one: it bounds and checks replies, and ends retries early."""

import threading
import time
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from medalign_utils.generation.reply import UnusableReply, read_reply
from medalign_utils.generation.server_errors import NO_QUOTA, error_of, is_page, status_meant
from medalign_utils.generation.server_url import is_loopback

if TYPE_CHECKING:
    import httpx2

LONGEST_CONNECT_S = 4.0  # short, so that a missing server is noticed soon
# So long a server that has never answered is asked again after errors of its own.
LONGEST_START_S = 5.0
LONGEST_REPLY = 16 * 2**20  # bytes, far more than any response takes

# A thread's own: whether it is asking `now`, and how many `attempts` it made.
asking = threading.local()


class Stopped(Exception):
    """The run ended before the next attempt."""


class WebPage(Exception):
    """The server replied with a web page; every prompt would get it."""


class Unreachable(Exception):
    """There was no connection, and has never been one in this run."""


def http_client(
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
                raise Unreachable from error

    def count(_: httpx2.Request) -> None:
        asking.attempts += 1
        if stopped.is_set():
            raise Stopped

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
            if is_page(body):
                raise WebPage
            try:
                read_reply(bytes(body))
                answered.set()
                return
            except UnusableReply as error:
                status = status_meant(bytes(body))
                if status is None:
                    raise httpx2.ReadError("no response in the reply") from error
                response.extensions["sent_status"] = response.status_code
                response.status_code = status
        if error_of(bytes(body)).get("code") in NO_QUOTA:
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


def not_ours(_record: object) -> bool:
    """Return whether a log line is about no request of ours; a filter of loggers."""
    return not getattr(asking, "now", False)
