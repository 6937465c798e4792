"""A whole experiment of 3 patients, by Snakemake and by nbval, in folders of its own."""

import contextlib
import json
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import nbformat
import pandas as pd
import papermill
import pytest
import yaml

from medalign_utils.config import for_notebook, load_experiment
from medalign_utils.data.disclosure import unknown_text
from medalign_utils.metrics.meteor import names_meteor
from medalign_utils.metrics.unieval import names_unieval
from medalign_utils.reporting.display import read_aggregates
from tests.builders.tiny_release import write_release

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
SYSTEMS = ["bm25-full", "bm25-2k"]
TABLES = [
    "02_match_instructions-dedup.csv",
    "02_match_instructions.csv",
    "05_evaluate_systems-contexts.csv",
    "05_evaluate_systems-groups.csv",
    "05_evaluate_systems-pairs.csv",
    "05_evaluate_systems.csv",
    "06_correlate_metrics-pairs.csv",
    "06_correlate_metrics-raters.csv",
    "06_correlate_metrics-systems.csv",
    "06_correlate_metrics.csv",
    "07_audit_fairness-adjusted.csv",
    "07_audit_fairness-agreement.csv",
    "07_audit_fairness-categories.csv",
    "07_audit_fairness-data.csv",
    "07_audit_fairness-ranges.csv",
    "07_audit_fairness-simulation.csv",
    "07_audit_fairness.csv",
    "08_reproduce_paper-categories.csv",
    "08_reproduce_paper-facts.csv",
    "08_reproduce_paper-human_evaluation.csv",
    "08_reproduce_paper-metric_correlation.csv",
    "08_reproduce_paper.csv",
    "09_audit_counterfactuals.csv",
]


def copy_project(to: Path) -> Path:
    """Everything that an experiment needs, and none of the files that one has made."""
    shutil.copy(ROOT / "Snakefile", to)
    for folder in ("medalign_utils", "notebooks", "params", "profiles", "data/paper"):
        ignored = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints")
        shutil.copytree(ROOT / folder, to / folder, ignore=ignored)
    tiny = yaml.safe_load((ROOT / "params/demo.yaml").read_text()) | {
        "release": "data/tiny",
        "synthetic_patients": 3,
        "synthetic_instructions": 20,
        "systems": SYSTEMS,
        "counterfactual_systems": ["bm25-2k"],
        "counterfactual_changes": ["gender"],
        "simulated_releases": 10,
        "resamples": 100,
    }
    (to / "params/tiny.yaml").write_text(yaml.safe_dump(tiny))
    training = {"patients": 1, "instructions": 8, "seed": 1}
    (to / "params/models/comet-compact.yaml").write_text(yaml.safe_dump(training))
    return to


def run(project: Path, *command: str | Path, check: bool = True) -> subprocess.CompletedProcess:
    """Run a command of the environment in the project's folder, offline."""
    program, *arguments = command
    done = subprocess.run(
        [BIN / program, *arguments],
        cwd=project,
        env=os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    if check and done.returncode:
        raise AssertionError(f"{command}:\n{done.stdout}\n{done.stderr}")
    return done


def snakemake(project: Path, *arguments: str, check: bool = True) -> subprocess.CompletedProcess:
    options = ("--cores", "2", "--configfile", "params/tiny.yaml")
    return run(project, "snakemake", *arguments, *options, check=check)


def to_do(project: Path) -> set[str]:
    """What a run would do now, by the messages of its jobs, but for the report, due after any."""
    done = snakemake(project, "--dry-run")
    jobs = re.findall(r"^Job \d+: (.+)$", done.stdout + done.stderr, flags=re.MULTILINE)
    jobs = set(jobs) - {"everything is there"}
    assert not jobs or "write the report" in jobs
    return jobs - {"write the report"}


@contextlib.contextmanager
def changed(path: Path, old: str, new: str):
    """A file with a change, for a while."""
    content = path.read_text()
    assert old in content
    path.write_text(content.replace(old, new))
    try:
        yield
    finally:
        path.write_text(content)


@pytest.fixture(scope="session")
def project(tmp_path_factory):
    """A project in which the experiment has run once."""
    project = copy_project(tmp_path_factory.mktemp("snakemake"))
    snakemake(project)
    return project


def test_writes_the_tables_with_their_columns(project):
    tables = project / "runs/tiny/tables"
    assert sorted(path.name for path in tables.iterdir()) == TABLES
    systems = pd.read_csv(tables / "05_evaluate_systems.csv")
    assert list(systems) == [
        *("system", "context_tokens", "n", "correct", "correct_low", "correct_high"),
        *("win_rate", "win_rate_ties_half", "mean_rank", "n_patients", "wilson_low", "wilson_high"),
        *("win_rate_low", "win_rate_high", "mean_rank_low", "mean_rank_high"),
    ]
    groups = pd.read_csv(tables / "05_evaluate_systems-groups.csv")
    # Three patients have no quartiles of EHR length.
    groupings = ["category", "subcategory", "specialty", "context length"]
    assert groups["grouping"].unique().tolist() == groupings
    assert set(groups["system"]) == set(SYSTEMS)
    context = systems.set_index("system")["context_tokens"]
    assert context["bm25-2k"] == 2048 and pd.isna(context["bm25-full"])
    metrics = pd.read_csv(tables / "06_correlate_metrics.csv")
    assert list(metrics)[:8] == [
        *("metric", "n", "n_undefined", "mean_tau", "mean_tau_low", "mean_tau_high"),
        *("mean_tau_undefined_as_0", "signature"),
    ]
    raters = pd.read_csv(tables / "06_correlate_metrics-raters.csv")
    assert raters["estimate"].isna().all()
    assert set(raters["reason"]) == {"no response has two raters; rated by answer key"}
    scored = metrics[metrics["not_scored"].isna()]
    lexical = {*names_meteor(), "chrf", "google_bleu", "rouge_l"}
    assert set(scored["metric"]) == {"comet-compact", "bertscore", *lexical}


def test_says_which_metrics_were_skipped_and_why(project):
    for system in SYSTEMS:
        skipped = pd.read_csv(project / f"runs/tiny/scores/{system}-skipped.csv")
        names = ["bleurt", "lens", *names_unieval(model="")]
        assert skipped["metric"].tolist() == names
        assert skipped["reason"].iloc[0] == "weights names none for bleurt"
        notebook = project / f"runs/tiny/notebooks/04_score_responses-{system}.ipynb"
        assert "weights names none for bleurt" in notebook.read_text()


def test_keeps_each_executed_notebook(project):
    executed = {path.stem for path in (project / "runs/tiny/notebooks").glob("*.ipynb")}
    once = {"01_explore_release", "02_match_instructions", "05_evaluate_systems"}
    once |= {"06_correlate_metrics", "07_audit_fairness", "08_reproduce_paper"}
    once |= {"09_audit_counterfactuals"}
    each = {"03_generate_responses", "04_score_responses"}
    assert executed == once | {f"{stem}-{system}" for stem in each for system in SYSTEMS}


def test_writes_the_report_of_all_tables(project):
    page = (project / "runs/tiny/report.html").read_text()
    assert "not complete" not in page
    assert all(table in page for table in TABLES)
    # Of a restricted release it would show the same columns.
    for file in (project / "runs/tiny/tables").glob("*.csv"):
        assert unknown_text(read_aggregates(file)) == []


def test_a_second_run_does_nothing_and_soon(project):
    assert "Nothing to be done" in snakemake(project).stderr


def test_dates_alone_make_nothing_run(project):
    for path in project.rglob("*"):
        if path.is_file() and ".snakemake" not in path.parts:
            path.touch()
    assert to_do(project) == set()


def test_a_deleted_response_file_is_made_again(project):
    file = project / "runs/tiny/responses/bm25-2k.jsonl"
    before = file.read_text()
    file.unlink()
    assert to_do(project) == {
        "generate the responses of bm25-2k",
        "score the responses of bm25-2k",
        "evaluate the systems",
        "audit counterfactual records",
        "correlate the metrics with the ratings",
        "audit the fairness of the systems",
        "set the paper beside the run",
    }
    snakemake(project, "runs/tiny/responses/bm25-2k.jsonl")
    assert without_seconds(file.read_text()) == without_seconds(before)
    file.write_text(before)  # with the times that the rest has been made from
    assert to_do(project) == set()


def without_seconds(lines: str) -> list[dict]:
    rows = [json.loads(line) for line in lines.splitlines()]
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


def test_a_changed_system_runs_that_system_and_what_depends_on_it(project):
    system = project / "params/systems/bm25-2k.yaml"
    with changed(system, "context_length: 2048", "context_length: 2000"):
        assert to_do(project) == {
            "generate the responses of bm25-2k",
            "score the responses of bm25-2k",
            "evaluate the systems",
            "audit counterfactual records",
            "correlate the metrics with the ratings",
            "audit the fairness of the systems",
            "set the paper beside the run",
        }
    assert to_do(project) == set()


def test_shards_cut_a_systems_generation_and_scoring(project):
    system = project / "params/systems/bm25-2k.yaml"
    with changed(system, "context_length: 2048", "context_length: 2048\nshards: 2"):
        assert to_do(project) == {
            "generate the responses of bm25-2k, 1 of 2",
            "generate the responses of bm25-2k, 2 of 2",
            "join the responses of bm25-2k",
            "score the responses of bm25-2k, 1 of 2",
            "score the responses of bm25-2k, 2 of 2",
            "join the scores of bm25-2k",
            "evaluate the systems",
            "audit counterfactual records",
            "correlate the metrics with the ratings",
            "audit the fairness of the systems",
            "set the paper beside the run",
        }


def test_what_jobs_ask_for_and_what_a_system_is_called_make_nothing_run(project):
    system = project / "params/systems/bm25-2k.yaml"
    more = "\nresources: {generate: {memory_gb: 99}, score: {gpus: 1}}\nlabel: Mine"
    with changed(system, "context_length: 2048", f"context_length: 2048{more}"):
        assert to_do(project) == set()


def test_a_changed_value_runs_what_uses_it(project):
    with changed(project / "params/tiny.yaml", "bertscore_layer: 6", "bertscore_layer: 5"):
        assert to_do(project) == {
            "score the responses of bm25-2k",
            "score the responses of bm25-full",
            "correlate the metrics with the ratings",
            "audit the fairness of the systems",
            "set the paper beside the run",
        }


def test_a_changed_module_runs_what_depends_on_it(project):
    with changed(project / "medalign_utils/evaluation/systems.py", '"""From ', '"""Now from '):
        assert to_do(project) == {
            "evaluate the systems",
            "correlate the metrics with the ratings",
            "audit the fairness of the systems",
            "set the paper beside the run",
        }


def test_another_system_is_one_file_and_one_line(project):
    longer = project / "params/systems/bm25-4k.yaml"
    base = (project / "params/systems/bm25-2k.yaml").read_text()
    longer.write_text(base.replace("2048", "4096"))
    with changed(project / "params/tiny.yaml", "- bm25-full", "- bm25-full\n- bm25-4k"):
        assert to_do(project) == {
            "generate the responses of bm25-4k",
            "score the responses of bm25-4k",
            "evaluate the systems",
            "correlate the metrics with the ratings",
            "audit the fairness of the systems",
            "set the paper beside the run",
        }
    longer.unlink()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("resamples:", "resample:", "unknown key 'resample'; did you mean 'resamples'?"),
        ("- bm25-2k", "- bm25-3k", "no system 'bm25-3k' in params/systems/; did you mean"),
        ("- rouge_l", "- rouge", "no metric 'rouge'; did you mean 'rouge_l'?"),
        ("synthetic_", "# ", "load_release: no folder"),
    ],
)
def test_a_wrong_experiment_ends_at_once_with_one_line(project, old, new, message):
    with (
        changed(project / "params/tiny.yaml", old, new),
        changed(project / "params/tiny.yaml", "release: data/tiny", "release: data/mine"),
    ):
        done = snakemake(project, check=False)
    assert done.returncode != 0
    lines = [line for line in done.stderr.splitlines() if not line.startswith("Using workflow")]
    assert len(lines) == 1 and message in lines[0], done.stderr


MARKER = "Zebrafish-4711"


def reviewed(release: Path, names: tuple[str, str]) -> None:
    """Ratings of two systems by clinicians, in the release's own table."""
    a, b = names
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


def test_a_release_with_clinicians_ratings_is_evaluated_by_them_and_no_text_of_it_gets_out(project):
    release = write_release(project / "data/reviewed")
    a, b = names = ("gpt4-32k", "gpt4-32k-vicuna-context")
    reviewed(release, names)
    # Wherever a patient may be told of: notes, names of events, the questions, the references.
    for file in [*release.glob("*.tsv"), *release.glob("ehrs/*.xml")]:
        text = file.read_text()
        for word in ("creatinine", "Creatinine", "chest pain"):
            text = text.replace(word, f"{word} {MARKER}")
        file.write_text(text)
    planted = [file for file in release.rglob("*") if file.is_file() and MARKER in file.read_text()]
    assert {file.suffix for file in planted} == {".tsv", ".xml"}
    paper = yaml.safe_load((project / "params/paper.yaml").read_text()) | {
        "release": "data/reviewed", "systems": [a, b], "metrics": ["rouge_l", "chrf"],
        "columns": {"rank": "place"}, "resamples": 100, "simulated_releases": 10,
    }  # fmt: skip
    (project / "params/reviewed.yaml").write_text(yaml.safe_dump(paper))
    run(project, "snakemake", "--cores", "2", "--configfile", "params/reviewed.yaml")

    tables = project / "runs/reviewed/tables"
    systems = pd.read_csv(tables / "05_evaluate_systems.csv")
    contexts = pd.read_csv(tables / "05_evaluate_systems-contexts.csv")
    # a is right twice of 2, b once; a wins both.
    assert systems.set_index("system")["correct"].to_dict() == {a: 1.0, b: 0.5}
    assert systems.set_index("system")["win_rate"].to_dict() == {a: 1.0, b: 0.0}
    assert contexts["context_tokens"].tolist() == [2048, 32768]
    assert contexts["difference"].tolist()[0] == -0.5
    assert pd.read_csv(tables / "06_correlate_metrics.csv")["n"].tolist() == [2, 2]

    shown = [*tables.glob("*"), *tables.parent.glob("figures/*"), tables.parent / "report.html"]
    assert {file.suffix for file in shown} == {".csv", ".png", ".html"}
    for file in shown:
        content = file.read_bytes()
        assert MARKER.encode() not in content and b"5479314876123" not in content, file
        assert stat.S_IMODE(file.stat().st_mode) & 0o077 == 0, file


def test_a_job_that_fails_leaves_its_notebook_and_finished_responses(project, tmp_path):
    broken = copy_project(tmp_path)
    shutil.copytree(project / "data", broken / "data", dirs_exist_ok=True)
    rest = {"synthetic_patients", "synthetic_instructions", "synthetic_seed"}
    tiny = yaml.safe_load((broken / "params/tiny.yaml").read_text())
    tiny = {key: value for key, value in tiny.items() if key not in rest}
    (broken / "params/tiny.yaml").write_text(yaml.safe_dump(tiny | {"metrics": ["chrf"]}))
    last = sorted((broken / "data/tiny/ehrs").iterdir())[-1]
    last.write_bytes(last.read_bytes()[:3000])

    done = snakemake(broken, "runs/tiny/responses/bm25-2k.jsonl", check=False)
    assert done.returncode != 0
    line = rf"{last.name}, line \d+: not well-formed XML"
    assert re.search(f"EHRError: .*{line}", done.stderr)
    notebook = broken / "runs/tiny/notebooks/03_generate_responses-bm25-2k.ipynb"
    outputs = [o for cell in nbformat.read(notebook, 4).cells for o in cell.get("outputs", [])]
    [error] = [output for output in outputs if output.output_type == "error"]
    assert error.ename == "EHRError" and re.search(line, error.evalue)
    finished = broken / "runs/tiny/responses/bm25-2k/store.jsonl"
    assert len(finished.read_text().splitlines()) > 1
    # The EHR is not the manifest's, so the release is restricted: no message, which names it.
    page = (broken / "runs/tiny/report.html").read_text()
    assert "bm25-2k: no responses: EHRError (notebooks/03" in page and last.name not in page


def test_the_notebooks_run_by_themselves_to_the_same_tables(project, tmp_path, monkeypatch):
    by_hand = copy_project(tmp_path)
    for folder in ("data", "models"):
        shutil.copytree(project / folder, by_hand / folder, dirs_exist_ok=True)
    monkeypatch.chdir(by_hand)
    experiment = load_experiment("params/tiny.yaml")
    prepared = by_hand / "prepared"
    prepared.mkdir()
    copies = []
    for stem, systems in (
        ("01_explore_release", [None]),
        ("02_match_instructions", [None]),
        ("03_generate_responses", SYSTEMS),
        ("04_score_responses", SYSTEMS),
        ("05_evaluate_systems", [None]),
        ("06_correlate_metrics", [None]),
        ("07_audit_fairness", [None]),
        ("08_reproduce_paper", [None]),
        ("09_audit_counterfactuals", [None]),
    ):
        for system in systems:
            notebook = Path("notebooks", f"{stem}.ipynb")
            parameters = for_notebook(notebook, experiment, system=system)
            copies.append(prepared / (f"{stem}-{system}.ipynb" if system else f"{stem}.ipynb"))
            papermill.execute_notebook(notebook, copies[-1], parameters, prepare_only=True)

    nbval = ("--nbval-lax", "--nbval-cell-timeout=600", "-p", "no:cacheprovider")
    run(by_hand, "pytest", "--rootdir", by_hand, "-c", os.devnull, *nbval, *copies)
    for table in TABLES:
        by_snakemake = (project / "runs/tiny/tables" / table).read_bytes()
        assert (by_hand / "runs/tiny/tables" / table).read_bytes() == by_snakemake, table


def test_a_notebook_without_its_inputs_says_which_command_makes_them(tmp_path):
    empty = copy_project(tmp_path)
    parameters = ("-y", "experiment: demo")
    done = run(
        *(empty, "papermill", "notebooks/05_evaluate_systems.ipynb", "out.ipynb", *parameters),
        check=False,
    )
    assert done.returncode != 0
    assert re.search(r"MedAlignError: missing data/demo, .*; `make reproduce` makes", done.stderr)
