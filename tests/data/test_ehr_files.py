"""Which files are EHRs, and folders that cannot be read."""

import gzip
import os
from pathlib import Path

import pytest

from medalign_utils.__main__ import main
from medalign_utils.curation.validation import check_release
from medalign_utils.data.ehr import read_events
from medalign_utils.data.ehr_files import ehr_files
from medalign_utils.data.release import load_release
from medalign_utils.errors import MedAlignError, ReleaseError
from tests.builders.tiny_release import ANSWERED, edit, write_release


@pytest.fixture
def folder(tmp_path):
    return write_release(tmp_path / "release")


def problems(folder):
    return [str(problem) for problem in check_release(folder, progress=False).problems]


def test_a_file_that_a_table_names_is_checked_whatever_its_name(folder):
    (folder / "ehrs/site.1001.xml").write_text("<eventstream person_id='site.1001'><broken>")
    edit(folder / ANSWERED, "creatinine?\t40\t\t", "creatinine?\tsite.1001\tsite.1001.xml\t")
    path = load_release(folder).ehr_path("site.1001")
    with pytest.raises(MedAlignError, match="the file ends inside an element"):
        read_events(path)
    [problem] = problems(folder)
    assert "site.1001.xml: line 1: not well-formed XML: the file ends inside an element" in problem


def test_a_named_file_in_a_subfolder_is_checked_once(folder):
    (folder / "ehrs/a").mkdir()
    (folder / "ehrs/40.xml").rename(folder / "ehrs/a/40.xml")
    edit(folder / ANSWERED, "creatinine?\t40\t\t", "creatinine?\t40\ta/40.xml\t")
    report = check_release(folder, progress=False)
    assert [*report.problems] == []
    assert dict(report.summary.to_numpy().tolist())["EHRs"] == "2"
    assert load_release(folder).ehr_path("40") == folder / "ehrs/a/40.xml"


def test_an_ehr_compressed_by_gzip_is_read(folder):
    content = gzip.compress((folder / "ehrs/40.xml").read_bytes())
    before = read_events(folder / "ehrs/40.xml")
    (folder / "ehrs/40.xml").unlink()
    (folder / "ehrs/40.xml.gz").write_bytes(content)
    assert read_events(load_release(folder).ehr_path("40")).equals(before)
    assert problems(folder) == []
    assert set(ehr_files(folder)[0].values()) == {"40", "007"}


def test_a_file_name_in_another_encoding_is_a_problem_and_no_traceback(folder, capsys):
    (folder / "ehrs" / os.fsdecode(b"M\xfcller.xml")).write_bytes(b"<record/>")
    assert main(["check", str(folder)]) == 1
    assert "ller.xml: a file name that is not UTF-8; rename it" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["release", "ehrs"])
def test_a_folder_without_permission_is_an_error_with_its_path(folder, name, monkeypatch, capsys):
    """As root, no folder lacks permission, so the system's answers are simulated."""
    closed = folder if name == "release" else folder / "ehrs"

    def refuse(method, of_folder):
        def refused(self, *arguments, **options):
            if (self == closed and of_folder) or closed in self.parents:
                raise PermissionError(13, "Permission denied", str(self))
            return method(self, *arguments, **options)

        return refused

    for method in ("is_file", "is_dir", "stat", "open", "iterdir"):
        original = getattr(Path, method)
        monkeypatch.setattr(Path, method, refuse(original, method == "iterdir"))
    with pytest.raises(ReleaseError, match=r"release.*: cannot be read \(Permission denied\)"):
        load_release(folder)
    assert main(["check", str(folder)]) in (1, 2)
    output = capsys.readouterr()
    assert "cannot be read (Permission denied)" in output.out + output.err


def test_an_ehr_without_permission_is_a_problem_and_the_rest_is_checked(folder, monkeypatch):
    original = Path.open

    def refuse(self, *arguments, **options):
        if self.name == "40.xml":
            raise PermissionError(13, "Permission denied", str(self))
        return original(self, *arguments, **options)

    monkeypatch.setattr(Path, "open", refuse)
    assert problems(folder) == [f"{folder / 'ehrs/40.xml'}: cannot be read (Permission denied)"]


FOLDERS = {
    "MEDS": (
        ["metadata/dataset.json", "metadata/codes.parquet", "data/0.parquet"],
        "a MEDS dataset",
    ),
    "OMOP": (["person.csv", "visit_occurrence.csv"], "tables of the OMOP common data model"),
    "MIMIC": (["hosp/patients.csv.gz", "hosp/admissions.csv.gz"], "tables of MIMIC"),
    "FHIR": (["Patient.json"], "a folder with a FHIR resource"),
    "C-CDA": (["smith.xml"], "a folder with a C-CDA document"),
}


@pytest.mark.parametrize(("names", "form"), FOLDERS.values(), ids=FOLDERS)
def test_a_folder_of_another_data_model_is_recognized(tmp_path, names, form):
    contents = {".json": '{"resourceType": "Patient"}', ".xml": "<ClinicalDocument/>"}
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(contents.get(Path(name).suffix, ""))
    with pytest.raises(ReleaseError, match=f"it is {form}; convert it to the release's tables"):
        load_release(tmp_path)
    assert any(form in problem for problem in problems(tmp_path))


def test_a_table_without_a_header_does_not_show_its_first_row(folder, capsys):
    file = folder / ANSWERED
    file.write_text("".join(file.read_text().splitlines(True)[1:]))
    assert main(["check", str(folder)]) == 1
    out = capsys.readouterr().out
    assert "9 columns, none with a known name; the first row must name the columns" in out
    assert "chest pain" not in out
