import pytest

from medalign_utils.data.ids import ids_in_two_spellings
from medalign_utils.data.release import load_release
from medalign_utils.errors import ReleaseError
from tests.builders.tiny_release import edit, write_release

ANSWERED = "clinician-instruction-responses.tsv"


@pytest.mark.parametrize(
    "spelling", ["2", "'02", '"""02"""', "002", "0\u200b2", "\uff10\uff12", '"=""02"""']
)
def test_ids_in_two_spellings_are_a_problem_that_names_both(tmp_path, spelling):
    folder = write_release(tmp_path / "release")
    edit(folder / ANSWERED, "\n02\t", f"\n{spelling}\t")
    with pytest.raises(ReleaseError) as caught:
        load_release(folder)
    message = str(caught.value)
    assert f"{ANSWERED}, row 1: instruction_id" in message
    assert "and '02' in all-instructions-rouge.tsv, row 2, differ only by leading zeros" in message


def test_patients_in_two_spellings_are_a_problem_too(tmp_path):
    folder = write_release(tmp_path / "release")
    (folder / "ehrs/7.xml").write_text("<eventstream person_id='7'/>")
    edit(folder / ANSWERED, "take?\t007", "take?\t7")
    with pytest.raises(ReleaseError, match="row 4: person_id '7' and '007' in"):
        load_release(folder)


def test_ids_that_differ_otherwise_are_different():
    assert ids_in_two_spellings([]) == []
