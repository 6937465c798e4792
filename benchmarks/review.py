"""What a rater's page costs: key presses and clicks per item, and how long the rater waits.

Raters, who are programs, judge at the same time in headless Chromium, each on a server of their own
as `make review` starts them. Records are those of a synthetic release; one is made of all of them
and has 100,000 events. Prints a table; needs chromium and chromedriver.

    PYTHONPATH=. .venv/bin/python benchmarks/review.py --raters 5
"""

import argparse
import os
import random
import re
import shutil
import statistics
import tempfile
import threading
import time
from itertools import cycle
from pathlib import Path

import pandas as pd
from selenium.webdriver.common.keys import Keys

from medalign_utils.data.release import load_release
from medalign_utils.review import folder as files
from medalign_utils.review_app.server import serving
from medalign_utils.synthetic.release import write_release
from tests.builders.jupyterlab import ROOT, chromium
from tests.builders.review_page import ReviewPage

EXPERIMENT, LARGE, EVENTS = "timed", "1000001", 100_000
LARGE_ITEM = 3
LETTERS = "ABCDEF"
# Times in the browser, from Saving, which a key press shows at once, until Saved.
MEASURE = """window.times = []; let pressed = null;
new MutationObserver(() => {
  const {kind} = document.querySelector('.mr-state').dataset;
  if (kind === 'saving') pressed ??= performance.now();
  if (kind !== 'saved' || pressed === null) return;
  window.times.push(performance.now() - pressed);
  pressed = null;
}).observe(document.querySelector('.mr-state'), {attributes: true});"""
RECORD = "return document.querySelector('.ma-person')?.textContent ?? ''"


def write_large_record(release: Path) -> None:
    """Join the encounters of all records, again and again, to one of `EVENTS` events."""
    parts, n = [], 0
    for file in cycle(sorted((release / "ehrs").glob("*.xml"))):
        text = file.read_text(encoding="utf-8")
        inside = re.search(r"<eventstream[^>]*>(.*)</eventstream>", text, re.DOTALL)[1]
        parts.append(re.sub(r"<person>.*?</person>", "", inside, flags=re.DOTALL))
        n += text.count("<event ")
        if n >= EVENTS:
            break
    text = f'<eventstream person_id="{LARGE}">{"".join(parts)}</eventstream>'
    (release / f"ehrs/{LARGE}.xml").write_text(text, encoding="utf-8")


def write_review(release: Path, raters: list[str], n_items: int) -> None:
    """Write a review of items about different patients, one of them with the large record."""
    data = load_release(release)
    asked = data.instructions.merge(data.references, on="instruction_id").dropna(subset="person_id")
    first = asked.drop_duplicates("person_id").head(n_items)
    place = files.review_folder(EXPERIMENT)
    plan = {"version": files.VERSION, "experiment": EXPERIMENT, "release": str(release)}
    plan |= {"columns": {}, "mode": "judge", "reference": "after", "seed": 1, "round": 1}
    plan["created"] = "2026-01-01"
    files.write_json(plan | {"raters": raters}, files.plan_file(place))
    write_large_record(release)
    rng = random.Random(1)
    for rater in raters:
        items = []
        for i, row in enumerate(first.itertuples(), start=1):
            person = LARGE if i == LARGE_ITEM else row.person_id
            texts = [row.reference, *rng.sample(sorted(asked["reference"]), len(LETTERS) - 1)]
            item = {"item": f"{rater}-{i:03}", "kind": "judge", "person_id": person}
            item |= {"instruction_id": row.instruction_id, "question": row.question}
            item |= {"category": row.category, "reference": row.reference, "feedback": None}
            item |= {"evidence": None, "responses": dict(zip(LETTERS, texts, strict=True))}
            items.append(item)
        files.write_items(items, files.items_file(place, rater))


class Rater(threading.Thread):
    """A program that judges all items of one rater, as fast as the page lets it."""

    def __init__(self, link: str, n_items: int, profile: Path, barrier: threading.Barrier) -> None:
        super().__init__()
        self.link, self.n_items, self.profile, self.barrier = link, n_items, profile, barrier
        self.saved: list[float] = []  # ms
        self.opened: list[tuple[str, float]] = []  # how, s
        self.keys: list[int] = []

    def run(self) -> None:
        with chromium(self.profile, 1440, 900) as browser:
            page = ReviewPage(browser, 90)
            browser.get(self.link)
            page.wait(lambda: page.shown(".mr-cover .mr-big"))
            browser.execute_script(MEASURE)
            self.barrier.wait()
            page.start()
            for number in range(1, self.n_items + 1):
                page.wait_for_item(number)
                page.keys = 0
                for key in "123121be=cadf":
                    page.press(key)
                    page.wait_for_state("saved")
                size = "100,000 events" if number + 1 == LARGE_ITEM else "a demo's record"
                self.open(
                    page, f"{size}, the next item", Keys.ENTER, is_last=number == self.n_items
                )
                self.keys.append(page.keys)
            self.saved = browser.execute_script("return window.times")
            page.press("l", *[Keys.ARROW_UP] * (self.n_items - LARGE_ITEM))
            self.open(page, "100,000 events, chosen from the list", Keys.ENTER)

    def open(self, page: ReviewPage, how: str, key: str, *, is_last: bool = False) -> None:
        """Press a key, and time how long it takes until another record is on the page."""
        before, began = page.browser.execute_script(RECORD), time.perf_counter()
        page.press(key)
        if not is_last:
            page.wait(lambda: page.browser.execute_script(RECORD) not in (before, ""))
            self.opened.append((how, time.perf_counter() - began))


def measure(n_raters: int, n_items: int) -> pd.DataFrame:
    """Return the table: what was measured, n, median and largest value."""
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder) / "project"
        shutil.copytree(ROOT / "notebooks", project / "notebooks")
        shutil.copy(ROOT / "Snakefile", project)
        os.chdir(project)
        write_release(project / "data/demo")
        raters = [f"R{n}" for n in range(1, n_raters + 1)]
        write_review(project / "data/demo", raters, n_items)
        barrier = threading.Barrier(n_raters)
        with serving(EXPERIMENT, 8900) as servers:
            threads = [
                Rater(server.link, n_items, Path(folder) / server.rater, barrier)
                for server in servers
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    values = {
        "key presses per item, after one click on Start": [n for t in threads for n in t.keys],
        "ms from a key press to Saved": [ms for t in threads for ms in t.saved],
    }
    for how, seconds in sorted(row for t in threads for row in t.opened):
        values.setdefault(f"s to open: {how}", []).append(seconds)
    rows = [(name, len(v), statistics.median(v), max(v)) for name, v in values.items()]
    return pd.DataFrame(rows, columns=[f"{n_raters} raters", "n", "median", "largest"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--raters", type=int, default=5)
    parser.add_argument("--items", type=int, default=6)
    args = parser.parse_args()
    print(measure(args.raters, args.items).round(2).to_string(index=False))


if __name__ == "__main__":
    main()
