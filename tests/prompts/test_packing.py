import pytest

from medalign_utils.errors import EHRError
from medalign_utils.prompts.packing import pack_ehr, pack_ehrs
from tests.builders.tiny_release import ehr_007, ehr_40

QUESTIONS = ["What was the last creatinine?", "Any chest pain, and since when has it been there?"]


@pytest.fixture
def ehrs(tmp_path):
    (tmp_path / "40.xml").write_text(ehr_40(), "utf-8")
    (tmp_path / "EHR_007.xml").write_text(ehr_007(), "utf-8")
    files = [tmp_path / "40.xml", tmp_path / "EHR_007.xml"]
    return [(file, QUESTIONS) for file in files * 4]


def test_workers_give_what_one_process_gives(ehrs):
    alone = list(pack_ehrs(ehrs, "lines", "minilm", 256 + 60))
    together = list(pack_ehrs(ehrs, "lines", "minilm", 256 + 60, workers=2))
    assert alone == together and len(alone) == 8
    first = alone[0]
    assert [one.prompt.instruction for one in first.packed] == QUESTIONS
    assert first.packed[1].ehr_tokens_kept < first.packed[0].ehr_tokens_kept
    assert first.packed[0].ehr_tokens_kept < first.ehr_tokens_total


def test_a_whole_ehr_is_counted_once_and_alike(ehrs):
    packed, total = pack_ehr(*ehrs[0], "markup", "minilm", None)
    assert {one.ehr_tokens_kept for one in packed} == {total}


def test_an_error_in_a_worker_is_the_packages_own(ehrs, tmp_path):
    (tmp_path / "9.xml").write_text("<eventstream person_id='9'><encounter>")
    broken = [*ehrs, (tmp_path / "9.xml", QUESTIONS)]
    packed = pack_ehrs(broken, "lines", "minilm", 2048, workers=2)
    with pytest.raises(EHRError, match=r"9.xml, line 1: not well-formed"):
        list(packed)
