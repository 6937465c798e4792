"""The report of a run: notebook 10, executed and rendered as one self-contained HTML file."""

import html
import json
import math
import re
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from IPython.display import HTML

from medalign_utils import paths
from medalign_utils.data.disclosure import unknown_text
from medalign_utils.evaluation.systems import OUTCOMES
from medalign_utils.outputs import OUTPUTS, stem
from medalign_utils.reporting.jobs import execute
from medalign_utils.reporting.results_table import to_html, without_not_scored
from medalign_utils.reporting.run_record import describe_run, read_tables, write_run

NOTEBOOK = "10_report"
# Longer tables are collapsed.
_LONG = 15
# How YAML writes one value on one line.
_INLINE = {"default_flow_style": True, "allow_unicode": True, "sort_keys": False, "width": math.inf}
_SYSTEMS, _PAPER = "05_evaluate_systems", "08_reproduce_paper"
_STYLE = """
body { max-width: 70rem; margin: 0 auto; padding: 1rem; font: 16px/1.5 sans-serif; }
pre { white-space: pre-wrap; }
img { max-width: 100%; height: auto; }
table { border-collapse: collapse; font-size: .8rem; margin: .5rem 0 1rem; }
th, td { padding: .2rem .6rem; border-bottom: 1px solid #ddd; text-align: left; }
figure { margin: 1.5rem 0; overflow-x: auto; }
figcaption { max-width: 44rem; font-size: .9rem; }
nav { font-size: .85rem; }
nav a { display: block; margin: .3rem 0; }
.warning { border-left: 3px solid #a84300; padding-left: 1rem; }
.headline { display: flex; flex-wrap: wrap; gap: 1.5rem; align-items: center; }
.headline figure { flex: 1 1 24rem; margin: 0; }
td { overflow-wrap: anywhere; min-width: 3rem; }
@media (min-width: 90rem) {
  body { margin-left: 19rem; }
  nav { position: fixed; top: 1rem; left: 1rem; width: 16rem; }
}
"""


def write_report(experiment: Mapping[str, Any], systems: Mapping[str, Mapping[str, Any]]) -> Path:
    """Write `runs/<experiment>/report.html`, which says what is missing, and return its path.

    The arguments are those of `run_record.describe_run`.

    Raises:
        MedAlignError: a table has rows about patients, instructions or responses, or the release
            cannot be loaded.
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
    exporter.exclude_input = exporter.exclude_output_prompt = exporter.exclude_anchor_links = True
    shown = nbformat.read(executed, as_version=4)
    # Without the notebook's title and checks. A cell without outputs would leave its random id.
    shown.cells = [c for c in shown.cells[1:] if c.get("outputs") or c.cell_type == "markdown"]
    shown.cells = [c for c in shown.cells if c.source != "## Checks"]
    body, _ = exporter.from_notebook_node(shown)
    body = re.sub(r"<h2>((\w+).*?</h2>)", r'<h2 id="\2">\1', body)  # those of the notebook itself
    headings = re.findall('<h2 id="(.*?)">(.*?)</h2>', body)
    summary, headline, rest = re.split("(?=<h2)", body, maxsplit=2)
    contents = "".join(f'<a href="#{place}">{heading}</a>' for place, heading in headings)
    title = f"MedAlign: {html.escape(name)}"
    page = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{title}</h1>\n{summary}{headline}<nav><strong>Contents</strong>{contents}</nav>\n"
        f"{rest}\n</body>\n</html>\n"
    )
    return paths.write_text(page, paths.report(name), private=run["is_restricted"])


def load_run(experiment: str) -> dict[str, Any]:
    """Return the contents of `run.json`; see `run_record.describe_run`."""
    return json.loads(paths.run_record(experiment).read_text(encoding="utf-8"))


def show_summary(run: Mapping[str, Any]) -> HTML:
    """Return what the run is, with a warning if it is incomplete."""
    failures = [f"{gap['what']}: {gap['why']}" for gap in run["gaps"] if gap["is_failure"]]
    about, lost = (
        "".join(f"<p>{html.escape(sentence)}</p>" for sentence in sentences)
        for sentences in (run["about"], failures)
    )
    if lost:
        lost = f"<p><strong>This run is incomplete.</strong></p>{lost}"
        lost = f"<div class='warning'>{lost}</div>"
    return HTML(about + lost)


def show_headline(run: Mapping[str, Any]) -> HTML:
    """Return the systems' accuracy, as a figure and a table."""
    tables = read_tables(run["experiment"])
    if _SYSTEMS not in tables:
        return HTML("<p>This run has no ratings of its responses.</p>")
    columns = ["system", "context_tokens", "n", "correct", "mean_rank"]
    columns += [name for name in OUTCOMES if name in tables[_SYSTEMS]]
    table = f"<div>{to_html(tables[_SYSTEMS], columns)}<p>{_limited(run)}</p></div>"
    return HTML(f'<div class="headline">{_image(run, _SYSTEMS, "accuracy")}{table}</div>')


def show_results(run: Mapping[str, Any]) -> HTML:
    """Return every table and figure in `OUTPUTS` that the run has, under its notebook's title.

    Columns of free text are left out if the release is restricted.
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
                # Settings and captions have these.
                table = tables[key].drop(columns=["signature", "limited_to"], errors="ignore")
                if run["is_restricted"]:
                    table = table.drop(columns=unknown_text(table))
                table, skipped = without_not_scored(table)
                content = _table(table) + f"<p>{html.escape(skipped)}</p>" * bool(skipped)
                caption = captions.get(key, caption) + _limited(run)
                blocks.append(_figure(run, content, caption, f"{key}.csv"))
        blocks += [_image(run, notebook, suffix) for suffix in outputs.figures]
        if any(blocks):
            heading = html.escape(_question(notebook))
            sections.append(f'<h2 id="{notebook}">{heading}</h2>{"".join(blocks)}')
    return HTML("".join(sections))


def show_gaps(run: Mapping[str, Any]) -> HTML:
    """Return what is missing from the report, and why."""
    return HTML(_table(pd.DataFrame(run["gaps"], columns=["what", "why"])))


def show_settings(run: Mapping[str, Any]) -> HTML:
    """Return parameters, systems, signatures of metrics, versions and hashes."""
    blocks = {"Experiment": _settings(run["settings"])}
    blocks |= {f"System {name}": _settings(values) for name, values in run["systems"].items()}
    blocks |= {f"Prompts of {texts['systems']}": _texts(texts) for texts in run["prompts"]}
    blocks["Metrics"] = _table(pd.DataFrame(run["signatures"]))
    blocks["Notebooks"] = _table(pd.DataFrame(run["made"])) if run["made"] else "<p>None.</p>"
    blocks["Versions"] = _settings({"git commit": run["commit"]} | run["versions"])
    blocks |= {f"SHA-256, {group}": _settings(files) for group, files in run["hashes"].items()}
    return HTML("".join(f"<h3>{html.escape(name)}</h3>{block}" for name, block in blocks.items()))


def _verdicts(tables: Mapping[str, pd.DataFrame]) -> dict[str, str]:
    """Return stem -> title from notebook 08, which says how the table compares with the paper."""
    if _PAPER not in tables:
        return {}
    titles = tables[_PAPER].set_index("table")["title"]
    return titles.rename(lambda name: f"{_PAPER}-{name.removeprefix('table_')}").to_dict()


def _question(notebook: str) -> str:
    """Return the title of a notebook, which is a question."""
    file = paths.resolve(f"notebooks/{notebook}.ipynb")
    if not file.is_file():
        return notebook
    first = json.loads(file.read_text(encoding="utf-8"))["cells"][0]["source"][0]
    return first.strip().removeprefix("# ")


def _image(run: Mapping[str, Any], notebook: str, suffix: str) -> str:
    """Return a figure of the run with its caption, or "" if there is none."""
    file = paths.figure(run["experiment"], stem(notebook, suffix))
    if not file.is_file():
        return ""
    caption = OUTPUTS[notebook].figures[suffix] + _limited(run)
    png = file.read_bytes()
    width = int.from_bytes(png[16:20]) // 2  # 150 of its 300 dots per inch are enough here
    source = f"data:image/png;base64,{b64encode(png).decode()}"
    image = f'<img src="{source}" width="{width}" alt="{html.escape(caption)}">'
    return _figure(run, image, caption, file.name)


def _limited(run: Mapping[str, Any]) -> str:
    """Return the end of a caption in a limited run, or ""."""
    return f" Limited to {run['limited_to']}." if run["limited_to"] else ""


def _figure(run: Mapping[str, Any], content: str, caption: str, file: str) -> str:
    """Return a table or figure with a caption that names the release, to be quoted on its own."""
    release = run["release"][0].upper() + run["release"][1:]
    caption = f"{html.escape(f'{caption} {release}.')} <code>{html.escape(file)}</code>"
    return f"<figure><figcaption>{caption}</figcaption>{content}</figure>"


def _table(table: pd.DataFrame) -> str:
    content = to_html(table)
    folded = f"<details><summary>{len(table)} rows</summary>{content}</details>"
    return folded if len(table) > _LONG else content


def _texts(prompt: Mapping[str, str]) -> str:
    """Return templates of prompts, with their line ends."""
    texts = {name: text for name, text in prompt.items() if name != "systems"}
    return "".join(f"<p>{name}</p><pre>{html.escape(text)}</pre>" for name, text in texts.items())


def _settings(values: Mapping[str, Any]) -> str:
    """Return settings as a table of two columns, with values in YAML as in `params/`."""
    texts = {
        name: value if isinstance(value, str) else yaml.safe_dump(value, **_INLINE).split("\n")[0]
        for name, value in values.items()
    }
    table = pd.Series(texts, dtype=object).reset_index()
    return table.to_html(index=False, header=False, border=0) if texts else "<p>None.</p>"
