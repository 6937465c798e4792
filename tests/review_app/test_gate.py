"""Who may ask a rater's server for what."""

import pytest
from tornado.httputil import HTTPHeaders, HTTPServerRequest
from tornado.testing import AsyncHTTPTestCase
from tornado.web import Application, RequestHandler

from medalign_utils.review_app.gate import Gate

PORT, SECRET = 8900, "a-secret"
OWN = {"Host": f"127.0.0.1:{PORT}", "Cookie": f"medalign-review-{PORT}={SECRET}"}
KERNEL = "/api/kernels/1b4e28ba-2fa1-11d2-883f-0016d3cca427"


def refusal(path="/", **headers):
    headers = {name: value for name, value in (OWN | headers).items() if value is not None}
    request = HTTPServerRequest("GET", path, headers=HTTPHeaders(headers), connection=None)
    return Gate(Application(), SECRET, PORT).refusal(request)


def test_the_raters_own_requests_pass():
    assert refusal() == refusal(Origin=f"http://127.0.0.1:{PORT}") == ""
    own = f"localhost:{PORT}"
    assert (
        refusal(f"{KERNEL}/channels", Host=own, Origin=f"http://{own}", Upgrade="websocket") == ""
    )


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1", f"127.0.0.1:{PORT + 1}", f"evil.example:{PORT}", "", None]
)
def test_foreign_hosts_are_refused(host):
    assert "own address only" in refusal(Host=host)
    assert "own address only" in refusal(f"/enter/{SECRET}", Host=host)


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", f"http://127.0.0.1:{PORT + 1}", f"https://127.0.0.1:{PORT}", "null"],
)
def test_foreign_origins_are_refused(origin):
    assert "Another page" in refusal(Origin=origin)
    assert "Another page" in refusal(f"{KERNEL}/channels", Origin=origin, Upgrade="websocket")


def test_a_websocket_without_origin_is_refused():
    assert "Another page" in refusal(f"{KERNEL}/channels", Upgrade="websocket")


@pytest.mark.parametrize(
    "cookie",
    [
        None,
        f"medalign-review-{PORT}=",
        f"medalign-review-{PORT}=another-secret",
        f"medalign-review-{PORT + 1}={SECRET}",
        f"medalign-review-{PORT}=é",
        f"token={SECRET}",
    ],
)
def test_without_the_raters_cookie_nothing_opens(cookie):
    for path in ("/", KERNEL, "/voila/static/main.js"):
        assert "your own link" in refusal(path, Cookie=cookie)


@pytest.mark.parametrize(
    "path",
    [
        "/?template=classic",
        "/?token=1",
        "/10_review_responses.ipynb",
        "/voila/render/notebooks/05_evaluate_systems.ipynb",
        "/voila/tree",
        "/voila/files/10_review_responses.ipynb",
        "/voila/query/1b4e28ba-2fa1-11d2-883f-0016d3cca427",
        "/voila/static/../../../../etc/passwd",
        "/voila/static/%2e%2e/%2e%2e/reviews/demo/key.json",
        "/voila/labextensions/..%2f..%2freviews/demo/secrets.json",
        "/api/contents",
        "/api/kernels",
        "/api/sessions",
        "/api/terminals",
        "/files/reviews/demo/key.json",
        "/nbconvert/html/notebooks/10_review_responses.ipynb",
        "/lab",
        "/voila/api/shutdown/1b4e28ba-2fa1-11d2-883f-0016d3cca427",
        "/login",
        "/logout",
        "/metrics",
        "//",
        f"{KERNEL}/restart",
    ],
)
def test_what_a_page_does_not_need_is_refused(path):
    assert "no such page" in refusal(path)


class TestEntering(AsyncHTTPTestCase):
    def get_app(self):
        class Reached(RequestHandler):
            def get(self):
                self.write("reached")

        self.gate = Gate(Application([(".*", Reached)]), SECRET, self.get_http_port())
        return self.gate

    def test_a_link_sets_a_cookie_that_opens_the_page(self):
        refused = self.fetch("/")
        assert refused.code == 403 and b"your own link" in refused.body
        entered = self.fetch(f"/enter/{SECRET}", follow_redirects=False)
        cookie = entered.headers["Set-Cookie"]
        assert "HttpOnly" in cookie and "SameSite=Strict" in cookie and "expires" not in cookie
        assert cookie.startswith(f"medalign-review-{self.get_http_port()}={SECRET};")
        assert entered.headers["Cache-Control"] == "no-store"
        assert entered.headers["Referrer-Policy"] == "no-referrer"
        assert "frame-ancestors 'none'" in entered.headers["Content-Security-Policy"]
        assert SECRET.encode() not in entered.body
        opened = self.fetch("/", headers={"Cookie": cookie.split(";")[0]})
        assert opened.code == 200 and opened.body == b"reached"

    def test_another_secret_sets_no_cookie(self):
        for secret in ("another", SECRET + "x", SECRET[:-1]):
            refused = self.fetch(f"/enter/{secret}")
            assert refused.code == 403 and "Set-Cookie" not in refused.headers
            assert b"valid" in refused.body

    def test_every_method_is_refused_without_cookie(self):
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "HEAD"):
            body = "" if method in ("POST", "PUT") else None
            assert self.fetch(KERNEL, method=method, body=body).code == 403
        assert self.fetch(f"/enter/{SECRET}", method="POST", body="").code in (403, 405)
