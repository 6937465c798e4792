"""Answers produced elsewhere get the grades that the workflow would give them."""

import json
import subprocess
import sys

import pandas as pd
import pytest

import medalign_utils as ma
from medalign_utils import paths
from medalign_utils.__main__ import main
from medalign_utils.errors import MedAlignError, ParamsError, ReleaseError
from medalign_utils.evaluation.answers import describe_fact, grade_answers, read_answers
from medalign_utils.evaluation.ratings import rate
from medalign_utils.run import Run
from medalign_utils.synthetic import write_release
from tests.builders.tiny_release import write_release as write_tiny


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("synthetic") / "release"
    write_release(folder, patients=6, instructions=24, seed=1)
    return folder


@pytest.fixture
def release(folder):
    return ma.load_release(folder)


@pytest.fixture
def answers(release):
    """Return the references as answers: correct, but for an empty one and a wrong one."""
    table = release.references[["instruction_id", "reference"]]
    table = table.rename(columns={"reference": "response"})
    table.loc[[0, 1], "response"] = ["", "I do not know."]
    return table


def test_the_table_is_that_of_a_run_with_the_same_responses(project, release, answers):
    counts = "prompt_tokens ehr_tokens_kept ehr_tokens_total response_tokens n_prompts seconds"
    rows = answers.assign(system="mine", finish_reason="stop", prompt_sha256="")
    rows.loc[2, ["response", "finish_reason"]] = ["The answer is", "length"]
    rows[counts.split()] = 0
    file = paths.responses("x", "mine")
    file.parent.mkdir(parents=True)
    rows.to_json(file, orient="records", lines=True)
    run = Run("x", release.path, ["mine"])
    [expected] = ma.evaluate(run).to_dict("records")
    graded = grade_answers(file, release)
    [row] = graded.table.to_dict("records")
    names = ["system", "n", "correct", "correct_low", "correct_high", "n_patients"]
    assert {name: row[name] for name in names} == {name: expected[name] for name in names}
    assert (row["missing"], row["cut"], row["empty"], graded.n_not_asked) == (0, 1, 1, 0)
    rated = rate(run).set_index("instruction_id")["correct"].to_dict()
    assert {v["instruction_id"]: v["correct"] for v in graded.verdicts} == rated


def test_verdicts_name_what_decided(release, answers):
    verdicts = {v["instruction_id"]: v for v in grade_answers(answers, release).verdicts}
    texts = answers.set_index("instruction_id")["response"]
    assert list(verdicts) == [i for i in release.instructions["instruction_id"] if i in texts]
    empty, unknown, *_ = (verdicts[i] for i in texts.index)
    assert empty["reason"] == "empty" and unknown["reason"].endswith(": omitted")
    assert {fact["verdict"] for fact in empty["facts"] + unknown["facts"]} == {"omitted"}
    n_pieces = 0
    for instruction_id, verdict in verdicts.items():
        assert verdict["correct"] == (verdict["reason"] == "")
        for fact in verdict["facts"]:
            assert fact["asked"]
            assert fact["verdict"] == "found" or not verdict["correct"]
            for piece in fact["evidence"]:
                n_pieces += 1
                assert texts[instruction_id][piece["start"] : piece["end"]] == piece["text"] != ""
    assert n_pieces >= sum(verdict["correct"] for verdict in verdicts.values()) > 5


@pytest.mark.parametrize(
    ("answer", "correct", "verdict"),
    [
        ("Amlodipine and metformin.", True, "found"),
        ("Amlodipine.", False, "partly found"),
        ("Amlodipine, metformin and lisinopril.", False, "contradicted"),
        ("Nothing.", False, "omitted"),
    ],
)
def test_a_set_may_be_found_in_part(release, answers, monkeypatch, answer, correct, verdict):
    fact = {"kind": "set", "members": [["amlodipine"], ["metformin"]], "rivals": [["lisinopril"]]}
    key = {i: {"facts": [fact]} for i in answers["instruction_id"]}
    monkeypatch.setattr("medalign_utils.evaluation.answers.load_answer_key", lambda path: key)
    first, *_ = grade_answers(answers.assign(response=answer), release).verdicts
    assert (first["correct"], first["facts"][0]["verdict"]) == (correct, verdict)
    assert first["facts"][0]["asked"] == "amlodipine, metformin"


@pytest.mark.parametrize("ending", ["jsonl", "json", "csv", "tsv"])
def test_every_format_gives_the_same_verdicts(folder, answers, tmp_path, capsys, ending):
    file, out = tmp_path / f"mine.{ending}", tmp_path / "out.jsonl"
    renamed = answers.iloc[:-3].rename(columns={"instruction_id": "qid", "response": "answer"})
    if ending.startswith("json"):
        renamed.to_json(file, orient="records", lines=ending == "jsonl")
    else:
        renamed.to_csv(file, index=False, sep={"csv": ",", "tsv": "\t"}[ending])
    columns = ["--columns", "instruction_id=qid", "response=answer"]
    command = ["grade", str(file), "--release", str(folder), *columns, "--out", str(out)]
    assert main(command) == 0
    shown = capsys.readouterr().out
    assert f"3 of {len(answers)} instructions have no answer: they are not correct" in shown
    assert "how many answers were cut is not known" in shown
    assert "95 % interval over patients; synthetic release, public seed 1" in shown
    assert shown.splitlines()[1].split()[:2] == ["mine", str(len(answers))]
    verdicts = [json.loads(line) for line in out.read_text().splitlines()]
    missing = [verdict for verdict in verdicts if verdict["reason"] == "no answer"]
    assert len(verdicts) == len(answers) and len(missing) == 3
    assert not any(verdict["correct"] for verdict in missing)
    renamed.columns = answers.columns
    assert verdicts == grade_answers(renamed, ma.load_release(folder)).verdicts


def test_one_answer_is_told_in_the_singular(folder, release, answers, tmp_path, capsys):
    other = {*release.instructions["instruction_id"]} - {*answers["instruction_id"]}
    extra = pd.DataFrame({"instruction_id": [min(other)], "response": ["Yes."]})
    pd.concat([answers.iloc[1:], extra]).to_csv(tmp_path / "mine.csv", index=False)
    assert main(["grade", str(tmp_path / "mine.csv"), "--release", str(folder)]) == 0
    shown = capsys.readouterr().out
    assert f"1 of {len(answers)} instructions has no answer: it is not correct" in shown
    assert "1 answer to instructions without a reference does not count" in shown


def test_answers_with_semicolons_are_named_with_what_to_do(folder, tmp_path, capsys):
    (tmp_path / "mine.csv").write_text("instruction_id;response\n1;Yes, he does.\n")
    assert main(["grade", str(tmp_path / "mine.csv"), "--release", str(folder)]) == 2
    assert "columns are separated by semicolons, expected commas" in capsys.readouterr().err


def test_a_failed_answer_is_not_correct_and_has_its_reason(release):
    rows = release.references[["instruction_id"]].assign(
        response=release.references["reference"], failure="the server refused"
    )
    graded = grade_answers(rows, release, "mine")
    assert graded.table["correct"].item() == 0
    assert graded.table["no_response"].item() == graded.table["n"].item() == len(rows)
    assert {verdict["reason"] for verdict in graded.verdicts} == {"the server refused"}


def test_instructions_without_a_reference_do_not_count(release, answers):
    others = set(release.instructions["instruction_id"]) - set(answers["instruction_id"])
    more = pd.DataFrame({"instruction_id": sorted(others), "response": "Yes."})
    graded = grade_answers(pd.concat([answers, more]), release)
    assert graded.n_not_asked == len(others) > 0
    assert graded.table.equals(grade_answers(answers, release).table)


def test_unknown_repeated_and_unnamed_answers_are_errors(release, answers, tmp_path):
    file = tmp_path / "mine.csv"
    unknown = answers.assign(instruction_id=[*answers["instruction_id"][:-1], "77"])
    unknown.to_csv(file, index=False)
    with pytest.raises(MedAlignError, match=rf"mine.csv, row {len(answers)}: no instruction 77 in"):
        grade_answers(file, release)
    pd.concat([answers, answers]).to_csv(file, index=False)
    with pytest.raises(ReleaseError, match=rf"row {len(answers) + 1}: .* already in row 1 \("):
        grade_answers(file, release)
    answers.rename(columns={"response": "text"}).to_csv(file, index=False)
    with pytest.raises(ReleaseError, match=r"no column for response; .*`--columns response=<"):
        read_answers(file)
    with pytest.raises(ParamsError, match="columns: response: no column 'txt'"):
        read_answers(file, {"response": "txt"})
    with pytest.raises(ReleaseError, match=r"none\.csv: no such file"):
        read_answers(tmp_path / "none.csv")
    with pytest.raises(MedAlignError, match="grade_answers: no column response; found"):
        grade_answers(answers[["instruction_id"]], release)
    with pytest.raises(MedAlignError, match="has several answers"):
        grade_answers(pd.concat([answers, answers]), release)


def test_without_an_answer_key_the_error_says_what_to_do(tmp_path, capsys):
    folder = write_tiny(tmp_path / "release")
    file = tmp_path / "mine.csv"
    file.write_text("instruction_id,response\n02,Yes\n")
    assert main(["grade", str(file), "--release", str(folder)]) == 2
    assert "use a synthetic release, such as data/demo" in capsys.readouterr().err
    assert main(["grade", str(file), "--release", str(folder), "--out", str(file)]) == 2
    assert "set another file for the verdicts by `--out`" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("fact", "text"),
    [
        (
            {"kind": "number", "topic": ["BP"], "value": [108, 55.5], "unit": "mmHg"},
            "108/55.5 mmHg",
        ),
        ({"kind": "date", "topic": ["MRI"], "date": "2006-01-01", "precision": "month"}, "2006-01"),
        ({"kind": "term", "topic": None, "accepted": ["knee OA", "OA"]}, "knee OA"),
        ({"kind": "yes_no", "topic": ["MRI"], "answer": False}, "MRI: no"),
        ({"kind": "not_documented", "topic": ["MRI"]}, "MRI: not documented"),
    ],
)
def test_what_a_fact_asks_for_is_said_in_words(fact, text):
    assert describe_fact(fact).endswith(text)


def test_grading_loads_no_model_library(folder, answers, tmp_path):
    file = tmp_path / "mine.csv"
    answers.to_csv(file, index=False)
    code = """if True:
        import sys
        from medalign_utils.__main__ import main
        assert main(sys.argv[1:]) == 0
        assert not {"torch", "transformers", "snakemake", "papermill"} & set(sys.modules)
    """
    command = ["grade", str(file), "--release", str(folder)]
    subprocess.run([sys.executable, "-c", code, *command], check=True)
    assert (tmp_path / "mine.verdicts.jsonl").is_file()


def test_the_fault_of_the_only_answer_is_told(tmp_path):
    file = tmp_path / "mine.jsonl"
    file.write_text('{"instruction_id": "1", "response": ["a"]}\n')
    with pytest.raises(ReleaseError, match="line 1: response is a list, expected text or a number"):
        read_answers(file)
    file.write_text("")
    with pytest.raises(ReleaseError, match=r"mine\.jsonl: no answers"):
        read_answers(file)


@pytest.mark.parametrize("name", ["answer-key.jsonl", "manifest.json", "ehrs/new.jsonl"])
def test_verdicts_replace_no_file_of_the_release(folder, answers, tmp_path, capsys, name):
    answers.to_csv(tmp_path / "mine.csv", index=False)
    before = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    command = ["grade", str(tmp_path / "mine.csv"), "--release", str(folder)]
    assert main([*command, "--out", str(folder / name)]) == 2
    assert "is in the release's own folder; choose another one" in capsys.readouterr().err
    assert before == {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
