import re

import pytest

from medalign_utils.explorer.html import IN_VIEW, excerpt, highlight
from medalign_utils.explorer.search import parse_query
from tests.builders.explorer_release import SCRIPT


def test_highlights_and_escapes_every_part():
    text = f"<b>{SCRIPT}</b>"
    html = highlight(text, parse_query("<script>").spans(text))
    assert "<script" not in html and "<img" not in html and "<b>" not in html
    assert re.search(r"<mark[^>]*>&lt;script&gt;</mark>", html)


def test_evidence_and_search_look_different():
    both = highlight("Chest pain", [(0, 5), (6, 10)], [(0, 5)])
    assert re.findall(r'class="(ma-\w+)">(\w+)<', both) == [
        ("ma-evidence", "Chest"),
        ("ma-search", "pain"),
    ]


@pytest.mark.parametrize(("current", "shown"), [(None, "a b"), (1, "b c"), (7, "a b")])
def test_the_current_hit_is_in_view(current, shown):
    html = highlight("a b c", [(0, 1), (2, 3)], current=current)
    assert html.count(IN_VIEW) == 1
    assert re.sub("<[^>]+>", "", html.partition(IN_VIEW)[2]).startswith(shown)
    assert ("ma-current" in html) == (current == 1)


def test_overlapping_passages_are_one():
    assert re.findall(">([^<]+)</mark>", highlight("abcdef", (), [(0, 3), (2, 4), (4, 5)])) == [
        "abcd",
        "e",
    ]


def test_an_excerpt_contains_the_hit():
    text = "word " * 200 + "needle " + "word " * 200
    shown = excerpt(text, re.compile("needle"))
    assert "needle" in shown and len(shown) < 200
    assert shown.startswith("… word") and shown.endswith(" …") and excerpt("short") == "short"
