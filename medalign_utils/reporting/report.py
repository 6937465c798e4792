"""The report of a run: notebook 14, executed and rendered as one self-contained HTML file."""

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
from PIL import Image

from medalign_utils import paths
from medalign_utils.data.disclosure import unknown_text
from medalign_utils.evaluation import paper
from medalign_utils.evaluation.systems import OUTCOMES
from medalign_utils.outputs import OUTPUTS, stem
from medalign_utils.reporting.findings import SYSTEMS, findings
from medalign_utils.reporting.jobs import execute
from medalign_utils.reporting.latex import write_latex
from medalign_utils.reporting.results_table import to_html, without_not_scored
from medalign_utils.reporting.run_record import describe_run, read_tables, write_run
from medalign_utils.stats.bootstrap import LEAST_INTERVAL

NOTEBOOK = "14_report"
# How YAML writes one value on one line.
_INLINE = {"default_flow_style": True, "allow_unicode": True, "sort_keys": False, "width": math.inf}
_PAPER = "08_reproduce_paper"
# Tables of the paper that are shown unfolded.
_UNFOLDED = ("human_evaluation", "metric_correlation")
# The figure of the first screen.
_ACCURACY = (SYSTEMS, "accuracy")
# Figures that are shown on the screen but not printed.
_NOT_PRINTED = {
    "01_explore_release": {"specialties", "event_years", "note_types"},
    "02_match_instructions": {"dedup"},
    SYSTEMS: {"groups", "head_to_head"},
    "07_audit_fairness": {"gaps", "agreement", "lengths"},
    "08_reproduce_paper": {"human_evaluation", "metric_correlation"},  # as the tables
    "12_analyze_errors": {"places", "kinds", "tokens"},
}
_ROUNDING = (
    "Correct: share of responses. All intervals are 95 % intervals over patients. Numbers are "
    "rounded, and a dash marks a value that is undefined or does not apply; the CSV files have all "
    "digits."
)


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
    write_latex(run)
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
    summary, rest = re.split("(?=<h2)", body, maxsplit=1)
    contents = "".join(f'<a href="#{place}">{heading}</a>' for place, heading in headings)
    title = f"MedAlign: {html.escape(name)}"
    style = Path(__file__).with_name("report.css").read_text(encoding="utf-8")
    page = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>{title}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        f"<h1>{title}</h1>\n{summary}<nav><strong>Contents</strong>{contents}</nav>\n"
        f"{rest}\n</body>\n</html>\n"
    )
    return paths.write_text(page, paths.report(name), private=run["is_restricted"])


def load_run(experiment: str) -> dict[str, Any]:
    """Return the contents of `run.json`; see `run_record.describe_run`."""
    return json.loads(paths.run_record(experiment).read_text(encoding="utf-8"))


def show_summary(run: Mapping[str, Any]) -> HTML:
    """Return the first screen: what the run is, its findings, and the systems' accuracy."""
    about = f"<p class='status'>{html.escape(' · '.join(run['about']))}</p>"
    if failures := [gap for gap in run["gaps"] if gap["is_failure"]]:
        lost = "; ".join(f"{_shortened(gap['what'])}: {gap['why']}" for gap in failures)
        about += (
            f"<p class='warning'><strong>This run is incomplete.</strong> {html.escape(lost)}</p>"
        )
    tables = read_tables(run["experiment"])
    if SYSTEMS not in tables:
        return HTML(about + "<p>This run has no ratings of its responses.</p>")
    is_released = run["settings"]["responses"] == "released"
    sentences = findings(tables, "the clinicians' ratings" if is_released else "the answer key")
    found = "".join(f"<li>{html.escape(sentence)}</li>" for sentence in sentences)
    table = to_html(*_accuracy(tables))
    table = f"<div>{table}<p class='status'>{_ROUNDING}</p></div>"
    headline = f"<div class='headline'>{table}{_image(run, *_ACCURACY)}</div>"
    return HTML(f"{about}<ul class='findings'>{found}</ul>{headline}")


def show_paper(run: Mapping[str, Any]) -> HTML:
    """Return the paper's tables beside this run's, and whether they are comparable."""
    tables = read_tables(run["experiment"])
    if _PAPER not in tables:
        return HTML("<p>This run was not compared with the paper.</p>")
    said = "".join(f"<p>{html.escape(text)}</p>" for text in paper.verdicts(tables[_PAPER]))
    return HTML(said + _results(run, tables, _PAPER))


def show_results(run: Mapping[str, Any]) -> HTML:
    """Return the other tables and figures in `OUTPUTS` that the run has, by notebook.

    Tables are folded. Columns of free text are left out if the release is restricted, and groups
    too small for an interval in any case.
    """
    tables = read_tables(run["experiment"])
    sections = []
    for notebook in OUTPUTS:
        if notebook != _PAPER and (content := _results(run, tables, notebook)):
            heading = html.escape(_question(notebook))
            sections.append(f'<h2 id="{notebook}">{heading}</h2>{content}')
    return HTML("".join(sections))


def show_gaps(run: Mapping[str, Any]) -> HTML:
    """Return what is missing from the report, and why."""
    return HTML(_table(pd.DataFrame(run["gaps"], columns=["what", "why"])))


def show_settings(run: Mapping[str, Any]) -> HTML:
    """Return how the results were made, and folded: settings, prompts, metrics and hashes."""
    made = pd.DataFrame(run["made"], columns=["notebook", "date", "commit", "machine"])
    said = "; ".join(
        f"{name}: {', '.join(map(str, made[name].dropna().unique()))}"
        for name in ("commit", "machine")
    )
    said = f"<p>Made on {made['date'].min()[:10]}; {html.escape(said)}.</p>" if len(made) else ""
    blocks = {"Experiment": _settings(run["settings"])}
    blocks |= {f"System {name}": _settings(values) for name, values in run["systems"].items()}
    blocks |= {f"Prompts of {texts['systems']}": _texts(texts) for texts in run["prompts"]}
    blocks["Notebooks"] = _table(made)
    blocks["Metrics"] = _table(pd.DataFrame(run["signatures"]))
    blocks["Versions"] = _settings({"git commit": run["commit"]} | run["versions"])
    blocks |= {f"SHA-256, {group}": _settings(files) for group, files in run["hashes"].items()}
    content = "".join(f"<h3>{html.escape(name)}</h3>{block}" for name, block in blocks.items())
    return HTML(said + _folded(content, "Settings, prompts, metrics, versions and hashes"))


def _accuracy(tables: Mapping[str, pd.DataFrame]) -> tuple[pd.DataFrame, list[str]]:
    """Return the systems, the most accurate first, with what they cost, and the columns to show."""
    table = tables[SYSTEMS].sort_values("correct", ascending=False, kind="stable")
    costs = ["dollars_per_correct", "tokens_per_response"]
    if (cost := tables.get(f"{SYSTEMS}-cost")) is not None:
        table = table.merge(cost.reindex(columns=["system", *costs]), on="system", how="left")
    outcomes = [name for name in OUTCOMES if name in table]
    return table, ["system", "context_tokens", "n", "correct", *costs, *outcomes]


def _results(run: Mapping[str, Any], tables: Mapping[str, pd.DataFrame], notebook: str) -> str:
    """Return a notebook's figures, and its tables, most of them folded; "" if it has none."""
    outputs, hidden = OUTPUTS[notebook], _NOT_PRINTED.get(notebook, set())
    suffixes = [suffix for suffix in outputs.figures if (notebook, suffix) != _ACCURACY]
    suffixes.sort(key=lambda suffix: suffix in hidden)
    pictures = "".join(_image(run, notebook, suffix) for suffix in suffixes)
    unfolded, folded = "", ""
    files = [f"{stem(notebook, suffix)}.png" for suffix in suffixes if suffix in hidden]
    for suffix, caption in outputs.tables.items():
        name = stem(notebook, suffix)
        if name not in tables:
            continue
        content, note = _shown(run, notebook, tables[name])
        caption = _caption(run, f"{caption} {note}".rstrip(), f"{name}.csv")
        if notebook == _PAPER and suffix in _UNFOLDED:
            unfolded += _unfolded(content, caption, ' class="paper"')
        else:
            folded += _folded(content, caption)
            files.append(f"{name}.csv")
    figures = f'<div class="figures">{pictures}</div>' if pictures else ""
    others = f'<p class="printed">Not printed: {", ".join(files)}</p>' if files else ""
    return unfolded + figures + folded + others if figures or unfolded or folded else ""


def _shown(run: Mapping[str, Any], notebook: str, table: pd.DataFrame) -> tuple[str, str]:
    """Return what a report shows of a table, as HTML or "", and a note on what it leaves out."""
    # Settings and captions have these.
    table = table.drop(columns=["signature", "limited_to"], errors="ignore")
    if run["is_restricted"]:
        table = table.drop(columns=unknown_text(table))
    table, note = without_not_scored(table)
    if "group" in table and "n_patients" in table:
        is_small = table["n_patients"].lt(LEAST_INTERVAL).fillna(False)
        table, n = table[~is_small], is_small.sum()
        note += f"Not shown: rows of fewer than {LEAST_INTERVAL} patients ({n})." * bool(n)
    if table.empty:
        return "", note or "It has no rows in this run."
    return to_html(paper.as_printed(table) if notebook == _PAPER else table), note


def _shortened(names: str) -> str:
    """Return a list of names as its first one and the number of others.

    >>> _shortened("table 06, 06-pairs, 06-raters")
    'table 06 and 2 more'
    """
    first, *others = names.split(", ")
    return f"{first} and {len(others)} more" if others else first


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
    caption = OUTPUTS[notebook].figures[suffix]
    with Image.open(file) as picture:
        inches = picture.width / picture.info["dpi"][0]
    source = f"data:image/png;base64,{b64encode(file.read_bytes()).decode()}"
    image = f'<img src="{source}" alt="{html.escape(caption)}">'
    kind = "picture screen" if suffix in _NOT_PRINTED.get(notebook, ()) else "picture"
    attributes = f' class="{kind}" style="--inches: {inches:.2f}"'
    return _unfolded(image, _caption(run, caption, file.name), attributes)


def _caption(run: Mapping[str, Any], caption: str, file: str) -> str:
    """Return a caption that names the release and any limit, so that it can be quoted alone."""
    release = run["release"][0].upper() + run["release"][1:]
    limited = f" Limited to {run['limited_to']}." if run["limited_to"] else ""
    return f"{html.escape(f'{caption}{limited} {release}.')} <code>{html.escape(file)}</code>"


def _unfolded(content: str, caption: str, attributes: str = "") -> str:
    return f"<figure{attributes}><figcaption>{caption}</figcaption>{content}</figure>"


def _folded(content: str, caption: str) -> str:
    if not content:
        return f"<p class='status'>{caption}</p>"
    return f"<details><summary>{caption}</summary>{content}</details>"


def _table(table: pd.DataFrame) -> str:
    return to_html(table) if len(table) else "<p>None.</p>"


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
