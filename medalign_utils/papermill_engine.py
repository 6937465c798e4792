"""The engine of `papermill --engine ipc`, which starts the kernels of batch runs."""

import tempfile
from typing import Any

from papermill.engines import NBClientEngine
from traitlets.config import Config


class IpcEngine(NBClientEngine):
    """Papermill's default engine, but kernels listen on sockets in a folder private to the user.

    By default a kernel listens on unencrypted TCP ports of the loopback device, where anyone with
    an account on the machine can read a notebook's outputs.
    """

    transport = "ipc"

    @classmethod
    def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **kwargs: Any) -> Any:
        """Execute a notebook as papermill does."""
        # One folder per kernel: kernels that start together in one folder pick the same names.
        with tempfile.TemporaryDirectory(prefix="kernel-") as folder:
            manager = {"transport": cls.transport, "ip": f"{folder}/socket"}
            config = Config({"KernelManager": manager})
            return super().execute_managed_notebook(nb_man, kernel_name, config=config, **kwargs)
