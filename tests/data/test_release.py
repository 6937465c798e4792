import json
from pathlib import Path

import pandas as pd
import pytest

from medalign_utils.data.ehr_files import find_ehr
from medalign_utils.data.release import load_release, load_submitted, primary_references
from medalign_utils.data.release_tables import (
    INSTRUCTION_COLUMNS,
    INSTRUCTIONS_FILE,
    REFERENCE_COLUMNS,
    read_release_table,
)
from medalign_utils.errors import ParamsError, ReleaseError
from tests.builders.tiny_release import ANSWERED, ASKED, REVIEWED, SUBMITTED, edit, write_release

OFFICIAL = Path(__file__).parents[3] / "shared/official/instructions-sample.csv"
ID = "5479314876123"


@pytest.fixture
def folder(tmp_path):
    return write_release(tmp_path / "release")


def error_of(folder):
    with pytest.raises(ReleaseError) as caught:
        load_release(folder)
    return str(caught.value)


def test_instructions_are_text_and_missing_values_come_from_the_other_table(folder):
    edit(folder / ASKED, "3\tWhich statin does the patient take?\tCardiology\t\n", "")
    release = load_release(folder)
    assert tuple(release.instructions.columns) == INSTRUCTION_COLUMNS
    assert all(dtype == "str" for dtype in release.instructions.dtypes)
    instructions = release.instructions.set_index("instruction_id")
    # The first table names no patient, and 3 is only in the references; 4 has no patient.
    assert [*instructions.index] == [ID, "02", "4", "3"]
    assert instructions.loc["3", "question"] == "Which statin does the patient take?"
    # The subcategory "other" implies a category.
    given = instructions[["person_id", "subcategory", "category"]].drop("4")
    assert given.T.to_numpy().tolist() == [["40", "007", "007"], ["other"] * 3, ["Other"] * 3]
    assert instructions.loc["4", given.columns].isna().all()
    assert set(instructions["submitter_specialty"].dropna()) == {"Cardiology"}


def test_references_keep_quoted_text_and_put_annotator_1_first(folder):
    references = load_release(folder).references
    assert tuple(references.columns) == REFERENCE_COLUMNS
    assert all(dtype == "str" for dtype in references.dtypes)
    assert references["instruction_id"].tolist() == ["02", "02", ID, "3"]
    assert references["annotator"].str[-1].tolist() == ["1", "2", "1", "2"]
    assert references["reference"].tolist() == [
        'No;\the said "none"\n— déni',
        "None.",
        "1.1",
        "none",
    ]
    assert references["evidence"].isna().tolist() == [True, False, False, True]


def test_primary_references_come_from_the_preferred_annotator_or_the_first(folder):
    references = load_release(folder).references
    assert primary_references(references)["annotator"].str[-1].tolist() == ["1", "1", "2"]
    backwards = references.iloc[::-1].reset_index(drop=True)
    assert primary_references(backwards)["annotator"].str[-1].tolist() == ["2", "1", "1"]
    release = load_release(folder, annotator="Annotator_2")
    assert release.references["annotator"].str[-1].tolist()[:2] == ["2", "1"]
    primary = primary_references(release.references, release.annotator)
    assert primary["annotator"].str[-1].tolist() == ["2", "1", "2"]


def test_older_copies_with_commas_and_other_folder(folder):
    for name in (ASKED, ANSWERED):
        old = pd.read_csv(folder / name, sep="\t", dtype="str", keep_default_na=False)
        old.to_csv(folder / name.replace("tsv", "csv"), index=False, encoding="utf-8-sig")
        (folder / name).unlink()
    (folder / "ehrs").rename(folder / "medalign_ehr_xml")
    (folder / "medalign_ehr_xml" / "40.bak.xml").write_text("<broken")
    release = load_release(folder)
    assert release.references["reference"].iloc[0] == 'No;\the said "none"\n— déni'
    assert release.ehr_path("40") == folder / "medalign_ehr_xml" / "40.xml"


def test_manifest_and_answer_key(folder):
    release = load_release(folder)
    assert (release.manifest, release.answer_key_path, release.reviews_path) == (None, None, None)
    (folder / "manifest.json").write_text(json.dumps({"synthetic": True}))
    (folder / "answer-key.jsonl").write_text("")
    release = load_release(folder)
    assert release.manifest == {"synthetic": True}
    assert release.answer_key_path == folder / "answer-key.jsonl"
    for content, fault in (("{", "not JSON"), ("[]", "found a list, expected an object")):
        (folder / "manifest.json").write_text(content)
        assert f"manifest.json: {fault}" in error_of(folder)


def test_ehr_path(folder):
    release = load_release(folder)
    assert release.ehr_path("007") == folder / "ehrs" / "EHR_007.xml"
    with pytest.raises(ReleaseError, match=r"no EHR for patient 8 in .*tried 8.xml, EHR_8.xml"):
        release.ehr_path("8")
    (folder / "outside.xml").write_text("<eventstream/>")
    with pytest.raises(ReleaseError, match="is outside the EHR folder"):
        release.ehr_path("../outside")


def test_missing_folder_table_and_ehr_folder(folder):
    assert error_of(folder / "no") == f"no folder {folder / 'no'}"
    assert error_of("data/mistyped") == "no folder data/mistyped"
    (folder / "ehrs").rename(folder / "records")
    assert "row 1: no EHR folder in" in error_of(folder)
    text = (folder / ANSWERED).read_text(encoding="utf-8")
    (folder / ANSWERED).write_text(text, encoding="utf-16")
    assert "expected a table in UTF-8, found UTF-16" in error_of(folder)
    (folder / ANSWERED).unlink()
    stem = "clinician-instruction-responses"
    assert f"has no {stem}.tsv/.csv/.json/.jsonl" in error_of(folder)


@pytest.mark.parametrize(
    ("file", "old", "new", "fault"),
    [
        (ASKED, "\n3\t", "\n02\t", "row 3: instruction_id 02 is already in row 2"),
        (ASKED, "\n3\t", "\n \t", "row 3: no instruction_id"),
        (ASKED, f"{ID}\t", "5.47931E+12\t", "row 1: instruction_id '5.47931E+12' was turned into"),
        (ASKED, f"{ID}\t", f"{ID}.0\t", f"instruction_id '{ID}.0' was turned into a number"),
        (ANSWERED, "_2\tNone.", "_1\tNone.", "02, annotator Annotator_1 is already in row 1"),
        (ANSWERED, "007\tEHR_007.xml\tAnnotator_2", "40\t\tB", "has 2 patients (40, 007)"),
        (ANSWERED, "clinician_resp", "r", "no column for reference; tried clinician_response, ref"),
        (ANSWERED, "EHR_007.xml\tAnnotator_1", "40.xml\tB", "row 2: filename '40.xml' does not"),
        (ANSWERED, "EHR_007.xml\tAnnotator_1", "007.xml\tB", "whose EHR is 'EHR_007.xml' in an"),
        (ANSWERED, "\tlab\t\tother", "\tlab\tother", "line 5: 8 fields, expected 9 as in the"),
        (ANSWERED, '\t"No;', '\t"No" ;', "line 3: "),
        (ANSWERED, "\tNone.\t", '\t"None.\t', "line 2: a cell begins with a quotation mark"),
        (ANSWERED, "\tevidence\t", "\tquestion\t", "columns 2 and 7 have the same name"),
    ],
)
def test_errors_name_the_file_and_row(folder, file, old, new, fault):
    (folder / "ehrs" / "007.xml").write_text("<eventstream/>")
    edit(folder / file, old, new)
    message = error_of(folder)
    assert str(folder / file) in message and fault in message


def test_a_missing_ehr_is_named_with_its_row_and_the_number_of_further_problems(folder):
    (folder / "ehrs" / "EHR_007.xml").unlink()
    message = error_of(folder)
    assert f"{folder / ANSWERED}, row 1: no EHR for patient 007" in message
    assert "tried EHR_007.xml, 007.xml, 007.xml.gz" in message
    # Other rows of the patient have a different file name or none.
    assert f"(1 more; `python -m medalign_utils check {folder}` lists them)" in message


@pytest.mark.parametrize(
    "filename",
    ["../outside.xml", "a/../../outside.xml", "..\\outside.xml", "link.xml", "{absolute}"],
)
def test_a_filename_cannot_leave_the_folder(folder, filename):
    outside = folder / "outside.xml"
    outside.write_text("<eventstream/>")
    (folder / "ehrs" / "a").mkdir()
    (folder / "ehrs" / "link.xml").symlink_to(outside)
    edit(folder / ANSWERED, "EHR_007.xml\tAnnotator_1", "\tAnnotator_1")
    edit(folder / ANSWERED, "EHR_007.xml", filename.format(absolute=outside))
    assert "is outside the EHR folder" in error_of(folder)


@pytest.mark.parametrize(
    ("table", "header", "row", "fault"),
    [
        (
            ASKED,
            "person_id\tfilename",
            "\t../../etc/passwd",
            "'../../etc/passwd' is outside the EHR folder",
        ),
        (ASKED, "person_id\tfilename", "40\t007.xml", "filename '007.xml' does not belong to"),
        (REVIEWED, "person_id", "999", "no EHR for patient 999"),
    ],
)
def test_every_table_that_names_an_ehr_is_checked(folder, table, header, row, fault):
    edit(folder / ASKED, "Cardiology\t\n4", "Cardiology\t\n5")
    edit(folder / ANSWERED, "5479314876123\t", "4\t")
    (folder / table).write_text(f"instruction_id\tquestion\t{header}\n4\tx\t{row}\n")
    assert f"{folder / table}, row 1: {fault}" in error_of(folder)


@pytest.mark.parametrize(
    ("person_id", "name", "advice"),
    [
        ("7", "007.xml", "007.xml differs by leading zeros or marks, .* with ids as text$"),
        ("7", "EHR_007.XML", "ids as text, and rename EHR_007.XML to end in .xml$"),
        ("7", "7.XML", "7.XML differs only by upper and lower case: rename it to 7.xml$"),
        ("p7", "P7.xml", "P7.xml differs only by upper and lower case: rename it to p7.xml$"),
        ("7", "17.xml", "copy its file there, or leave out the rows of this patient$"),
    ],
)
def test_a_missing_ehr_names_a_file_that_differs_little(folder, person_id, name, advice):
    (folder / "ehrs/EHR_007.xml").unlink()
    (folder / "ehrs" / name).write_text("<eventstream/>")
    with pytest.raises(ReleaseError, match=advice):
        find_ehr(folder, person_id, None)


@pytest.mark.parametrize(
    "name", ["MRN", "patient_id", "SubjectID", "Patient ID", "PAT_MRN_ID", "pid", "Patient #"]
)
def test_a_column_that_may_have_the_patients_ids_is_not_passed_over(folder, name):
    (folder / ASKED).write_text(f"instruction_id\tquestion\t{name}\n4\tx\t40\n")
    fault = f"no column for person_id, but {name} may name patients; found instruction_id, question"
    shown = name if name.isidentifier() else f'"{name}"'
    message = error_of(folder)
    assert f"{folder / ASKED}: {fault}" in message
    assert f"set `columns: {{person_id: {shown}}}` in params" in message
    assert load_release(folder, columns={"person_id": name}).instructions["person_id"][0] == "40"
    edit(folder / ASKED, "40", "NULL")
    assert load_release(folder).instructions["person_id"].isna()[0]


def test_file_names_do_not_stand_for_a_missing_column_of_patients(folder):
    header = "instruction_id\tquestion\twho\tfilename\n"
    (folder / ASKED).write_text(header + "4\tx\t40\t40.xml\n")
    assert "no column for person_id, but filename may name patients; found instr" in error_of(
        folder
    )
    (folder / ASKED).write_text(header + "4\tx\t40\t\n")
    assert load_release(folder).instructions["person_id"].isna()[0]


def test_left_out_rows_are_reported(folder):
    edit(folder / ANSWERED, "Annotator_1\t1.1\tlab", "Annotator_1\t\t")
    # The table of instructions may name more patients than are released.
    with (folder / ASKED).open("a") as table:
        table.write("77\tNew?\tCardiology\t999\n")
    with pytest.warns(UserWarning) as warned:
        release = load_release(folder)
    assert "no EHR for 1 patients (999); their instructions" in str(warned[0].message)
    assert "left out row 3: no clinician's response" in str(warned[1].message)
    assert pd.isna(release.instructions["person_id"].iloc[-1])
    assert release.instructions["question"].iloc[-1] == "New?"
    assert ID not in set(release.references["instruction_id"])


@pytest.mark.parametrize("word", ["nan", "NULL", "None", "N/A", "NA", " <NA> ", "NaN"])
def test_words_for_missing_values_are_no_reference_and_no_patient(folder, word):
    edit(folder / ANSWERED, "Annotator_1\t1.1\tlab", f"Annotator_1\t{word}\t{word}")
    edit(folder / ASKED, "Cardiology\t\n4", f"{word}\t{word}\n4")
    with pytest.warns(UserWarning, match="left out row 3: no clinician's response"):
        release = load_release(folder)
    assert ID not in set(release.references["instruction_id"])
    assert release.instructions["person_id"].dropna().isin(["40", "007"]).all()
    edit(folder / ANSWERED, "\n3\tWhich", f"\n{word}\tWhich")
    assert "row 4: no instruction_id" in error_of(folder)


def test_a_review_of_an_unknown_instruction_is_an_error_unless_left_out(folder):
    file = folder / REVIEWED
    file.write_text("instruction_id\tperson_id\tis_used_eval\n02\t007\tyes\n99\t9\tno\n")
    load_release(folder)
    edit(file, "99\t9\tno", "99\t\tyes")
    assert f"{file}, row 2: instruction 99 is in no other table" in error_of(folder)


def test_blanks_around_ids_do_not_count(folder):
    edit(folder / ASKED, "\n3\t", "\n3 \t")
    edit(folder / ANSWERED, "\n3\tWhich", "\n 3\tWhich")
    edit(folder / ANSWERED, "40\t\tAnnotator_1", " 40\t40.xml \tAnnotator_1 ")
    release = load_release(folder)
    assert release.instructions["instruction_id"].tolist() == ["5479314876123", "02", "3", "4"]
    assert release.instructions["person_id"].tolist()[:3] == ["40", "007", "007"]
    assert set(release.references["annotator"]) == {"Annotator_1", "Annotator_2"}


def test_mapped_columns_keep_their_names_in_other_tables(folder):
    edit(folder / ANSWERED, "clinician_response", "answer")
    edit(folder / ASKED, "\tquestion\t", "\tprompt\t")
    release = load_release(folder, columns={"reference": "answer", "question": "prompt"})
    assert release.references["reference"].iloc[-1] == "none"
    assert release.instructions["question"].iloc[1] == "Any chest pain?"
    with pytest.raises(ParamsError, match="unknown column 'referense'; did you mean 'reference'"):
        load_release(folder, columns={"referense": "answer"})
    with pytest.raises(ParamsError, match=r"^columns: subcategory: no column 'kind'; .*question"):
        load_release(folder, columns={"reference": "answer", "subcategory": "kind"})
    # Only a table that is read later may have the column.
    (folder / SUBMITTED).write_text("instruction_id\tasked\tperson_id\n1\tx\t40\n2\ty\t9\n")
    edit(folder / ASKED, "\tprompt\t", "\tquestion\t")
    release = load_release(folder, columns={"reference": "answer", "question": "asked"})
    with pytest.raises(ReleaseError, match=f"{SUBMITTED}, row 2: no EHR for patient 9"):
        load_submitted(release)
    edit(folder / SUBMITTED, "9\n", "40\n")
    assert load_submitted(release).shape == (2, 6)


@pytest.mark.skipif(not OFFICIAL.exists(), reason="the authors' sample files are not here")
def test_the_public_sample_of_instructions():
    table = read_release_table(OFFICIAL, INSTRUCTIONS_FILE)
    assert len(table.frame) == 62 and not table.problems
    assert table.frame["category"].notna().all() and table.frame["question"].notna().all()


@pytest.mark.parametrize("error", ["#REF!", "#NAME?", "#DIV/0!"])
def test_a_spreadsheets_error_is_no_reference(folder, error):
    edit(folder / ANSWERED, "\t1.1\t", f"\t{error}\t")
    assert f"row 3: reference {error} is a spreadsheet's error in" in error_of(folder)


def test_columns_may_differ_in_case_and_blanks(folder):
    expected = load_release(folder)
    edit(folder / ANSWERED, "person_id\tfilename", "Person ID\tFileName")
    edit(folder / ASKED, "instruction_id\tquestion", "Instruction-Id\tQUESTION")
    assert load_release(folder).questions == expected.questions
    assert load_release(folder).references.equals(expected.references)


@pytest.mark.parametrize("again", ["question.1", "Question", "question_duplicated_0", "question "])
def test_a_column_that_occurs_twice_is_a_problem(folder, again):
    lines = (folder / ASKED).read_text().splitlines()
    rows = [f"{again}\t{lines[0]}", *(f"Another?\t{line}" for line in lines[1:])]
    (folder / ASKED).write_text("\n".join(rows) + "\n")
    with pytest.raises(ReleaseError, match=r"columns .* have the same name"):
        load_release(folder)


def test_a_cell_of_invisible_characters_is_empty(folder):
    edit(folder / ANSWERED, "\tNone.\t", "\t\u200b \ufeff\t")
    with pytest.warns(UserWarning, match="left out row 1: no clinician's response"):
        assert "Annotator_2" not in set(load_release(folder).references["annotator"][:2])


@pytest.mark.parametrize("name", ["{}.tsv.gz", "{}.xlsx", "{}.TSV", "release-1.3/{}.tsv"])
def test_a_table_of_another_name_is_named(folder, name):
    other = folder / name.format("clinician-instruction-responses")
    other.parent.mkdir(exist_ok=True)
    (folder / ANSWERED).rename(other)
    found = other.relative_to(folder).parts[0]
    error = error_of(folder)
    assert f"; it has {found}: unpack or export it" in error or f"{found} has it: give" in error
    with pytest.raises(ReleaseError, match="it is a file, perhaps to be unpacked"):
        load_release(folder / ASKED)


def test_a_text_that_a_spreadsheet_cut_is_a_problem(folder):
    edit(folder / ANSWERED, "\tNone.\t", f"\t{'x' * 32_767}\t")
    assert "row 1: reference has 32,767 characters, as many as a spreadsheet" in error_of(folder)
