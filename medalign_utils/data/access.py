"""Whether a release is restricted: not to be shared, or sent to a service, without an agreement."""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

EHR_FOLDERS = ("ehrs", "medalign_ehr_xml")
_TABLES = (".tsv", ".csv", ".jsonl")


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
    folders = [folder / name for name in EHR_FOLDERS]
    files = [file for ehr_folder in folders if ehr_folder.is_dir() for file in ehr_folder.iterdir()]
    files += [file for file in folder.iterdir() if file.suffix.lower() in _TABLES]
    files = [file for file in files if not file.name.startswith(".")]
    for file in dict.fromkeys([*files, *ehrs]):
        name = file.relative_to(folder).as_posix()
        if name not in digests:
            return f"{name} is not listed in its manifest.json"
        with file.open("rb") as content:
            if hashlib.file_digest(content, "sha256").hexdigest() != digests[name]:
                return f"{name} does not match its digest in manifest.json"
    return None


def may_be_real(folder: Path) -> bool:
    """Return whether a folder has tables but no manifest, so that nothing may overwrite it."""
    tables = [*folder.glob("*.tsv"), *folder.glob("*.csv")]
    return bool(tables) and not (folder / "manifest.json").is_file()
