"""A rater's page in JupyterLab in a headless Chromium, for tests and benchmarks."""

import json
import shutil
import time
from pathlib import Path

from selenium.common import StaleElementReferenceException, TimeoutException
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from tests.builders.jupyterlab import ROOT

NOTEBOOK = "10_review_responses"
STATE = "return document.querySelector('.mr-state')?.dataset.kind"


def write_notebook(project: Path, experiment: str, rater: str) -> None:
    """Copy notebook 10 for one rater into a project."""
    (project / "notebooks").mkdir(exist_ok=True)
    shutil.copy(ROOT / "Snakefile", project)
    notebook = json.loads((ROOT / f"notebooks/{NOTEBOOK}.ipynb").read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        if "parameters" in cell["metadata"].get("tags", []):
            cell["source"] = f'experiment = "{experiment}"\nrater = "{rater}"'
    file = project / f"notebooks/{NOTEBOOK}-{rater}.ipynb"
    file.write_text(json.dumps(notebook), encoding="utf-8")


class ReviewPage:
    """The page as a rater sees it; `keys` counts the key presses."""

    def __init__(self, browser, seconds: float = 40) -> None:
        self.browser, self.seconds, self.keys = browser, seconds, 0

    def open_in_lab(self, address: str, rater: str) -> None:
        """Open a rater's notebook, by JupyterLab's address of notebook 01, and run it."""
        address = address.replace("01_explore_release", f"{NOTEBOOK}-{rater}")
        self.browser.get(f"{address}&reset")  # without notebooks opened before
        self.wait(lambda: self.find_all(".jp-Notebook .jp-CodeCell"))
        bar = "#jp-main-statusbar"
        self.wait(lambda: "| Idle" in "".join(found.text for found in self.find_all(bar)))
        self.run_all()

    def run_all(self) -> None:
        self.browser.execute_script("window.jupyterapp.commands.execute('runmenu:run-all')")
        self.wait(lambda: self.shown(".mr-cover .mr-big"))

    def start(self) -> None:
        """Click Start, the only click."""
        self.shown(".mr-cover .mr-big")[0].click()
        self.wait(lambda: self.shown(".mr-text"))

    def wait(self, condition, seconds: float | None = None):
        ignored = (StaleElementReferenceException,)  # the page may change meanwhile
        waiting = WebDriverWait(self.browser, seconds or self.seconds, 0.05, ignored)
        try:
            return waiting.until(lambda _: condition())
        except TimeoutException:
            raise AssertionError(self.text) from None

    def find_all(self, css: str):
        return self.browser.find_elements(By.CSS_SELECTOR, css)

    def shown(self, css: str):
        return [found for found in self.find_all(css) if found.is_displayed()]

    def press(self, *keys: str) -> None:
        for key in keys:
            ActionChains(self.browser).send_keys(key).perform()
            self.keys += 1

    def judge(self, verdicts: str, rank: str) -> None:
        """Give an item's verdicts and its ranking, each character a key, and press Enter."""
        self.press(*verdicts, *rank, Keys.ENTER)

    @property
    def text(self) -> str:
        script = "return [...document.querySelectorAll('.mr')].map((x) => x.innerText).join('')"
        return self.browser.execute_script(script)

    def text_of(self, css: str) -> str:
        return "".join(found.text for found in self.find_all(css))

    def wait_for_state(self, kind: str, seconds: float | None = None) -> None:
        self.wait(lambda: self.browser.execute_script(STATE) == kind, seconds)

    def wait_for_item(self, number: int) -> None:
        script = "return document.querySelector('.mr-heard').textContent"
        start = f"Item {number} of"
        self.wait(lambda: self.browser.execute_script(script).startswith(start))


def kernels_of(project: Path) -> list[int]:
    """Return the processes of the kernels that run in a project's folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes()
            folder = (process / "cwd").resolve(strict=True)
        except OSError:
            continue
        if b"ipykernel_launcher" in command and folder.is_relative_to(project):
            found.append(int(process.name))
    return found


def wait_until(condition, seconds: float = 20):
    """Return the first true value of a condition."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return value
