"""What the repository shows of the demo is what a fresh run of the demo makes."""

import io
import os
import re
import shutil
from base64 import b64decode

import matplotlib.image
import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pandas as pd
import pytest
from selenium.webdriver.common.by import By

from medalign_utils.reporting.publish import PAGES
from tests.builders.jupyterlab import CHROMIUM, DRIVER, chromium
from tests.builders.project import ROOT, copy_project, run


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    """A copy of the project in which the demo has run and has been published."""
    project = copy_project(tmp_path_factory.mktemp("demo"))
    shutil.copytree(ROOT / "docs/demo", project / "docs/shown")
    of_demo = shutil.ignore_patterns("[0-9]*")  # tables of other experiments stay
    shutil.copytree(ROOT / "figures", project / "figures", ignore=of_demo)
    for page in PAGES:
        shutil.copy(ROOT / page, project / page)
    (project / "benchmarks").mkdir()
    for file in ROOT.glob("benchmarks/*.csv"):
        shutil.copy(file, project / "benchmarks")
    run(project, "snakemake", "--cores", "2")
    run(project, "python", "-m", "medalign_utils", "publish", "params/demo.yaml")
    return project


def pictures_of(project):
    """Return where a picture is shown -> PNG."""
    pictures = {file.name: file.read_bytes() for file in project.glob("figures/*.png")}
    for file in project.glob("docs/demo/*.ipynb"):
        for cell in nbformat.read(file, as_version=4).cells:
            for i, output in enumerate(cell.get("outputs", [])):
                if png := output.get("data", {}).get("image/png"):
                    pictures[f"{file.name}, cell {cell.id}, output {i}"] = b64decode(png)
    return pictures


def difference(first, second):
    """Return the mean absolute difference of two PNGs' values, which are from 0 to 1."""
    a, b = (matplotlib.image.imread(io.BytesIO(png)) for png in (first, second))
    return np.abs(a - b).mean() if a.shape == b.shape else 1.0


# A digit that another processor's fonts draw otherwise is less, a point that has moved is more.
SAME = 1e-4


def test_a_point_that_has_moved_is_a_difference():
    pngs = []
    for x in (0.5, 0.5, 0.51):
        figure, ax = plt.subplots(figsize=(3.4, 2.5))
        ax.plot([0, x, 1], [0, 0.5, 1], "o")
        content = io.BytesIO()
        figure.savefig(content, dpi=300)
        plt.close(figure)
        pngs.append(content.getvalue())
    assert difference(pngs[0], pngs[1]) == 0
    assert difference(pngs[0], pngs[2]) > SAME


@pytest.mark.slow
def test_pictures_and_tables_are_those_of_a_fresh_run(fresh):
    shown, made = pictures_of(ROOT), pictures_of(fresh)
    assert shown.keys() == made.keys()
    assert [name for name in shown if difference(shown[name], made[name]) > SAME] == []
    for file in sorted(ROOT.glob("figures/[0-9]*.csv")):
        pd.testing.assert_frame_equal(pd.read_csv(file), pd.read_csv(fresh / "figures" / file.name))
    for page in PAGES:
        assert (fresh / page).read_text("utf-8") == (ROOT / page).read_text("utf-8")


@pytest.mark.slow
def test_published_notebooks_run_to_the_outputs_that_they_show(fresh):
    nbval = ("--nbval", "--nbval-cell-timeout=600", "-p", "no:cacheprovider")
    notebooks = sorted((fresh / "docs/shown").glob("*.ipynb"))
    run(fresh, "pytest", "--rootdir", fresh, "-c", os.devnull, *nbval, *notebooks)
    # They wrote what the workflow had written, so it has nothing to do.
    done = run(fresh, "snakemake", "--cores", "2", "--dry-run")
    assert "Nothing to be done" in done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs Debian's chromium-driver")
def test_the_report_begins_with_the_result_and_is_short_on_paper(fresh, tmp_path):
    with chromium(tmp_path / "chromium", 1440, 900) as browser:
        browser.get(f"file://{fresh / 'runs/demo/report.html'}")
        height = browser.execute_script("return window.innerHeight")
        findings = browser.find_elements(By.CSS_SELECTOR, ".findings li")
        first = [*findings, *browser.find_elements(By.CSS_SELECTOR, ".headline > *")]
        ends = [element.rect["y"] + element.rect["height"] for element in first]
        assert len(findings) == 3 and len(first) == 5 and max(ends) < height
        printed = b64decode(browser.print_page())
    assert 6 <= len(re.findall(rb"/Type\s*/Page\b", printed)) <= 10
