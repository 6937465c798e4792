"""A whole experiment of 3 patients by Snakemake: what it makes, and what a change runs again."""

import json
import os
import re
import shutil
import stat

import pandas as pd
import papermill
import pytest

from medalign_utils.config import SYNTHETIC_KEYS, for_notebook, load_experiment
from medalign_utils.data.disclosure import unknown_text
from medalign_utils.outputs import OUTPUTS, stem
from medalign_utils.reporting.results_table import read_table
from tests.builders.project import (
    SYSTEMS,
    changed,
    copy_project,
    jobs_to_do,
    run,
    snakemake,
    write_experiment,
    write_system,
)
from tests.builders.tiny_release import write_release

TABLES = {f"{stem(book, suffix)}.csv" for book, made in OUTPUTS.items() for suffix in made.tables}
FIGURES = {f"{stem(book, suffix)}.png" for book, made in OUTPUTS.items() for suffix in made.figures}
AFTER_RESPONSES = {
    "run notebook 05_evaluate_systems",
    "run notebook 06_correlate_metrics",
    "run notebook 07_audit_fairness",
    "run notebook 08_reproduce_paper",
}
AFTER_SCORES = AFTER_RESPONSES - {"run notebook 05_evaluate_systems"}
AUDIT = "run notebook 09_audit_counterfactuals"


def status(project, kind, system):
    return json.loads((project / f"runs/tiny/status/{kind}/{system}.json").read_text())


def test_writes_all_tables_and_figures(ran):
    tables = ran / "runs/tiny/tables"
    assert {path.name for path in tables.iterdir()} == TABLES
    assert {path.name for path in (ran / "runs/tiny/figures").iterdir()} == FIGURES
    systems = pd.read_csv(tables / "05_evaluate_systems.csv").set_index("system")
    assert set(systems.index) == set(SYSTEMS)
    assert systems.loc["bm25-2k", "context_tokens"] == 2048
    # Of a restricted release the report would show the same columns.
    assert [name for file in tables.iterdir() for name in unknown_text(read_table(file))] == []


def test_says_which_metrics_were_skipped_and_why(ran):
    skipped = pd.read_csv(ran / "runs/tiny/scores/bm25-2k-skipped.csv")
    assert skipped["metric"].tolist() == ["bleurt"]
    assert "bleurt" in skipped["reason"].iloc[0]
    assert "metric bleurt" in (ran / "runs/tiny/report.html").read_text()


def test_keeps_each_executed_notebook(ran):
    executed = {path.stem for path in (ran / "runs/tiny/notebooks").glob("*.ipynb")}
    each = {"03_generate_responses", "04_score_responses"}
    once = {path.stem for path in (ran / "notebooks").glob("*.ipynb")} - each
    assert executed == once | {f"{name}-{system}" for name in each for system in SYSTEMS}


def test_the_report_loads_nothing_and_shows_everything(ran):
    page = (ran / "runs/tiny/report.html").read_text()
    assert "not complete" not in page
    assert all(name in page for name in TABLES | FIGURES)
    assert "bm25_passage" in page and "SHA-256" in page and "numpy" in page
    assert not re.findall(r"<(?:script|link|iframe|object|embed|base)\b|url\(|@import", page)
    links = re.findall(r'\s(?:src|href|srcset|data)="([^"]*)"', page)
    assert len([link for link in links if link.startswith("data:image/png;base64,")]) == len(
        FIGURES
    )
    assert all(link.startswith(("data:", "#")) for link in links)


def test_a_second_run_does_nothing(ran):
    assert "Nothing to be done" in snakemake(ran).stderr


def test_dates_alone_make_nothing_run(ran):
    for path in ran.rglob("*"):
        if path.is_file() and ".snakemake" not in path.parts:
            path.touch()
    assert jobs_to_do(ran) == set()


@pytest.mark.parametrize(
    ("file", "old", "new", "expected"),
    [
        ("extra/deep.py", "return 1", "return 2", {"run notebook 02_match_instructions"}),
        ("extra/__init__.py", "deep()\n", "deep() + 1\n", {"run notebook 02_match_instructions"}),
        ("extra/words.txt", "a", "b", {"run notebook 02_match_instructions"}),
        ("extra/deep.py", "Return it.", "Return that.", set()),
        ("extra/deep.py", "# so far", "# still", set()),
    ],
)
def test_changed_code_runs_what_reaches_it(ran, file, old, new, expected):
    with changed(ran / "medalign_utils" / file, old, new):
        assert jobs_to_do(ran) == expected


def test_a_changed_value_runs_what_uses_it(ran):
    with changed(ran / "params/tiny.yaml", "bertscore_layer: 6", "bertscore_layer: 5"):
        scored = {f"score the responses of {system}" for system in SYSTEMS}
        assert jobs_to_do(ran) == scored | AFTER_SCORES


def test_a_changed_system_runs_that_system_and_what_depends_on_it(ran):
    expected = {
        "generate the responses of bm25-2k",
        "score the responses of bm25-2k",
        *AFTER_RESPONSES,
        AUDIT,
    }
    system = ran / "params/systems/bm25-2k.yaml"
    with changed(system, "context_length: 2048", "context_length: 2000"):
        assert jobs_to_do(ran) == expected
    more = "\nresources: {generate: {memory_gb: 99}, score: {gpus: 1}}\nlabel: Mine"
    with changed(system, "context_length: 2048", f"context_length: 2048{more}"):
        assert jobs_to_do(ran) == set()


def test_another_system_is_one_file_and_one_line(ran):
    write_system("mine", ran, context_length=4096)
    with changed(ran / "params/tiny.yaml", "- bm25-full", "- bm25-full\n- mine"):
        expected = {"generate the responses of mine", "score the responses of mine"}
        assert jobs_to_do(ran) == expected | AFTER_RESPONSES


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("resamples:", "resample:", "unknown key 'resample'; did you mean 'resamples'?"),
        ("- bm25-2k", "- bm25-3k", "no system 'bm25-3k' in params/systems/; did you mean"),
    ],
)
def test_a_wrong_experiment_ends_at_once_with_one_line(ran, old, new, message):
    with changed(ran / "params/tiny.yaml", old, new):
        done = snakemake(ran, check=False)
    assert done.returncode != 0
    lines = [line for line in done.stderr.splitlines() if not line.startswith("Using workflow")]
    assert len(lines) == 1 and message in lines[0], done.stderr


def test_a_failed_system_is_left_out_named_and_tried_again(ran, tmp_path):
    project = tmp_path / "project"
    shutil.copytree(ran, project, symlinks=True)
    model = {"model": "m", "base_url": "http://127.0.0.1:9/v1", "attempts": 1}
    write_system("broken", project, generator="openai", **model)
    write_experiment("tiny", project, systems=[*SYSTEMS, "broken"])
    file = project / "runs/tiny/responses/bm25-2k.jsonl"
    before = file.read_bytes()
    file.unlink()  # is made again, from what is stored
    done = snakemake(project, "--keep-going", check=False)
    assert done.returncode != 0
    assert file.read_bytes() == before
    assert re.search(r'"system": "broken", "is_ok": false, "error": "\w+Error"', done.stderr)
    assert "Not finished:" in done.stderr
    tables = project / "runs/tiny/tables"
    assert set(pd.read_csv(tables / "05_evaluate_systems.csv")["system"]) == set(SYSTEMS)
    page = (project / "runs/tiny/report.html").read_text()
    assert "This run is not complete." in page and "system broken: no responses: " in page
    assert jobs_to_do(project) == {
        "generate the responses of broken", "score the responses of broken", *AFTER_RESPONSES,
    }  # fmt: skip


@pytest.mark.slow
def test_shards_are_joined_to_the_bytes_of_a_single_job(ran, tmp_path):
    project = tmp_path / "project"
    shutil.copytree(ran, project, symlinks=True)
    write_system("bm25-2k", project, shards=2)
    files = [project / f"runs/tiny/{name}" for name in (
        "responses/bm25-2k.jsonl", "scores/bm25-2k.parquet", "scores/bm25-2k-skipped.csv",
    )]  # fmt: skip
    before = [file.read_bytes() for file in files]
    for kind in ("generate", "score"):
        (project / f"runs/tiny/status/{kind}/bm25-2k.json").unlink()
    done = snakemake(project, "runs/tiny/status/score/bm25-2k.json",
                     "runs/tiny/status/generate/bm25-2k.json")  # fmt: skip
    assert "score the responses of bm25-2k/2-of-2" in done.stderr
    assert [file.read_bytes() for file in files] == before


MARKER = "Zebrafish-4711"


def reviewed(release, a, b):
    """Ratings of two systems by clinicians, in the release's own table."""
    rows = [
        ("5479314876123", a, "1", "yes", f"1.1 mg/dL {MARKER}", "1", f"Dr. {MARKER}"),
        ("5479314876123", b, "0", "yes", f"1.4 {MARKER}", "2", f"Dr. {MARKER}"),
        ("02", a, "True", "yes", "No.", "1", "Dr. B"),
        ("02", b, "True", "yes", "He said none.", "2", "Dr. B"),
        ("3", a, "1", "no", "Atorvastatin", "1", "Dr. B"),  # not used for the evaluation
    ]
    header = "instruction_id\tmodel_name\tbinary_correct\tis_used_eval\tmodel_output\tplace\t"
    (release / "clinician-reviewed-model-responses.tsv").write_text(
        header + "rater\n" + "".join("\t".join(row) + "\n" for row in rows)
    )


def test_a_release_with_clinicians_ratings_is_evaluated_and_no_text_of_it_gets_out(ran):
    release = write_release(ran / "data/reviewed")
    a, b = names = ["GPT-4 (32k)", "b`touch owned` $(touch owned)'\""]
    reviewed(release, *names)
    # Wherever it may be about a patient: notes, names of events, questions, references.
    for file in [*release.glob("*.tsv"), *release.glob("ehrs/*.xml")]:
        text = file.read_text()
        for word in ("creatinine", "Creatinine", "chest pain"):
            text = text.replace(word, f"{word} {MARKER}")
        file.write_text(text)
    write_experiment(
        "reviewed", ran, release="data/reviewed", systems=names, responses="released",
        metrics=["rouge_l", "chrf"], columns={"rank": "place"}, counterfactual_systems=[],
        **dict.fromkeys(SYNTHETIC_KEYS),
    )  # fmt: skip
    snakemake(ran, experiment="reviewed")
    assert not list(ran.rglob("owned"))

    tables = ran / "runs/reviewed/tables"
    systems = pd.read_csv(tables / "05_evaluate_systems.csv").set_index("system")
    # a is right twice of 2, b once; a wins both.
    assert systems["correct"].to_dict() == {a: 1.0, b: 0.5}
    assert systems["win_rate"].to_dict() == {a: 1.0, b: 0.0}
    assert pd.read_csv(tables / "06_correlate_metrics.csv")["n"].tolist() == [2, 2]

    run_folder = tables.parent
    shown = [*tables.glob("*"), *run_folder.glob("figures/*"), run_folder / "report.html"]
    for file in shown:
        content = file.read_bytes()
        assert MARKER.encode() not in content and b"5479314876123" not in content, file
        assert stat.S_IMODE(file.stat().st_mode) & 0o077 == 0, file


@pytest.mark.slow
def test_the_notebooks_run_by_themselves_to_the_same_tables(ran, tmp_path, monkeypatch):
    by_hand = copy_project(tmp_path)
    shutil.copytree(ran / "data", by_hand / "data", dirs_exist_ok=True)
    monkeypatch.chdir(by_hand)
    experiment = load_experiment("params/tiny.yaml")
    copies = []
    for notebook in sorted((by_hand / "notebooks").glob("0*.ipynb")):
        for system in SYSTEMS if notebook.stem[:2] in ("03", "04") else [None]:
            parameters = for_notebook(notebook, experiment, system=system)
            copies.append(by_hand / f"{notebook.stem}-{system}.ipynb")
            papermill.execute_notebook(notebook, copies[-1], parameters, prepare_only=True)
    nbval = ("--nbval-lax", "--nbval-cell-timeout=600", "-p", "no:cacheprovider")
    run(by_hand, "pytest", "--rootdir", by_hand, "-c", os.devnull, *nbval, *copies)
    for table in TABLES:
        by_snakemake = (ran / "runs/tiny/tables" / table).read_bytes()
        assert (by_hand / "runs/tiny/tables" / table).read_bytes() == by_snakemake, table


def test_a_notebook_without_its_inputs_says_which_command_makes_them(tmp_path):
    empty = copy_project(tmp_path)
    command = ("papermill", "notebooks/05_evaluate_systems.ipynb", "out.ipynb", "-y", "seed: 1")
    done = run(empty, *command, check=False)
    assert done.returncode != 0
    assert re.search(r"MedAlignError: missing data/demo.*; `make reproduce` makes", done.stderr)
