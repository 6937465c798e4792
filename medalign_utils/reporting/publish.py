"""`make figures`: write the demo's results, from its finished run, to the repository's pages.

Figures and tables go to `figures/`, with a page that shows all figures; executed notebooks with
their outputs to `docs/demo/`. Pages get tables, each between two comments (`<!--
05_evaluate_systems -->` and `<!-- /05_evaluate_systems -->`), and the numbers of their prose
(`prose`). For another experiment, `make figures EXPERIMENT=params/smollm2.yaml` writes only tables
(`<!-- smollm2-05_evaluate_systems -->`).
"""

import io
import re
import shutil
from base64 import b64decode, b64encode
from pathlib import Path

import nbformat
from PIL import Image

from medalign_utils.errors import MedAlignError
from medalign_utils.outputs import FIGURE_KINDS, OUTPUTS, stem
from medalign_utils.paths import figure, project_root, require, resolve, table, without_limit
from medalign_utils.reporting.benchmark_tables import BENCHMARKS, benchmark_table
from medalign_utils.reporting.contact_sheet import contact_sheet
from medalign_utils.reporting.prose import with_values
from medalign_utils.reporting.results_table import markdown_table, read_table, without_not_scored

PAGES = (
    "README.md",
    "docs/card.md",
    "docs/labels.md",
    "docs/metrics_and_statistics.md",
    "docs/results.md",
    "docs/scaling.md",
    "models/comet-compact/README.md",
)
DEMO = "05_evaluate_systems"
# Table on a page -> its columns. A table of another experiment has that experiment's name as prefix
# and shows only systems that are not in the demo.
TABLES = {
    DEMO: ["system", "context_tokens", "n", "correct", "win_rate", "mean_rank"],
    "05_evaluate_systems-contexts": [
        *("system", "context_tokens", "correct", "difference", "sign_flip_p_holm"),
    ],
    "06_correlate_metrics": "metric n n_undefined mean_tau mean_tau_undefined_as_0".split(),
    f"smollm2-{DEMO}": ["system", "context_tokens", "n", "correct", "cut"],
}
# Tables of the demo that the prose quotes.
_QUOTED = ("05_evaluate_systems-pairs", "06_correlate_metrics-pairs")
# A cell with this tag shows what differs from run to run; nbval does not compare it either.
_UNPUBLISHED = "nbval-ignore-output"
# Widgets, which pages without a kernel cannot show, and which have random ids.
_WIDGET = "application/vnd.jupyter.widget-view+json"


def publish(experiment: str = "demo") -> None:
    """Write the demo's figures, tables and notebooks, or another experiment's tables.

    Raises:
        MedAlignError: the run is limited, no page shows the experiment, or its files are missing.
    """
    if without_limit(experiment) != experiment:
        raise MedAlignError(
            f"{experiment}: results of a limited run are not published; run it without `limit:`"
        )
    root = project_root()
    figures, shown = root / "figures", root / "docs/demo"
    prefix = "" if experiment == "demo" else f"{experiment}-"
    names = [name for name in TABLES if re.match(rf"{prefix}\d", name)]
    copies = {table(experiment, name.removeprefix(prefix)): f"{name}.csv" for name in names}
    notebooks = {}
    if experiment == "demo":
        drawn = [stem(name, suffix) for name in OUTPUTS for suffix in OUTPUTS[name].figures]
        files = [figure(experiment, name, kind) for name in drawn for kind in FIGURE_KINDS]
        copies |= {file: file.name for file in files}
        copies |= {table(experiment, name): f"{name}.csv" for name in _QUOTED}
        sources = [root / f"notebooks/{name}.ipynb" for name in OUTPUTS]
        notebooks = {file: resolve(f"runs/demo/notebooks/{_executed(file)}") for file in sources}
    if not copies:
        raise MedAlignError(f"no page shows {experiment}; `TABLES` in publish.py lists the tables")
    require(experiment, *copies, *notebooks.values())
    for folder in (figures, shown):
        folder.mkdir(parents=True, exist_ok=True)
    for file, name in copies.items():
        shutil.copyfile(file, figures / name)
        if file.suffix == ".png":
            (figures / name).write_bytes(_with_palette(file.read_bytes()))
    if experiment == "demo":
        (figures / "README.md").write_text(contact_sheet(figures), encoding="utf-8")
    for source, copy in notebooks.items():
        nbformat.write(with_outputs(source, copy), shown / source.name)
    for page in (root / name for name in PAGES):
        page.write_text(filled(page.read_text("utf-8"), root), encoding="utf-8")


def filled(page: str, root: Path) -> str:
    """Return a page with its tables and the values in its prose from files below the root."""
    for name in re.findall("^<!-- ([^/ ]+) -->$", page, flags=re.MULTILINE):
        if name in TABLES:
            content = _result_table(name, root / "figures")
        elif name in BENCHMARKS:
            content = benchmark_table(name, root)
        else:
            continue  # another program writes it
        pattern = f"(<!-- {name} -->\n).*?\n?(<!-- /{name} -->)"
        page = re.sub(
            pattern, lambda m, text=content: f"{m[1]}{text}\n{m[2]}", page, flags=re.DOTALL
        )
    return with_values(page, root)


def _result_table(name: str, figures: Path) -> str:
    """Return a table of an experiment's results in Markdown."""
    found = read_table(figures / f"{name}.csv")
    if not name[0].isdigit():
        found = found[~found["system"].isin(read_table(figures / f"{DEMO}.csv")["system"])]
    shown, skipped = without_not_scored(found)
    return markdown_table(shown, TABLES[name]) + f"\n\n{skipped}" * bool(skipped)


def with_outputs(notebook: Path, executed: Path) -> nbformat.NotebookNode:
    """Return a notebook with the outputs of its executed copy, but nothing else of that copy.

    Cells with the tag `nbval-ignore-output` have no outputs.
    """
    shown = nbformat.read(notebook, as_version=4)
    outputs = {c.id: c.get("outputs") for c in nbformat.read(executed, as_version=4).cells}
    code = [cell for cell in shown.cells if cell.cell_type == "code"]
    for count, cell in enumerate(code, start=1):
        is_shown = _UNPUBLISHED not in cell.metadata.get("tags", [])
        cell.execution_count, cell.outputs = count, outputs[cell.id] if is_shown else []
        for output in cell.outputs:
            data = output.get("data", {})
            data.pop(_WIDGET, None)
            if "image/png" in data:
                data["image/png"] = b64encode(_with_palette(b64decode(data["image/png"]))).decode()
            if "execution_count" in output:
                output.execution_count = count
    return shown


def _with_palette(png: bytes) -> bytes:
    """Return a PNG with 256 colours, which takes a third of the space."""
    content = io.BytesIO()
    image = Image.open(io.BytesIO(png))
    options = {"dpi": image.info["dpi"]} if "dpi" in image.info else {}
    image = image.convert("RGB").quantize(dither=Image.Dither.NONE)
    image.save(content, "PNG", optimize=True, **options)
    return content.getvalue()


def _executed(notebook: Path) -> str:
    """Return the name of a notebook's executed copy, for its default system if it runs for one."""
    system = re.search(r'"system = \\"(.+?)\\"', notebook.read_text(encoding="utf-8"))
    return f"{notebook.stem}-{system[1]}.ipynb" if system else notebook.name
