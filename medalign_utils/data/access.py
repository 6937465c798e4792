"""Whether a release is restricted: not to be shared, or sent to a service, without an agreement."""

import hashlib
import json
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from medalign_utils.errors import TermsError
from medalign_utils.paths import short

EHR_FOLDERS = ("ehrs", "medalign_ehr_xml")
# How a table's file name may end; if a table has several files, the first of these counts.
TABLE_SUFFIXES = (".tsv", ".csv", ".json", ".jsonl")
_MANIFEST = "manifest.json"


def why_restricted(
    folder: Path, manifest: Mapping[str, Any] | None, ehrs: Iterable[Path]
) -> str | None:
    """Return why a release is restricted; None if its manifest proves that it is synthetic.

    The proof consists of `"synthetic": true` and the correct SHA-256 of every EHR and table in the
    folder, and of every file in `ehrs`, the EHRs that its tables name.
    """
    if manifest is None:
        return "it has no manifest.json"
    digests = manifest.get("files")
    if manifest.get("synthetic") is not True or not isinstance(digests, dict):
        return "its manifest.json lacks `synthetic: true` or the digests of its files"
    for file in dict.fromkeys([*ehr_folder_files(folder), *table_files(folder), *ehrs]):
        name = file.relative_to(folder).as_posix()
        if name not in digests:
            return f"{name} is not listed in its manifest.json"
        if not file.is_file():  # reading a pipe would wait for ever
            return f"{name} is not a file"
        with file.open("rb") as content:
            if hashlib.file_digest(content, "sha256").hexdigest() != digests[name]:
                return f"{name} does not match its digest in manifest.json"
    return None


def require_not_real(folder: Path) -> None:
    """Check, before anything is written to a folder, that no release there could be a real one.

    Raises:
        TermsError: the folder holds tables or EHRs that its own manifest does not prove synthetic.
    """
    if not (table_files(folder) or ehr_folder_files(folder)):
        return
    try:
        manifest = json.loads((folder / _MANIFEST).read_bytes())
    except (OSError, ValueError, RecursionError):
        manifest = None
    try:
        reason = why_restricted(folder, manifest if isinstance(manifest, dict) else None, ())
    except OSError as error:
        reason = f"it cannot be read: {error.strerror}"
    if reason:
        raise TermsError(
            f"{short(folder)} holds tables or EHRs that may be a real release ({reason}), so "
            "nothing is written there; choose another folder, or delete this one if it is not"
        )


def ehr_folder_files(folder: Path) -> list[Path]:
    """Return the files in a release's EHR folders."""
    folders = [folder / name for name in EHR_FOLDERS]
    files = [file for ehr_folder in folders if ehr_folder.is_dir() for file in ehr_folder.iterdir()]
    return [file for file in files if not file.name.startswith(".")]


def table_files(folder: Path) -> list[Path]:
    """Return the files in a folder that may be a release's tables or its answer key, sorted."""
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    files = [file for file in files if file.suffix.lower() in TABLE_SUFFIXES]
    return [file for file in files if not file.name.startswith(".") and file.name != _MANIFEST]


def require_private_place(path: Path, why_restricted: str | None) -> None:
    """Check that a file made from a restricted release would not be tracked by git.

    Raises:
        TermsError: the release is restricted, and `path` is in a clone that does not ignore it.
    """
    if why_restricted and _is_tracked(path.absolute()):
        raise TermsError(
            f"{path}: the release is restricted ({why_restricted}), and git would track this file; "
            "choose a folder outside the clone, or one that git ignores, such as data/"
        )


def _is_tracked(path: Path) -> bool:
    """Return whether a file there is, or would be, in a clone that does not ignore it."""
    path = path.resolve()
    root = next((folder for folder in path.parents if (folder / ".git").exists()), None)
    if root is None:
        return False
    if not shutil.which("git"):
        return True
    command = ["git", "-C", str(root), "check-ignore", "--quiet", str(path)]
    return subprocess.run(command, capture_output=True).returncode != 0
