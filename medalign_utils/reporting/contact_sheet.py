"""The page that shows all figures of a run with their captions."""

import html
import json
import re
from pathlib import Path

from PIL import Image

from medalign_utils.outputs import FIGURE_KINDS, OUTPUTS, stem
from medalign_utils.paths import resolve

_HEAD = """# All figures of the demo

<!-- `make figures` writes this page; captions are in `medalign_utils/outputs.py`. -->

Each figure is 3.4 or 7 inches wide, a column or a page of a journal, with text of 7 points. PDF
files embed their fonts; in SVG files text consists of outlines. Other runs have the same figures in
`runs/<experiment>/figures/`.
"""
_PIXELS = 120  # per inch on the page


def contact_sheet(folder: Path) -> str:
    """Return a page in Markdown with the figures in `folder`, under their notebooks' titles."""
    parts = [_HEAD]
    for notebook, outputs in OUTPUTS.items():
        shown = [
            _figure(folder, stem(notebook, suffix), caption)
            for suffix, caption in outputs.figures.items()
        ]
        if shown:
            parts += [f"## {_title(notebook)}\n", *shown]
    return "\n".join(parts)


def _figure(folder: Path, name: str, caption: str) -> str:
    with Image.open(folder / f"{name}.png") as image:
        width = round(image.width / image.info["dpi"][0] * _PIXELS)
    links = ", ".join(f"[{kind.upper()}]({name}.{kind})" for kind in FIGURE_KINDS)
    sentence = html.escape(re.split(r"(?<=\.) (?=[A-Z])", caption)[0])
    return f'<img src="{name}.png" width="{width}" alt="{sentence}">\n\n{caption} {links}\n'


def _title(notebook: str) -> str:
    """Return the title of a notebook, which is a question."""
    cells = json.loads(resolve(f"notebooks/{notebook}.ipynb").read_text(encoding="utf-8"))["cells"]
    return "".join(cells[0]["source"]).splitlines()[0].removeprefix("# ")
