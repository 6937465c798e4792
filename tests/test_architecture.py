"""Imports follow the order of floors in docs/architecture.md, and the entrance works."""

import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import medalign_utils as ma

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "medalign_utils"
ROOMS = {
    path.stem
    for path in PACKAGE.iterdir()
    if path.suffix == ".py" or (path / "__init__.py").is_file()
} - {"__init__"}


def floors() -> list[list[str]]:
    """Return the floors from top to bottom, each with its rooms."""
    page = (ROOT / "docs/architecture.md").read_text("utf-8")
    block = re.search(r"```floors\n(.*?)```", page, re.DOTALL)[1]
    return [line.partition("#")[0].split() for line in block.splitlines()]


def imports_of(file: Path) -> set[str]:
    """Return the rooms that a module imports from, also inside functions."""
    rooms = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            rooms |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            rooms |= {f"{node.module}.{alias.name}" for alias in node.names}
    parts = [name.split(".") for name in rooms]
    return {p[1] for p in parts if p[0] == "medalign_utils" and len(p) > 1} & ROOMS


def test_each_room_is_on_one_floor():
    listed = [room for floor in floors() for room in floor]
    assert sorted(listed) == sorted(ROOMS)


def test_imports_only_run_down_the_floors():
    level = {room: i for i, floor in enumerate(reversed(floors())) for room in floor}
    upwards = []
    for file in PACKAGE.rglob("*.py"):
        room = file.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if room == "__init__":  # the entrance loads names when they are used
            continue
        upwards += [
            f"{file.relative_to(ROOT)} imports {other}"
            for other in imports_of(file)
            if other != room and level[other] >= level[room]
        ]
    assert not upwards


def test_no_circles_within_a_room():
    modules = {".".join(f.with_suffix("").parts[f.parts.index("medalign_utils"):]): f
               for f in PACKAGE.rglob("*.py") if f.name != "__init__.py"}  # fmt: skip
    arrows = {}
    for name, file in modules.items():
        tree = ast.parse(file.read_text("utf-8"))
        nodes = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        targets = {n.module for n in nodes} | {
            f"{n.module}.{a.name}" for n in nodes for a in n.names
        }
        arrows[name[name.index("medalign_utils") :]] = targets & modules.keys()
    done, path = set(), []

    def visit(module):
        assert module not in path, f"circle: {' -> '.join([*path, module])}"
        if module not in done:
            path.append(module)
            for other in arrows[module]:
                visit(other)
            done.add(path.pop())

    for module in arrows:
        visit(module)


def test_the_root_is_small_and_each_room_has_a_sentence():
    assert len(list(PACKAGE.glob("*.py"))) <= 10
    folders = [PACKAGE / room for room in ROOMS if (PACKAGE / room).is_dir()]
    assert len(folders) <= 18
    for folder in folders:
        assert ast.get_docstring(ast.parse((folder / "__init__.py").read_text("utf-8")))


@pytest.mark.parametrize("name", sorted(ma._LAZY))
def test_the_entrance_offers_documented_names(name):
    offered = getattr(ma, name)
    assert len(inspect.getdoc(offered).split()) > 8
    assert name in dir(ma)


def test_the_entrance_names_an_unknown_attribute():
    with pytest.raises(AttributeError, match="no attribute 'socre'"):
        _ = ma.socre


def test_importing_the_package_is_quick_and_loads_no_model_library():
    code = """if True:
        import sys, time
        start = time.perf_counter()
        import medalign_utils as ma
        assert time.perf_counter() - start < 1
        [getattr(ma, name) for name in ma._LAZY]
        heavy = {"torch", "transformers", "comet", "bert_score", "bm25s", "openai", "httpx2"}
        heavy &= set(sys.modules)
        assert not heavy, heavy
    """
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
