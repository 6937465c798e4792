"""README's example runs, README is short, and its links are valid."""

import ast
import re
from urllib.parse import unquote

import pytest

from medalign_utils.synthetic import write_release
from tests.builders.project import ROOT

README = ROOT / "README.md"
PAGES = [
    file
    for pattern in ("*.md", "docs/*.md", "benchmarks/*.md", "data/paper/*.md", "models/*/*.md")
    for file in sorted(ROOT.glob(pattern))
]


def test_the_example_in_python_runs_unchanged(tmp_path, monkeypatch, capsys):
    write_release(tmp_path / "data" / "demo", patients=3, instructions=12, seed=1)
    (tmp_path / "models").symlink_to(ROOT / "models")
    monkeypatch.chdir(tmp_path)
    section = README.read_text("utf-8").partition("## From Python\n")[2].partition("\n## ")[0]
    [block] = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    exec(compile(block, README, "exec"), {})
    header, reference, guess = capsys.readouterr().out.splitlines()
    assert header.split() == ["comet-compact", "bertscore"]
    assert all(a > b for a, b in zip(reference.split()[1:], guess.split()[1:], strict=True))


def test_the_grade_in_the_documentation_is_the_one_that_comes_out():
    [block] = re.findall(
        r"```python\n(.*?)```", (ROOT / "docs/grading.md").read_text("utf-8"), re.DOTALL
    )
    code, _, printed = block.strip().rpartition("\n# ")
    *statements, expression = ast.parse(code).body
    names = {}
    exec(compile(ast.Module(statements, []), "grading.md", "exec"), names)
    assert repr(eval(ast.unparse(expression), names)) == printed


def test_the_readme_is_short():
    assert len(README.read_text("utf-8")) <= 7000


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_lead_to_files(page):
    targets = re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8"))
    relative = [target.partition("#")[0] for target in targets if not re.match(r"\w+:|#", target)]
    assert not [target for target in relative if not (page.parent / unquote(target)).exists()]
