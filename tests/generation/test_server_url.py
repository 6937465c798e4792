"""Tests of `medalign_utils.generation.server_url`, and that a generator refuses the same URLs."""

import pytest

from medalign_utils.errors import ParamsError
from medalign_utils.generation.openai_api import openai
from medalign_utils.generation.server_url import host_of, is_loopback

KEY = "sk-Secret0123456789"

BAD_URLS = [
    "", "api.openai.com/v1", "ftp://127.0.0.1/v1", "http://", "http:///v1",
    f"http://me:{KEY}@127.0.0.1/v1", f"http://{KEY}@127.0.0.1/v1", f"http://127.0.0.1/v1?key={KEY}",
    f"http://127.0.0.1/v1#{KEY}", "http://127.0.0.1:port/v1", "http://127.0.0.1:70000/v1",
    "http://127.0.0.1\\.example.com/v1", "http://127.0.0.1\t.example.com/v1",
    "http://127.0.0.1%2eexample.com/v1", "http://[::1/v1", "http://[::1%25lo]/v1",
    "http://[127.0.0.1]/v1", "http://::1/v1", "http://a[::1]/v1", "http://[fe80::g]/v1",
    "http://256.0.0.1/v1", "http://127.0.0.1\n", "http://localhoſt/v1", "http://１２７.0.0.1/v1",
    " http://127.0.0.1/v1",
]  # fmt: skip


@pytest.mark.parametrize("url", BAD_URLS)
def test_bad_urls_are_refused_and_not_repeated(url):
    for function in (host_of, is_loopback, lambda url: openai(model="m", base_url=url)):
        with pytest.raises(ParamsError, match=r"^base_url: [^\n]*$") as raised:
            function(url)
        assert "Secret" not in str(raised.value)


def test_hosts():
    hosts = {
        "http://LOCALHOST:1/": ("localhost", True),
        "https://127.8.9.1/v1": ("127.8.9.1", True),
        "http://[::1]": ("::1", True),
        "http://[0:0:0:0:0:0:0:1]:80/v1": ("0:0:0:0:0:0:0:1", True),
        "http://localhost.example.com/v1": ("localhost.example.com", False),
        "http://127.0.0.1.example.com": ("127.0.0.1.example.com", False),
        "http://0.0.0.0:8000/v1": ("0.0.0.0", False),
        "http://[::]:8000/v1": ("::", False),
        "http://127.1/v1": ("127.1", False),
        "http://example.com/@127.0.0.1/v1": ("example.com", False),
        "http://2130706433/v1": ("2130706433", False),
        "https://my_server:8000/v1": ("my_server", False),
    }
    assert {url: (host_of(url), is_loopback(url)) for url in hosts} == hosts
