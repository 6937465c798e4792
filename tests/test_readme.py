"""README's promises about itself: its example runs, it is short, and its links lead somewhere."""

import re
from urllib.parse import unquote

import pytest

from medalign_utils.synthetic import write_release
from tests.builders.project import ROOT

README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]


def test_the_ten_lines_run_as_they_are(tmp_path, monkeypatch, capsys):
    write_release(tmp_path / "data" / "demo", patients=3, instructions=12, seed=1)
    (tmp_path / "models").symlink_to(ROOT / "models")
    monkeypatch.chdir(tmp_path)
    section = README.read_text("utf-8").partition("## Ten lines\n")[2].partition("\n## ")[0]
    [block] = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    exec(compile(block, README, "exec"), {})
    header, reference, guess = capsys.readouterr().out.splitlines()
    assert header.split() == ["comet-compact", "bertscore"]
    assert all(a > b for a, b in zip(reference.split()[1:], guess.split()[1:], strict=True))


def test_the_readme_is_short():
    assert len(README.read_text("utf-8")) <= 7000


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_relative_links_lead_to_files(page):
    targets = re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8"))
    relative = [target.partition("#")[0] for target in targets if not re.match(r"\w+:|#", target)]
    assert not [target for target in relative if not (page.parent / unquote(target)).exists()]
