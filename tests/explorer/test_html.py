import re

from medalign_utils.data.evidence import search_pattern
from medalign_utils.explorer.html import excerpt, highlight
from tests.builders.explorer_release import SCRIPT


def test_highlights_and_escapes_every_part():
    html = highlight(f"<b>{SCRIPT}</b>", search_pattern("<script>"))
    assert "<script" not in html and "<img" not in html and "<b>" not in html
    assert re.search(r"<mark[^>]*>&lt;script&gt;</mark>", html)


def test_evidence_and_search_have_different_colours():
    both = highlight("Chest pain", search_pattern("pain"), search_pattern("chest"))
    colours = re.findall(r"background:(#\w+)[^>]*>(\w+)<", both)
    assert [word for _, word in colours] == ["Chest", "pain"]
    assert len({colour for colour, _ in colours}) == 2
    assert both.count("scroll-initial-target") == 1  # scrolls to the first mark


def test_an_excerpt_contains_the_hit():
    text = "word " * 200 + "needle " + "word " * 200
    shown = excerpt(text, search_pattern("needle"))
    assert "needle" in shown and len(shown) < 200
    assert shown.startswith("… word") and shown.endswith(" …") and excerpt("short") == "short"
