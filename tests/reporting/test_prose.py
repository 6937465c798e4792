"""Numbers in the documentation come from tables."""

import re

import pytest

from medalign_utils.errors import MedAlignError
from medalign_utils.reporting.prose import VALUES, with_values
from medalign_utils.reporting.publish import PAGES, filled
from tests.builders.project import ROOT

DOCUMENTS = [
    file.relative_to(ROOT)
    for pattern in ("*.md", "docs/*.md", "models/*/*.md")
    for file in sorted(ROOT.glob(pattern))
]


@pytest.mark.parametrize("name", PAGES)
def test_a_page_that_is_filled_again_stays_the_same(name):
    page = (ROOT / name).read_text("utf-8")
    assert filled(page, ROOT) == page, "make figures"


def test_a_number_that_is_not_the_tables_is_replaced():
    page = "There are <!--=paper.records-->12<!--/--> records:\n<!--=paper.size-->x\ny<!--/-->."
    size = "983 instructions, 276 records, 303 reference responses"
    records = "There are <!--=paper.records-->276<!--/--> records"
    assert with_values(page, ROOT) == f"{records}:\n<!--=paper.size-->{size}<!--/-->."


def test_an_unknown_value_is_an_error_that_names_the_known_ones():
    with pytest.raises(MedAlignError, match=r"no value paper\.size_; .*paper\.size"):
        with_values("<!--=paper.size_--><!--/-->", ROOT)
    with pytest.raises(MedAlignError, match=r"no value papers\.size"):
        with_values("<!--=papers.size--><!--/-->", ROOT)


@pytest.mark.parametrize("page", DOCUMENTS, ids=str)
def test_values_are_filled_and_begin_no_line(page):
    text = (ROOT / page).read_text("utf-8")
    n = len(re.findall(r"<!--=\w+\.", text))
    assert not n or str(page) in PAGES
    assert not re.search("^ *<!--[=/]", text, flags=re.MULTILINE), "Markdown reads it as HTML"
    assert n == len(re.findall(r"<!--=\w+\.\w+-->[^<]+<!--/-->", text))


def test_every_value_is_used():
    text = "".join((ROOT / name).read_text("utf-8") for name in PAGES)
    assert {name.partition(".")[0] for name in re.findall(r"<!--=([\w.]+)", text)} == set(VALUES)
