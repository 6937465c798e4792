"""The terms of use of a restricted release: to which servers it may be sent."""

from collections.abc import Mapping
from typing import Any

from medalign_utils.data.release import Release
from medalign_utils.errors import TermsError
from medalign_utils.generation.openai_api import host_of, is_loopback


def check_terms(release: Release, system: Mapping[str, Any]) -> dict[str, Any]:
    """Return the terms to keep with a run: whether ``restricted``, a server's agreement or None.

    Raises:
        TermsError: the release is restricted, and the system's server is another machine whose host
            its ``covered_by`` does not name.
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
