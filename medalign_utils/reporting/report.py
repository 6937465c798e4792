"""The report of a run: notebook 10, executed and rendered as one HTML file that loads nothing."""

import html
import json
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from IPython.display import HTML

from medalign_utils import paths
from medalign_utils.data.disclosure import unknown_text
from medalign_utils.outputs import OUTPUTS, stem
from medalign_utils.reporting.jobs import execute
from medalign_utils.reporting.provenance import describe_run, read_tables, write_run
from medalign_utils.reporting.results_table import to_html

NOTEBOOK = "10_report"
# A longer table is folded away.
_LONG = 15
_PAPER = "08_reproduce_paper"
_STYLE = """
body { max-width: 70rem; margin: 0 auto; padding: 1rem; font: 16px/1.5 sans-serif; }
img { max-width: 100%; max-height: 36rem; }
table { border-collapse: collapse; font-size: .8rem; margin: .5rem 0 1rem; }
th, td { padding: .2rem .6rem; border-bottom: 1px solid #ddd; text-align: left; }
figure { margin: 1.5rem 0; overflow-x: auto; }
figcaption { max-width: 44rem; font-size: .9rem; }
.warning { border-left: 3px solid #a84300; padding-left: 1rem; }
td { overflow-wrap: anywhere; min-width: 3rem; }
"""


def write_report(experiment: Mapping[str, Any], systems: Mapping[str, Mapping[str, Any]]) -> Path:
    """Write `runs/<experiment>/report.html` from what the run has; return its path.

    It names what is missing. Arguments as for `provenance.describe_run`.

    Raises:
        MedAlignError: a table has rows of patients, instructions or responses; the release cannot
            be loaded.
    """
    name = experiment["experiment"]
    run = describe_run(experiment, systems)
    write_run(run)
    executed = paths.resolve(f"runs/{name}/notebooks/{NOTEBOOK}.ipynb")
    execute(paths.resolve(f"notebooks/{executed.name}"), executed, {"experiment": name})
    if run["is_restricted"]:
        executed.chmod(0o600)
    import nbformat
    from nbconvert import HTMLExporter

    exporter = HTMLExporter(template_name="basic", mathjax_url="", require_js_url="")
    exporter.exclude_input = exporter.exclude_output_prompt = True
    shown = nbformat.read(executed, as_version=4)
    # A cell without outputs would leave its random id.
    shown.cells = [c for c in shown.cells if c.get("outputs") or c.cell_type == "markdown"]
    shown.cells = [c for c in shown.cells if c.source != "## Checks"]
    body, _ = exporter.from_notebook_node(shown)
    page = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f"<title>MedAlign: {html.escape(name)}</title>\n<style>{_STYLE}</style>\n"
        f"</head>\n<body>\n{body}\n</body>\n</html>\n"
    )
    return paths.write_text(page, paths.report(name), private=run["is_restricted"])


def load_run(experiment: str) -> dict[str, Any]:
    """Return what `run.json` says of a run; see `provenance.describe_run`."""
    return json.loads(paths.run_record(experiment).read_text(encoding="utf-8"))


def show_summary(run: Mapping[str, Any]) -> HTML:
    """Return what the run is, and a warning if it is not complete."""
    failures = [f"{gap['what']}: {gap['why']}" for gap in run["gaps"] if gap["is_failure"]]
    about, lost = (
        "".join(f"<p>{html.escape(sentence)}</p>" for sentence in sentences)
        for sentences in (run["about"], failures)
    )
    if lost:
        lost = f"<p><strong>This run is not complete.</strong></p>{lost}"
    return HTML(f"{about}<div class='warning'>{lost}</div>")


def show_results(run: Mapping[str, Any]) -> HTML:
    """Return every registered table and figure of the run, under its notebook's question.

    Of a restricted release without columns of free text.
    """
    name = run["experiment"]
    tables = read_tables(name)
    captions = _verdicts(tables)
    sections = []
    for notebook, outputs in OUTPUTS.items():
        blocks = []
        for suffix, caption in outputs.tables.items():
            key = stem(notebook, suffix)
            if key in tables:
                table = tables[key].drop(columns="signature", errors="ignore")  # in the settings
                if run["is_restricted"]:
                    table = table.drop(columns=unknown_text(table))
                blocks.append(_figure(_table(table), captions.get(key, caption), f"{key}.csv"))
        for suffix, caption in outputs.figures.items():
            file = paths.figure(name, stem(notebook, suffix))
            if file.is_file():
                source = f"data:image/png;base64,{b64encode(file.read_bytes()).decode()}"
                image = f'<img src="{source}" alt="{html.escape(caption)}">'
                blocks.append(_figure(image, caption, file.name))
        if blocks:
            sections.append(f"<h2>{html.escape(_question(notebook))}</h2>{''.join(blocks)}")
    return HTML("".join(sections))


def show_gaps(run: Mapping[str, Any]) -> HTML:
    """Return what the report does not show, and why."""
    return HTML(_table(pd.DataFrame(run["gaps"], columns=["what", "why"])))


def show_settings(run: Mapping[str, Any]) -> HTML:
    """Return parameters, systems' files, metrics' signatures, versions and hashes."""
    parts = {"Experiment": run["settings"]}
    parts |= {f"System {name}": settings for name, settings in run["systems"].items()}
    parts["Metrics"] = {row["metric"]: row for row in run["signatures"]}
    parts["Versions"] = {"git commit": run["commit"]} | run["versions"]
    parts |= {f"SHA-256, {group}": files for group, files in run["hashes"].items()}
    blocks = []
    for heading, content in parts.items():
        values = pd.Series(content, dtype=object)
        shown = values.map(lambda v: v if isinstance(v, str) else json.dumps(v, ensure_ascii=False))
        table = shown.reset_index().to_html(index=False, header=False, border=0)
        blocks.append(f"<h3>{html.escape(heading)}</h3>{table if content else ''}")
    return HTML("".join(blocks))


def _verdicts(tables: Mapping[str, pd.DataFrame]) -> dict[str, str]:
    """Return what notebook 08 says of how each of the paper's tables compares, by stem."""
    if _PAPER not in tables:
        return {}
    titles = tables[_PAPER].set_index("table")["title"]
    return titles.rename(lambda name: f"{_PAPER}-{name.removeprefix('table_')}").to_dict()


def _question(notebook: str) -> str:
    """Return the heading of a notebook."""
    file = paths.resolve(f"notebooks/{notebook}.ipynb")
    if not file.is_file():
        return notebook
    first = json.loads(file.read_text(encoding="utf-8"))["cells"][0]["source"][0]
    return first.strip().removeprefix("# ")


def _figure(content: str, caption: str, file: str) -> str:
    caption = f"{html.escape(caption)} <code>{html.escape(file)}</code>"
    return f"<figure><figcaption>{caption}</figcaption>{content}</figure>"


def _table(table: pd.DataFrame) -> str:
    content = to_html(table)
    folded = f"<details><summary>{len(table)} rows</summary>{content}</details>"
    return folded if len(table) > _LONG else content
