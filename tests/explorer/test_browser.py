"""Notebook 01 in JupyterLab in headless Chromium, on a tiny release."""

import shutil

import pytest
from selenium.common import StaleElementReferenceException, TimeoutException
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

from tests.builders.explorer_release import (
    CREATININE,
    MARKUP,
    PATIENT,
    QUESTIONS,
    SCRIPT,
    write_release,
    write_responses,
)
from tests.builders.jupyterlab import CHROMIUM, DRIVER, ROOT, chromium, jupyterlab, run_all

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        not (CHROMIUM and DRIVER), reason="needs Debian's packages chromium and chromium-driver"
    ),
]
SECONDS = 30  # for each step


@pytest.fixture
def project(tmp_path):
    """A separate project with a small default release and one system's response."""
    folder = tmp_path / "project"
    shutil.copytree(ROOT / "data/paper", folder / "data/paper")
    (folder / "notebooks").mkdir()
    shutil.copy(ROOT / "notebooks/01_explore_release.ipynb", folder / "notebooks")
    shutil.copy(ROOT / "Snakefile", folder)
    write_release(folder / "data" / "demo")
    write_responses(folder / "runs" / "demo" / "responses" / "some-system.jsonl")
    return folder


@pytest.fixture
def lab(project, tmp_path):
    with jupyterlab(project, tmp_path / "home") as address:
        yield address


@pytest.fixture
def browser(tmp_path):
    with chromium(tmp_path / "chromium", 1440, 900) as driver:
        yield driver


class Page:
    """The explorer as a reader sees it."""

    def __init__(self, browser):
        self.browser = browser

    def wait(self, condition):
        ignored = (StaleElementReferenceException,)  # the page may change meanwhile
        waiting = WebDriverWait(self.browser, SECONDS, 0.1, ignored)
        try:
            return waiting.until(lambda _: condition())
        except TimeoutException:
            raise AssertionError(self.text) from None

    def find_all(self, css):
        return self.browser.find_elements(By.CSS_SELECTOR, css)

    def control(self, label):
        """Return the control that follows a label."""
        path = f"//label[normalize-space()='{label}']/following-sibling::*"
        return self.wait(lambda: next(iter(self.browser.find_elements(By.XPATH, path)), None))

    def choose(self, label, value):
        Select(self.control(label)).select_by_visible_text(value)

    @property
    def text(self):
        return "".join(explorer.text for explorer in self.find_all(".medalign"))

    def shows(self, *texts):
        return self.wait(lambda: all(text in self.text for text in texts))

    def marked(self, kind="search"):
        marks = self.find_all(f".medalign mark.ma-{kind}")
        return [mark.text for mark in marks if mark.is_displayed()]

    def scroll_to_explorer(self):
        self.browser.execute_script("document.querySelector('.medalign').scrollIntoView()")

    def press(self, key):
        """Press a key while no control has the focus."""
        self.scroll_to_explorer()
        self.browser.execute_script("document.activeElement.blur()")
        ActionChains(self.browser).send_keys(key).perform()

    def in_view(self, css):
        """Return whether an element is in view, in the page and in the areas that scroll."""
        self.scroll_to_explorer()
        script = """const found = document.querySelector(arguments[0]);
            if (!found?.getClientRects().length) return false;
            const {left, top, bottom} = found.getClientRects()[0];
            const at = document.elementFromPoint(left + 2, (top + bottom) / 2);
            return found === at || found.contains(at);"""
        return self.browser.execute_script(script, css)


@pytest.fixture
def page(lab, browser):
    run_all(browser, lab, SECONDS)
    return Page(browser)


INSTRUCTION = {i: f"{i}  {QUESTIONS[i][0]}" for i in (CREATININE, MARKUP)}


def test_a_clinician_reads_a_record(page, browser):
    page.shows("4 patients: choose one", "Choose a patient above")
    assert "Discharge summary" not in page.text

    page.choose("Patient", f"{PATIENT} · 3 instructions")
    page.shows("Male, born 1950-02-03", "Home with $5 & a friend.", "Notes (3)", "Events (7)")
    assert page.find_all(".ma-timeline")[0].size["width"] > 400

    page.control("Search").send_keys('"CHEST pain"', Keys.ENTER)
    page.shows("2 hits in 2 notes", "Notes (2 with hits)")
    page.wait(lambda: page.marked() == ["Chest pain"])
    page.shows(SCRIPT)  # as text that was not run
    assert browser.title not in ("run", "1")
    page.press("n")
    page.wait(lambda: page.marked() == ["chest\npain"] and page.in_view(".ma-current"))
    page.press("p")
    page.wait(lambda: page.marked() == ["Chest pain"])

    page.choose("Instruction", INSTRUCTION[MARKUP])
    page.shows(QUESTIONS[MARKUP][0], "No, he denies it.", "found word for word, in 1 place")
    # Far down in a note.
    page.wait(lambda: page.marked("evidence") == ["Denies chest\npain"])
    page.wait(lambda: page.in_view("mark.ma-evidence"))

    page.choose("Instruction", INSTRUCTION[CREATININE])
    page.shows("1.1 mg/dL", "gpt4-32k", "✓ correct (clinician 1)", "some-system")
    page.shows("It was <b>1.4</b>.")
    page.wait(lambda: "Creatinine" in page.find_all("tr.ma-evidence")[0].text)

    page.choose("Patient", "43 · 0 instructions")
    page.shows("43.xml, line 4: not well-formed XML")
    assert "Creatinine" not in page.text


@pytest.mark.parametrize("size", [(1440, 900), (1024, 700)])
def test_record_and_responses_share_the_screen(page, browser, size):
    metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    page.choose("Patient", f"{PATIENT} · 3 instructions")
    page.choose("Instruction", INSTRUCTION[MARKUP])
    page.choose("Instruction", INSTRUCTION[CREATININE])
    page.shows("It was <b>1.4</b>.")
    explorer = page.find_all(".medalign")[0]
    page.wait(lambda: page.in_view(".ma-response"))
    left, right = (page.find_all(f".ma-{side}")[0].rect for side in ("left", "right"))
    assert left["x"] + left["width"] <= right["x"] and left["y"] == right["y"]
    assert explorer.size["height"] <= size[1] - 100  # JupyterLab's bars
    wide = browser.execute_script(
        "return arguments[0].scrollWidth - arguments[0].clientWidth", explorer
    )
    assert wide <= 0
    for css in (".ma-response", "tr.ma-evidence", ".ma-search-box input", ".ma-grow select"):
        assert page.in_view(css), css


def test_a_link_opens_its_event_after_a_reload(page, lab, browser):
    page.choose("Patient", f"{PATIENT} · 3 instructions")
    page.shows("Notes (3)")
    Select(page.find_all(".ma-notes select")[0]).select_by_index(2)
    page.shows("Denies chest")
    link = page.find_all(".ma-note-title a")[0]
    address = link.get_attribute("href").partition("#")[2]
    link.click()
    page.wait(lambda: browser.current_url.endswith(address))
    browser.get("about:blank")
    run_all(browser, f"{lab}#{address}", SECONDS)
    page.shows("Progress note", "Denies chest", "3 of 3 notes")
