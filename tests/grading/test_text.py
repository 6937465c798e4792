"""The reading of a response: its layout, its statements and its most decisive part."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medalign_utils.grading.characters import characters
from medalign_utils.grading.text import read


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        ("## Allergies\n- Latex\n  - hives", ["Allergies: Latex", "Allergies: Latex: hives"]),
        ("Missing:\n\n- Tdap\n\nGiven:\n- zoster", ["Missing: Tdap", "Given: zoster"]),
        ("**Nephrolithiasis**", ["Nephrolithiasis"]),
        ("| A | B |\n|---|---|\n| x | 1 |\n| y | - |", ["A: x: B: 1", "A: y:"]),
        ("> | | Value |\n> |---|---|\n> | When | 1999 |", ["When: 1999"]),
        ("Dear Dr. Roe,\n\nIt was 5.\n\nBest regards,\nA. Smith", ["It was 5."]),
        ("Hello, your INR is 2.1.", ["Hello, your INR is 2.1."]),
        ("5 days (on 2/20; home 2/25); well", ["5 days (on 2/20; home 2/25)", "well"]),
        ("3&nbsp;mg<br>daily", ["3 mg", "daily"]),
    ],
)
def test_statements_have_the_context_of_their_layout(response, expected):
    assert [statement.text for statement in read(response).statements] == expected


@pytest.mark.parametrize(
    ("response", "decisive"),
    [
        ("It may be 4.\n\n**Answer:** 5", "5"),
        ("4 is too low. <answer>5</answer>", "5"),
        ("It may be 4.\n## Conclusion\nIt is 5.", "It is 5."),
        ("We see 4. Therefore, it is 5.", "Therefore, it is 5."),
        ("Answer: 4\nWait, that is wrong: it is 5.", "Wait, that is wrong: it is 5."),
        ("It is 5.", "It is 5."),
    ],
)
def test_the_most_decisive_part_comes_first(response, decisive):
    first, *_ = read(response).parts
    assert " ".join(statement.own for statement in first.statements) == decisive


@given(st.text(alphabet="aé→½&;<>|*#\\{}$\n ²12", max_size=60))
def test_characters_keep_their_places(response):
    source = characters(response)
    assert len(source.places) == len(source.text)
    assert list(source.places) == sorted(source.places)
    assert all(0 <= place < len(response) for place in source.places)


@pytest.mark.parametrize("text", [".", "a\n", "[", "a b. ", "\\n"])
def test_a_response_that_repeats_itself_is_read_in_linear_time(text):
    begun = time.monotonic()
    read(text * 60_000)
    assert time.monotonic() - begun < 20
