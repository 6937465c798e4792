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
from medalign_utils.reporting.report import (
    show_gaps,
    show_paper,
    show_results,
    show_settings,
    show_summary,
)
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


def test_metrics_without_scores_are_named_and_have_no_row(described):
    table = pd.DataFrame({"metric": ["chrf", "a&b"], "n": [5, 0], "not_scored": ["", "no model"]})
    page = show_results(described(pairs=table)).data
    assert "Not scored: a&amp;b (no model)." in page and ">a&amp;b</td>" not in page


def test_only_registered_tables_are_shown_and_no_free_text_of_a_restricted_release(described):
    table = pd.DataFrame({"system": ["<b>a</b> & b"], "advice": [MARKER], "n": [1]})
    run = described(contexts=table, unregistered=table)
    page = show_results(run).data
    assert "05_evaluate_systems-contexts.csv" in page and "unregistered" not in page
    assert '">&lt;b&gt;a&lt;/b&gt; &amp; b</td>' in page
    pages = page + show_summary(run).data + show_gaps(run).data + show_settings(run).data
    assert MARKER not in pages and "40.xml" not in pages
    why = "free text that may contain patient data; the release is restricted"
    assert gaps(run)["05_evaluate_systems-contexts: column advice"] == why
    file = run_record.write_run(run)
    assert MARKER not in file.read_text() and stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_table_without_rows_is_a_sentence(described):
    table = pd.DataFrame({"system": [], "n": []})
    page = show_results(described(cost=table)).data
    assert "It has no rows in this run." in page and "<table" not in page


def test_groups_too_small_for_an_interval_are_only_in_the_file(described):
    table = pd.DataFrame({"group": ["<5", "5", "?"], "n_patients": [4, 5, pd.NA], "n": [9, 9, 9]})
    page = show_results(described(groups=table)).data
    assert "Not shown: rows of fewer than 5 patients (1)." in page
    assert ">5</td>" in page and ">?</td>" in page and "&lt;5" not in page


def test_the_first_screen_has_the_findings_and_what_a_system_costs(described):
    systems = pd.DataFrame(
        {
            "system": ["a", "b"],
            "n": 80,
            **{f"correct{end}": [0.1, 0.25 + more] for end, more in (("", 0), ("_low", -0.1))},
            "correct_high": [0.2, 0.4],
        }
    )
    paths.write_table(systems, paths.table("mine", "05_evaluate_systems"))
    costs = pd.DataFrame({"system": ["b"], "dollars_per_correct": 0.5, "tokens_per_response": 99.5})
    pairs = pd.DataFrame({"system": ["a"], "opponent": ["b"], "sign_flip_p_holm": [0.04]})
    page = show_summary(described(cost=costs, pairs=pairs)).data
    assert "b is correct most often, in 25 % of 80 instructions; a follows with 10 %" in page
    cells = re.findall("<td.*?>(.*?)</td>", page)
    assert cells[:2] == ["b", "80"] and cells[5:7] == ["a", "80"]
    assert cells[2:5] == ["0.25 (0.15 to 0.40)", "0.500", "99.500"] and cells[8:] == ["–", "–"]
    # As long as nothing was compared with the paper.
    assert show_paper(described()).data == "<p>This run was not compared with the paper.</p>"


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
    assert f"Synthetic release, {named}: 6 instructions" in show_summary(run).data
    [caption] = re.findall("<summary>(.*?)</summary>", show_results(run).data)
    assert f"Synthetic release, {named}." in caption


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
                 "06_correlate_metrics-pairs, 06_correlate_metrics-raters, "
                 "06_correlate_metrics-categories, 06_correlate_metrics-review"] == (
        "the responses are not rated"
    )  # fmt: skip
    versions = run["versions"]
    assert re.match(r"3\.\d+", versions["Python"]) and versions["pandas"] == pd.__version__
    summary = show_summary(run).data
    assert "This run is incomplete." in summary and "no responses: EHRError;" in summary
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
