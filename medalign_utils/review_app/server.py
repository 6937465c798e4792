"""The servers of a review: for each rater, notebook 10 as a page, behind a `gate`.

Each rater has a process of their own, on a port of 127.0.0.1, whose kernels use sockets in a folder
that only the user can open. A page reads its rater's items and journal. The servers of all raters
run under one account, though: whoever can run programs under it can also read `key.json` and
`secrets.json`.
"""

import contextlib
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
from medalign_utils.review_app.gate import HEADERS, Gate

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
# Of a closed tab, after which its kernel ends. Reloading a page starts another.
_IDLE_SECONDS = 120


class RaterServer(Voila):
    """Voila with a gate in front of its application."""

    secret = ""

    def listen(self) -> None:
        """Serve until the process that started this one ends."""
        gate = Gate(self.app, self.secret, self.port)
        gate.listen(_ADDRESS)
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


def serve_rater(port: int) -> None:
    """Serve one rater's page; the link's secret comes first on standard input, then its end.

    The environment names the review and the rater, for the kernels, which do not see the secret.
    """
    secret = sys.stdin.buffer.raw.readline().decode().strip()
    with tempfile.TemporaryDirectory(prefix="review-") as folder:
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
            port=port,
            connection_dir_root=folder,
            config_file_paths=[],  # not the user's
            token="",
            auto_token=False,
            open_browser=False,
            log_level="ERROR",
            tornado_settings={"headers": HEADERS, "log_function": lambda _: None},
        )
        server.secret = secret
        server.initialize([])
        server.start()


class RunningServer:
    """A rater's server, as a process that ends with this one."""

    def __init__(self, experiment: str, rater: str, secret: str, port: int) -> None:
        """Remember what to serve; see `start`."""
        self.experiment, self.rater, self.port = experiment, rater, port
        self._secret = secret
        self._process: subprocess.Popen | None = None

    @property
    def link(self) -> str:
        """The rater's link, which opens this rater's page and no other."""
        return f"http://{_ADDRESS}:{self.port}/enter/{self._secret}"

    def start(self) -> None:
        """Start the process."""
        command = [sys.executable, "-m", "medalign_utils", "review", "rater", str(self.port)]
        names = {"MEDALIGN_REVIEW": self.experiment, "MEDALIGN_RATER": self.rater}
        # Its own session, so that Ctrl-C reaches it as the end of its input, after this process.
        options: dict[str, Any] = {"start_new_session": True, "cwd": paths.project_root()}
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, env=os.environ | names, **options
        )
        self._process.stdin.write(f"{self._secret}\n".encode())
        self._process.stdin.flush()

    def wait(self) -> None:
        """Wait until the server answers; MedAlignError if it ends or takes a minute."""
        for _ in range(_START_SECONDS * 10):
            with contextlib.suppress(OSError), socket.create_connection((_ADDRESS, self.port), 1):
                return
            if not self.is_running:
                break
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
    folder = review_folder(experiment)
    known = secrets_of(folder)
    ports = _free_ports(first_port)
    servers = [RunningServer(experiment, rater, known[rater], next(ports)) for rater in known]
    try:
        for server in servers:
            server.start()
        for server in servers:
            server.wait()
        yield servers
    finally:
        for server in servers:
            server.stop()


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
                server.start()
                server.wait()


def _free_ports(first: int) -> Iterator[int]:
    for port in range(first, 65536):
        with socket.socket() as free:
            free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                free.bind((_ADDRESS, port))
            except OSError:
                continue
        yield port
    raise MedAlignError(f"no free port from {first} on")
