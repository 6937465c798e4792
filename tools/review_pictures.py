"""Photographs the pages of a review for the documentation.

`python -m tools.review_pictures` plans reviews of the demo in a temporary folder, opens them in a
headless Chromium and writes docs/review-judge.png, -reference.png and -submit.png. The patients and
responses are the demo's, which are synthetic; what a rater seems to have done, this program did. It
needs the demo's run (`make reproduce`) and Debian's packages chromium and chromium-driver.
"""

import argparse
import os
import shutil
import tempfile
import time
from pathlib import Path

from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from medalign_utils.config import load_experiment
from medalign_utils.review.plan import make_plan, write_plan
from medalign_utils.review_app.server import serving
from medalign_utils.run import Run
from tests.builders.jupyterlab import ROOT, chromium
from tests.builders.review_page import ReviewPage

COLORS = 128  # enough for a page, and small
ASKED = (
    "When was the last echocardiogram, and what was the ejection fraction?",
    "List the current anticoagulants with doses.",
    "Has the patient had a reaction to contrast?",
)
SELECT = """const range = document.createRange();
    range.selectNodeContents(document.querySelector('.ma-text mark'));
    getSelection().removeAllRanges();
    getSelection().addRange(range);"""


def main() -> None:
    """Write the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=int, default=1440)
    parser.add_argument("--height", type=int, default=900)
    parser.add_argument("--out", type=Path, default=ROOT / "docs")
    parser.add_argument("--only", choices=PAGES, action="append")
    args = parser.parse_args()
    out = args.out.absolute()
    os.environ["PYTHONPATH"] = str(ROOT)
    with tempfile.TemporaryDirectory() as name:
        project = Path(name)
        for shared in ("Snakefile", "data", "runs", "params"):
            (project / shared).symlink_to(ROOT / shared)
        (project / "notebooks").mkdir()
        shutil.copy(ROOT / "notebooks/10_review_responses.ipynb", project / "notebooks")
        os.chdir(project)
        os.environ["HOME"] = name
        for mode in args.only or PAGES:
            run = Run.of(load_experiment("params/demo.yaml") | {"experiment": mode})
            if mode == "judge":
                run = Run.of(load_experiment("params/demo.yaml"))
            options = {} if mode == "submit" else {"per_rater": 6}
            options |= {"training": 0, "repeats": 0} if mode == "judge" else {}
            folder = write_plan(make_plan(run, 1, mode=mode, **options))
            with (
                serving(folder.name, 8950) as [server],
                chromium(project / f"chromium-{mode}", args.width, args.height) as browser,
            ):
                browser.get(server.link)
                page = ReviewPage(browser, seconds=120)
                page.wait(lambda page=page: page.shown(".mr-cover .mr-big"))
                page.shown(".mr-cover .mr-big")[0].click()
                PAGES[mode](page)
                time.sleep(2)
                file = out / f"review-{mode}.png"
                browser.save_screenshot(str(file))
            _shrink(file)
            print(f"{file}: {file.stat().st_size / 1000:.0f} kB")


def _judge(page: ReviewPage) -> None:
    page.wait(lambda: page.shown(".mr-text"))
    page.press("1", "2", "A", "j", "v")
    page.wait(lambda: "ound" in page.text_of(".mr-found"))


def _reference(page: ReviewPage) -> None:
    page.wait(lambda: page.shown(".ma-text"))
    words = page.text_of(".mr-question").rstrip("?.").split()[-2:]
    page.press("/")
    ActionChains(page.browser).send_keys(f'"{" ".join(words)}"', Keys.ENTER, Keys.ESCAPE).perform()
    page.wait(lambda: page.shown(".ma-text mark"))
    page.browser.execute_script(SELECT + "document.activeElement.blur();")
    page.press("m")
    page.wait(lambda: page.shown(".mr-show"))
    page.press("v", "t")
    ActionChains(page.browser).send_keys("The record has it as").perform()
    page.wait_for_state("saved")


def _submit(page: ReviewPage) -> None:
    page.wait(lambda: page.shown(".mr-comment"))
    keys = ActionChains(page.browser).send_keys("Cardiology", Keys.TAB)
    for text in ASKED[:-1]:
        keys.send_keys(text).key_down(Keys.CONTROL).send_keys(Keys.ENTER).key_up(Keys.CONTROL)
    keys.send_keys(ASKED[-1]).perform()
    page.wait_for_state("saved")


PAGES = {"judge": _judge, "reference": _reference, "submit": _submit}


def _shrink(file: Path) -> None:
    from PIL import Image

    picture = Image.open(file).convert("RGB")
    picture.quantize(COLORS, dither=Image.Dither.NONE).save(file, optimize=True)


if __name__ == "__main__":
    main()
