"""A notebook's code hash changes if and only if code that it uses changes."""

import pytest

from medalign_utils.provenance.code_closure import closure, code_hash
from tests.builders.project import ROOT

FILES = {
    "__init__.py": '_LAZY = {"load": "medalign_utils.data.release"}\n',
    "paths.py": 'def here():\n    """Return it."""\n    return 1  # so far\n\n'
    "def there():\n    return 2\n",
    "data/__init__.py": "",
    "data/release.py": "from medalign_utils import paths\n\ndef load():\n    return paths.here()\n",
    "data/words.txt": "a\n",
    "grading.py": "RULES = []\n\ndef rule(f):\n    RULES.append(f)\n\n"
    "@rule\ndef first():\n    return 1\n",
    "late.py": "class Late:\n    def do(self):\n        from medalign_utils.grading import RULES\n"
    "        return RULES\n",
    "other.py": "def unused():\n    return 3\n",
}
CODE = """import medalign_utils as ma
from medalign_utils.late import Late
Late().do(), ma.load()
"""


@pytest.fixture
def root(tmp_path):
    for name, content in FILES.items():
        file = tmp_path / "medalign_utils" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "old", "new", "is_other"),
    [
        ("data/release.py", "paths.here()", "paths.here() + 1", True),  # reached through `ma`
        ("paths.py", "return 1", "return 4", True),  # ... and an import of a module
        ("grading.py", "RULES = []", "RULES = [0]", True),  # by an import inside a function
        ("grading.py", "return 1", "return 4", True),  # registered, never named
        ("late.py", "return RULES", "return RULES[:1]", True),
        ("data/words.txt", "a", "b", True),
        ("__init__.py", "medalign_utils.data.release", "medalign_utils.late", True),
        ("other.py", "return 3", "return 4", False),  # a module that nobody imports
        ("paths.py", "Return it.", "Return this.", False),  # a docstring
        ("paths.py", "# so far", "# still", False),
        ("paths.py", "\n\ndef", "\n\n\n\ndef", False),
    ],
)
def test_what_a_change_does(root, name, old, new, is_other):
    before = code_hash(CODE, root)
    file = root / "medalign_utils" / name
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))
    assert (code_hash(CODE, root) != before) == is_other


def test_the_closure_of_the_package_itself():
    found = {
        str(file.relative_to(ROOT))
        for file in closure("import medalign_utils as ma; ma.rate", ROOT)
    }
    assert "medalign_utils/evaluation/ratings.py" in found
    assert "medalign_utils/data/tables.py" in found  # through other modules
    assert not [name for name in found if "/plots/" in name or "/generation/" in name]
