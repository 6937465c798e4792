"""Check whether a release's terms of use allow sending it to a system's server."""

from collections.abc import Mapping
from typing import Any

from medalign_utils.data.release import Release
from medalign_utils.errors import TermsError
from medalign_utils.generation.openai_api import host_of, is_loopback


def check_terms(release: Release, system: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a run records: ``restricted``, and a server's host and agreement, if any.

    Raises:
        TermsError: the release is restricted, the server is another machine, and the system's
            ``covered_by`` does not name its host.
    """
    reason = release.why_restricted
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
