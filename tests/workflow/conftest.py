"""A project in which an experiment of 3 patients has run once."""

import pytest

from tests.builders.project import add_cell, copy_project, snakemake, write_experiment

# Code that notebook 02 uses in every possible way.
EXTRA = {
    "__init__.py": "def extra():\n    from medalign_utils.extra.deep import deep\n"
    "    return deep()\n",
    "deep.py": 'def deep():\n    """Return it."""\n    return 1  # so far\n',
    "words.txt": "a\n",
}


@pytest.fixture(scope="session")
def ran(tmp_path_factory):
    """Return a project with a finished run; tests that change it must restore it."""
    project = copy_project(tmp_path_factory.mktemp("snakemake"))
    folder = project / "medalign_utils/extra"
    folder.mkdir()
    for name, content in EXTRA.items():
        (folder / name).write_text(content)
    init = project / "medalign_utils/__init__.py"
    lazy = init.read_text().replace("_LAZY = {", '_LAZY = {\n    "extra": "medalign_utils.extra",')
    init.write_text(lazy)
    add_cell(project / "notebooks/02_match_instructions.ipynb",
             "import medalign_utils as ma\n\nassert ma.extra()")  # fmt: skip
    write_experiment("tiny", project, rewordings=True)
    snakemake(project)
    return project
