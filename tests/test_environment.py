"""Dependencies agree in pyproject.toml, constraints.txt, environment.yml and pre-commit."""

import tomllib
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def constraints() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [Requirement(line) for line in lines if line and not line.startswith(("#", "-"))]
    return {canonicalize_name(pin.name): str(pin.specifier).removeprefix("==") for pin in pins}


def test_environment_has_python_and_pip_and_leaves_the_rest_to_pyproject():
    python, pip, by_pip = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    assert python.startswith("python")
    assert SpecifierSet(python.removeprefix("python")) == SpecifierSet(PYPROJECT["requires-python"])
    assert pip == "pip"
    assert by_pip == {"pip": ["-c constraints.txt", "-e .[dev]"]}


def test_constraints_pin_every_dependency_within_its_bounds():
    pins = constraints()
    for text in [*PYPROJECT["dependencies"], *PYPROJECT["optional-dependencies"]["dev"]]:
        requirement = Requirement(text)
        version = pins[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(Version(version)), f"{text}, pinned to {version}"


def test_pre_commit_runs_the_versions_of_constraints():
    repos = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    revisions = {repo["repo"].rsplit("/", 1)[-1]: repo["rev"] for repo in repos}
    assert revisions["ruff-pre-commit"] == f"v{constraints()['ruff']}"
    assert revisions["nbstripout"] == constraints()["nbstripout"]
    hooks = {hook["id"] for repo in repos for hook in repo["hooks"]}
    assert {"nbstripout", "check-added-large-files", "detect-private-key"} < hooks
