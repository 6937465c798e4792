"""Check whether a release's terms of use allow sending it to a system's server."""

import logging
import re
from collections.abc import Mapping
from typing import Any

from medalign_utils.data.release import Release
from medalign_utils.errors import TermsError
from medalign_utils.generation.server_url import host_of, is_loopback

# Names of models that an Ollama server does not run itself, such as "gpt-oss:120b-cloud".
_CLOUD = re.compile(r"[:-]cloud(\W*$|[@:])", re.I)

logger = logging.getLogger(__name__)


def check_terms(release: Release, system: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a run records: ``restricted``, and a server's host and agreement, if any.

    Only the URL and the model's name are seen, not where a server on this machine passes prompts
    on. A warning says if records would be sent unencrypted.

    Raises:
        TermsError: the release is restricted, the server is another machine or passes prompts on,
            and the system's ``covered_by`` does not name its host.
    """
    reason = release.why_restricted
    terms: dict[str, Any] = {"restricted": reason is not None}
    if "base_url" not in system:
        return terms
    url, model = system["base_url"], str(system.get("model", ""))
    host, is_here = host_of(url), is_loopback(url)
    agreement = (system.get("covered_by") or {}).get(host)
    if reason is not None and not agreement and not (is_here and not _CLOUD.search(model)):
        where = f"{host} is another machine"
        if is_here:
            where = f"{model} is run by Ollama's maker, to whom {host} passes prompts on"
        elif host == "localhost":
            where = "localhost is not a loopback address here"
        raise TermsError(
            f"{release.path} is restricted ({reason}), and {where}: nothing was "
            "sent. MedAlign's terms of use allow a service only under an agreement that covers "
            "health records; where there is one, the system's YAML states it, as in "
            f'`covered_by: {{{host}: "<which agreement, with whom>"}}`. A server on this machine '
            "(http://127.0.0.1:...) needs none"
        )
    if reason is not None and not is_here and url.lower().startswith("http:"):
        logger.warning("records are sent to %s unencrypted; base_url: https://... encrypts", host)
    return terms | {"host": host, "covered_by": agreement}
