import gzip

import pytest

from medalign_utils.data.recognize import is_gzip, recognize, recognize_folder


@pytest.mark.parametrize(
    ("opening", "form"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12\n", "Git LFS"),
        (gzip.compress(b"instruction_id\tquestion\n", mtime=0), "gzip"),
        (b"PK\x03\x04\x14\x00\x00\x00ehrs/40.xml", "zip archive"),
        (b"PK\x03\x04\x14\x00\x00\x00[Content_Types].xml", "workbook"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "Excel"),
        (b"\r\n<!DOCTYPE html><title>Sign in</title>", "web page"),
        ("instruction_id\tquestion\n".encode("utf-16"), "UTF-16"),
        ("instruction_id\tquestion\n".encode("utf-16-be"), "UTF-16"),
        (bytes(100), "zero bytes"),
        (b'<?xml version="1.0"?>\n<!-- a --><ClinicalDocument xmlns="urn:hl7-org:v3">', "C-CDA"),
        (b'{"id": "1", "resourceType": "Patient"}', "FHIR"),
        (b'{"message": "Not Found"}', "error message"),
    ],
)
def test_other_files_are_recognized(opening, form):
    assert form in recognize(opening)


@pytest.mark.parametrize(
    "opening",
    [
        b"",
        "instruction_id\tquestion\n1\tÜber?\n".encode("utf-8-sig"),
        b'[{"instruction_id": "1", "message": "x"}]',
        b'<?xml version="1.0"?><eventstream person_id="7">',
        "Протокол\tвопрос\n".encode(),
    ],
)
def test_tables_and_ehrs_are_nothing_else(opening):
    assert recognize(opening) == "" and not is_gzip(opening)


@pytest.mark.parametrize(
    ("files", "form"),
    [
        (("data/train/0.parquet", "metadata/codes.parquet", "metadata/dataset.json"), "MEDS"),
        (("PERSON.csv", "VISIT_OCCURRENCE.csv"), "OMOP"),
        (("hosp/patients.csv.gz", "hosp/admissions.csv.gz"), "MIMIC"),
        (("notes.txt",), ""),
    ],
)
def test_folders_of_other_data_models_are_recognized(tmp_path, files, form):
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    found = recognize_folder(tmp_path)
    assert form in found and bool(found) == bool(form)


def test_a_folder_of_fhir_is_recognized_by_its_files(tmp_path):
    (tmp_path / "Patient.ndjson").write_text('{"resourceType": "Patient"}\n')
    assert "FHIR" in recognize_folder(tmp_path)
