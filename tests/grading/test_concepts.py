"""Terms are found under any name, word form and word order, and not in other words."""

import pytest

from medalign_utils.grading.concepts import mentions
from medalign_utils.grading.lexicon import alternatives, sections, stem, stems


@pytest.mark.parametrize(
    ("names", "text", "found"),
    [
        (["facial swelling"], "Her face swells up after latex.", ["face swells"]),
        (["sudden breathlessness"], "sudden shortness of breath", ["sudden shortness of breath"]),
        (["a slow heart rate"], "her heart rate became too slow", ["heart rate became too slow"]),
        (["twice daily"], "in the morning and 5 mg in the evening",
         ["in the morning and 5 mg in the evening"]),
        (["dos veces al día"], "2 veces al dia", ["2 veces al dia"]),
        (["555-0168"], "(555) 0168, 555.0168, 5550168", ["555) 0168", "555.0168", "5550168"]),
        (["E78.5"], "E78.51, E78.5.", ["E78.5"]),
        (["a-fib"], "afib, A-fib", ["afib", "A-fib"]),
        # An abbreviation of two letters is not a word in small letters.
        (["MI"], "mi casa", []),
        (["low magnesium"], "magnesium was not low; low potassium", []),
        (["low magnesium"], "potassium was low. Magnesium was normal.", []),
        (["bloating"], "Bloated after meals", ["Bloated"]),
    ],
)  # fmt: skip
def test_mentions(names, text, found):
    assert [text[m.start : m.end] for m in mentions(tuple(names), text)] == found


@pytest.mark.parametrize(
    ("words", "common"),
    [
        ("bloating bloated bloat", "bloat"),
        ("allergy allergies", "allerg"),
        ("two dos 2", "2"),
        ("stopped stop", "stop"),
    ],
)
def test_word_forms_share_a_stem(words, common):
    assert {stem(word) for word in words.split()} == {common}
    assert stem("evening") != stem("even")


def test_groups_of_a_section_exclude_each_other():
    # Some symptoms and times of day share a word: "nightly" is at bedtime or in the evening.
    for section in sections().keys() - {"role", "word", "symptom", "frequency"}:
        groups = sections()[section]
        seen = {}
        for n, group in enumerate(groups):
            for spelling in group:
                other = seen.setdefault(stems(spelling), n)
                assert other == n, f"[{section}] {spelling}: {groups[other][0]}, {group[0]}"


def test_alternatives_are_the_other_groups_of_the_section():
    relatives = {group[0] for group in alternatives(("sister",))}
    assert {"brother", "mother", "maternal aunt"} <= relatives
    assert "sister" not in relatives
    assert alternatives(("no such term",)) == ()
