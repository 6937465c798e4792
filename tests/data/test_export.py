"""Exported tables load as the originals do, and those of a restricted release stay private."""

import json
import shutil
import stat
import subprocess

import pytest
from pandas.testing import assert_frame_equal

from medalign_utils.__main__ import main
from medalign_utils.data.export import export_release, instruction_response_pairs
from medalign_utils.data.release import load_release, load_submitted
from medalign_utils.errors import MedAlignError, TermsError
from medalign_utils.synthetic import write_release as synthesize
from tests.builders.explorer_release import write_release as write_reviewed
from tests.builders.tiny_release import write_release

ANSWERED = "clinician-instruction-responses"


@pytest.fixture
def folder(tmp_path):
    return write_release(tmp_path / "release")


def assert_equal_tables(release, other):
    assert_frame_equal(release.instructions, other.instructions)
    assert_frame_equal(release.references, other.references)
    assert_frame_equal(load_submitted(release), load_submitted(other))
    for person in release.instructions["person_id"].dropna():
        assert release.ehr_path(person).name == other.ehr_path(person).name


@pytest.mark.parametrize("format", ["json", "jsonl"])
def test_the_pairs_load_as_the_table_of_references(folder, tmp_path, format):
    release = load_release(folder)
    file = tmp_path / f"pairs.{format}"
    assert export_release(release, file) == {file: 4}
    (folder / f"{ANSWERED}.tsv").unlink()
    shutil.copy(file, folder / f"{ANSWERED}.{format}")
    assert_equal_tables(release, load_release(folder))


def test_the_pairs_are_a_list_of_objects(folder, tmp_path):
    assert main(["export", str(folder), "--format", "json", str(tmp_path / "pairs.json")]) == 0
    pairs = json.loads((tmp_path / "pairs.json").read_text("utf-8"))
    assert len(pairs) == 4
    assert pairs[0] == {
        "instruction_id": "02", "question": "Any chest pain?", "category": "Other",
        "subcategory": "other", "submitter_specialty": "Cardiology", "person_id": "007",
        "filename": "EHR_007.xml", "annotator_num": "Annotator_1",
        "clinician_response": 'No;\the said "none"\n— déni', "evidence": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    "write", [write_reviewed, lambda f: synthesize(f, patients=2, seed=1) and f]
)
def test_all_tables_load_again(tmp_path, write):
    folder = tmp_path / "release"
    write(folder)
    release, copy = load_release(folder), tmp_path / "copy"
    files = export_release(release, copy)
    assert {file.suffix for file in files} == {".json"}
    shutil.copytree(folder / "ehrs", copy / "ehrs")
    again = load_release(copy)
    assert_equal_tables(release, again)
    if release.reviews_path:
        assert_frame_equal(release.reviews.ratings, again.reviews.ratings)
        assert_frame_equal(release.reviews.responses, again.reviews.responses)
        assert release.reviews.n_not_used == again.reviews.n_not_used


def test_files_of_a_restricted_release_are_private_and_not_tracked(folder, tmp_path):
    release = load_release(folder)
    assert release.is_restricted
    clone = tmp_path / "clone"
    (clone / "data").mkdir(parents=True)
    subprocess.run(["git", "init", "-q", clone], check=True)
    (clone / ".gitignore").write_text("/data/*\n")
    for out in (clone / "pairs.json", clone / "new/tables"):
        with pytest.raises(TermsError, match="git would track this file"):
            export_release(release, out)
        assert not out.exists()
    for out in (clone / "data/pairs.json", tmp_path / "pairs.json"):
        out.touch(mode=0o644)
        export_release(release, out)
        assert stat.S_IMODE(out.stat().st_mode) == 0o600


def test_a_synthetic_release_may_be_exported_into_a_clone(tmp_path):
    synthesize(tmp_path / "synthetic", patients=2, instructions=6, seed=1)
    subprocess.run(["git", "init", "-q", tmp_path / "clone"], check=True)
    release = load_release(tmp_path / "synthetic")
    export_release(release, tmp_path / "clone/pairs.json")
    written = json.loads((tmp_path / "clone/pairs.json").read_text())
    assert len(written) == len(instruction_response_pairs(release))


@pytest.mark.parametrize(
    ("out", "format", "message"),
    [
        ("pairs.json", "jsonl", "pairs.json: expected a folder, or a name that ends in .jsonl"),
        ("pairs.xml", None, "pairs.xml: expected a folder, or a name that ends in .json or .jsonl"),
        ("release/pairs.json", None, "is in the release's own folder"),
        ("release", None, "is in the release's own folder"),
    ],
)
def test_a_wrong_place_is_an_error(folder, out, format, message):
    with pytest.raises(MedAlignError, match=message):
        export_release(load_release(folder), folder.parent / out, format)


def test_nothing_is_exported_or_graded_into_another_real_release(folder, tmp_path, capsys):
    demo, mine = tmp_path / "demo", write_release(tmp_path / "mine")
    synthesize(demo, patients=1, instructions=4)
    before = {file: file.read_bytes() for file in mine.rglob("*") if file.is_file()}
    (tmp_path / "answers.jsonl").write_text('{"instruction_id": "x", "response": "y"}\n')
    for command in (
        ["export", folder, mine],
        ["export", folder, mine / "pairs.json"],
        ["export", demo, mine / "ehrs/40.jsonl"],
        ["grade", tmp_path / "answers.jsonl", "--release", demo, "--out", mine / "v.jsonl"],
    ):
        assert main([*map(str, command)]) == 2
        assert "may be a real release" in capsys.readouterr().err
    assert {file: file.read_bytes() for file in mine.rglob("*") if file.is_file()} == before


@pytest.mark.parametrize("format", ["json", "jsonl"])
def test_a_table_without_rows_loads_again(folder, tmp_path, format):
    answered = folder / "clinician-instruction-responses.tsv"
    answered.write_text(answered.read_text(encoding="utf-8").split("\n")[0] + "\n")
    export_release(load_release(folder), tmp_path / "copy", format)
    shutil.copytree(folder / "ehrs", tmp_path / "copy/ehrs")
    assert_equal_tables(load_release(folder), load_release(tmp_path / "copy"))
