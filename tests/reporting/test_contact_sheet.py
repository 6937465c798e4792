"""The page that shows all figures."""

import re

from PIL import Image

from medalign_utils.outputs import OUTPUTS, stem
from medalign_utils.reporting.contact_sheet import contact_sheet


def test_every_figure_is_shown_with_its_caption_and_formats(tmp_path):
    captions = {
        stem(notebook, suffix): caption
        for notebook, outputs in OUTPUTS.items()
        for suffix, caption in outputs.figures.items()
    }
    for name in captions:
        Image.new("L", (1020, 300)).save(tmp_path / f"{name}.png", dpi=(300, 300))
    page = contact_sheet(tmp_path)
    assert re.findall(r'<img src="(.*?).png" width="408"', page) == [*captions]  # 3.4 inches
    for name, caption in captions.items():
        assert f"{caption} [PNG]({name}.png), [PDF]({name}.pdf), [SVG]({name}.svg)" in page
    assert "## 05 " in page and "## 03" not in page
