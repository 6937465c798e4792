"""What a notebook saves in its run."""

from PIL import Image

from medalign_utils import paths
from medalign_utils.run import Run


def test_a_sentence_is_printed_and_saved_where_a_figure_does_not_apply(project, monkeypatch):
    displayed = []
    monkeypatch.setattr("IPython.display.display", displayed.append)
    run = Run("x", "data/x", notebook="05_evaluate_systems")
    run.save("There is one system.", "pairs")
    assert [output.data for output in displayed] == ["<p>There is one system.</p>"]
    picture = Image.open(paths.figure("x", "05_evaluate_systems-pairs"))
    assert picture.width > 5 * picture.height  # a line of text
    assert len(picture.getcolors(10_000)) > 2
