"""A hash of the code that a notebook's results depend on.

A notebook depends on the modules that it imports, whether directly, inside functions, through other
modules, or as `ma.<name>`, which the package loads on first use. Data files in the folders of these
modules count too; docstrings, comments and layout do not.
"""

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

PACKAGE = "medalign_utils"


def code_hash(code: str, root: Path = Path()) -> str:
    """Return a SHA-256 of the code and of everything in the package that it depends on."""
    files = closure(code, root)
    content = [ast.dump(ast.parse(code)), *(f"{f.name} {_parse(f.read_bytes())[0]}" for f in files)]
    for folder in sorted({file.parent for file in files}):
        data = sorted(f for f in folder.iterdir() if f.is_file() and f.suffix != ".py")
        content += [f"{f.name} {hashlib.sha256(f.read_bytes()).hexdigest()}" for f in data]
    return hashlib.sha256("\n".join(content).encode()).hexdigest()


def closure(code: str, root: Path = Path()) -> list[Path]:
    """Return the files of the modules that the code depends on, sorted."""
    entrance = root / PACKAGE / "__init__.py"
    found: set[Path] = set()
    names = set(_imports(ast.parse(code), _lazy(entrance)))
    while names:
        parts = names.pop().split(".")
        # In `from a.b import c`, c is a module or a name in a.b; `a` and `a.b` are imported too.
        for i in range(1, len(parts) + 1):
            path = root.joinpath(*parts[:i])
            file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
            if file.is_file() and file not in found:
                found.add(file)
                if file != entrance:  # its imports are lazy
                    names |= set(_parse(file.read_bytes())[1])
    return sorted(found)


def _imports(tree: ast.AST, lazy: dict[str, str]) -> Iterator[str]:
    """Yield the dotted names that code imports from the package or reaches through `ma`."""
    aliases = {PACKAGE}
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
            aliases |= {alias.asname for alias in node.names if alias.name == PACKAGE}
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            first = name.removeprefix(f"{PACKAGE}.")
            if name.split(".")[0] == PACKAGE:
                yield f"{lazy[first]}.{first}" if first in lazy else name
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.value.id in aliases and node.attr in lazy:
                yield lazy[node.attr]


@cache
def _parse(code: bytes) -> tuple[str, tuple[str, ...]]:
    """Return a module's syntax tree without docstrings, and the names that it imports."""
    tree = ast.parse(code)
    for node in ast.walk(tree):
        documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        if isinstance(node, documented) and ast.get_docstring(node) is not None:
            del node.body[0]
    return ast.dump(tree), tuple(_imports(tree, {}))


def _lazy(entrance: Path) -> dict[str, str]:
    """Return name -> module for the names that the package loads on first use."""
    for node in ast.parse(entrance.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_LAZY":
            return ast.literal_eval(node.value)
    return {}
