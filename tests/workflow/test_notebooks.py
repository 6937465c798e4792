"""Every notebook is short and clean, and declares exactly the parameters of experiments."""

import ast
import re

import nbformat
import pytest

from medalign_utils.config import OPTIONAL, load_experiment, notebook_parameters, notebooks
from tests.builders.project import ROOT

EVERY = pytest.mark.parametrize("path", notebooks(), ids=lambda path: path.stem)


def code_of(path):
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


@EVERY
def test_is_valid_and_has_no_outputs_and_no_metadata_of_a_machine(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert notebook.metadata.kernelspec.name == "python3"
    assert set(notebook.metadata.language_info) == {"name"}
    for cell in code_of(path):
        assert cell.outputs == [] and cell.execution_count is None


@EVERY
def test_opens_with_its_question_has_sections_and_ends_in_checks(path):
    assert re.fullmatch(r"\d\d(_[a-z]+)+", path.stem)
    cells = nbformat.read(path, as_version=4).cells
    sources = [cell.source for cell in cells]
    assert re.match(rf"# {path.stem[:2]} .+\?\n", sources[0])
    if path.stem not in ("00_start_here", "14_report"):
        assert [*re.findall(r"\*\*.+?\*\*", sources[0])][:2] == ["**Reads**", "**Writes**"]
        assert "**In the paper**" in sources[0]
    texts = "\n".join(cell.source for cell in cells[1:] if cell.cell_type == "markdown")
    headings = re.findall(r"^#+ .*", texts, flags=re.MULTILINE)
    assert [heading for heading in headings if not heading.startswith("## ")] == []
    checks = cells[sources.index("## Checks") + 1 :]
    assert checks and all(cell.cell_type == "code" and "assert " in cell.source for cell in checks)


def test_the_first_notebook_links_every_other_with_its_question():
    first, *others = notebooks()
    page = "\n".join(cell.source for cell in nbformat.read(first, as_version=4).cells)
    for path in others:
        title = nbformat.read(path, as_version=4).cells[0].source.splitlines()[0]
        number, question = title.removeprefix("# ").split(" ", 1)
        assert f"| [{number}]({path.name}) | {question} |" in page
    for link in re.findall(r"\]\(\.\./(.*?)\)", page):
        assert (ROOT / link).exists() or link.startswith("runs/")


def lines_of(source):
    """Return the number of non-blank lines, counting a call over several lines as one."""
    calls = [node for node in ast.parse(source).body if isinstance(node, (ast.Assign, ast.Expr))]
    calls = [node for node in calls if isinstance(node.value, ast.Call)]
    lines = len([line for line in source.splitlines() if line])
    return lines - sum(node.end_lineno - node.lineno for node in calls)


@EVERY
def test_cells_are_short_and_have_no_logic_and_no_commands(path):
    for cell in code_of(path):
        assert "parameters" in cell.metadata.get("tags", []) or lines_of(cell.source) <= 10, (
            cell.source
        )
        tree = ast.parse(cell.source)  # magics and shell commands do not parse
        banned = (ast.FunctionDef, ast.ClassDef, ast.Lambda, ast.While, ast.Try, ast.For)
        assert not [node for node in ast.walk(tree) if isinstance(node, banned)], cell.source
        literals = (ast.Tuple, ast.List, ast.ListComp, ast.GeneratorExp)
        starred = [node.value for node in ast.walk(tree) if isinstance(node, ast.Starred)]
        assert not [value for value in starred if isinstance(value, literals)], cell.source


@EVERY
def test_no_cell_shows_a_raw_value(path):
    for cell in code_of(path):
        bare = [node.value for node in ast.parse(cell.source).body if isinstance(node, ast.Expr)]
        assert all(isinstance(value, ast.Call) for value in bare), cell.source


@EVERY
def test_parameters_are_commented_literals(path):
    first, *others = code_of(path)
    assert first.metadata.tags == ["parameters"]
    tags = {tag for cell in others for tag in cell.metadata.get("tags", [])}
    assert tags <= {"nbval-ignore-output", "only-in-jupyterlab"}
    assert notebook_parameters(path)  # raises if one is not a literal
    lines = first.source.splitlines()
    for statement in ast.parse(first.source).body:
        above = lines[statement.lineno - 2] if statement.lineno > 1 else ""
        assert "  # " in lines[statement.end_lineno - 1] or above.startswith("# "), statement.lineno


@EVERY
def test_defaults_are_the_demos(path):
    demo = OPTIONAL | load_experiment("params/demo.yaml")
    demo |= {"shard": 1, "shards": 1, "save": False, "rater": ""}
    for name, default in notebook_parameters(path).items():
        if name == "system":
            assert default in demo["systems"]
        elif name == "systems":  # a user may add systems to the demo
            assert set(default) <= set(demo["systems"])
        else:
            assert demo[name] == default, name
