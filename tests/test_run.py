"""What a notebook saves in its run."""

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from PIL import Image

from medalign_utils import paths
from medalign_utils.errors import MedAlignError
from medalign_utils.run import Run
from medalign_utils.synthetic import write_release


def test_a_sentence_is_printed_and_saved_where_a_figure_does_not_apply(project, monkeypatch):
    displayed = []
    monkeypatch.setattr("IPython.display.display", displayed.append)
    run = Run("x", "data/x", notebook="05_evaluate_systems")
    run.save("There is one system.", "pairs")
    assert [output.data for output in displayed] == ["<p>There is one system.</p>"]
    picture = Image.open(paths.figure("x", "05_evaluate_systems-pairs"))
    assert picture.width > 5 * picture.height  # a line of text
    assert len(picture.getcolors(10_000)) > 2


def test_tables_and_figures_of_a_limited_run_say_so(project):
    write_release(project / "data/x", patients=2, instructions=8, seed=1)
    runs = {n: Run(f"x{name}", "data/x", notebook="05_evaluate_systems").limited(n)
            for n, name in ((None, ""), (2, "@2"))}  # fmt: skip
    with pytest.warns(UserWarning, match=r"^x@2: limited to 2 of \d instructions$"):
        limited_to = runs[2].limited_to
    table = pd.DataFrame({"system": ["a", "b"]})
    saved, pictures = {}, {}
    for limit, run in runs.items():
        run.save(table, "pairs")
        saved[limit] = run.read_table("05_evaluate_systems", "pairs")
        ax = plt.subplots(figsize=(2, 2), layout="constrained")[1]
        run.save(ax, "accuracy")
        file = paths.figure(run.experiment, "05_evaluate_systems-accuracy")
        pictures[limit] = np.asarray(Image.open(file))
        title = ax.figure.get_suptitle()
        assert title == ("" if limit is None else f"Limited to {limited_to}")
    assert saved[None].equals(table)
    assert saved[2].equals(table.assign(limited_to=limited_to))
    assert not np.array_equal(pictures[None], pictures[2])
    plt.close("all")


@pytest.mark.parametrize(("name", "limit"), [("x", 20), ("x@5", 20), ("x@20", None)])
def test_a_limited_run_cannot_replace_another(name, limit):
    with pytest.raises(MedAlignError, match=f"limit = {limit} needs experiment = 'x(@20)?', so"):
        Run(name, "data/x").limited(limit)
