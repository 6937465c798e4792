"""Starts `review serve` for a small review, and says which processes it consists of."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import yaml

from tests.builders.jupyterlab import ROOT
from tests.builders.review_folder import EXPERIMENT, write_review
from tests.builders.review_page import NOTEBOOK

_LINK = re.compile(r"^(\w+)  (http://127\.0\.0\.1:(\d+)/enter/(\S+))$", re.M)


def write_project(project: Path, raters: tuple[str, ...]) -> Path:
    """Write a project with a release and a review of it; return the review's folder."""
    for folder in ("notebooks", "params"):
        (project / folder).mkdir(parents=True)
    for name in ("Snakefile", f"notebooks/{NOTEBOOK}.ipynb"):
        (project / name).write_bytes((ROOT / name).read_bytes())
    for name in ("demo", "paper"):
        (project / f"params/{name}.yaml").write_bytes((ROOT / f"params/{name}.yaml").read_bytes())
    experiment = {"base": "paper", "release": "data/demo", "systems": ["gpt4-32k"]}
    experiment["counterfactual_systems"] = []
    (project / f"params/{EXPERIMENT}.yaml").write_text(yaml.safe_dump(experiment))
    return write_review(project, raters)


def free_port(n: int = 1) -> int:
    """Return the first of n free ports in a row."""
    for first in range(20000 + os.getpid() % 10000, 65000, 7):
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for port in range(first, first + n):
                stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return first
    raise AssertionError("no free ports")


class Served:
    """A running `review serve`."""

    def __init__(self, project: Path, process: subprocess.Popen, log: Path) -> None:
        self.project, self.process, self._log = project, process, log

    @property
    def log(self) -> str:
        """All that it printed."""
        return self._log.read_text(encoding="utf-8")

    @property
    def links(self) -> dict[str, str]:
        return {rater: link for rater, link, _, _ in _LINK.findall(self.log)}

    @property
    def ports(self) -> dict[str, int]:
        return {rater: int(port) for rater, _, port, _ in _LINK.findall(self.log)}

    @property
    def secrets(self) -> dict[str, str]:
        return {rater: secret for rater, _, _, secret in _LINK.findall(self.log)}

    def servers(self, rater: str = "") -> list[int]:
        """Return the processes of raters' servers."""
        return self._processes(b"review\0rater\0", rater)

    def kernels(self, rater: str = "") -> list[int]:
        """Return the processes of kernels."""
        return self._processes(b"ipykernel_launcher", rater)

    def _processes(self, command: bytes, rater: str) -> list[int]:
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                environment = (process / "environ").read_bytes().split(b"\0")
                is_ours = f"MEDALIGN_TEST={self._log}".encode() in environment
                is_wanted = not rater or f"MEDALIGN_RATER={rater}".encode() in environment
                if is_ours and is_wanted and command in (process / "cmdline").read_bytes():
                    found.append(int(process.name))
        return found


@contextlib.contextmanager
def review_server(project: Path, log: Path, port: int) -> Iterator[Served]:
    """Serve a project's review until the ``with`` block ends."""
    command = [sys.executable, "-m", "medalign_utils", "review", "serve"]
    command += [f"params/{EXPERIMENT}.yaml", "--port", str(port)]
    names = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "MEDALIGN_TEST": str(log)}
    with log.open("w") as output:
        process = subprocess.Popen(
            command, cwd=project, env=os.environ | names, stdout=output, stderr=subprocess.STDOUT
        )
    served = Served(project, process, log)
    try:
        end = time.monotonic() + 90
        while "Ctrl-C" not in served.log:
            assert process.poll() is None and time.monotonic() < end, served.log
            time.sleep(0.1)
        yield served
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
