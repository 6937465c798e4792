"""A whole experiment with 3 patients: what Snakemake makes, and what changes run again."""

import json
import os
import re
import shutil
import stat
from pathlib import Path

import pandas as pd
import papermill
import pytest

from medalign_utils.config import SYNTHETIC_KEYS, for_notebook, load_experiment
from medalign_utils.data.disclosure import unknown_text
from medalign_utils.evaluation.ratings import rate
from medalign_utils.outputs import FIGURE_KINDS, OUTPUTS, stem
from medalign_utils.reporting.results_table import read_table
from medalign_utils.review.plan import make_plan, write_plan
from medalign_utils.run import Run
from tests.builders.project import (
    COSTS,
    SYSTEMS,
    changed,
    copy_project,
    jobs_to_do,
    run,
    snakemake,
    untimed,
    write_experiment,
    write_system,
)
from tests.builders.review_run import enter
from tests.builders.tiny_release import write_release

TABLES = {f"{stem(nb, suffix)}.csv" for nb, lists in OUTPUTS.items() for suffix in lists.tables}
FIGURES = {f"{stem(nb, suffix)}.png" for nb, lists in OUTPUTS.items() for suffix in lists.figures}
AFTER_SCORES = {
    f"run notebook {name}"
    for name in ("06_correlate_metrics", "07_audit_fairness", "08_reproduce_paper")
}
AFTER_RESPONSES = AFTER_SCORES | {
    f"run notebook {name}" for name in ("05_evaluate_systems", "12_analyze_errors")
}
AUDIT = "run notebook 09_audit_counterfactuals"
MATCHING = {"run notebook 02_match_instructions"}
EVALUATE = "notebooks/05_evaluate_systems.ipynb"
DEEP, SYSTEM = "medalign_utils/extra/deep.py", "params/systems/bm25-2k.yaml"


def jobs(*systems, kinds=("generate", "score")):
    return {f"{kind} the responses of {system}" for kind in kinds for system in systems}


def test_writes_all_tables_and_figures(ran):
    tables = ran / "runs/tiny/tables"
    assert {path.name for path in tables.glob("*.csv")} == TABLES
    assert {path.stem for path in tables.glob("*.tex")} == {
        path.stem for path in tables.glob("*.csv")
    }
    made = {path.name for path in (ran / "runs/tiny/figures").iterdir()}
    assert made == {name.replace("png", kind) for name in FIGURES for kind in FIGURE_KINDS}
    systems = pd.read_csv(tables / "05_evaluate_systems.csv").set_index("system")
    assert set(systems.index) == set(SYSTEMS)
    assert systems.loc["bm25-2k", "context_tokens"] == 2048
    # With a restricted release, the report would show the same columns.
    assert [name for file in tables.glob("*.csv") for name in unknown_text(read_table(file))] == []


def test_keeps_each_executed_notebook_and_why_metrics_were_skipped(ran):
    executed = {path.stem for path in (ran / "runs/tiny/notebooks").glob("*.ipynb")}
    per_system = {"03_generate_responses", "04_score_responses"}
    once = {path.stem for path in (ran / "notebooks").glob("*.ipynb")} - per_system
    once -= {"00_start_here", "10_review_responses"}  # for people
    assert executed == once | {f"{name}-{system}" for name in per_system for system in SYSTEMS}
    skipped = pd.read_csv(ran / "runs/tiny/scores/bm25-2k-skipped.csv")
    assert skipped["metric"].tolist() == ["bleurt"] and "bleurt" in skipped["reason"].iloc[0]


def test_rewordings_count_only_in_the_table_of_stability(ran):
    rows = {}
    for folder in ("responses", "rewordings"):
        lines = (ran / f"runs/tiny/{folder}/bm25-2k.jsonl").read_text().splitlines()
        rows[folder] = {json.loads(line)["instruction_id"] for line in lines}
    assert rows["rewordings"] and not rows["rewordings"] & rows["responses"]
    scores = pd.read_parquet(ran / "runs/tiny/scores/bm25-2k.parquet")
    assert set(scores["instruction_id"]) == rows["responses"]
    tables = ran / "runs/tiny/tables"
    stability = pd.read_csv(tables / "12_analyze_errors-rewording.csv")
    assert stability["n_pairs"].tolist() == [len(rows["rewordings"])] * len(SYSTEMS)
    for name in ("05_evaluate_systems", "05_evaluate_systems-cost", "12_analyze_errors-outcomes"):
        assert set(pd.read_csv(tables / f"{name}.csv")["n"]) == {len(rows["responses"])}, name
    audit = pd.read_csv(tables / "09_audit_counterfactuals.csv").query("change == 'nothing'")
    assert audit["n"].sum() == len(rows["responses"])


def test_the_report_loads_nothing_and_shows_everything(ran):
    page = (ran / "runs/tiny/report.html").read_text()
    assert "incomplete" not in page
    assert all(name in page for name in TABLES | FIGURES)
    assert all(text in page for text in ("bm25_passage", "SHA-256", "numpy", "metric bleurt"))
    assert ">Checks<" not in page
    assert not re.findall(r"<(?:script|link|iframe|object|embed|base)\b|url\(|@import", page)
    links = re.findall(r'\s(?:src|href|srcset|data)="([^"]*)"', page)
    n_pictures = sum(link.startswith("data:image/png;base64,") for link in links)
    assert n_pictures == len(FIGURES)
    assert all(link.startswith(("data:", "#")) for link in links)


def test_a_second_run_does_nothing_regardless_of_dates(ran):
    assert "Nothing to be done" in snakemake(ran).stderr
    for path in ran.rglob("*"):
        if path.is_file() and ".snakemake" not in path.parts:
            path.touch()
    assert jobs_to_do(ran) == set()


@pytest.mark.parametrize(
    ("file", "old", "new", "expected"),
    [
        (DEEP, "return 1", "return 2", MATCHING),
        (DEEP.replace("deep.py", "__init__.py"), "deep()\n", "deep() + 1\n", MATCHING),
        (DEEP.replace("deep.py", "words.txt"), "a", "b", MATCHING),
        (DEEP, "Return it.", "Return that.", set()),
        (DEEP, "# so far", "# still", set()),
        (
            "params/tiny.yaml",
            "layer: 6",
            "layer: 5",
            jobs(*SYSTEMS, kinds=["score"]) | AFTER_SCORES,
        ),
        (
            "params/tiny.yaml",
            "- bm25-full",
            "- bm25-full\n- bm25-8k",
            jobs("bm25-8k") | AFTER_RESPONSES,
        ),
        (
            "params/tiny.yaml",
            "counterfactual_systems:\n- bm25-2k",
            "counterfactual_systems:\n- bm25-2k\n- bm25-patient",
            jobs("bm25-patient", kinds=["generate"]) | {AUDIT},
        ),
        (
            "params/tiny.yaml",
            "rewordings: true",
            "rewordings: false",
            jobs(*SYSTEMS) | AFTER_RESPONSES | {AUDIT},
        ),
        (SYSTEM, "length: 2048", "length: 2000", jobs("bm25-2k") | AFTER_RESPONSES | {AUDIT}),
        (SYSTEM, "length: 2048", "length: 2048\nshards: 1\nresources: {score: {gpus: 1}}", set()),
    ],
)
def test_a_change_reruns_what_depends_on_it(ran, file, old, new, expected):
    with changed(ran / file, old, new):
        assert jobs_to_do(ran) == expected


def test_a_wrong_experiment_ends_at_once_with_one_line(ran):
    with changed(ran / "params/tiny.yaml", "resamples:", "resample:"):
        done = snakemake(ran, check=False)
    assert done.returncode != 0
    lines = [line for line in done.stderr.splitlines() if not line.startswith("Using workflow")]
    assert len(lines) == 1 and "unknown key 'resample'" in lines[0], done.stderr


@pytest.mark.slow
def test_a_failed_system_is_left_out_named_and_tried_again(ran, tmp_path):
    project = tmp_path / "project"
    shutil.copytree(ran, project, symlinks=True)
    model = {"model": "m", "base_url": "http://127.0.0.1:9/v1", "attempts": 1}
    write_system("broken", project, generator="openai", **model)
    write_experiment("tiny", project, systems=[*SYSTEMS, "broken"])
    file = project / "runs/tiny/responses/bm25-2k.jsonl"
    before = file.read_bytes()
    file.unlink()  # is made again from the store
    done = snakemake(project, "--keep-going", check=False)
    assert done.returncode != 0
    assert file.read_bytes() == before
    failed = r'"system": "broken", "is_ok": false, "error": "\w+Error", .*, "log": "(.*)"'
    logs = re.findall(failed, done.stderr)
    assert len(logs) == 4  # when its two jobs end, and at the end of the run
    assert "Error" in (project / logs[0]).read_text() and "Not finished:" in done.stderr
    tables = project / "runs/tiny/tables"
    assert set(pd.read_csv(tables / "05_evaluate_systems.csv")["system"]) == set(SYSTEMS)
    page = (project / "runs/tiny/report.html").read_text()
    assert "This run is incomplete." in page and "system broken: no responses: " in page
    assert jobs_to_do(project) == jobs("broken") | AFTER_RESPONSES


@pytest.mark.slow
def test_results_saved_by_hand_with_other_settings_are_noticed(ran, tmp_path):
    project = tmp_path / "project"
    shutil.copytree(ran, project, symlinks=True)
    table = project / "runs/tiny/tables/05_evaluate_systems.csv"
    before = table.read_bytes()
    parameters = for_notebook(EVALUATE, load_experiment(project / "params/tiny.yaml"))
    by_hand = f"{json.dumps(parameters | {'resamples': 50, 'save': False})}"
    run(project, "papermill", EVALUATE, "by-hand.ipynb", "-y", by_hand)
    assert table.read_bytes() == before and jobs_to_do(project) == set()
    run(project, "papermill", EVALUATE, "by-hand.ipynb", "-y", by_hand, "-p", "save", "True")
    assert table.read_bytes() != before
    done = run(project, "python", "-m", "medalign_utils", "report", "params/tiny.yaml", check=False)
    assert done.returncode == 2
    assert "05_evaluate_systems with resamples = 50, not 100. `make reproduce EXP" in done.stderr
    done = snakemake(project)
    assert "05_evaluate_systems runs again, because" in done.stdout + done.stderr
    assert table.read_bytes() == before and jobs_to_do(project) == set()


@pytest.mark.slow
def test_collected_ratings_take_the_place_of_the_answer_keys(ran, tmp_path, monkeypatch):
    project = tmp_path / "project"
    shutil.copytree(ran, project, symlinks=True)
    monkeypatch.chdir(project)
    shown = ["system", "n", "correct", "correct_low", "correct_high", "win_rate", "mean_rank"]
    table = project / "runs/tiny/tables/05_evaluate_systems.csv"
    expected = pd.read_csv(table)[shown]
    with changed(
        project / "params/tiny.yaml", "resamples: 100\n", "resamples: 100\nratings: collected\n"
    ):
        assert "nothing is collected yet" in snakemake(project, "-n").stdout
        given = Run.of(load_experiment("params/tiny.yaml") | {"ratings": "given"})
        folder = write_plan(make_plan(given, 1))
        enter(folder, rate(given))
        rated = {f"run notebook {name}" for name in ("05_evaluate_systems", "12_analyze_errors")}
        assert jobs_to_do(project) == rated | AFTER_SCORES
        snakemake(project)
        pd.testing.assert_frame_equal(pd.read_csv(table)[shown], expected)
        checked = pd.read_csv(project / "runs/tiny/tables/06_correlate_metrics-review.csv")
        assert checked["rater_code"].tolist() == ["R1"]
        assert jobs_to_do(project) == set()


@pytest.mark.slow
def test_joined_shards_are_byte_identical_to_a_single_job(ran, tmp_path):
    project = tmp_path / "project"
    shutil.copytree(ran, project, symlinks=True)
    write_system("bm25-2k", project, shards=2)
    names = ("responses/bm25-2k.jsonl", "scores/bm25-2k.parquet", "scores/bm25-2k-skipped.csv")
    files = [project / "runs/tiny" / name for name in names]
    before = [file.read_bytes() for file in files]
    statuses = [f"runs/tiny/status/{kind}/bm25-2k.json" for kind in ("generate", "score")]
    for status in statuses:
        (project / status).unlink()
    done = snakemake(project, *statuses)
    assert "score the responses of bm25-2k/2-of-2" in done.stderr
    assert [file.read_bytes() for file in files] == before


MARKER = "Zebrafish-4711"


def test_a_release_with_clinicians_ratings_is_evaluated_without_revealing_its_text(ran):
    release = write_release(ran / "data/reviewed")
    a, b = names = ["GPT-4 (32k)", "b`touch owned` $(touch owned)'\""]
    header = "instruction_id model_name binary_correct is_used_eval model_output place rater"
    reviews = [
        ("5479314876123", a, "1", "yes", f"1.1 mg/dL {MARKER}", "1", f"Dr. {MARKER}"),
        ("5479314876123", b, "0", "yes", f"1.4 {MARKER}", "2", f"Dr. {MARKER}"),
        ("02", a, "True", "yes", "No.", "1", "Dr. B"),
        ("02", b, "True", "yes", "He said none.", "2", "Dr. B"),
        ("3", a, "1", "no", "Atorvastatin", "1", "Dr. B"),  # not used in the evaluation
    ]
    lines = ["\t".join(row) + "\n" for row in (header.split(), *reviews)]
    (release / "clinician-reviewed-model-responses.tsv").write_text("".join(lines))
    # All text that may be about a patient: notes, names of events, questions, references.
    for file in [*release.glob("*.tsv"), *release.glob("ehrs/*.xml")]:
        words = r"([Cc]reatinine|chest pain)"
        file.write_text(re.sub(words, rf"\1 {MARKER}", file.read_text()))
    write_experiment(
        "reviewed", ran, release="data/reviewed", systems=names, responses="released",
        metrics=["rouge_l", "chrf"], columns={"rank": "place"}, counterfactual_systems=[],
        **dict.fromkeys(SYNTHETIC_KEYS),
    )  # fmt: skip
    snakemake(ran, experiment="reviewed")
    assert not list(ran.rglob("owned"))

    run_folder = ran / "runs/reviewed"
    systems = pd.read_csv(run_folder / "tables/05_evaluate_systems.csv").set_index("system")
    # a is correct on both, b on one; a wins both.
    assert systems["correct"].to_dict() == {a: 1.0, b: 0.5}
    assert systems["win_rate"].to_dict() == {a: 1.0, b: 0.0}
    metrics = pd.read_csv(run_folder / "tables/06_correlate_metrics.csv")
    assert metrics["n"].tolist() == [2, 2]
    for file in (
        *run_folder.glob("tables/*"),
        *run_folder.glob("figures/*"),
        run_folder / "report.html",
    ):
        content = file.read_bytes()
        assert MARKER.encode() not in content and b"5479314876123" not in content, file
        assert stat.S_IMODE(file.stat().st_mode) & 0o077 == 0, file
    # No one else can read what the run and Snakemake wrote, which names no EHR.
    records = ran / ".snakemake"
    written = [run_folder, records, *run_folder.rglob("*"), *records.rglob("*")]
    assert not [f for f in written if not f.is_symlink() and f.stat().st_mode & 0o077]
    logged = [file for file in records.rglob("*") if file.is_file()]
    assert len(logged) > 20 and not [f for f in logged if b"EHR_007.xml" in f.read_bytes()]


@pytest.mark.slow
def test_notebooks_run_by_themselves_give_the_same_tables(ran, tmp_path, monkeypatch):
    by_hand = copy_project(tmp_path)
    shutil.copytree(ran / "data", by_hand / "data", dirs_exist_ok=True)
    shutil.copy(ran / "params/tiny.yaml", by_hand / "params")
    monkeypatch.chdir(by_hand)
    experiment = load_experiment("params/tiny.yaml")
    copies = []
    for notebook in sorted((by_hand / "notebooks").glob("[0-9]*.ipynb")):
        if notebook.stem == "14_report":
            continue
        for system in SYSTEMS if notebook.stem[:2] in ("03", "04") else [None]:
            parameters = for_notebook(notebook, experiment, system=system)
            copies.append(by_hand / f"{notebook.stem}-{system}.ipynb")
            papermill.execute_notebook(notebook, copies[-1], parameters, prepare_only=True)
    nbval = ("--nbval-lax", "--nbval-cell-timeout=600", "-p", "no:cacheprovider")
    run(by_hand, "pytest", "--rootdir", by_hand, "-c", os.devnull, *nbval, *copies)
    assert untimed(by_hand) == untimed(ran)
    for table in TABLES - {Path(COSTS).name}:
        by_snakemake = (ran / "runs/tiny/tables" / table).read_bytes()
        assert (by_hand / "runs/tiny/tables" / table).read_bytes() == by_snakemake, table


def test_a_notebook_without_its_inputs_says_which_command_makes_them(tmp_path):
    empty = copy_project(tmp_path)
    command = ("papermill", "notebooks/05_evaluate_systems.ipynb", "out.ipynb", "-y", "seed: 1")
    done = run(empty, *command, check=False)
    assert done.returncode != 0
    assert re.search(r"MedAlignError: missing runs/demo/.*; `make reproduce` writes", done.stderr)


@pytest.mark.slow
def test_a_limited_run_is_separate_and_every_result_says_so(ran):
    def contents():
        files = [file for file in (ran / "runs/tiny").rglob("*") if file.is_file()]
        return {file: file.read_bytes() for file in files}

    before = contents()
    snakemake(ran, "--config", "limit=6")
    assert contents() == before
    folder = ran / "runs/tiny@6"
    tables = {file.name: pd.read_csv(file) for file in (folder / "tables").glob("*.csv")}
    assert tables.keys() == TABLES
    limits = {text for table in tables.values() for text in table["limited_to"]}
    [limit] = limits
    assert re.fullmatch(r"6 of \d+ instructions", limit)
    systems = tables["05_evaluate_systems.csv"]
    assert set(systems["n"]) == {6} and set(systems["n_patients"]) == {3}
    report = (folder / "report.html").read_text()
    assert f"provisional: limited to {limit}" in report
    captions = re.findall(">([^<>]*) <code>[^<>]*</code></(?:figcaption|summary|p)>", report)
    assert len(captions) == len(TABLES | FIGURES)
    assert all(f"Limited to {limit}." in caption for caption in captions)
    done = run(ran, "python", "-m", "medalign_utils", "publish", "params/tiny.yaml", check=False)
    assert done.returncode == 2 and "no page shows tiny" in done.stderr
