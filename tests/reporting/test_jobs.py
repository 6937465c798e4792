"""A system's job writes its outcome, unless it was interrupted."""

import json
from pathlib import Path

import nbformat
import pandas as pd
import papermill
import pytest

from medalign_utils.errors import MedAlignError
from medalign_utils.reporting.jobs import (
    execute,
    is_finished,
    join_shards,
    read_status,
    run_notebook,
)

OK = {"is_ok": True, "files": {}}
FAILED = {"is_ok": False, "error": "EHRError", "message": "4.xml, line 7: bad", "log": "g.log"}


@pytest.fixture
def executed(monkeypatch, tmp_path):
    """Record the parameters given to papermill, which then raises `raises`."""
    monkeypatch.chdir(tmp_path)

    class Executed(list):
        raises = None

        def __call__(self, notebook, copy, parameters, **_):
            self.append(parameters)
            if self.raises:
                raise self.raises

    monkeypatch.setattr(papermill, "execute_notebook", calls := Executed())
    return calls


def test_a_notebook_saved_with_another_kernel_runs_with_ours(tmp_path):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("print(6 * 7)")])
    notebook.metadata["kernelspec"] = {"name": "ir", "language": "R", "display_name": "R"}
    nbformat.write(notebook, tmp_path / "a.ipynb")
    execute(tmp_path / "a.ipynb", tmp_path / "b.ipynb", {"system": "a"})
    cells = nbformat.read(tmp_path / "b.ipynb", 4).cells
    assert [cell.source for cell in cells] == ['# Parameters\nsystem = "a"\n', "print(6 * 7)"]
    assert cells[-1].outputs[0]["text"] == "42\n"


def write(path, system, left):
    path.write_text(json.dumps({"system": system} | left))
    return path


def run(tmp_path, parameters, **options):
    status = tmp_path / "status/a.json"
    executed = tmp_path / "notebooks/a.ipynb"
    goes_on = run_notebook("a.ipynb", executed, parameters, status=status, **options)
    return goes_on, read_status(status) if status.exists() else None


ERROR = papermill.PapermillExecutionError(0, 1, "source", "EHRError", "4.xml: bad\nmore", [])


def test_a_system_that_finishes_names_its_files(executed, tmp_path):
    responses = tmp_path / "a.jsonl"
    responses.write_text("1\n")
    goes_on, left = run(tmp_path, {"system": "a"}, makes=[responses])
    assert goes_on and left["is_ok"] and left["system"] == "a"
    assert is_finished(tmp_path / "status/a.json")
    responses.write_text("2\n")
    assert not is_finished(tmp_path / "status/a.json")
    responses.unlink()
    assert not is_finished(tmp_path / "status/a.json")


@pytest.mark.parametrize(
    ("raised", "error", "message"),
    [
        (ERROR, "EHRError", "4.xml: bad"),
        (RuntimeError("Kernel died"), "RuntimeError", "Kernel died"),
    ],
)
def test_a_system_that_fails_says_why_and_the_workflow_goes_on(
    executed, tmp_path, capsys, raised, error, message
):
    executed.raises = raised
    goes_on, left = run(tmp_path, {"system": "a"})
    log = f"{tmp_path}/notebooks/a.log"
    expected = {"system": "a", "is_ok": False, "error": error, "message": message, "log": log}
    assert goes_on and left == expected
    assert f"log: {log}" in capsys.readouterr().err
    goes_on, left = run(tmp_path, {"systems": ["a", "b"]})
    assert not goes_on and left["error"] == error


def test_a_job_that_is_interrupted_leaves_no_status(executed, tmp_path):
    executed.raises = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, {"system": "a"})
    assert not (tmp_path / "status/a.json").exists()
    executed.clear()
    goes_on, left = run(tmp_path, {"system": "a"}, was_killed=True)
    assert goes_on and left["error"] == "Killed" and not executed


@pytest.mark.parametrize("content", ["", '{"is_ok": tr', "[]"])
def test_a_job_whose_status_is_damaged_runs_again(tmp_path, content):
    status = tmp_path / "status.json"
    status.write_text(content)
    assert not is_finished(status)
    with pytest.raises(MedAlignError, match=r"status\.json: damaged; delete it"):
        read_status(status)


def test_a_system_without_responses_is_not_scored(executed, tmp_path):
    goes_on, left = run(tmp_path, {"system": "a"}, after=[write(tmp_path / "g.json", "a", FAILED)])
    assert goes_on and left == {"system": "a"} | FAILED and not executed


def test_later_notebooks_use_the_systems_that_have_finished(executed, tmp_path):
    after = [write(tmp_path / f"{s}.json", s, OK) for s in "ab"]
    after.append(write(tmp_path / "c.json", "c", FAILED))
    assert run(tmp_path, {"systems": list("cab"), "seed": 1}, after=after) == (True, OK)
    assert executed == [{"systems": ["a", "b"], "seed": 1}]
    goes_on, left = run(tmp_path, {"systems": list("cb")}, after=after)
    assert not goes_on and left["message"] == "systems: too few have finished: b"


def test_shards_are_joined_into_what_a_single_job_makes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    metrics = ["chrf"] * 3 + ["rouge_l"] * 3
    rows = pd.DataFrame({"id": list("123") * 2, "metric": metrics, "signature": "s"})
    rows = rows.assign(score=range(6))
    rows.to_parquet("whole.parquet", index=False)
    statuses = []
    for name, ids in (("1", ["1", "2"]), ("2", ["3"])):
        rows[rows["id"].isin(ids)].to_parquet(f"{name}.parquet", index=False)
        Path(f"{name}.jsonl").write_text("".join(f"{i}\n" for i in ids))
        left = {"is_ok": True, "files": {f"{name}.parquet": "", f"{name}.jsonl": ""}}
        statuses.append(write(tmp_path / f"{name}.json", "a", left))
    makes = [tmp_path / "joined.parquet", tmp_path / "joined.jsonl"]
    join_shards(statuses, makes, tmp_path / "a.json")
    assert is_finished(tmp_path / "a.json")
    assert makes[0].read_bytes() == (tmp_path / "whole.parquet").read_bytes()
    assert makes[1].read_text() == "1\n2\n3\n"

    rows[rows["id"] == "3"].assign(signature="t").to_parquet("2.parquet", index=False)
    with pytest.raises(MedAlignError, match=r"2.parquet has .*'t'.*, expected .*'s'"):
        join_shards(statuses, makes, tmp_path / "a.json")
    write(tmp_path / "2.json", "a", FAILED)
    join_shards(statuses, makes, tmp_path / "a.json")
    assert read_status(tmp_path / "a.json") == {"system": "a"} | FAILED
