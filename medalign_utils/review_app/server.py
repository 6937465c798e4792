"""The servers of a review: for each rater, notebook 10 as a page, behind a `gate`.

Each rater has a process of their own, on a port of 127.0.0.1, whose kernels use sockets in a folder
that only the user can open. A page reads its rater's items and journal, and cannot send code to its
kernel, whose environment has no secret of a link. The servers of all raters run under one account,
though: whoever can run programs under it can also read `key.json` and `secrets.json`.
"""

import contextlib
import http.client
import logging
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from traitlets.config import Config
from voila.app import Voila

from medalign_utils import paths
from medalign_utils.errors import MedAlignError
from medalign_utils.review.folder import (
    read_plan,
    read_secrets,
    review_folder,
    secrets_file,
    write_json,
)
from medalign_utils.review_app.gate import Gate

NOTEBOOK = "notebooks/10_review_responses.ipynb"
_ADDRESS = "127.0.0.1"
_EXTENSIONS = [
    "@voila-dashboards/widgets-manager8",
    "@jupyter-widgets/jupyterlab-manager",
    "anywidget",
]
# The tag of cells that are for readers of the notebook only.
_IN_LAB = "only-in-jupyterlab"
_START_SECONDS = 60
# After this without a tab, a kernel ends. A page reloaded or opened again starts another.
_IDLE_SECONDS = 120


class RaterServer(Voila):
    """Voila with a gate in front of its application."""

    secret = ""
    socket: socket.socket

    def listen(self) -> None:
        """Serve until the process that started this one ends."""
        self.socket.setblocking(False)
        HTTPServer(Gate(self.app, self.secret, self.port)).add_socket(self.socket)
        self.ioloop = IOLoop.current()
        threading.Thread(target=self._watch, daemon=True).start()
        try:
            self.ioloop.start()
        finally:
            self.stop()

    def _watch(self) -> None:
        """Stop when standard input ends, as it does in whatever way its writer ends."""
        while sys.stdin.buffer.raw.read(1024):
            pass
        self.ioloop.add_callback(self.ioloop.stop)


class _WithoutText(logging.Formatter):
    """Names an error, but leaves out its text, which may quote a record."""

    def format(self, record: logging.LogRecord) -> str:
        error = record.exc_info[1] if record.exc_info else record.msg
        kind = getattr(error, "ename", "") or type(error).__name__
        what = kind if isinstance(error, BaseException) else "an error"
        rater = os.environ.get("MEDALIGN_RATER", "")
        why = "its text is left out, since it may quote a record"
        return f"{rater}: {what} in {record.name}; {why}"


def serve_rater(descriptor: int, folder: str) -> None:
    """Serve one rater's page; the link's secret comes first on standard input, then its end.

    The environment names the review and the rater, for the kernels, which do not see the secret.

    Args:
        descriptor: of a socket that listens on the rater's port.
        folder: for the sockets of kernels; deleted at the end if empty.
    """
    secret = sys.stdin.buffer.raw.readline().decode().strip()
    _log_without_text()
    try:
        make_server(socket.socket(fileno=descriptor), secret, folder).start()
    except Exception:
        logging.getLogger("the server").exception("")
        sys.exit(1)
    finally:
        with contextlib.suppress(OSError):  # `serving` deletes it, unless it was killed
            os.rmdir(folder)


def make_server(bound: socket.socket, secret: str, folder: str) -> RaterServer:
    """Return a rater's server, not yet started.

    Args:
        bound: a socket that listens on the rater's port.
        secret: of the rater's link.
        folder: for the sockets of kernels.
    """
    config = Config()
    config.KernelManager.transport = "ipc"
    config.MappingKernelManager.cull_idle_timeout = _IDLE_SECONDS
    config.MappingKernelManager.cull_interval = 30
    config.VoilaConfiguration.extension_allowlist = _EXTENSIONS
    config.VoilaConfiguration.file_allowlist = []
    config.VoilaConfiguration.show_tracebacks = False
    config.TagRemovePreprocessor.enabled = True
    config.TagRemovePreprocessor.remove_cell_tags = {_IN_LAB}
    server = RaterServer(
        config=config,
        notebook_path=str(paths.resolve(NOTEBOOK)),
        port=bound.getsockname()[1],
        connection_dir_root=folder,
        config_file_paths=[],  # not the user's
        token="",
        auto_token=False,
        open_browser=False,
        log_level="ERROR",
        tornado_settings={"log_function": lambda _: None},
    )
    server.secret, server.socket = secret, bound
    server.initialize([])
    for handler in server.log.handlers:
        server.log.removeHandler(handler)
    server.log.propagate = True
    return server


def _log_without_text() -> None:
    """Print names of errors only; whatever else this process and its kernels print is dropped."""
    handler = logging.StreamHandler(os.fdopen(os.dup(2), "w"))  # which kernels do not inherit
    handler.setFormatter(_WithoutText())
    handler.setLevel(logging.ERROR)
    logging.basicConfig(handlers=[handler])
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(nowhere, descriptor)


class RunningServer:
    """A rater's server, as a process that ends with this one."""

    def __init__(
        self, experiment: str, rater: str, secret: str, bound: socket.socket, folder: str
    ) -> None:
        """Remember what to serve, on a listening socket, with a folder for others; see `start`."""
        self.experiment, self.rater = experiment, rater
        self.port = bound.getsockname()[1]
        self._secret, self._socket, self._folder = secret, bound, folder
        self._process: subprocess.Popen | None = None

    @property
    def link(self) -> str:
        """The rater's link, which opens this rater's page and no other."""
        return f"http://{_ADDRESS}:{self.port}/enter/{self._secret}"

    def start(self) -> None:
        """Start the process."""
        descriptor = self._socket.fileno()
        command = [sys.executable, "-m", "medalign_utils", "review", "rater"]
        command += [str(descriptor), self._folder]
        names = {"MEDALIGN_REVIEW": self.experiment, "MEDALIGN_RATER": self.rater}
        # Its own session, so that Ctrl-C reaches it as the end of its input, after this process.
        options: dict[str, Any] = {"start_new_session": True, "cwd": paths.project_root()}
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            env=os.environ | names,
            pass_fds=[descriptor],
            **options,
        )
        with contextlib.suppress(BrokenPipeError):  # `wait` says that it ended
            self._process.stdin.write(f"{self._secret}\n".encode())
            self._process.stdin.flush()

    def wait(self) -> None:
        """Wait until the server answers; MedAlignError if it ends or takes a minute."""
        end = time.monotonic() + _START_SECONDS
        while self.is_running and time.monotonic() < end:
            connection = http.client.HTTPConnection(_ADDRESS, self.port, timeout=1)
            with contextlib.suppress(OSError), contextlib.closing(connection):
                connection.request("GET", "/")
                if connection.getresponse().status == http.HTTPStatus.FORBIDDEN:
                    return
            time.sleep(0.1)
        raise MedAlignError(f"the server of {self.rater} did not start on port {self.port}")

    @property
    def is_running(self) -> bool:
        """Whether the process exists."""
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """End the process and its kernels; actions are saved as they are made, so none is lost."""
        if self._process is None:
            return
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@contextlib.contextmanager
def serving(experiment: str, first_port: int) -> Iterator[list[RunningServer]]:
    """Serve all raters of a review in a ``with`` block, from a port on; the links stay the same.

    Raises:
        MedAlignError: there is no plan, or a server does not start.
    """
    known = secrets_of(review_folder(experiment))
    with contextlib.ExitStack() as stack:
        # Not in TMPDIR, which may be long: the path of a socket has 103 characters at most.
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="review-", dir="/tmp"))
        sockets = [stack.enter_context(bound) for bound in _bind(first_port, len(known))]
        pairs = zip(known.items(), sockets, strict=True)
        servers = [RunningServer(experiment, *pair, bound, folder) for pair, bound in pairs]
        for server in servers:
            stack.callback(server.stop)
            server.start()
        for server in servers:
            server.wait()
        yield servers


def secrets_of(folder: Path) -> dict[str, str]:
    """Return the raters' secrets, after making those that are missing."""
    raters = read_plan(folder)["raters"]
    known = read_secrets(folder) if secrets_file(folder).is_file() else {}
    if missing := [rater for rater in raters if not known.get(rater)]:
        known |= {rater: secrets.token_urlsafe(32) for rater in missing}
        write_json(known, secrets_file(folder))
    return {rater: known[rater] for rater in raters}


def keep_serving(servers: list[RunningServer]) -> None:
    """Wait until Ctrl-C, and start again a server that ends, on its port."""
    while True:
        time.sleep(1)
        for server in servers:
            if not server.is_running:
                print(f"{server.rater}: the server ended; starting it again", file=sys.stderr)
                server.stop()
                server.start()
                try:
                    server.wait()
                except MedAlignError as error:
                    print(error, file=sys.stderr)


def _bind(first: int, n: int) -> list[socket.socket]:
    """Return n sockets that listen on ports from the first on, whoever answers later.

    A port in use moves one rater to a port after the n, so that the links of others stay the same.
    """
    free = iter(range(first + n, 65536))
    bound = []
    for wanted in range(first, first + n):
        port: int | None = wanted
        while port is not None:
            own = socket.socket()
            own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                own.bind((_ADDRESS, port))
                own.listen(128)
            except (OSError, OverflowError):
                own.close()
                port = next(free, None)
            else:
                bound.append(own)
                break
        else:
            raise MedAlignError(f"no {n} free ports from {first} on")
    return bound
