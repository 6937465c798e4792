"""A widget in plain JavaScript that exchanges messages with the kernel and has no state of its own.

What it shows is in messages only, so a notebook saved with the state of its widgets contains none.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget

_FOLDER = Path(__file__).parent


def read_files(*names: str) -> str:
    """Return files of this folder, such as JavaScript modules, joined to one."""
    return "\n".join((_FOLDER / name).read_text(encoding="utf-8") for name in names)


class Panel(anywidget.AnyWidget):
    """The right side of the page on which a rater judges; `outbox.js` keeps what is not saved."""

    _esm = read_files("outbox.js", "panel.js")
    _css = read_files("panel.css")

    def __init__(self, answer: Callable[[dict[str, Any]], None]) -> None:
        """Give each message of the page to `answer`."""
        super().__init__()
        self.on_msg(lambda _, message, buffers: answer(message))
