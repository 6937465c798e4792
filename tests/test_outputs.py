"""What captions say."""

import re

import pytest

from medalign_utils.outputs import OUTPUTS

CAPTIONS = {
    f"{notebook}-{suffix}": caption
    for notebook, outputs in OUTPUTS.items()
    for suffix, caption in outputs.figures.items()
}


@pytest.mark.parametrize("figure", CAPTIONS)
def test_a_caption_names_n_interval_and_test(figure):
    caption = CAPTIONS[figure]
    assert re.search(r"\bn\b", caption)
    assert re.search(r"95% interval|[Nn]o interval", caption)
    assert re.search(r"\btest\b", caption)
