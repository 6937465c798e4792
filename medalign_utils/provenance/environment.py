"""The versions, commit and machine that results are made with."""

import os
import platform
import re
import shutil
import subprocess
from importlib import metadata

from medalign_utils import paths

_DISTRIBUTION = "medalign-utils"


def versions() -> dict[str, str]:
    """Return the versions of Python, of this package, and of the packages that it requires."""
    required = [name for name in metadata.requires(_DISTRIBUTION) or () if "extra ==" not in name]
    names = [_DISTRIBUTION, *sorted(re.match(r"[\w.-]+", name)[0] for name in required)]
    python = f"{platform.python_version()} ({platform.system()}, {platform.machine()})"
    return {"Python": python} | {name: metadata.version(name) for name in names}


def commit() -> str | None:
    """Return the git commit, with the suffix -dirty if files have changed; None outside a clone."""
    root = paths.project_root()
    if not (root / ".git").exists() or not shutil.which("git"):
        return None
    command = ["git", "describe", "--always", "--dirty", "--exclude=*", "--abbrev=40"]
    return subprocess.run(command, cwd=root, capture_output=True, text=True).stdout.strip() or None


def machine() -> str:
    """Return the operating system, processor and number of cores, but no name of the machine."""
    return f"{platform.system()} {platform.release()}, {platform.machine()}, {os.cpu_count()} cores"
