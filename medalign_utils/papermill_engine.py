"""How papermill starts the kernels of batch runs: `papermill --engine ipc`."""

import tempfile
from typing import Any

from papermill.engines import NBClientEngine
from traitlets.config import Config


class IpcEngine(NBClientEngine):
    """Papermill's own engine, with kernels on sockets in a folder that only their owner may enter.

    By default a kernel listens on TCP ports of the loopback device, in plain text, and whoever has
    an account on the machine can connect to them and read what a notebook shows.
    """

    transport = "ipc"

    @classmethod
    def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **kwargs: Any) -> Any:
        """Execute a notebook as papermill does."""
        # A folder for each: two kernels that start at once in one would take the same names.
        with tempfile.TemporaryDirectory(prefix="kernel-") as folder:
            manager = {"transport": cls.transport, "ip": f"{folder}/socket"}
            config = Config({"KernelManager": manager})
            return super().execute_managed_notebook(nb_man, kernel_name, config=config, **kwargs)
