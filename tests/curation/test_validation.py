from io import StringIO
from pathlib import Path

import pandas as pd
import pytest

from medalign_utils.__main__ import main
from medalign_utils.curation.problems import Problems
from medalign_utils.curation.validation import check_release
from medalign_utils.data.release import load_release
from medalign_utils.data.tables import Problem
from medalign_utils.errors import ReleaseError
from tests.builders.tiny_release import (
    ANSWERED,
    ASKED,
    REVIEWED,
    SUBMITTED,
    edit,
    encounter,
    entry,
    event,
    eventstream,
    lab,
    write_release,
)


@pytest.fixture
def folder(tmp_path):
    return write_release(tmp_path / "release")


def check(folder):
    report = check_release(folder, progress=False)
    return dict(report.summary.to_numpy().tolist()), [str(p) for p in report.problems]


def test_a_valid_release_is_counted_and_has_no_problems(folder):
    (folder / REVIEWED).write_text(
        "instruction_id\tmodel_name\tbinary_correct\tis_used_eval\trank\n"
        "02\tgpt4-32k\t1\tyes\t1\n02\tmpt\t0\tyes\t2\n3\tmpt\t0\tno\t2\n"
    )
    (folder / "ehrs/.DS_Store").write_bytes(b"\x00")
    (folder / "ehrs/40.bak.xml").write_text("<broken")
    summary, problems = check(folder)
    assert problems == []
    expected = {
        "instructions": "4", "patients with instructions": "2",
        "instructions without a patient": "1",
        "instructions with a reference": "3", "references": "4",
        "instructions with references, but not Annotator_1's": "1",
        "rated responses": "2", "reviews excluded from the evaluation": "1",
        "systems": "gpt4-32k, mpt",
        "EHRs": "2", "other files in the EHR folder": "2", "notes": "2", "note types": "1",
        "events": "5", "events: measurement": "2", "events: drug_exposure": "1",
        "first event": "2014-08-10", "last event": "2015-01-02",
        "longest EHR": "3 events, patient 40",
    }  # fmt: skip
    assert expected.items() <= summary.items()


def test_every_problem_is_listed_with_its_file_and_row(folder):
    bad = entry("soon", event("visit", "A/1", "x"), event("visit", "A/2", "y"))
    good = entry("2014-08-10 09:00", event("visit", "A/1", "x"), "<event/>")
    (folder / "ehrs/40.xml").write_text(eventstream("40", encounter(bad + "\n" + good)))
    (folder / "ehrs/EHR_007.xml").write_text("<eventstream person_id='007'><encounter>")
    (folder / "ehrs/9.xml").write_text("<!DOCTYPE a><eventstream person_id='9'/>")
    edit(folder / ASKED, "\n3\t", "\n02\t")
    edit(folder / ANSWERED, "40\t\tAnnotator_1\t1.1", "41\t\tAnnotator_1\t")
    (folder / REVIEWED).write_text("instruction_id\tmodel_name\tverdict\n")
    (folder / "manifest.json").write_text("{")
    summary, problems = check(folder)
    found = "\n".join(problems)
    for file, fault in (
        (ASKED, "row 3: instruction_id 02 is already in row 2"),
        (ANSWERED, "row 3: no EHR for patient 41"),
        (ANSWERED, "row 3: no clinician's response; row left out"),
        (REVIEWED, "no column for correct; tried binary_correct, correct; found instruction_id"),
        ("manifest.json", "not JSON"),
        ("40.xml", "line 4: event 0 (from 0), timestamp: found 'aaaa'"),
        ("40.xml", "line 5: event 0 (from 0), timestamp: found 'aaaa'"),
        ("40.xml", "line 9: event 1 (from 0): no type"),
        ("EHR_007.xml", "line 1: not well-formed XML"),
        ("9.xml", "has a DOCTYPE"),
    ):
        assert any(file in line and fault in line for line in problems), (fault, found)
    assert len(problems) == 10, found
    # Readable files are counted nevertheless.
    assert summary["events"] == "1" and summary["EHRs"] == "3"


def test_links_other_folders_and_duplicate_ehrs_are_reported(folder):
    (folder / "secret.xml").write_text(eventstream("8", ""))
    (folder / "ehrs/7.xml").symlink_to(folder / "secret.xml")
    (folder / "ehrs/8.xml").symlink_to(folder / "ehrs/9.xml")
    (folder / "ehrs/9.xml").symlink_to(folder / "ehrs/8.xml")
    (folder / "ehrs/EHR_40.xml").write_text((folder / "ehrs/40.xml").read_text())
    (folder / "medalign_ehr_xml").mkdir()
    fault = "not read: a link that leads outside the EHR folder or to itself"
    assert check(folder)[1] == [
        f"{folder / 'medalign_ehr_xml'}: not read, because {folder / 'ehrs'} exists",
        *(f"{folder / 'ehrs' / name}: {fault}" for name in ("7.xml", "8.xml", "9.xml")),
        f"{folder / 'ehrs/EHR_40.xml'}: a second EHR of patient 40; the first is 40.xml",
    ]


@pytest.mark.parametrize("header", ["", "<person><birthdate>1950-03-02</birthdate></person>"])
def test_an_ehr_without_events(folder, header):
    (folder / "ehrs/40.xml").write_text(eventstream("40", encounter("", header)))
    assert check(folder)[1] == [f"{folder / 'ehrs/40.xml'}: no events"]


def test_events_of_other_types_are_counted_and_no_problem(folder):
    types = ["hosp/poe", "care plan", "care plan", "hosp/labevents"]
    events = "".join(event(name, "A/1", "x") for name in types)
    text = eventstream("40", encounter(entry("2014-08-10 09:00", events)))
    (folder / "ehrs/40.xml").write_text(text)
    summary, problems = check(folder)
    assert problems == [] and main(["check", str(folder)]) == 0
    assert summary["events of another type: care plan"] == "2"
    assert summary["events of another type: hosp/poe"] == "1"
    assert summary["events: measurement"] == "1"
    many = "".join(event(f"type {i}", "A/1", "x") for i in range(300))
    (folder / "ehrs/40.xml").write_text(text.replace("<event ", many + "<event ", 1))
    assert check(folder)[0]["events of 282 more types"] == "282"  # 20 of 302 are named


def test_records_newest_first_are_counted(folder):
    days = ("2015-01-01", "2014-01-01")
    encounters = [encounter(lab(day, "1"), start=day) for day in days]
    (folder / "ehrs/40.xml").write_text(eventstream("40", "".join(encounters)))
    summary, problems = check(folder)
    assert problems == []
    assert summary["EHRs not in order of time, which are put in order"] == "1"


def test_an_encounter_that_occurs_twice_is_counted(folder):
    (folder / "ehrs/40.xml").write_text(
        eventstream("40", encounter(lab("2015-01-02", "1")) * 2 + encounter("") * 2)
    )
    summary, problems = check(folder)
    assert problems == [] and summary["events: measurement"] == "1"
    assert summary["encounters that repeat another one, which are read once"] == "1"


@pytest.mark.parametrize("fact", ["gender", "race", "ethnicity"])
def test_a_fact_that_differs_between_encounters_is_a_problem(folder, fact):
    def write(*values):
        headers = [f"<person><{fact}>{value}</{fact}></person>" for value in values]
        days = [f"2014-01-0{i}" for i in range(1, len(values) + 1)]
        text = "".join(
            encounter(lab(day, "1"), header, day) for day, header in zip(days, headers, strict=True)
        )
        (folder / "ehrs/40.xml").write_text(eventstream("40", text))

    write("FEMALE", "Unknown", "Female ", "")
    assert check(folder)[1] == []
    write("FEMALE", "MALE")
    assert check(folder)[1] == [
        f"{folder}/ehrs/40.xml: 2 different values of {fact}; the last counts. Are these two "
        "patients?"
    ]


def test_a_real_release_that_others_can_read_is_stated_and_no_problem(folder, capsys):
    def n_open():
        assert main(["check", str(folder)]) == 0
        lines = [line for line in capsys.readouterr().out.splitlines() if "other users" in line]
        return [line.split()[-1] for line in lines]

    folder.chmod(0o755)
    assert n_open() == ["4"]
    (folder / ASKED).chmod(0o600)
    assert n_open() == ["3"]
    folder.chmod(0o700)
    assert n_open() == []
    folder.chmod(0o755)
    (folder / "manifest.json").write_text('{"synthetic": true}')
    assert n_open() == []


@pytest.mark.parametrize("names", [["--column", "rank=place"], ["--columns", "rank=place"]])
def test_commands_take_names_of_columns_in_both_spellings(folder, names, capsys):
    (folder / REVIEWED).write_text(
        "instruction_id\tmodel_name\tbinary_correct\tplace\n02\ta\t1\t1\n"
    )
    assert main(["check", str(folder)]) == 1
    assert "load_release" not in capsys.readouterr().out
    assert main(["check", str(folder), *names]) == 0


def test_a_folder_that_is_no_release_has_problems_and_no_summary(tmp_path):
    (tmp_path / "page.md").write_text("text")
    summary, problems = check(tmp_path)
    assert summary == {} and len(problems) == 2
    (tmp_path / ASKED).write_text("instruction_id\tquestion\n")
    (tmp_path / "ehrs").mkdir()
    (tmp_path / "ehrs/9.xml").write_text("<eventstream person_id='9'/>")
    summary, _ = check(tmp_path)
    assert summary["EHRs"] == "1" and summary["longest EHR"] == "none"


def test_every_table_is_read(folder):
    (folder / ASKED).write_text("instruction_id\tquestion\tperson_id\n77\tNew?\t999\n")
    (folder / REVIEWED).write_text(
        "instruction_id\tmodel_name\tbinary_correct\trank\tperson_id\n"
        "02\ta\t1\t1\t998\n99\ta\t1\t1\t40\n"
    )
    (folder / SUBMITTED).write_text(
        "instruction_id\tquestion\tperson_id\tduplicate_of\n1\tx\t997\t2\n2\ty\t40\t3\n"
    )
    summary, problems = check(folder)
    for file, fault in (
        (ASKED, "row 1: no EHR for patient 999"),
        (REVIEWED, "row 1: no EHR for patient 998"),
        (REVIEWED, "row 1: instruction 02 has 2 patients (007, 998)"),
        (REVIEWED, "row 2: instruction 99 is in no other table"),
        (SUBMITTED, "row 1: no EHR for patient 997"),
        (SUBMITTED, "row 1: duplicate_of is not an earlier instruction"),
        (SUBMITTED, "row 2: duplicate_of is not an earlier instruction"),
    ):
        assert any(file in line and fault in line for line in problems), (fault, problems)
    assert len(problems) == 7 and summary["submitted instructions"] == "2"


def test_problems_of_whole_tables(folder):
    answered = folder / ANSWERED
    answered.write_text(answered.read_text().splitlines()[0] + "\n")
    assert check(folder)[1] == [f"{folder}: no instruction names its patient"]
    (folder / REVIEWED).write_text("model_name\n")  # read twice, but one problem
    (folder / ASKED).unlink()
    first, second = check(folder)[1]
    assert "has no all-instructions-rouge.tsv/.csv/.json/.jsonl" in first
    assert "no column for instruction_id" in second
    with pytest.raises(ReleaseError, match="no folder"):
        check_release(folder / "none")


def test_the_command_lists_all_problems_and_exits_with_1_if_there_are_any(folder, capsys):
    assert main(["check", str(folder)]) == 0
    assert "no problems" in capsys.readouterr().out
    edit(folder / ANSWERED, "clinician_response", "answer")
    assert main(["check", str(folder)]) == 1
    out = capsys.readouterr().out
    assert "1 problems" not in out and "1 problem\n" in out and "no column for reference" in out
    assert main(["check", str(folder), "--column", "reference=answer"]) == 0
    assert main(["check", str(folder), "--column", "subcategory=category"]) == 2
    assert "columns: subcategory: no column 'category'; all-instr" in capsys.readouterr().err
    assert main(["check", str(folder), "--column", "referense=answer"]) == 2
    assert "did you mean 'reference'?" in capsys.readouterr().err
    assert main(["check", str(folder / "none")]) == 2


def test_messages_about_columns_name_the_option_of_the_command(folder, tmp_path, capsys):
    edit(folder / ASKED, "person_id", "MRN")
    edit(folder / ASKED, "Cardiology\t\n4", "Cardiology\t007\n4")
    edit(folder / ANSWERED, "clinician_response", "answer")
    (folder / REVIEWED).write_text("instruction_id\tmodel_name\tverdict\n")
    assert main(["check", str(folder)]) == 1
    out = capsys.readouterr().out
    for remedy in ("person_id=MRN", "reference=<name>", "correct=<name>"):
        assert f"name it with `--column {remedy}`" in out
    assert "params" not in out
    assert main(["export", str(folder), str(tmp_path / "pairs.json")]) == 2
    assert "`--column reference=<name>`" in capsys.readouterr().err


def test_a_problem_of_a_file_names_it_once(folder):
    edit(folder / ANSWERED, "clinician_response", "answer")
    (folder / "manifest.json").write_text("{")
    for file, problem in zip(
        ("manifest.json", ANSWERED), sorted(check(folder)[1])[::-1], strict=True
    ):
        assert problem.startswith(f"{folder / file}: ") and problem.count(str(folder)) == 1


def test_a_flood_of_problems_is_grouped_by_kind_and_listed_on_request(folder, tmp_path, capsys):
    bad = "".join(entry(f"{n} soon", event("visit", "A/1", "x")) for n in range(500))
    (folder / "ehrs/40.xml").write_text(eventstream("40", encounter(bad + "<entry/>")))
    edit(folder / ASKED, "\n3\t", "\n02\t")
    assert main(["check", str(folder)]) == 1
    out = capsys.readouterr().out
    assert "501 problems" in out and "40.xml: 497 more like these" in out
    assert out.count("40.xml: line") == 3 and "row 3: instruction_id 02 is already in row 2" in out
    assert "`--json FILE` or `--csv FILE` lists all problems" in out
    for name, read in (("json", lambda text: text.splitlines()), ("csv", pd_rows)):
        file = tmp_path / f"all.{name}"
        assert main(["check", str(folder), f"--{name}", str(file)]) == 1
        assert "501 problems" in capsys.readouterr().out
        assert len(read(file.read_text())) == 501 and file.stat().st_mode & 0o077 == 0
        assert main(["check", str(folder), f"--{name}"]) == 1
        printed = capsys.readouterr()
        assert printed.out == file.read_text() and "501 problems" in printed.err
    assert main(["check", str(folder), "--json", str(folder / "all.json")]) == 2
    assert not (folder / "all.json").exists()


def pd_rows(text):
    return pd.read_csv(StringIO(text), dtype=str)


def test_a_flood_of_problems_does_not_fill_the_memory():
    found = Problems()
    found += (Problem(Path("a.xml"), "", f"line {n}: no 'type {n}'") for n in range(100_000))
    found += (Problem(Path("a.xml"), "", f"{chr(97 + n % 26) * (n // 26)}") for n in range(50_000))
    assert len(found) > 149_000 and len([*found]) < 5_000


def test_control_characters_of_ids_are_escaped(folder, capsys):
    edit(folder / ASKED, "\n3\t", "\n\x1b[2J3\u202e\t")
    (folder / REVIEWED).write_text(
        "instruction_id\tmodel_name\tbinary_correct\trank\n\x1b[31m9\ta\x07\t1\t1\n02\ta\x07\t1\t1\n"
    )
    assert main(["check", str(folder)]) == 1
    out = capsys.readouterr().out
    assert "\\x1b[31m9" in out and "a\\x07" in out
    assert all(c.isprintable() or c == "\n" for c in out)
    with pytest.raises(ReleaseError) as caught:
        load_release(folder)
    assert str(caught.value).isprintable()


def test_formulas_in_the_list_of_problems_are_text(tmp_path, capsys):
    folder = write_release(tmp_path / "=release")
    edit(folder / ASKED, "\n3\t", "\n02\t")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        assert main(["check", "=release", "--csv"]) == 1
    assert capsys.readouterr().out.splitlines()[1].startswith("'=release/")


def test_instructions_without_a_row_are_stated_and_an_empty_response_is_a_problem(folder):
    summary, problems = check(folder)
    assert summary[f"instructions without a row in {ANSWERED[:-4]}"] == "1" and not problems
    edit(folder / ANSWERED, "Annotator_1\t1.1\tlab", "Annotator_1\tN/A\tlab")
    summary, problems = check(folder)
    assert summary[f"instructions without a row in {ANSWERED[:-4]}"] == "1"
    assert problems == [f"{folder / ANSWERED}, row 3: no clinician's response; row left out"]


def test_a_table_that_is_not_read_is_a_problem(folder):
    other = (folder / ANSWERED).with_suffix(".csv")
    other.write_text("a,b\n")
    assert check(folder)[1] == [f"{other}: not read, because {ANSWERED} exists"]
    other.unlink()
    (folder / REVIEWED).with_suffix(".xlsx").touch()
    [problem] = check(folder)[1]
    assert "no clinician-reviewed-model-responses; it has clinician-reviewed-model-re" in problem
    with pytest.raises(ReleaseError, match="it is a file, perhaps to be unpacked"):
        check_release(folder / ANSWERED)


def test_questions_that_differ_between_tables_are_counted(folder):
    edit(folder / ANSWERED, "02\tAny chest pain?", "02\t any  chest pain")
    name = "instructions with another question in each table"
    assert check(folder)[0][name] == "0"
    edit(folder / ANSWERED, "Which statin does", "Which opioid does")
    assert check(folder)[0][name] == "1"
