"""A small chat completions server for tests, on a free port of 127.0.0.1.

In the test's process, `ChatServer` replies with a function of the request and keeps all requests.
In a separate process, `python chat_server.py SECONDS` prints its port and answers every prompt
after that time until its standard input is closed.
"""

import asyncio
import json
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple


class Request(NamedTuple):
    arrived: float
    target: str
    headers: dict[str, str]
    body: Any

    @property
    def prompt(self) -> str:
        return self.body["messages"][0]["content"]


class Reply(NamedTuple):
    body: Any
    status: int = 200
    headers: tuple[tuple[str, str], ...] = (("Content-Type", "application/json"),)
    after: float = 0.0  # seconds
    cut: bool = False  # the connection breaks off in the middle of the body
    until_closed: bool = False  # no Content-Length: closing the connection ends the body


def completion(content: Any, finish_reason: Any = "stop", **message: Any) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", "content": content, **message}}
    return {
        "id": "1",
        "object": "chat.completion",
        "created": 0,
        "model": "m",
        "choices": [{**choice, "finish_reason": finish_reason}],
        "usage": {"completion_tokens": 3},
    }


def stream(*chunks: Any, end: bytes = b"data: [DONE]\n\n", **reply: Any) -> Reply:
    events = [b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks]
    headers = (("Content-Type", "text/event-stream; charset=utf-8"),)
    return Reply(b"".join(events) + end, headers=headers, until_closed=True, **reply)


def chunk(finish_reason: Any = None, **delta: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return {"object": "chat.completion.chunk", "choices": [choice]}


def error(status: int, code: Any = None, *headers: tuple[str, str], message: str = "no") -> Reply:
    body = {"error": {"message": message, "type": "error", "code": code}}
    return Reply(body, status, (("Content-Type", "application/json"), *headers))


class ChatServer:
    """A context in which the server runs in a thread."""

    def __init__(self, reply: Callable[[Request], Reply]) -> None:
        self.reply = reply
        self.requests: list[Request] = []
        self._open: set[asyncio.Task] = set()

    def __enter__(self) -> "ChatServer":
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self.port = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)
        self.base_url = f"http://127.0.0.1:{self.port}/v1"
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _listen(self) -> int:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self._server.sockets[0].getsockname()[1]

    async def _stop(self) -> None:
        self._server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(asyncio.current_task())
        try:
            while await self._exchange(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client has gone, or the test is over
        finally:
            self._open.discard(asyncio.current_task())
            writer.transport.abort() if writer.is_closing() else writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        arrived = time.time()
        first, *lines = head.split("\r\n")[:-2]
        fields = (line.partition(":") for line in lines)
        headers = {name.lower(): value.strip() for name, _, value in fields}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        target = first.split(" ")[1]
        request = Request(arrived, target, headers, json.loads(body) if body else None)
        self.requests.append(request)
        reply = self.reply(request)
        content = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
        await asyncio.sleep(reply.after)
        sent = [f"HTTP/1.1 {reply.status} Some Reason", *(": ".join(h) for h in reply.headers)]
        length = f"Content-Length: {len(content)}"
        sent.append("Connection: close" if reply.until_closed else length)
        writer.write("\r\n".join([*sent, "", ""]).encode("latin-1"))
        writer.write(content[: len(content) // 2] if reply.cut else content)
        await writer.drain()
        return not (reply.cut or reply.until_closed)


if __name__ == "__main__":
    with ChatServer(lambda _: Reply(completion("yes"), after=float(sys.argv[1]))) as server:
        print(server.port, flush=True)
        sys.stdin.read()
