"""What a report says about a run, and what it never shows."""

import json
import re
import shutil
import stat
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from medalign_utils import paths
from medalign_utils.__main__ import main
from medalign_utils.config import SYNTHETIC_KEYS, load_experiment
from medalign_utils.data.disclosure import PERSONAL_COLUMNS
from medalign_utils.errors import MedAlignError
from medalign_utils.provenance.environment import commit
from medalign_utils.reporting import run_record
from medalign_utils.reporting.report import show_gaps, show_results, show_settings, show_summary
from medalign_utils.synthetic import write_release as synthesize
from tests.builders.project import ROOT, write_experiment
from tests.builders.tiny_release import write_release

MARKER = "Zyxwomab"


@pytest.fixture
def described(project):
    """Describe a run of a restricted release with the tables that the test writes."""
    write_release(project / "data/mine")
    shutil.copytree(ROOT / "data/paper", project / "data/paper")
    path = write_experiment("mine", release="data/mine", **dict.fromkeys(SYNTHETIC_KEYS))

    def describe(**tables):
        for suffix, table in tables.items():
            paths.write_table(table, paths.table("mine", f"05_evaluate_systems-{suffix}"))
        return run_record.describe_run(load_experiment(path), {"bm25-2k": {"format": "lines"}})

    return describe


def leave(job, error="EHRError", message=f"{MARKER}.xml, line 7: not well-formed"):
    left = {"system": "a", "is_ok": False, "error": error, "message": message}
    paths.write_text(json.dumps(left), paths.status("mine", job), private=False)


def gaps(run):
    return {gap["what"]: gap["why"] for gap in run["gaps"]}


def test_metrics_without_scores_are_named_below_their_table(described):
    table = pd.DataFrame({"metric": ["chrf", "a&b"], "n": [5, 0], "not_scored": ["", "no model"]})
    page = show_results(described(pairs=table)).data
    assert "</table><p>Not scored: a&amp;b (no model).</p>" in page and ">a&amp;b</td>" not in page


def test_only_registered_tables_are_shown_and_no_free_text_of_a_restricted_release(described):
    table = pd.DataFrame({"system": ["<b>a</b> & b"], "remark": [MARKER], "n": [1]})
    run = described(contexts=table, unregistered=table)
    page = show_results(run).data
    assert "05_evaluate_systems-contexts.csv" in page and "unregistered" not in page
    assert '">&lt;b&gt;a&lt;/b&gt; &amp; b</td>' in page
    pages = page + show_summary(run).data + show_gaps(run).data + show_settings(run).data
    assert MARKER not in pages and "40.xml" not in pages
    why = "free text that may contain patient data; the release is restricted"
    assert gaps(run)["05_evaluate_systems-contexts: column remark"] == why
    file = run_record.write_run(run)
    assert MARKER not in file.read_text() and stat.S_IMODE(file.stat().st_mode) == 0o600


def test_the_wording_of_prompts_is_shown(described):
    described()
    systems = {
        "a": {"prompt": {"answer": "<{record}> {instruction}", "system": "Be brief."}},
        "b": {"strategy": "refine"},
        "c": {"strategy": "refine"},
    }
    page = show_settings(run_record.describe_run(load_experiment("params/mine.yaml"), systems)).data
    assert "<h3>Prompts of a</h3><p>answer</p><pre>&lt;{record}&gt; {instruction}</pre>" in page
    assert "<p>system</p><pre>Be brief.</pre><h3>Prompts of b, c</h3>" in page
    assert "Answer so far: {previous}" in page


@pytest.mark.parametrize("seed", [1, 7])
def test_captions_and_summary_name_the_synthetic_releases_seed(project, seed):
    synthesize(project / "data/new", patients=2, instructions=6, seed=seed)
    path = write_experiment("new", release="data/new", synthetic_seed=seed)
    table = pd.DataFrame({"system": ["a"], "n": [1]})
    paths.write_table(table, paths.table("new", "05_evaluate_systems-contexts"))
    run = run_record.describe_run(load_experiment(path), {})
    named = "public seed 1" if seed == 1 else "fresh seed 7"
    assert f"A run on a synthetic release, {named} (6 instructions" in show_summary(run).data
    [caption] = re.findall("<figcaption>(.*?)</figcaption>", show_results(run).data)
    assert f"compared with the longest. Synthetic release, {named}." in caption


@pytest.mark.parametrize("column", [*sorted(PERSONAL_COLUMNS), "instruction_id", "Person_ID"])
def test_a_table_of_single_patients_instructions_or_responses_is_refused(described, column):
    table = pd.DataFrame({column: ["x"], "n": [1]})
    with pytest.raises(MedAlignError, match=rf"05_evaluate_systems-pairs\.csv: column {column}: a"):
        described(pairs=table)


def test_missing_results_are_named_with_their_reason(described):
    leave("generate/bm25-full")
    leave("02_match_instructions")
    skipped = pd.DataFrame({"metric": ["lens"], "reason": ["no weights"]})
    paths.write_table(skipped, paths.skipped("mine", "bm25-2k"))
    why = "not shown: no two groups of at least 11 patients"
    suppressed = pd.DataFrame({"grouping": ["race", "race"], "suppressed": [why, why]})
    run = described(groups=suppressed)
    found = gaps(run)
    # With a restricted release, only the kind of an error.
    assert found["system bm25-full: no responses"] == "EHRError"
    assert found["system bm25-2k: no responses"] == "it has not run, or was stopped"
    assert found["metric lens of bm25-2k"] == "no weights"
    assert found["groups by race"] == why
    assert found["table 02_match_instructions, 02_match_instructions-dedup"] == "EHRError"
    assert found["table 06_correlate_metrics, 06_correlate_metrics-systems, "
                 "06_correlate_metrics-pairs, 06_correlate_metrics-raters"] == (
        "the responses are not rated"
    )  # fmt: skip
    versions = run["versions"]
    assert re.match(r"3\.\d+", versions["Python"]) and versions["pandas"] == pd.__version__
    summary = show_summary(run).data
    assert "This run is incomplete." in summary and "no responses: EHRError<" in summary
    assert "there is no answer key" in summary
    open_run = SimpleNamespace(experiment="mine", is_restricted=False)
    why = f"EHRError: {MARKER}.xml, line 7: not well-formed"
    assert run_record.failure(open_run, "generate/bm25-full") == why


def test_an_error_in_ratings_shows_only_its_kind(described):
    Path("data/mine/answer-key.jsonl").write_text("{}\n")
    paths.write_text(f'{{"{MARKER}": 1}}\n', paths.responses("mine", "bm25-2k"), private=False)
    assert gaps(described())["ratings"] == "MedAlignError"


def test_a_commit_is_the_projects_own(project, monkeypatch):
    def git(*arguments):
        user = ("-c", "user.name=A", "-c", "user.email=a@example.org")
        done = subprocess.run(
            ["git", *user, *arguments], check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    assert commit() is None  # not a checkout
    git("init")
    git("add", "Snakefile")
    git("commit", "-m", "all")
    assert commit() == git("rev-parse", "HEAD")
    Path("Snakefile").write_text("")
    assert commit() == git("rev-parse", "HEAD") + "-dirty"
    Path("copy").mkdir()
    Path("copy/Snakefile").write_text("")
    monkeypatch.chdir("copy")
    assert commit() is None  # another project's checkout


def test_the_command_names_what_is_wrong(capsys):
    assert main(["report", "params/none.yaml"]) == 2
    assert "no file" in capsys.readouterr().err
