"""A compressed file that would fill the memory."""

import gzip

import pytest

from medalign_utils.data import gzip_files
from medalign_utils.data.ehr import ehr_text, read_events
from medalign_utils.data.release import load_release
from medalign_utils.errors import MedAlignError
from tests.builders.tiny_release import ASKED, ehr_40, write_release


@pytest.fixture
def bomb(monkeypatch):
    monkeypatch.setattr(gzip_files, "LARGEST", 10_000)
    return lambda text: gzip.compress(text.encode() + b" " * 10_000)


@pytest.mark.parametrize("read", [read_events, lambda path: ehr_text(path, "markup")])
def test_a_compressed_ehr_is_read_up_to_a_size(tmp_path, bomb, read):
    path = tmp_path / "40.xml.gz"
    path.write_bytes(gzip.compress(ehr_40().encode()))
    assert len(read(path))
    path.write_bytes(bomb(ehr_40()))
    with pytest.raises(
        MedAlignError, match=r"40\.xml\.gz: cannot be read \(decompressed, it has more"
    ):
        read(path)


def test_a_compressed_table_is_read_up_to_a_size(tmp_path, bomb):
    folder = write_release(tmp_path / "release")
    table = folder / ASKED
    content = table.read_text()
    table.write_bytes(gzip.compress(content.encode()))
    assert len(load_release(folder).instructions) == 4
    table.write_bytes(bomb(content))
    with pytest.raises(MedAlignError, match=f"{ASKED}: cannot be read .decompressed, it has more"):
        load_release(folder)
