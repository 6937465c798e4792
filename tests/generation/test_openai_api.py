import gzip
import json
import logging
import os
import random
import re
import socket
import ssl
import subprocess
import sys
import threading
import time
import tracemalloc
import zlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from medalign_utils.errors import ParamsError
from medalign_utils.generation import openai_api, server_client
from medalign_utils.generation.base import Failure, Generation
from medalign_utils.prompts.templates import RESPONSE_TOKENS, Prompt, Wording
from medalign_utils.prompts.tokenizers import load_tokenizer
from tests.builders.chat_server import ChatServer, Reply, chunk, completion, error, stream

YES = Generation("yes", "stop", 3)
KEY = "sk-Secret0123456789"
MARKER = "Zebrafish-4711"
PRIVATE = re.compile(f"{KEY}|{MARKER}|Secret|Zebra")


@pytest.fixture(autouse=True)
def quick_and_without_the_environment(monkeypatch):
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.005)
    for name in list(os.environ):
        if name.startswith(("OPENAI_", "AZURE_OPENAI_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture
def serve():
    with ExitStack() as servers:
        yield lambda reply: servers.enter_context(ChatServer(reply))


@pytest.fixture(scope="module")
def shared():
    """Share a server and generator among tests that differ only in replies, to save time."""
    with ChatServer(None) as server, pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.005)
        yield server, make(server)


@pytest.fixture
def ask_once(shared):
    """Ask a server with these replies; return the outcome and the number of requests."""
    server, generator = shared

    def ask_once(*replies):
        server.reply = in_turn(*replies)
        server.requests.clear()
        [outcome] = generator.answer([prompt()])
        return outcome, len(server.requests)

    return ask_once


def prompt(text="Any pain?"):
    return Prompt(text, "", text)


def make(server, **options):
    return openai_api.openai(
        **{"model": "m", "base_url": server.base_url, "timeout_s": 5, "attempts": 2, **options}
    )


def ask(server, text="Any pain?", **options):
    [outcome] = make(server, **options).answer([prompt(text)])
    return outcome


def in_turn(*replies):
    """Give one reply after another, and repeat the last one."""
    left = list(replies)
    return lambda _: left.pop(0) if len(left) > 1 else left[0]


def test_asks_with_one_user_message_and_merges_request_into_the_body(serve):
    server = serve(in_turn(Reply(completion("yes"))))
    generator = make(server, model="llama", concurrency=3)
    assert (generator.batch_size, generator.concurrency) == (1, 3)
    assert generator.answer([prompt("Any pain?"), prompt("Since when?")]) == [YES, YES]
    request = {"max_completion_tokens": 300, "kwargs": {"thinking": False}}
    assert ask(server, request=request) == YES
    sampling = {"temperature": 0.6, "top_p": 0.95, "seed": 7}
    thinking = {"chat_template_kwargs": {"enable_thinking": False}}
    assert ask(server, max_new_tokens=64, generation=sampling, **thinking) == YES
    first, second, merged, sampled = server.requests
    assert first.target == "/v1/chat/completions"
    body = {"messages": [{"role": "user", "content": "Any pain?"}], "temperature": 0}
    assert first.body == body | {"model": "llama", "max_tokens": RESPONSE_TOKENS}
    assert second.prompt == "Since when?"
    assert merged.body == body | {"model": "m"} | request
    assert sampled.body == body | {"model": "m", "max_tokens": 64} | sampling | thinking


def test_a_system_message_comes_first(serve):
    server = serve(in_turn(Reply(completion("yes"))))
    tokenizer = load_tokenizer("minilm", wording=Wording(system="Be brief."))
    assert ask(server, tokenizer=tokenizer).text == "yes"
    system = {"role": "system", "content": "Be brief."}
    user = {"role": "user", "content": "Any pain?"}
    assert server.requests[0].body["messages"] == [system, user]


BODY = completion("yes")
UNCOUNTED = Generation("yes", "stop")
USAGE = {"choices": [], "usage": {"completion_tokens": 7}}
ROLE = chunk(role="assistant")
READABLE = {
    "length": (Reply(completion("ye", "length")), Generation("ye", "length", 3)),
    "empty": (Reply(completion("")), Generation("", "stop", 3)),
    "filtered": (Reply(completion("y", "content_filter")), Generation("", "content_filter", 3)),
    "refusal": (Reply(completion(None, refusal="No.")), Generation("No.", "stop", 3)),
    "thought only": (Reply(completion(None, "length")), Generation("", "length", 3)),
    "no reason": (Reply(completion("yes", None)), YES),
    "SAFETY": (Reply(completion("y", "SAFETY")), Generation("", "content_filter", 3)),
    "null content": (Reply(completion(None)), Generation("", "stop", 3)),
    "tool calls alone": (
        Reply(completion(None, "tool_calls", tool_calls=[{"id": "1"}])),
        Generation("", "tool_calls", 3),
    ),
    "content left out": (
        Reply({**BODY, "choices": [{"message": {"role": "a"}, "finish_reason": "length"}]}),
        Generation("", "length", 3),
    ),
    "refused without a text": (
        Reply(completion("", "refusal")),
        Generation("", "refusal", 3),
    ),
    "filtered for a reason": (
        Reply(completion(None, "content_filter: RECITATION")),
        Generation("", "content_filter", 3),
    ),
    "parts": (Reply(completion([{"type": "text", "text": "y"}, {"text": "es"}])), YES),
    "parts of reasoning": (
        Reply(completion([{"type": "thinking", "thinking": [{"text": "why"}]}, {"text": "yes"}])),
        Generation("yes", "stop", 3, "why", None),
    ),
    "stream of parts": (
        stream(chunk(content=["y"]), chunk(content=[{"text": "es"}]), chunk("stop")),
        UNCOUNTED,
    ),
    "tokens of the prompt": (
        Reply({**BODY, "usage": {"prompt_tokens": 7}}),
        UNCOUNTED._replace(prompt_tokens=7),
    ),
    "a server that does not count": (
        Reply({**BODY, "usage": {"prompt_tokens": 0, "completion_tokens": 3}}),
        YES,
    ),
    "no usage": (Reply({**BODY, "usage": None}), UNCOUNTED),
    "odd usage": (Reply({**BODY, "usage": {"completion_tokens": True}}), UNCOUNTED),
    "surrogates": (
        Reply(b'{"choices": [{"message": {"content": "\\ud83d\\ude00 \\ud83d."}}]}'),
        Generation("\U0001f600 \ufffd.", "stop"),
    ),
    "a stream": (
        stream(ROLE, chunk(content="y"), chunk(content="es"), chunk("stop"), USAGE),
        Generation("yes", "stop", 7),
    ),
    "a stream of another type": (
        Reply(stream(chunk(content="yes"), chunk("stop")).body),
        UNCOUNTED,
    ),
    # the end of a stream of `transformers serve`
    "without [DONE]": (stream(ROLE, chunk(content="yes"), chunk("stop"), end=b""), UNCOUNTED),
    "stream without a reason": (stream(chunk(content="yes")), UNCOUNTED),
    "stream cut": (
        stream(chunk(content="ye"), chunk("length"), chunk()),
        Generation("ye", "length"),
    ),
    "stream refusal": (stream(chunk(refusal="No."), chunk("stop")), Generation("No.", "stop")),
    "empty stream": (stream(ROLE, chunk("stop")), Generation("", "stop")),
    "comments and CRLF": (
        Reply(
            b': ping\r\n\r\nevent: x\r\ndata:{"choices": [{"index": 0, "delta":\r\n'
            b'data: {"content": "a\xe2\x80\xa8b"}}]}\r\n\r\ndata: [DONE]',
            headers=(("Content-Type", "Text/Event-Stream"),),
        ),
        Generation("a\u2028b", "stop"),
    ),
    "a surrogate pair in two chunks": (
        stream(chunk(content="\ud83d"), chunk(content="\ude00"), chunk("stop")),
        Generation("\U0001f600", "stop"),
    ),
}


@pytest.mark.parametrize("reply, expected", READABLE.values(), ids=READABLE)
def test_what_counts_as_a_response(ask_once, reply, expected):
    assert ask_once(reply) == (expected, 1)


FINISH_REASONS = {
    "stop": ("", "STOP", "eos", "end_turn", "COMPLETE", "stop_sequence", None),
    "length": ("MAX_TOKENS", "max_tokens", "model_context_window_exceeded"),
    "abort": ("abort",),
    "tool_calls": ("tool_calls",),
    "other": ({"type": "stop"}, "two words"),
}


@pytest.mark.parametrize(
    ("ours", "reason"), [(ours, reason) for ours, all in FINISH_REASONS.items() for reason in all]
)
def test_a_text_is_kept_whatever_the_server_calls_its_end(ask_once, ours, reason):
    expected = Generation("yes", ours, 3)
    assert ask_once(Reply(completion("yes", reason))) == (expected, 1)


UNUSABLE = {
    "nothing": Reply(b""),
    "half a JSON": Reply(b'{"choices": [{"message": {"content": "ye'),
    "not UTF-8": Reply(b'{"choices": "\xff"}'),
    "deep": Reply(b"[" * 100_000),
    "another JSON": Reply([1, "a"]),
    "no choices": Reply({**BODY, "choices": []}),
    "choices of nothing": Reply({**BODY, "choices": [None]}),
    "no content": Reply({**BODY, "choices": [{"message": {}}]}),
    "content of another kind": Reply(completion({"text": "yes"})),
    "aborted without a text": Reply(completion(None, "abort")),
    "empty stream": stream(end=b""),
    "no end": stream(ROLE, chunk(content="ye"), end=b""),
    "half a chunk": stream(chunk(content="ye"), end=b'data: {"choi'),
    "chunk of another JSON": stream([1], chunk("stop")),
    "an error": stream(chunk(content="ye"), {"error": "CUDA"}),
}


@pytest.mark.parametrize("reply", UNUSABLE.values(), ids=UNUSABLE)
def test_unusable_body_is_asked_for_again(ask_once, reply):
    assert ask_once(reply, Reply(BODY)) == (YES, 2)
    failure, requests = ask_once(reply)
    assert re.fullmatch("unusable body: .*; attempts: 2", failure.reason)
    assert requests == 2


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 503, 529, 400, 401, 404, 422])
def test_transient_errors_are_retried_and_others_are_not(ask_once, status):
    passes = status in (408, 409, 429) or status >= 500
    failure, requests = ask_once(error(status, "busy_1"))
    tried = "; attempts: 2" if passes else ""
    assert re.fullmatch(rf"HTTP {status} \(\w+Error, busy_1\).*{tried}", failure.reason)
    kind = {400: "permanent", 401: "systemic", 404: "systemic", 422: "permanent"}
    assert failure.kind == kind.get(status, "transient")
    assert requests == 1 + passes
    if passes:
        assert ask_once(error(status), Reply(BODY)) == (YES, 2)


def test_what_an_error_says(ask_once):
    for code in (None, "a b", "x" * 41, "", {"a": 1}, 17):
        shown = ", 17" if code == 17 else ""
        failure = Failure(f"HTTP 400 (BadRequestError{shown})", "permanent")
        assert ask_once(error(400, code)) == (failure, 1)
    filtered = Generation("", "content_filter", None)
    assert ask_once(error(400, "content_filter")) == (filtered, 1)
    failure, _ = ask_once(error(403, "content_filter"))
    assert failure.reason.startswith("HTTP 403 (PermissionDeniedError, content_filter): the key")
    plain = (("Content-Type", "text/plain; charset=zlib"),)
    for body in (b"", b"no", b"null", b'{"error": "no"}', b"\xff", b"[" * 100_000):
        failure, requests = ask_once(Reply(body, 400, plain))
        assert isinstance(failure, Failure) and requests == 1


@pytest.mark.parametrize(
    ("reply", "to_do"),
    [
        (error(401), "the server does not accept the key; api_key_env names its variable"),
        (error(402), "the account has no quota left"),
        (error(429, "insufficient_quota"), "the account has no quota left"),
        (
            error(400, "invalid", message="Your credit balance is too low to use the API."),
            "the account has no quota left",
        ),
        (Reply([{"error": {"message": "API key not valid."}}], 400), "the server does not accept"),
        (Reply(b"\n<!doctype html><title>Chat</title>"), "base_url often ends with /v1"),
        (error(400, "model_not_found"), "is `model:` its name on the server, and is it pulled"),
        (Reply({"error": {"param": "model"}}, 400), "is `model:` its name on the server"),
        (error(404), "is `model:` its name on the server, and is it pulled there? base_url often"),
        (error(400, "unsupported_parameter"), "the server refuses a key of the request; see `req"),
        (Reply({"error": {"param": "temperature"}}, 400), "the server refuses temperature; see "),
        (
            Reply({"error": {"param": "max_tokens", "code": "unsupported_parameter"}}, 400),
            "the server refuses max_tokens; see `request:`",
        ),
        (Reply(b"", 302, (("Location", "/v2"),)), "a redirect, which is not followed; check base_"),
    ],
)
def test_a_refusal_of_every_prompt_says_once_what_to_do(ask_once, reply, to_do):
    failure, requests = ask_once(reply)
    assert (failure.kind, requests) == ("systemic", 1)
    assert f": {to_do}" in failure.reason


@pytest.mark.parametrize(
    ("error", "status", "kind", "requests"),
    [
        ({"code": 401}, 401, "systemic", 1),
        ({"code": "400"}, 400, "permanent", 1),
        ({"code": 429}, 429, "transient", 2),
        ({"code": 502}, 502, "transient", 2),
        ({"type": "authentication_error"}, 401, "systemic", 1),
        ({"type": "rate_limit_error"}, 429, "transient", 2),
        ({"code": "insufficient_quota"}, 429, "systemic", 1),
    ],
)
def test_an_error_with_a_status_of_success_counts_as_that_error(
    ask_once, error, status, kind, requests
):
    failure, n = ask_once(Reply({"error": error | {"message": MARKER}}))
    assert failure.reason.startswith(f"HTTP 200 with an error {status} (")
    assert (failure.kind, n) == (kind, requests) and not PRIVATE.search(failure.reason)
    if n > 1:
        assert ask_once(Reply({"error": error}), Reply(BODY)) == (YES, 2)


@pytest.mark.parametrize("error", ["no", {"code": 17, "type": "odd"}, None, [1]])
def test_an_error_of_no_known_kind_is_asked_for_again(ask_once, error):
    assert ask_once(Reply({"error": error}), Reply(BODY)) == (YES, 2)


def test_a_server_that_has_never_answered_is_not_asked_for_long(serve, monkeypatch):
    monkeypatch.setattr(server_client, "LONGEST_START_S", 0.02)
    server = serve(lambda _: error(502))
    generator = make(server, attempts=9)
    failures = generator.answer([prompt()] * 3)
    assert [f.kind for f in failures] == ["transient"] * 3
    assert len(server.requests) < 9 + 2  # some for the first, then one each
    assert all("attempts" not in failure.reason for failure in failures[1:])
    server.reply = in_turn(Reply(BODY), error(502), error(502), Reply(BODY))
    assert generator.answer([prompt()] * 2) == [YES] * 2


def test_a_web_page_that_refuses_a_prompt(ask_once):
    failure, requests = ask_once(Reply(b"<html>plain HTTP was sent to an HTTPS port</html>", 400))
    assert (failure.kind, requests) == ("permanent", 1)
    assert failure.reason.endswith(": a web page; check base_url (http or https, /v1)")


def test_a_length_refused_is_the_prompts_affair(ask_once):
    too_long = Reply({"error": {"param": "max_tokens", "code": "context_length_exceeded"}}, 400)
    assert ask_once(too_long)[0].kind == "permanent"


def test_a_certificate_that_is_not_trusted(tmp_path):
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost",
            "-keyout", key, "-out", certificate, "-days", "1",
        ],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    def refuse(listener):
        with pytest.raises(ssl.SSLError):
            context.wrap_socket(listener.accept()[0], server_side=True)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=refuse, args=[listener])
        thread.start()
        url = f"https://localhost:{listener.getsockname()[1]}/v1"
        [failure] = openai_api.openai(model="m", base_url=url).answer([prompt()])
        thread.join()
    assert failure.kind == "systemic" and "SSL_CERT_FILE" in failure.reason


def test_a_server_that_was_reached_is_tried_again(serve):
    server = serve(in_turn(Reply(BODY)))
    generator = make(server, attempts=3)
    assert generator.answer([prompt()]) == [YES]
    server.__exit__()
    [failure] = generator.answer([prompt()])
    assert failure.kind == "systemic" and failure.reason.endswith("; attempts: 3")
    server.__enter__()


def test_retry_after_is_respected(serve):
    waits = {"Retry-After: 1": 1.0, "Retry-After: 0.4": 0.4, "Retry-After-Ms: 600": 0.6}
    seen = Counter()

    def reply(request):
        seen[request.prompt] += 1
        if seen[request.prompt] > 1:
            return Reply(BODY)
        return error(random.choice([429, 503]), None, tuple(request.prompt.split(": ")))

    server = serve(reply)
    generator = make(server, concurrency=len(waits))
    with ThreadPoolExecutor(len(waits)) as pool:
        outcomes = list(pool.map(generator.answer, [[prompt(header)] for header in waits]))
    assert outcomes == [[YES]] * len(waits)
    for header, wait in waits.items():
        first, second = [one.arrived for one in server.requests if one.prompt == header]
        assert wait <= second - first < wait + 0.9


def test_too_long_a_wait_is_left_to_another_run(ask_once):
    for wait in ("86400", "1e999", "Fri, 01 Jan 2190 00:00:00 GMT"):
        refused = error(429, None, ("Retry-After", wait))
        assert ask_once(refused) == (Failure("HTTP 429 (RateLimitError)"), 1)


def test_a_stopped_run_does_not_retry(serve):
    def reply(_):
        generator.stop()
        return error(500)

    server = serve(reply)
    generator = make(server, attempts=6)
    assert isinstance(generator.answer([prompt()])[0], Failure)
    assert len(server.requests) == 1


def test_a_server_that_is_absent_breaks_off_or_hangs(serve):
    with ChatServer(in_turn()) as gone:
        pass
    assert ask(gone, attempts=6) == Failure(
        "no connection to 127.0.0.1 (ConnectError): is it running there, and is base_url its "
        "address?",
        "systemic",
    )
    server = serve(in_turn(Reply(BODY, cut=True)))
    broken = r"a connection that broke \(\w+\); attempts: 2"
    assert re.fullmatch(broken, ask(server).reason)
    assert len(server.requests) == 2
    server = serve(in_turn(Reply(BODY, after=30)))
    assert ask(server, timeout_s=0.2) == Failure("no reply within 0.2 s; attempts: 2")


def test_reply_without_an_end_is_given_up(serve, monkeypatch):
    monkeypatch.setattr(server_client, "LONGEST_REPLY", 1_000_000)
    failure = ask(serve(in_turn(Reply(b" " * 3_000_000))))
    assert failure.reason.startswith("a connection that broke (ReadError)")

    # A piece every 50 ms, so that no single wait is too long.
    def drip(listener):
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            try:
                for _ in range(100):
                    connection.sendall(b" ")
                    time.sleep(0.05)
            except OSError:
                pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=drip, args=[listener])
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        start = time.monotonic()
        generator = openai_api.openai(model="m", base_url=url, timeout_s=0.5, attempts=1)
        assert generator.answer([prompt()]) == [Failure("no reply within 0.5 s")]
        assert time.monotonic() - start < 3
        thread.join()


def compressed(body, *encodings, level=9):
    for encoding in encodings:
        body = {"gzip": gzip.compress, "deflate": zlib.compress}[encoding](body)
    header = ("Content-Encoding", ", ".join(encodings))
    return Reply(body, headers=(("Content-Type", "application/json"), header))


def test_compressed_replies_are_read(serve):
    body = json.dumps(BODY).encode()
    for encoding in ("gzip", "deflate"):
        server = serve(in_turn(compressed(body, encoding)))
        assert ask(server) == ask(serve(in_turn(Reply(BODY))))
        assert server.requests[0].headers["accept-encoding"] == "identity"
    wrong = Reply(body, headers=(("Content-Encoding", "gzip"),))
    assert "ReadError" in ask(serve(in_turn(wrong)), attempts=1).reason


@pytest.mark.parametrize("encodings", [["gzip"], ["deflate"], ["gzip", "gzip"]])
@pytest.mark.parametrize("status", [200, 500])
def test_a_small_reply_does_not_become_a_large_one(serve, encodings, status):
    bomb = compressed(b" " * 200_000_000, *encodings)._replace(status=status)
    server = serve(in_turn(bomb))
    tracemalloc.start()
    failure = ask(server, attempts=1)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert failure.reason.startswith("a connection that broke (ReadError)")
    assert peak < 3 * server_client.LONGEST_REPLY


def echo(status, code=None):
    """Return all that was sent, in an error's body and headers."""

    def reply(request):
        header = ("X-Echo", f"{request.headers['authorization']} {request.prompt}")
        return error(status, code, header, message=f"{request.headers} {request.body}")

    return reply


LOGGERS = ["openai", "openai._base_client", "openai._legacy_response", "httpx2"]
LOGGERS += [f"httpcore2.{name}" for name in ("connection", "http11", "proxy")]


def test_neither_key_nor_prompt_is_revealed(serve, monkeypatch, caplog):
    monkeypatch.setenv("MY_KEY", KEY)
    replies = [
        *[echo(status) for status in (302, 401, 429, 500)],
        *[echo(400, code) for code in (MARKER, f"x-{MARKER}", MARKER[:5], KEY, f"{KEY}.", KEY[3:])],
        lambda request: Reply({"error": f"{request.headers} {request.body}"}),
        lambda request: Reply(f"{request.headers} {request.prompt}".encode()),
        lambda request: Reply(completion(request.prompt), cut=True),
        lambda request: Reply(completion(request.prompt, request.prompt)),
        lambda request: stream({"error": request.prompt}),
        lambda request: Reply(completion(request.prompt), after=30),
    ]
    caplog.set_level(logging.DEBUG)
    for name in LOGGERS:
        caplog.set_level(logging.DEBUG, logger=name)
    for reply in replies:
        server = serve(reply)
        generator = make(server, api_key_env="MY_KEY", timeout_s=0.5)
        [failure] = generator.answer([prompt(MARKER)])
        # The last but two is a response, with a finish reason that is the prompt's text.
        reason = failure.reason if isinstance(failure, Failure) else failure.finish_reason
        assert "\n" not in reason and not PRIVATE.search(reason.title()), failure
        assert not PRIVATE.search(repr(generator))
        assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"
        assert server.requests[0].prompt == MARKER
    assert not [record for record in caplog.records if record.name.startswith(("openai", "http"))]
    assert not PRIVATE.search(caplog.text)
    # The loggers work for other requests.
    logging.getLogger("openai._base_client").debug("heard")
    assert "heard" in caplog.text


def test_neither_key_nor_prompt_is_logged_with_openai_log(serve):
    server = serve(echo(500))
    code = f"""if True:
        import logging, sys
        logging.basicConfig(level=logging.DEBUG)
        from medalign_utils.generation.openai_api import openai
        from medalign_utils.prompts.templates import Prompt
        generator = openai(model="m", base_url={server.base_url!r}, api_key_env="MY_KEY",
            attempts=2)
        for name in {LOGGERS!r}:
            logging.getLogger(name).setLevel(logging.DEBUG)
        print(generator, generator.answer([Prompt("", "", {MARKER!r})]))
    """
    environment = {**os.environ, "OPENAI_LOG": "debug", "MY_KEY": KEY}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert "HTTP 500" in done.stdout
    assert [request.prompt for request in server.requests] == [MARKER, MARKER]
    assert not PRIVATE.search(done.stdout + done.stderr)


def test_redirect_is_not_followed(serve, ask_once):
    other = serve(in_turn(Reply(BODY)))
    for location in (f"{other.base_url}/chat/completions", "/v1/elsewhere", "http://[", "\xff"):
        for status in (301, 303, 308):
            failure, requests = ask_once(Reply(b"", status, (("Location", location),)))
            assert failure.reason.startswith(f"HTTP {status} (APIStatusError): a redirect")
            assert requests == 1
    assert other.requests == []


def test_a_proxy_is_used_only_for_https_to_another_machine(serve, monkeypatch):
    server, proxy = serve(in_turn(Reply(BODY))), serve(in_turn(Reply(BODY)))
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
    for host in ("127.0.0.1", "localhost"):
        assert ask(server, base_url=f"http://{host}:{server.port}/v1") == YES
    assert len(server.requests) == 2
    assert proxy.requests == []
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    # A proxy, which is not a host that was named, could read plain http.
    failure = ask(server, base_url="http://models.example/v1", attempts=1)
    assert failure.reason.startswith("no connection") and proxy.requests == []
    # With https, the proxy opens a tunnel and sees no request.
    tunnelled = ask(server, base_url="https://models.example/v1", attempts=1, timeout_s=0.5)
    assert isinstance(tunnelled, Failure)
    [tunnel] = proxy.requests
    assert tunnel.target == "models.example:443" and tunnel.body is None


def test_environment_changes_neither_where_nor_as_whom(serve, monkeypatch):
    server, other = serve(in_turn(Reply(BODY))), serve(in_turn(Reply(BODY)))
    for name in ("API_KEY", "ADMIN_KEY", "ORG_ID", "PROJECT_ID", "WEBHOOK_SECRET", "API_VERSION"):
        monkeypatch.setenv(f"OPENAI_{name}", "ambient")
    for name in ("OPENAI_BASE_URL", "AZURE_OPENAI_ENDPOINT"):
        monkeypatch.setenv(name, other.base_url)
    for name in ("API_KEY", "AD_TOKEN"):
        monkeypatch.setenv(f"AZURE_OPENAI_{name}", "ambient")
    monkeypatch.setenv(
        "OPENAI_CUSTOM_HEADERS",
        "Host: ambient.example\nAuthorization: Bearer ambient\napi-key: ambient\nX-A: ambient",
    )
    monkeypatch.setenv("MY_KEY", KEY)
    assert ask(server) == YES  # a local server does not get OPENAI_API_KEY
    assert ask(server, api_key_env="MY_KEY") == YES
    azure = {"base_url": f"http://127.0.0.1:{server.port}/openai", "api_version": "2024-10-21"}
    assert ask(server, model="gpt-4-32k", api_key_env="MY_KEY", **azure) == YES
    plain, with_key, azure = server.requests
    assert other.requests == []
    assert with_key.headers["authorization"] == f"Bearer {KEY}"
    path = "/openai/deployments/gpt-4-32k/chat/completions?api-version=2024-10-21"
    assert (azure.target, azure.prompt) == (path, "Any pain?")
    assert azure.headers["api-key"] == KEY and "authorization" not in azure.headers
    for request in (plain, with_key, azure):
        assert request.headers["host"] == f"127.0.0.1:{server.port}"
        assert "ambient" not in str(request.headers)
        assert not {"openai-organization", "openai-project"} & set(request.headers)


def test_key_comes_from_the_environment(serve, monkeypatch):
    server = serve(in_turn(Reply(BODY)))

    def complaint(**options):
        with pytest.raises(ParamsError) as raised:
            make(server, **options)
        assert raised.value.__suppress_context__ or raised.value.__context__ is None
        assert re.fullmatch(".*", str(raised.value)) and not PRIVATE.search(str(raised.value))
        return str(raised.value)

    assert "MY_KEY" in complaint(api_key_env="MY_KEY")
    assert "OPENAI_API_KEY" in complaint(base_url="https://api.openai.com/v1")
    for key in ("", f"{KEY}\n", f"{KEY} ", f"{KEY}é"):
        monkeypatch.setenv("MY_KEY", key)
        assert "MY_KEY" in complaint(api_key_env="MY_KEY")
    assert "api_key_env" in complaint(api_key_env=KEY)
    assert ask(server) == YES
    assert server.requests[0].headers["authorization"] == "Bearer no-key-needed"
