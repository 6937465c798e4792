"""How papermill starts the kernels of batch runs: `papermill --engine ipc`."""

from typing import Any

from papermill.engines import NBClientEngine
from traitlets.config import Config


class IpcEngine(NBClientEngine):
    """Papermill's own engine, with kernels on sockets of the file system.

    By default a kernel listens on TCP ports of the loopback device, in plain text, and whoever has
    an account on the machine can connect to them and read what a notebook shows. Sockets have an
    owner; where there are none (Windows), the default has to do.

    >>> IpcEngine.transport
    'ipc'
    """

    transport = "ipc"

    @classmethod
    def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **kwargs: Any) -> Any:
        """Execute a notebook as papermill does."""
        config = Config({"KernelManager": {"transport": cls.transport}})
        return super().execute_managed_notebook(nb_man, kernel_name, config=config, **kwargs)
