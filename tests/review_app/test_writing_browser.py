"""References and instructions, written by keys in headless Chromium."""

import os
import shutil
import signal
import time
from pathlib import Path

import pytest
from selenium.common import StaleElementReferenceException
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from medalign_utils.review.folder import review_folder
from medalign_utils.review.journal import Journal
from medalign_utils.review.state import replay, submissions
from medalign_utils.review_app.server import serving
from tests.builders.jupyterlab import CHROMIUM, DRIVER, ROOT, chromium
from tests.builders.review_folder import EXPERIMENT, write_review

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        not (CHROMIUM and DRIVER), reason="needs Debian's packages chromium and chromium-driver"
    ),
]
SECONDS = 60
SENTENCE = "The last creatinine was 1.1 mg/dL."


@pytest.fixture
def project(tmp_path, monkeypatch):
    folder = tmp_path / "project"
    (folder / "notebooks").mkdir(parents=True)
    shutil.copy(ROOT / "Snakefile", folder)
    shutil.copy(ROOT / "notebooks/10_review_responses.ipynb", folder / "notebooks")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return folder


@pytest.fixture
def browser(tmp_path):
    with chromium(tmp_path / "chromium", 1440, 900) as driver:
        yield driver


class Page:
    """A rater's page."""

    def __init__(self, browser, link):
        self.browser = browser
        browser.get(link)
        self.press_when_ready(Keys.ENTER, ".mr-big")

    def wait(self, condition):
        ignored = (StaleElementReferenceException, IndexError)  # the page may change meanwhile
        return WebDriverWait(self.browser, SECONDS, 0.1, ignored).until(lambda _: condition())

    def find_all(self, css):
        return self.browser.find_elements(By.CSS_SELECTOR, css)

    def click(self, css, place=0):
        self.wait(lambda: self.find_all(css)[place].click() is None)

    def press_when_ready(self, key, css):
        self.wait(lambda: [e for e in self.find_all(css) if e.is_displayed()])
        self.press(key)

    def press(self, *keys):
        ActionChains(self.browser).send_keys(*keys).perform()

    def send(self):
        keys = ActionChains(self.browser)
        keys.key_down(Keys.CONTROL).send_keys(Keys.ENTER).key_up(Keys.CONTROL).perform()

    def shows(self, css, text):
        return self.wait(lambda: any(text in found.text for found in self.find_all(css)))

    def select(self, text):
        """Select a text in the note on display, as a mouse does."""
        script = """const [text] = arguments;
            const node = document.querySelector('.ma-text').firstChild;
            const start = node.data.indexOf(text);
            if (start < 0) return false;
            const range = document.createRange();
            range.setStart(node, start);
            range.setEnd(node, start + text.length);
            getSelection().removeAllRanges();
            getSelection().addRange(range);
            return true;"""
        assert self.wait(lambda: self.browser.execute_script(script, text))


def lines_of():
    return Journal(review_folder(EXPERIMENT), "R1").lines


def test_a_reference_is_written_and_its_evidence_marked(project, browser):
    write_review(project, mode="reference")
    with serving(EXPERIMENT, 18900) as [server]:
        page = Page(browser, server.link)
        page.shows(".mr-question", "What was the last creatinine?")
        page.shows(".ma-text", "Home with $5")
        page.press("t")
        page.press("It was 1.1.", Keys.ESCAPE)
        page.shows(".mr-state", "Saved")
        page.select("ome with")
        page.press("m")
        page.shows(".mr-show", "Discharge summary of 01/02/2015: Home with")
        page.click(".lm-TabBar-tab", 1)
        label = page.wait(lambda: page.find_all(".mr-cite")[0].get_attribute("aria-label"))
        assert label.startswith("Mark as evidence: ")
        page.click(".mr-cite")
        page.wait(lambda: len(page.find_all(".mr-show")) == 2)
        page.press("v")
        page.wait(lambda: page.find_all("mark.ma-evidence"))
        page.send()
        page.shows(".mr-progress", "1 of 5 done")
        page.shows(".mr-message", "Item 2 of 5.")
        page.press("c")
        page.press(Keys.ENTER)
        page.shows(".mr-progress", "2 of 5 done")
        written = replay(lines_of())
    first, second = written["R1-001"], written["R1-002"]
    assert first.done and first.reference == "It was 1.1."
    assert first.evidence[0]["text"].startswith("Discharge summary of")
    assert len(first.evidence) == 2
    assert second.done and second.unanswerable


def test_a_killed_kernel_loses_no_text_that_was_called_saved(project, browser):
    write_review(project, mode="reference")
    with serving(EXPERIMENT, 18910) as [server]:
        page = Page(browser, server.link)
        page.shows(".mr-question", "What was the last creatinine?")
        page.press("t")
        page.press(SENTENCE)
        page.wait(lambda: any(line["action"] == "reference" for line in lines_of()))
        page.shows(".mr-state", "Saved")
        os.kill(kernel_of(server), signal.SIGKILL)
        page.press(" And")
        page.shows(".mr-state", "Not saved")
        page.shows(".mr-alert", "kept on this page")
        assert page.find_all(".mr-draft")[0].get_attribute("value") == f"{SENTENCE} And"
        page = Page(browser, server.link)
        page.wait(lambda: page.find_all(".mr-draft")[0].get_attribute("value") == SENTENCE)


def kernel_of(server):
    """Return the process id of the kernel that the server started."""
    for _ in range(SECONDS * 10):
        for file in Path("/proc").glob("[0-9]*/stat"):
            try:
                parent = int(file.read_text().rpartition(")")[2].split()[1])
                command = (file.parent / "cmdline").read_bytes()
            except OSError:  # it has ended
                continue
            if parent == server._process.pid and b"ipykernel" in command:
                return int(file.parent.name)
        time.sleep(0.1)
    raise AssertionError("no kernel")


def test_instructions_are_submitted_in_a_row_and_one_is_withdrawn(project, browser):
    write_review(project, mode="submit")
    with serving(EXPERIMENT, 18920) as [server]:
        page = Page(browser, server.link)
        page.wait(lambda: page.find_all(".mr-comment")[0] == browser.switch_to.active_element)
        page.press("Cardiology", Keys.TAB, "Which statin?")
        page.send()
        page.shows(".mr-progress", "1 instruction submitted")
        page.press("Summarize the last visit.")
        page.send()
        page.shows(".mr-progress", "2 instructions submitted")
        page.click(".mr-remove", -1)
        page.wait(lambda: len(page.find_all(".mr-remove")) == 1)
        page.press("A draft")
        page.wait(lambda: "A draft" in str(lines_of()[-1]["value"]))
        browser.refresh()
        page.press_when_ready(Keys.ENTER, ".mr-big")
        page.wait(lambda: page.find_all(".mr-draft")[0].get_attribute("value") == "A draft")
        found = submissions(lines_of())
    assert [one["instruction"] for one in found] == ["Summarize the last visit."]
    assert found[0]["specialty"] == "Cardiology"
