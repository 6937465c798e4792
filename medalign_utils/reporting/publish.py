"""`make figures`: what the repository shows of the demo, written from its finished run.

`figures/` gets the figures and tables, `docs/demo/` the executed notebooks with their outputs, and
README.md and docs/results.md the tables, each between its two comments
(`<!-- 05_evaluate_systems -->` and `<!-- /05_evaluate_systems -->`). Of another experiment, `make
figures EXPERIMENT=params/smollm2.yaml` shows its tables alone (`<!-- smollm2-05_evaluate_systems
-->`).
"""

import io
import re
import shutil
import sys
from base64 import b64decode, b64encode
from pathlib import Path

import nbformat
from PIL import Image

from medalign_utils.errors import MedAlignError
from medalign_utils.outputs import OUTPUTS
from medalign_utils.paths import figure, project_root, require, resolve, table
from medalign_utils.reporting.results_table import markdown_table, read_table, without_not_scored

PAGES = ("README.md", "docs/results.md")
DEMO = "05_evaluate_systems"
# The tables of the pages, and their columns. The name of another experiment's begins with its own;
# it shows the systems that the demo does not have.
TABLES = {
    DEMO: ["system", "context_tokens", "n", "correct", "win_rate", "mean_rank"],
    "05_evaluate_systems-contexts": ["system", "context_tokens", "correct", "difference"],
    "06_correlate_metrics": "metric n n_undefined mean_tau mean_tau_undefined_as_0".split(),
    f"smollm2-{DEMO}": ["system", "context_tokens", "n", "correct"],
}
# What pages without a kernel cannot show; its id is random.
_WIDGET = "application/vnd.jupyter.widget-view+json"


def publish(experiment: str = "demo") -> None:
    """Write what the repository shows of an experiment: of the demo all, of another its tables."""
    root = project_root()
    figures, shown = root / "figures", root / "docs/demo"
    prefix = "" if experiment == "demo" else f"{experiment}-"
    names = [name for name in TABLES if re.match(rf"{prefix}\d", name)]
    copies = {table(experiment, name.removeprefix(prefix)): f"{name}.csv" for name in names}
    notebooks = {}
    if experiment == "demo":
        copies |= {file: file.name for file in sorted(figure(experiment, "").parent.glob("*.png"))}
        sources = [root / f"notebooks/{name}.ipynb" for name in OUTPUTS]
        notebooks = {file: resolve(f"runs/demo/notebooks/{_executed(file)}") for file in sources}
    if not copies:
        raise MedAlignError(f"no table of {experiment} is shown; `TABLES` in publish.py lists them")
    require(experiment, *copies, *notebooks.values())
    for folder in (figures, shown):
        folder.mkdir(parents=True, exist_ok=True)
    for file, name in copies.items():
        shutil.copyfile(file, figures / name)
    for source, copy in notebooks.items():
        nbformat.write(with_outputs(source, copy), shown / source.name)
    for page in (root / name for name in PAGES):
        page.write_text(with_tables(page.read_text("utf-8"), figures), encoding="utf-8")


def with_tables(page: str, figures: Path) -> str:
    """Return a page with the tables of `figures/` between their pairs of comments."""
    for name, columns in TABLES.items():
        if f"<!-- {name} -->" not in page:
            continue
        found = read_table(figures / f"{name}.csv")
        if not name[0].isdigit():
            found = found[~found["system"].isin(read_table(figures / f"{DEMO}.csv")["system"])]
        shown, skipped = without_not_scored(found)
        content = markdown_table(shown, columns) + f"\n\n{skipped}" * bool(skipped)
        pattern = f"(<!-- {name} -->\n).*?(\n<!-- /{name} -->)"
        page = re.sub(pattern, lambda m, text=content: m[1] + text + m[2], page, flags=re.DOTALL)
    return page


def with_outputs(notebook: Path, executed: Path) -> nbformat.NotebookNode:
    """Return a notebook with the outputs of its executed copy and nothing else of that run."""
    shown = nbformat.read(notebook, as_version=4)
    outputs = {c.id: c.get("outputs") for c in nbformat.read(executed, as_version=4).cells}
    code = [cell for cell in shown.cells if cell.cell_type == "code"]
    for count, cell in enumerate(code, start=1):
        cell.execution_count, cell.outputs = count, outputs[cell.id]
        for output in cell.outputs:
            data = output.get("data", {})
            data.pop(_WIDGET, None)
            if "image/png" in data:
                data["image/png"] = _with_palette(data["image/png"])
            if "execution_count" in output:
                output.execution_count = count
    return shown


def _with_palette(png: str) -> str:
    """Return a PNG in Base64 with 256 colours, which takes a third of the space."""
    content = io.BytesIO()
    image = Image.open(io.BytesIO(b64decode(png))).convert("RGB")
    image.quantize(dither=Image.Dither.NONE).save(content, "PNG", optimize=True)
    return b64encode(content.getvalue()).decode()


def _executed(notebook: Path) -> str:
    """Return the name of a notebook's executed copy; one of a system's, of its default system."""
    system = re.search(r'"system = \\"(.+?)\\"', notebook.read_text(encoding="utf-8"))
    return f"{notebook.stem}-{system[1]}.ipynb" if system else notebook.name


if __name__ == "__main__":
    publish(*sys.argv[1:])
