"""MkDocs sees the repository as it is, so relative links work on the site and on GitHub."""

import re
from pathlib import Path
from typing import Any

import griffe
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File, Files

import medalign_utils as ma

ROOT = Path(__file__).parents[1]
SHOWN = (
    "*.md",
    "LICENSE",
    "CITATION.cff",
    "benchmarks/*.md",
    "data/paper/*.md",
    "docs/*.md",
    "docs/*.css",
    "docs/*.png",
    "docs/demo/*.ipynb",
    "figures/*.*",
    "models/comet-compact/*.md",
)


class Examples(griffe.Extension):
    """Shows the doctests of docstrings as code."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Fence each run of lines from `>>>` to the next blank line."""
        if obj.docstring:
            fenced = r"```pycon\n\g<0>\n```"
            obj.docstring.value = re.sub(r"(?m)^>>>.*(?:\n.+)*", fenced, obj.docstring.value)


def _api() -> dict[str, str]:
    """Pages with the docstrings of the package's entrance and of each room."""
    names = sorted(ma._LAZY, key=lambda name: (name[0].isupper(), name))  # functions first
    entrance = [
        f'::: {ma._LAZY[name]}.{name}\n    options: {{heading: "ma.{name}", toc_label: "{name}"}}'
        if ma._LAZY[name].count(".") > 1
        # Its module has a page of its own, and links need one place.
        else f"## ma.{name}\n\nSee [{ma._LAZY[name]}]({ma._LAZY[name].split('.')[-1]}.md)."
        for name in names
    ]
    options = "    options: {heading_level: 1}"
    pages = {"ma": "\n\n".join(["# import medalign_utils as ma", *entrance])}
    for path in sorted(ROOT.glob("medalign_utils/[a-z]*")):
        if path.suffix == ".py" or (path / "__init__.py").is_file():
            pages[path.stem] = f"::: medalign_utils.{path.stem}\n{options}"
    return {f"docs/api/{name}.md": text for name, text in pages.items()}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Add to the navigation what is found rather than listed: notebooks and docstrings."""
    notebooks = [str(path.relative_to(ROOT)) for path in sorted(ROOT.glob("docs/demo/*.ipynb"))]
    config.nav += [{"Notebooks of the demo": notebooks}] if notebooks else []
    config.nav += [{"Python API": [{Path(page).stem: page} for page in _api()]}]
    return config


@event_priority(100)  # before mkdocs-jupyter looks for notebooks
def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Replace the files of docs/ by those of the repository under their own paths."""
    theme = [file for file in files if file.src_dir != config.docs_dir]
    paths = [path for pattern in SHOWN for path in sorted(ROOT.glob(pattern))]
    places = (str(ROOT), config.site_dir, config.use_directory_urls)
    own = [File(str(path.relative_to(ROOT)), *places) for path in paths]
    api = [File.generated(config, page, content=text) for page, text in _api().items()]
    return Files([*theme, *own, *api])


def on_page_content(html: str, **kwargs: Any) -> str:
    """Show figures at the size that they are drawn for, two pixels to one of the page."""
    return re.sub(r'src="[./]*(figures/[\w-]+\.png)"', _with_width, html)


def _with_width(source: re.Match) -> str:
    header = (ROOT / source[1]).read_bytes()[:20]
    return f'{source[0]} width="{int.from_bytes(header[16:20]) // 2}"'
