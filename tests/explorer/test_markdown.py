import re

import pytest

from medalign_utils.explorer.markdown import Passage, to_html


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        ("**1.4** mg/dL", "<strong>1.4</strong>"),
        ("- one\n- two", "<li>one</li>"),
        ("## Plan", "<h2>Plan</h2>"),
        ("| a | b |\n|---|---|\n| 1 | 2 |", "<td>1</td>"),
        ("one\ntwo", "one<br />"),
        ("145 10*3/uL, 150 10*3/uL", "145 10*3/uL, 150 10*3/uL"),
        ("    a quoted line", "<p>a quoted line</p>"),
    ],
)
def test_renders_markdown(text, tag):
    assert tag in to_html(text)


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "![x](https://example.org/?patient=1)",
        "[x](javascript:alert(1))",
        "<https://example.org>",
        "[x][1]\n\n[1]: https://example.org",
        "```<script>\n</script>\n```",
        "**<b onclick=alert(1)>**",
        "&lt;script&gt;",
    ],
)
def test_nothing_is_loaded_opened_or_run(text):
    tags = set(re.findall(r"<(\w+)", to_html(text)))
    assert tags <= {"p", "strong", "pre", "code", "br"}


@pytest.mark.parametrize(
    ("text", "passage", "marked"),
    [
        ("It was 1.4 mg/dL.", "1.4 mg/dL", ["1.4 mg/dL"]),
        ("It was **1.4** mg/dL.", "1.4** mg/dL", ["1.4", " mg/dL"]),
        ("**1.4 <b>**", "1.4 <b>", ["1.4 &lt;b&gt;"]),
        ("- 1.4\n- 1.5", "1.4\n- 1.5", ["1.4", "1.5"]),
        ("10*3/uL", "10*3/uL", ["10*3/uL"]),
    ],
)
def test_marks_a_passage_with_a_label(text, passage, marked):
    start = text.index(passage)
    html = to_html(text, [Passage(start, start + len(passage), "✓ found", "ma-found")])
    assert re.findall('<mark class="ma-found">([^<]*)</mark>', html) == marked
    assert html.count("✓ found</small>") == 1
    assert "\ue000" not in html and "\ue001" not in html


def test_passages_that_overlap_or_are_outside_are_dropped():
    passages = [Passage(0, 3, "a", "x"), Passage(2, 5, "b", "y"), Passage(50, 60, "c", "z")]
    html = to_html("\ue000abcdef", passages)
    assert html.count("<mark") == 1 and "z" not in html
