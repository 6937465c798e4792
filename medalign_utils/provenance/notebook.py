"""The code and the parameters of a notebook, read from its file."""

import ast
import json
from pathlib import Path
from typing import Any

from medalign_utils.errors import ParamsError
from medalign_utils.paths import resolve


def notebook_code(notebook: Path) -> str:
    """Return the code of a notebook's cells."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "code")


def notebook_parameters(notebook: str | Path) -> dict[str, Any]:
    """Return the names and defaults in a notebook's parameters cell, in order.

    >>> list(notebook_parameters("notebooks/01_explore_release.ipynb"))
    ['experiment', 'save', 'release', 'columns', 'limit', 'annotator']
    """
    path = resolve(notebook)
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    tagged = [c for c in cells if "parameters" in c["metadata"].get("tags", [])]
    if len(tagged) != 1:
        raise ParamsError(f"{path.name}: {len(tagged)} cells tagged `parameters`, expected 1")
    code = "".join(tagged[0]["source"])
    try:
        return {
            statement.targets[0].id: ast.literal_eval(statement.value)
            for statement in ast.parse(code).body
        }
    except (AttributeError, ValueError):
        raise ParamsError(
            f"{path.name}: the parameters cell may only assign literals to names, found {code!r}"
        ) from None
