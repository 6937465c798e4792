"""Notebook 01 in JupyterLab in headless Chromium, on a tiny release.

Needs chromium and chromedriver, such as Debian's packages chromium and chromium-driver.
"""

import contextlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.common import StaleElementReferenceException
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

ROOT = Path(__file__).parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        not (CHROMIUM and DRIVER), reason="needs Debian's packages chromium and chromium-driver"
    ),
]


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
    """Start JupyterLab on 127.0.0.1 and yield notebook 01's address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token = secrets.token_hex(16)
    home = tmp_path / "home"  # no user settings, no other kernels
    environment = os.environ | {
        "HOME": str(home),
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "JUPYTER_TOKEN": token,
        "PYTHONPATH": str(ROOT),
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
    command += ["--LabApp.expose_app_in_browser=True", "--ServerApp.root_dir=."]
    command += ["--ip=127.0.0.1", f"--port={port}", "--ServerApp.port_retries=0"]
    page_config = home / "config/labconfig/page_config.json"
    page_config.parent.mkdir(parents=True)
    announcements = "@jupyterlab/apputils-extension:announcements"
    page_config.write_text(json.dumps({"disabledExtensions": {announcements: True}}))
    log = tmp_path / "lab.log"
    with log.open("w") as output:
        server = subprocess.Popen(
            command, cwd=project, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(150):
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"{address}/api?token={token}", timeout=5)
                break
            assert server.poll() is None, log.read_text()
            time.sleep(0.2)
        yield f"{address}/lab/tree/notebooks/01_explore_release.ipynb?token={token}"
    finally:
        server.terminate()  # which also ends its kernels
        try:
            server.wait(15)
        except subprocess.TimeoutExpired:
            server.kill()


@pytest.fixture
def browser(tmp_path):
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for option in ("headless=new", "no-sandbox", "disable-dev-shm-usage", "window-size=1440,2600"):
        options.add_argument(f"--{option}")
    options.add_argument(f"--user-data-dir={tmp_path / 'chromium'}")
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


def test_a_clinician_reads_a_record(lab, browser, tmp_path):
    def wait(condition):
        ignored = (StaleElementReferenceException,)  # the page may change meanwhile
        return WebDriverWait(browser, 30, 0.1, ignored).until(condition, str(page()))

    def find_all(css):
        return browser.find_elements(By.CSS_SELECTOR, css)

    def control(label):
        """Return the control that follows a label."""
        path = f"//label[normalize-space()='{label}']/following-sibling::*"
        return wait(lambda _: next(iter(browser.find_elements(By.XPATH, path)), None))

    def page():
        return "".join(explorer.text for explorer in find_all(".medalign"))

    def shows(*texts):
        return wait(lambda _: all(text in page() for text in texts))

    def marked():
        return [mark.text for mark in find_all(".medalign mark") if mark.is_displayed()]

    browser.get(lab)
    wait(lambda _: find_all(".jp-Notebook .jp-CodeCell"))
    wait(lambda _: "| Idle" in "".join(bar.text for bar in find_all("#jp-main-statusbar")))
    browser.execute_script("window.jupyterapp.commands.execute('runmenu:run-all')")
    shows("4 patients: choose one")
    assert "Discharge summary" not in page()

    patients = Select(control("Patient"))
    patients.select_by_visible_text(f"{PATIENT} · 3 instructions")
    shows("MALE, born 1950-02-03", "Home with $5 & a friend.", "Notes (3)", "Events (7)")
    assert find_all("img[alt^=Timeline]")[0].size["width"] > 600

    control("Search").send_keys("CHEST pain", Keys.ENTER)
    shows("2 hits in 2 notes", "Notes (2)")
    wait(lambda _: marked() == ["Chest pain"])
    shows(SCRIPT)  # as text that was not run
    assert browser.title not in ("run", "1")

    instruction = f"{MARKUP}  {QUESTIONS[MARKUP][0]}"
    Select(control("Instruction")).select_by_visible_text(instruction)
    shows(instruction.split("  ")[1], "No, he denies it.", "found word for word, 1 time")
    wait(lambda _: marked() == ["Denies chest\npain"])  # the evidence, far down in a note
    box = next(box for box in find_all(".medalign-scroll") if "Walks well" in box.text)
    assert box.get_property("scrollTop") > 0
    top, mark = box.rect["y"], find_all(".medalign mark")[0].rect["y"]
    assert top < mark < top + box.size["height"]

    Select(control("Instruction")).select_by_value(f"{CREATININE}  {QUESTIONS[CREATININE][0]}")
    shows("1.1 mg/dL", "gpt4-32k", "correct (clinician 1)", "some-system", "It was <b>1.4</b>.")
    wait(lambda _: "Creatinine" in find_all(".medalign tr[style*=background]")[0].text)
    browser.execute_script("document.querySelector('.medalign').scrollIntoView()")
    assert browser.save_screenshot(tmp_path / "explorer.png")

    patients.select_by_visible_text("43 · 0 instructions")
    shows("43.xml, line 4: not well-formed XML")
    assert "Creatinine" not in page()
