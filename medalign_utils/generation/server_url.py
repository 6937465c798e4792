"""The host that a server's URL names, and whether it is this machine."""

import ipaddress
import re
import socket

from medalign_utils.errors import ParamsError

# Stricter than the standard for URLs, so that every parser finds the same host.
_URL = re.compile(
    r"https?://(?P<host>[a-z0-9._-]+|\[[0-9a-f:.]+\])(:(?P<port>\d{1,5}))?(/[!-~]*)?", re.A | re.I
)


def host_of(base_url: str) -> str:
    """Return the host of a server's URL, in lower case, an IPv6 address without its brackets.

    Raises:
        ParamsError: it is not an http:// or https:// URL of host, port and path only. The message
            does not repeat the URL, because it may contain a secret.
    """
    parts = _URL.fullmatch(base_url)
    if not parts or "?" in base_url or "#" in base_url or int(parts["port"] or 0) > 65535:
        raise ParamsError(
            "base_url: expected http:// or https://, a host, a port up to 65535 and a path, in "
            "ASCII; no user, password, query or fragment: api_key_env names the key's variable"
        )
    host = parts["host"].lower()
    try:
        if host.startswith("["):
            host = host.strip("[]")
            ipaddress.IPv6Address(host)
        elif re.fullmatch(r"\d+(\.\d+){3}", host):
            ipaddress.IPv4Address(host)
    except ValueError:
        raise ParamsError("base_url: its host looks like an IP address but is not one") from None
    return host


def is_loopback(base_url: str) -> bool:
    """Return whether a server's URL names this machine: a loopback address, or localhost as one.

    Other names are not resolved and count as other machines.
    """
    host = host_of(base_url)
    try:
        if host == "localhost":
            found = {address[0] for *_, address in socket.getaddrinfo(host, None)}
            return all(ipaddress.ip_address(address).is_loopback for address in found)
        return ipaddress.ip_address(host).is_loopback
    except (ValueError, OSError):
        return False
