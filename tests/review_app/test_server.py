"""The servers of a review: what they answer, what they print, and how they end."""

import asyncio
import http.client
import json
import logging
import os
import re
import signal
import socket
import stat
import subprocess
import tempfile
from pathlib import Path

import pytest
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.websocket import websocket_connect

from medalign_utils.__main__ import main
from medalign_utils.review_app import commands
from medalign_utils.review_app.gate import Gate
from medalign_utils.review_app.server import _WithoutText, make_server
from tests.builders.jupyterlab import ROOT
from tests.builders.review_page import wait_until
from tests.builders.review_server import free_port, review_server, write_project


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    write_project(folder / "project", ("R1", "R2"))
    with review_server(folder / "project", folder / "log", free_port(2)) as served:
        yield served


def ask(port, path="/", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def cookie(served, rater):
    return f"medalign-review-{served.ports[rater]}={served.secrets[rater]}"


@pytest.fixture(scope="module")
def page(served):
    """The page of R1, whose kernel runs."""
    status, text = ask(served.ports["R1"], Cookie=cookie(served, "R1"))
    assert status == 200
    return text


def test_a_link_opens_its_own_raters_page_only(served, page):
    assert "application/vnd.jupyter.widget-view+json" in page
    for rater, other in (("R1", "R2"), ("R2", "R1")):
        port = served.ports[rater]
        assert ask(port)[0] == 403
        stolen = f"medalign-review-{port}={served.secrets[other]}"
        assert ask(port, Cookie=stolen)[0] == 403
        assert ask(port, f"/enter/{served.secrets[other]}")[0] == 403
        assert ask(port, Cookie=cookie(served, rater), Host="evil.example")[0] == 403
        assert ask(port, Cookie=cookie(served, rater), Origin="http://evil.example")[0] == 403
    for path in ("/api/contents", "/voila/tree", "/voila/files/10_review_responses.ipynb"):
        assert ask(served.ports["R1"], path, Cookie=cookie(served, "R1"))[0] == 403
    for path in ("/voila/static/..%2f..%2fapp.py", "/voila/templates/..%2f..%2fetc/passwd"):
        assert ask(served.ports["R1"], path, Cookie=cookie(served, "R1"))[0] == 403


def test_pages_have_neither_the_notebooks_text_nor_secrets(served, page):
    assert "open_review" not in page and "key.json" not in page
    assert not any(secret in page for secret in served.secrets.values())
    port = served.ports["R1"]
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/voila/static/voila.js", headers={"Cookie": cookie(served, "R1")})
    headers = connection.getresponse().headers
    assert headers["X-Content-Type-Options"] == "nosniff" and headers["X-Frame-Options"] == "DENY"
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]


def channels(served, page, **headers):
    kernel = re.search(r'"kernelId": "([\w-]+)"', page)[1]
    address = f"ws://127.0.0.1:{served.ports['R1']}/api/kernels/{kernel}/channels"
    return HTTPRequest(address, headers=headers, request_timeout=20)


def test_a_websocket_needs_the_raters_cookie_and_origin(served, page):
    own = {"Cookie": cookie(served, "R1"), "Origin": f"http://127.0.0.1:{served.ports['R1']}"}

    async def opens(**headers):
        try:
            (await websocket_connect(channels(served, page, **headers))).close()
        except HTTPClientError as error:
            return error.code
        return 101

    async def answers():
        return [
            await opens(**own),
            await opens(Cookie=own["Cookie"]),
            await opens(Cookie=own["Cookie"], Origin="http://evil.example"),
            await opens(Origin=own["Origin"]),
            await opens(Cookie=cookie(served, "R2"), Origin=own["Origin"]),
            await opens(**own, Host="evil.example"),
        ]

    assert asyncio.run(answers()) == [101, 403, 403, 403, 403, 403]


def test_a_page_cannot_run_code_in_its_kernel(served, page, tmp_path):
    header = {"msg_id": "1", "msg_type": "execute_request", "username": "", "session": "1"}
    code = f"open({str(tmp_path / 'made')!r}, 'w').close()"
    content = {"code": code, "silent": False, "store_history": False, "user_expressions": {}}
    execute = {"header": header | {"version": "5.3"}, "parent_header": {}, "metadata": {}}
    execute |= {"content": content, "channel": "shell", "buffers": []}
    info = execute | {"header": header | {"msg_id": "2", "msg_type": "kernel_info_request"}}

    async def send():
        origin = f"http://127.0.0.1:{served.ports['R1']}"
        connection = await websocket_connect(
            channels(served, page, Cookie=cookie(served, "R1"), Origin=origin)
        )
        await connection.write_message(json.dumps(execute))
        await connection.write_message(json.dumps(info | {"content": {}}))
        while message := await asyncio.wait_for(connection.read_message(), 20):
            if isinstance(message, str) and "kernel_info_reply" in message:
                break  # so what came before was handled
        connection.close()

    asyncio.run(send())
    assert not (tmp_path / "made").exists()


def test_a_kernel_sees_no_secret_and_uses_no_port(served, page):
    (kernel,) = served.kernels("R1")
    for process in (kernel, *served.servers()):
        for name in ("environ", "cmdline"):
            text = Path(f"/proc/{process}/{name}").read_bytes().decode()
            assert not any(secret in text for secret in served.secrets.values())
    command = Path(f"/proc/{kernel}/cmdline").read_bytes().decode().split("\0")
    file = Path(command[command.index("-f") + 1])
    assert json.loads(file.read_text())["transport"] == "ipc"
    assert stat.S_IMODE(file.parents[1].stat().st_mode) == 0o700


def test_nothing_of_a_record_or_a_link_is_printed(served, page):
    printed = served.log
    for line in served.links.values():
        printed = printed.replace(line, "")
    assert not any(secret in printed for secret in served.secrets.values())
    assert "reatinine" not in printed and "Traceback" not in printed and "review-" not in printed


def test_an_error_is_named_without_its_text():
    record = logging.LogRecord("voila", logging.ERROR, "", 1, "Mrs Smith %s", ("x",), None)
    assert "Smith" not in _WithoutText().format(record)
    record.exc_info = (ValueError, ValueError("Mrs Smith"), None)
    assert "ValueError in voila" in _WithoutText().format(record)
    assert "Smith" not in _WithoutText().format(record)


def test_every_handler_of_voila_is_known(tmp_path, monkeypatch):
    """A new version's handler is to be judged before it can be reached."""
    write_project(tmp_path / "project", ("R1",))
    monkeypatch.chdir(tmp_path / "project")
    with socket.socket() as bound, tempfile.TemporaryDirectory() as folder:
        bound.bind(("127.0.0.1", 0))
        server = make_server(bound, "secret", folder)
        monkeypatch.setattr(server, "listen", lambda: None)
        before = signal.getsignal(signal.SIGTERM)
        server.start()
        signal.signal(signal.SIGTERM, before)
        rules = [rule for host in server.app.default_router.rules for rule in _rules(host)]
    names = {rule.target.__name__ for rule in rules}
    reached = {"KernelHandler", "VoilaKernelWebsocketHandler", "TemplateStaticFileHandler"}
    reached |= {"MultiStaticFileHandler", "ThemesHandler", "VoilaShutdownKernelHandler"}
    reached |= {"FileFindHandler", "TornadoVoilaHandler"}
    assert names == reached | {"LogoutHandler", "AllowListFileHandler"}
    assert Gate(server.app, "secret", 1).cookie == "medalign-review-1"


def _rules(rule):
    return getattr(rule.target, "rules", [])


def folder_of(server):
    """The folder of a server's sockets."""
    return Path(Path(f"/proc/{server}/cmdline").read_bytes().split(b"\0")[-2].decode())


@pytest.mark.slow
def test_the_end_of_the_program_in_any_way_ends_all_processes(tmp_path):
    write_project(tmp_path / "project", ("R1",))
    with review_server(tmp_path / "project", tmp_path / "log", free_port()) as served:
        links = served.links
        ask(served.ports["R1"], Cookie=cookie(served, "R1"))
        assert served.kernels()
        folders = [folder_of(server) for server in served.servers()]
        served.process.kill()
        wait_until(lambda: not served.servers() and not served.kernels(), 30)
    # The links stay the same; Ctrl-C, too, ends all.
    with review_server(tmp_path / "project", tmp_path / "log", served.ports["R1"]) as served:
        assert served.links == links
        ask(served.ports["R1"], Cookie=cookie(served, "R1"))
        assert served.kernels()
        folders += [folder_of(server) for server in served.servers()]
        served.process.send_signal(signal.SIGINT)
        assert served.process.wait(30) == 0
        wait_until(lambda: not served.servers() and not served.kernels(), 30)
        assert not any(folder.exists() for folder in folders)
        assert "Traceback" not in served.log


@pytest.mark.slow
def test_a_killed_server_starts_again_and_a_port_in_use_moves_one_rater(tmp_path):
    write_project(tmp_path / "project", ("R1", "R2"))
    first = free_port(3)
    with socket.socket() as other:
        other.bind(("127.0.0.1", first))
        other.listen()
        with review_server(tmp_path / "project", tmp_path / "log", first) as served:
            assert served.ports == {"R1": first + 2, "R2": first + 1}
            (server,) = served.servers("R2")
            ask(served.ports["R2"], Cookie=cookie(served, "R2"))
            (kernel,) = served.kernels("R2")
            os.kill(server, signal.SIGKILL)
            wait_until(lambda: set(served.servers("R2")) - {server}, 30)
            status, _ = ask(served.ports["R2"], Cookie=cookie(served, "R2"))
            assert status == 200
            wait_until(lambda: not Path(f"/proc/{kernel}").exists(), 30)
            assert "R2: the server ended" in served.log


def test_without_a_plan_three_raters_are_planned(tmp_path, monkeypatch, capsys):
    folder = write_project(tmp_path / "project", ("R1",))
    (folder / "plan.json").unlink()
    monkeypatch.chdir(tmp_path / "project")
    planned = []
    monkeypatch.setattr(commands, "_plan", lambda args: planned.append(vars(args)))

    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("medalign_utils.review_app.server.serving", stopped)
    assert main(["review", "serve", "params/mine.yaml"]) == 0
    assert [(args["experiment"], args["raters"]) for args in planned] == [("params/mine.yaml", 3)]
    assert "No review of mine is planned yet: planning one for 3 raters." in capsys.readouterr().out


def test_make_review_serves_an_experiment():
    command = ["make", "-n", "-o", ".venv/installed", "review", "EXPERIMENT=params/demo.yaml"]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert 'medalign_utils review serve "params/demo.yaml"' in printed and "--port" not in printed
    printed = subprocess.run(
        [*command, "PORT=9000"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert '--port "9000"' in printed
