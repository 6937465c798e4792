"""Notebook 10 in JupyterLab in headless Chromium: raters judge by keys alone, and lose nothing."""

import os
import resource
import signal
import time

import pytest
from selenium.webdriver.common.keys import Keys

from medalign_utils.review.journal import Journal
from medalign_utils.review.state import replay
from tests.builders.explorer_release import SCRIPT
from tests.builders.jupyterlab import CHROMIUM, DRIVER, chromium, jupyterlab
from tests.builders.review_folder import EXPERIMENT, write_review
from tests.builders.review_page import ReviewPage, kernels_of, wait_until, write_notebook

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        not (CHROMIUM and DRIVER), reason="needs Debian's packages chromium and chromium-driver"
    ),
]
RATERS = ("R1", "R2", "R3", "R4")
MOST_KEYS = 14  # to judge and rank six responses


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("review") / "project"
    folder.mkdir()
    write_review(folder, RATERS)
    for rater in RATERS:
        write_notebook(folder, EXPERIMENT, rater)
    return folder


@pytest.fixture(scope="module")
def lab(project, tmp_path_factory):
    with jupyterlab(project, tmp_path_factory.mktemp("home")) as address:
        yield address


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("chromium"), 1440, 900) as driver:
        yield driver


@pytest.fixture
def opened(project, lab, browser):
    """Open a rater's page and start."""

    def opened(rater):
        page = ReviewPage(browser)
        page.open_in_lab(lab, rater)
        page.start()
        return page

    yield opened
    browser.get("about:blank")


def lines_of(project, rater):
    return Journal(project / "reviews" / EXPERIMENT, rater).lines


def test_a_rater_judges_everything_by_keys_and_one_click(opened, project, browser):
    page = opened("R1")
    counts = []
    for number, n_responses in enumerate((6, 6, 6, 1, 6), start=1):
        page.wait_for_item(number)
        page.keys = 0
        page.judge("123121", "be=cadf") if n_responses == 6 else page.judge("1", "")
        counts.append(page.keys)
        if number == 1:  # training: the answer key is shown, and Enter goes on
            page.wait(lambda: "key: ✓" in page.text_of(".mr-tab"))
            page.press(Keys.ENTER)
    assert max(counts) <= MOST_KEYS and counts[3] == 2
    page.wait(lambda: "Thank you" in page.text_of(".mr-cover"))
    assert "You judged 25 responses to 5 instructions" in page.text_of(".mr-cover")
    page.wait_for_state("saved")
    judgements = replay(lines_of(project, "R1"))
    assert len(judgements) == 5 and all(found.done for found in judgements.values())
    expected = dict(zip("ABCDEF", "123121", strict=True))
    words = {"1": "correct", "2": "incorrect", "3": "unsure"}
    for name in ("R1-001", "R1-002", "R1-003", "R1-005"):
        assert judgements[name].verdicts == {x: words[v] for x, v in expected.items()}
        assert judgements[name].rank == [["B"], ["E", "C"], ["A"], ["D"], ["F"]]
        assert judgements[name].reference_seen

    # Back to an item: it is changed only after `x`.
    page.press("l", Keys.ARROW_UP, Keys.ARROW_UP, Keys.ARROW_UP, Keys.ENTER)
    page.wait_for_item(2)
    page.press("3")
    page.wait(lambda: "Press x to change it" in page.text_of(".mr-message"))
    page.press("x", "c", "1", "8", Keys.ENTER)
    page.wait(lambda: "Thank you" in page.text_of(".mr-cover"))
    page.wait_for_state("saved")
    changed = replay(lines_of(project, "R1"))["R1-002"]
    assert changed.done and changed.verdicts["C"] == "correct"
    assert changed.harm == {"C": "mild"}


def test_marks_comments_flags_undo_and_pause(opened, project, browser):
    page = opened("R2")
    page.wait_for_item(1)
    page.press("j", "w", "j", "s", "v")
    page.wait(lambda: "ound" in page.text_of(".mr-found"))
    assert "✗ wrong" in page.text_of(".mr-text") and "? not in" in page.text_of(".mr-text")
    page.press("m", *"a b c", Keys.ESCAPE)
    page.press("!", *"why", Keys.ENTER)
    page.press("1", "2", "u")
    page.wait(lambda: "Undone: verdict B" in page.text_of(".mr-message"))
    page.press("z")
    page.wait(lambda: page.shown(".mr-cover"))
    assert not page.shown(".medalign .ma-text") and not page.shown(".mr-text")
    page.press("z")
    page.wait_for_state("saved")
    found = replay(lines_of(project, "R2"))["R2-001"]
    assert found.comments == {"A": "a b c"} and found.flag == "why"
    assert [mark["kind"] for mark in found.marks["A"]] == ["wrong", "unsupported"]
    assert found.verdicts == {"A": "correct"}
    actions = [line["action"] for line in lines_of(project, "R2")]
    assert actions[-2:] == ["pause", "resume"]
    # Text of a response is text, and none is kept by the browser.
    assert browser.title not in ("run", "1") and SCRIPT[:8] not in browser.current_url
    stored = browser.execute_script(
        "return JSON.stringify({...localStorage, ...sessionStorage}) + location.href"
    )
    assert "creatinine" not in stored.lower() and "a b c" not in stored


def test_a_full_disk_and_a_killed_kernel_lose_and_double_nothing(opened, project, browser):
    before = set(kernels_of(project))
    page = opened("R3")
    (kernel,) = set(kernels_of(project)) - before
    page.wait_for_item(1)
    page.press("1")
    page.wait_for_state("saved")

    # EFBIG stands for ENOSPC: it needs no full disk.
    size = (project / "reviews" / EXPERIMENT / "raters/R3/journal.jsonl").stat().st_size
    _, hard = resource.prlimit(kernel, resource.RLIMIT_FSIZE)
    resource.prlimit(kernel, resource.RLIMIT_FSIZE, (size, hard))
    page.press("2", "3")
    page.wait_for_state("unsaved")
    assert "File too large" in page.text_of(".mr-alert")
    assert "2 actions kept on this page" in page.text_of(".mr-alert")
    resource.prlimit(kernel, resource.RLIMIT_FSIZE, (hard, hard))
    page.wait_for_state("saved")

    os.kill(kernel, signal.SIGKILL)
    page.press("1")
    page.wait(lambda: "No answer from the program" in page.text_of(".mr-alert"))
    wait_until(lambda: set(kernels_of(project)) - before - {kernel})  # JupyterLab's new one
    while page.find_all(".mr-whole-page") or page.find_all(".jp-Dialog"):
        page.press(Keys.ESCAPE)  # JupyterLab's message that the kernel has died; the whole page
        time.sleep(0.3)
    page.run_all()
    page.wait_for_state("saved")
    page.start()
    verdicts = [x["value"] for x in lines_of(project, "R3") if x["action"] == "verdict"]
    assert verdicts == ["correct", "incorrect", "unsure", "correct"]
    assert [line["n"] for line in lines_of(project, "R3")] == [
        *range(1, len(lines_of(project, "R3")) + 1)
    ]


@pytest.mark.parametrize("size", [(1024, 700), (1440, 900)])
def test_everything_is_in_view_and_nothing_jumps(opened, browser, size):
    metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    page = opened("R4")
    rects = """const names = '.mr-panel button, .mr-question, .mr-reference, .mr-comment, .mr-text';
        return [...document.querySelectorAll(names)].filter((x) => x.getClientRects().length)
          .map((x) => [x.className, ...Object.values(x.getBoundingClientRect().toJSON())]);"""
    for name, _, _, _, _, top, right, bottom, left in browser.execute_script(rects):
        assert left >= 0 and top >= 0 and right <= size[0] and bottom <= size[1], name
    places = (
        "return ['.mr-tabs', '.mr-texts', '.mr-verdicts', '.mr-rank', '.mr-bottom'].map("
        "(x) => document.querySelector(x).getBoundingClientRect().top)"
    )
    before = browser.execute_script(places)
    page.press("1")
    page.wait_for_state("saved")
    page.press("r", "a", "=", "b", "r", "j", "w")
    page.wait_for_state("saved")
    assert browser.execute_script(places) == before
    page.press("u", "u", "u", "u")
    page.wait_for_state("saved")
