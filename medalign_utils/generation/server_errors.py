"""What a server's errors mean, as failures that quote no prompt, reply or key."""

import json
import re
import ssl
from collections.abc import Sequence
from typing import Any

from medalign_utils.generation.base import LENGTH_KEYS, Failure
from medalign_utils.generation.server_url import host_of

# What to do about a server that refuses every prompt, by status.
TO_DO = {
    401: "the server does not accept the key; api_key_env names its variable",
    402: "the account has no quota left",
    403: "the key may not use this model or this server",
    404: "is `model:` its name on the server, and is it pulled there? base_url often ends with /v1",
    405: "base_url often ends with /v1",
}
NO_QUOTA = (
    "insufficient_quota",
    "quota_exceeded",
    "billing_not_active",
    "billing_hard_limit_reached",
)
# What only the message of an HTTP 400 says, by the status that it should have been.
_MISREPORTED = {
    "credit balance is too low": 402,  # Anthropic
    "API key not valid": 401,  # Gemini
    "location is not supported": 403,  # Gemini
}
# Errors that servers send with a status of success, by their type, and the status that they mean.
_ERROR_TYPES = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "rate_limit_error": 429,
}


def is_harmless(code: Any, private: Sequence[str]) -> bool:
    """Return whether a server's text looks like a code, and is not made of private words.

    >>> [is_harmless(code, ["John Smith has HIV"]) for code in ("server_error", "HIV-john.SMITH")]
    [True, False]
    """
    if not isinstance(code, str) or not re.fullmatch(r"[A-Za-z0-9_.-]{1,40}", code):
        return False
    words = re.findall(r"[a-z0-9]+", code.lower())
    for text in private:
        own = re.findall(r"[^\W_]+", text.casefold())
        joined, own_joined = "".join(words), "".join(own)
        if set(words) <= set(own) or joined in own_joined or (own and own_joined in joined):
            return False
    return True


def refused(error: Any, body: dict[str, Any], private: Sequence[str]) -> Failure:
    """Return the failure that a reply with an error status means."""
    status, code = error.status_code, error.code
    name = type(error).__name__ + (f", {code}" if is_harmless(code, private) else "")
    sent = error.response.extensions.get("sent_status")
    reason = f"HTTP {sent} with an error {status} ({name})" if sent else f"HTTP {status} ({name})"
    text = error.response.content.decode(errors="replace")
    meant = next((n for words, n in _MISREPORTED.items() if words in text), status)
    if code in NO_QUOTA:
        meant = 402
    elif code == "model_not_found" or error.param == "model":
        meant = 404
    if meant in TO_DO:
        return Failure(f"{reason}: {TO_DO[meant]}", "systemic")
    refused_key = next((key for key in body if key == error.param), None)
    is_unknown = str(code).startswith(("unsupported_", "unknown_param"))
    # Servers also refuse a length limit if the prompt leaves too little room for it.
    if is_unknown or (refused_key and refused_key not in LENGTH_KEYS):
        named = refused_key or "a key of the request"
        return Failure(f"{reason}: the server refuses {named}; see `request:`", "systemic")
    if status < 400:
        return Failure(f"{reason}: a redirect, which is not followed; check base_url", "systemic")
    if status not in (400, 413, 422):
        return Failure(reason)
    if is_page(error.response.content):
        reason += ": a web page; check base_url (http or https, /v1)"
    return Failure(reason, "permanent")


def is_page(body: bytes | bytearray) -> bool:
    """Return whether a body is a web page or other markup, not JSON."""
    return body.lstrip().startswith(b"<")


def no_connection(base_url: str, error: BaseException) -> Failure:
    """Return the failure to reach a server, with what to do."""
    causes, to_do = [error], "is it running there, and is base_url its address?"
    while cause := causes[-1].__cause__ or causes[-1].__context__:
        causes.append(cause)
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes):
        to_do = "its certificate is not trusted here; SSL_CERT_FILE names further authorities"
    elif any(isinstance(cause, ssl.SSLError) for cause in causes):
        to_do = "it does not speak TLS as expected; is it http:// or https://?"
    name = type(error).__name__
    return Failure(f"no connection to {host_of(base_url)} ({name}): {to_do}", "systemic")


def error_of(body: bytes) -> dict[str, Any]:
    """Return the error in a reply's body, or {} if there is none."""
    try:
        error = json.loads(body)["error"]
    except (KeyError, TypeError, ValueError, RecursionError):
        return {}
    return error if isinstance(error, dict) else {}


def status_meant(body: bytes) -> int | None:
    """Return the status that an error in a reply's body should have had, if it says so."""
    error = error_of(body)
    code = str(error.get("code"))
    if re.fullmatch(r"[45]\d\d", code):
        return int(code)
    if code in NO_QUOTA:
        return 429
    return _ERROR_TYPES.get(str(error.get("type")))
