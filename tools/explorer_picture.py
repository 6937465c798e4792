"""Photographs the explorer for the documentation.

`python -m tools.explorer_picture` opens the demo's notebook 01 in JupyterLab in a headless
Chromium, runs it and writes docs/explorer.png. It needs the demo's run (`make reproduce`) and
Debian's packages chromium and chromium-driver.
"""

import argparse
import tempfile
from pathlib import Path

from selenium.webdriver.support.ui import WebDriverWait

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
            script = "return document.querySelector('.medalign .ma-response') !== null"
            WebDriverWait(browser, 60).until(lambda _: browser.execute_script(script))
            # Figures above it may still change their height.
            for _ in range(5):
                browser.execute_script("document.querySelector('.medalign').scrollIntoView()")
                browser.implicitly_wait(1)
            box = browser.find_element("css selector", ".medalign")
            box.screenshot(str(args.out))


if __name__ == "__main__":
    main()
