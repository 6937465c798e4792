"""What a release's terms of use ask of software: whom it may be sent to, and who may read it.

MedAlign's own release must not go to a service that is not covered by an agreement, and must not be
passed on. A release is held to that unless its manifest proves it synthetic.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

from medalign_utils.dataset import EHR_FOLDERS, Release
from medalign_utils.errors import TermsError
from medalign_utils.generators.openai_server import host_of, is_loopback

_TABLES = (".tsv", ".csv", ".jsonl")


def why_restricted(release: Release) -> str | None:
    """Say why a release counts as restricted; None for one that its manifest proves synthetic.

    The proof is ``"synthetic": true`` and a digest of every EHR and every table in the folder, as
    `synthetic.write_release` writes them. A file that the manifest does not name, or that is not
    the one it names, may hold anything, so the release is restricted with it.
    """
    manifest = release.manifest
    if manifest is None:
        return "it has no manifest.json"
    digests = manifest.get("files")
    if manifest.get("synthetic") is not True or not isinstance(digests, dict):
        return "its manifest.json does not say that it is synthetic, with a digest of each file"
    folders = [release.path / folder for folder in EHR_FOLDERS]
    found = [file for folder in folders if folder.is_dir() for file in folder.iterdir()]
    found += [file for file in release.path.iterdir() if file.suffix.lower() in _TABLES]
    found = [file for file in found if not file.name.startswith(".")]
    # Those that are read, wherever a table says that they lie.
    found += map(release.ehr_path, release.instructions["person_id"].dropna().unique())
    for file in dict.fromkeys(found):
        name = file.relative_to(release.path).as_posix()
        if name not in digests:
            return f"{name} is not in its manifest.json"
        with file.open("rb") as content:
            if hashlib.file_digest(content, "sha256").hexdigest() != digests[name]:
                return f"{name} is not the file that its manifest.json names"
    return None


def is_restricted(release: Release) -> bool:
    """Whether a release's terms of use bind what is done with it; see `why_restricted`."""
    return why_restricted(release) is not None


def check_terms(release: Release, system: Mapping[str, Any]) -> dict[str, Any]:
    """Refuse a system that would send a restricted release where no agreement covers it.

    Args:
        release: as `dataset.load_release` gives it.
        system: what its YAML says.

    Returns:
        What is kept with the run: ``restricted``, and of a server ``host`` and ``covered_by``, the
        agreement that the system states for it, None where none is needed.

    Raises:
        TermsError: the release is restricted, and the system's server is another machine whose host
            its ``covered_by`` does not name.
    """
    reason = why_restricted(release)
    terms: dict[str, Any] = {"restricted": reason is not None}
    if "base_url" not in system:
        return terms
    host = host_of(system["base_url"])
    agreement = (system.get("covered_by") or {}).get(host)
    if reason is not None and not is_loopback(system["base_url"]) and not agreement:
        raise TermsError(
            f"{release.path} is restricted ({reason}), and {host} is another machine: nothing was "
            "sent. MedAlign's terms of use allow a service only under an agreement that covers "
            "health records; where there is one, the system's YAML states it, as in "
            f'`covered_by: {{{host}: "<which agreement, with whom>"}}`. A server on this machine '
            "(http://127.0.0.1:...) needs none"
        )
    return terms | {"host": host, "covered_by": agreement}
