"""Photographs the explorer for the documentation.

`python -m tools.explorer_picture` opens the demo's notebook 01 in JupyterLab in a headless
Chromium, runs it and writes docs/explorer.png. It needs the demo's run (`make reproduce`) and
Debian's packages chromium and chromium-driver.
"""

import argparse
import tempfile
import time
from pathlib import Path

from selenium import webdriver

from tests.builders.jupyterlab import ROOT, chromium, jupyterlab, run_all

PICTURE = ROOT / "docs/explorer.png"


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=int, default=1440)
    parser.add_argument("--height", type=int, default=900)
    parser.add_argument("--out", type=Path, default=PICTURE)
    parser.add_argument("--address", default="", help="patient/event/instruction to open")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with (
            jupyterlab(ROOT, folder / "home") as lab,
            chromium(folder / "chromium", args.width, args.height) as browser,
        ):
            run_all(browser, f"{lab}#medalign={args.address}", 300)
            hide = "window.jupyterapp.commands.execute('application:toggle-left-area')"
            browser.execute_script(hide)
            _wait_until_unchanged(browser)
            box = browser.find_element("css selector", ".medalign")
            box.screenshot(str(args.out))


def _wait_until_unchanged(browser: webdriver.Chrome, seconds: int = 4) -> None:
    """Wait until the explorer shows a note and looks the same for some seconds."""
    before, unchanged = "", 0
    while unchanged < seconds:
        # Figures above it may still change their height.
        browser.execute_script("document.querySelector('.medalign').scrollIntoView()")
        html = browser.find_element("css selector", ".medalign").get_attribute("outerHTML")
        unchanged = unchanged + 1 if html == before and "ma-note-title" in html else 0
        before = html
        time.sleep(1)


if __name__ == "__main__":
    main()
