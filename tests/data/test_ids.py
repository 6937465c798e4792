import pytest

from medalign_utils.data.ids import ids_in_two_spellings
from medalign_utils.data.release import load_release
from medalign_utils.data.reviews import read_reviews
from medalign_utils.errors import ReleaseError
from tests.builders.tiny_release import ANSWERED, ASKED, edit, write_release


@pytest.mark.parametrize(
    "spelling",
    ["2", "'02", '"""02"""', "002", "0\u200b2", "\uff10\uff12", "\u0660\u0662", '"=""02"""'],
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


@pytest.mark.parametrize(
    "rewritten",
    "1,001,234 1'001 5,479E+12 3-Feb 03-Feb-2014 Feb-14 ###### 2014-02-03\u00a000:00:00".split(" "),
)
def test_an_id_that_a_spreadsheet_turned_into_a_number_or_date_is_a_problem(tmp_path, rewritten):
    folder = write_release(tmp_path / "release")
    edit(folder / ANSWERED, "\n02\t", f"\n{rewritten}\t".replace("\u00a0", " "))
    with pytest.raises(ReleaseError, match=r"row 1: instruction_id .* was turned into a number or"):
        load_release(folder)


@pytest.mark.parametrize("text", ["Any chest pain", "Chest pain?", "Total", "Grand total"])
def test_a_text_or_a_total_in_the_place_of_an_id_is_a_problem_that_does_not_repeat_it(
    tmp_path, text
):
    folder = write_release(tmp_path / "release")
    edit(folder / ASKED, "\n3\t", f"\n{text}\t")
    with pytest.raises(ReleaseError, match="row 3: instruction_id is no id, but text") as caught:
        load_release(folder)
    assert text not in str(caught.value).replace("a total", "").replace("of totals", "")


def test_messages_mask_what_is_no_id(tmp_path):
    folder = write_release(tmp_path / "release")
    edit(folder / ANSWERED, "\tEHR_007.xml\tAnnotator_2", "\tDenies pain\tAnnotator_2")
    with pytest.raises(ReleaseError, match="filename 'Aaaaaa aaaa' does not belong to patient 007"):
        load_release(folder)


def test_annotators_named_by_numbers_are_those_of_the_release(tmp_path):
    folder = write_release(tmp_path / "release")
    edit(folder / ANSWERED, "\tAnnotator_2\tNone.", "\t2.0\tNone.")
    edit(folder / ANSWERED, '\tAnnotator_1\t"No;', '\tannotator 1\t"No;')
    release = load_release(folder, annotator="2")
    names = release.references.set_index("reference")["annotator"]
    assert names["None."] == release.annotator == "Annotator_2"
    assert load_release(folder).references["annotator"].iloc[0] == "Annotator_1"
    edit(folder / ANSWERED, "\t2.0\tNone.", "\t1\tNone.")
    with pytest.raises(ReleaseError, match="row 2: instruction_id 02, annotator Annotator_1 is al"):
        load_release(folder)


def test_a_system_in_two_spellings_is_a_problem(tmp_path):
    file = tmp_path / "reviews.csv"
    names = ["gpt4-32k", "GPT4 32k", "gpt4\u201132k", "gpt4", "gpt4-32k"]
    rows = "".join(f"{i},{name},1,1\n" for i, name in enumerate(names))
    file.write_text(f"instruction_id,model_name,binary_correct,rank\n{rows}", encoding="utf-8")
    problems = read_reviews(file).problems
    assert [problem.place for problem in problems] == ["row 2", "row 3"]
    assert "system 'GPT4 32k' is 'gpt4-32k' in row 1; spell each system in" in str(problems[0])
