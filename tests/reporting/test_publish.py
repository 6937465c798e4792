"""What the repository publishes of the demo is clean and up to date with the notebooks."""

import re
from pathlib import Path

import nbformat
import pytest

from medalign_utils.errors import MedAlignError
from medalign_utils.outputs import OUTPUTS
from medalign_utils.reporting import publish
from tests.builders.project import ROOT

PUBLISHED = [ROOT / f"docs/demo/{name}.ipynb" for name in OUTPUTS]
# Text that differs between machines, days or runs, or that a page cannot show.
UNCLEAN = {
    "path": r"(?<![\w.:/<>])/(?:\w[\w.-]*/)+\w|PosixPath|~/",
    "address": r"\bat 0x[0-9a-f]+|0x[0-9a-f]{8,}",
    "progress bar": r"\d+%\|| (?:it|batch|s)/s\b|/it\b|\d{2}:\d\d<",
    "time": r"\d{4}-\d\d-\d\dT\d\d:|\b20(?:2[2-9]|[3-9]\d)-\d\d-\d\d",
    "seconds": r"\b\d+(?:\.\d+)? ?(?:s|ms|sec|seconds|minutes)\b",
    "commit": r"\b[0-9a-f]{40}\b",
    "random id": r"\b[0-9a-f]{32}\b|\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-|T_[0-9a-f]{5}",
    "warning": r"Warning\b|Traceback",
    "widget": r"(?i)jupyter widget|widget-view|model_id",  # not the classes of a style sheet
}


def texts_of(notebook):
    """Return all text that a notebook shows or stores about its run."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {"text": output.get("text", "")})
            texts = [str(text) for kind, text in data.items() if not kind.startswith("image/")]
            if "show_errors(" in cell.source:  # records and responses may speak of seconds
                texts = [re.sub("<td.*?</td>", "", text, flags=re.DOTALL) for text in texts]
            yield from texts
            assert output.metadata == {} if "metadata" in output else output.name == "stdout"


def test_results_of_a_limited_run_are_not_published():
    with pytest.raises(MedAlignError, match="demo@20: results of a limited run are not published"):
        publish.publish("demo@20")


def unclean(text):
    return [kind for kind, pattern in UNCLEAN.items() if re.search(pattern, text)]


def test_every_picture_of_the_readme_is_published():
    readme = (ROOT / "README.md").read_text("utf-8")
    shown = re.findall(r"!\[[^]]*\]\(([^)]*)\)", readme)
    assert shown and all((ROOT / path).is_file() for path in shown)


def test_nothing_is_published_before_the_experiment_has_run(project):
    with pytest.raises(MedAlignError, match=r"missing .*make reproduce"):
        publish.publish()
    assert not Path("figures").exists() and not Path("docs").exists()


def test_another_experiments_table_shows_the_systems_that_the_demo_lacks(project):
    with pytest.raises(MedAlignError, match=r"no page shows mine"):
        publish.publish("mine")
    demo = (ROOT / "figures/05_evaluate_systems.csv").read_text()
    table = Path("runs/smollm2/tables/05_evaluate_systems.csv")
    table.parent.mkdir(parents=True)
    table.write_text(demo.replace("minilm-2k", "smollm2"))
    Path("figures").mkdir()
    Path("figures/05_evaluate_systems.csv").write_text(demo)
    for page in publish.PAGES:
        Path(page).parent.mkdir(parents=True, exist_ok=True)
    name = "smollm2-05_evaluate_systems"
    for page in publish.PAGES:
        Path(page).write_text(f"a\n<!-- {name} -->\n\n<!-- /{name} -->\nb\n")
    publish.publish("smollm2")
    assert Path(f"figures/{name}.csv").read_text() == table.read_text()
    for page in publish.PAGES:
        start, _, head, _, row, *end = Path(page).read_text().splitlines()
        assert [cell.strip() for cell in head.split("|")[1:3]] == ["System", "Context (tokens)"]
        assert re.match(
            r"\| smollm2 +\| +2,048 \| +80 \| 0\.\d\d \(0\.\d\d to 0\.\d\d\) \| +0 \|$", row
        )
        assert (start, end) == ("a", [f"<!-- /{name} -->", "b"])


def test_a_notebook_is_published_with_its_outputs_but_without_traces_of_its_run(tmp_path):
    v4, file, executed = nbformat.v4, tmp_path / "a.ipynb", tmp_path / "executed.ipynb"
    parameters = v4.new_code_cell("x = 1", id="1", metadata={"tags": ["parameters"]})
    timed = v4.new_code_cell("took", id="3", metadata={"tags": ["nbval-ignore-output"]})
    notebook = v4.new_notebook(cells=[parameters, v4.new_code_cell("x", id="2"), timed])
    nbformat.write(notebook, file)
    injected = v4.new_code_cell("x = 2", id="b7ff00", metadata={"tags": ["injected-parameters"]})
    widget = {publish._WIDGET: {"model_id": "e4f1"}, "text/plain": "closed"}
    notebook.cells.insert(1, injected)
    notebook.cells[2].outputs = [
        v4.new_output("stream", text="2"),
        v4.new_output("execute_result", widget, execution_count=3),
    ]
    notebook.cells[3].outputs = [v4.new_output("stream", text="3.1 s")]
    notebook.cells[2].metadata["papermill"] = {"start_time": "2026-11-30T13:45:00"}
    notebook.metadata["papermill"] = {"duration": 1.5}
    nbformat.write(notebook, executed)
    shown = publish.with_outputs(file, executed)
    nbformat.validate(shown)
    assert shown.metadata == {} and [cell.source for cell in shown.cells] == ["x = 1", "x", "took"]
    assert [cell.execution_count for cell in shown.cells] == [1, 2, 3]
    assert shown.cells[2].outputs == []  # times differ from run to run
    stream, result = shown.cells[1].outputs
    assert stream.text == "2" and shown.cells[1].metadata == {}
    assert result.data == {"text/plain": "closed"} and result.execution_count == 2


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.stem)
def test_a_published_notebook_is_the_notebook_with_clean_outputs(path):
    assert path.stat().st_size < 500_000
    shown = nbformat.read(path, as_version=4)
    counts = [cell.execution_count for cell in shown.cells if cell.cell_type == "code"]
    assert counts == [*range(1, len(counts) + 1)]
    texts = [*texts_of(shown)]
    assert texts
    for text in texts:
        assert unclean(text) == [], text
    source = nbformat.read(ROOT / f"notebooks/{path.name}", as_version=4)
    for cell in [cell for cell in shown.cells if cell.cell_type == "code"]:
        cell.outputs, cell.execution_count = [], None
    assert shown == source, "make figures"


def test_exactly_the_registered_notebooks_are_published():
    assert sorted((ROOT / "docs/demo").glob("*.ipynb")) == PUBLISHED


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("path", "read /home/a/medalign/runs/demo"),
        ("path", "PosixPath('a')"),
        ("address", "<Styler at 0x7f46e9d85e90>"),
        ("progress bar", "records:   0%|          | 0/24 [00:00<?, ?it/s]"),
        ("time", "2026-11-30 13:45"),
        ("seconds", "took 3.1 s"),
        ("commit", "16809dc0e7f1c8a9b3d2e4f5061728394a5b6c7d"),
        ("random id", "7d7de90c-5cf2-4d1f-8a5e-aa0a7d9a4c55"),
        ("random id", '<table id="T_8f3a1">'),
        ("warning", "UserWarning: x"),
        ("widget", "A Jupyter Widget"),
    ],
)
def test_traces_of_a_run_are_found(kind, text):
    assert kind in unclean(text)
