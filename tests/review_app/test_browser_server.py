"""Raters' pages as `review serve` shows them: tabs, kills, and where text of a record ends up."""

import contextlib
import os
import random
import signal
import tempfile
import time
from pathlib import Path

import pytest
from selenium.common import WebDriverException
from selenium.webdriver.common.keys import Keys

from medalign_utils.review.journal import Journal
from medalign_utils.review.state import replay
from tests.builders.jupyterlab import CHROMIUM, DRIVER, chromium
from tests.builders.review_folder import EXPERIMENT
from tests.builders.review_page import ReviewPage, wait_until
from tests.builders.review_server import free_port, review_server, write_project

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        not (CHROMIUM and DRIVER), reason="needs Debian's packages chromium and chromium-driver"
    ),
]
MARKER = "Zanzibarmarker"  # in a note of the record
KILLS = 25
# What the page has done, and what of it the page has not called saved.
WATCH = """const waiting = globalThis.medalignWaiting, push = waiting.push.bind(waiting);
window.acted = [];
waiting.push = (...actions) => {
  window.acted.push(...actions.map((x) => x.id));
  return push(...actions);
};"""
ACTED = "return [window.acted, globalThis.medalignWaiting.map((x) => x.id)]"
STORED = """const open = await indexedDB.databases();
return JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie, location.href,
  history.state, open, await caches.keys()])"""


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    write_project(folder / "project", ("R1", "R2", "R3"))
    (record,) = (folder / "project/data/demo/ehrs").glob("40.xml")
    text = record.read_text(encoding="utf-8")
    assert "Home with" in text
    record.write_text(text.replace("Home with", f"{MARKER} home with"), encoding="utf-8")
    with review_server(folder / "project", folder / "log", free_port(3)) as served:
        yield served


@pytest.fixture
def browser(tmp_path):
    with chromium(tmp_path / "chromium", 1440, 900) as driver:
        yield driver


def open_page(served, browser, rater):
    page = ReviewPage(browser, seconds=90)
    browser.get(served.links[rater])
    page.wait(lambda: page.shown(".mr-cover .mr-big"))
    page.start()
    page.wait_for_state("saved")
    return page


def lines_of(served, rater):
    return Journal(served.project / "reviews" / EXPERIMENT, rater).lines


def test_text_of_a_record_is_on_the_page_only(served, tmp_path):
    before = set(served.project.rglob("*"))
    with chromium(tmp_path / "chromium", 1440, 900) as browser:
        page = open_page(served, browser, "R1")
        page.wait_for_item(1)
        page.wait(lambda: MARKER in browser.page_source)
        page.judge("123121", "be=cadf")
        page.press(Keys.ENTER)
        page.wait_for_item(2)
        page.press("1", "m", *"a b c", Keys.ESCAPE)
        page.wait_for_state("saved")
        stored = browser.execute_script(STORED)
        assert browser.current_url == f"http://127.0.0.1:{served.ports['R1']}/"
        for text in (MARKER, "reatinine", "a b c", *served.secrets.values()):
            assert text not in stored
        assert MARKER not in served.log and "reatinine" not in served.log
    written = {path for path in set(served.project.rglob("*")) - before if path.is_file()}
    assert {path.name for path in written} == {"journal.jsonl"}
    folders = [served.project, tmp_path, *Path(tempfile.gettempdir()).glob("review-*")]
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    found = [path.name for path in files if MARKER.encode() in path.read_bytes()]
    assert found == ["40.xml"]
    for path in (served.project / "reviews").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path


def test_two_tabs_are_in_step(served, browser):
    first = open_page(served, browser, "R2")
    tab = browser.current_window_handle
    first.press("1")
    first.wait_for_state("saved")
    browser.switch_to.new_window("tab")
    second = open_page(served, browser, "R2")
    assert len(served.kernels("R2")) == 2
    second.press("2", "2")  # the next responses, after what the first tab saved
    second.wait_for_state("saved")
    browser.close()
    browser.switch_to.window(tab)
    first.press("1")
    first.wait_for_state("saved")
    lines = lines_of(served, "R2")
    assert [line["n"] for line in lines] == [*range(1, len(lines) + 1)]
    assert sum(line["action"] == "verdict" for line in lines) == 4
    assert len({line["id"] for line in lines}) == len(lines)
    # Opened again, the page shows what both tabs did.
    browser.get("about:blank")
    page = open_page(served, browser, "R2")
    shown = page.text_of(".mr-tab")
    verdicts = replay(lines)["R2-001"].verdicts
    assert shown.count("✓") == [*verdicts.values()].count("correct")
    assert shown.count("✗") == [*verdicts.values()].count("incorrect")


@pytest.mark.slow
def test_kills_lose_and_double_nothing(served, browser):
    """A kernel or a server is killed at any moment: what was called saved is there, once."""
    rng = random.Random(1)
    said_saved, acted = set(), set()
    for kill in range(KILLS):
        page = open_page(served, browser, "R3")
        browser.execute_script(WATCH)
        victims = served.servers("R3") if kill % 3 == 2 else served.kernels("R3")
        page.press(*rng.choices("123", k=4))
        time.sleep(rng.uniform(0, 0.1))
        page.press("u", "1")
        now, waiting = browser.execute_script(ACTED)
        assert now
        acted |= set(now)
        said_saved |= set(now) - set(waiting)
        for process in victims:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        if kill % 3 == 1:
            page.press("2")
            acted |= set(browser.execute_script(ACTED)[0])
        with contextlib.suppress(WebDriverException):  # it asks whether to leave
            browser.get("about:blank")
        wait_until(lambda: served.servers("R3"), 60)
        lines = lines_of(served, "R3")
        ids = [line["id"] for line in lines]
        assert said_saved <= set(ids), kill
        assert len(set(ids)) == len(ids) and [x["n"] for x in lines] == [*range(1, len(ids) + 1)]
    own = {line["id"] for line in lines if line["action"] in ("verdict", "undo")}
    assert own <= acted and len(own) > KILLS
    wait_until(lambda: not served.kernels("R3"), 200)  # the tab is closed
