"""The gate in front of a rater's server: who may ask for what, whatever handles the request.

Voila answers requests to any host, and passes its own token to every kernel. So the servers of a
review have no token; this gate asks for a cookie that only the rater's link sets. It sees requests
before any handler does, websockets and static files included.
"""

import hmac
import re
from typing import Any
from urllib.parse import unquote

from tornado import httputil, web
from tornado.routing import Router

# What a page consists of: itself, its kernel, and what Voila, JupyterLab and widgets are made of.
# Not /voila/api/shutdown: a page asks for it before its reader has chosen whether to leave.
_NEEDED = re.compile(
    r"/|/api/kernels/[\w-]+(?:/channels)?|/voila/api/themes/.+"
    r"|/voila/(?:static|templates|labextensions)/.+"
)
_ENTER = re.compile(r"/enter/([\w-]+)")
# Browsers send a strict cookie along with what the server's own page asks for; not with a redirect,
# if a link in a mail on another site led there.
_GO_ON = (
    '<!doctype html><link rel="icon" href="data:,"><meta http-equiv="refresh" content="0; url=/">'
    '<a href="/">Your page</a>'
)
# Widgets run code of their packages from blobs; nothing comes from, or goes to, another server.
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data: blob:; "
    "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "font-src 'self' data:; connect-src 'self' data: blob:; worker-src 'self' blob:; "
    "frame-ancestors 'none'; form-action 'self'; base-uri 'self'",
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Gate(Router):
    """Passes a rater's own requests on to an application, and refuses all others."""

    def __init__(self, application: Router, secret: str, port: int) -> None:
        """Guard an application that listens on a port of this machine.

        Args:
            application: handles the requests that pass.
            secret: of the rater's link, `/enter/<secret>`.
            port: where browsers find it; part of the cookie's name, since browsers send cookies to
                every port of a host.
        """
        self.application, self.port = application, port
        self._secret = secret.encode()
        self._hosts = {f"{name}:{port}" for name in ("127.0.0.1", "localhost")}
        handlers = [(_ENTER.pattern, _Enter, {"gate": self}), (".*", _Refuse, {"gate": self})]
        self._own = web.Application(handlers, log_function=lambda _: None)  # no secret in a log

    @property
    def cookie(self) -> str:
        """The name of the cookie."""
        return f"medalign-review-{self.port}"

    def opens(self, secret: str) -> bool:
        """Return whether it is the rater's secret."""
        return hmac.compare_digest(secret.encode(), self._secret)

    def refusal(self, request: httputil.HTTPServerRequest) -> str:
        """Return why a request is refused, for the person who reads it, or ""."""
        origin = request.headers.get("Origin")
        if request.headers.get("Host", "").lower() not in self._hosts:
            return "This server answers to its own address only. Use your link."
        if (origin is None and request.headers.get("Upgrade")) or (
            origin is not None and origin.lower() not in {f"http://{host}" for host in self._hosts}
        ):
            return "Another page may not use this one."
        if _ENTER.fullmatch(request.path):
            return ""
        cookie = request.cookies.get(self.cookie)
        if cookie is None or not self.opens(cookie.value):
            return "Open this page by your own link; whoever started the review has it."
        is_needed = _NEEDED.fullmatch(request.path) and ".." not in unquote(request.path)
        # A query of the page itself would reach the kernel, or choose another template.
        if not is_needed or (request.path == "/" and request.query):
            return "There is no such page. Open your link again."
        return ""

    def find_handler(
        self, request: httputil.HTTPServerRequest, **kwargs: object
    ) -> httputil.HTTPMessageDelegate | None:
        """Return what handles a request; its answer gets the gate's headers."""
        _add_headers(request)
        is_own = self.refusal(request) or _ENTER.fullmatch(request.path)
        return (self._own if is_own else self.application).find_handler(request, **kwargs)


def _add_headers(request: httputil.HTTPServerRequest) -> None:
    """Replace headers of the answer to a request, whatever handles it, by the gate's."""
    connection = request.connection
    write = connection.write_headers

    def write_headers(
        start_line: httputil.ResponseStartLine,
        headers: httputil.HTTPHeaders,
        chunk: bytes | None = None,
    ) -> Any:
        for name, value in _HEADERS.items():
            headers[name] = value
        headers.pop("Server", None)
        return write(start_line, headers, chunk)

    connection.write_headers = write_headers


class _Own(web.RequestHandler):
    def initialize(self, gate: Gate) -> None:
        self.gate = gate

    def set_default_headers(self) -> None:
        self.set_header("Cache-Control", "no-store")

    def refuse(self, reason: str) -> None:
        self.set_status(403)
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish(reason + "\n")


class _Enter(_Own):
    """Exchanges a link's secret for the cookie."""

    def get(self, secret: str) -> None:
        if reason := self.gate.refusal(self.request):
            self.refuse(reason)
        elif not self.gate.opens(secret):
            self.refuse("This link is not, or no longer, valid. Ask whoever started the review.")
        else:
            self.set_cookie(
                self.gate.cookie, secret, httponly=True, samesite="Strict", expires_days=None
            )
            self.set_header("Content-Type", "text/html; charset=utf-8")
            self.finish(_GO_ON)


class _Refuse(_Own):
    def prepare(self) -> None:
        self.refuse(self.gate.refusal(self.request))

    def check_xsrf_cookie(self) -> None:
        """Whatever the method, the answer is no."""
