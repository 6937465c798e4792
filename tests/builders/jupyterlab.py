"""Starts JupyterLab and a headless Chromium, for tests and for the pictures in docs/.

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
from collections.abc import Iterator
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

ROOT = Path(__file__).parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")


@contextlib.contextmanager
def jupyterlab(project: Path, home: Path) -> Iterator[str]:
    """Serve a project on 127.0.0.1 and yield the address of its notebook 01."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token = secrets.token_hex(16)
    environment = os.environ | {
        "HOME": str(home),  # no user settings, no other kernels
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
    log = home / "lab.log"
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


@contextlib.contextmanager
def chromium(profile: Path, width: int, height: int) -> Iterator[webdriver.Chrome]:
    """Yield a headless Chromium whose page, without the browser's bars, has this size."""
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for option in ("headless=new", "no-sandbox", "disable-dev-shm-usage"):
        options.add_argument(f"--{option}")
    options.add_argument(f"--user-data-dir={profile}")
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    try:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        yield driver
    finally:
        driver.quit()


def run_all(driver: webdriver.Chrome, address: str, seconds: int = 60) -> None:
    """Open a notebook and run all its cells, until the explorer is shown.

    That of a restricted release is opened by its button.
    """
    driver.get(address)
    wait = WebDriverWait(driver, seconds, 0.1)
    wait.until(lambda d: d.find_elements(By.CSS_SELECTOR, ".jp-Notebook .jp-CodeCell"))
    bar = (By.CSS_SELECTOR, "#jp-main-statusbar")
    wait.until(lambda d: "| Idle" in "".join(found.text for found in d.find_elements(*bar)))
    driver.execute_script("window.jupyterapp.commands.execute('runmenu:run-all')")
    button = (By.XPATH, "//button[normalize-space()='Open the explorer']")
    explorer = (By.CSS_SELECTOR, ".medalign .ma-top")
    wait.until(lambda d: d.find_elements(*button) or d.find_elements(*explorer))
    for found in driver.find_elements(*button):
        found.click()
    wait.until(lambda d: d.find_elements(*explorer))
