"""The documentation builds strictly and offline, and all its links, anchors and pictures exist."""

import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import lxml.html
import pytest

from tests.builders.project import ROOT

NO_NETWORK = dict.fromkeys(("http_proxy", "https_proxy"), "http://127.0.0.1:9")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Build the site and return its folder."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--site-dir", folder]
    env = os.environ | NO_NETWORK | {"NO_MKDOCS_2_WARNING": "1"}
    build = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    assert build.returncode == 0, build.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site):
    """Return each page's path and parsed HTML."""
    # The 404 page has links relative to a server's root.
    files = set(site.rglob("*.html")) - {site / "404.html"}
    return {file: lxml.html.parse(file).getroot() for file in files}


def missing(pages: dict[Path, lxml.html.HtmlElement]) -> list[str]:
    """Return links to files or anchors that do not exist."""
    lost = []
    for file, page in pages.items():
        for target in page.xpath("//@href | //@src"):
            scheme, host, path, _, fragment = urlsplit(target)
            if scheme or host:
                continue
            goal = Path(os.path.normpath(file.parent / unquote(path))) if path else file
            known = goal.is_file() and (
                not fragment or pages[goal].xpath("//*[@id=$id]", id=unquote(fragment))
            )
            lost += [] if known else [f"{file.name}: {target}"]
    return lost


def test_every_link_anchor_and_picture_exists(pages):
    assert len(pages) > 30
    assert not missing(pages)


def test_a_missing_anchor_file_or_picture_is_found(tmp_path):
    text = '<h1 id="a">A</h1><a href="#a"></a><a href="#b"></a><a href="no.html"></a><img src="no">'
    (tmp_path / "page.html").write_text(text)
    page = {tmp_path / "page.html": lxml.html.fromstring(text)}
    assert missing(page) == [f"page.html: {target}" for target in ("#b", "no.html", "no")]


def test_nothing_is_loaded_from_elsewhere(site, pages):
    loaded = "//*[not(self::a)]/@href | //@src"
    assert not {
        url for page in pages.values() for url in page.xpath(loaded) if urlsplit(url).netloc
    }
    for sheet in site.rglob("*.css"):
        assert not re.search(r"url\(['\"]?https?:|@import", sheet.read_text("utf-8")), sheet


def test_the_readme_is_the_first_page_and_docstrings_are_shown(site, pages):
    assert "Three commands" in pages[site / "index.html"].text_content()
    score = "medalign_utils.metrics.scoring.score"
    assert pages[site / "docs/api/ma.html"].get_element_by_id(score) is not None
