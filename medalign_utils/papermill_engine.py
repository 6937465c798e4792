"""The engine of `papermill --engine ipc`, which starts the kernels of batch runs."""

import signal
import tempfile
import threading
from typing import Any

from papermill.engines import NBClientEngine
from traitlets.config import Config

# Seconds that a kernel has to end after a signal, so that requests to a server can finish.
SHUTDOWN_SECONDS = 300.0


class IpcEngine(NBClientEngine):
    """Papermill's default engine, but kernels listen on sockets in a folder private to the user.

    By default a kernel listens on unencrypted TCP ports of the loopback device, where anyone with
    an account on the machine can read a notebook's outputs.

    SIGINT, SIGTERM and SIGHUP interrupt the kernel, and wait until its cell has ended.
    """

    transport = "ipc"

    @classmethod
    def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **kwargs: Any) -> Any:
        """Execute a notebook as papermill does."""
        is_main = threading.current_thread() is threading.main_thread()
        for number in (signal.SIGTERM, signal.SIGHUP):
            if is_main and signal.getsignal(number) is signal.SIG_DFL:  # not under nohup
                signal.signal(number, signal.default_int_handler)
        # One folder per kernel: kernels that start together in one folder pick the same names.
        with tempfile.TemporaryDirectory(prefix="kernel-") as folder:
            manager = {"transport": cls.transport, "ip": f"{folder}/socket"}
            manager["shutdown_wait_time"] = SHUTDOWN_SECONDS
            config = Config({"KernelManager": manager})
            return super().execute_managed_notebook(nb_man, kernel_name, config=config, **kwargs)
